//! 8-bit convolution over all input channels: exact 32-bit accumulators.
//!
//! The windows of some output pixels are laid out in the scratch, in the
//! weights' order, so that a window's rows follow each other and every product
//! loop is one straight run, whatever the window. What a laid-out value is, the
//! instruction set chooses ([`Dot::BYTES`]):
//!
//! - 16 bits: pixel − zero, or the narrowed stream; 0 outside the input. Values
//!   of 9 bits by weights of 8 bits are multiplied as 16 bits by 16 bits and
//!   added in 32, which is exact.
//! - 8 bits, where there is an instruction that multiplies unsigned by signed
//!   bytes and does not saturate: the pixel itself (outside the input, zero), or
//!   the narrowed stream + 128 (outside, 128). Σ w·(what stands for 0) is taken off
//!   every sum: one window more for each run of pixels.
//! - 8 bits, where it multiplies signed by signed bytes ([`Dot::FLIP`]): the same
//!   less 128. The stream is then itself, and nothing is taken off.
//!
//! For each block of 16 output channels, one step takes 4 positions of the
//! flattened window: [`Dot::weights`] is shared by a tile of P pixels,
//! [`Dot::dot`] is 64 multiply-accumulates of one pixel. A sum waits for the one
//! before it, so P is also how many are under way. A window longer than 1024 values of
//! 16 bits, or 2048 of 8, is laid out part by part and again for each block, so that the
//! scratch stays small.
//!
//! Cost: laying out is about 4 operations per 16 values, once per pixel (per
//! block for long windows); the products are [`Dot::dot`] per 64.

use super::cut;
use super::epilogue::{At, Parameters, Row, Sink};
use super::int8_windows::{Source, whole_windows, window};
use super::lanes::{LANES, Lanes, Outline, Work, padded};
use super::{Int8Job, whole_columns};
use crate::layout::{
    INT8_CHUNK, INT8_GROUP, INT8_LANES, INT8_RUN, int8_depth, int8_lanes, int8_run,
    int8_window_bytes,
};
use crate::types::{Conv, Int8Input};

/// Bytes for windows in place of a scratch that has fewer: what is done once for some pixels
/// then is for more of them. On the stack, which a device has less of.
const OWN: usize = if cfg!(feature = "std") { 8192 } else { 0 };

/// Products of 16 output channels.
pub(crate) trait Dot: Outline {
    /// The epilogue's vectors.
    type L: Lanes;
    /// 4 weights of each of 16 channels, ready to be multiplied.
    type Weights: Copy;
    /// 16 accumulators.
    type Sum: Copy;
    /// Bytes of a laid-out value: 2, native `i16`, or 1, see [`Dot::FLIP`].
    const BYTES: usize;
    /// Bits in which a laid-out byte differs from the pixel, or from the narrowed
    /// value + 128: 0, unsigned, or 128, signed.
    const FLIP: u8 = 0;

    /// The epilogue's vectors.
    fn lanes(self) -> Self::L;
    /// 4 weights per channel, channel by channel.
    fn weights(self, from: &[i8; INT8_LANES * INT8_GROUP]) -> Self::Weights;
    /// All accumulators 0.
    fn zero(self) -> Self::Sum;
    /// `a − b`; in use for [`Source::biased`].
    fn difference(self, a: Self::Sum, b: Self::Sum) -> Self::Sum;
    /// Adds to each channel Σ w·x over 4 positions; `x` holds 4 laid-out values.
    fn dot(self, sum: Self::Sum, weights: Self::Weights, x: &[u8]) -> Self::Sum;
    /// Adds to P pixels' sums the first steps of 16 channels' weights, where a set
    /// takes several at a time; how many that were. `inputs` are as long as the
    /// weights are.
    #[inline(always)]
    fn several<const P: usize>(
        self,
        _sums: &mut [Self::Sum; P],
        _weights: &[i8],
        _inputs: &[&[u8]; P],
    ) -> usize {
        0
    }
    /// Does all channels of a run of pixels in a way of the set's own, or nothing:
    /// `false`.
    #[inline(always)]
    fn pass(self, _laid: &Laid<'_>, _weights: &[i8], _out: &mut Row<'_>) -> bool {
        false
    }
    /// The accumulators as the epilogue takes them.
    fn sum(self, sum: Self::Sum) -> <Self::L as Lanes>::I32;
    /// The same after the shift to 16 bits ([`Lanes::shift_to_16`]).
    #[inline(always)]
    fn shifted(self, sum: Self::Sum, shift: i8) -> <Self::L as Lanes>::I16 {
        self.lanes().shift_to_16(self.sum(sum), shift)
    }
    /// Lays out 16 values, pixel − zero or narrowed, in the first 16 times
    /// [`Dot::BYTES`] of `to`, which has them.
    fn put(self, value: <Self::L as Lanes>::I16, to: &mut [u8]);
}

/// [`Dot::several`] for one window or two, as a dense layer has them: a sum would wait for
/// the one before it, so each is added up in PARTS, of every PARTS-th step.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) fn in_parts<S: Dot, const P: usize, const PARTS: usize>(
    isa: S,
    sums: &mut [S::Sum; P],
    weights: &[i8],
    inputs: &[&[u8]; P],
) -> usize {
    if P > 2 {
        return 0;
    }
    let (several, _) = weights.as_chunks::<{ INT8_LANES * INT8_GROUP }>().0.as_chunks::<PARTS>();
    let mut parts = [[isa.zero(); P]; PARTS];
    for (k, steps) in several.iter().enumerate() {
        for q in 0..PARTS {
            let weights = isa.weights(&steps[q]);
            for p in 0..P {
                let x = cut::run(inputs[p], INT8_GROUP * (PARTS * k + q), INT8_GROUP);
                parts[q][p] = isa.dot(parts[q][p], weights, x);
            }
        }
    }
    for p in 0..P {
        let mut less = isa.zero();
        for part in parts {
            less = isa.difference(less, part[p]);
        }
        sums[p] = isa.difference(sums[p], less);
    }
    PARTS * several.len()
}

/// The windows of a run of pixels of one row.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "a pass reads them"))]
pub(crate) struct Laid<'w> {
    /// All that are laid out, those of an input of zeros first.
    pub(crate) windows: &'w [u8],
    /// Bytes from one to the next.
    pub(crate) stride: usize,
    /// Windows of an input of zeros: 1, or 0 where nothing is taken off.
    pub(crate) neutral: usize,
    /// Values of a window.
    pub(crate) depth: usize,
    /// The first pixel's.
    pub(crate) column: usize,
}

/// The whole operation, in tiles of P pixels: as many as the registers hold.
#[inline(always)]
pub(crate) fn run<S: Dot, const P: usize>(isa: S, job: Int8Job<'_>) {
    let conv = job.conv;
    let lanes = isa.lanes();
    let source = match job.input {
        Int8Input::Image { pixels, zero } => Source::Image {
            pixels,
            zero,
            cycle: {
                let mut cycle = [0; 2 * LANES];
                for (value, &zero) in cycle.iter_mut().zip(zero.iter().cycle()) {
                    *value = zero;
                }
                cycle
            },
        },
        Int8Input::Stream { values, narrow } => {
            Source::Stream { values, narrow: lanes.narrow_by(narrow) }
        }
    };
    let sink = &mut Sink::new(job.epilogue, conv.output, &job.rows, 0);
    let mut own = [0; OWN];
    let (windows, room) = if own.len() > job.scratch.len() {
        let room = own.len() / cut::divisor(window_bytes::<S>(&conv));
        (&mut own[..], room)
    } else {
        // The scratch is for windows in 16 bits.
        (job.scratch, (int8_run(&conv) + 1) * 2 / S::BYTES)
    };
    for row in job.rows {
        isa.outline(Line::<S, P> {
            isa,
            conv: &conv,
            source: &source,
            weights: job.weights,
            windows,
            room,
            out: sink.row(row),
            row,
        });
    }
}

/// Bytes of a laid-out window.
fn window_bytes<S: Dot>(conv: &Conv) -> usize {
    int8_window_bytes(&conv.window, conv.input.c) * S::BYTES / 2
}

/// One row of the output.
struct Line<'l, 'a, S: Dot, const P: usize> {
    isa: S,
    conv: &'l Conv,
    source: &'l Source<'a, S::L>,
    weights: &'l [i8],
    windows: &'l mut [u8],
    /// How many of them may be laid out.
    room: usize,
    out: Row<'l>,
    row: usize,
}

impl<S: Dot, const P: usize> Work for Line<'_, '_, S, P> {
    #[inline(always)]
    fn run(self) {
        let depth =
            int8_depth(self.conv.window.kernel_h, self.conv.window.kernel_w, self.conv.input.c);
        if depth <= INT8_CHUNK && self.conv.output.w > 1 {
            self.tiles(depth);
        } else {
            self.singly(depth);
        }
    }
}

impl<S: Dot, const P: usize> Line<'_, '_, S, P> {
    /// Runs of pixels, whose windows are laid out whole, in tiles of P windows. The
    /// window of an input of zeros goes ahead of them, where it is to be taken off.
    #[inline(always)]
    fn tiles(self, depth: usize) {
        let Line { isa, conv, source, weights, windows, room, mut out, row } = self;
        let lanes = isa.lanes();
        let (channels, width) = (conv.output.c, conv.output.w);
        let neutral = usize::from(source.biased::<S>());
        let stride = window_bytes::<S>(conv);
        let room = room.min(INT8_RUN + neutral);
        let room = if room < P { room } else { room / P * P };
        let run = cut::divisor(room - neutral);
        if neutral > 0 {
            source.outside::<S>(0, depth, windows);
        }
        let mut values = [[0; LANES]; INT8_RUN];
        for column in (0..width).step_by(run) {
            let pixels = (width - column).min(run);
            let inside = whole_columns(
                column..column + pixels,
                conv.window.stride_w,
                conv.window.pad_left,
                conv.window.kernel_w,
                conv.input.w,
            );
            for edge in [column..inside.start, inside.end..column + pixels] {
                for edge in edge {
                    let to = cut::run_mut(windows, (neutral + edge - column) * stride, stride);
                    window(isa, conv, source, row, edge, 0, depth, to);
                }
            }
            if !inside.is_empty() {
                let first = (neutral + inside.start - column) * stride;
                let places = cut::part_mut(windows, first..);
                whole_windows(isa, conv, source, row, inside, places, stride);
            }
            let windows = cut::part(windows, ..(neutral + pixels) * stride);
            let laid = Laid { windows, stride, neutral, depth, column };
            if isa.pass(&laid, weights, &mut out) {
                continue;
            }
            for first in (0..channels).step_by(INT8_LANES) {
                let count = int8_lanes(first, channels);
                let at = At { column, channel: first, count };
                let weights = cut::part(weights, first * depth..(first + count) * depth);
                let block = Block {
                    isa,
                    weights,
                    depth,
                    windows,
                    stride,
                    neutral,
                    parameters: out.parameters(lanes, first),
                    at,
                };
                if neutral + pixels >= P {
                    block.tiles::<P>(&mut out, &mut values);
                } else if P > 4 && neutral + pixels >= 4 {
                    block.tiles::<4>(&mut out, &mut values);
                } else {
                    block.tiles::<1>(&mut out, &mut values);
                }
                if out.shift().is_some() {
                    let values = cut::part_mut(&mut values, ..pixels);
                    out.finish(lanes, &block.parameters, at, values);
                }
            }
        }
    }

    /// Pixel by pixel, long windows part by part.
    #[inline(always)]
    fn singly(self, depth: usize) {
        let Line { isa, conv, source, weights, windows, mut out, row, .. } = self;
        let lanes = isa.lanes();
        let channels = conv.output.c;
        let own = int8_window_bytes(&conv.window, conv.input.c);
        // The scratch is for windows in 16 bits.
        let chunk = 2 * INT8_CHUNK / S::BYTES;
        let (own, zeros) = cut::split_mut(windows, own);
        for column in 0..conv.output.w {
            for first in (0..channels).step_by(INT8_LANES) {
                let count = int8_lanes(first, channels);
                let block = cut::part(weights, first * depth..(first + count) * depth);
                // The pixel's own, and where it is taken off that of an input of zeros:
                // a sum waits for the one before, so two take as long as one.
                let mut sums = [isa.zero(); 2];
                for part in (0..depth).step_by(chunk) {
                    let length = (depth - part).min(chunk);
                    let fresh = depth > chunk || first == 0;
                    if fresh {
                        window(isa, conv, source, row, column, part, length, own);
                    }
                    let weights = cut::run(block, part * count, length * count);
                    if source.biased::<S>() {
                        if fresh {
                            let channel = part % cut::divisor(conv.input.c);
                            source.outside::<S>(channel, length, zeros);
                        }
                        let (sums, windows) = (&mut sums, [&*own, &*zeros]);
                        isa.outline(Products { isa, sums, weights, count, windows });
                    } else {
                        let (mut sum, windows) = ([sums[0]], [&*own]);
                        isa.outline(Products { isa, sums: &mut sum, weights, count, windows });
                        [sums[0]] = sum;
                    }
                }
                let biased = source.biased::<S>();
                let sum = isa.sum(if biased { isa.difference(sums[0], sums[1]) } else { sums[0] });
                let at = At { column, channel: first, count };
                let parameters = out.parameters(lanes, first);
                match out.shift() {
                    Some(shift) => {
                        let mut values = [[0; LANES]];
                        lanes.store16(parameters.scale32(lanes, sum, shift), &mut values[0]);
                        out.finish(lanes, &parameters, at, &mut values);
                    }
                    None => out.emit32(lanes, &parameters, at, sum),
                }
            }
        }
    }
}

/// Up to 16 output channels of a run of pixels.
struct Block<'b, S: Dot> {
    isa: S,
    weights: &'b [i8],
    depth: usize,
    /// All that are laid out, those of an input of zeros first.
    windows: &'b [u8],
    /// Bytes from one to the next.
    stride: usize,
    /// Windows of an input of zeros: 1, or 0 where nothing is taken off.
    neutral: usize,
    parameters: Parameters<S::L>,
    at: At,
}

impl<S: Dot> Block<'_, S> {
    /// All windows in tiles of P, at least that many: scaled to `values`, or, what
    /// becomes no stream, out. The last tile overlaps the one before it where they
    /// are no multiple of P: the same values are written twice.
    #[inline(always)]
    fn tiles<const P: usize>(&self, out: &mut Row<'_>, values: &mut [[i16; LANES]; INT8_RUN]) {
        let Block { isa, weights, depth, windows, stride, neutral, ref parameters, at } = *self;
        let lanes = isa.lanes();
        let all = windows.len() / cut::divisor(stride);
        let shift = out.shift();
        let mut zeros = isa.zero();
        for first in (0..all).step_by(P) {
            let first = first.min(all - P);
            let mut inputs = [&[][..]; P];
            let tile = cut::part(windows, first * stride..).chunks_exact(cut::divisor(stride));
            for (input, window) in inputs.iter_mut().zip(tile) {
                *input = cut::part(window, ..depth * S::BYTES);
            }
            let mut sums = products(isa, [isa.zero(); P], weights, at.count, inputs);
            if neutral > 0 {
                if first == 0 {
                    zeros = sums[0];
                }
                for sum in &mut sums {
                    *sum = isa.difference(*sum, zeros);
                }
            }
            if let Some(shift) = shift {
                // That of the window of zeros, which is no pixel, is written over.
                for (p, &sum) in sums.iter().enumerate() {
                    let value = parameters.scale(lanes, isa.shifted(sum, shift));
                    let pixel = (first + p).saturating_sub(neutral);
                    if let Some(to) = cut::at_mut(values, pixel) {
                        lanes.store16(value, to);
                    }
                }
            } else {
                for (p, &sum) in sums.iter().enumerate() {
                    let Some(pixel) = (first + p).checked_sub(neutral) else { continue };
                    out.emit32(lanes, parameters, at.pixel(pixel), isa.sum(sum));
                }
            }
        }
    }
}

/// [`products`] apart from what calls functions, for then sums stay in registers.
struct Products<'p, S: Dot, const P: usize> {
    isa: S,
    sums: &'p mut [S::Sum; P],
    weights: &'p [i8],
    count: usize,
    windows: [&'p [u8]; P],
}

impl<S: Dot, const P: usize> Work for Products<'_, S, P> {
    #[inline(always)]
    fn run(self) {
        let Products { isa, sums, weights, count, windows } = self;
        *sums = products(isa, *sums, weights, count, windows);
    }
}

/// Adds `count` channels' weights times P windows, each at least as long.
#[inline(always)]
fn products<S: Dot, const P: usize>(
    isa: S,
    sums: [S::Sum; P],
    weights: &[i8],
    count: usize,
    windows: [&[u8]; P],
) -> [S::Sum; P] {
    if S::BYTES == 1 {
        grouped::<S, P, INT8_GROUP>(isa, sums, weights, count, windows)
    } else {
        grouped::<S, P, { 2 * INT8_GROUP }>(isa, sums, weights, count, windows)
    }
}

/// [`products`], a group of the windows having B bytes.
#[inline(always)]
fn grouped<S: Dot, const P: usize, const B: usize>(
    isa: S,
    sums: [S::Sum; P],
    weights: &[i8],
    count: usize,
    windows: [&[u8]; P],
) -> [S::Sum; P] {
    let step = count * INT8_GROUP;
    let steps = weights.len() / cut::divisor(step);
    let mut whole = windows;
    for window in &mut whole {
        *window = cut::part(window, ..steps * B);
    }
    let mut running = sums;
    let done = match count {
        INT8_LANES => isa.several(&mut running, weights, &whole),
        _ => 0,
    };
    let (weights, steps) = (cut::part(weights, done * step..), steps - done);
    let mut inputs = [&[][..]; P];
    for (input, window) in inputs.iter_mut().zip(&whole) {
        *input = cut::run(window.as_chunks::<B>().0, done, steps);
    }
    if count == INT8_LANES {
        for (k, from) in cut::part(weights.as_chunks().0, ..steps).iter().enumerate() {
            let weights = isa.weights(from);
            for (sum, input) in running.iter_mut().zip(&inputs) {
                *sum = isa.dot(*sum, weights, cut::bytes(input, k));
            }
        }
    } else {
        for (k, from) in weights.chunks_exact(cut::divisor(step)).enumerate() {
            // Lanes past the block's last read what follows, and are dropped by the
            // epilogue; where nothing follows, they read 0.
            let last;
            let from = match cut::part(weights, k * step..).first_chunk() {
                Some(whole) => whole,
                None => {
                    last = padded(from);
                    &last
                }
            };
            let weights = isa.weights(from);
            for (sum, input) in running.iter_mut().zip(&inputs) {
                *sum = isa.dot(*sum, weights, cut::bytes(input, k));
            }
        }
    }
    running
}
