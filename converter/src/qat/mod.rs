//! Quantization-aware training: the 1-bit network, what it takes from data,
//! and which layers are binary when.
//!
//! A method of binarization has two seams: [`method::Method`] says how a layer's
//! binary weights come from its latent ones, from its turn on, and [`stages`] says
//! which layers are binary at which step. Plain straight-through estimation is
//! the smallest filling of both; the other is [`crate::bitat`].

pub mod calibrate;
pub mod method;
pub mod rewrite;
pub mod stages;
