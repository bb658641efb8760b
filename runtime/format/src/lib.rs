//! The packed 1-bit network file: one document, `FORMAT.md`, and the code that
//! obeys it.
//!
//! [`View::parse`] validates a file in full, once, and then reads it in place:
//! from flash, without a heap, without a copy. Feature `write` adds the owned
//! `model::Model` and `write`; both directions together are the identity, for
//! there is exactly one file for each model.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(target_endian = "big")]
compile_error!(
    "the file's arrays are little-endian and are read in place: big-endian targets are not supported"
);

#[cfg(target_pointer_width = "16")]
compile_error!("files are larger than a 16-bit address space");

#[cfg(feature = "write")]
extern crate alloc;

mod buffer;
mod check;
mod contents;
mod crc32;
mod cursor;
mod error;
mod geometry;
mod header;
mod layer;
pub mod layout;
pub mod limits;
#[cfg(feature = "write")]
pub mod model;
mod names;
#[cfg(feature = "write")]
pub mod pack;
mod record;
mod tensor_table;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "write")]
mod to_model;
mod types;
mod view;
#[cfg(feature = "write")]
mod write;

pub use buffer::Aligned;
#[cfg(feature = "write")]
pub use buffer::FileBuffer;
pub use error::{Error, ErrorKind, Fault};
pub use header::MAGIC;
pub use layer::{EpilogueView, LayerView, OperationView, PreluView, SignView};
pub use types::{Kind, Padding, Shortcut, Tensor, TensorId, Window};
pub use view::{InputView, View};
#[cfg(feature = "write")]
pub use write::write;
