//! What passes ask of vectors beside `lanes.rs`.

use core::arch::x86_64::*;

use super::Avx2;
use super::shift::Taken;
use crate::generic::lanes::Lanes;
use crate::passes::lanes::PassLanes;

impl PassLanes for Avx2 {
    /// What it would round off, and by how much.
    type Shift = [__m256i; 2];
    /// A multiplication that rounds.
    type Narrow = __m256i;
    type Taken = Taken;
    const RIGHT: bool = true;
    const LEAST: u8 = 1;

    #[inline(always)]
    fn shift(self, count: u32) -> [__m256i; 2] {
        // SAFETY: `self` proves AVX2.
        unsafe { [_mm256_set1_epi32((1 << count) >> 1), _mm256_set1_epi32(count as i32)] }
    }
    #[inline(always)]
    fn start(self, [half, _]: [__m256i; 2]) -> [__m256i; 2] {
        [half; 2]
    }
    #[inline(always)]
    fn shifted(self, [low, high]: [__m256i; 2], [_, count]: [__m256i; 2]) -> __m256i {
        // SAFETY: `self` proves AVX2.
        self.saturate32(unsafe { [_mm256_srav_epi32(low, count), _mm256_srav_epi32(high, count)] })
    }
    #[inline(always)]
    fn narrow(self, count: u8) -> __m256i {
        self.splat16(1 << (15 - count))
    }
    #[inline(always)]
    fn taken(self, shift: i8) -> Taken {
        Taken::new(self, shift)
    }
    #[inline(always)]
    fn take<const KIND: u8>(self, taken: &Taken, x: __m256i) -> __m256i {
        taken.apply::<KIND>(self, x)
    }
    #[inline(always)]
    unsafe fn load<const HALF: bool>(self, from: *const i16) -> __m256i {
        // SAFETY: of this function; `self` proves AVX2.
        unsafe {
            match HALF {
                true => _mm256_zextsi128_si256(_mm_loadu_si128(from.cast())),
                false => _mm256_loadu_si256(from.cast()),
            }
        }
    }
    #[inline(always)]
    unsafe fn store<const HALF: bool>(self, value: __m256i, to: *mut i16) {
        // SAFETY: of this function; `self` proves AVX2.
        unsafe {
            match HALF {
                true => _mm_storeu_si128(to.cast(), _mm256_castsi256_si128(value)),
                false => _mm256_storeu_si256(to.cast(), value),
            }
        }
    }
    #[inline(always)]
    fn twice(self, value: __m256i) -> __m256i {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_permute2x128_si256::<0>(value, value) }
    }
    #[inline(always)]
    unsafe fn store_apart(self, value: __m256i, first: *mut i16, second: *mut i16) {
        // SAFETY: of this function; `self` proves AVX2.
        unsafe { _mm256_storeu2_m128i(second.cast(), first.cast(), value) }
    }
    #[inline(always)]
    fn less_each<const M: usize>(self, a: [__m256i; M], b: [__m256i; M]) -> [u32; M] {
        let mut below = [0; M];
        if M != 2 {
            for i in 0..M {
                below[i] = self.less16(a[i], b[i]);
            }
            return below;
        }
        // SAFETY: `self` proves AVX2.
        let both = unsafe {
            let first = _mm256_cmpgt_epi16(b[0], a[0]);
            let second = _mm256_cmpgt_epi16(b[M - 1], a[M - 1]);
            let bytes = _mm256_packs_epi16(first, second);
            // From either half 8 lanes of the first, then 8 of the second.
            _mm256_movemask_epi8(_mm256_permute4x64_epi64::<0b11_01_10_00>(bytes)) as u32
        };
        below[0] = both & 0xFFFF;
        below[M - 1] = both >> 16;
        below
    }
    #[inline(always)]
    fn minus32(self, a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
        // SAFETY: `self` proves AVX2.
        unsafe { [_mm256_sub_epi32(a[0], b[0]), _mm256_sub_epi32(a[1], b[1])] }
    }
    /// `(a + b + c + d + 2) >> 2` of unsigned numbers is the mean, rounded up, of the
    /// means s and t of two each, rounded up; less 1 if what was rounded adds up to one: if
    /// s + t is odd, and a + b or c + d. Signed numbers become unsigned ones by their sign
    /// bits.
    #[inline(always)]
    fn mean_of_four(self, [a, b, c, d]: [__m256i; 4]) -> __m256i {
        let (sign, one) = (self.splat16(i16::MIN), self.splat16(1));
        // SAFETY: `self` proves AVX2.
        unsafe {
            let (a, b) = (_mm256_xor_si256(sign, a), _mm256_xor_si256(sign, b));
            let (c, d) = (_mm256_xor_si256(sign, c), _mm256_xor_si256(sign, d));
            let (s, t) = (_mm256_avg_epu16(a, b), _mm256_avg_epu16(c, d));
            let odd = _mm256_or_si256(_mm256_xor_si256(a, b), _mm256_xor_si256(c, d));
            let lost = _mm256_and_si256(_mm256_and_si256(odd, one), _mm256_xor_si256(s, t));
            _mm256_xor_si256(sign, _mm256_sub_epi16(_mm256_avg_epu16(s, t), lost))
        }
    }
}

impl Avx2 {
    /// `rdiv(a + b, 2)`.
    #[inline(always)]
    pub(super) fn mean_of_two(self, a: __m256i, b: __m256i) -> __m256i {
        let sign = self.splat16(i16::MIN);
        // SAFETY: `self` proves AVX2.
        unsafe {
            let (a, b) = (_mm256_xor_si256(sign, a), _mm256_xor_si256(sign, b));
            _mm256_xor_si256(sign, _mm256_avg_epu16(a, b))
        }
    }
}
