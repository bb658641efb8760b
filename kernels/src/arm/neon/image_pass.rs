//! First layers of images: a window's row is loaded once, and each of its values multiplies
//! the weights of all channels.

// Fixed loops over indices are unrolled into registers; iterators over the same
// arrays often are not.
#![allow(clippy::needless_range_loop)]

use core::arch::aarch64::*;

use super::Neon;
use super::memory::{vld1_s16, vld1q_s16};
use crate::generic::cut;
use crate::generic::int8_conv::Dot;
use crate::generic::lanes::Lanes;
use crate::layout::INT8_GROUP;
use crate::passes::image::{Fours, Images};

/// 16-bit weights of Q times 16 channels.
type Weight<const Q: usize> = [[int16x8_t; 2]; Q];

impl Images for Neon {
    type V = Neon;
    type Value = i16;
    type Held<const G: usize, const Q: usize> = [[Weight<Q>; G]; 3];
    const VALUES: usize = 1;

    #[inline(always)]
    fn held<const R: usize, const G: usize, const Q: usize>(
        self,
        fours: [&[Fours]; Q],
    ) -> [[Weight<Q>; G]; 3] {
        let mut found = [[[self.splat16(0); Q]; G]; 3];
        for q in 0..Q {
            for ky in 0..3 {
                for g in 0..G {
                    let k = ky * R + g;
                    let four = fours[q].get(k / INT8_GROUP);
                    let Some(four) = cut::there(four) else { return found };
                    found[ky][g][q] = Dot::weights(self, four)[k % INT8_GROUP];
                }
            }
        }
        found
    }
    #[inline(always)]
    unsafe fn windows<const G: usize, const Q: usize, const P: usize, const EIGHT: bool>(
        self,
        start: [[[int32x4_t; 4]; Q]; P],
        weights: &[[Weight<Q>; G]; 3],
        lines: [*const i16; 3],
        step: usize,
    ) -> [[[int32x4_t; 4]; Q]; P] {
        let mut sums = start;
        for (weights, line) in weights.iter().zip(lines) {
            // SAFETY: of this function; the target has NEON. A row has 9 values, or 3 and
            // one more.
            unsafe {
                // Of the pixel or the pair.
                let mut x = [[vdupq_n_s16(0); 2]; P];
                let each = if EIGHT { 2 } else { 1 };
                for p in 0..P {
                    for half in 0..each {
                        let line = line.add((each * p + half) * step);
                        x[p][half] = match G {
                            3 => vcombine_s16(vld1_s16(line), vdup_n_s16(0)),
                            _ => vld1q_s16(line),
                        };
                    }
                }
                sums = multiply::<0, Q, P, EIGHT>(sums, &weights[0], x);
                sums = multiply::<1, Q, P, EIGHT>(sums, &weights[1], x);
                sums = multiply::<2, Q, P, EIGHT>(sums, &weights[2], x);
                if G == 3 {
                    continue;
                }
                sums = multiply::<3, Q, P, EIGHT>(sums, &weights[3], x);
                sums = multiply::<4, Q, P, EIGHT>(sums, &weights[4], x);
                sums = multiply::<5, Q, P, EIGHT>(sums, &weights[5], x);
                sums = multiply::<6, Q, P, EIGHT>(sums, &weights[6], x);
                sums = multiply::<7, Q, P, EIGHT>(sums, &weights[7], x);
                for p in 0..P {
                    for half in 0..each {
                        x[p][half] = vld1q_s16(line.add((each * p + half) * step + 1));
                    }
                }
                sums = multiply::<7, Q, P, EIGHT>(sums, &weights[8], x);
            }
        }
        sums
    }
}

/// Adds the weights times lane `LANE` of each pixel's, or of each pair's.
#[inline(always)]
fn multiply<const LANE: i32, const Q: usize, const P: usize, const EIGHT: bool>(
    sums: [[[int32x4_t; 4]; Q]; P],
    weights: &Weight<Q>,
    x: [[int16x8_t; 2]; P],
) -> [[[int32x4_t; 4]; Q]; P] {
    let mut sums = sums;
    for q in 0..Q {
        let [low, high] = weights[q];
        for p in 0..P {
            let [a, b, c, d] = sums[p][q];
            let (first, second) = (x[p][0], x[p][usize::from(EIGHT)]);
            // SAFETY: the target has NEON.
            sums[p][q] = unsafe {
                [
                    vmlal_laneq_s16::<LANE>(a, vget_low_s16(low), first),
                    vmlal_high_laneq_s16::<LANE>(b, low, first),
                    vmlal_laneq_s16::<LANE>(c, vget_low_s16(high), second),
                    vmlal_high_laneq_s16::<LANE>(d, high, second),
                ]
            };
        }
    }
    sums
}
