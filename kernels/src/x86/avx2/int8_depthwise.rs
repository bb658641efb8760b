//! Two taps interleaved, multiplied and added by `vpmaddwd`.

use core::arch::x86_64::*;

use super::Avx2;
use crate::generic::int8_depthwise::Taps;

impl Taps for Avx2 {
    type L = Avx2;
    /// Pairs (a, b) per channel, in the order of 32-bit lanes.
    type Pair = [__m256i; 2];

    #[inline(always)]
    fn lanes(self) -> Avx2 {
        self
    }
    #[inline(always)]
    fn pair(self, a: __m256i, b: __m256i) -> [__m256i; 2] {
        // SAFETY: `self` proves AVX2.
        unsafe { [_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b)] }
    }
    #[inline(always)]
    fn add_pair(self, sum: [__m256i; 2], x: [__m256i; 2], w: [__m256i; 2]) -> [__m256i; 2] {
        // SAFETY: `self` proves AVX2.
        unsafe {
            [
                _mm256_add_epi32(sum[0], _mm256_madd_epi16(x[0], w[0])),
                _mm256_add_epi32(sum[1], _mm256_madd_epi16(x[1], w[1])),
            ]
        }
    }
}
