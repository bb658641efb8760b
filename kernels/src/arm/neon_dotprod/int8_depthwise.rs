//! A 3×3 window by `sdot`: 16 products an instruction. A column is 4 bytes of each
//! channel, whose last has a weight of 0, so a window is three instructions for 4
//! channels. Other windows go tap by tap, as NEON's.

use core::arch::aarch64::*;

use super::{Dotprod, sdot};
use crate::arm::neon::Neon;
use crate::generic::int8_depthwise::Taps;
use crate::generic::lanes::{Lanes, Narrow};
use crate::passes::depthwise::{ByColumn, InOnePass, Line};
use crate::passes::lanes::PassLanes;

impl Taps for Dotprod {
    type L = Neon;
    /// 4 channels to a register, from the top down, the last pixel twice.
    type Column = [int8x16_t; 4];
    /// Column by column, the same way, and 0.
    type Nine = [[int8x16_t; 4]; 3];

    #[inline(always)]
    fn lanes(self) -> Neon {
        self.neon
    }
    #[inline(always)]
    fn column(self, pixels: [[int16x8_t; 2]; 3], narrow: Narrow<Neon>) -> [int8x16_t; 4] {
        let [a, b, c] = Taps::column(self.neon, pixels, narrow);
        // SAFETY: the target has NEON.
        unsafe { by_channel([a, b, c, c]) }
    }
    #[inline(always)]
    fn weights(self, weights: [[int16x8_t; 2]; 9]) -> [[int8x16_t; 4]; 3] {
        let [a, b, c, d, e, f, g, h, i] = Taps::weights(self.neon, weights);
        // SAFETY: the target has NEON.
        unsafe {
            let zero = vdupq_n_s8(0);
            [by_channel([a, d, g, zero]), by_channel([b, e, h, zero]), by_channel([c, f, i, zero])]
        }
    }
    #[inline(always)]
    fn nine(self, columns: [[int8x16_t; 4]; 3], weights: &[[int8x16_t; 4]; 3]) -> [int32x4_t; 4] {
        let mut sums = self.neon.zero32();
        for (column, weights) in columns.iter().zip(weights) {
            for ((sum, &x), &w) in sums.iter_mut().zip(column).zip(weights) {
                // SAFETY: `self` proves the feature.
                *sum = unsafe { sdot(*sum, w, x) };
            }
        }
        sums
    }
    #[inline(always)]
    fn add(self, sum: [int32x4_t; 4], x: [int16x8_t; 2], w: [int16x8_t; 2]) -> [int32x4_t; 4] {
        Taps::add(self.neon, sum, x, w)
    }
}

impl InOnePass for Dotprod {
    type V = Neon;
    /// Column by column, the same way, of windows from the first line and the second.
    type Weights = [[[int8x16_t; 4]; 3]; 2];
    const ROWS: usize = 2;

    #[inline(always)]
    fn placed(self, taps: [[int16x8_t; 2]; 9]) -> [[[int8x16_t; 4]; 3]; 2] {
        let [a, b, c, d, e, f, g, h, i] = Taps::weights(self.neon, taps);
        // SAFETY: the target has NEON.
        unsafe {
            let zero = vdupq_n_s8(0);
            [
                [
                    by_channel([a, d, g, zero]),
                    by_channel([b, e, h, zero]),
                    by_channel([c, f, i, zero]),
                ],
                [
                    by_channel([zero, a, d, g]),
                    by_channel([zero, b, e, h]),
                    by_channel([zero, c, f, i]),
                ],
            ]
        }
    }
    #[inline(always)]
    unsafe fn line<const STRIDE: usize, const KIND: u8, const ROWS: usize, const HALF: bool>(
        line: Line<Self, STRIDE, HALF>,
    ) {
        // SAFETY: of this function.
        unsafe { line.by_column::<KIND, ROWS>() }
    }
}

impl ByColumn for Dotprod {
    /// 4 channels to a register, from the top down.
    type Lines = [int8x16_t; 4];

    #[inline(always)]
    fn narrowed(self, pixels: [[int16x8_t; 2]; 4], count: int16x8_t) -> [int8x16_t; 4] {
        let lines = self.neon.narrowed(pixels, count);
        // SAFETY: the target has NEON.
        unsafe { by_channel(lines) }
    }
    #[inline(always)]
    fn sums(
        self,
        window: [[int8x16_t; 4]; 3],
        row: usize,
        weights: &[[[int8x16_t; 4]; 3]; 2],
        count: int32x4_t,
    ) -> [int16x8_t; 2] {
        self.neon.shifted(self.nine(window, &weights[row]), count)
    }
    #[inline(always)]
    fn signs(
        self,
        window: [[int8x16_t; 4]; 3],
        row: usize,
        weights: &[[[int8x16_t; 4]; 3]; 2],
        start: [int32x4_t; 4],
    ) -> [int16x8_t; 2] {
        let lanes = self.lanes();
        lanes.saturate32(lanes.add32(self.nine(window, &weights[row]), start))
    }
}

/// 4 rows of 16 channels as 16 channels of 4 bytes.
#[inline]
#[target_feature(enable = "neon")]
fn by_channel([a, b, c, d]: [int8x16_t; 4]) -> [int8x16_t; 4] {
    let pairs = |low: int8x16_t, high: int8x16_t| {
        let (low, high) = (vreinterpretq_s16_s8(low), vreinterpretq_s16_s8(high));
        [vreinterpretq_s8_s16(vzip1q_s16(low, high)), vreinterpretq_s8_s16(vzip2q_s16(low, high))]
    };
    let [first, second] = pairs(vzip1q_s8(a, b), vzip1q_s8(c, d));
    let [third, fourth] = pairs(vzip2q_s8(a, b), vzip2q_s8(c, d));
    [first, second, third, fourth]
}
