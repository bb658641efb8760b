//! A 3×3 window by `smull` and `smlal` of bytes: 8 products an instruction. Two
//! products of a channel fit 16 bits, −32512..=32512, so a pair of taps is added up
//! there and pairs in 32 bits. Pixels and weights as bytes take 18 registers, so
//! that they stay in them. Other windows go tap by tap, in 16 bits by 16.

// Fixed loops over indices are unrolled into registers.
#![allow(clippy::needless_range_loop)]

use core::arch::aarch64::*;

use super::Neon;
use crate::generic::int8_depthwise::Taps;
use crate::generic::lanes::{Lanes, Narrow};

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
    let last = [vmull_s8(vget_low_s8(c[2]), vget_low_s8(w[8])), vmull_high_s8(c[2], w[8])];
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

/// Two taps of 16 channels.
#[inline]
#[target_feature(enable = "neon")]
fn pair(x: [int8x16_t; 2], w: [int8x16_t; 2]) -> [int16x8_t; 2] {
    let low = vmull_s8(vget_low_s8(x[0]), vget_low_s8(w[0]));
    let high = vmull_high_s8(x[0], w[0]);
    [vmlal_s8(low, vget_low_s8(x[1]), vget_low_s8(w[1])), vmlal_high_s8(high, x[1], w[1])]
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
