//! 4 pixels of 8-bit sums, which are four registers each, in 32 registers. Bits are
//! NEON's.

use core::arch::aarch64::*;

use super::Dotprod;
use crate::arm::neon;
use crate::generic::peak::{self, PeakBytes};
use crate::types::Arithmetic;

#[target_feature(enable = "dotprod")]
pub(super) fn peak(arithmetic: Arithmetic, rounds: u64) -> u64 {
    match arithmetic {
        Arithmetic::Binary => neon::peak::peak(arithmetic, rounds),
        Arithmetic::Int8 => peak::int8::<Dotprod, 4>(Dotprod::here(), rounds),
    }
}

impl PeakBytes for Dotprod {
    #[inline(always)]
    fn veiled_bytes(self, weights: [int8x16_t; 4]) -> [int8x16_t; 4] {
        let mut weights = weights;
        for weights in &mut weights {
            // SAFETY: the target has NEON.
            unsafe {
                *weights = vreinterpretq_s8_u8(neon::peak::veiled(vreinterpretq_u8_s8(*weights)));
            }
        }
        weights
    }
}
