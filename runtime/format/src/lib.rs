//! The packed 1-bit network file.
#![no_std]
#![forbid(unsafe_code)]
#[cfg(feature = "write")]
extern crate alloc;
#[cfg(feature = "write")]
pub mod model;
