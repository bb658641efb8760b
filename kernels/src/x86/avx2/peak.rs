//! 3 pixels of bits, whose inputs are two registers each, or 2 of 8-bit sums, in 16
//! registers.

use core::arch::asm;
use core::arch::x86_64::*;

use super::Avx2;
use crate::generic::peak::{self, PeakBits, PeakBytes};
use crate::types::Arithmetic;

#[target_feature(enable = "avx2")]
pub(super) fn peak(arithmetic: Arithmetic, rounds: u64) -> u64 {
    match arithmetic {
        Arithmetic::Binary => peak::binary::<Avx2, 3>(Avx2::here(), rounds),
        Arithmetic::Int8 => peak::int8::<Avx2, 2>(Avx2::here(), rounds),
    }
}

impl PeakBits for Avx2 {
    #[inline(always)]
    fn veiled_bits(self, [low, high]: [__m256i; 2]) -> [__m256i; 2] {
        // SAFETY: `self` proves AVX2.
        unsafe { [veiled(low), veiled(high)] }
    }
}

impl PeakBytes for Avx2 {
    #[inline(always)]
    fn veiled_bytes(self, [[a, b], [c, d]]: [[__m256i; 2]; 2]) -> [[__m256i; 2]; 2] {
        // SAFETY: `self` proves AVX2.
        unsafe { [[veiled(a), veiled(b)], [veiled(c), veiled(d)]] }
    }
}

/// The same value in the same register.
#[inline]
#[target_feature(enable = "avx2")]
fn veiled(value: __m256i) -> __m256i {
    let mut value = value;
    // SAFETY: no instructions.
    unsafe {
        asm!("/* {0} */", inout(ymm_reg) value, options(nomem, nostack, preserves_flags));
    }
    value
}
