//! XNOR-popcount kernels and the few integer kernels around them.
//!
//! One set of kernels exists per instruction set ([`Isa`]); all of them give the
//! same integers. [`Kernels`] is the only door: it checks every length in safe
//! code and then calls the set's function. Beside the door to C, this is the
//! only code of the project with `unsafe` in it.
//!
//! How the code is arranged: [`layout`] states how bits and weights lie in
//! memory; `generic/` holds each algorithm once, explained at the top of its
//! file with its cost, over small vector traits; `passes/` has what some sets have
//! faster, for layers that most networks are made of; `portable/`, `x86/` and `arm/`
//! hold the vectors of one instruction set each, in files of the same names;
//! `scalar/` is a small set of its own for a CPU without vector registers.
//!
//! The crate uses no heap and no standard library (feature `std`, on by
//! default, only adds run-time detection of the instruction set and a way to
//! measure its limit).
#![no_std]
#![deny(missing_docs)]

#[cfg(target_endian = "big")]
compile_error!(
    "packed networks are little-endian and used in place: no big-endian target is supported"
);

#[cfg(feature = "std")]
extern crate std;

#[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
mod arm;
mod check;
mod generic;
mod isa;
pub mod layout;
mod misuse;
#[cfg(any(target_arch = "x86_64", all(target_arch = "aarch64", target_feature = "neon")))]
mod passes;
mod portable;
mod scalar;
mod table;
mod types;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use isa::{Isa, UnknownIsa};
pub use layout::scratch_bytes;
pub use misuse::Misuse;
pub use table::Kernels;
#[cfg(feature = "std")]
pub use types::Arithmetic;
pub use types::{
    Conv, Epilogue, Int8Input, Operation, Padding, Prelu, Shape, Shortcut, Sign, Window,
};
