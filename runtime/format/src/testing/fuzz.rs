//! What must hold for any bytes at all.

use alloc::string::ToString;
use alloc::vec::Vec;

use crate::{FileBuffer, View, header, write};

/// Makes the outer shell of `bytes` right: magic, version, flags, length and
/// checksum, so that a changed file reaches the deeper rules. Bytes shorter
/// than a header are left alone.
pub fn reseal(bytes: &mut [u8]) {
    if bytes.len() < header::BYTES {
        return;
    }
    let length = (bytes.len() as u32).to_le_bytes();
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    put(header::at::MAGIC, &header::MAGIC);
    put(header::at::VERSION, &header::VERSION.to_le_bytes());
    put(header::at::FLAGS, &[0; 2]);
    put(header::at::FILE_BYTES, &length);
    crate::write::seal(bytes);
}

/// Reads `data` as a file, as it is and again with its shell made right.
/// Returns whether one of the two is a valid file.
///
/// # Panics
/// If the reader hands out something that it should have refused, or if the
/// writer does not give the same bytes back: that is a fault in this crate.
pub fn fuzz(data: &[u8]) -> bool {
    let as_it_is = read_everything(data);
    let mut sealed = Vec::from(data);
    reseal(&mut sealed);
    as_it_is | read_everything(&sealed)
}

fn read_everything(data: &[u8]) -> bool {
    let file = FileBuffer::new(data);
    let view = match View::parse(&file) {
        Ok(view) => view,
        Err(error) => {
            assert!(error.offset <= data.len(), "{error}");
            assert!(!error.to_string().is_empty());
            return false;
        }
    };
    for layer in view.layers() {
        for id in layer.reads().chain(layer.writes()) {
            assert!(usize::from(id) < view.tensor_count());
        }
        assert!(layer.writes().next().is_some());
    }
    let again = write(&view.to_model());
    assert_eq!(again.as_deref(), Ok(data), "one model, one file");
    true
}
