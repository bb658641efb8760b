//! Every operation on every instruction set this machine has, against the
//! oracle, to the last bit.
//!
//! - Sizes come from the geometry: channels round every word and block, sides
//!   that leave every remainder of a tile, windows of every shape, strides and
//!   lopsided pads.
//! - Inputs are seeded; a failure prints the seed, and `BITAT_SEED` replays it.
//! - Every buffer written has guards on both sides, and every buffer read ends
//!   where its allocation ends, so that an address sanitizer sees one byte too
//!   many.
//! - Every case is computed whole and again in pieces of its rows. `BITAT_EVERY=n`
//!   computes one case in n.
//! - Each test says on standard error which sets ran; one that is named in
//!   `BITAT_REQUIRE_ISA` (a list with commas) and did not run fails the suite.

mod binary;
mod buffers;
mod epilogue;
mod geometry;
mod golden;
mod int8;
mod misuse;
#[cfg(feature = "std")]
mod peak;
mod pool;
mod random;
mod sets;
