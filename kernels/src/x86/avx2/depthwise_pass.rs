//! The 3×3 8-bit depthwise pass ([`crate::passes::depthwise`]): two taps interleaved,
//! multiplied and added by `vpmaddwd`.
//!
//! Nine taps are five pairs: three of two lines of the same column, and two of two columns
//! of the line that is left, of which a window takes one column of the second pair. Columns
//! come in twos, so that each pair is made once; where the stride is 1, the second of two
//! windows takes the other column of the first pair, by weights of its own. Two rows of the
//! output share the pairs of the middle two of their four lines.
//!
//! What is interleaved has been packed to bytes, which saturates it, and is shuffled from
//! there into the upper halves of words, so that all sums are 256 times as large. That is
//! 2.5 operations per pixel of the input; clamps to 8 bits in 16 take 4.

// Fixed loops over indices are unrolled into registers; iterators over the same
// arrays often are not.
#![allow(clippy::needless_range_loop)]

use core::arch::x86_64::*;

use super::Avx2;
use super::int8_depthwise::Pair;
use crate::generic::lanes::Lanes;
use crate::passes::depthwise::{InOnePass, Line, SIGNS};
use crate::passes::depthwise_rows::Rows;
use crate::passes::lanes::PassLanes;

/// The weights of a row of the output.
#[derive(Clone, Copy)]
pub(crate) struct Weights {
    /// Of the two lines whose columns are pairs.
    middle: [Pair; 3],
    /// Of the line whose pairs are columns: of a window whose first column is the first of a
    /// pair, and of one whose first is the second.
    outer: [[Pair; 2]; 2],
}

impl InOnePass for Avx2 {
    type V = Avx2;
    /// Of a row whose outer line is the first of its three, and the last.
    type Weights = [Weights; 2];
    const ROWS: usize = 2;
    const BAND_BYTES: usize = 128 << 10;
    const SCALE: i32 = 256;

    #[inline(always)]
    fn placed(self, [a, b, c, d, e, f, g, h, i]: [__m256i; 9]) -> [Weights; 2] {
        [
            self.weights_of([d, e, f], [g, h, i], [a, b, c]),
            self.weights_of([a, b, c], [d, e, f], [g, h, i]),
        ]
    }
    #[inline(always)]
    unsafe fn line<const STRIDE: usize, const KIND: u8, const ROWS: usize, const HALF: bool>(
        line: Line<Self, STRIDE, HALF>,
    ) {
        // SAFETY: of this function.
        unsafe { line.by_twos::<KIND, ROWS>() }
    }
}

impl Avx2 {
    /// Those of the middle lines, the upper one first, and of the outer.
    #[inline(always)]
    fn weights_of(
        self,
        upper: [__m256i; 3],
        lower: [__m256i; 3],
        [a, b, c]: [__m256i; 3],
    ) -> Weights {
        let none = self.splat16(0);
        Weights {
            middle: [
                self.pair(upper[0], lower[0]),
                self.pair(upper[1], lower[1]),
                self.pair(upper[2], lower[2]),
            ],
            outer: [[self.pair(a, b), self.pair(c, none)], [self.pair(none, a), self.pair(b, c)]],
        }
    }

    /// Two pixels, narrowed and times 256, joined as by [`Avx2::pair`].
    #[inline(always)]
    fn narrow_pair(self, [a, b]: [__m256i; 2], narrow: __m256i) -> Pair {
        let (a, b) = (self.mulr16(a, narrow), self.mulr16(b, narrow));
        // SAFETY: `self` proves AVX2.
        unsafe {
            let bytes = _mm256_packs_epi16(a, b);
            let low = _mm_setr_epi8(-1, 0, -1, 8, -1, 1, -1, 9, -1, 2, -1, 10, -1, 3, -1, 11);
            let high = _mm_setr_epi8(-1, 4, -1, 12, -1, 5, -1, 13, -1, 6, -1, 14, -1, 7, -1, 15);
            [
                _mm256_shuffle_epi8(bytes, _mm256_broadcastsi128_si256(low)),
                _mm256_shuffle_epi8(bytes, _mm256_broadcastsi128_si256(high)),
            ]
        }
    }
}

/// Two neighbouring columns of the lines of ROWS rows of the output.
#[derive(Clone, Copy)]
struct Twos<const ROWS: usize> {
    /// Either column of the middle lines.
    middle: [Pair; 2],
    /// Both columns of each row's outer line.
    outer: [Pair; ROWS],
}

impl<const STRIDE: usize, const HALF: bool> Line<Avx2, STRIDE, HALF> {
    /// # Safety
    /// All pointers reach as far as the rows say.
    #[inline(always)]
    unsafe fn by_twos<const KIND: u8, const ROWS: usize>(mut self) {
        let Rows { pixels, columns, left, .. } = self.rows;
        // Windows that start at the two columns that were read last.
        let each = 2 / STRIDE;
        // SAFETY: of this function.
        unsafe {
            let mut held = self.twos_at::<ROWS>(0_usize.wrapping_sub(left));
            let mut column = 2_usize.wrapping_sub(left);
            let mut p = 0;
            // Two columns at a time that are all there.
            while p + each <= pixels && column + 2 <= columns {
                let next = self.twos::<ROWS>(column * self.rows.channels);
                self.put::<KIND, ROWS, 0>(held, next);
                if STRIDE == 1 {
                    self.put::<KIND, ROWS, 1>(held, next);
                }
                held = next;
                (p, column) = (p + each, column + 2);
            }
            while p < pixels {
                let next = self.twos_at::<ROWS>(column);
                self.put::<KIND, ROWS, 0>(held, next);
                if STRIDE == 1 && p + 1 < pixels {
                    self.put::<KIND, ROWS, 1>(held, next);
                }
                held = next;
                (p, column) = (p + each, column.wrapping_add(2));
            }
        }
    }

    /// The columns `column` and `column + 1`, modulo 2^64; zeros where there is none.
    ///
    /// # Safety
    /// All columns have these channels in each line.
    #[inline(always)]
    unsafe fn twos_at<const ROWS: usize>(&self, column: usize) -> Twos<ROWS> {
        let Rows { columns, channels, .. } = self.rows;
        let none = self.isa.splat16(0);
        let mut pixels = [[none; 2]; 4];
        for (side, column) in [column, column.wrapping_add(1)].into_iter().enumerate() {
            if column < columns {
                for line in 0..4 {
                    // SAFETY: of this function.
                    pixels[line][side] =
                        unsafe { self.isa.load::<HALF>(self.lines[line].add(column * channels)) };
                }
            }
        }
        self.narrowed(pixels)
    }

    /// The columns so many elements from the first, and from the second.
    ///
    /// # Safety
    /// They have these channels in each line.
    #[inline(always)]
    unsafe fn twos<const ROWS: usize>(&self, at: usize) -> Twos<ROWS> {
        let mut pixels = [[self.isa.splat16(0); 2]; 4];
        for line in 0..4 {
            // SAFETY: of this function.
            pixels[line] = unsafe {
                let first = self.lines[line].add(at);
                let second = first.add(self.rows.channels);
                [self.isa.load::<HALF>(first), self.isa.load::<HALF>(second)]
            };
        }
        self.narrowed(pixels)
    }

    /// Two pixels of each line.
    #[inline(always)]
    fn narrowed<const ROWS: usize>(&self, pixels: [[__m256i; 2]; 4]) -> Twos<ROWS> {
        let Line { isa, narrow, .. } = *self;
        let [first, second, third, last] = pixels;
        let mut outer = [isa.narrow_pair(first, narrow); ROWS];
        if ROWS == 2 {
            outer[ROWS - 1] = isa.narrow_pair(last, narrow);
        }
        Twos {
            middle: [
                isa.narrow_pair([second[0], third[0]], narrow),
                isa.narrow_pair([second[1], third[1]], narrow),
            ],
            outer,
        }
    }

    /// The pixel of each of ROWS rows whose window starts at column FIRST, 0 or 1, of those
    /// held, and on to the next.
    ///
    /// # Safety
    /// They are there, of the shortcut too if there is one.
    #[inline(always)]
    unsafe fn put<const KIND: u8, const ROWS: usize, const FIRST: usize>(
        &mut self,
        held: Twos<ROWS>,
        next: Twos<ROWS>,
    ) {
        let Line { isa, ref weights, start, shift: [half, count], .. } = *self;
        let middle = match FIRST {
            0 => [held.middle[0], held.middle[1], next.middle[0]],
            _ => [held.middle[1], next.middle[0], next.middle[1]],
        };
        // SAFETY: an `Avx2` proves AVX2.
        let shift = unsafe {
            [_mm256_slli_epi32::<8>(half), _mm256_add_epi32(count, _mm256_set1_epi32(8))]
        };
        let mut found = [isa.splat16(0); ROWS];
        for row in 0..ROWS {
            let weights = &weights[row];
            let mut sums = if KIND == SIGNS { start } else { isa.start(shift) };
            let mut add = |x: Pair, w: Pair| sums = isa.add32(sums, isa.multiply(x, w));
            add(held.outer[row], weights.outer[FIRST][0]);
            add(middle[0], weights.middle[0]);
            add(middle[1], weights.middle[1]);
            add(next.outer[row], weights.outer[FIRST][1]);
            add(middle[2], weights.middle[2]);
            found[row] = match KIND {
                SIGNS => isa.saturate32(sums),
                _ => isa.shifted(sums, shift),
            };
        }
        // SAFETY: of this function.
        unsafe { self.finish::<KIND, ROWS>(found) }
    }
}
