//! What benchmarks and peer comparisons share.
#![forbid(unsafe_code)]

pub mod mobilenet;
pub mod trainer_profile;
