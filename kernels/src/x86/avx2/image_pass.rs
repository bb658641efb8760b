//! First layers of images: a window's row is pairs of values that a load spreads over a
//! register; what the last one has too much is multiplied by 0.

// Fixed loops over indices are unrolled into registers; iterators over the same
// arrays often are not.
#![allow(clippy::needless_range_loop)]

use core::arch::x86_64::*;

use super::Avx2;
use crate::generic::lanes::{LANES, Lanes};
use crate::layout::INT8_GROUP;
use crate::passes::image::{Fours, Images};

impl Images for Avx2 {
    type V = Avx2;
    type Value = i16;
    /// Pairs of neighbours, in the order of [`Lanes::I32`].
    type Held<const G: usize, const Q: usize> = [[[[__m256i; 2]; Q]; G]; 3];
    const VALUES: usize = 2;

    #[inline(always)]
    fn held<const R: usize, const G: usize, const Q: usize>(
        self,
        fours: [&[Fours]; Q],
    ) -> [[[[__m256i; 2]; Q]; G]; 3] {
        let mut found = [[[[self.splat16(0); 2]; Q]; G]; 3];
        for ky in 0..3 {
            for g in 0..G {
                for q in 0..Q {
                    let weight = |channel: usize, k: usize| -> i32 {
                        let k = ky * R + k;
                        fours[q][k / INT8_GROUP][channel * INT8_GROUP + k % INT8_GROUP].into()
                    };
                    let mut pairs = [0; LANES];
                    for (channel, pair) in pairs.iter_mut().enumerate() {
                        *pair = weight(channel, 2 * g) & 0xFFFF;
                        if 2 * g + 1 < R {
                            *pair |= weight(channel, 2 * g + 1) << 16;
                        }
                    }
                    found[ky][g][q] = self.load32(&pairs);
                }
            }
        }
        found
    }
    #[inline(always)]
    unsafe fn windows<const G: usize, const Q: usize, const P: usize, const EIGHT: bool>(
        self,
        start: [[[__m256i; 2]; Q]; P],
        weights: &[[[[__m256i; 2]; Q]; G]; 3],
        lines: [*const i16; 3],
        step: usize,
    ) -> [[[__m256i; 2]; Q]; P] {
        let mut sums = start;
        // SAFETY: of this function; `self` proves AVX2.
        unsafe {
            for (weights, line) in weights.iter().zip(lines) {
                for g in 0..G {
                    for p in 0..P {
                        let x = spread::<_, EIGHT>(self, line.add(2 * g), p, step);
                        for q in 0..Q {
                            for half in 0..2 {
                                let products = _mm256_madd_epi16(x, weights[g][q][half]);
                                sums[p][q][half] = _mm256_add_epi32(sums[p][q][half], products);
                            }
                        }
                    }
                }
            }
        }
        sums
    }
}

/// The 4 bytes at the `p`th of pixels that are `step` elements apart, in all of a register,
/// or those of two in its halves.
///
/// # Safety
/// They are there.
#[inline(always)]
pub(in crate::x86) unsafe fn spread<T, const EIGHT: bool>(
    _: Avx2,
    line: *const T,
    p: usize,
    step: usize,
) -> __m256i {
    // SAFETY: of this function; an `Avx2` proves AVX2.
    unsafe {
        let at = |pixel: usize| line.add(pixel * step).cast::<i32>().read_unaligned();
        if EIGHT {
            let (low, high) = (_mm256_set1_epi32(at(2 * p)), _mm256_set1_epi32(at(2 * p + 1)));
            _mm256_blend_epi32::<0xF0>(low, high)
        } else {
            _mm256_set1_epi32(at(p))
        }
    }
}
