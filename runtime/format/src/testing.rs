//! For tests of this crate and of those that run its files (feature `testing`):
//! valid models out of random numbers, damage, and the body of the fuzz target.

mod fuzz;
mod generate;
mod random;

pub use fuzz::{fuzz, reseal};
pub use generate::model;
pub use random::{Random, damage};
