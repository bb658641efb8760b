//! Every operation as nested loops on unpacked values (rules S1–S29).
//!
//! Written to be read, not to be fast: bits are `i8` of value ±1, weights
//! stand in the order of the mathematics. Nothing here packs, tiles or knows
//! an instruction set.
//!
//! # Panics
//! Every function stops with a message where a slice does not have the length
//! its shape demands, or an argument is outside its range: a test that feeds
//! the oracle nonsense must not get an answer.

mod arithmetic;
mod convolution;
mod epilogue;
mod geometry;
mod pooling;
mod ranking;

pub use arithmetic::{mulr, narrow, rdiv, rshr, sat16, sat32, shift_sat16};
pub use convolution::{
    binary_conv, binary_depthwise, centre_pixels, int8_conv, int8_depthwise, narrow_stream,
};
pub use epilogue::{Prelu, Scale, scores, sign, stream_epilogue, threshold};
pub use geometry::{Conv, Padding, Shape, Window};
pub use pooling::{global_average_pool, shortcut};
pub use ranking::ranking;
