//! What benchmarks and peer comparisons share.
#![forbid(unsafe_code)]

pub mod mobilenet;
