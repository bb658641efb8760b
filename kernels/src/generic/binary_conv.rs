//! Convolution of ±1 by ±1: xor, popcount, add, with one lane per output channel.
//!
//! With a bit for every sign, Σ w·x over n terms is n − 2·(number of bits in
//! which w and x differ). Weights lie so that one step (8 input channels of one
//! tap) is a row of bytes, one byte per output channel. A step therefore takes
//! one byte of a pixel, compares it with up to 64 output channels at once and
//! adds the number of differing bits to 64 byte counters; nothing is ever
//! summed across a vector, so a short K (a pointwise layer) runs as fast as a
//! long one.
//!
//! A tile is P neighbouring pixels by one block of up to 64 channels: each row
//! of weights is loaded once for P pixels, and the counters stay in registers.
//! A step adds at most 8 to a counter and 31 · 8 = 248 ≤ 255, so the byte
//! counters are widened to 16 bits at most every 31 steps; K ≤ 32767 makes
//! 16 bits enough. Those of a full block then go to the epilogue without having
//! been in memory.
//!
//! A tap outside the input is skipped for that pixel alone (it adds 0, and the
//! pixel's n is smaller), or compared with 0 bits when it reads +1.
//!
//! Cost per step and 64 channels (512 binary multiply-accumulates) of one
//! pixel: [`Popcount::input`] once and [`Popcount::count`] once per vector;
//! [`Popcount::weights`] is shared by the P pixels.

// Fixed loops over indices are unrolled into registers; iterators over the same
// arrays often are not.
#![allow(clippy::needless_range_loop)]

use core::ops::Range;

use super::binary_counter::{Counter, GROUPS, STEPS_PER_BYTE};
use super::epilogue::{At, Parameters, Row, Shift16, Sink};
use super::lanes::{LANES, Lanes, Outline, Work};
use super::{BinaryJob, taps_inside};
use crate::layout::{BINARY_LANES, binary_group_bytes, binary_lanes, binary_steps, pixel_bytes};
use crate::types::{Conv, Padding};

/// Pixels of a block that is not full that go to the epilogue together, at most.
const RUN: usize = 16;

/// Counting the differing bits of bytes.
pub(crate) trait Popcount: Outline {
    /// The epilogue's vectors.
    type L: Lanes;
    /// [`Popcount::VECTOR`] byte counters.
    type Counts: Copy;
    /// One step of that many output channels.
    type Weights: Copy;
    /// One byte of a pixel, ready to be compared with any weights.
    type Input: Copy;
    /// Byte counters in one register: 16, 32 or 64.
    const VECTOR: usize;
    /// Whether code for every case is worth its size: not on a device.
    const CASES: bool = true;

    /// The epilogue's vectors.
    fn lanes(self) -> Self::L;
    /// All counters 0.
    fn zero(self) -> Self::Counts;
    /// The first [`Popcount::VECTOR`] bytes of the slice, which has them.
    fn weights(self, from: &[u8]) -> Self::Weights;
    /// See [`Popcount::Input`].
    fn input(self, byte: u8) -> Self::Input;
    /// Adds to each counter the number of bits in which its weight differs
    /// from the input.
    fn count(
        self,
        counts: Self::Counts,
        weights: Self::Weights,
        input: Self::Input,
    ) -> Self::Counts;
    /// Counters `16·part..16·part + 16`, zero-extended.
    fn widen(self, counts: Self::Counts, part: usize) -> <Self::L as Lanes>::I16;
}

/// What stays the same for all of a layer.
#[derive(Clone, Copy)]
struct Layer<'a> {
    conv: Conv,
    padding: Padding,
    input: &'a [u8],
    /// Steps (bytes of input channels) per tap.
    steps: usize,
    /// Input channels per tap.
    channels: usize,
    /// Bytes per input pixel.
    pixel: usize,
}

/// Up to 64 output channels.
#[derive(Clone, Copy)]
struct Block<'a> {
    weights: &'a [u8],
    /// Bytes per step in `weights`.
    stride: usize,
    /// First output channel.
    channel: usize,
    /// Output channels.
    count: usize,
    /// First byte of the input pixel that the group reads.
    byte: usize,
}

impl<'a> Block<'a> {
    /// The same with `stride` bytes per step, so that whole vectors are read
    /// without a look at what is left.
    #[inline(always)]
    fn spread<'b>(self, stride: usize, to: &'b mut [u8]) -> Block<'b>
    where
        'a: 'b,
    {
        if self.stride == stride {
            return self;
        }
        let steps = self.weights.len() / self.stride;
        for (from, to) in self.weights.chunks_exact(self.stride).zip(to.chunks_exact_mut(stride)) {
            to[..from.len()].copy_from_slice(from);
        }
        Block { weights: &to[..steps * stride], stride, ..self }
    }
}

/// The whole operation, in tiles of P pixels: as many as the registers hold.
#[inline(always)]
pub(crate) fn run<S: Popcount, const P: usize>(isa: S, job: BinaryJob<'_>) {
    let conv = job.conv;
    let (kh, kw) = (conv.window.kernel_h, conv.window.kernel_w);
    let channels = conv.input.c / conv.groups;
    let out_channels = conv.output.c / conv.groups;
    let steps = binary_steps(kh, kw, channels);
    let layer = Layer {
        conv,
        padding: job.padding,
        input: job.input,
        steps: channels.div_ceil(8),
        channels,
        pixel: pixel_bytes(conv.input.c),
    };
    let group_bytes = binary_group_bytes(steps, out_channels);
    let mut sink = Sink::new(job.epilogue, conv.output, &job.rows, kh * kw * channels);
    for row in job.rows {
        for group in 0..conv.groups {
            let weights = &job.weights[group * group_bytes..];
            for first in (0..out_channels).step_by(BINARY_LANES) {
                let stride = binary_lanes(first, out_channels);
                let block = Block {
                    weights: &weights[first * steps..first * steps + stride * steps],
                    stride,
                    channel: group * out_channels + first,
                    count: (out_channels - first).min(BINARY_LANES),
                    byte: group * channels / 8,
                };
                let vectors = stride.div_ceil(S::VECTOR);
                if S::VECTOR <= 16 && vectors > 2 {
                    line::<S, P, 4>(isa, &layer, &block, &mut sink, row);
                } else if S::VECTOR <= 32 && vectors > 1 {
                    line::<S, P, 2>(isa, &layer, &block, &mut sink, row);
                } else {
                    line::<S, P, 1>(isa, &layer, &block, &mut sink, row);
                }
            }
        }
    }
}

/// One row of one block.
#[inline(always)]
fn line<'a, S: Popcount, const P: usize, const N: usize>(
    isa: S,
    layer: &Layer<'a>,
    block: &Block<'a>,
    sink: &mut Sink<'a>,
    row: usize,
) {
    let window = &layer.conv.window;
    let height = layer.conv.input.h;
    let inside = taps_inside(row, window.stride_h, window.pad_top, window.kernel_h, height);
    // Rows that read +1 are left to the general tile.
    let plain = layer.padding == Padding::Zero || inside.len() == window.kernel_h;
    let mut line = Line { isa, layer: *layer, block: *block, sink, row, inside };
    let width = layer.conv.output.w;
    if plain && width >= P {
        line.tiles::<P, N>();
    } else if plain && P > 4 && width >= 4 {
        line.tiles::<4, N>();
    } else {
        isa.outline(Singly::<S, N>(&mut line));
    }
}

/// What one row of one block needs.
struct Line<'l, 'a, S> {
    isa: S,
    layer: Layer<'a>,
    block: Block<'l>,
    sink: &'l mut Sink<'a>,
    row: usize,
    /// Rows of the window inside the input.
    inside: Range<usize>,
}

impl<S: Popcount> Line<'_, '_, S> {
    /// The row in tiles of P pixels.
    #[inline(always)]
    fn tiles<const P: usize, const N: usize>(&mut self) {
        let isa = self.isa;
        let few = self.block.weights.len() <= STEPS_PER_BYTE * self.block.stride;
        if !S::CASES {
            return isa.outline(Tiles::<S, P, N, 1, false>(self));
        }
        match (few, self.block.count == BINARY_LANES) {
            (true, true) => isa.outline(Tiles::<S, P, N, 0, true>(self)),
            (true, false) => {
                let mut spread = [0; STEPS_PER_BYTE * BINARY_LANES];
                let block = self.block.spread(N * S::VECTOR, &mut spread);
                let Line { isa, layer, ref mut sink, row, .. } = *self;
                let inside = self.inside.clone();
                let mut line = Line { isa, layer, block, sink, row, inside };
                isa.outline(Tiles::<S, P, N, 0, false>(&mut line));
            }
            (false, true) => isa.outline(Tiles::<S, P, N, 1, true>(self)),
            (false, false) => isa.outline(Tiles::<S, P, N, 1, false>(self)),
        }
    }
}

/// The parameters of a block.
type BlockParameters<S> = [Parameters<<S as Popcount>::L>; GROUPS];

#[inline(always)]
fn parameters<S: Popcount>(isa: S, block: &Block<'_>, out: &Row<'_>) -> BlockParameters<S> {
    let lanes = isa.lanes();
    let mut parameters = [out.parameters(lanes, block.channel); GROUPS];
    for (group, parameters) in parameters.iter_mut().enumerate().skip(1) {
        if group * LANES < block.count {
            *parameters = out.parameters(lanes, block.channel + group * LANES);
        }
    }
    parameters
}

/// A row in tiles of P pixels, at least P wide. The last tile overlaps the one
/// before it where the width is no multiple of P: the same values are written
/// twice. W is 1 where more than [`STEPS_PER_BYTE`] steps make a sum, else 0;
/// FULL is for a block of 64 channels, whose pixels go to the epilogue at once,
/// in registers.
struct Tiles<'t, 'l, 'a, S, const P: usize, const N: usize, const W: usize, const FULL: bool>(
    &'t mut Line<'l, 'a, S>,
);

impl<S: Popcount, const P: usize, const N: usize, const W: usize, const FULL: bool> Work
    for Tiles<'_, '_, '_, S, P, N, W, FULL>
{
    #[inline(always)]
    fn run(self) {
        let Line { isa, layer, block, row, .. } = *self.0;
        let inside = self.0.inside.clone();
        let mut out = self.0.sink.row(row);
        let parameters = parameters(isa, &block, &out);
        let lanes = isa.lanes();
        let window = layer.conv.window;
        let width = layer.conv.input.w;
        let terms = inside.len() * window.kernel_w * layer.channels;
        let terms = lanes.splat16(terms as i16);
        // Taps of a row that lie end to end, in the input as in the weights,
        // are one long tap.
        let (taps, steps) = if layer.steps == layer.pixel {
            (1, layer.steps * window.kernel_w)
        } else {
            (window.kernel_w, layer.steps)
        };
        let tap_weights = steps * block.stride;
        let first_weight = inside.start * taps * tap_weights;
        let first_row = (row * window.stride_h + inside.start).wrapping_sub(window.pad_top);
        let last = (P - 1) * window.stride_w + window.kernel_w - 1;
        // A block that is not full hands its pixels over in runs.
        let mut waiting = if FULL { None } else { out.shift16().map(Waiting::new) };

        for column in (0..layer.conv.output.w).step_by(P) {
            let column = column.min(layer.conv.output.w - P);
            // Wraps for a column left of the input.
            let x = (column * window.stride_w).wrapping_sub(window.pad_left);
            if x >= width || x + last >= width {
                if let Some(waiting) = &mut waiting {
                    waiting.finish(lanes, &mut out, &parameters, &block);
                }
                let (layer, block) = (&layer, &block);
                let (inside, row) = (&inside, row);
                let tile = Tile { layer, block, row, column, inside };
                let (out, parameters) = (out.reborrow(), &parameters);
                isa.outline(Border::<S, P, N> { isa, tile, out, parameters });
                continue;
            }
            let mut counter = Counter::<S, P, N, W>::new(isa);
            let mut pixel = (first_row * width + x) * layer.pixel + block.byte;
            let mut weight = first_weight;
            for _ in 0..inside.len() {
                for tap in 0..taps {
                    let mut inputs = [&[][..]; P];
                    for p in 0..P {
                        let first = pixel + (tap + p * window.stride_w) * layer.pixel;
                        inputs[p] = &layer.input[first..first + steps];
                    }
                    let weights = &block.weights[weight..weight + tap_weights];
                    counter.add(isa, inputs, weights, block.stride);
                    weight += tap_weights;
                }
                pixel += width * layer.pixel;
            }
            if let Some(waiting) = &mut waiting {
                if !waiting.takes(column, P) {
                    waiting.finish(lanes, &mut out, &parameters, &block);
                    waiting.column = column;
                }
                for p in 0..P {
                    let mut accumulators = counter.sums(isa, p);
                    for (sum, parameters) in accumulators.iter_mut().zip(&parameters) {
                        let accumulator = lanes.sub16(terms, lanes.add16(*sum, *sum));
                        *sum = parameters.scale16(lanes, accumulator, waiting.shift);
                    }
                    waiting.push(lanes, accumulators);
                }
                continue;
            }
            for p in 0..P {
                let mut accumulators = counter.sums(isa, p);
                for sum in &mut accumulators {
                    *sum = lanes.sub16(terms, lanes.add16(*sum, *sum));
                }
                let at = At { column: column + p, channel: block.channel, count: block.count };
                out.emit16(lanes, &parameters, at, accumulators);
            }
        }
        if let Some(waiting) = &mut waiting {
            waiting.finish(lanes, &mut out, &parameters, &block);
        }
    }
}

/// Pixels of a block that is not full, on their way to the epilogue.
struct Waiting {
    shift: Shift16,
    /// By group of 16 channels, pixel by pixel.
    values: [[[i16; LANES]; RUN]; GROUPS],
    /// The first pixel's column.
    column: usize,
    pixels: usize,
}

impl Waiting {
    #[inline(always)]
    fn new(shift: Shift16) -> Self {
        Waiting { shift, values: [[[0; LANES]; RUN]; GROUPS], column: 0, pixels: 0 }
    }

    /// Whether the `count` pixels from `column` on follow those that wait, and
    /// there is room for them.
    #[inline(always)]
    fn takes(&self, column: usize, count: usize) -> bool {
        column == self.column + self.pixels && self.pixels + count <= RUN
    }

    /// One more pixel.
    #[inline(always)]
    fn push<L: Lanes>(&mut self, lanes: L, scaled: [L::I16; GROUPS]) {
        for (values, &scaled) in self.values.iter_mut().zip(&scaled) {
            lanes.store16(scaled, &mut values[self.pixels]);
        }
        self.pixels += 1;
    }

    /// Hands over what there is.
    #[inline(always)]
    fn finish<L: Lanes>(
        &mut self,
        lanes: L,
        out: &mut Row<'_>,
        parameters: &[Parameters<L>; GROUPS],
        block: &Block<'_>,
    ) {
        if self.pixels == 0 {
            return;
        }
        let at = At { column: self.column, channel: block.channel, count: block.count };
        for (group, (values, parameters)) in self.values.iter_mut().zip(parameters).enumerate() {
            if let Some(at) = at.group(group, LANES) {
                out.finish(lanes, parameters, at, &mut values[..self.pixels]);
            }
        }
        self.pixels = 0;
    }
}

/// A row pixel by pixel: one that is narrower than a tile, or reads +1 above or
/// below the input.
struct Singly<'t, 'l, 'a, S, const N: usize>(&'t mut Line<'l, 'a, S>);

impl<S: Popcount, const N: usize> Work for Singly<'_, '_, '_, S, N> {
    #[inline(always)]
    fn run(self) {
        let Line { isa, layer, block, row, ref inside, .. } = *self.0;
        let (layer, block) = (&layer, &block);
        let mut out = self.0.sink.row(row);
        let parameters = &parameters(isa, block, &out);
        for column in 0..layer.conv.output.w {
            let tile = Tile { layer, block, row, column, inside };
            let out = out.reborrow();
            let pixel = Border::<S, 1, N> { isa, tile, out, parameters };
            if S::CASES {
                pixel.run();
            } else {
                isa.outline(pixel);
            }
        }
    }
}

/// A tile of which some taps may lie outside the input.
struct Border<'t, 'a, S: Popcount, const P: usize, const N: usize> {
    isa: S,
    tile: Tile<'t, 'a>,
    out: Row<'t>,
    parameters: &'t BlockParameters<S>,
}

impl<S: Popcount, const P: usize, const N: usize> Work for Border<'_, '_, S, P, N> {
    #[inline(always)]
    fn run(self) {
        let Border { isa, tile, mut out, parameters } = self;
        let lanes = isa.lanes();
        let Tile { block, column, .. } = tile;
        let mut counter = Counter::<S, P, N, 1>::new(isa);
        tile.count(isa, &mut counter);
        for p in 0..P {
            let terms = lanes.splat16(tile.terms(p) as i16);
            let mut accumulators = counter.sums(isa, p);
            for sum in &mut accumulators {
                *sum = lanes.sub16(terms, lanes.add16(*sum, *sum));
            }
            let at = At { column: column + p, channel: block.channel, count: block.count };
            out.emit16(lanes, parameters, at, accumulators);
        }
    }
}

/// Some neighbouring pixels of one block.
#[derive(Clone, Copy)]
struct Tile<'t, 'a> {
    layer: &'t Layer<'a>,
    block: &'t Block<'a>,
    row: usize,
    column: usize,
    /// Rows of the window inside the input.
    inside: &'t Range<usize>,
}

impl<'a> Tile<'_, 'a> {
    /// Products of pixel `p`.
    #[inline(always)]
    fn terms(&self, p: usize) -> usize {
        let window = &self.layer.conv.window;
        let taps = match self.layer.padding {
            Padding::One => window.kernel_h * window.kernel_w,
            Padding::Zero => {
                let inside = taps_inside(
                    self.column + p,
                    window.stride_w,
                    window.pad_left,
                    window.kernel_w,
                    self.layer.conv.input.w,
                );
                self.inside.len() * inside.len()
            }
        };
        taps * self.layer.channels
    }

    /// The bits that tap (`ky`, `kx`) of pixel `p` reads, if it is inside.
    #[inline(always)]
    fn input(&self, p: usize, ky: usize, kx: usize) -> Option<&'a [u8]> {
        let layer = self.layer;
        let window = &layer.conv.window;
        // Wraps for a column left of the input.
        let x = ((self.column + p) * window.stride_w + kx).wrapping_sub(window.pad_left);
        if !self.inside.contains(&ky) || x >= layer.conv.input.w {
            return None;
        }
        let y = self.row * window.stride_h + ky - window.pad_top;
        let first = (y * layer.conv.input.w + x) * layer.pixel + self.block.byte;
        Some(&layer.input[first..first + layer.steps])
    }

    /// Counts the differing bits of P pixels.
    #[inline(always)]
    fn count<S: Popcount, const P: usize, const N: usize>(
        &self,
        isa: S,
        counter: &mut Counter<S, P, N, 1>,
    ) {
        let Tile { layer, block, .. } = *self;
        let window = &layer.conv.window;
        let taps = block.weights.chunks_exact(layer.steps * block.stride);
        for (tap, weights) in taps.enumerate() {
            let (ky, kx) = (tap / window.kernel_w, tap % window.kernel_w);
            let mut inputs = [None; P];
            let mut all = [&[][..]; P];
            for p in 0..P {
                inputs[p] = self.input(p, ky, kx);
                all[p] = inputs[p].unwrap_or_default();
            }
            if inputs.iter().all(Option::is_some) {
                counter.add(isa, all, weights, block.stride);
            } else if layer.padding == Padding::One || inputs.iter().any(Option::is_some) {
                counter.add_some(isa, inputs, layer.padding, weights, block.stride);
            }
        }
    }
}
