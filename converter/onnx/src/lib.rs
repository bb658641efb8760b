//! ONNX in, ONNX out.
//!
//! [`read`] turns a trained float network into a [`Graph`]; [`write()`] turns a
//! float graph into a file that other tools open.
//!
//! # What is read
//! Operator sets 7 to 22, one image input, one output of class scores, the
//! operations listed in `ops/mod.rs`. Everything else is an error that names
//! the node and what to do. Weights may be stored in any of ONNX's ways and
//! float types; they become `f32`.
//!
//! # Layout
//! The graph is NHWC, ONNX is NCHW. The input counts as NHWC if its first
//! real use is a Transpose from NHWC to NCHW (as TensorFlow exports have it),
//! and as NCHW otherwise. From there on every activation carries a `View` that
//! says which of the node's sides each ONNX axis is, so that Transpose,
//! Reshape, Flatten and Squeeze move no data, and a dense layer behind a
//! flattened image gets its columns permuted to row, column, channel.
//!
//! # Hostile files
//! Bytes go through [`guard::scan`] before the parser sees them, every size
//! has a bound in `limits.rs`, and no input may panic; `fuzz.rs` holds the
//! fuzzed functions.

#![forbid(unsafe_code)]

mod attributes;
mod error;
mod external;
pub mod fuzz;
pub mod guard;
mod import;
mod limits;
mod ops;
mod read;
mod tensor;
mod view;
mod write;

pub use error::{Error, Fault};
pub use read::{Imported, parse, read, read_with_notes};
pub use write::{to_bytes, write};

#[doc(no_inline)]
pub use bitat_graph::Graph;
