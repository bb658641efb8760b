//! Instruction sets of AArch64.

pub(crate) mod neon;
