//! First layers of images: a window's row is fours of values that a load spreads over a
//! register; what the last one has too much is multiplied by 0.

// Fixed loops over indices are unrolled into registers; iterators over the same
// arrays often are not.
#![allow(clippy::needless_range_loop)]

use super::{Avx2Vnni, Fours};
use crate::generic::int8_conv::Dot;
use crate::layout::INT8_GROUP;
use crate::passes::image::{self, Images, piece};
use crate::x86::avx2::Avx2;
use crate::x86::avx2::image_pass::spread;

impl Images for Avx2Vnni {
    type V = Avx2;
    type Value = u8;
    type Held<const G: usize, const Q: usize> = [[[Fours; Q]; G]; 3];
    const VALUES: usize = INT8_GROUP;

    #[inline(always)]
    fn held<const R: usize, const G: usize, const Q: usize>(
        self,
        fours: [&[image::Fours]; Q],
    ) -> [[[Fours; Q]; G]; 3] {
        let mut found = [[[self.zero(); Q]; G]; 3];
        for q in 0..Q {
            for ky in 0..3 {
                for g in 0..G {
                    let weights = Dot::weights(self, &piece::<R>(fours[q], ky, g));
                    found[ky][g][q] = self.avx2.regrouped(weights);
                }
            }
        }
        found
    }
    #[inline(always)]
    unsafe fn windows<const G: usize, const Q: usize, const P: usize, const EIGHT: bool>(
        self,
        start: [[Fours; Q]; P],
        weights: &[[[Fours; Q]; G]; 3],
        lines: [*const u8; 3],
        step: usize,
    ) -> [[Fours; Q]; P] {
        let mut sums = start;
        for ky in 0..3 {
            for g in 0..G {
                for p in 0..P {
                    // SAFETY: of this function; `self` proves AVX2.
                    let x = unsafe {
                        let line = lines[ky].add(INT8_GROUP * g);
                        [spread::<_, EIGHT>(self.avx2, line, p, step); 2]
                    };
                    for q in 0..Q {
                        sums[p][q] = self.multiply(sums[p][q], x, weights[ky][g][q]);
                    }
                }
            }
        }
        sums
    }
}
