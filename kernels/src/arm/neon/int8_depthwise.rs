//! A 3×3 window by `smull` and `smlal` of bytes: 8 products an instruction. Two
//! products of a channel fit 16 bits, −32512..=32512, so a pair of taps is added up
//! there and pairs in 32 bits. Pixels and weights as bytes take 18 registers, so
//! that they stay in them. Other windows go tap by tap, in 16 bits by 16.

// Fixed loops over indices are unrolled into registers.
#![allow(clippy::needless_range_loop)]

use core::arch::aarch64::*;
use core::arch::asm;

use super::Neon;
use crate::generic::int8_depthwise::Taps;
use crate::generic::lanes::{Lanes, Narrow};
use crate::passes::depthwise::{ByColumn, InOnePass, Line};
use crate::passes::lanes::PassLanes;

impl Taps for Neon {
    type L = Neon;
    type Column = [int8x16_t; 3];
    type Nine = [int8x16_t; 9];

    #[inline(always)]
    fn lanes(self) -> Neon {
        self
    }
    #[inline(always)]
    fn column(self, pixels: [[int16x8_t; 2]; 3], narrow: Narrow<Neon>) -> [int8x16_t; 3] {
        // SAFETY: the target has NEON.
        pixels.map(|pixel| unsafe { bytes(self.shift16(pixel, narrow)) })
    }
    #[inline(always)]
    fn weights(self, weights: [[int16x8_t; 2]; 9]) -> [int8x16_t; 9] {
        // SAFETY: the target has NEON.
        weights.map(|weight| unsafe { bytes(weight) })
    }
    #[inline(always)]
    fn nine(self, columns: [[int8x16_t; 3]; 3], weights: &[int8x16_t; 9]) -> [int32x4_t; 4] {
        // SAFETY: the target has NEON.
        unsafe { nine(columns, weights) }
    }
    #[inline(always)]
    fn add(self, sum: [int32x4_t; 4], x: [int16x8_t; 2], w: [int16x8_t; 2]) -> [int32x4_t; 4] {
        // SAFETY: the target has NEON.
        unsafe { multiply(sum, x, w) }
    }
}

impl InOnePass for Neon {
    type V = Neon;
    type Weights = [int8x16_t; 9];
    const ROWS: usize = 2;

    #[inline(always)]
    fn placed(self, taps: [[int16x8_t; 2]; 9]) -> [int8x16_t; 9] {
        self.weights(taps)
    }
    #[inline(always)]
    unsafe fn line<const STRIDE: usize, const KIND: u8, const ROWS: usize, const HALF: bool>(
        line: Line<Self, STRIDE, HALF>,
    ) {
        // SAFETY: of this function.
        unsafe { line.by_column::<KIND, ROWS>() }
    }
}

impl ByColumn for Neon {
    type Lines = [int8x16_t; 4];

    #[inline(always)]
    fn narrowed(self, pixels: [[int16x8_t; 2]; 4], count: int16x8_t) -> [int8x16_t; 4] {
        // SAFETY: the target has NEON.
        let mut column = unsafe { [vdupq_n_s8(0); 4] };
        for ky in 0..4 {
            let [low, high] = pixels[ky];
            // SAFETY: the target has NEON.
            column[ky] = unsafe { bytes([vrshlq_s16(low, count), vrshlq_s16(high, count)]) };
        }
        column
    }
    #[inline(always)]
    fn sums(
        self,
        window: [[int8x16_t; 4]; 3],
        row: usize,
        weights: &[int8x16_t; 9],
        count: int32x4_t,
    ) -> [int16x8_t; 2] {
        self.shifted(self.nine(window_from(row, window), weights), count)
    }
    #[inline(always)]
    fn signs(
        self,
        window: [[int8x16_t; 4]; 3],
        row: usize,
        weights: &[int8x16_t; 9],
        start: [int32x4_t; 4],
    ) -> [int16x8_t; 2] {
        let sums = self.nine(window_from(row, window), weights);
        self.saturate32(self.add32(sums, start))
    }
}

/// 16 channels as bytes, saturated: the clamp of [`Lanes::narrow16`].
#[inline]
#[target_feature(enable = "neon")]
fn bytes(value: [int16x8_t; 2]) -> int8x16_t {
    vqmovn_high_s16(vqmovn_s16(value[0]), value[1])
}

/// See [`Taps::nine`].
#[inline]
#[target_feature(enable = "neon")]
fn nine([a, b, c]: [[int8x16_t; 3]; 3], w: &[int8x16_t; 9]) -> [int32x4_t; 4] {
    let pairs = [
        pair([a[0], a[1]], [w[0], w[3]]),
        pair([b[0], b[1]], [w[1], w[4]]),
        pair([c[0], c[1]], [w[2], w[5]]),
        pair([a[2], b[2]], [w[6], w[7]]),
    ];
    let last = [smull(c[2], w[8]), smull2(c[2], w[8])];
    let half = |i: usize| {
        let [p, q, r, s] = [pairs[0][i], pairs[1][i], pairs[2][i], pairs[3][i]];
        let low = vaddq_s32(
            vaddl_s16(vget_low_s16(p), vget_low_s16(q)),
            vaddl_s16(vget_low_s16(r), vget_low_s16(s)),
        );
        let high = vaddq_s32(vaddl_high_s16(p, q), vaddl_high_s16(r, s));
        [vaddw_s16(low, vget_low_s16(last[i])), vaddw_high_s16(high, last[i])]
    };
    let ([a, b], [c, d]) = (half(0), half(1));
    [a, b, c, d]
}

/// Three of the four lines of each column, from line `row` on.
#[inline(always)]
fn window_from(row: usize, [a, b, c]: [[int8x16_t; 4]; 3]) -> [[int8x16_t; 3]; 3] {
    [
        [a[row], a[row + 1], a[row + 2]],
        [b[row], b[row + 1], b[row + 2]],
        [c[row], c[row + 1], c[row + 2]],
    ]
}

/// Two taps of 16 channels.
#[inline]
#[target_feature(enable = "neon")]
fn pair(x: [int8x16_t; 2], w: [int8x16_t; 2]) -> [int16x8_t; 2] {
    let [low, high] = [smull(x[0], w[0]), smull2(x[0], w[0])];
    [smlal(low, x[1], w[1]), smlal2(high, x[1], w[1])]
}

/// Defines products of bytes. The intrinsics take halves of registers, which the compiler
/// keeps apart, each in a register of its own.
macro_rules! products {
    ($name:ident, $added:ident, $registers:literal) => {
        #[inline(always)]
        fn $name(x: int8x16_t, w: int8x16_t) -> int16x8_t {
            let products;
            // SAFETY: the target has NEON; registers alone.
            unsafe {
                asm!(
                    concat!(stringify!($name), " {products:v}.8h, {x:v}", $registers, ", {w:v}", $registers),
                    products = out(vreg) products,
                    x = in(vreg) x,
                    w = in(vreg) w,
                    options(pure, nomem, nostack, preserves_flags),
                );
            }
            products
        }

        #[inline(always)]
        fn $added(sum: int16x8_t, x: int8x16_t, w: int8x16_t) -> int16x8_t {
            let mut sum = sum;
            // SAFETY: the target has NEON; registers alone.
            unsafe {
                asm!(
                    concat!(stringify!($added), " {sum:v}.8h, {x:v}", $registers, ", {w:v}", $registers),
                    sum = inout(vreg) sum,
                    x = in(vreg) x,
                    w = in(vreg) w,
                    options(pure, nomem, nostack, preserves_flags),
                );
            }
            sum
        }
    };
}

products!(smull, smlal, ".8b");
products!(smull2, smlal2, ".16b");

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
