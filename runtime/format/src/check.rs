//! The validation behind [`View::parse`](crate::View::parse): everything that
//! is not already checked where a field is read.

use crate::cursor::Cursor;
use crate::error::{Error, ErrorKind};
use crate::header::{self, Header};
use crate::layer::{self, Decoded};
use crate::record::{self, Tail};
use crate::types::TensorId;
use crate::{contents, limits, names, tensor_table, view};

/// Checks what stands behind the header and returns the scores tensor.
pub(crate) fn file(bytes: &[u8], header: &Header) -> Result<TensorId, Error> {
    for id in 0..header.tensors {
        tensor_table::read(bytes, header, id)?;
    }
    gap(bytes, header.tensor_at(header.tensors))?;
    names::check(bytes, header)?;
    gap(bytes, header.name_end_at(header.names()))?;
    let mut end = input(bytes, header)?;

    let mut written = Written::default();
    let mut scores = 0;
    for index in 0..header.layers {
        let checked = check_layer(bytes, header, index, end, &mut written);
        let decoded = checked.map_err(|error| Error { layer: Some(index), ..error })?;
        if decoded.end != 0 {
            end = decoded.end;
        }
        scores = decoded.record.output;
    }
    if end < bytes.len() {
        return Err(Error::new(ErrorKind::Trailing, end));
    }
    if let Some(id) = (1..header.tensors).find(|&id| !written.has(id)) {
        return Err(Error::new(ErrorKind::Order, header.tensor_at(id)));
    }
    let classes = usize::from(tensor_table::read(bytes, header, scores)?.channels);
    if header.class_names != 0 && usize::from(header.class_names) != classes {
        return Err(Error::new(ErrorKind::ClassNames, header::at::CLASS_NAMES));
    }
    Ok(scores)
}

/// From `at` to the next multiple of 16 all is zero.
fn gap(bytes: &[u8], at: usize) -> Result<(), Error> {
    Cursor::new(bytes, at).align()
}

/// Checks the preprocessing and returns where its last array ends.
fn input(bytes: &[u8], header: &Header) -> Result<usize, Error> {
    let (input, end) = view::input(bytes, header)?;
    if let Some(i) = input.mean.iter().position(|&mean| !header::is_mean(mean)) {
        return contents::fail(ErrorKind::Float, bytes, input.mean, i);
    }
    if let Some(i) = input.std.iter().position(|&std| !header::is_scale(std)) {
        return contents::fail(ErrorKind::Float, bytes, input.std, i);
    }
    Ok(end)
}

fn check_layer<'a>(
    bytes: &'a [u8],
    header: &Header,
    index: u16,
    end: usize,
    written: &mut Written,
) -> Result<Decoded<'a>, Error> {
    let start = header.layer_at(index);
    let fail = |kind, field| Err(Error::new(kind, start + field));

    // The blobs must stand right behind those before, or there would be more
    // than one file for a model; look before anything is read through them.
    let record = record::Record::read(bytes, start)?;
    if record.tail != Tail::None {
        let mut cursor = Cursor::new(bytes, end);
        cursor.align()?;
        if record.blobs as usize != cursor.at() {
            return fail(ErrorKind::Placement, record::at::BLOBS);
        }
    }
    let decoded = layer::decode(bytes, header, index)?;

    // Only the last layer writes scores.
    if (record.tail == Tail::Scores) != (index + 1 == header.layers) {
        return fail(ErrorKind::Scores, record::at::EPILOGUE);
    }

    // Everything read has been written, and nothing is written twice.
    if record.input != 0 && !written.has(record.input) {
        return fail(ErrorKind::Order, record::at::INPUT);
    }
    if let Some(shortcut) = record.shortcut
        && !written.has(shortcut.tensor)
    {
        return fail(ErrorKind::Order, record::at::SHORTCUT);
    }
    for (id, field) in [(record.output, record::at::OUTPUT), (record.bits, record::at::BITS)] {
        if id != 0 && !written.insert(id) {
            return fail(ErrorKind::Order, field);
        }
    }

    contents::check(bytes, &decoded)?;
    Ok(decoded)
}

/// The set of tensors that a layer has written.
struct Written([u32; limits::TENSORS / 32]);

impl Default for Written {
    fn default() -> Written {
        Written([0; limits::TENSORS / 32])
    }
}

impl Written {
    fn has(&self, id: TensorId) -> bool {
        let word = self.0.get(usize::from(id / 32));
        word.is_some_and(|word| word >> (id % 32) & 1 == 1)
    }

    /// Adds `id`; false if it was there already.
    fn insert(&mut self, id: TensorId) -> bool {
        let had = self.has(id);
        if let Some(word) = self.0.get_mut(usize::from(id / 32)) {
            *word |= 1 << (id % 32);
        }
        !had
    }
}
