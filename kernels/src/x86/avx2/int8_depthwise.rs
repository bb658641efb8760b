//! Two taps interleaved, multiplied and added by `vpmaddwd`.
//!
//! The pass interleaves what it narrows: two lines are packed to bytes, which saturates
//! them, and shuffled into the upper halves of words, so that all sums are 256 times as
//! large. That is 2.5 operations per line; clamps to 8 bits in 16 take 4.

use core::arch::x86_64::*;

use super::Avx2;
use crate::generic::int8_depthwise::Taps;
use crate::generic::lanes::{Lanes, Narrow};
use crate::passes::depthwise::InOnePass;
use crate::passes::lanes::PassLanes;

/// Two 16-bit values per channel, in the order of 32-bit lanes.
type Pair = [__m256i; 2];

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

impl InOnePass for Avx2 {
    type V = Avx2;
    /// Lines 0 and 1, then 2 and 3, times 256.
    type Lines = [Pair; 2];
    /// For either row of the output, those that go with them, column by column.
    type Weights = [[[Pair; 2]; 3]; 2];
    const ROWS: usize = 2;
    const BAND_BYTES: usize = 128 << 10;
    const SCALE: i32 = 256;

    #[inline(always)]
    fn narrowed(self, [a, b, c, d]: [__m256i; 4], narrow: __m256i) -> [Pair; 2] {
        [self.bytes(a, b, narrow), self.bytes(c, d, narrow)]
    }
    #[inline(always)]
    fn placed(self, w: [__m256i; 9]) -> [[[Pair; 2]; 3]; 2] {
        let none = self.splat16(0);
        let mut rows = [[[[none; 2]; 2]; 3]; 2];
        for kx in 0..3 {
            let [a, b, c] = [w[kx], w[3 + kx], w[6 + kx]];
            rows[0][kx] = [self.pair(a, b), self.pair(c, none)];
            rows[1][kx] = [self.pair(none, a), self.pair(b, c)];
        }
        rows
    }
    #[inline(always)]
    fn sums(
        self,
        window: [[Pair; 2]; 3],
        row: usize,
        weights: &[[[Pair; 2]; 3]; 2],
        [half, count]: [__m256i; 2],
    ) -> __m256i {
        // SAFETY: `self` proves AVX2.
        let scaled = unsafe {
            [_mm256_slli_epi32::<8>(half), _mm256_add_epi32(count, _mm256_set1_epi32(8))]
        };
        let sums = self.from(self.start(scaled), window, &weights[row]);
        self.shifted(sums, scaled)
    }
    #[inline(always)]
    fn signs(
        self,
        window: [[Pair; 2]; 3],
        row: usize,
        weights: &[[[Pair; 2]; 3]; 2],
        start: [__m256i; 2],
    ) -> __m256i {
        self.saturate32(self.from(start, window, &weights[row]))
    }
}

impl Avx2 {
    /// Two lines, narrowed and times 256, joined as by [`Avx2::pair`].
    #[inline(always)]
    fn bytes(self, a: __m256i, b: __m256i, narrow: __m256i) -> Pair {
        let (a, b) = (self.mulr16(a, narrow), self.mulr16(b, narrow));
        // SAFETY: `self` proves AVX2.
        unsafe {
            let bytes = _mm256_packs_epi16(a, b);
            let low = _mm_setr_epi8(-1, 0, -1, 8, -1, 1, -1, 9, -1, 2, -1, 10, -1, 3, -1, 11);
            let high = _mm_setr_epi8(-1, 4, -1, 12, -1, 5, -1, 13, -1, 6, -1, 14, -1, 7, -1, 15);
            [
                _mm256_shuffle_epi8(bytes, _mm256_broadcastsi128_si256(low)),
                _mm256_shuffle_epi8(bytes, _mm256_broadcastsi128_si256(high)),
            ]
        }
    }

    /// Joins the values of two taps.
    #[inline(always)]
    fn pair(self, a: __m256i, b: __m256i) -> Pair {
        // SAFETY: `self` proves AVX2.
        unsafe { [_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b)] }
    }

    /// Sums of a window's products that start at `sums`.
    #[inline(always)]
    fn from(
        self,
        mut sums: [__m256i; 2],
        window: [[Pair; 2]; 3],
        weights: &[[Pair; 2]; 3],
    ) -> [__m256i; 2] {
        for kx in 0..3 {
            for two in 0..2 {
                let products = self.multiply(window[kx][two], weights[kx][two]);
                sums = self.add32(sums, products);
            }
        }
        sums
    }

    /// x.a·w.a + x.b·w.b.
    #[inline(always)]
    fn multiply(self, x: Pair, w: Pair) -> [__m256i; 2] {
        // SAFETY: `self` proves AVX2.
        unsafe { [_mm256_madd_epi16(x[0], w[0]), _mm256_madd_epi16(x[1], w[1])] }
    }
}
