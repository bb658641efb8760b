//! Instruction sets of x86-64.

pub(crate) mod avx2;
pub(crate) mod avx2_vnni;
pub(crate) mod avx512;
mod bit_lines;
mod byte_lines;
