//! 8-bit depthwise convolution of a stream: 16 channels at a time, exact 32-bit
//! accumulators.
//!
//! The stream is narrowed to 8 bits as it is loaded (a rounding multiplication
//! and two clamps), kept in 16-bit lanes, and multiplied two taps at a time:
//! [`Taps::add_pair`] adds x_a·w_a + x_b·w_b in 32 bits. A product is at most
//! 128·127, so a pair fits 16 bits, but a third would not: 32 bits are needed.
//!
//! A 3×3 window slides along the row: a column of three pixels is loaded and
//! narrowed once and serves up to three output pixels, and the weights of the
//! 16 channels stay where they are for the whole row. Other windows take their
//! taps one by one.
//!
//! Cost per 16 outputs of a 3×3 window: 5 pairs, and 3 (stride 1) or 6
//! (stride 2) loads with 3 operations each to narrow.

use core::ops::Range;

use super::epilogue::{At, Sink};
use super::lanes::{LANES, Lanes, Narrow, load16_padded, padded};
use super::{Int8DepthwiseJob, taps_inside};
use crate::types::Conv;

/// Products of two taps.
pub(crate) trait Taps: Copy {
    /// The epilogue's vectors.
    type L: Lanes;
    /// The weights of two taps, ready to be multiplied.
    type Pair: Copy;

    /// The epilogue's vectors.
    fn lanes(self) -> Self::L;
    /// Two taps' weights, as 16-bit lanes.
    fn pair(self, a: <Self::L as Lanes>::I16, b: <Self::L as Lanes>::I16) -> Self::Pair;
    /// `sum + a·weights.a + b·weights.b`.
    fn add_pair(
        self,
        sum: <Self::L as Lanes>::I32,
        a: <Self::L as Lanes>::I16,
        b: <Self::L as Lanes>::I16,
        weights: Self::Pair,
    ) -> <Self::L as Lanes>::I32;
}

/// What stays the same for all of a layer.
struct Layer<'a, L: Lanes> {
    conv: Conv,
    input: &'a [i16],
    weights: &'a [i8],
    narrow: Narrow<L>,
}

impl<L: Lanes> Layer<'_, L> {
    /// 16 narrowed channels from `channel` on.
    #[inline(always)]
    fn pixel(&self, lanes: L, y: usize, x: usize, channel: usize) -> L::I16 {
        let first = (y * self.conv.input.w + x) * self.conv.input.c + channel;
        lanes.narrow16(load16_padded(lanes, &self.input[first..]), self.narrow)
    }

    /// 16 channels' weights of one tap.
    #[inline(always)]
    fn weight(&self, lanes: L, tap: usize, channel: usize) -> L::I16 {
        let first = tap * self.conv.input.c + channel;
        lanes.load_i8(&padded(&self.weights[first..]))
    }
}

/// The whole operation.
#[inline(always)]
pub(crate) fn run<S: Taps>(isa: S, job: Int8DepthwiseJob<'_>) {
    let conv = job.conv;
    let layer = Layer {
        conv,
        input: job.input,
        weights: job.weights,
        narrow: isa.lanes().narrow_by(job.narrow),
    };
    let mut sink = Sink::new(job.epilogue, conv.output, &job.rows, 0);
    let nine = (conv.window.kernel_h, conv.window.kernel_w) == (3, 3);
    for row in job.rows {
        for channel in (0..conv.output.c).step_by(LANES) {
            if nine && conv.window.stride_w == 1 {
                nine_taps::<S, 1>(isa, &layer, &mut sink, row, channel);
            } else if nine && conv.window.stride_w == 2 {
                nine_taps::<S, 2>(isa, &layer, &mut sink, row, channel);
            } else {
                any_taps(isa, &layer, &mut sink, row, channel);
            }
        }
    }
}

/// One row of 16 channels under a 3×3 window with horizontal stride 1 or 2.
#[inline(always)]
fn nine_taps<S: Taps, const STRIDE: usize>(
    isa: S,
    layer: &Layer<'_, S::L>,
    sink: &mut Sink<'_>,
    row: usize,
    channel: usize,
) {
    let lanes = isa.lanes();
    let conv = &layer.conv;
    let window = &conv.window;
    let none = lanes.splat16(0);
    let mut weight = [none; 9];
    for (tap, weight) in weight.iter_mut().enumerate() {
        *weight = layer.weight(lanes, tap, channel);
    }
    // Upper two rows column by column, then the lowest row.
    let weights = [
        isa.pair(weight[0], weight[3]),
        isa.pair(weight[1], weight[4]),
        isa.pair(weight[2], weight[5]),
        isa.pair(weight[6], weight[7]),
        isa.pair(weight[8], none),
    ];
    let strip = Strip {
        y: (row * window.stride_h).wrapping_sub(window.pad_top),
        inside: taps_inside(row, window.stride_h, window.pad_top, 3, conv.input.h),
        channel,
    };
    let parameters = sink.parameters(lanes, channel);
    let mut a = [none; 3];
    let mut b = if STRIDE == 1 { strip.column(lanes, layer, 0) } else { a };
    let mut c = strip.column(lanes, layer, 2 - STRIDE);
    for column in 0..conv.output.w {
        if STRIDE == 1 {
            (a, b) = (b, c);
            c = strip.column(lanes, layer, column + 2);
        } else {
            a = c;
            b = strip.column(lanes, layer, 2 * column + 1);
            c = strip.column(lanes, layer, 2 * column + 2);
        }
        let mut sum = lanes.zero32();
        sum = isa.add_pair(sum, a[0], a[1], weights[0]);
        sum = isa.add_pair(sum, b[0], b[1], weights[1]);
        sum = isa.add_pair(sum, c[0], c[1], weights[2]);
        sum = isa.add_pair(sum, a[2], b[2], weights[3]);
        sum = isa.add_pair(sum, c[2], none, weights[4]);
        sink.emit32(lanes, &parameters, at(conv, row, column, channel), sum);
    }
}

/// Three rows of 16 channels, as far as they are inside the input.
struct Strip {
    /// Input row of the window's first; wrapped where that is outside.
    y: usize,
    /// The window's rows that are inside.
    inside: Range<usize>,
    channel: usize,
}

impl Strip {
    /// The narrowed pixels of padded column `column`; 0 outside the input.
    #[inline(always)]
    fn column<L: Lanes>(&self, lanes: L, layer: &Layer<'_, L>, column: usize) -> [L::I16; 3] {
        let mut pixels = [lanes.splat16(0); 3];
        if let Some(x) = column.checked_sub(layer.conv.window.pad_left)
            && x < layer.conv.input.w
        {
            for (ky, pixel) in pixels.iter_mut().enumerate() {
                if self.inside.contains(&ky) {
                    *pixel = layer.pixel(lanes, self.y.wrapping_add(ky), x, self.channel);
                }
            }
        }
        pixels
    }
}

/// One row of 16 channels under any window.
#[inline(always)]
fn any_taps<S: Taps>(
    isa: S,
    layer: &Layer<'_, S::L>,
    sink: &mut Sink<'_>,
    row: usize,
    channel: usize,
) {
    let lanes = isa.lanes();
    let conv = &layer.conv;
    let window = &conv.window;
    let none = lanes.splat16(0);
    let inside_y = taps_inside(row, window.stride_h, window.pad_top, window.kernel_h, conv.input.h);
    let parameters = sink.parameters(lanes, channel);
    for column in 0..conv.output.w {
        let inside_x =
            taps_inside(column, window.stride_w, window.pad_left, window.kernel_w, conv.input.w);
        let mut sum = lanes.zero32();
        for ky in inside_y.clone() {
            let y = row * window.stride_h + ky - window.pad_top;
            for kx in inside_x.clone() {
                let x = column * window.stride_w + kx - window.pad_left;
                let weight = layer.weight(lanes, ky * window.kernel_w + kx, channel);
                let pixel = layer.pixel(lanes, y, x, channel);
                sum = isa.add_pair(sum, pixel, none, isa.pair(weight, none));
            }
        }
        sink.emit32(lanes, &parameters, at(conv, row, column, channel), sum);
    }
}

#[inline(always)]
fn at(conv: &Conv, row: usize, column: usize, channel: usize) -> At {
    At { row, column, channel, count: (conv.output.c - channel).min(LANES) }
}
