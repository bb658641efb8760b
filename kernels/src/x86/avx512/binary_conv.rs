//! Popcount by `vpopcntb`: xor, count and add, three instructions per 64 lanes
//! and 8 input channels.

use core::arch::x86_64::*;

use super::Avx512;
use crate::generic::binary_conv::Popcount;
use crate::x86::avx2::Avx2;

impl Popcount for Avx512 {
    type L = Avx2;
    type Counts = __m512i;
    type Weights = __m512i;
    /// The byte in all lanes.
    type Input = __m512i;
    const VECTOR: usize = 64;
    const BLOCKS: usize = 2;

    #[inline(always)]
    fn lanes(self) -> Avx2 {
        self.avx2
    }
    #[inline(always)]
    fn zero(self) -> __m512i {
        // SAFETY: `self` proves AVX-512 F.
        unsafe { _mm512_setzero_si512() }
    }
    #[inline(always)]
    fn weights(self, from: &[u8]) -> __m512i {
        let from: &[u8; 64] = from.first_chunk().expect("a whole vector");
        // SAFETY: `self` proves AVX-512 F; the array is the 64 bytes read.
        unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
    }
    #[inline(always)]
    fn some_weights(self, from: &[u8]) -> __m512i {
        let there = !(u64::MAX << from.len());
        // SAFETY: `self` proves AVX-512 BW; bytes that are masked out are not read.
        unsafe { _mm512_maskz_loadu_epi8(there, from.as_ptr().cast()) }
    }
    #[inline(always)]
    fn input(self, byte: u8) -> __m512i {
        // SAFETY: `self` proves AVX-512 F.
        unsafe { _mm512_set1_epi8(byte as i8) }
    }
    #[inline(always)]
    fn count(self, counts: __m512i, weights: __m512i, input: __m512i) -> __m512i {
        // SAFETY: `self` proves AVX-512 F, BW and BITALG.
        unsafe {
            let differing = _mm512_popcnt_epi8(_mm512_xor_si512(weights, input));
            _mm512_add_epi8(counts, differing)
        }
    }
    #[inline(always)]
    fn widen(self, counts: __m512i, part: usize) -> __m256i {
        // SAFETY: `self` proves AVX-512 F and AVX2.
        unsafe {
            _mm256_cvtepu8_epi16(match part {
                0 => _mm512_castsi512_si128(counts),
                1 => _mm512_extracti32x4_epi32::<1>(counts),
                2 => _mm512_extracti32x4_epi32::<2>(counts),
                _ => _mm512_extracti32x4_epi32::<3>(counts),
            })
        }
    }
}
