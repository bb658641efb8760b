//! One tap after the other by `smlal`.

// Fixed loops over indices are unrolled into registers.
#![allow(clippy::needless_range_loop)]

use core::arch::aarch64::*;

use super::Neon;
use crate::generic::int8_depthwise::Taps;
use crate::generic::lanes::{Lanes, Narrow};

impl Taps for Neon {
    type L = Neon;
    type Column = [[int16x8_t; 2]; 3];
    type Nine = [[int16x8_t; 2]; 9];

    #[inline(always)]
    fn lanes(self) -> Neon {
        self
    }
    #[inline(always)]
    fn column(self, pixels: [[int16x8_t; 2]; 3], narrow: Narrow<Neon>) -> Self::Column {
        let mut column = pixels;
        for pixel in &mut column {
            *pixel = self.narrow16(*pixel, narrow);
        }
        column
    }
    #[inline(always)]
    fn weights(self, weights: [[int16x8_t; 2]; 9]) -> Self::Nine {
        weights
    }
    #[inline(always)]
    fn nine(self, columns: [Self::Column; 3], weights: &Self::Nine) -> [int32x4_t; 4] {
        let mut sum = self.zero32();
        for kx in 0..3 {
            for ky in 0..3 {
                sum = self.add(sum, columns[kx][ky], weights[3 * ky + kx]);
            }
        }
        sum
    }
    #[inline(always)]
    fn add(self, sum: [int32x4_t; 4], x: [int16x8_t; 2], w: [int16x8_t; 2]) -> [int32x4_t; 4] {
        // SAFETY: the target has NEON.
        unsafe { multiply(sum, x, w) }
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
