//! First layers of images: a window's row is loaded once, and each four of its values
//! multiplies the weights of all channels; what the last one has too much, by 0.

// Fixed loops over indices are unrolled into registers; iterators over the same
// arrays often are not.
#![allow(clippy::needless_range_loop)]

use core::arch::aarch64::*;

use super::{Dotprod, sdot_lane};
use crate::arm::neon::Neon;
use crate::arm::neon::memory::vld1_u8;
use crate::generic::int8_conv::Dot;
use crate::layout::INT8_GROUP;
use crate::passes::image::{Fours, Images, piece};

/// A value less 128. The window of zeros is too, so that it does not matter.
#[derive(Clone, Copy, Default)]
#[repr(transparent)]
pub(crate) struct Signed(u8);

impl From<u8> for Signed {
    #[inline(always)]
    fn from(value: u8) -> Signed {
        Signed(value ^ 128)
    }
}

/// Weights of 4 values, 4 channels to a register.
type Weights = [int8x16_t; 4];

impl Images for Dotprod {
    type V = Neon;
    type Value = Signed;
    type Held<const G: usize, const Q: usize> = [[[Weights; Q]; G]; 3];
    const VALUES: usize = INT8_GROUP;

    #[inline(always)]
    fn held<const R: usize, const G: usize, const Q: usize>(
        self,
        fours: [&[Fours]; Q],
    ) -> [[[Weights; Q]; G]; 3] {
        // SAFETY: the target has NEON.
        let mut found = [[[[unsafe { vdupq_n_s8(0) }; 4]; Q]; G]; 3];
        for q in 0..Q {
            for ky in 0..3 {
                for g in 0..G {
                    found[ky][g][q] = Dot::weights(self, &piece::<R>(fours[q], ky, g));
                }
            }
        }
        found
    }
    #[inline(always)]
    unsafe fn windows<const G: usize, const Q: usize, const P: usize, const EIGHT: bool>(
        self,
        start: [[[int32x4_t; 4]; Q]; P],
        weights: &[[[Weights; Q]; G]; 3],
        lines: [*const Signed; 3],
        step: usize,
    ) -> [[[int32x4_t; 4]; Q]; P] {
        let mut sums = start;
        for (weights, line) in weights.iter().zip(lines) {
            for p in 0..P {
                // SAFETY: of this function; `self` proves the feature.
                unsafe {
                    let (first, second) = match EIGHT {
                        true => (line.add(2 * p * step), line.add((2 * p + 1) * step)),
                        false => (line.add(p * step), line.add(p * step)),
                    };
                    let x = [values::<G>(first.cast()), values::<G>(second.cast())];
                    for q in 0..Q {
                        sums[p][q] = multiply::<0>(sums[p][q], &weights[0][q], x);
                        if G == 3 {
                            sums[p][q] = multiply::<1>(sums[p][q], &weights[1][q], x);
                            sums[p][q] = multiply::<3>(sums[p][q], &weights[2][q], x);
                        }
                    }
                }
            }
        }
        sums
    }
}

/// The values of a row: 4, or of G = 3 the first two fours and, as the last of four, the
/// third.
///
/// # Safety
/// They are there.
#[inline(always)]
unsafe fn values<const G: usize>(from: *const u8) -> int8x16_t {
    // SAFETY: of this function; the target has NEON.
    unsafe {
        match G {
            3 => vreinterpretq_s8_u8(vcombine_u8(vld1_u8(from), vld1_u8(from.add(INT8_GROUP)))),
            _ => vreinterpretq_s8_u32(vdupq_n_u32(from.cast::<u32>().read_unaligned())),
        }
    }
}

/// Adds weights times lane `LANE` of `x`, its second for the last 8 channels.
#[inline]
#[target_feature(enable = "dotprod")]
fn multiply<const LANE: usize>(
    [a, b, c, d]: [int32x4_t; 4],
    weights: &Weights,
    [first, second]: [int8x16_t; 2],
) -> [int32x4_t; 4] {
    [
        sdot_lane::<LANE>(a, weights[0], first),
        sdot_lane::<LANE>(b, weights[1], first),
        sdot_lane::<LANE>(c, weights[2], second),
        sdot_lane::<LANE>(d, weights[3], second),
    ]
}
