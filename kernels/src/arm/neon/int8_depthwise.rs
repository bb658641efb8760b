//! One tap after the other by `smlal`; the products with a tap that is
//! known to be zero vanish in the compiler.

use core::arch::aarch64::*;

use super::Neon;
use crate::generic::int8_depthwise::Taps;

impl Taps for Neon {
    type L = Neon;
    type Pair = [[int16x8_t; 2]; 2];

    #[inline(always)]
    fn lanes(self) -> Neon {
        self
    }
    #[inline(always)]
    fn pair(self, a: [int16x8_t; 2], b: [int16x8_t; 2]) -> [[int16x8_t; 2]; 2] {
        [a, b]
    }
    #[inline(always)]
    fn add_pair(
        self,
        sum: [int32x4_t; 4],
        x: [[int16x8_t; 2]; 2],
        w: [[int16x8_t; 2]; 2],
    ) -> [int32x4_t; 4] {
        // SAFETY: the target has NEON.
        unsafe { multiply(multiply(sum, x[0], w[0]), x[1], w[1]) }
    }
}

/// Adds one tap of 16 channels.
#[inline]
#[target_feature(enable = "neon")]
fn multiply(sum: [int32x4_t; 4], x: [int16x8_t; 2], w: [int16x8_t; 2]) -> [int32x4_t; 4] {
    [
        vmlal_s16(sum[0], vget_low_s16(x[0]), vget_low_s16(w[0])),
        vmlal_high_s16(sum[1], x[0], w[0]),
        vmlal_s16(sum[2], vget_low_s16(x[1]), vget_low_s16(w[1])),
        vmlal_high_s16(sum[3], x[1], w[1]),
    ]
}
