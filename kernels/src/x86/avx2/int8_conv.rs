//! Products by `vpmaddwd`: pairs of 16-bit values, added in 32 bits.

use core::arch::x86_64::*;

use super::Avx2;
use crate::generic::int8_conv::Dot;
use crate::generic::lanes::Lanes;

impl Dot for Avx2 {
    type L = Avx2;
    /// 16-bit weights: the pair (0, 1) of every channel in two registers, in
    /// the order of 32-bit lanes, then the pair (2, 3).
    type Weights = [[__m256i; 2]; 2];
    type Sum = [__m256i; 2];
    const BYTES: usize = 2;

    #[inline(always)]
    fn lanes(self) -> Avx2 {
        self
    }
    #[inline(always)]
    fn weights(self, from: &[i8; 64]) -> [[__m256i; 2]; 2] {
        // SAFETY: `self` proves AVX2; 16 bytes each are read from 0, 16, 32
        // and 48 of 64.
        unsafe {
            let from: *const __m128i = from.as_ptr().cast();
            let low = _mm256_loadu2_m128i(from.add(2), from);
            let high = _mm256_loadu2_m128i(from.add(3), from.add(1));
            // Each byte to the upper half of 16 bits; the shift extends its sign.
            let first = _mm256_broadcastsi128_si256(_mm_setr_epi8(
                -1, 0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13,
            ));
            let second = _mm256_add_epi8(first, _mm256_set1_epi16(0x0200));
            [
                [
                    _mm256_srai_epi16::<8>(_mm256_shuffle_epi8(low, first)),
                    _mm256_srai_epi16::<8>(_mm256_shuffle_epi8(high, first)),
                ],
                [
                    _mm256_srai_epi16::<8>(_mm256_shuffle_epi8(low, second)),
                    _mm256_srai_epi16::<8>(_mm256_shuffle_epi8(high, second)),
                ],
            ]
        }
    }
    #[inline(always)]
    fn zero(self) -> [__m256i; 2] {
        self.zero32()
    }
    #[inline(always)]
    fn difference(self, a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
        // SAFETY: `self` proves AVX2.
        unsafe { [_mm256_sub_epi32(a[0], b[0]), _mm256_sub_epi32(a[1], b[1])] }
    }
    #[inline(always)]
    fn dot(self, sum: [__m256i; 2], weights: [[__m256i; 2]; 2], x: &[u8]) -> [__m256i; 2] {
        let &[a, b, c, d, e, f, g, h] = x.first_chunk().expect("4 values");
        // SAFETY: `self` proves AVX2.
        unsafe {
            let first = _mm256_set1_epi32(i32::from_ne_bytes([a, b, c, d]));
            let second = _mm256_set1_epi32(i32::from_ne_bytes([e, f, g, h]));
            let mut sum = sum;
            for register in 0..2 {
                let products = _mm256_add_epi32(
                    _mm256_madd_epi16(weights[0][register], first),
                    _mm256_madd_epi16(weights[1][register], second),
                );
                sum[register] = _mm256_add_epi32(sum[register], products);
            }
            sum
        }
    }
    #[inline(always)]
    fn sum(self, sum: [__m256i; 2]) -> [__m256i; 2] {
        sum
    }
    #[inline(always)]
    fn put(self, value: __m256i, to: &mut [u8]) {
        if let Some(to) = to.as_chunks_mut().0.first_chunk_mut() {
            self.store16_bytes(value, to);
        }
    }
}
