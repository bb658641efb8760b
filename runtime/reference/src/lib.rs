#![doc = include_str!("../SEMANTICS.md")]
#![doc = ""]
#![doc = "# This crate"]
#![doc = ""]
#![doc = "[`ops`] is each rule as plain loops over unpacked values. It has types of"]
#![doc = "its own and shares no code with the kernels or with the packing it checks."]
#![forbid(unsafe_code)]

pub mod ops;
