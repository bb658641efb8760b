//! The trainer: forward and backward passes over a [`bitat_graph::Graph`],
//! losses, optimisers, checkpoints.
//!
//! It knows operations and parameters, not the method of binarization: that
//! enters through [`Binarizer`], which makes a binary layer's weights from its
//! latent ones and takes gradients back. [`PlainSte`] is the smallest one.
//!
//! Activations are NHWC `f32`, a batch of `n` images one behind the other. A
//! batch is cut into a fixed number of runs of images, each computed by one
//! thread, and sums over runs are added in order: results are the same, bit for
//! bit, for any number of threads (on one kind of processor; another vector width
//! adds in another order). `BITAT_ISA` (`portable`, `avx2`, `avx512`) chooses the
//! vector width where the best one is not wanted.
//!
//! Where things are: `plan` decides what is stored and what is computed on the way,
//! `chain` evaluates the latter block by block, `forward` and `backward` run one
//! stage after the other, `ops` holds one file per kind of operation with its forward
//! and backward side by side, `matmul` the matrix products.
#![forbid(unsafe_code)]

mod backward;
mod backward_part;
mod binarizer;
mod buffer;
mod chain;
pub mod checkpoint;
mod error;
mod forward;
pub mod init;
pub mod limits;
pub mod loss;
mod matmul;
mod net;
mod ops;
pub mod optimiser;
mod plan;
pub mod quantise;
pub mod rng;
mod signs;
mod simd;
mod vector;
mod weights;

pub use binarizer::{Binarizer, PlainSte};
pub use error::Error;
pub use matmul::multiply;
pub use net::{Mode, Net, Profile, StageTime};
pub use plan::Purpose;
pub use simd::instruction_set;
