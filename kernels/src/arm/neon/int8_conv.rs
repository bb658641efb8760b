//! Products by `smlal`: 4 products of 16 bits by one lane, added in 32 bits.

use core::arch::aarch64::*;

use super::Neon;
use super::memory::vld1_u8;
use crate::generic::cut;
use crate::generic::int8_conv::Dot;
use crate::generic::lanes::Lanes;

impl Dot for Neon {
    type L = Neon;
    /// 16-bit weights, position by position, channel by channel.
    type Weights = [[int16x8_t; 2]; 4];
    type Sum = [int32x4_t; 4];
    const BYTES: usize = 2;

    #[inline(always)]
    fn lanes(self) -> Neon {
        self
    }
    #[inline(always)]
    fn weights(self, from: &[i8; 64]) -> [[int16x8_t; 2]; 4] {
        // SAFETY: the target has NEON; the array is the 64 bytes read.
        unsafe {
            let int8x16x4_t(a, b, c, d) = vld4q_s8(from.as_ptr());
            [
                [vmovl_s8(vget_low_s8(a)), vmovl_high_s8(a)],
                [vmovl_s8(vget_low_s8(b)), vmovl_high_s8(b)],
                [vmovl_s8(vget_low_s8(c)), vmovl_high_s8(c)],
                [vmovl_s8(vget_low_s8(d)), vmovl_high_s8(d)],
            ]
        }
    }
    #[inline(always)]
    fn zero(self) -> [int32x4_t; 4] {
        self.zero32()
    }
    #[inline(always)]
    fn difference(self, a: [int32x4_t; 4], b: [int32x4_t; 4]) -> [int32x4_t; 4] {
        // SAFETY: the target has NEON.
        unsafe {
            [
                vsubq_s32(a[0], b[0]),
                vsubq_s32(a[1], b[1]),
                vsubq_s32(a[2], b[2]),
                vsubq_s32(a[3], b[3]),
            ]
        }
    }
    #[inline(always)]
    fn dot(self, sum: [int32x4_t; 4], weights: [[int16x8_t; 2]; 4], x: &[u8]) -> [int32x4_t; 4] {
        let x: &[u8; 8] = cut::first(x);
        // SAFETY: the target has NEON; the array is the 8 bytes read.
        unsafe {
            let x = vreinterpret_s16_u8(vld1_u8(x.as_ptr()));
            let sum = multiply::<0>(sum, weights[0], x);
            let sum = multiply::<1>(sum, weights[1], x);
            let sum = multiply::<2>(sum, weights[2], x);
            multiply::<3>(sum, weights[3], x)
        }
    }
    #[inline(always)]
    fn sum(self, sum: [int32x4_t; 4]) -> [int32x4_t; 4] {
        sum
    }
    #[inline(always)]
    fn put(self, value: [int16x8_t; 2], to: &mut [u8]) {
        if let Some(to) = to.as_chunks_mut().0.first_chunk_mut() {
            self.store16_bytes(value, to);
        }
    }
}

/// Adds 16 channels' weights times lane `POSITION`.
#[inline]
#[target_feature(enable = "neon")]
fn multiply<const POSITION: i32>(
    sum: [int32x4_t; 4],
    weights: [int16x8_t; 2],
    x: int16x4_t,
) -> [int32x4_t; 4] {
    [
        vmlal_lane_s16::<POSITION>(sum[0], vget_low_s16(weights[0]), x),
        vmlal_high_lane_s16::<POSITION>(sum[1], weights[0], x),
        vmlal_lane_s16::<POSITION>(sum[2], vget_low_s16(weights[1]), x),
        vmlal_high_lane_s16::<POSITION>(sum[3], weights[1], x),
    ]
}
