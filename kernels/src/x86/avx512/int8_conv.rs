//! Products by `vpdpbusd`: four unsigned by four signed bytes, added to 32 bits
//! without saturating. The weights lie as the instruction wants them.

use core::arch::x86_64::*;

use super::{Avx512, stem_pass};
use crate::generic::epilogue::Row;
use crate::generic::int8_conv::{Dot, Laid, in_parts};
use crate::x86::avx2::Avx2;

impl Dot for Avx512 {
    type L = Avx2;
    type Weights = __m512i;
    /// In the order of channels.
    type Sum = __m512i;
    const BYTES: usize = 1;

    #[inline(always)]
    fn lanes(self) -> Avx2 {
        self.avx2
    }
    #[inline(always)]
    fn weights(self, from: &[i8; 64]) -> __m512i {
        // SAFETY: `self` proves AVX-512 F; the array is the 64 bytes read.
        unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
    }
    #[inline(always)]
    fn zero(self) -> __m512i {
        // SAFETY: `self` proves AVX-512 F.
        unsafe { _mm512_setzero_si512() }
    }
    #[inline(always)]
    fn difference(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` proves AVX-512 F.
        unsafe { _mm512_sub_epi32(a, b) }
    }
    #[inline(always)]
    fn dot(self, sum: __m512i, weights: __m512i, x: &[u8]) -> __m512i {
        let x = i32::from_ne_bytes(*x.first_chunk().expect("4 values"));
        // SAFETY: `self` proves AVX-512 F and VNNI.
        unsafe { _mm512_dpbusd_epi32(sum, _mm512_set1_epi32(x), weights) }
    }
    #[inline(always)]
    fn several<const P: usize>(
        self,
        sums: &mut [__m512i; P],
        weights: &[i8],
        inputs: &[&[u8]; P],
    ) -> usize {
        in_parts::<_, P, 4>(self, sums, weights, inputs)
    }
    #[inline(always)]
    fn pass(self, laid: &Laid<'_>, weights: &[i8], out: &mut Row<'_>) -> bool {
        stem_pass::run(self, laid, weights, out)
    }
    #[inline(always)]
    fn sum(self, sum: __m512i) -> [__m256i; 2] {
        // SAFETY: `self` proves AVX-512 F.
        let halves = unsafe { [_mm512_castsi512_si256(sum), _mm512_extracti64x4_epi64::<1>(sum)] };
        self.avx2.regrouped(halves)
    }
    #[inline(always)]
    fn shifted(self, sum: __m512i, shift: i8) -> __m256i {
        // SAFETY: `self` proves AVX-512 F.
        unsafe {
            let count = _mm512_set1_epi32(shift.unsigned_abs().into());
            _mm512_cvtsepi32_epi16(if shift < 0 {
                let half = _mm512_set1_epi32(1 << (shift.unsigned_abs() - 1));
                _mm512_srav_epi32(_mm512_add_epi32(sum, half), count)
            } else {
                _mm512_sllv_epi32(sum, count)
            })
        }
    }
    #[inline(always)]
    fn put(self, value: __m256i, to: &mut [u8]) {
        let to: &mut [u8; 16] = to.first_chunk_mut().expect("16 values");
        // SAFETY: `self` proves AVX-512 BW and VL; the array is the 16 bytes
        // written.
        unsafe {
            let bytes = _mm_xor_si128(_mm256_cvtepi16_epi8(value), _mm_set1_epi8(-128));
            _mm_storeu_si128(to.as_mut_ptr().cast(), bytes);
        }
    }
}
