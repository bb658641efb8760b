//! Products by `vpdpbusd`. The weights lie as the instruction wants them.

use core::arch::x86_64::*;

use super::{Avx2Vnni, Fours};
use crate::generic::int8_conv::{Dot, in_parts};
use crate::generic::lanes::Lanes;
use crate::passes::lanes::PassLanes;
use crate::x86::avx2::Avx2;

impl Dot for Avx2Vnni {
    type L = Avx2;
    /// As stored: of channels 0–7 and 8–15.
    type Weights = Fours;
    /// In the order of channels.
    type Sum = Fours;
    const BYTES: usize = 1;

    #[inline(always)]
    fn lanes(self) -> Avx2 {
        self.avx2
    }
    #[inline(always)]
    fn weights(self, from: &[i8; 64]) -> Fours {
        let from: *const __m256i = from.as_ptr().cast();
        // SAFETY: `self` proves AVX2; the array is the twice 32 bytes read.
        unsafe { [_mm256_loadu_si256(from), _mm256_loadu_si256(from.add(1))] }
    }
    #[inline(always)]
    fn zero(self) -> Fours {
        self.avx2.zero32()
    }
    #[inline(always)]
    fn difference(self, a: Fours, b: Fours) -> Fours {
        self.avx2.minus32(a, b)
    }
    #[inline(always)]
    fn dot(self, sum: Fours, weights: Fours, x: &[u8]) -> Fours {
        let x = i32::from_ne_bytes(*x.first_chunk().expect("4 values"));
        // SAFETY: `self` proves AVX2.
        self.multiply(sum, unsafe { [_mm256_set1_epi32(x); 2] }, weights)
    }
    #[inline(always)]
    fn several<const P: usize>(
        self,
        sums: &mut [Fours; P],
        weights: &[i8],
        inputs: &[&[u8]; P],
    ) -> usize {
        in_parts::<_, P, 2>(self, sums, weights, inputs)
    }
    #[inline(always)]
    fn sum(self, sum: Fours) -> Fours {
        self.avx2.regrouped(sum)
    }
    #[inline(always)]
    fn put(self, value: __m256i, to: &mut [u8]) {
        let to: &mut [u8; 16] = to.first_chunk_mut().expect("16 values");
        // SAFETY: `self` proves AVX2; the array is the 16 bytes written.
        unsafe {
            let (low, high) = (_mm256_castsi256_si128(value), _mm256_extracti128_si256::<1>(value));
            let bytes = _mm_xor_si128(_mm_packs_epi16(low, high), _mm_set1_epi8(-128));
            _mm_storeu_si128(to.as_mut_ptr().cast(), bytes);
        }
    }
}
