//! 3×3 8-bit depthwise convolution in one pass: from the loads of a row to its
//! stores, nothing is put aside. 32 registers hold the weights, the window and the
//! epilogue's parameters of 32 channels at once. It is for the epilogue that almost
//! all of these layers have: bits, perhaps a stream, a shifted PReLU, and a shortcut
//! that is the input, or its 2×2 means where the stride is 2.
//!
//! A row's loop has no bounds to check, which would take more registers than there
//! are: they are checked once per row ([`Row::new`]).

use core::arch::x86_64::*;
use core::ops::Range;

use super::Avx512;
use super::int8_depthwise::{Fours, Nine};
use super::lanes::{Scale, load, store};
use crate::generic::epilogue::{Parameters, Sink};
use crate::generic::int8_depthwise::{Layer, Taps};
use crate::generic::lanes::{Lanes, WIDE, Work};
use crate::generic::shortcut::quarter;
use crate::generic::taps_inside;
use crate::generic::usual::UsualRows;

/// Some rows of some channels, whose epilogue is the usual one ([`Sink::usual`]);
/// WHOLE if they are groups of 32, FAR if its shift goes far to the left ([`Scale::far`]).
pub(super) struct Pass<'l, 'a, const STRIDE: usize, const WHOLE: bool, const FAR: bool> {
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

impl<const STRIDE: usize, const WHOLE: bool, const FAR: bool> Work
    for Pass<'_, '_, STRIDE, WHOLE, FAR>
{
    #[inline(always)]
    fn run(self) {
        let Pass { isa, layer, sink, rows, channels, shift, scale } = self;
        let (window, input) = (layer.conv.window, layer.conv.input);
        let narrow = Scale::right(isa, layer.narrow);
        // Sums start so that they are rounded by the shift.
        let half = isa.splat32((1 << shift) >> 1);
        for channel in channels.step_by(WIDE) {
            let parameters = sink.row(rows.start).parameters(isa, channel);
            let mut weight = [isa.splat16(0); 9];
            for (tap, weight) in weight.iter_mut().enumerate() {
                *weight = layer.weight(isa, tap, channel);
            }
            let whole = isa.weights(weight);
            for row in rows.clone() {
                let inside = taps_inside(row, window.stride_h, window.pad_top, 3, input.h);
                let mut weights = isa.inside(&whole, &inside);
                weights.start = isa.add32(weights.start, [half; 2]);
                let top = row * window.stride_h;
                let lines = [
                    layer.line(&inside, top, 0, channel),
                    layer.line(&inside, top, 1, channel),
                    layer.line(&inside, top, 2, channel),
                ];
                let to = sink.usual_rows(row..row + 1, STRIDE).expect("the usual");
                let group = Group { isa, weights, parameters, shift, narrow, scale, channel };
                let row = Row::<STRIDE>::new(lines, input.w, to, channel, input.c);
                row.run::<WHOLE, FAR>(&group, window.pad_left);
            }
        }
    }
}

/// What up to 32 channels have in common in all pixels of a row.
struct Group {
    isa: Avx512,
    /// Sums start so that they are rounded by the shift.
    weights: Nine,
    parameters: Parameters<Avx512, WIDE>,
    /// Right shift of the accumulators.
    shift: u32,
    /// Of the input.
    narrow: Scale,
    /// Of the shortcut.
    scale: Scale,
    channel: usize,
}

/// One row of up to 32 channels, all pointers at the first of them.
struct Row<const STRIDE: usize> {
    lines: [*const i16; 3],
    /// Columns of the input.
    columns: usize,
    shortcut: [*const i16; 2],
    stream: Option<*mut i16>,
    bits: *mut u8,
    /// Pixels of the output.
    pixels: usize,
    /// Elements per pixel, of the input as of the output.
    channels: usize,
    /// Those of 32 channels that exist.
    there: __mmask32,
    /// Bytes per pixel of bits.
    bytes: usize,
}

impl<const STRIDE: usize> Row<STRIDE> {
    /// `lines` start at the channel, the rest at the row.
    ///
    /// Panics if anything is shorter than what [`Row::run`] will touch.
    #[inline(always)]
    fn new(
        lines: [&[i16]; 3],
        columns: usize,
        to: UsualRows<'_>,
        channel: usize,
        channels: usize,
    ) -> Self {
        let UsualRows { pixels, stream, bits, pixel, shortcut, .. } = to;
        let bits = bits.unwrap_or_default();
        let (upper, lower) = shortcut.split_at(shortcut.len() / STRIDE);
        let shortcut = [upper, if STRIDE == 1 { upper } else { lower }];
        let reach = |pixels: usize, of: usize, own: usize| (pixels - 1) * of + own;
        let part = channel / 8;
        let count = (channels - channel).min(WIDE);
        let from = shortcut.map(|line| &line[channel..][..reach(STRIDE * pixels, channels, count)]);
        Row {
            lines: lines.map(|line| line[..reach(columns, channels, count)].as_ptr()),
            columns,
            shortcut: from.map(<[i16]>::as_ptr),
            stream: stream.map(|all| all[channel..][..reach(pixels, channels, count)].as_mut_ptr()),
            bits: bits[part..][..reach(pixels, pixel, pixel - part)].as_mut_ptr(),
            pixels,
            channels,
            there: u32::MAX >> (WIDE - count),
            bytes: pixel,
        }
    }

    #[inline(always)]
    fn run<const WHOLE: bool, const FAR: bool>(self, group: &Group, pad_left: usize) {
        let Group { isa, weights, parameters, shift, narrow, scale, channel } = *group;
        let Row { lines, columns, shortcut, stream, bits, pixels, channels, there, bytes } = self;
        let zero = isa.splat16(0);
        let none = isa.bytes([zero; 3]);
        let strip = Strip { isa, lines, columns, channels, there, narrow, none };
        let first = 3 - pad_left.min(2);
        // SAFETY: `Row::new` looked at the lines of so many columns; so below.
        let (mut a, mut b, mut c) = unsafe {
            match first {
                3 => (strip.column::<WHOLE>(0), strip.column::<WHOLE>(1), strip.column::<WHOLE>(2)),
                2 => (none, strip.column::<WHOLE>(0), strip.column::<WHOLE>(1)),
                _ => (none, none, strip.column::<WHOLE>(0)),
            }
        };
        // The first of a word of 64 channels writes all of it.
        let whole = channel.is_multiple_of(64);
        for p in 0..pixels {
            let [mut low, mut high] = isa.nine([a, b, c], &weights);
            // SAFETY: `isa` proves AVX-512 F and BW; `Row::new` looked at so many pixels
            // of everything.
            unsafe {
                let mut extra = match STRIDE {
                    1 => load::<WHOLE>(isa, shortcut[0].add(p * channels), there),
                    _ => mean_of_four::<WHOLE>(isa, shortcut, 2 * p * channels, channels, there),
                };
                extra = scale.apply::<FAR>(isa, extra);
                let count = _mm_cvtsi32_si128(shift as i32);
                (low, high) = (_mm512_sra_epi32(low, count), _mm512_sra_epi32(high, count));
                let scaled = parameters.scale(isa, _mm512_packs_epi32(low, high));
                let y = parameters.prelu(isa, isa.adds16(scaled, extra));
                if let Some(stream) = stream {
                    store::<WHOLE>(isa, y, stream.add(p * channels), there);
                }
                let below = isa.less16(y, parameters.sign) & if WHOLE { u32::MAX } else { there };
                let to = bits.add(p * bytes);
                if whole {
                    to.cast::<u64>().write_unaligned(u64::from(below).to_le());
                } else {
                    to.cast::<u32>().write_unaligned(below.to_le());
                }
            }
            let next = first + p * STRIDE;
            // SAFETY: see above.
            (a, b, c) = unsafe {
                match STRIDE {
                    1 => (b, c, strip.column::<WHOLE>(next)),
                    _ => (c, strip.column::<WHOLE>(next), strip.column::<WHOLE>(next + 1)),
                }
            };
        }
    }
}

/// Three rows of the input.
#[derive(Clone, Copy)]
struct Strip {
    isa: Avx512,
    lines: [*const i16; 3],
    columns: usize,
    channels: usize,
    there: __mmask32,
    narrow: Scale,
    /// A column of zeros.
    none: Fours,
}

impl Strip {
    /// A column; zeros past the last.
    ///
    /// # Safety
    /// All columns have those elements that are there in each line.
    #[inline(always)]
    unsafe fn column<const WHOLE: bool>(&self, column: usize) -> Fours {
        let Strip { isa, lines: [upper, middle, lower], columns, channels, there, narrow, none } =
            *self;
        if column >= columns {
            return none;
        }
        let first = column * channels;
        // SAFETY: of this function; `isa` proves AVX-512 F.
        let pixels = unsafe {
            [
                load::<WHOLE>(isa, upper.add(first), there),
                load::<WHOLE>(isa, middle.add(first), there),
                load::<WHOLE>(isa, lower.add(first), there),
            ]
        };
        let [upper, middle, lower] = pixels;
        isa.bytes([
            narrow.apply::<false>(isa, upper),
            narrow.apply::<false>(isa, middle),
            narrow.apply::<false>(isa, lower),
        ])
    }
}

/// The means of two pixels `first` elements further on in each of two lines.
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
    // SAFETY: of this function; `isa` proves AVX-512 F.
    let pixels = unsafe {
        [
            load::<WHOLE>(isa, upper.add(first), there),
            load::<WHOLE>(isa, upper.add(first + channels), there),
            load::<WHOLE>(isa, lower.add(first), there),
            load::<WHOLE>(isa, lower.add(first + channels), there),
        ]
    };
    quarter(isa, pixels)
}
