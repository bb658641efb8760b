//! What the project offers to start from: MobileNet definitions (feature
//! `define`) and the files it ships (feature `artefacts`).
//!
//! A definition is a float `bitat_graph::Graph` with fresh weights,
//! ready to be trained; it comes out the same on every machine for a seed.
//! [`OneBit`] networks are 1-bit from the start, and there to be measured.
#![forbid(unsafe_code)]

#[cfg(feature = "artefacts")]
pub mod artefacts;
#[cfg(feature = "define")]
mod define;

#[cfg(feature = "define")]
pub use define::{
    DefineError, MobileNet, OneBit, Strides, mobilenet_v1, mobilenet_v2, round_channels,
    strides_for,
};
