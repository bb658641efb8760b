//! Two taps interleaved, multiplied and added by `vpdpwssd`.

use core::arch::x86_64::*;

use super::Avx512;
use crate::generic::int8_depthwise::Taps;
use crate::x86::avx2::Avx2;

impl Taps for Avx512 {
    type L = Avx2;
    type Pair = <Avx2 as Taps>::Pair;

    #[inline(always)]
    fn lanes(self) -> Avx2 {
        self.avx2
    }
    #[inline(always)]
    fn pair(self, a: __m256i, b: __m256i) -> [__m256i; 2] {
        self.avx2.pair(a, b)
    }
    #[inline(always)]
    fn add_pair(self, sum: [__m256i; 2], x: [__m256i; 2], w: [__m256i; 2]) -> [__m256i; 2] {
        // SAFETY: `self` proves AVX-512 VNNI and VL.
        unsafe {
            [_mm256_dpwssd_epi32(sum[0], x[0], w[0]), _mm256_dpwssd_epi32(sum[1], x[1], w[1])]
        }
    }
}
