//! 3×3 8-bit depthwise convolution in one pass: from the loads of a row to its
//! stores, nothing is put aside. It is for the epilogue that almost all of these layers
//! have: bits, perhaps a stream, a shifted PReLU, and a shortcut that is the input, or its
//! 2×2 means where the stride is 2; or bits by thresholds of the sums, and nothing else.
//!
//! Where the stride is 1, two rows of the output share the four lines that they read: what
//! a product of four bytes takes, so that none of it is idle, and each pixel of the input
//! is made a byte twice, not three times.
//!
//! A row's loop has no bounds to check, which would take more registers than there
//! are: they are checked once ([`Rows::new`]). It is a function of its own ([`Run`]), and
//! works on copies: what others might write to is loaded again at each use, and from a
//! stack that no one aligned to 64 bytes.

// Fixed loops over indices are unrolled into registers; iterators over the same
// arrays often are not.
#![allow(clippy::needless_range_loop)]

use core::arch::x86_64::*;
use core::ops::Range;

use super::Avx512;
use super::int8_depthwise::{Fours, Nine};
use super::lanes::{Right, Scale, load, store};
use crate::generic::cut;
use crate::generic::epilogue::{Parameters, Sink};
use crate::generic::int8_depthwise::{Layer, Taps};
use crate::generic::lanes::{Lanes, Outline, WIDE, Work};
use crate::passes::depthwise_rows::Rows;

/// KIND of an epilogue: the usual one ([`Sink::usual`]).
pub(super) const NEAR: u8 = 0;
/// The same, with a shift that goes far to the left ([`Scale::far`]).
pub(super) const FAR: u8 = 1;
/// Thresholds of sums.
pub(super) const SIGNS: u8 = 2;

/// Some rows of some channels; WHOLE if they are groups of 32.
pub(super) struct Pass<'l, 'a, const STRIDE: usize, const WHOLE: bool, const KIND: u8> {
    pub(super) isa: Avx512,
    pub(super) layer: Layer<'a>,
    pub(super) sink: &'l mut Sink<'a>,
    pub(super) rows: Range<usize>,
    pub(super) channels: Range<usize>,
    /// Right shift of the accumulators.
    pub(super) shift: u32,
    /// Of the shortcut.
    pub(super) scale: Scale,
}

impl<const STRIDE: usize, const WHOLE: bool, const KIND: u8> Work
    for Pass<'_, '_, STRIDE, WHOLE, KIND>
{
    #[inline(always)]
    fn run(self) {
        let Pass { isa, layer, sink, rows, channels, shift, scale } = self;
        for channel in channels.step_by(WIDE) {
            let mut weight = [isa.splat16(0); 9];
            for (tap, weight) in weight.iter_mut().enumerate() {
                *weight = layer.weight(isa, tap, channel);
            }
            let group = Group {
                isa,
                weights: isa.weights(weight),
                parameters: sink.row(rows.start).parameters(isa, channel),
                start: match KIND {
                    SIGNS => isa.load32(&sink.less_thresholds(channel)),
                    _ => [isa.splat32((1 << shift) >> 1); 2],
                },
                shift: isa.splat32(shift as i32),
                narrow: Right::new(isa, layer.narrow),
                scale,
            };
            let (conv, all) = (layer.conv, layer.all(channel));
            let to = match KIND {
                SIGNS => sink.sign_rows(rows.clone()),
                _ => sink.usual_rows(rows.clone(), STRIDE),
            };
            let rows = to.and_then(|to| Rows::<STRIDE, WIDE>::new(conv, all, to, &rows, channel));
            let Some(rows) = cut::there(rows) else { return };
            let group = &group;
            if STRIDE == 1 && rows.range.1 - rows.range.0 > 1 {
                isa.outline(Run::<STRIDE, 2, WHOLE, KIND> { group, rows });
            } else {
                isa.outline(Run::<STRIDE, 1, WHOLE, KIND> { group, rows });
            }
        }
    }
}

/// What up to 32 channels have in common.
#[derive(Clone, Copy)]
struct Group {
    isa: Avx512,
    weights: Nine,
    parameters: Parameters<Avx512, WIDE>,
    /// What sums start at: so that the shift of the accumulators rounds them or, for
    /// [`SIGNS`], below 0 where they are below their thresholds.
    start: Fours,
    /// Of the accumulators, to the right.
    shift: __m512i,
    /// Of the input.
    narrow: Right,
    /// Of the shortcut.
    scale: Scale,
}

/// `ROWS` rows of the output at a time, 1 or 2, for which 3 lines of the input are read or
/// 4; what 32 bits hold. Apart from how it came about, which would take registers.
struct Run<'g, const STRIDE: usize, const ROWS: usize, const WHOLE: bool, const KIND: u8> {
    group: &'g Group,
    rows: Rows<STRIDE, WIDE>,
}

impl<const STRIDE: usize, const ROWS: usize, const WHOLE: bool, const KIND: u8> Work
    for Run<'_, STRIDE, ROWS, WHOLE, KIND>
{
    #[inline(always)]
    fn run(self) {
        // A copy, which no store can change: it stays in registers.
        let Group { isa, parameters, start, shift, narrow, scale, .. } = *self.group;
        let Rows { range, pixels, lines, columns, channels, top, step, bytes, .. } = self.rows;
        let read = STRIDE * (ROWS - 1) + 3;
        let mut weights = [self.group.weights; ROWS];
        let mut placed = None;
        for first in (range.0..range.1).step_by(ROWS) {
            // The last rows may overlap those before them: the same values are written
            // twice.
            let first = first.min(range.1 - ROWS);
            // The first line that is wanted, and the first that is read.
            let wanted = (STRIDE * first) as isize - top as isize;
            let line = wanted.clamp(0, lines.saturating_sub(read) as isize);
            if placed != Some(wanted - line) {
                for (row, weights) in weights.iter_mut().enumerate() {
                    let down = wanted - line + (STRIDE * row) as isize;
                    *weights = isa.moved(&self.group.weights, down, lines - line as usize);
                    weights.start = isa.add32(weights.start, start);
                }
                placed = Some(wanted - line);
            }
            let (line, done) = (line as usize, first - range.0);
            let elements = columns * channels;
            // Lines that are not there have weights of 0.
            let other = |at: usize| at.min(lines - 1 - line) * elements;
            // SAFETY: `Rows::new` looked at so many columns of each line, and at so many
            // pixels of everything.
            unsafe {
                Line::<STRIDE, ROWS> {
                    isa,
                    weights,
                    parameters,
                    shift,
                    narrow,
                    scale,
                    input: self.rows.input.add(line * elements),
                    others: [other(1), other(2), other(3)],
                    shortcut: self.rows.shortcut.wrapping_add(STRIDE * done * step),
                    stream: self.rows.stream.map(|stream| stream.add(done * pixels * channels)),
                    bits: self.rows.bits.add(done * pixels * bytes),
                    rows: self.rows,
                }
                .run::<WHOLE, KIND>();
            }
        }
    }
}

/// `ROWS` rows of the output of up to 32 channels; all pointers at the first of them.
#[derive(Clone, Copy)]
struct Line<const STRIDE: usize, const ROWS: usize> {
    isa: Avx512,
    /// Sums start at [`Group::start`].
    weights: [Nine; ROWS],
    parameters: Parameters<Avx512, WIDE>,
    shift: __m512i,
    narrow: Right,
    scale: Scale,
    /// The first line of the input, and elements from it to the others.
    input: *const i16,
    others: [usize; 3],
    shortcut: *const i16,
    stream: Option<*mut i16>,
    bits: *mut u8,
    rows: Rows<STRIDE, WIDE>,
}

impl<const STRIDE: usize, const ROWS: usize> Line<STRIDE, ROWS> {
    /// A pixel's values wait for the next before they are finished: what is computed at
    /// any time does not depend on each other, and so on fewer instructions that a
    /// processor has to look ahead.
    ///
    /// # Safety
    /// All pointers reach as far as the rows say.
    #[inline(always)]
    unsafe fn run<const WHOLE: bool, const KIND: u8>(mut self) {
        let Rows { pixels, columns, channels, left, .. } = self.rows;
        let first = 3 - left.min(2);
        let none = self.isa.bytes([self.isa.splat16(0); 4]);
        // SAFETY: of this function.
        unsafe {
            let (mut a, mut b, mut c) = match first {
                3 => (
                    self.at::<WHOLE>(0, none),
                    self.at::<WHOLE>(1, none),
                    self.at::<WHOLE>(2, none),
                ),
                2 => (none, self.at::<WHOLE>(0, none), self.at::<WHOLE>(1, none)),
                _ => (none, none, self.at::<WHOLE>(0, none)),
            };
            let mut y = self.values::<WHOLE, KIND>([a, b, c]);
            (a, b, c) = self.next::<WHOLE>(first, [b, c], none);
            let mut p = 0;
            // As many at a time as it takes until a column is where it was, while the
            // columns of the pixel after the next are all there.
            let inside = (columns.saturating_sub(first) / STRIDE).min(pixels);
            let step = STRIDE * channels;
            let mut from = self.input.wrapping_add((first + STRIDE) * channels);
            while STRIDE == 1 && p + 3 < inside {
                y = self.turn::<WHOLE, KIND>(y, [a, b, c]);
                a = self.column::<WHOLE>(from);
                y = self.turn::<WHOLE, KIND>(y, [b, c, a]);
                from = from.add(step);
                b = self.column::<WHOLE>(from);
                y = self.turn::<WHOLE, KIND>(y, [c, a, b]);
                from = from.add(step);
                c = self.column::<WHOLE>(from);
                from = from.wrapping_add(step);
                p += 3;
            }
            while STRIDE == 2 && p + 2 < inside {
                y = self.turn::<WHOLE, KIND>(y, [a, b, c]);
                b = self.column::<WHOLE>(from);
                a = self.column::<WHOLE>(from.add(channels));
                y = self.turn::<WHOLE, KIND>(y, [c, b, a]);
                from = from.add(step);
                b = self.column::<WHOLE>(from);
                c = self.column::<WHOLE>(from.add(channels));
                from = from.wrapping_add(step);
                p += 2;
            }
            while p + 1 < pixels {
                y = self.turn::<WHOLE, KIND>(y, [a, b, c]);
                p += 1;
                (a, b, c) = self.next::<WHOLE>(first + p * STRIDE, [b, c], none);
            }
            self.put::<WHOLE, KIND>(y);
        }
    }

    /// The columns of the next pixel, whose first new one is `column`.
    ///
    /// # Safety
    /// That of [`Line::at`].
    #[inline(always)]
    unsafe fn next<const WHOLE: bool>(
        &self,
        column: usize,
        [b, c]: [Fours; 2],
        none: Fours,
    ) -> (Fours, Fours, Fours) {
        // SAFETY: of this function.
        unsafe {
            let new = self.at::<WHOLE>(column, none);
            match STRIDE {
                1 => (b, c, new),
                _ => (c, new, self.at::<WHOLE>(column + 1, none)),
            }
        }
    }

    /// A column of the input; `none` past the last.
    ///
    /// # Safety
    /// All columns have those elements that are there in each line.
    #[inline(always)]
    unsafe fn at<const WHOLE: bool>(&self, column: usize, none: Fours) -> Fours {
        if column >= self.rows.columns {
            return none;
        }
        // SAFETY: of this function.
        unsafe { self.column::<WHOLE>(self.input.add(column * self.rows.channels)) }
    }

    /// A column of the input, from its first line on.
    ///
    /// # Safety
    /// All lines have those elements that are there.
    #[inline(always)]
    unsafe fn column<const WHOLE: bool>(&self, from: *const i16) -> Fours {
        let Line { isa, narrow, others, rows: Rows { there, .. }, .. } = *self;
        // SAFETY: of this function.
        unsafe {
            let a = narrow.apply(isa, load::<WHOLE>(isa, from, there));
            let b = narrow.apply(isa, load::<WHOLE>(isa, from.add(others[0]), there));
            let c = narrow.apply(isa, load::<WHOLE>(isa, from.add(others[1]), there));
            let d = match ROWS {
                // Its weights are 0.
                1 => b,
                _ => narrow.apply(isa, load::<WHOLE>(isa, from.add(others[2]), there)),
            };
            isa.bytes([a, b, c, d])
        }
    }

    /// Finishes the pixels whose values are `y`; the values of the next.
    ///
    /// # Safety
    /// Both are there.
    #[inline(always)]
    unsafe fn turn<const WHOLE: bool, const KIND: u8>(
        &mut self,
        y: [__m512i; ROWS],
        window: [Fours; 3],
    ) -> [__m512i; ROWS] {
        let Rows { channels, bytes, .. } = self.rows;
        // SAFETY: of this function.
        unsafe {
            self.put::<WHOLE, KIND>(y);
            self.stream = self.stream.map(|stream| stream.add(channels));
            self.bits = self.bits.add(bytes);
            if KIND != SIGNS {
                self.shortcut = self.shortcut.add(STRIDE * channels);
            }
            self.values::<WHOLE, KIND>(window)
        }
    }

    /// Values before the PReLU, or sums less thresholds.
    ///
    /// # Safety
    /// The shortcut is there, if there is one.
    #[inline(always)]
    unsafe fn values<const WHOLE: bool, const KIND: u8>(
        &self,
        window: [Fours; 3],
    ) -> [__m512i; ROWS] {
        let Line { isa, ref weights, ref parameters, shift, scale, shortcut, .. } = *self;
        let Rows { step, channels, there, .. } = self.rows;
        let mut values = [isa.splat16(0); ROWS];
        for row in 0..ROWS {
            let [low, high] = isa.nine(window, &weights[row]);
            if KIND == SIGNS {
                values[row] = isa.saturate32([low, high]);
                continue;
            }
            // SAFETY: of this function; `isa` proves AVX-512 F.
            unsafe {
                let from = shortcut.add(STRIDE * row * step);
                let extra = match STRIDE {
                    1 => load::<WHOLE>(isa, from, there),
                    _ => mean_of_four::<WHOLE>(isa, [from, from.add(step)], 0, channels, there),
                };
                let sums = [_mm512_srav_epi32(low, shift), _mm512_srav_epi32(high, shift)];
                let scaled = parameters.scale(isa, isa.saturate32(sums));
                let extra = match KIND {
                    FAR => scale.apply::<true>(isa, extra),
                    _ => scale.apply::<false>(isa, extra),
                };
                values[row] = isa.adds16(scaled, extra);
            }
        }
        values
    }

    /// The PReLU and the stores.
    ///
    /// # Safety
    /// The pixels are there.
    #[inline(always)]
    unsafe fn put<const WHOLE: bool, const KIND: u8>(&self, y: [__m512i; ROWS]) {
        let Line { isa, ref parameters, stream, bits, .. } = *self;
        let Rows { pixels, word, channels, bytes, there, .. } = self.rows;
        for row in 0..ROWS {
            let (y, least) = match KIND {
                SIGNS => (y[row], isa.splat16(0)),
                _ => (parameters.prelu(isa, y[row]), parameters.sign),
            };
            // SAFETY: of this function.
            unsafe {
                if let (NEAR | FAR, Some(stream)) = (KIND, stream) {
                    store::<WHOLE>(isa, y, stream.add(row * pixels * channels), there);
                }
                let below = isa.less16(y, least) & if WHOLE { u32::MAX } else { there };
                let to = bits.add(row * pixels * bytes);
                if word {
                    to.cast::<u64>().write_unaligned(u64::from(below).to_le());
                } else {
                    to.cast::<u32>().write_unaligned(below.to_le());
                }
            }
        }
    }
}

/// The means of two pixels `first` elements further on in each of two lines.
///
/// `(a + b + c + d + 2) >> 2` of unsigned numbers is the mean, rounded up, of the means s
/// and t of two each, rounded up; less 1 if what was rounded adds up to one: if s + t is
/// odd, and a + b or c + d. Signed numbers become unsigned ones by their sign bits.
///
/// # Safety
/// In each there are `channels` more, and from there on those that are `there`.
#[inline(always)]
pub(super) unsafe fn mean_of_four<const WHOLE: bool>(
    isa: Avx512,
    [upper, lower]: [*const i16; 2],
    first: usize,
    channels: usize,
    there: __mmask32,
) -> __m512i {
    let (sign, one) = (isa.splat16(i16::MIN), isa.splat16(1));
    // SAFETY: of this function; `isa` proves AVX-512 F and BW.
    unsafe {
        let a = _mm512_xor_si512(load::<WHOLE>(isa, upper.add(first), there), sign);
        let b = _mm512_xor_si512(load::<WHOLE>(isa, upper.add(first + channels), there), sign);
        let c = _mm512_xor_si512(load::<WHOLE>(isa, lower.add(first), there), sign);
        let d = _mm512_xor_si512(load::<WHOLE>(isa, lower.add(first + channels), there), sign);
        let (s, t) = (_mm512_avg_epu16(a, b), _mm512_avg_epu16(c, d));
        // Truth tables: x | (y ^ z), x & (y ^ z), (x & y) | z.
        let odd = _mm512_ternarylogic_epi64::<0xF6>(_mm512_xor_si512(a, b), c, d);
        let lost = _mm512_ternarylogic_epi64::<0x60>(odd, s, t);
        let less = _mm512_ternarylogic_epi64::<0xEA>(lost, one, sign);
        _mm512_sub_epi16(_mm512_avg_epu16(s, t), less)
    }
}
