//! Three taps, one below the other, multiplied and added by `vpdpbusd`.
//!
//! That instruction adds four products of an unsigned by a signed byte in 32
//! bits, without saturating. A narrowed pixel x is handed to it as x + 128, and
//! what that adds to a sum, 128·Σw, is taken off the value it starts from. The
//! fourth byte is 128 with weight 0.

use core::arch::x86_64::*;

use super::Avx512;
use crate::generic::int8_depthwise::Taps;
use crate::generic::lanes::{Lanes, Narrow};
use crate::x86::avx2::Avx2;

/// Four bytes per channel, in the order of [`Avx2`]'s 32-bit lanes.
type Fours = [__m256i; 2];

/// The weights of a 3×3 window.
#[derive(Clone, Copy)]
pub(crate) struct Nine {
    columns: [Fours; 3],
    /// −128·Σw.
    start: Fours,
}

impl Taps for Avx512 {
    type L = Avx2;
    type Column = Fours;
    type Nine = Nine;

    #[inline(always)]
    fn lanes(self) -> Avx2 {
        self.avx2
    }
    #[inline(always)]
    fn column(self, pixels: [__m256i; 3], narrow: Narrow<Avx2>) -> Fours {
        let mut column = pixels;
        for pixel in &mut column {
            *pixel = self.avx2.shift16(*pixel, narrow);
        }
        // SAFETY: `self` proves AVX2.
        self.fours(column, unsafe { _mm256_set1_epi8(-128) })
    }
    #[inline(always)]
    fn weights(self, w: [__m256i; 9]) -> Nine {
        let zero = self.avx2.splat16(0);
        let columns = [
            self.fours([w[0], w[3], w[6]], zero),
            self.fours([w[1], w[4], w[7]], zero),
            self.fours([w[2], w[5], w[8]], zero),
        ];
        let mut sum = self.avx2.zero32();
        for weight in w {
            sum = self.avx2.add32(sum, self.avx2.widen16(weight));
        }
        // SAFETY: `self` proves AVX2.
        let start = unsafe {
            [
                _mm256_sub_epi32(zero, _mm256_slli_epi32::<7>(sum[0])),
                _mm256_sub_epi32(zero, _mm256_slli_epi32::<7>(sum[1])),
            ]
        };
        Nine { columns, start }
    }
    #[inline(always)]
    fn nine(self, columns: [Fours; 3], weights: &Nine) -> [__m256i; 2] {
        let mut sum = weights.start;
        for (x, w) in columns.iter().zip(&weights.columns) {
            // SAFETY: `self` proves AVX-512 VNNI and VL.
            unsafe {
                sum[0] = _mm256_dpbusd_epi32(sum[0], x[0], w[0]);
                sum[1] = _mm256_dpbusd_epi32(sum[1], x[1], w[1]);
            }
        }
        sum
    }
    #[inline(always)]
    fn add(self, sum: [__m256i; 2], x: __m256i, w: __m256i) -> [__m256i; 2] {
        self.avx2.add(sum, x, w)
    }
}

impl Avx512 {
    /// Three values per channel, saturated to signed bytes, and a fourth that is
    /// 0; then exclusive or with `flips`.
    #[inline(always)]
    fn fours(self, [a, b, c]: [__m256i; 3], flips: __m256i) -> Fours {
        // SAFETY: `self` proves AVX2.
        unsafe {
            // Within 128 bits: 8 channels of one value, then 8 of another.
            let ac = _mm256_xor_si256(_mm256_packs_epi16(a, c), flips);
            let b = _mm256_xor_si256(_mm256_packs_epi16(b, _mm256_setzero_si256()), flips);
            let (ab, c) = (_mm256_unpacklo_epi8(ac, b), _mm256_unpackhi_epi8(ac, b));
            [_mm256_unpacklo_epi16(ab, c), _mm256_unpackhi_epi16(ab, c)]
        }
    }
}
