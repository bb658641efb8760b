//! 256 channels in a register of bits.

use core::arch::x86_64::*;

use super::Avx2;
use crate::generic::binary_depthwise::Bits;

impl Bits for Avx2 {
    type V = __m256i;
    const BYTES: usize = 32;

    #[inline(always)]
    fn load(self, from: &[u8]) -> __m256i {
        let from: &[u8; 32] = from.first_chunk().expect("a whole register");
        // SAFETY: `self` proves AVX2; the array is the 32 bytes read.
        unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
    }
    #[inline(always)]
    fn store(self, value: __m256i, to: &mut [u8]) {
        let to: &mut [u8; 32] = to.first_chunk_mut().expect("a whole register");
        // SAFETY: `self` proves AVX2; the array is the 32 bytes written.
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), value) }
    }
    #[inline(always)]
    fn zeros(self) -> __m256i {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_setzero_si256() }
    }
    #[inline(always)]
    fn ones(self) -> __m256i {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_set1_epi8(-1) }
    }
    #[inline(always)]
    fn xor(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_xor_si256(a, b) }
    }
    #[inline(always)]
    fn and(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_and_si256(a, b) }
    }
    #[inline(always)]
    fn sum(self, a: __m256i, b: __m256i, c: __m256i) -> __m256i {
        self.xor(self.xor(a, b), c)
    }
    #[inline(always)]
    fn carry(self, a: __m256i, b: __m256i, c: __m256i) -> __m256i {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_or_si256(self.and(a, b), self.and(c, self.xor(a, b))) }
    }
    #[inline(always)]
    fn greater(self, a: __m256i, b: __m256i, so_far: __m256i) -> __m256i {
        // Where they differ, a is the answer.
        self.xor(so_far, self.and(self.xor(a, b), self.xor(a, so_far)))
    }
}
