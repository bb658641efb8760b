//! 8 pixels: 8 counters or sums, 8 inputs and the weights in 32 registers.

use core::arch::asm;
use core::arch::x86_64::*;

use super::Avx512;
use crate::generic::peak::{self, PeakBits, PeakBytes};
use crate::types::Arithmetic;

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512bitalg")]
pub(super) fn peak(arithmetic: Arithmetic, rounds: u64) -> u64 {
    match arithmetic {
        Arithmetic::Binary => peak::binary::<Avx512, 8>(Avx512::here(), rounds),
        Arithmetic::Int8 => peak::int8::<Avx512, 8>(Avx512::here(), rounds),
    }
}

impl PeakBits for Avx512 {
    #[inline(always)]
    fn veiled_bits(self, weights: __m512i) -> __m512i {
        // SAFETY: `self` proves AVX-512 F.
        unsafe { veiled(weights) }
    }
}

impl PeakBytes for Avx512 {
    #[inline(always)]
    fn veiled_bytes(self, weights: __m512i) -> __m512i {
        // SAFETY: `self` proves AVX-512 F.
        unsafe { veiled(weights) }
    }
}

/// The same value in the same register.
#[inline]
#[target_feature(enable = "avx512f")]
fn veiled(value: __m512i) -> __m512i {
    let mut value = value;
    // SAFETY: no instructions.
    unsafe {
        asm!("/* {0} */", inout(zmm_reg) value, options(nomem, nostack, preserves_flags));
    }
    value
}
