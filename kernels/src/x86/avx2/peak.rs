//! Bits as the passes count them, of two pixels and 32 channels; 2 pixels of 8-bit
//! sums in 16 registers.

use core::arch::x86_64::*;
use core::hint::black_box;

use super::Avx2;
use super::lanes::veiled;
use super::pairs::{PAIR, THREE, THREES, Threes, VECTOR, count};
use crate::generic::lanes::Lanes;
use crate::generic::peak::{self, PeakBytes};
use crate::types::Arithmetic;

#[target_feature(enable = "avx2")]
pub(in crate::x86) fn peak(arithmetic: Arithmetic, rounds: u64) -> u64 {
    match arithmetic {
        Arithmetic::Binary => binary(Avx2::here(), rounds),
        Arithmetic::Int8 => peak::int8::<Avx2, 2>(Avx2::here(), rounds),
    }
}

/// `rounds` times as many steps as byte counters hold; the number of
/// multiply-accumulates done.
#[inline(always)]
fn binary(isa: Avx2, rounds: u64) -> u64 {
    let row = isa.splat16(0x0101);
    // SAFETY: `isa` proves AVX2. The compiler does not know that they are the same.
    let rows = unsafe { [veiled(row), veiled(row), veiled(row)] };
    let held = Held { rows, weights: row };
    for _ in 0..rounds {
        // SAFETY: there are always more.
        black_box(unsafe { count::<1>(isa, &held, THREES, isa.splat16(0)) });
    }
    rounds * (THREES * THREE * 4 * PAIR * VECTOR) as u64
}

/// Rows and weights that stay in registers.
struct Held {
    rows: [__m256i; THREE],
    weights: __m256i,
}

impl Threes<1> for &Held {
    #[inline(always)]
    unsafe fn three(&self, _: Avx2, _: usize) -> [__m256i; 1] {
        let [a, b, c] = self.rows;
        // SAFETY: an `Avx2` proves AVX2. The compiler does not know that lookups are those
        // of the three before.
        unsafe {
            let weights = veiled(self.weights);
            let sum =
                _mm256_add_epi8(_mm256_shuffle_epi8(a, weights), _mm256_shuffle_epi8(b, weights));
            [_mm256_add_epi8(sum, _mm256_shuffle_epi8(c, weights))]
        }
    }
}

impl PeakBytes for Avx2 {
    #[inline(always)]
    fn veiled_bytes(self, [a, b, c, d]: [__m256i; 4]) -> [__m256i; 4] {
        // SAFETY: `self` proves AVX2.
        unsafe { [veiled(a), veiled(b), veiled(c), veiled(d)] }
    }
}
