//! How windows of an 8-bit convolution are laid out for their products.

use core::ops::Range;

use super::cut;
use super::int8_conv::Dot;
use super::lanes::{LANES, Lanes, Narrow, load16_padded, padded};
use super::taps_inside;
use crate::types::Conv;

/// How input elements become laid-out values.
pub(super) enum Source<'a, L: Lanes> {
    Image {
        pixels: &'a [u8],
        zero: &'a [u8],
        /// `zero` repeated, from which any 16 consecutive channels can be
        /// read; in use for fewer than 16 channels.
        cycle: [u8; 2 * LANES],
    },
    Stream {
        values: &'a [i16],
        narrow: Narrow<L>,
    },
}

impl<L: Lanes> Source<'_, L> {
    /// Whether what stands for 0 is not 0.
    #[inline(always)]
    pub(super) fn biased<S: Dot>(&self) -> bool {
        S::BYTES == 1 && (S::FLIP == 0 || matches!(self, Source::Image { .. }))
    }

    /// What is taken off 16 pixels of an image with `channels` channels, the
    /// first of them of channel `phase`.
    #[inline(always)]
    fn zero(&self, lanes: L, phase: usize, channels: usize) -> L::I16 {
        match self {
            Source::Image { zero, cycle, .. } => {
                lanes.load_u8(&sixteen(zero, cycle, phase, channels))
            }
            Source::Stream { .. } => lanes.splat16(0),
        }
    }

    /// Lays out `count` values that stand outside the input, the first of them of
    /// channel `phase`; up to 15 more of `to` are touched.
    #[inline(always)]
    pub(super) fn outside<S: Dot>(&self, phase: usize, count: usize, to: &mut [u8]) {
        match self {
            _ if S::BYTES > 1 => cut::part_mut(to, ..S::BYTES * count).fill(0),
            Source::Image { zero, cycle, .. } => {
                let (mut channel, channels) = (phase, zero.len());
                let to = cut::part_mut(to, ..count.next_multiple_of(LANES));
                for to in to.as_chunks_mut().0 {
                    *to = flipped::<S>(&sixteen(zero, cycle, channel, channels));
                    channel = (channel + LANES) % cut::divisor(channels);
                }
            }
            Source::Stream { .. } => cut::part_mut(to, ..count).fill(128 ^ S::FLIP),
        }
    }
}

/// Lays out windows of whose columns all are inside the input, `stride` bytes
/// apart: piece by piece of 16 elements, so that what depends on the channel is had
/// once for all of them. A piece that ends a row of the window spills over the next
/// row, which is laid out after.
#[inline(always)]
pub(super) fn whole_windows<S: Dot>(
    isa: S,
    conv: &Conv,
    source: &Source<'_, S::L>,
    row: usize,
    columns: Range<usize>,
    windows: &mut [u8],
    stride: usize,
) {
    let lanes = isa.lanes();
    let Conv { input: shape, window, .. } = *conv;
    let inside = taps_inside(row, window.stride_h, window.pad_top, window.kernel_h, shape.h);
    let x = columns.start * window.stride_w - window.pad_left;
    // Wraps above the input.
    let y = (row * window.stride_h).wrapping_sub(window.pad_top);
    let kernel_row = window.kernel_w * shape.c;
    let step = window.stride_w * shape.c;
    if let (Source::Image { pixels, .. }, 1, 3, 3, 0..=LANES) =
        (source, S::BYTES, window.kernel_h, inside.len(), kernel_row)
    {
        // Most often: one loop for the three rows, unless they reach past the image's
        // end.
        let reach = (columns.len() - 1) * step + LANES;
        let line = |ky: usize| {
            let first = ((y + ky) * shape.w + x) * shape.c;
            pixels.get(first..first + reach)
        };
        if let (Some(upper), Some(middle), Some(lower)) = (line(0), line(1), line(2)) {
            let places = windows.chunks_exact_mut(cut::divisor(stride)).take(columns.len());
            for (p, place) in places.enumerate() {
                for (ky, line) in [upper, middle, lower].into_iter().enumerate() {
                    if let (Some(to), Some(from)) = (
                        cut::part_mut(place, ky * kernel_row..).first_chunk_mut(),
                        cut::part(line, p * step..).first_chunk(),
                    ) {
                        *to = flipped::<S>(from);
                    }
                }
            }
            return;
        }
    }
    // What spills over the last row's end is in the slack.
    let wide = (LANES + 1..=2 * LANES).contains(&kernel_row)
        && (window.kernel_h - 1) * kernel_row + 2 * LANES <= stride;
    for ky in 0..window.kernel_h {
        let element =
            (y.wrapping_add(ky).wrapping_mul(shape.w).wrapping_add(x)).wrapping_mul(shape.c);
        if let (Source::Image { pixels, .. }, 1, true, true) =
            (source, S::BYTES, wide, inside.contains(&ky))
        {
            // The row of a large window over few channels in one piece.
            let last = element + (columns.len() - 1) * step;
            if let Some(pixels) = pixels.get(element..last + 2 * LANES) {
                let places = windows.chunks_exact_mut(cut::divisor(stride)).take(columns.len());
                for (p, place) in places.enumerate() {
                    let (to, from) =
                        (cut::part_mut(place, ky * kernel_row..), cut::part(pixels, p * step..));
                    if let (Some(to), Some(from)) =
                        (to.first_chunk_mut::<{ 2 * LANES }>(), from.first_chunk::<{ 2 * LANES }>())
                    {
                        for (to, from) in to.as_chunks_mut().0.iter_mut().zip(from.as_chunks().0) {
                            *to = flipped::<S>(from);
                        }
                    }
                }
                continue;
            }
        }
        for piece in (0..kernel_row).step_by(LANES) {
            let to = S::BYTES * (ky * kernel_row + piece);
            let places = windows.chunks_exact_mut(cut::divisor(stride)).take(columns.len());
            let mut at = element + piece;
            match source {
                _ if !inside.contains(&ky) => {
                    for place in places {
                        let place = cut::part_mut(place, to..);
                        source.outside::<S>(piece % cut::divisor(shape.c), LANES, place);
                    }
                }
                Source::Image { pixels, .. } if S::BYTES == 1 => {
                    // Apart from what may reach past the image's end, so that the loop
                    // is a load and a store.
                    let last = at + (columns.len() - 1) * step;
                    if let Some(pixels) = pixels.get(at..last + LANES) {
                        for (p, place) in places.enumerate() {
                            if let (Some(to), Some(from)) = (
                                cut::part_mut(place, to..).first_chunk_mut(),
                                cut::part(pixels, p * step..).first_chunk(),
                            ) {
                                *to = flipped::<S>(from);
                            }
                        }
                    } else {
                        for place in places {
                            let from = flipped::<S>(&padded(cut::part(pixels, at..)));
                            if let Some(to) = cut::part_mut(place, to..).first_chunk_mut() {
                                *to = from;
                            }
                            at += step;
                        }
                    }
                }
                Source::Image { pixels, .. } => {
                    let zero = source.zero(lanes, piece % cut::divisor(shape.c), shape.c);
                    for place in places {
                        let from = cut::part(pixels, at..);
                        let pixels = match from.first_chunk() {
                            Some(whole) => lanes.load_u8(whole),
                            None => lanes.load_u8(&padded(from)),
                        };
                        isa.put(lanes.sub16(pixels, zero), cut::part_mut(place, to..));
                        at += step;
                    }
                }
                Source::Stream { values, narrow } => {
                    for place in places {
                        let value = load16_padded(lanes, cut::part(values, at..));
                        isa.put(lanes.narrow16(value, *narrow), cut::part_mut(place, to..));
                        at += step;
                    }
                }
            }
        }
    }
}

/// Lays out positions `first..first + length` of one output pixel's window, a
/// multiple of 4. `to` has room for 16 values more, which whole-vector stores may
/// touch. Positions past the window's end are left as they are: their weights
/// are 0.
#[allow(clippy::too_many_arguments)]
#[inline(always)]
pub(super) fn window<S: Dot>(
    isa: S,
    conv: &Conv,
    source: &Source<'_, S::L>,
    row: usize,
    column: usize,
    first: usize,
    length: usize,
    to: &mut [u8],
) {
    let Conv { input: shape, window, .. } = *conv;
    let inside_y = taps_inside(row, window.stride_h, window.pad_top, window.kernel_h, shape.h);
    let inside_x = taps_inside(column, window.stride_w, window.pad_left, window.kernel_w, shape.w);
    let kernel_row = window.kernel_w * shape.c;
    // Wrap where the first tap is outside the input.
    let y = (row * window.stride_h).wrapping_sub(window.pad_top);
    let x = (column * window.stride_w).wrapping_sub(window.pad_left);

    let end = first + length;
    for ky in first / cut::divisor(kernel_row)..window.kernel_h {
        let start = ky * kernel_row;
        if start >= end {
            break;
        }
        let (from, until) = (start.max(first), (start + kernel_row).min(end));
        let skipped = from - start;
        let row = cut::part_mut(to, S::BYTES * (from - first)..);
        source.outside::<S>(phase(skipped, 0, shape.c).1, until - from, row);
        // Positions of this row inside the input: one run of elements.
        let before = (inside_x.start * shape.c).saturating_sub(skipped);
        let from = from + before;
        let until = until.min(start + inside_x.end * shape.c);
        if inside_y.contains(&ky) && from < until {
            let (tap, channel) = phase(from - start, inside_x.start, shape.c);
            let pixel = y.wrapping_add(ky) * shape.w + x.wrapping_add(tap);
            let element = pixel * shape.c + channel;
            // The vectors that end the run spill over what follows it; that is
            // laid out after.
            let to = cut::part_mut(row, S::BYTES * before..);
            run_of(isa, source, element, until - from, channel, shape.c, to);
            let outside = (start + kernel_row).min(end) - until;
            if outside > 0 {
                let channel = phase(until - start, inside_x.end, shape.c).1;
                let to = cut::part_mut(to, S::BYTES * (until - from)..);
                source.outside::<S>(channel, outside.min(LANES), to);
            }
        }
    }
}

/// `count` input elements from `element` on, the first of them of channel
/// `phase`, converted; up to 15 more of `to` are touched.
#[inline(always)]
fn run_of<S: Dot>(
    isa: S,
    source: &Source<'_, S::L>,
    element: usize,
    count: usize,
    phase: usize,
    channels: usize,
    to: &mut [u8],
) {
    let lanes = isa.lanes();
    let mut channel = phase;
    for done in (0..count).step_by(LANES) {
        let at = element + done;
        let to = cut::run_mut(to, S::BYTES * done, S::BYTES * LANES);
        let value = match source {
            Source::Image { pixels, .. } if S::BYTES == 1 => {
                if let Some(to) = to.first_chunk_mut() {
                    *to = flipped::<S>(&padded(cut::part(pixels, at..)));
                }
                continue;
            }
            Source::Image { pixels, .. } => {
                let pixels = lanes.load_u8(&padded(cut::part(pixels, at..)));
                let zero = source.zero(lanes, channel, channels);
                channel = (channel + LANES) % cut::divisor(channels);
                lanes.sub16(pixels, zero)
            }
            Source::Stream { values, narrow } => {
                lanes.narrow16(load16_padded(lanes, cut::part(values, at..)), *narrow)
            }
        };
        isa.put(value, to);
    }
}

/// The tap of a window's row and its channel that lie at an offset. Most often
/// that is the start of tap `guess`, which takes no division.
#[inline(always)]
fn phase(offset: usize, guess: usize, channels: usize) -> (usize, usize) {
    if offset == guess * channels {
        return (guess, 0);
    }
    let channels = cut::divisor(channels);
    (offset / channels, offset % channels)
}

/// 16 pixels as laid-out bytes.
#[inline(always)]
fn flipped<S: Dot>(pixels: &[u8; LANES]) -> [u8; LANES] {
    (u128::from_ne_bytes(*pixels) ^ u128::from_ne_bytes([S::FLIP; LANES])).to_ne_bytes()
}

/// What stands for 0 in 16 consecutive channels from `phase` on, starting over at
/// the end.
#[inline(always)]
fn sixteen(zero: &[u8], cycle: &[u8; 2 * LANES], phase: usize, channels: usize) -> [u8; LANES] {
    if channels < LANES { padded(cut::part(cycle, phase..)) } else { around(zero, phase) }
}

/// [`sixteen`] for images of many channels, which are rare.
#[inline(never)]
fn around(zero: &[u8], channel: usize) -> [u8; LANES] {
    let mut around = [0; LANES];
    for (value, &zero) in around.iter_mut().zip(cut::part(zero, channel..).iter().chain(zero)) {
        *value = zero;
    }
    around
}
