//! Products by `sdot` with one lane: four signed by four signed bytes in each of 4
//! channels, added to 32 bits. The weights lie as the instruction wants them. A
//! register has the inputs of 4 steps.

use core::arch::aarch64::*;

use super::{Dotprod, sdot_lane};
use crate::arm::neon::Neon;
use crate::arm::neon::memory::{vld1q_s8, vld1q_u8, vst1q_u8};
use crate::generic::cut;
use crate::generic::int8_conv::Dot;
use crate::generic::lanes::Lanes;

/// Bytes of a step's weights.
const STEP: usize = 64;

impl Dot for Dotprod {
    type L = Neon;
    /// As stored: 4 positions of a channel, then those of the next.
    type Weights = [int8x16_t; 4];
    type Sum = [int32x4_t; 4];
    const BYTES: usize = 1;
    const FLIP: u8 = 128;

    #[inline(always)]
    fn lanes(self) -> Neon {
        self.neon
    }
    #[inline(always)]
    fn weights(self, from: &[i8; STEP]) -> [int8x16_t; 4] {
        let from = from.as_ptr();
        // SAFETY: the target has NEON; the array is the four times 16 bytes read.
        unsafe {
            [vld1q_s8(from), vld1q_s8(from.add(16)), vld1q_s8(from.add(32)), vld1q_s8(from.add(48))]
        }
    }
    #[inline(always)]
    fn zero(self) -> [int32x4_t; 4] {
        self.neon.zero32()
    }
    #[inline(always)]
    fn difference(self, a: [int32x4_t; 4], b: [int32x4_t; 4]) -> [int32x4_t; 4] {
        Dot::difference(self.neon, a, b)
    }
    #[inline(always)]
    fn dot(self, sum: [int32x4_t; 4], weights: [int8x16_t; 4], x: &[u8]) -> [int32x4_t; 4] {
        let x = u32::from_ne_bytes(*cut::first(x));
        // SAFETY: `self` proves the feature.
        unsafe {
            let x = vreinterpretq_s8_u32(vsetq_lane_u32::<0>(x, vdupq_n_u32(0)));
            multiply::<0>(sum, weights, x)
        }
    }
    #[inline(always)]
    fn several<const P: usize>(
        self,
        sums: &mut [[int32x4_t; 4]; P],
        weights: &[i8],
        inputs: &[&[u8]; P],
    ) -> usize {
        let (fours, _) = weights.as_chunks::<STEP>().0.as_chunks();
        for (k, [a, b, c, d]) in fours.iter().enumerate() {
            // SAFETY: the target has NEON.
            let mut x = [unsafe { vdupq_n_s8(0) }; P];
            for (x, input) in x.iter_mut().zip(inputs) {
                let input: &[u8; 16] = cut::first(cut::part(input, 16 * k..));
                // SAFETY: the target has NEON; the array is the 16 bytes read.
                *x = unsafe { vreinterpretq_s8_u8(vld1q_u8(input.as_ptr())) };
            }
            self.step::<0, P>(sums, a, &x);
            self.step::<1, P>(sums, b, &x);
            self.step::<2, P>(sums, c, &x);
            self.step::<3, P>(sums, d, &x);
        }
        4 * fours.len()
    }
    #[inline(always)]
    fn sum(self, sum: [int32x4_t; 4]) -> [int32x4_t; 4] {
        sum
    }
    #[inline(always)]
    fn put(self, value: [int16x8_t; 2], to: &mut [u8]) {
        let Some(to) = cut::part_mut(to, ..16).first_chunk_mut::<16>() else { return };
        // SAFETY: the target has NEON; the array is the 16 bytes written.
        unsafe {
            let bytes = vmovn_high_s16(vmovn_s16(value[0]), value[1]);
            vst1q_u8(to.as_mut_ptr(), vreinterpretq_u8_s8(bytes));
        }
    }
}

impl Dotprod {
    /// One step of P pixels, whose inputs are at `LANE`.
    #[inline(always)]
    fn step<const LANE: usize, const P: usize>(
        self,
        sums: &mut [[int32x4_t; 4]; P],
        weights: &[i8; STEP],
        x: &[int8x16_t; P],
    ) {
        let weights = Dot::weights(self, weights);
        for (sum, &x) in sums.iter_mut().zip(x) {
            // SAFETY: `self` proves the feature.
            *sum = unsafe { multiply::<LANE>(*sum, weights, x) };
        }
    }
}

/// Adds 16 channels' weights times lane `LANE`.
#[inline]
#[target_feature(enable = "dotprod")]
fn multiply<const LANE: usize>(
    sum: [int32x4_t; 4],
    weights: [int8x16_t; 4],
    x: int8x16_t,
) -> [int32x4_t; 4] {
    [
        sdot_lane::<LANE>(sum[0], weights[0], x),
        sdot_lane::<LANE>(sum[1], weights[1], x),
        sdot_lane::<LANE>(sum[2], weights[2], x),
        sdot_lane::<LANE>(sum[3], weights[3], x),
    ]
}
