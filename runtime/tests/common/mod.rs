//! What the runtime's tests share. Each test file uses a part of it.
#![allow(dead_code)]

pub(crate) mod case;
pub(crate) mod generate;
pub(crate) mod mobilenet;
pub(crate) mod mutate;
pub(crate) mod random;

use bitat_format::FileBuffer;
use bitat_format::model::Model;

/// The file of a model, in memory as a device would have it.
pub(crate) fn file(model: &Model) -> FileBuffer {
    let bytes = bitat_format::write(model).unwrap_or_else(|e| panic!("{}: {e}", model.name));
    FileBuffer::new(&bytes)
}
