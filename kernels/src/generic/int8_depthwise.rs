//! 8-bit depthwise convolution of a stream: 16 channels at a time (32 where
//! registers hold as many), exact 32-bit accumulators.
//!
//! The stream is narrowed to 8 bits as it is loaded (a rounding multiplication
//! and a clamp) and multiplied a few taps at a time, in the way that suits the
//! instruction set. A product is at most 128·127, so two of them fit 16 bits,
//! but a third would not: 32 bits are needed.
//!
//! A 3×3 window slides along the row: a column of three pixels is loaded and
//! made ready once ([`Taps::column`]) and serves up to three output pixels
//! ([`Taps::nine`]); the weights of these channels stay where they are for the
//! whole row. A row outside the input is any row with zero weights, so that
//! rows need no branch. Other windows take their taps one by one.
//!
//! Cost per vector of outputs of a 3×3 window: one [`Taps::nine`], and 3 loads and a
//! [`Taps::column`] (stride 1) or twice that (stride 2).

use core::ops::Range;

use super::cut;
use super::epilogue::{At, Sink};
#[cfg(target_arch = "x86_64")]
use super::lanes::WIDE;
use super::lanes::{LANES, Lanes, Narrow, Outline, Work, load16_padded, padded};
use super::{Int8DepthwiseJob, taps_inside};
use crate::types::Conv;

/// Products of a few taps.
pub(crate) trait Taps<const N: usize = LANES>: Outline {
    /// The epilogue's vectors.
    type L: Lanes<N>;
    /// Three pixels, one below the other, ready to be multiplied.
    type Column: Copy;
    /// The weights of a 3×3 window.
    type Nine: Copy;
    /// Whether code for every case is worth its size: not on a device.
    const CASES: bool = true;

    /// The epilogue's vectors.
    fn lanes(self) -> Self::L;
    /// Narrows three pixels, from the top down.
    fn column(
        self,
        pixels: [<Self::L as Lanes<N>>::I16; 3],
        narrow: Narrow<Self::L, N>,
    ) -> Self::Column;
    /// Weights (of −127..=127) row by row.
    fn weights(self, weights: [<Self::L as Lanes<N>>::I16; 9]) -> Self::Nine;
    /// Σ x·w over three columns, from the left.
    fn nine(self, columns: [Self::Column; 3], weights: &Self::Nine) -> <Self::L as Lanes<N>>::I32;
    /// `sum + x·w` of one tap.
    fn add(
        self,
        sum: <Self::L as Lanes<N>>::I32,
        x: <Self::L as Lanes<N>>::I16,
        w: <Self::L as Lanes<N>>::I16,
    ) -> <Self::L as Lanes<N>>::I32;
}

/// Some of these layers in a way of an instruction set's own.
#[cfg(target_arch = "x86_64")]
pub(crate) trait OnePass: Taps<WIDE> {
    /// Does some rows, or nothing: `false`.
    fn pass<'a>(self, layer: Layer<'a>, sink: &mut Sink<'a>, rows: Range<usize>) -> bool;
}

/// Input that is read at once for some channels before the next have their
/// turn: a part of the second-level cache. Making the weights ready costs as
/// much as some pixels do, so one row at a time would be dear where rows are
/// short.
pub(crate) const BAND_BYTES: usize = 64 << 10;

/// The same where vectors are wide: such processors have 1 MB of it, or nearly, and a
/// row takes them less time.
#[cfg(target_arch = "x86_64")]
const WIDE_BAND_BYTES: usize = 256 << 10;

/// Output pixels that go to the epilogue together, at most.
const RUN: usize = 32;

/// What stays the same for all of a layer.
#[derive(Clone, Copy)]
pub(crate) struct Layer<'a> {
    pub(crate) conv: Conv,
    input: &'a [i16],
    weights: &'a [i8],
    pub(crate) narrow: u8,
}

impl<'a> Layer<'a> {
    /// Row `y` of the input, from `channel` of its first pixel to its end.
    #[inline(always)]
    fn row(&self, y: usize, channel: usize) -> &'a [i16] {
        let elements = self.conv.input.w * self.conv.input.c;
        cut::run(self.input, y * elements + channel, elements - channel)
    }

    /// The input, from `channel` of the first pixel on.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    #[inline(always)]
    pub(crate) fn all(&self, channel: usize) -> &'a [i16] {
        cut::part(self.input, channel..)
    }

    /// Row `ky` of a window whose first is `top` rows below the padding's first,
    /// from `channel` on; any row if it is outside the input.
    #[inline(always)]
    fn line(&self, inside: &Range<usize>, top: usize, ky: usize, channel: usize) -> &'a [i16] {
        let outside = !inside.contains(&ky);
        self.row(if outside { 0 } else { top + ky - self.conv.window.pad_top }, channel)
    }

    /// N channels' weights of one tap.
    #[inline(always)]
    pub(crate) fn weight<L: Lanes<N>, const N: usize>(
        &self,
        lanes: L,
        tap: usize,
        channel: usize,
    ) -> L::I16 {
        let first = tap * self.conv.input.c + channel;
        let from = cut::part(self.weights, first..);
        match from.first_chunk() {
            Some(whole) => lanes.load_i8(whole),
            None => lanes.load_i8(&padded(from)),
        }
    }

    /// Σ w·x of one output pixel for N channels, tap by tap.
    #[inline(always)]
    fn sum<S: Taps<N>, const N: usize>(
        &self,
        isa: S,
        row: usize,
        column: usize,
        channel: usize,
    ) -> <S::L as Lanes<N>>::I32 {
        let lanes = isa.lanes();
        let narrow = lanes.narrow_by(self.narrow);
        let Conv { input, window, .. } = self.conv;
        let inside_y = taps_inside(row, window.stride_h, window.pad_top, window.kernel_h, input.h);
        let inside_x =
            taps_inside(column, window.stride_w, window.pad_left, window.kernel_w, input.w);
        let mut sum = lanes.zero32();
        for ky in inside_y {
            let from = self.row(row * window.stride_h + ky - window.pad_top, channel);
            for kx in inside_x.clone() {
                let x = column * window.stride_w + kx - window.pad_left;
                let loaded = load16_padded(lanes, cut::part(from, x * input.c..));
                let pixel = lanes.narrow16(loaded, narrow);
                let weight = self.weight(lanes, ky * window.kernel_w + kx, channel);
                sum = isa.add(sum, pixel, weight);
            }
        }
        sum
    }
}

/// The whole operation.
#[inline(always)]
pub(crate) fn run<S: Taps>(isa: S, job: Int8DepthwiseJob<'_>) {
    let mut whole = Whole::new(job);
    for rows in whole.bands(BAND_BYTES) {
        whole.run(isa, rows, 0..whole.layer.conv.output.c);
    }
}

/// The same, in one pass if that can be, and otherwise 32 channels at a time as far
/// as possible.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) fn run_wide<W: OnePass, S: Taps>(wide: W, isa: S, job: Int8DepthwiseJob<'_>) {
    let channels = job.conv.output.c;
    let most = if keeps(&job.epilogue, channels) { channels / WIDE * WIDE } else { 0 };
    let mut whole = Whole::new(job);
    for rows in whole.bands(WIDE_BAND_BYTES) {
        if !wide.pass(whole.layer, &mut whole.sink, rows.clone()) {
            whole.run(wide, rows.clone(), 0..most);
            whole.run(isa, rows, most..channels);
        }
    }
}

/// Whether 32 channels of the shortcut, if there is one, are had by a load.
#[cfg(target_arch = "x86_64")]
fn keeps(epilogue: &crate::types::Epilogue<'_>, channels: usize) -> bool {
    use crate::types::Epilogue;
    match epilogue {
        Epilogue::Stream { shortcut: Some(taken), .. } => taken.shape.c == channels,
        _ => true,
    }
}

/// All rows.
pub(crate) struct Whole<'a> {
    pub(crate) layer: Layer<'a>,
    pub(crate) sink: Sink<'a>,
    rows: Range<usize>,
}

impl<'a> Whole<'a> {
    #[inline(always)]
    pub(crate) fn new(job: Int8DepthwiseJob<'a>) -> Whole<'a> {
        let Int8DepthwiseJob { conv, input, narrow, weights, rows, epilogue } = job;
        let layer = Layer { conv, input, weights, narrow };
        Whole { layer, sink: Sink::new(epilogue, conv.output, &rows, 0), rows }
    }

    /// Some rows at a time, of about so many `bytes` of input. (What is done with them is
    /// the body of a loop: a function that is handed on is compiled without the
    /// instructions.)
    #[inline(always)]
    pub(crate) fn bands(&self, bytes: usize) -> Bands {
        let Conv { window, input, .. } = self.layer.conv;
        let row_bytes = window.stride_h * input.w * input.c * size_of::<i16>();
        Bands { left: self.rows.clone(), most: (bytes / cut::divisor(row_bytes)).max(1) }
    }

    /// N of some of the channels at a time, of some rows.
    #[inline(always)]
    pub(crate) fn run<S: Taps<N>, const N: usize>(
        &mut self,
        isa: S,
        rows: Range<usize>,
        channels: Range<usize>,
    ) {
        let Whole { layer, ref mut sink, .. } = *self;
        let window = layer.conv.window;
        let nine = (window.kernel_h, window.kernel_w) == (3, 3);
        match window.stride_w {
            _ if channels.is_empty() => {}
            1 if nine => isa.outline(NineTaps::<S, N, 1> { isa, layer, sink, rows, channels }),
            2 if nine => isa.outline(NineTaps::<S, N, 2> { isa, layer, sink, rows, channels }),
            _ => isa.outline(AnyTaps { isa, layer, sink, rows, channels }),
        }
    }
}

/// See [`Whole::bands`].
pub(crate) struct Bands {
    left: Range<usize>,
    most: usize,
}

impl Iterator for Bands {
    type Item = Range<usize>;

    #[inline(always)]
    fn next(&mut self) -> Option<Range<usize>> {
        let Range { start, end } = self.left;
        self.left.start = end.min(start + self.most);
        (start < end).then_some(start..self.left.start)
    }
}

/// Some rows under a 3×3 window with horizontal stride 1 or 2.
struct NineTaps<'l, 'a, S: Taps<N>, const N: usize, const STRIDE: usize> {
    isa: S,
    layer: Layer<'a>,
    sink: &'l mut Sink<'a>,
    rows: Range<usize>,
    channels: Range<usize>,
}

impl<S: Taps<N>, const N: usize, const STRIDE: usize> Work for NineTaps<'_, '_, S, N, STRIDE> {
    #[inline(always)]
    fn run(self) {
        let NineTaps { isa, layer, sink, rows, channels } = self;
        let lanes = isa.lanes();
        let narrow = lanes.narrow_by(layer.narrow);
        let conv = layer.conv;
        let window = conv.window;
        let none = lanes.splat16(0);
        let mut values = [[0; N]; RUN];
        let mut below = [0; RUN];
        for channel in channels.clone().step_by(N) {
            let count = (channels.end - channel).min(N);
            let parameters = sink.row(rows.start).parameters(lanes, channel);
            let mut weight = [none; 9];
            for (tap, weight) in weight.iter_mut().enumerate() {
                *weight = layer.weight(lanes, tap, channel);
            }
            let whole = isa.weights(weight);
            for row in rows.clone() {
                let inside = taps_inside(row, window.stride_h, window.pad_top, 3, conv.input.h);
                // Not a loop: an array that is filled place by place goes through
                // memory, and what reads it waits.
                let top = row * window.stride_h;
                let lines = [
                    layer.line(&inside, top, 0, channel),
                    layer.line(&inside, top, 1, channel),
                    layer.line(&inside, top, 2, channel),
                ];
                let mut weights = whole;
                if inside.len() < 3 {
                    let mut weight = weight;
                    for (tap, weight) in weight.iter_mut().enumerate() {
                        if !inside.contains(&(tap / 3)) {
                            *weight = none;
                        }
                    }
                    weights = isa.weights(weight);
                }
                let strip = Strip { isa, narrow, lines, step: conv.input.c, first: 0 };
                let mut window = Window::<S, N, STRIDE>::first(strip, window.pad_left);
                let mut out = sink.row(row);
                if S::CASES && out.decides() {
                    for column in (0..conv.output.w).step_by(RUN) {
                        let pixels = (conv.output.w - column).min(RUN);
                        let below = cut::part_mut(&mut below, ..pixels);
                        for below in &mut *below {
                            let sum = isa.nine(window.columns, &weights);
                            *below = parameters.decide(lanes, sum);
                            window.slide();
                        }
                        out.put_run::<N>(At { column, channel, count }, below);
                    }
                    continue;
                }
                let Some(shift) = out.shift() else {
                    for column in 0..conv.output.w {
                        let sum = isa.nine(window.columns, &weights);
                        out.emit32(lanes, &parameters, At { column, channel, count }, sum);
                        window.slide();
                    }
                    continue;
                };
                for column in (0..conv.output.w).step_by(RUN) {
                    let values = cut::part_mut(&mut values, ..(conv.output.w - column).min(RUN));
                    for value in &mut *values {
                        let sum = isa.nine(window.columns, &weights);
                        lanes.store16(parameters.scale32(lanes, sum, shift), value);
                        window.slide();
                    }
                    out.finish(lanes, &parameters, At { column, channel, count }, values);
                }
            }
        }
    }
}

/// The three columns under the window, and what is to come.
struct Window<'a, S: Taps<N>, const N: usize, const STRIDE: usize> {
    strip: Strip<'a, S, N>,
    columns: [S::Column; 3],
}

impl<'a, S: Taps<N>, const N: usize, const STRIDE: usize> Window<'a, S, N, STRIDE> {
    /// Of the first output pixel, with `outside` columns left of the input.
    #[inline(always)]
    fn first(mut strip: Strip<'a, S, N>, outside: usize) -> Self {
        let none = strip.isa.column([strip.isa.lanes().splat16(0); 3], strip.narrow);
        let a = if outside > 0 { none } else { strip.next() };
        let b = if outside > 1 { none } else { strip.next() };
        let c = strip.next();
        Window { strip, columns: [a, b, c] }
    }

    /// To the next output pixel.
    #[inline(always)]
    fn slide(&mut self) {
        let [_, b, c] = self.columns;
        self.columns = match STRIDE {
            1 => [b, c, self.strip.next()],
            _ => [c, self.strip.next(), self.strip.next()],
        };
    }
}

/// Three equally long rows of the input, from the first of N channels on,
/// pixel by pixel.
struct Strip<'a, S: Taps<N>, const N: usize> {
    isa: S,
    narrow: Narrow<S::L, N>,
    lines: [&'a [i16]; 3],
    /// Elements per pixel.
    step: usize,
    /// The next pixel's first element.
    first: usize,
}

impl<S: Taps<N>, const N: usize> Strip<'_, S, N> {
    /// The next column; 0 past the last.
    #[inline(always)]
    fn next(&mut self) -> S::Column {
        let lanes = self.isa.lanes();
        let Strip { lines: [upper, middle, lower], first, .. } = *self;
        let pixels = if let (Some(upper), Some(middle), Some(lower)) =
            (upper.get(first..first + N), middle.get(first..first + N), lower.get(first..first + N))
        {
            [load16_padded(lanes, upper), load16_padded(lanes, middle), load16_padded(lanes, lower)]
        } else if first < upper.len() {
            [
                load16_padded(lanes, cut::part(upper, first..)),
                load16_padded(lanes, cut::part(middle, first..)),
                load16_padded(lanes, cut::part(lower, first..)),
            ]
        } else {
            [lanes.splat16(0); 3]
        };
        self.first = first + self.step;
        self.isa.column(pixels, self.narrow)
    }
}

/// Some rows under any window.
struct AnyTaps<'l, 'a, S: Taps<N>, const N: usize> {
    isa: S,
    layer: Layer<'a>,
    sink: &'l mut Sink<'a>,
    rows: Range<usize>,
    channels: Range<usize>,
}

impl<S: Taps<N>, const N: usize> Work for AnyTaps<'_, '_, S, N> {
    #[inline(always)]
    fn run(self) {
        let AnyTaps { isa, layer, sink, rows, channels } = self;
        let lanes = isa.lanes();
        let conv = layer.conv;
        let mut values = [[0; N]; RUN];
        for row in rows {
            for channel in channels.clone().step_by(N) {
                let mut out = sink.row(row);
                let parameters = out.parameters(lanes, channel);
                let count = (channels.end - channel).min(N);
                let Some(shift) = out.shift() else {
                    for column in 0..conv.output.w {
                        let sum = layer.sum(isa, row, column, channel);
                        out.emit32(lanes, &parameters, At { column, channel, count }, sum);
                    }
                    continue;
                };
                for column in (0..conv.output.w).step_by(RUN) {
                    let values = cut::part_mut(&mut values, ..(conv.output.w - column).min(RUN));
                    for (p, value) in values.iter_mut().enumerate() {
                        let sum = layer.sum(isa, row, column + p, channel);
                        lanes.store16(parameters.scale32(lanes, sum, shift), value);
                    }
                    out.finish(lanes, &parameters, At { column, channel, count }, values);
                }
            }
        }
    }
}
