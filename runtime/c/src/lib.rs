//! The runtime for programs in C: `libbitat.a` and `include/bitat.h`.
//!
//! `abi.rs` turns the caller's pointers into slices and is the only file with
//! `unsafe` in it; what it may rely on, `bitat.h` tells the caller. Behind it
//! `state.rs` checks a call and runs it, `memory.rs` knows where buffers may
//! lie, and `status.rs` and `types.rs` hold what C sees.
//!
//! Nothing here allocates, and nothing unwinds into C: every function is
//! `extern "C"`, which ends the program rather than let a panic out, and no
//! model, picture or argument makes it panic.
//!
//! Without feature `std` the archive needs nothing but `memcpy` and its kin,
//! which it brings, and holds the panic handler that a device must have.
#![no_std]
#![deny(unsafe_code)]

#[cfg(feature = "std")]
extern crate std;

#[allow(unsafe_code)]
mod abi;
mod memory;
#[cfg(not(feature = "std"))]
mod panic;
mod state;
mod status;
mod types;

pub use abi::*;
pub use status::Status;
pub use types::{
    BITAT_ARENA_ALIGN, BITAT_MODEL_ALIGN, BITAT_NETWORK_WORDS, BITAT_TENSORS, Info, Isa, Ranked,
    Storage, Text,
};
