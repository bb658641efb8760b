//! The writer: from the owned model to the one file that holds it.

use alloc::vec::Vec;

use crate::buffer::FileBuffer;
use crate::error::{Error, ErrorKind};
use crate::geometry::Geometry;
use crate::header::{self, Header};
use crate::layout::align_blob;
use crate::model::{Epilogue, Layer, Model, Operation};
use crate::record::{self, Op, Record, Tail};
use crate::types::{Padding, TensorId, Window};
use crate::{limits, pack, tensor_table, view::View};

/// Writes a model as a file.
///
/// The bytes are parsed before they are handed out, so whatever this function
/// returns, [`View::parse`] accepts, and [`View::to_model`] gives `model` back.
///
/// # Errors
/// The rule of FORMAT.md that the model breaks; [`ErrorKind::Length`] if a
/// list is not as long as the shapes say. The offset is that in the file which
/// would have been written; [`Error::layer`] says which layer is concerned.
pub fn write(model: &Model) -> Result<Vec<u8>, Error> {
    let header = Header {
        tensors: count(model.tensors.len(), limits::TENSORS, header::at::TENSORS)?,
        layers: count(model.layers.len(), limits::LAYERS, header::at::LAYERS)?,
        class_names: count(model.classes.len(), limits::CHANNELS.into(), header::at::CLASS_NAMES)?,
        score_scale: model.score_scale,
    };
    let mut file = Vec::new();
    put_header(&mut file, &header);
    for tensor in &model.tensors {
        file.extend(tensor_table::to_bytes(tensor));
    }
    file.resize(header.layer_at(0), 0);
    // First, so that a layer's errors are its own.
    for id in 0..header.tensors {
        tensor_table::read(&file, &header, id)?;
    }

    // The records are filled in when it is known where their blobs are.
    file.resize(header.layer_at(header.layers), 0);
    put_names(&mut file, model, &header)?;
    put_input(&mut file, model)?;
    for (index, layer) in (0..header.layers).zip(&model.layers) {
        let start = header.layer_at(index);
        put_layer(&mut file, &header, layer, start)
            .map_err(|error| Error { layer: Some(index), ..error })?;
    }

    if file.len() > limits::FILE_BYTES {
        return Err(Error::new(ErrorKind::Limit, header::at::FILE_BYTES));
    }
    let bytes = file.len() as u32;
    file[header::at::FILE_BYTES..][..4].copy_from_slice(&bytes.to_le_bytes());
    seal(&mut file);
    View::parse(&FileBuffer::new(&file))?;
    Ok(file)
}

/// Writes the checksum into a file that is complete but for it. Shorter than a
/// header, it is left alone.
pub(crate) fn seal(file: &mut [u8]) {
    let checksum = header::checksum(file);
    if let Some(field) = file.get_mut(header::at::CHECKSUM..header::at::CHECKSUM + 4) {
        field.copy_from_slice(&checksum.to_le_bytes());
    }
}

fn count(length: usize, limit: usize, offset: usize) -> Result<u16, Error> {
    let fits = u16::try_from(length).ok().filter(|_| length <= limit);
    fits.ok_or(Error::new(ErrorKind::Limit, offset))
}

/// The header with length and checksum still 0.
fn put_header(file: &mut Vec<u8>, header: &Header) {
    let mut bytes = [0; header::BYTES];
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    put(header::at::MAGIC, &header::MAGIC);
    put(header::at::VERSION, &header::VERSION.to_le_bytes());
    put(header::at::TENSORS, &header.tensors.to_le_bytes());
    put(header::at::LAYERS, &header.layers.to_le_bytes());
    put(header::at::CLASS_NAMES, &header.class_names.to_le_bytes());
    put(header::at::SCORE_SCALE, &header.score_scale.to_le_bytes());
    file.extend(bytes);
}

fn put_names(file: &mut Vec<u8>, model: &Model, header: &Header) -> Result<(), Error> {
    let layers = model.layers.iter().map(|layer| &layer.name);
    let names = core::iter::once(&model.name).chain(layers).chain(&model.classes);
    let mut text = Vec::new();
    for (i, name) in names.enumerate() {
        if name.len() > limits::NAME_BYTES {
            return Err(Error::new(ErrorKind::Limit, header.name_end_at(i)));
        }
        text.extend(name.bytes());
        file.extend((text.len() as u32).to_le_bytes());
    }
    put_blob(file, text);
    Ok(())
}

fn put_input(file: &mut Vec<u8>, model: &Model) -> Result<(), Error> {
    let input = &model.input;
    let Some(image) = model.tensors.first() else {
        return Err(Error::new(ErrorKind::Range, header::at::TENSORS));
    };
    for length in [input.zero.len(), input.mean.len(), input.std.len()] {
        if length != usize::from(image.channels) {
            return Err(Error::new(ErrorKind::Length, align_blob(file.len())));
        }
    }
    put_blob(file, input.zero.iter().copied());
    // −0 equals 0: one value, one encoding.
    put_blob(file, input.mean.iter().flat_map(|&mean| (mean + 0.0).to_le_bytes()));
    put_blob(file, input.std.iter().flat_map(|std| std.to_le_bytes()));
    Ok(())
}

/// Appends a blob at the next multiple of 16.
fn put_blob(file: &mut Vec<u8>, bytes: impl IntoIterator<Item = u8>) {
    file.resize(align_blob(file.len()), 0);
    file.extend(bytes);
}

/// Fills in the record of a layer at `start` and appends its blobs.
fn put_layer(
    file: &mut Vec<u8>,
    header: &Header,
    layer: &Layer,
    start: usize,
) -> Result<(), Error> {
    if file.len() > limits::FILE_BYTES {
        return Err(Error::new(ErrorKind::Limit, header::at::FILE_BYTES));
    }
    let record = describe(layer, align_blob(file.len()) as u32, start)?;
    file[start..start + record::BYTES].copy_from_slice(&record.to_bytes());
    // The reader's own rules, before any weight is packed by these shapes.
    let record = Record::read(file, start)?;
    let geometry = Geometry::of(file, header, &record, start)?;
    put_weights(file, &layer.operation, &geometry, start)?;
    if let Some(epilogue) = layer.operation.epilogue() {
        let channels = usize::from(geometry.output.channels);
        put_epilogue(file, epilogue, channels, start)?;
    }
    Ok(())
}

/// The record of a layer whose first blob will be at `blobs`.
fn describe(layer: &Layer, blobs: u32, start: usize) -> Result<Record, Error> {
    let mut record = Record {
        op: Op::GlobalAveragePool,
        tail: Tail::None,
        padding: Padding::Zero,
        prelu: false,
        input: layer.input,
        groups: 1,
        window: NO_WINDOW,
        narrow: 0,
        shift: 0,
        output: 0,
        bits: 0,
        shortcut: None,
        blobs: 0,
    };
    match layer.operation {
        Operation::Int8Conv { window, narrow, .. } => {
            record.op = Op::Int8Conv;
            record.window = window;
            record.narrow = narrow;
        }
        Operation::Int8Depthwise { window, narrow, .. } => {
            record.op = Op::Int8Depthwise;
            record.window = window;
            record.narrow = narrow;
        }
        Operation::BinaryConv { window, groups, padding, .. } => {
            record.op = Op::BinaryConv;
            record.window = window;
            record.groups = groups;
            record.padding = padding;
        }
        Operation::BinaryDepthwise { window, padding, .. } => {
            record.op = Op::BinaryDepthwise;
            record.window = window;
            record.padding = padding;
        }
        Operation::GlobalAveragePool { shift, output } => {
            // Above 127 it becomes negative, which is out of range as well.
            record.shift = shift as i8;
            record.output = output;
        }
    }
    let Some(epilogue) = layer.operation.epilogue() else {
        return Ok(record);
    };
    record.blobs = blobs;
    // In the file 0 stands for no tensor, so it must not come in as one.
    let tensor = |id: Option<TensorId>, field| match id {
        Some(0) => Err(Error::new(ErrorKind::Kind, start + field)),
        _ => Ok(id.unwrap_or(0)),
    };
    match epilogue {
        Epilogue::Threshold { bits, .. } => {
            record.tail = Tail::Threshold;
            record.bits = *bits;
        }
        Epilogue::Stream { shift, shortcut, prelu, stream, sign, .. } => {
            record.tail = Tail::Stream;
            record.shift = *shift;
            tensor(shortcut.map(|s| s.tensor), record::at::SHORTCUT)?;
            record.shortcut = *shortcut;
            record.prelu = prelu.is_some();
            record.output = tensor(*stream, record::at::OUTPUT)?;
            record.bits = tensor(sign.as_ref().map(|s| s.bits), record::at::BITS)?;
        }
        Epilogue::Scores { scores, .. } => {
            record.tail = Tail::Scores;
            record.output = *scores;
        }
    }
    Ok(record)
}

const NO_WINDOW: Window =
    Window { kernel_h: 0, kernel_w: 0, stride_h: 0, stride_w: 0, pad_top: 0, pad_left: 0 };

/// Appends a layer's weights, if their number is that of `geometry`.
fn put_weights(
    file: &mut Vec<u8>,
    operation: &Operation,
    geometry: &Geometry,
    start: usize,
) -> Result<(), Error> {
    let c_in = usize::from(geometry.input.channels);
    let c_out = usize::from(geometry.output.channels);
    let taps = geometry.taps;
    let check = |weights: &[i8], length: usize, binary: bool| {
        if weights.len() != length {
            return Err(Error::new(ErrorKind::Length, start));
        }
        if binary && weights.iter().any(|weight| weight.unsigned_abs() != 1) {
            return Err(Error::new(ErrorKind::Weight, start));
        }
        Ok(())
    };
    let unsigned = |weights: Vec<i8>| weights.into_iter().map(|weight| weight as u8);
    match operation {
        Operation::Int8Conv { weights, .. } => {
            check(weights, c_out * taps * c_in, false)?;
            put_blob(file, unsigned(pack::int8_conv(weights, taps * c_in, c_out)));
        }
        Operation::Int8Depthwise { weights, .. } => {
            check(weights, taps * c_in, false)?;
            put_blob(file, unsigned(weights.clone()));
        }
        Operation::BinaryConv { weights, groups, .. } => {
            let groups = usize::from(*groups);
            let in_per_group = c_in / groups;
            check(weights, c_out * taps * in_per_group, true)?;
            let packed = pack::binary_conv(weights, taps, in_per_group, c_out, groups);
            put_blob(file, packed);
        }
        Operation::BinaryDepthwise { weights, .. } => {
            check(weights, taps * c_in, true)?;
            put_blob(file, pack::bits(weights, c_in));
        }
        Operation::GlobalAveragePool { .. } => {}
    }
    Ok(())
}

/// Appends the arrays of an epilogue, each of which must have `channels` entries.
fn put_epilogue(
    file: &mut Vec<u8>,
    epilogue: &Epilogue,
    channels: usize,
    start: usize,
) -> Result<(), Error> {
    let mut put16 = |values: &[i16]| put_array(file, values, channels, start, i16::to_le_bytes);
    match epilogue {
        Epilogue::Threshold { thresholds, .. } => {
            put_array(file, thresholds, channels, start, i32::to_le_bytes)
        }
        Epilogue::Stream { multiplier, bias, prelu, sign, .. } => {
            put16(multiplier)?;
            put16(bias)?;
            if let Some(prelu) = prelu {
                put16(&prelu.before)?;
                put16(&prelu.slope)?;
                put16(&prelu.after)?;
            }
            match sign {
                Some(sign) => put16(&sign.thresholds),
                None => Ok(()),
            }
        }
        Epilogue::Scores { multiplier, bias, .. } => {
            put16(multiplier)?;
            put_array(file, bias, channels, start, i32::to_le_bytes)
        }
    }
}

fn put_array<T: Copy, const N: usize>(
    file: &mut Vec<u8>,
    values: &[T],
    channels: usize,
    start: usize,
    to_bytes: impl Fn(T) -> [u8; N],
) -> Result<(), Error> {
    if values.len() != channels {
        return Err(Error::new(ErrorKind::Length, start));
    }
    put_blob(file, values.iter().flat_map(|&value| to_bytes(value)));
    Ok(())
}
