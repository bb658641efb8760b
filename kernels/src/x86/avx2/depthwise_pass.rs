//! 3×3 8-bit depthwise convolution in one pass, 16 channels at a time: from the loads of a
//! row to its stores, nothing is put aside. It is for the epilogue that almost all of these
//! layers have: bits, perhaps a stream, a shifted PReLU, and a shortcut that is the input,
//! or its 2×2 means where the stride is 2.
//!
//! A row's loop has no bounds to check, which would take more registers than there are:
//! they are checked once ([`Rows::new`]). It is a function of its own ([`Run`]), and works
//! on copies: what others might write to is loaded again at each use.

// Fixed loops over indices are unrolled into registers; iterators over the same
// arrays often are not.
#![allow(clippy::needless_range_loop)]

use core::arch::x86_64::*;
use core::ops::Range;

use super::Avx2;
use super::int8_depthwise::Pair;
use super::shift::Taken;
use crate::generic::epilogue::{Parameters, Sink};
use crate::generic::int8_depthwise::{Layer, Taps};
use crate::generic::lanes::{LANES, Lanes, Narrow, Outline, Work};
use crate::generic::taps_inside;
use crate::x86::depthwise_rows::Rows;

/// Does some rows of the channels in whole groups of 16, if this is for them; how many of
/// the channels those are.
#[inline(always)]
pub(super) fn run<'a>(
    isa: Avx2,
    layer: Layer<'a>,
    sink: &mut Sink<'a>,
    rows: Range<usize>,
) -> usize {
    let window = layer.conv.window;
    let channels = layer.conv.input.c / LANES * LANES;
    let kernel = (window.kernel_h, window.kernel_w);
    let strides = (window.stride_h, window.stride_w);
    let Some((shift, left)) = sink.usual(&rows, window.stride_w) else { return 0 };
    if kernel != (3, 3) || !matches!(strides, (1, 1) | (2, 2)) {
        return 0;
    }
    let taken = Taken::new(isa, left);
    let pass = Pass { isa, layer, sink, rows, channels, shift, taken };
    match (window.stride_w, taken.kind()) {
        (1, Taken::NONE) => pass.outline::<1, { Taken::NONE }>(),
        (1, Taken::RIGHT) => pass.outline::<1, { Taken::RIGHT }>(),
        (1, _) => pass.outline::<1, { Taken::ANY }>(),
        (_, Taken::NONE) => pass.outline::<2, { Taken::NONE }>(),
        (_, Taken::RIGHT) => pass.outline::<2, { Taken::RIGHT }>(),
        (_, _) => pass.outline::<2, { Taken::ANY }>(),
    }
    channels
}

/// Some rows of the first channels, whose epilogue is the usual one ([`Sink::usual`]).
struct Pass<'l, 'a> {
    isa: Avx2,
    layer: Layer<'a>,
    sink: &'l mut Sink<'a>,
    rows: Range<usize>,
    channels: usize,
    /// Right shift of the accumulators.
    shift: u32,
    /// Of the shortcut.
    taken: Taken,
}

impl Pass<'_, '_> {
    #[inline(always)]
    fn outline<const STRIDE: usize, const KIND: u8>(self) {
        let Pass { isa, layer, sink, rows, channels, shift, taken } = self;
        for channel in (0..channels).step_by(LANES) {
            let mut taps = [isa.splat16(0); 9];
            for (tap, weight) in taps.iter_mut().enumerate() {
                *weight = layer.weight(isa, tap, channel);
            }
            let group = Group {
                isa,
                taps,
                parameters: sink.row(rows.start).parameters(isa, channel),
                // Sums start so that they are rounded by the shift.
                // SAFETY: `isa` proves AVX2.
                half: unsafe { _mm256_set1_epi32((1 << shift) >> 1) },
                // SAFETY: as above.
                shift: unsafe { _mm256_set1_epi32(shift as i32) },
                narrow: isa.narrow_by(layer.narrow),
                taken,
            };
            let to = sink.usual_rows(rows.clone(), STRIDE).expect("the usual");
            let rows = Rows::<STRIDE, LANES>::new(
                layer.conv,
                layer.all(channel),
                to,
                rows.clone(),
                channel,
            );
            isa.outline(Run::<STRIDE, KIND> { group: &group, rows });
        }
    }
}

/// What 16 channels have in common.
#[derive(Clone, Copy)]
struct Group {
    isa: Avx2,
    /// Weights, row by row.
    taps: [__m256i; 9],
    parameters: Parameters<Avx2>,
    /// What the shift of the accumulators would round off, and that shift, to the right.
    half: __m256i,
    shift: __m256i,
    /// Of the input.
    narrow: Narrow<Avx2>,
    /// Of the shortcut.
    taken: Taken,
}

/// KIND: of the shortcut's shift.
struct Run<'g, const STRIDE: usize, const KIND: u8> {
    group: &'g Group,
    rows: Rows<STRIDE, LANES>,
}

impl<const STRIDE: usize, const KIND: u8> Work for Run<'_, STRIDE, KIND> {
    #[inline(always)]
    fn run(self) {
        // A copy, which no store can change.
        let Group { isa, taps, parameters, half, shift, narrow, taken } = *self.group;
        let Rows { range, pixels, lines, columns, channels, top, step, bytes, .. } = self.rows;
        let whole = isa.weights(taps);
        for row in range.0..range.1 {
            let inside = taps_inside(row, STRIDE, top, 3, lines);
            let mut weights = whole;
            if inside.len() < 3 {
                let mut taps = taps;
                for (tap, weight) in taps.iter_mut().enumerate() {
                    if !inside.contains(&(tap / 3)) {
                        *weight = isa.splat16(0);
                    }
                }
                weights = isa.weights(taps);
            }
            // Lines that are not there have weights of 0.
            let line = |ky: usize| {
                let y = if inside.contains(&ky) { STRIDE * row + ky - top } else { 0 };
                y * columns * channels
            };
            let done = row - range.0;
            // SAFETY: `Rows::new` looked at so many columns of each line, and at so many
            // pixels of everything.
            unsafe {
                Line::<STRIDE> {
                    isa,
                    weights,
                    parameters,
                    half,
                    shift,
                    narrow,
                    taken,
                    lines: [
                        self.rows.input.add(line(0)),
                        self.rows.input.add(line(1)),
                        self.rows.input.add(line(2)),
                    ],
                    shortcut: self.rows.shortcut.add(STRIDE * done * step),
                    stream: self.rows.stream.map(|stream| stream.add(done * pixels * channels)),
                    bits: self.rows.bits.add(done * pixels * bytes),
                    rows: self.rows,
                }
                .run::<KIND>();
            }
        }
    }
}

/// Three pixels, one below the other: see [`Taps::Column`].
type Column = (Pair, __m256i);

/// A row of the output of 16 channels; all pointers at the first of them.
#[derive(Clone, Copy)]
struct Line<const STRIDE: usize> {
    isa: Avx2,
    weights: [Pair; 5],
    parameters: Parameters<Avx2>,
    half: __m256i,
    shift: __m256i,
    narrow: Narrow<Avx2>,
    taken: Taken,
    /// Of the input.
    lines: [*const i16; 3],
    shortcut: *const i16,
    stream: Option<*mut i16>,
    bits: *mut u8,
    rows: Rows<STRIDE, LANES>,
}

impl<const STRIDE: usize> Line<STRIDE> {
    /// # Safety
    /// All pointers reach as far as the rows say.
    #[inline(always)]
    unsafe fn run<const KIND: u8>(mut self) {
        let Rows { pixels, columns, channels, left, .. } = self.rows;
        let first = 3 - left.min(2);
        let none = self.isa.column([self.isa.splat16(0); 3], self.narrow);
        // SAFETY: of this function.
        unsafe {
            let (mut a, mut b, mut c) = match first {
                3 => (self.at(0, none), self.at(1, none), self.at(2, none)),
                2 => (none, self.at(0, none), self.at(1, none)),
                _ => (none, none, self.at(0, none)),
            };
            // The next pixel's first new column, and how far to the next.
            let (mut column, mut at) = (first, first * channels);
            let step = STRIDE * channels;
            let mut p = 0;
            // As many at a time as it takes until a column is where it was.
            while STRIDE == 1 && p + 3 <= pixels && column + 3 <= columns {
                self.put::<KIND>([a, b, c]);
                a = self.column(at);
                self.put::<KIND>([b, c, a]);
                b = self.column(at + step);
                self.put::<KIND>([c, a, b]);
                c = self.column(at + 2 * step);
                (p, column, at) = (p + 3, column + 3, at + 3 * step);
            }
            while STRIDE == 2 && p + 2 <= pixels && column + 4 <= columns {
                self.put::<KIND>([a, b, c]);
                b = self.column(at);
                a = self.column(at + channels);
                self.put::<KIND>([c, b, a]);
                b = self.column(at + step);
                c = self.column(at + step + channels);
                (p, column, at) = (p + 2, column + 4, at + 2 * step);
            }
            while p < pixels {
                self.put::<KIND>([a, b, c]);
                p += 1;
                (a, b, c) = match STRIDE {
                    1 => (b, c, self.at(column, none)),
                    _ => (c, self.at(column, none), self.at(column + 1, none)),
                };
                column += STRIDE;
            }
        }
    }
    /// A column of the input; `none` past the last.
    ///
    /// # Safety
    /// All columns have 16 channels in each line.
    #[inline(always)]
    unsafe fn at(&self, column: usize, none: Column) -> Column {
        if column >= self.rows.columns {
            return none;
        }
        // SAFETY: of this function.
        unsafe { self.column(column * self.rows.channels) }
    }

    /// The column so many elements from the first.
    ///
    /// # Safety
    /// It has 16 channels in each line.
    #[inline(always)]
    unsafe fn column(&self, at: usize) -> Column {
        // SAFETY: of this function; an `Avx2` proves AVX2.
        unsafe {
            let pixels = [
                _mm256_loadu_si256(self.lines[0].add(at).cast()),
                _mm256_loadu_si256(self.lines[1].add(at).cast()),
                _mm256_loadu_si256(self.lines[2].add(at).cast()),
            ];
            self.isa.column(pixels, self.narrow)
        }
    }

    /// One pixel, and on to the next.
    ///
    /// # Safety
    /// It is there, of the shortcut too.
    #[inline(always)]
    unsafe fn put<const KIND: u8>(&mut self, window: [Column; 3]) {
        let Line { isa, ref weights, ref parameters, half, shift, ref taken, shortcut, .. } = *self;
        let Rows { step, channels, bytes, word, .. } = self.rows;
        let [low, high] = isa.nine_from([half; 2], window, weights);
        // SAFETY: of this function; `isa` proves AVX2.
        unsafe {
            let extra = match STRIDE {
                1 => _mm256_loadu_si256(shortcut.cast()),
                _ => mean_of_four(isa, [shortcut, shortcut.add(step)], channels),
            };
            let sums = [_mm256_srav_epi32(low, shift), _mm256_srav_epi32(high, shift)];
            let scaled = parameters.scale(isa, isa.saturate32(sums));
            let y = isa.adds16(scaled, taken.apply::<KIND>(isa, extra));
            let y = parameters.prelu(isa, y);
            if let Some(stream) = self.stream {
                _mm256_storeu_si256(stream.cast(), y);
            }
            let below = isa.less16(y, parameters.sign);
            if word {
                self.bits.cast::<u64>().write_unaligned(u64::from(below).to_le());
            } else {
                self.bits.cast::<u16>().write_unaligned((below as u16).to_le());
            }
            // Past the last pixel no one looks.
            self.shortcut = shortcut.wrapping_add(STRIDE * channels);
            self.stream = self.stream.map(|stream| stream.wrapping_add(channels));
            self.bits = self.bits.wrapping_add(bytes);
        }
    }
}

/// The means of two pixels in each of two lines, `channels` elements from one to the next.
///
/// `(a + b + c + d + 2) >> 2` of unsigned numbers is the mean, rounded up, of the means s
/// and t of two each, rounded up; less 1 if what was rounded adds up to one: if s + t is
/// odd, and a + b or c + d. Signed numbers become unsigned ones by their sign bits.
///
/// # Safety
/// They have 16 elements each.
#[inline(always)]
unsafe fn mean_of_four(isa: Avx2, [upper, lower]: [*const i16; 2], channels: usize) -> __m256i {
    let (sign, one) = (isa.splat16(i16::MIN), isa.splat16(1));
    // SAFETY: of this function; `isa` proves AVX2.
    unsafe {
        let load = |from: *const i16| _mm256_xor_si256(sign, _mm256_loadu_si256(from.cast()));
        let (a, b) = (load(upper), load(upper.add(channels)));
        let (c, d) = (load(lower), load(lower.add(channels)));
        let (s, t) = (_mm256_avg_epu16(a, b), _mm256_avg_epu16(c, d));
        let odd = _mm256_or_si256(_mm256_xor_si256(a, b), _mm256_xor_si256(c, d));
        let lost = _mm256_and_si256(_mm256_and_si256(odd, one), _mm256_xor_si256(s, t));
        _mm256_xor_si256(sign, _mm256_sub_epi16(_mm256_avg_epu16(s, t), lost))
    }
}
