//! Popcount by nibble rows.
//!
//! For an input nibble x, a row of 16 bytes holds popcount(x ^ w) for every
//! nibble w. The lanes are output channels, so all of them have the same x: the
//! row is loaded, never computed, and one shuffle looks up 32 weight nibbles in
//! it. That is two shuffles and two adds per 32 lanes and 8 input channels; the
//! weights are split into nibbles once per tile. A popcount of the xor would
//! take two shuffles, two ands, a shift, an xor and two adds.

use core::arch::x86_64::*;

use super::Avx2;
use crate::generic::binary_conv::Popcount;

/// Per byte of the input the rows of its low and its high nibble: one address for both.
#[repr(align(64))]
pub(super) struct Rows(pub(super) [[[u8; 16]; 2]; 256]);

pub(super) static ROWS: Rows = {
    let mut rows = [[[0; 16]; 2]; 256];
    let mut x = 0;
    while x < 256 {
        let mut w = 0;
        while w < 16 {
            rows[x][0][w] = ((x & 15) ^ w).count_ones() as u8;
            rows[x][1][w] = ((x >> 4) ^ w).count_ones() as u8;
            w += 1;
        }
        x += 1;
    }
    Rows(rows)
};

impl Popcount for Avx2 {
    type L = Avx2;
    type Counts = __m256i;
    /// Low and high nibbles.
    type Weights = [__m256i; 2];
    /// The rows of the low and high nibble, in both halves.
    type Input = [__m256i; 2];
    type Full = ();
    const VECTOR: usize = 32;

    #[inline(always)]
    fn lanes(self) -> Avx2 {
        self
    }
    #[inline(always)]
    fn zero(self) -> __m256i {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_setzero_si256() }
    }
    #[inline(always)]
    fn weights(self, from: &[u8]) -> [__m256i; 2] {
        let from: &[u8; 32] = from.first_chunk().expect("a whole vector");
        // SAFETY: `self` proves AVX2; the array is the 32 bytes read.
        unsafe {
            let bytes = _mm256_loadu_si256(from.as_ptr().cast());
            let nibble = _mm256_set1_epi8(0x0F);
            let high = _mm256_srli_epi16::<4>(bytes);
            [_mm256_and_si256(bytes, nibble), _mm256_and_si256(high, nibble)]
        }
    }
    #[inline(always)]
    fn input(self, byte: u8) -> [__m256i; 2] {
        let [low, high] = &ROWS.0[usize::from(byte)];
        // SAFETY: `self` proves AVX2; a row is the 16 bytes read, aligned as `Rows` is.
        unsafe {
            [
                _mm256_broadcastsi128_si256(_mm_load_si128(low.as_ptr().cast())),
                _mm256_broadcastsi128_si256(_mm_load_si128(high.as_ptr().cast())),
            ]
        }
    }
    #[inline(always)]
    fn count(self, counts: __m256i, weights: [__m256i; 2], input: [__m256i; 2]) -> __m256i {
        // SAFETY: `self` proves AVX2.
        unsafe {
            let low = _mm256_shuffle_epi8(input[0], weights[0]);
            let high = _mm256_shuffle_epi8(input[1], weights[1]);
            _mm256_add_epi8(_mm256_add_epi8(counts, low), high)
        }
    }
    #[inline(always)]
    fn widen(self, counts: __m256i, part: usize) -> __m256i {
        // SAFETY: `self` proves AVX2.
        unsafe {
            _mm256_cvtepu8_epi16(match part {
                0 => _mm256_castsi256_si128(counts),
                _ => _mm256_extracti128_si256::<1>(counts),
            })
        }
    }
}
