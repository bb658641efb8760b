//! Bounded reading of whole files, gzip or plain.

use crate::Error;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Opens a file, unpacking it on the fly if its name ends in `.gz`.
pub(crate) fn open(path: &Path) -> Result<Box<dyn Read>, Error> {
    let file = File::open(path).map_err(|e| Error::io(path, e))?;
    let packed = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gz"));
    Ok(if packed {
        Box::new(flate2::read::MultiGzDecoder::new(std::io::BufReader::new(file)))
    } else {
        Box::new(file)
    })
}

/// Reads up to `limit` bytes; `None` if the file holds more. Never unpacks.
pub(crate) fn at_most(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, Error> {
    let file = File::open(path).map_err(|e| Error::io(path, e))?;
    let mut bytes = Vec::new();
    let mut reader = file.take(limit.saturating_add(1));
    reader.read_to_end(&mut bytes).map_err(|e| Error::io(path, e))?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}

/// Fills `buffer`; on a short file says how many bytes there were.
pub(crate) fn fill(reader: &mut dyn Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

/// An error while reading: a broken gzip stream is the file's fault.
pub(crate) fn unpacking(path: &Path, error: std::io::Error) -> Error {
    use std::io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    match error.kind() {
        InvalidData | InvalidInput | UnexpectedEof => Error::data(
            path,
            format!("broken or truncated gzip stream ({error})"),
            "download or unpack it again",
        ),
        _ => Error::io(path, error),
    }
}

/// The class names in a UTF-8 text file, one a line, in label order; empty lines
/// at the end do not count.
///
/// # Errors
/// If the file cannot be read, is no such text, or has an empty line in between.
pub fn names(path: &Path) -> Result<Vec<String>, Error> {
    let advice = "write one class name a line, in label order, as UTF-8";
    let bytes = at_most(path, crate::limits::NAMES_BYTES)?
        .ok_or_else(|| Error::data(path, "too long for a list of class names", advice))?;
    let text = String::from_utf8(bytes)
        .map_err(|_| Error::data(path, "class names are not UTF-8 text", advice))?;
    let names: Vec<String> = text.trim_end().lines().map(|l| l.trim().to_owned()).collect();
    if names.is_empty() || names.iter().any(String::is_empty) {
        return Err(Error::data(path, "an empty line among the class names", advice));
    }
    Ok(names)
}
