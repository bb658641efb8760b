//! First layers of images: a load spreads a pair of values over a register. The first two
//! rows of a window are pairs of a value of either, the third one of neighbours, whose last
//! is multiplied by 0: 14 pairs for 27 values, where rows of 9 by themselves have 15.

// Fixed loops over indices are unrolled into registers; iterators over the same
// arrays often are not.
#![allow(clippy::needless_range_loop)]

use core::arch::x86_64::*;

use super::Avx2;
use super::lanes::veiled;
use crate::generic::cut;
use crate::generic::lanes::{LANES, Lanes};
use crate::layout::INT8_GROUP;
use crate::passes::image::{Fours, Images};

/// Pairs of 16-bit weights of 16 channels, in the order of [`Lanes::I32`].
type Pairs = [__m256i; 2];

/// The weights of Q times 16 channels.
#[derive(Clone, Copy)]
pub(crate) struct Held<const G: usize, const Q: usize> {
    /// Of the first two rows, value by value; the last is of none.
    joined: [[[Pairs; Q]; 2]; G],
    /// Of the third, two neighbouring values at a time.
    third: [[Pairs; Q]; G],
}

impl Images for Avx2 {
    type V = Avx2;
    type Value = i16;
    type Held<const G: usize, const Q: usize> = Held<G, Q>;
    const VALUES: usize = 2;
    const JOINED: bool = true;

    #[inline(always)]
    fn held<const R: usize, const G: usize, const Q: usize>(
        self,
        fours: [&[Fours]; Q],
    ) -> Held<G, Q> {
        let none = [self.splat16(0); 2];
        let mut found = Held { joined: [[[none; Q]; 2]; G], third: [[none; Q]; G] };
        for q in 0..Q {
            for k in 0..R {
                found.joined[k / 2][k % 2][q] = self.pairs(fours[q], [k, R + k]);
            }
            for g in 0..G {
                // What follows the window's last position has weights of 0.
                let k = 2 * R + 2 * g;
                found.third[g][q] = self.pairs(fours[q], [k, k + 1]);
            }
        }
        found
    }
    #[inline(always)]
    unsafe fn windows<const G: usize, const Q: usize, const P: usize, const EIGHT: bool>(
        self,
        start: [[Pairs; Q]; P],
        weights: &Held<G, Q>,
        [joined, _, third]: [*const i16; 3],
        step: usize,
    ) -> [[Pairs; Q]; P] {
        let mut sums = start;
        for g in 0..G {
            for i in 0..2 {
                // A row is an odd number of values.
                if 2 * g + i == 2 * G - 1 {
                    continue;
                }
                // SAFETY: of this function.
                sums = unsafe {
                    let line = joined.add(2 * (2 * g + i));
                    add::<Q, P, EIGHT>(self, sums, &weights.joined[g][i], line, 2 * step)
                };
            }
        }
        for g in 0..G {
            // SAFETY: of this function.
            sums = unsafe {
                add::<Q, P, EIGHT>(self, sums, &weights.third[g], third.add(2 * g), step)
            };
        }
        sums
    }
}

impl Avx2 {
    /// The weights of two positions of a window.
    #[inline(always)]
    fn pairs(self, fours: &[Fours], positions: [usize; 2]) -> Pairs {
        let mut pairs = [0; LANES];
        for (i, k) in positions.into_iter().enumerate() {
            let Some(four) = cut::there(fours.get(k / INT8_GROUP)) else { continue };
            for (channel, pair) in pairs.iter_mut().enumerate() {
                let weight = i32::from(four[channel * INT8_GROUP + k % INT8_GROUP]);
                *pair |= (weight & 0xFFFF) << (16 * i);
            }
        }
        self.load32(&pairs)
    }
}

/// The sums of P pixels, or pairs of pixels, and the products of two values of each.
///
/// # Safety
/// They are at `line`, `step` elements from one pixel to the next.
#[inline(always)]
unsafe fn add<const Q: usize, const P: usize, const EIGHT: bool>(
    isa: Avx2,
    mut sums: [[Pairs; Q]; P],
    weights: &[Pairs; Q],
    line: *const i16,
    step: usize,
) -> [[Pairs; Q]; P] {
    // SAFETY: of this function; `isa` proves AVX2.
    unsafe {
        for p in 0..P {
            let x = spread::<_, EIGHT>(isa, line, p, step);
            for q in 0..Q {
                for half in 0..2 {
                    let products = _mm256_madd_epi16(x, weights[q][half]);
                    // Summed up in another order they would not stay in their registers.
                    sums[p][q][half] = veiled(_mm256_add_epi32(sums[p][q][half], products));
                }
            }
        }
    }
    sums
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
