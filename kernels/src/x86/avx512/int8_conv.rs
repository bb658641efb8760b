//! Products by `vpdpwssd`: pairs of 16-bit values, added to 32 bits at once.

use core::arch::x86_64::*;

use super::Avx512;
use crate::generic::int8_conv::Dot;
use crate::x86::avx2::Avx2;

impl Dot for Avx512 {
    type L = Avx2;
    type Weights = <Avx2 as Dot>::Weights;

    #[inline(always)]
    fn lanes(self) -> Avx2 {
        self.avx2
    }
    #[inline(always)]
    fn weights(self, from: &[i8; 64]) -> Self::Weights {
        self.avx2.weights(from)
    }
    #[inline(always)]
    fn dot(self, sum: [__m256i; 2], weights: Self::Weights, x: &[u8; 8]) -> [__m256i; 2] {
        let [a, b, c, d, e, f, g, h] = *x;
        // SAFETY: `self` proves AVX-512 VNNI and VL.
        unsafe {
            let first = _mm256_set1_epi32(i32::from_ne_bytes([a, b, c, d]));
            let second = _mm256_set1_epi32(i32::from_ne_bytes([e, f, g, h]));
            let mut sum = sum;
            for register in 0..2 {
                sum[register] = _mm256_dpwssd_epi32(sum[register], weights[0][register], first);
                sum[register] = _mm256_dpwssd_epi32(sum[register], weights[1][register], second);
            }
            sum
        }
    }
}
