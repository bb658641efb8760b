//! 512 channels in a register of bits; any function of three of them is one
//! `vpternlog`, whose constant holds the result for each of the 8 cases.

use core::arch::x86_64::*;

use super::Avx512;
use crate::generic::binary_depthwise::Bits;

impl Bits for Avx512 {
    type V = __m512i;
    const BYTES: usize = 64;

    #[inline(always)]
    fn load(self, from: &[u8]) -> __m512i {
        let from: &[u8; 64] = from.first_chunk().expect("a whole register");
        // SAFETY: `self` proves AVX-512 F; the array is the 64 bytes read.
        unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
    }
    #[inline(always)]
    fn store(self, value: __m512i, to: &mut [u8]) {
        let to: &mut [u8; 64] = to.first_chunk_mut().expect("a whole register");
        // SAFETY: `self` proves AVX-512 F; the array is the 64 bytes written.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), value) }
    }
    #[inline(always)]
    fn zeros(self) -> __m512i {
        // SAFETY: `self` proves AVX-512 F.
        unsafe { _mm512_setzero_si512() }
    }
    #[inline(always)]
    fn ones(self) -> __m512i {
        // SAFETY: `self` proves AVX-512 F.
        unsafe { _mm512_set1_epi32(-1) }
    }
    #[inline(always)]
    fn xor(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` proves AVX-512 F.
        unsafe { _mm512_xor_si512(a, b) }
    }
    #[inline(always)]
    fn and(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` proves AVX-512 F.
        unsafe { _mm512_and_si512(a, b) }
    }
    #[inline(always)]
    fn sum(self, a: __m512i, b: __m512i, c: __m512i) -> __m512i {
        // SAFETY: `self` proves AVX-512 F.
        unsafe { _mm512_ternarylogic_epi32::<0b1001_0110>(a, b, c) }
    }
    #[inline(always)]
    fn carry(self, a: __m512i, b: __m512i, c: __m512i) -> __m512i {
        // SAFETY: `self` proves AVX-512 F.
        unsafe { _mm512_ternarylogic_epi32::<0b1110_1000>(a, b, c) }
    }
    #[inline(always)]
    fn greater(self, a: __m512i, b: __m512i, so_far: __m512i) -> __m512i {
        // a where a and b differ, else `so_far`.
        // SAFETY: `self` proves AVX-512 F.
        unsafe { _mm512_ternarylogic_epi32::<0b1011_0010>(a, b, so_far) }
    }
}
