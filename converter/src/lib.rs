//! The converter: a trained float MobileNet becomes a packed 1-bit network.
//!
//! ```text
//! onnx → float graph → qat::rewrite → learn::fit → lower → bytes → prove
//! ```
//!
//! The command `bitat` is a thin skin over this library.

#![forbid(unsafe_code)]

pub mod bitat;
pub mod commands;
mod error;
pub mod export;
mod files;
pub mod footprint;
pub mod learn;
pub mod lower;
pub mod packed;
pub mod pipeline;
pub mod prove;
pub mod qat;
pub mod report;
pub mod standard;
pub mod study;
pub mod ui;

pub use error::{Error, Fault};
