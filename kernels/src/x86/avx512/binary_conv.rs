//! Popcount by `vpopcntb`: xor, count and add, three instructions per 64 lanes
//! and 8 input channels.

use core::arch::x86_64::*;

use super::Avx512;
use crate::generic::binary_conv::{Popcount, TileCounts};
use crate::generic::epilogue::{At, Parameters, Row};
use crate::generic::lanes::{Lanes, WIDE};
use crate::generic::tile::Accumulators;
use crate::x86::avx2::Avx2;

impl Popcount for Avx512 {
    type L = Avx2;
    type Counts = __m512i;
    type Weights = __m512i;
    /// The byte in all lanes.
    type Input = __m512i;
    /// Two groups of 32 channels.
    type Full = [Parameters<Avx512, WIDE>; 2];
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
    #[inline(always)]
    fn full(self, out: &Row<'_>, channel: usize) -> Option<Self::Full> {
        Some([out.parameters(self, channel), out.parameters(self, channel + WIDE)])
    }
    #[inline(always)]
    fn emit<const P: usize, const N: usize, const G: usize, const W: usize>(
        self,
        out: &mut Row<'_>,
        full: &Self::Full,
        at: At,
        tile: &TileCounts<'_, Self, P, N, G, W>,
    ) -> bool {
        out.emit_tile::<Avx512, WIDE, 2, P>(self, full, at, tile)
    }
}

impl<const P: usize, const N: usize, const G: usize, const W: usize> Accumulators<Avx512, WIDE, 2>
    for TileCounts<'_, Avx512, P, N, G, W>
{
    #[inline(always)]
    fn of(&self, isa: Avx512, pixel: usize) -> [__m512i; 2] {
        let (bytes, wide) = self.parts(pixel);
        // SAFETY: `isa` proves AVX-512 F and BW.
        let mut sums = unsafe {
            [
                _mm512_cvtepu8_epi16(_mm512_castsi512_si256(bytes[0])),
                _mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64::<1>(bytes[0])),
            ]
        };
        let terms = joined(isa, self.terms());
        if let Some(wide) = wide {
            for (sum, wide) in sums.iter_mut().zip(joined(isa, &wide)) {
                *sum = isa.add16(*sum, wide);
            }
        }
        for (sum, terms) in sums.iter_mut().zip(terms) {
            *sum = isa.sub16(terms, isa.add16(*sum, *sum));
        }
        sums
    }
}

/// Groups of 16 as groups of 32.
#[inline(always)]
fn joined(_: Avx512, [a, b, c, d]: &[__m256i; 4]) -> [__m512i; 2] {
    // SAFETY: an `Avx512` proves AVX-512 F.
    unsafe {
        [
            _mm512_inserti64x4::<1>(_mm512_castsi256_si512(*a), *b),
            _mm512_inserti64x4::<1>(_mm512_castsi256_si512(*c), *d),
        ]
    }
}
