//! Two taps interleaved, multiplied and added by `vpmaddwd`.

use core::arch::x86_64::*;

use super::Avx2;
use super::shift::Taken;
use crate::generic::int8_depthwise::Taps;
use crate::generic::lanes::{Lanes, Narrow};
use crate::passes::depthwise::InOnePass;

/// Two 16-bit values per channel, in the order of 32-bit lanes.
type Pair = [__m256i; 2];

impl Taps for Avx2 {
    type L = Avx2;
    /// The upper two pixels as pairs, and the lowest.
    type Column = (Pair, __m256i);
    /// Those of the upper two rows column by column, then the lowest row.
    type Nine = [Pair; 5];

    #[inline(always)]
    fn lanes(self) -> Avx2 {
        self
    }
    #[inline(always)]
    fn column(self, pixels: [__m256i; 3], narrow: Narrow<Avx2>) -> (Pair, __m256i) {
        let mut column = pixels;
        for pixel in &mut column {
            *pixel = self.narrow16(*pixel, narrow);
        }
        (self.pair(column[0], column[1]), column[2])
    }
    #[inline(always)]
    fn weights(self, w: [__m256i; 9]) -> [Pair; 5] {
        let none = self.splat16(0);
        [
            self.pair(w[0], w[3]),
            self.pair(w[1], w[4]),
            self.pair(w[2], w[5]),
            self.pair(w[6], w[7]),
            self.pair(w[8], none),
        ]
    }
    #[inline(always)]
    fn nine(self, columns: [(Pair, __m256i); 3], weights: &[Pair; 5]) -> [__m256i; 2] {
        self.nine_from(self.zero32(), columns, weights)
    }
    #[inline(always)]
    fn add(self, sum: [__m256i; 2], x: __m256i, w: __m256i) -> [__m256i; 2] {
        let none = self.splat16(0);
        self.add32(sum, self.multiply(self.pair(x, none), self.pair(w, none)))
    }
}

impl InOnePass for Avx2 {
    /// What it would round off, and by how much.
    type Shift = [__m256i; 2];
    type Taken = Taken;
    const RIGHT: bool = true;
    type Narrow = Narrow<Avx2>;
    type Lines = (Pair, __m256i);
    type Weights = [Pair; 5];
    const ROWS: usize = 1;

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
    fn narrow(self, count: u8) -> Narrow<Avx2> {
        self.narrow_by(count)
    }
    #[inline(always)]
    fn narrowed(self, [a, b, c, _]: [__m256i; 4], narrow: Narrow<Avx2>) -> (Pair, __m256i) {
        self.column([a, b, c], narrow)
    }
    #[inline(always)]
    fn placed(self, taps: [__m256i; 9]) -> [Pair; 5] {
        self.weights(taps)
    }
    #[inline(always)]
    fn shift(self, count: u32) -> [__m256i; 2] {
        // SAFETY: `self` proves AVX2.
        unsafe { [_mm256_set1_epi32((1 << count) >> 1), _mm256_set1_epi32(count as i32)] }
    }
    #[inline(always)]
    fn sums(
        self,
        window: [(Pair, __m256i); 3],
        _row: usize,
        weights: &[Pair; 5],
        shift: [__m256i; 2],
    ) -> __m256i {
        self.shifted(self.nine_from(self.start(shift), window, weights), shift)
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
    /// [`Taps::nine`], and `start`.
    #[inline(always)]
    fn nine_from(
        self,
        start: [__m256i; 2],
        [a, b, c]: [(Pair, __m256i); 3],
        weights: &[Pair; 5],
    ) -> [__m256i; 2] {
        let none = self.splat16(0);
        let mut sum = self.add32(start, self.multiply(a.0, weights[0]));
        sum = self.add32(sum, self.multiply(b.0, weights[1]));
        sum = self.add32(sum, self.multiply(c.0, weights[2]));
        sum = self.add32(sum, self.multiply(self.pair(a.1, b.1), weights[3]));
        self.add32(sum, self.multiply(self.pair(c.1, none), weights[4]))
    }

    /// Joins the values of two taps.
    #[inline(always)]
    fn pair(self, a: __m256i, b: __m256i) -> Pair {
        // SAFETY: `self` proves AVX2.
        unsafe { [_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b)] }
    }

    /// x.a·w.a + x.b·w.b.
    #[inline(always)]
    fn multiply(self, x: Pair, w: Pair) -> [__m256i; 2] {
        // SAFETY: `self` proves AVX2.
        unsafe { [_mm256_madd_epi16(x[0], w[0]), _mm256_madd_epi16(x[1], w[1])] }
    }
}
