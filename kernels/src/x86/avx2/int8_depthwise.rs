//! Two taps interleaved, multiplied and added by `vpmaddwd`.

use core::arch::x86_64::*;

use super::Avx2;
use crate::generic::int8_depthwise::Taps;
use crate::generic::lanes::{Lanes, Narrow};

/// Two 16-bit values per channel, in the order of 32-bit lanes.
pub(super) type Pair = [__m256i; 2];

impl Taps for Avx2 {
    type L = Avx2;
    /// The upper two pixels as pairs, and the lowest.
    type Column = (Pair, __m256i);
    /// Those of the upper two rows column by column, then the lowest row.
    type Nine = [Pair; 5];

    #[inline(always)]
    fn lanes(self) -> Avx2 {
        self
    }
    #[inline(always)]
    fn column(self, pixels: [__m256i; 3], narrow: Narrow<Avx2>) -> (Pair, __m256i) {
        let mut column = pixels;
        for pixel in &mut column {
            *pixel = self.narrow16(*pixel, narrow);
        }
        (self.pair(column[0], column[1]), column[2])
    }
    #[inline(always)]
    fn weights(self, w: [__m256i; 9]) -> [Pair; 5] {
        let none = self.splat16(0);
        [
            self.pair(w[0], w[3]),
            self.pair(w[1], w[4]),
            self.pair(w[2], w[5]),
            self.pair(w[6], w[7]),
            self.pair(w[8], none),
        ]
    }
    #[inline(always)]
    fn nine(self, columns: [(Pair, __m256i); 3], weights: &[Pair; 5]) -> [__m256i; 2] {
        let [a, b, c] = columns;
        let none = self.splat16(0);
        let mut sum = self.multiply(a.0, weights[0]);
        sum = self.add32(sum, self.multiply(b.0, weights[1]));
        sum = self.add32(sum, self.multiply(c.0, weights[2]));
        sum = self.add32(sum, self.multiply(self.pair(a.1, b.1), weights[3]));
        self.add32(sum, self.multiply(self.pair(c.1, none), weights[4]))
    }
    #[inline(always)]
    fn add(self, sum: [__m256i; 2], x: __m256i, w: __m256i) -> [__m256i; 2] {
        let none = self.splat16(0);
        self.add32(sum, self.multiply(self.pair(x, none), self.pair(w, none)))
    }
}

impl Avx2 {
    /// Joins the values of two taps.
    #[inline(always)]
    pub(super) fn pair(self, a: __m256i, b: __m256i) -> Pair {
        // SAFETY: `self` proves AVX2.
        unsafe { [_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b)] }
    }

    /// x.a·w.a + x.b·w.b.
    #[inline(always)]
    pub(super) fn multiply(self, x: Pair, w: Pair) -> [__m256i; 2] {
        // SAFETY: `self` proves AVX2.
        unsafe { [_mm256_madd_epi16(x[0], w[0]), _mm256_madd_epi16(x[1], w[1])] }
    }
}
