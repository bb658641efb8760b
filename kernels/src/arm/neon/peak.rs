//! 8 pixels of bits, or 2 of 8-bit sums, which are four registers each, in 32
//! registers.

use core::arch::aarch64::*;
use core::arch::asm;

use super::Neon;
use crate::generic::peak::{self, PeakBits, PeakBytes};
use crate::types::Arithmetic;

pub(in crate::arm) fn peak(arithmetic: Arithmetic, rounds: u64) -> u64 {
    match arithmetic {
        Arithmetic::Binary => peak::binary::<Neon, 8>(Neon, rounds),
        Arithmetic::Int8 => peak::int8::<Neon, 2>(Neon, rounds),
    }
}

impl PeakBits for Neon {
    #[inline(always)]
    fn veiled_bits(self, weights: uint8x16_t) -> uint8x16_t {
        // SAFETY: the target has NEON.
        unsafe { veiled(weights) }
    }
}

impl PeakBytes for Neon {
    #[inline(always)]
    fn veiled_bytes(self, weights: [[int16x8_t; 2]; 4]) -> [[int16x8_t; 2]; 4] {
        let mut weights = weights;
        for weights in weights.as_flattened_mut() {
            // SAFETY: the target has NEON.
            unsafe { *weights = vreinterpretq_s16_u8(veiled(vreinterpretq_u8_s16(*weights))) };
        }
        weights
    }
}

/// The same value in the same register.
#[inline]
#[target_feature(enable = "neon")]
pub(in crate::arm) fn veiled(value: uint8x16_t) -> uint8x16_t {
    let mut value = value;
    // SAFETY: no instructions.
    unsafe {
        asm!("/* {0:v} */", inout(vreg) value, options(nomem, nostack, preserves_flags));
    }
    value
}
