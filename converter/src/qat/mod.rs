//! Quantization-aware training: the 1-bit network, what it takes from data,
//! and which layers are binary when.
//!
//! A method of binarization has two seams: [`bitat_engine::Binarizer`] says
//! how a layer's binary weights come from its latent ones, and [`stages`] says
//! which layers are binary at which step. Plain straight-through estimation is
//! the smallest filling of both; BiTAT is to stand in a module beside this one.

pub mod calibrate;
pub mod method;
pub mod rewrite;
pub mod stages;
