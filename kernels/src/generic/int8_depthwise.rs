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
//! 16 channels stay where they are for the whole row. A row outside the input
//! is any row with zero weights, so that rows need no branch. Other windows
//! take their taps one by one.
//!
//! Cost per 16 outputs of a 3×3 window: 5 pairs, and 3 (stride 1) or 6
//! (stride 2) loads with 3 operations each to narrow.

use super::epilogue::{At, Sink};
use super::lanes::{LANES, Lanes, Narrow, Outline, Work, load16_padded, padded};
use super::{Int8DepthwiseJob, taps_inside};
use crate::types::Conv;

/// Products of two taps.
pub(crate) trait Taps: Outline {
    /// The epilogue's vectors.
    type L: Lanes;
    /// Two 16-bit values per channel, inputs or weights.
    type Pair: Copy;

    /// The epilogue's vectors.
    fn lanes(self) -> Self::L;
    /// Joins the values of two taps.
    fn pair(self, a: <Self::L as Lanes>::I16, b: <Self::L as Lanes>::I16) -> Self::Pair;
    /// `sum + x.a·w.a + x.b·w.b`.
    fn add_pair(
        self,
        sum: <Self::L as Lanes>::I32,
        x: Self::Pair,
        w: Self::Pair,
    ) -> <Self::L as Lanes>::I32;
}

/// What stays the same for all of a layer.
struct Layer<'a, L: Lanes> {
    conv: Conv,
    input: &'a [i16],
    weights: &'a [i8],
    narrow: Narrow<L>,
}

impl<'a, L: Lanes> Layer<'a, L> {
    /// Row `y` of the input, from `channel` of its first pixel to its end.
    #[inline(always)]
    fn row(&self, y: usize, channel: usize) -> &'a [i16] {
        let elements = self.conv.input.w * self.conv.input.c;
        &self.input[y * elements + channel..][..elements - channel]
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
    let lanes = isa.lanes();
    let layer =
        Layer { conv, input: job.input, weights: job.weights, narrow: lanes.narrow_by(job.narrow) };
    let sink = &mut Sink::new(job.epilogue, conv.output, &job.rows, 0);
    let nine = (conv.window.kernel_h, conv.window.kernel_w) == (3, 3);
    for row in job.rows {
        match conv.window.stride_w {
            1 if nine => isa.outline(NineTaps::<S, 1> { isa, layer: &layer, sink, row }),
            2 if nine => isa.outline(NineTaps::<S, 2> { isa, layer: &layer, sink, row }),
            _ => isa.outline(AnyTaps { isa, layer: &layer, sink, row }),
        }
    }
}

/// One row under a 3×3 window with horizontal stride 1 or 2.
struct NineTaps<'l, 'a, S: Taps, const STRIDE: usize> {
    isa: S,
    layer: &'l Layer<'a, S::L>,
    sink: &'l mut Sink<'a>,
    row: usize,
}

impl<S: Taps, const STRIDE: usize> Work for NineTaps<'_, '_, S, STRIDE> {
    #[inline(always)]
    fn run(self) {
        let NineTaps { isa, layer, sink, row } = self;
        let lanes = isa.lanes();
        // A copy, so that nothing written through `sink` can be thought to
        // change it.
        let conv = layer.conv;
        let window = conv.window;
        let none = lanes.splat16(0);
        let inside = taps_inside(row, window.stride_h, window.pad_top, 3, conv.input.h);
        for channel in (0..conv.output.c).step_by(LANES) {
            let mut rows = [layer.row(0, channel); 3];
            let mut weight = [none; 9];
            for ky in inside.clone() {
                rows[ky] = layer.row(row * window.stride_h + ky - window.pad_top, channel);
                for kx in 0..3 {
                    weight[3 * ky + kx] = layer.weight(lanes, 3 * ky + kx, channel);
                }
            }
            // Upper two rows column by column, then the lowest row.
            let weights = [
                isa.pair(weight[0], weight[3]),
                isa.pair(weight[1], weight[4]),
                isa.pair(weight[2], weight[5]),
                isa.pair(weight[6], weight[7]),
                isa.pair(weight[8], none),
            ];
            let mut out = sink.row(row);
            let parameters = out.parameters(lanes, channel);
            let mut strip = Strip {
                isa,
                narrow: layer.narrow,
                rows,
                step: conv.input.c,
                outside: window.pad_left,
                first: 0,
            };
            let count = (conv.output.c - channel).min(LANES);
            let mut a = (isa.pair(none, none), none);
            let mut b = if STRIDE == 1 { strip.next() } else { a };
            let mut c = strip.next();
            for column in 0..conv.output.w {
                if STRIDE == 1 {
                    (a, b) = (b, c);
                } else {
                    a = c;
                    b = strip.next();
                }
                c = strip.next();
                let mut sum = lanes.zero32();
                sum = isa.add_pair(sum, a.0, weights[0]);
                sum = isa.add_pair(sum, b.0, weights[1]);
                sum = isa.add_pair(sum, c.0, weights[2]);
                sum = isa.add_pair(sum, isa.pair(a.1, b.1), weights[3]);
                sum = isa.add_pair(sum, isa.pair(c.1, none), weights[4]);
                out.emit32(lanes, &parameters, At { column, channel, count }, sum);
            }
        }
    }
}

/// Three equally long rows of the input, from the first of 16 channels on,
/// pixel by pixel.
struct Strip<'a, S: Taps> {
    isa: S,
    narrow: Narrow<S::L>,
    rows: [&'a [i16]; 3],
    /// Elements per pixel.
    step: usize,
    /// Columns still to come that are left of the input.
    outside: usize,
    /// The next pixel's first element.
    first: usize,
}

impl<S: Taps> Strip<'_, S> {
    /// The next column's narrowed pixels, the upper two as a pair; 0 outside
    /// the input.
    #[inline(always)]
    fn next(&mut self) -> (S::Pair, <S::L as Lanes>::I16) {
        let lanes = self.isa.lanes();
        let mut pixels = [lanes.splat16(0); 3];
        let Strip { rows: [upper, middle, lower], first, .. } = *self;
        if self.outside > 0 {
            self.outside -= 1;
        } else if first < upper.len() {
            let loaded = if let (Some(upper), Some(middle), Some(lower)) = (
                upper[first..].first_chunk(),
                middle[first..].first_chunk(),
                lower[first..].first_chunk(),
            ) {
                [lanes.load16(upper), lanes.load16(middle), lanes.load16(lower)]
            } else {
                [
                    load16_padded(lanes, &upper[first..]),
                    load16_padded(lanes, &middle[first..]),
                    load16_padded(lanes, &lower[first..]),
                ]
            };
            for (pixel, &loaded) in pixels.iter_mut().zip(&loaded) {
                *pixel = lanes.narrow16(loaded, self.narrow);
            }
            self.first += self.step;
        }
        (self.isa.pair(pixels[0], pixels[1]), pixels[2])
    }
}

/// One row under any window.
struct AnyTaps<'l, 'a, S: Taps> {
    isa: S,
    layer: &'l Layer<'a, S::L>,
    sink: &'l mut Sink<'a>,
    row: usize,
}

impl<S: Taps> Work for AnyTaps<'_, '_, S> {
    #[inline(always)]
    fn run(self) {
        let AnyTaps { isa, layer, sink, row } = self;
        let lanes = isa.lanes();
        let conv = &layer.conv;
        let window = &conv.window;
        let none = lanes.splat16(0);
        let inside_y =
            taps_inside(row, window.stride_h, window.pad_top, window.kernel_h, conv.input.h);
        for channel in (0..conv.output.c).step_by(LANES) {
            let mut out = sink.row(row);
            let parameters = out.parameters(lanes, channel);
            let count = (conv.output.c - channel).min(LANES);
            for column in 0..conv.output.w {
                let inside_x = taps_inside(
                    column,
                    window.stride_w,
                    window.pad_left,
                    window.kernel_w,
                    conv.input.w,
                );
                let mut sum = lanes.zero32();
                for ky in inside_y.clone() {
                    let y = row * window.stride_h + ky - window.pad_top;
                    let from = layer.row(y, channel);
                    for kx in inside_x.clone() {
                        let x = column * window.stride_w + kx - window.pad_left;
                        let loaded = load16_padded(lanes, &from[x * conv.input.c..]);
                        let pixel = lanes.narrow16(loaded, layer.narrow);
                        let weight = layer.weight(lanes, ky * window.kernel_w + kx, channel);
                        sum = isa.add_pair(sum, isa.pair(pixel, none), isa.pair(weight, none));
                    }
                }
                out.emit32(lanes, &parameters, At { column, channel, count }, sum);
            }
        }
    }
}
