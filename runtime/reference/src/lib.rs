#![doc = include_str!("../SEMANTICS.md")]
//!
//! # This crate
//!
//! [`ops`] is each rule as plain loops over unpacked values; [`run`] is a whole
//! model through them, with every tensor kept. The crate has geometry types of
//! its own and reads only the owned [`Model`](bitat_format::model::Model): it
//! shares no code with the packing, the kernels or the planner it checks.
#![forbid(unsafe_code)]

pub mod ops;

mod error;
mod run;
mod trace;

pub use error::Error;
pub use run::run;
pub use trace::{Trace, Values};
