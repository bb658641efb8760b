//! Products by `vpmaddwd`: pairs of 16-bit values, added in 32 bits.
//!
//! A load that extends signs takes 4 weights of each of 4 channels as they are stored, and
//! one that repeats 8 bytes takes the window's 4 values: the two sums that each channel so
//! has are added once, after the last.

use core::arch::x86_64::*;

use super::Avx2;
use crate::generic::int8_conv::Dot;
use crate::generic::lanes::Lanes;

/// Registers of 4 channels each.
type Fours = [__m256i; 4];

impl Dot for Avx2 {
    type L = Avx2;
    /// 16-bit weights, 4 of each channel.
    type Weights = Fours;
    /// Two sums of each channel, one after the other.
    type Sum = Fours;
    const BYTES: usize = 2;

    #[inline(always)]
    fn lanes(self) -> Avx2 {
        self
    }
    #[inline(always)]
    fn weights(self, from: &[i8; 64]) -> Fours {
        let mut found = self.zero();
        for (to, from) in found.iter_mut().zip(from.as_chunks::<16>().0) {
            // SAFETY: `self` proves AVX2; the array is the 16 bytes read.
            *to = unsafe { _mm256_cvtepi8_epi16(_mm_loadu_si128(from.as_ptr().cast())) };
        }
        found
    }
    #[inline(always)]
    fn zero(self) -> Fours {
        [self.splat16(0); 4]
    }
    #[inline(always)]
    fn difference(self, a: Fours, b: Fours) -> Fours {
        let mut less = a;
        for (less, b) in less.iter_mut().zip(b) {
            // SAFETY: `self` proves AVX2.
            *less = unsafe { _mm256_sub_epi32(*less, b) };
        }
        less
    }
    #[inline(always)]
    fn dot(self, sum: Fours, weights: Fours, x: &[u8]) -> Fours {
        let x = i64::from_ne_bytes(*x.first_chunk().expect("4 values"));
        let mut sum = sum;
        for (sum, weights) in sum.iter_mut().zip(weights) {
            // SAFETY: `self` proves AVX2.
            *sum = unsafe {
                _mm256_add_epi32(*sum, _mm256_madd_epi16(weights, _mm256_set1_epi64x(x)))
            };
        }
        sum
    }
    #[inline(always)]
    fn sum(self, [a, b, c, d]: Fours) -> [__m256i; 2] {
        // SAFETY: `self` proves AVX2.
        unsafe {
            // Pairs of channels: 0, 4, 2, 6; and 8, 12, 10, 14.
            let (low, high) = (_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
            let first = _mm256_permute2x128_si256::<0x20>(low, high);
            let second = _mm256_permute2x128_si256::<0x31>(low, high);
            [_mm256_unpacklo_epi64(first, second), _mm256_unpackhi_epi64(first, second)]
        }
    }
    #[inline(always)]
    fn put(self, value: __m256i, to: &mut [u8]) {
        if let Some(to) = to.as_chunks_mut().0.first_chunk_mut() {
            self.store16_bytes(value, to);
        }
    }
}
