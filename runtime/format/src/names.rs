//! Names: the network's, the layers', the classes' (FORMAT.md, N).

use crate::cursor::Cursor;
use crate::error::{Error, ErrorKind};
use crate::header::Header;
use crate::limits;

/// Where the text of name `index` begins and ends in the file.
fn span(bytes: &[u8], header: &Header, index: usize) -> Result<(usize, usize), Error> {
    let end_of = |index| Cursor::new(bytes, header.name_end_at(index)).u32();
    let begin = match index.checked_sub(1) {
        Some(before) => end_of(before)?,
        None => 0,
    };
    let end = end_of(index)?;
    let at = header.name_end_at(index);
    let Some(length) = end.checked_sub(begin) else {
        return Err(Error::new(ErrorKind::Text, at));
    };
    if length as usize > limits::NAME_BYTES {
        return Err(Error::new(ErrorKind::Limit, at));
    }
    // A file is at most 2^30 bytes, but `begin` may come from a bad one.
    let text = header.text_at();
    Ok((text.saturating_add(begin as usize), text.saturating_add(end as usize)))
}

/// Name `index`: 0 is the network's, then one per layer, then the classes'.
pub(crate) fn read<'a>(bytes: &'a [u8], header: &Header, index: usize) -> Result<&'a str, Error> {
    let (begin, end) = span(bytes, header, index)?;
    let text = Cursor::new(bytes, begin).take(end - begin)?;
    let text = str::from_utf8(text)
        .map_err(|error| Error::new(ErrorKind::Text, begin + error.valid_up_to()))?;
    // Names go to terminals and reports; escapes have no business there.
    match text.char_indices().find(|(_, c)| c.is_control()) {
        Some((i, _)) => Err(Error::new(ErrorKind::Text, begin + i)),
        None => Ok(text),
    }
}

/// Where the text of the names ends.
pub(crate) fn end(bytes: &[u8], header: &Header) -> Result<usize, Error> {
    span(bytes, header, header.names() - 1).map(|(_, end)| end)
}

/// Checks every name.
pub(crate) fn check(bytes: &[u8], header: &Header) -> Result<(), Error> {
    (0..header.names()).try_for_each(|index| read(bytes, header, index).map(|_| ()))
}
