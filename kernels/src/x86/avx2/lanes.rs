//! 16 lanes in one register of `i16`, and in two of `i32`.
//!
//! The two registers of `i32` are in the order that unpacking and packing
//! within 128-bit halves gives: channels 0–3 and 8–11, then 4–7 and 12–15. So
//! widening, multiply-adding and saturating need no shuffles across halves;
//! only loads and stores of `i32` do.
//!
//! Shifts by as much in every lane take a register of counts, or are multiplications: a
//! count in the lowest lane of one is an instruction more on Intel's processors.

use core::arch::asm;
use core::arch::x86_64::*;

use super::Avx2;
use crate::generic::lanes::{LANES, Lanes};

/// Between memory's order and that of the registers; its own inverse.
#[inline]
#[target_feature(enable = "avx2")]
fn regroup([a, b]: [__m256i; 2]) -> [__m256i; 2] {
    [_mm256_permute2x128_si256::<0x20>(a, b), _mm256_permute2x128_si256::<0x31>(a, b)]
}

impl Avx2 {
    /// 32-bit lanes of channels 0–7 and 8–15.
    #[inline(always)]
    pub(in crate::x86) fn regrouped(self, halves: [__m256i; 2]) -> [__m256i; 2] {
        // SAFETY: `self` proves AVX2.
        unsafe { regroup(halves) }
    }
}

/// The same value in the same register: the compiler does not look behind it.
#[inline]
#[target_feature(enable = "avx2")]
pub(in crate::x86) fn veiled(value: __m256i) -> __m256i {
    let mut value = value;
    // SAFETY: no instructions.
    unsafe {
        asm!("/* {0} */", inout(ymm_reg) value, options(nomem, nostack, preserves_flags));
    }
    value
}

impl Lanes for Avx2 {
    type I16 = __m256i;
    type I32 = [__m256i; 2];

    #[inline(always)]
    fn splat16(self, value: i16) -> __m256i {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_set1_epi16(value) }
    }
    #[inline(always)]
    fn load16(self, from: &[i16; LANES]) -> __m256i {
        // SAFETY: `self` proves AVX2; the array is the 32 bytes read.
        unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
    }
    #[inline(always)]
    fn store16(self, value: __m256i, to: &mut [i16; LANES]) {
        // SAFETY: `self` proves AVX2; the array is the 32 bytes written.
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), value) }
    }
    #[inline(always)]
    fn store16_bytes(self, value: __m256i, to: &mut [[u8; 2]; LANES]) {
        // SAFETY: `self` proves AVX2; the array is the 32 bytes written.
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), value) }
    }
    #[inline(always)]
    fn load_u8(self, from: &[u8; LANES]) -> __m256i {
        // SAFETY: `self` proves AVX2; the array is the 16 bytes read.
        unsafe { _mm256_cvtepu8_epi16(_mm_loadu_si128(from.as_ptr().cast())) }
    }
    #[inline(always)]
    fn load_i8(self, from: &[i8; LANES]) -> __m256i {
        // SAFETY: `self` proves AVX2; the array is the 16 bytes read.
        unsafe { _mm256_cvtepi8_epi16(_mm_loadu_si128(from.as_ptr().cast())) }
    }
    #[inline(always)]
    fn mask16(self, bits: u32) -> __m256i {
        // SAFETY: `self` proves AVX2.
        unsafe {
            let each = _mm256_setr_epi16(
                1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, -32768,
            );
            _mm256_cmpeq_epi16(_mm256_and_si256(_mm256_set1_epi16(bits as i16), each), each)
        }
    }
    #[inline(always)]
    fn select16(self, mask: __m256i, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_blendv_epi8(b, a, mask) }
    }
    #[inline(always)]
    fn add16(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_add_epi16(a, b) }
    }
    #[inline(always)]
    fn sub16(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_sub_epi16(a, b) }
    }
    #[inline(always)]
    fn adds16(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_adds_epi16(a, b) }
    }
    #[inline(always)]
    fn subs16(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_subs_epi16(a, b) }
    }
    #[inline(always)]
    fn min16(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_min_epi16(a, b) }
    }
    #[inline(always)]
    fn max16(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_max_epi16(a, b) }
    }
    #[inline(always)]
    fn mul16(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_mullo_epi16(a, b) }
    }
    #[inline(always)]
    fn mulr16(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_mulhrs_epi16(a, b) }
    }
    #[inline(always)]
    fn shl16(self, a: __m256i, count: u32) -> __m256i {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_mullo_epi16(a, _mm256_set1_epi16(1 << count)) }
    }
    #[inline(always)]
    fn shr16(self, a: __m256i, count: u32) -> __m256i {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_sra_epi16(a, _mm_cvtsi32_si128(count as i32)) }
    }
    #[inline(always)]
    fn shls16(self, a: __m256i, count: u32) -> __m256i {
        // In the upper half of 32 bits, a right shift by 16 − count is a left
        // shift by count that keeps every bit.
        // SAFETY: `self` proves AVX2.
        unsafe {
            let zero = _mm256_setzero_si256();
            let back = _mm256_set1_epi32(16 - count as i32);
            let low = _mm256_srav_epi32(_mm256_unpacklo_epi16(zero, a), back);
            let high = _mm256_srav_epi32(_mm256_unpackhi_epi16(zero, a), back);
            _mm256_packs_epi32(low, high)
        }
    }
    #[inline(always)]
    fn less16(self, a: __m256i, b: __m256i) -> u32 {
        // SAFETY: `self` proves AVX2.
        unsafe {
            let less = _mm256_cmpgt_epi16(b, a);
            // 8 bits from either half, and 8 zeros.
            let bits = _mm256_movemask_epi8(_mm256_packs_epi16(less, _mm256_setzero_si256()));
            (bits | bits >> 8) as u32 & 0xFFFF
        }
    }

    #[inline(always)]
    fn zero32(self) -> [__m256i; 2] {
        // SAFETY: `self` proves AVX2.
        unsafe { [_mm256_setzero_si256(); 2] }
    }
    #[inline(always)]
    fn load32(self, from: &[i32; LANES]) -> [__m256i; 2] {
        // SAFETY: `self` proves AVX2; the array is the 64 bytes read.
        unsafe {
            let from: *const __m256i = from.as_ptr().cast();
            regroup([_mm256_loadu_si256(from), _mm256_loadu_si256(from.add(1))])
        }
    }
    #[inline(always)]
    fn store32(self, value: [__m256i; 2], to: &mut [i32; LANES]) {
        // SAFETY: `self` proves AVX2; the array is the 64 bytes written.
        unsafe {
            let to: *mut __m256i = to.as_mut_ptr().cast();
            let [first, second] = regroup(value);
            _mm256_storeu_si256(to, first);
            _mm256_storeu_si256(to.add(1), second);
        }
    }
    #[inline(always)]
    fn widen16(self, a: __m256i) -> [__m256i; 2] {
        // SAFETY: `self` proves AVX2.
        unsafe {
            [
                _mm256_srai_epi32::<16>(_mm256_unpacklo_epi16(a, a)),
                _mm256_srai_epi32::<16>(_mm256_unpackhi_epi16(a, a)),
            ]
        }
    }
    #[inline(always)]
    fn saturate32(self, [low, high]: [__m256i; 2]) -> __m256i {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_packs_epi32(low, high) }
    }
    #[inline(always)]
    fn add32(self, a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
        // SAFETY: `self` proves AVX2.
        unsafe { [_mm256_add_epi32(a[0], b[0]), _mm256_add_epi32(a[1], b[1])] }
    }
    #[inline(always)]
    fn shl32(self, a: [__m256i; 2], count: u32) -> [__m256i; 2] {
        // SAFETY: `self` proves AVX2.
        unsafe {
            let count = _mm256_set1_epi32(count as i32);
            [_mm256_sllv_epi32(a[0], count), _mm256_sllv_epi32(a[1], count)]
        }
    }
    #[inline(always)]
    fn rshr32(self, a: [__m256i; 2], count: u32) -> [__m256i; 2] {
        // SAFETY: `self` proves AVX2.
        unsafe {
            let half = _mm256_set1_epi32(1 << (count - 1));
            let count = _mm256_set1_epi32(count as i32);
            let [low, high] = self.add32(a, [half; 2]);
            [_mm256_srav_epi32(low, count), _mm256_srav_epi32(high, count)]
        }
    }
    #[inline(always)]
    fn less32(self, a: [__m256i; 2], b: [__m256i; 2]) -> u32 {
        // SAFETY: `self` proves AVX2.
        unsafe {
            let low = _mm256_cmpgt_epi32(b[0], a[0]);
            let high = _mm256_cmpgt_epi32(b[1], a[1]);
            let zero = _mm256_setzero_si256();
            self.less16(_mm256_packs_epi32(low, high), zero)
        }
    }
}
