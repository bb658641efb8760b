//! Tensor data in a file beside the model.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path};

use onnx_protobuf::StringStringEntryProto;

/// Reads exactly `bytes` bytes of a tensor from the file that `entries` name.
///
/// The file must lie in `folder`: the name may not be absolute nor climb with
/// `..`, and links may not lead out of it.
pub(crate) fn load(
    entries: &[StringStringEntryProto],
    folder: &Path,
    bytes: usize,
) -> Result<Vec<u8>, String> {
    let entry = |key: &str| entries.iter().find(|e| e.key == key).map(|e| e.value.as_str());
    let number = |key: &str| match entry(key) {
        None => Ok(None),
        Some(text) => match text.parse::<u64>() {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(format!("external data: {key} '{text}' is no number")),
        },
    };
    let location = entry("location").unwrap_or("");
    let relative = Path::new(location);
    let mut parts = relative.components();
    let inside = parts.all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if location.is_empty() || !inside || location.contains('\\') || location.contains('\0') {
        return Err(format!("external data: '{location}' is not inside the model's folder"));
    }
    let fail = |error: std::io::Error| {
        format!("external data '{location}': {error}; it must lie beside the model")
    };
    let home = folder.canonicalize().map_err(fail)?;
    let path = folder.join(relative).canonicalize().map_err(fail)?;
    if !path.starts_with(&home) {
        return Err(format!("external data: '{location}' links out of the model's folder"));
    }
    let offset = number("offset")?.unwrap_or(0);
    if let Some(length) = number("length")?
        && length != bytes as u64
    {
        return Err(format!("external data: length {length}, but the tensor needs {bytes} bytes"));
    }
    // Metadata first: opening a pipe or a device could block for ever.
    let found = std::fs::metadata(&path).map_err(fail)?;
    if !found.is_file() {
        return Err(format!("external data '{location}': not a regular file"));
    }
    if offset.checked_add(bytes as u64).is_none_or(|end| end > found.len()) {
        return Err(format!(
            "external data '{location}': {bytes} bytes at {offset} wanted, the file has {}",
            found.len()
        ));
    }
    let mut file = File::open(&path).map_err(fail)?;
    file.seek(SeekFrom::Start(offset)).map_err(fail)?;
    let mut data = vec![0; bytes];
    file.read_exact(&mut data).map_err(fail)?;
    Ok(data)
}
