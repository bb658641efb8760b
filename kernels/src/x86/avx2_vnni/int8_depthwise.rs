//! Four taps, one below the other, multiplied and added by `vpdpbusd`.
//!
//! A narrowed pixel x is handed to it as x + 128, and what that adds to a sum, 128·Σw, is
//! taken off the value it starts from.

// Fixed loops over indices are unrolled into registers; iterators over the same
// arrays often are not.
#![allow(clippy::needless_range_loop)]

use core::arch::x86_64::*;

use super::{Avx2Vnni, Fours};
use crate::generic::int8_depthwise::Taps;
use crate::generic::lanes::{Lanes, Narrow};
use crate::passes::depthwise::{ByColumn, InOnePass, Line};
use crate::passes::lanes::PassLanes;
use crate::x86::avx2::Avx2;
use crate::x86::avx2::lanes::veiled;

/// The weights of a 3×3 window.
#[derive(Clone, Copy)]
pub(crate) struct Nine {
    columns: [Fours; 3],
    /// −128·Σw.
    start: Fours,
}

impl Taps for Avx2Vnni {
    type L = Avx2;
    /// From the top down, and what has a weight of 0.
    type Column = Fours;
    type Nine = Nine;

    #[inline(always)]
    fn lanes(self) -> Avx2 {
        self.avx2
    }
    #[inline(always)]
    fn column(self, [a, b, c]: [__m256i; 3], narrow: Narrow<Avx2>) -> Fours {
        let (a, b) = (self.avx2.shift16(a, narrow), self.avx2.shift16(b, narrow));
        let c = self.avx2.shift16(c, narrow);
        self.unsigned([a, b, c, c])
    }
    #[inline(always)]
    fn weights(self, w: [__m256i; 9]) -> Nine {
        self.placed_from(0, w)
    }
    #[inline(always)]
    fn nine(self, columns: [Fours; 3], weights: &Nine) -> Fours {
        self.from(self.avx2.zero32(), columns, weights)
    }
    #[inline(always)]
    fn add(self, sum: Fours, x: __m256i, w: __m256i) -> Fours {
        // One of the two 16-bit factors that are multiplied and added is 0.
        let none = self.avx2.splat16(0);
        // SAFETY: `self` proves the features.
        unsafe {
            let (low, high) = (_mm256_unpacklo_epi16(x, none), _mm256_unpackhi_epi16(x, none));
            [
                _mm256_dpwssd_avx_epi32(sum[0], low, _mm256_unpacklo_epi16(w, none)),
                _mm256_dpwssd_avx_epi32(sum[1], high, _mm256_unpackhi_epi16(w, none)),
            ]
        }
    }
}

impl InOnePass for Avx2Vnni {
    type V = Avx2;
    /// From the first line and from the second.
    type Weights = [Nine; 2];
    const ROWS: usize = 2;
    const BAND_BYTES: usize = 256 << 10;

    #[inline(always)]
    fn placed(self, w: [__m256i; 9]) -> [Nine; 2] {
        [self.placed_from(0, w), self.placed_from(1, w)]
    }
    #[inline(always)]
    unsafe fn line<const STRIDE: usize, const KIND: u8, const ROWS: usize, const HALF: bool>(
        line: Line<Self, STRIDE, HALF>,
    ) {
        // SAFETY: of this function.
        unsafe { line.by_column::<KIND, ROWS>() }
    }
}

impl ByColumn for Avx2Vnni {
    type Lines = Fours;

    #[inline(always)]
    fn narrowed(self, [a, b, c, d]: [__m256i; 4], narrow: __m256i) -> Fours {
        let (a, b) = (self.avx2.mulr16(a, narrow), self.avx2.mulr16(b, narrow));
        let (c, d) = (self.avx2.mulr16(c, narrow), self.avx2.mulr16(d, narrow));
        self.unsigned([a, b, c, d])
    }
    #[inline(always)]
    fn sums(
        self,
        window: [Fours; 3],
        row: usize,
        weights: &[Nine; 2],
        shift: [__m256i; 2],
    ) -> __m256i {
        let sums = self.from(self.avx2.start(shift), window, &weights[row]);
        self.avx2.shifted(sums, shift)
    }
    #[inline(always)]
    fn signs(self, window: [Fours; 3], row: usize, weights: &[Nine; 2], start: Fours) -> __m256i {
        self.avx2.saturate32(self.from(start, window, &weights[row]))
    }
}

impl Avx2Vnni {
    /// Sums that start at `start`.
    #[inline(always)]
    fn from(self, start: Fours, columns: [Fours; 3], weights: &Nine) -> Fours {
        let mut sums = self.avx2.add32(weights.start, start);
        for kx in 0..3 {
            sums = self.multiply(sums, columns[kx], weights.columns[kx]);
        }
        sums
    }

    /// The weights of a window from line `row`, 0 or 1, of four.
    #[inline(always)]
    fn placed_from(self, row: usize, w: [__m256i; 9]) -> Nine {
        let none = self.avx2.splat16(0);
        let mut columns = [[none; 2]; 3];
        for kx in 0..3 {
            let [a, b, c] = [w[kx], w[3 + kx], w[6 + kx]];
            let lines = if row == 0 { [a, b, c, none] } else { [none, a, b, c] };
            columns[kx] = self.fours(lines, none);
        }
        let mut less = none;
        for weight in w {
            less = self.avx2.sub16(less, weight);
        }
        Nine { columns, start: self.avx2.shl32(self.avx2.widen16(less), 7) }
    }

    /// Four values per channel, saturated to signed bytes, plus 128.
    #[inline(always)]
    fn unsigned(self, lines: [__m256i; 4]) -> Fours {
        // SAFETY: `self` proves AVX2.
        self.fours(lines, unsafe { _mm256_set1_epi8(-128) })
    }

    /// Four values per channel, saturated to signed bytes; then exclusive or with `flips`.
    #[inline(always)]
    fn fours(self, [a, b, c, d]: [__m256i; 4], flips: __m256i) -> Fours {
        // SAFETY: `self` proves AVX2.
        unsafe {
            // Within 128 bits: 8 channels of one value, then 8 of another.
            let ac = _mm256_xor_si256(_mm256_packs_epi16(a, c), flips);
            let bd = _mm256_xor_si256(_mm256_packs_epi16(b, d), flips);
            let (ab, cd) = (_mm256_unpacklo_epi8(ac, bd), _mm256_unpackhi_epi8(ac, bd));
            // Otherwise the compiler makes six shuffles of these four.
            let (ab, cd) = (veiled(ab), veiled(cd));
            [_mm256_unpacklo_epi16(ab, cd), _mm256_unpackhi_epi16(ab, cd)]
        }
    }
}
