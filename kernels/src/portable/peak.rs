//! The compiler's choice of registers: one pixel of bits, as in the kernels, and
//! their 4 of 8-bit sums.

use core::hint::black_box;

use super::Portable;
use crate::generic::peak::{self, PeakBits, PeakBytes};
use crate::types::Arithmetic;

pub(super) fn peak(arithmetic: Arithmetic, rounds: u64) -> u64 {
    match arithmetic {
        Arithmetic::Binary => peak::binary::<Portable, 1>(Portable, rounds),
        Arithmetic::Int8 => peak::int8::<Portable, 4>(Portable, rounds),
    }
}

impl PeakBits for Portable {
    #[inline(always)]
    fn veiled_bits(self, weights: [u64; 2]) -> [u64; 2] {
        black_box(weights)
    }
}

impl PeakBytes for Portable {
    #[inline(always)]
    fn veiled_bytes(self, weights: [i8; 64]) -> [i8; 64] {
        black_box(weights)
    }
}
