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
//! A tile is P neighbouring pixels by one block of up to 64 channels, or by two
//! full ones where a register holds 64 counters: each row of weights is loaded once
//! for P pixels, each byte of a pixel spread once for the blocks, and the counters
//! stay in registers.
//! A step adds at most 8 to a counter and 31 · 8 = 248 ≤ 255, so the byte
//! counters are widened to 16 bits at most every 31 steps; K ≤ 32767 makes
//! 16 bits enough. Those of a full block then go to the epilogue without having
//! been in memory.
//!
//! The columns of a row at which taps leave the input are done pixel by pixel, so
//! that a tile has none. A tap outside is skipped (it adds 0, and n is smaller), or
//! compared with 0 bits when it reads +1; whole rows of those once for the tiles of
//! a row of the output, and once for either of its edges.
//!
//! Cost per step and 64 channels (512 binary multiply-accumulates) of one
//! pixel: [`Popcount::input`] once, shared by the blocks, and [`Popcount::count`]
//! once per vector; [`Popcount::weights`] is shared by the P pixels.

// Fixed loops over indices are unrolled into registers; iterators over the same
// arrays often are not.
#![allow(clippy::needless_range_loop)]

use core::ops::Range;

use super::binary_counter::{Counter, GROUPS, STEPS_PER_BYTE, Wide};
use super::cut;
use super::epilogue::{At, Parameters, Row, Sink};
use super::lanes::{LANES, Lanes, Outline, Work};
use super::waiting::Waiting;
use super::{BinaryJob, taps_inside, whole_columns};
use crate::layout::{BINARY_LANES, binary_group_bytes, binary_lanes, binary_steps, pixel_bytes};
use crate::types::{Conv, Padding};

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
    /// See [`Popcount::full`].
    type Full: Copy;
    /// Byte counters in one register: 16, 32 or 64.
    const VECTOR: usize;
    /// Full blocks that share an input, at most: 1, or 2 where a register holds a
    /// block.
    const BLOCKS: usize = 1;
    /// Whether code for every case is worth its size: not on a device.
    const CASES: bool = true;

    /// The epilogue's vectors.
    fn lanes(self) -> Self::L;
    /// All counters 0.
    fn zero(self) -> Self::Counts;
    /// The first [`Popcount::VECTOR`] bytes of the slice, which has them.
    fn weights(self, from: &[u8]) -> Self::Weights;
    /// The same of a slice that has fewer; the others are 0.
    #[inline(always)]
    fn some_weights(self, from: &[u8]) -> Self::Weights {
        let mut buffer = [0; BINARY_LANES];
        cut::put(&mut buffer, from);
        self.weights(&buffer)
    }
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

    /// What [`Popcount::emit`] needs of a full block's channels; `None` where it
    /// has no use for it.
    #[inline(always)]
    fn full(self, _out: &Row<'_>, _channel: usize) -> Option<Self::Full> {
        None
    }
    /// Hands a tile's full block over, if that is better done at once than pixel
    /// by pixel; `false` otherwise.
    #[inline(always)]
    fn emit<const P: usize, const N: usize, const G: usize, const W: usize>(
        self,
        _out: &mut Row<'_>,
        _full: &Self::Full,
        _at: At,
        _tile: &TileCounts<'_, Self, P, N, G, W>,
    ) -> bool {
        false
    }
}

/// The counts of a tile for one of its blocks, and the terms from which twice as
/// much is taken.
pub(crate) struct TileCounts<
    't,
    S: Popcount,
    const P: usize,
    const N: usize,
    const G: usize,
    const W: usize,
> {
    isa: S,
    counter: &'t Counter<S, P, N, G, W>,
    terms: &'t Wide<S>,
    g: usize,
}

#[cfg(target_arch = "x86_64")]
impl<S: Popcount, const P: usize, const N: usize, const G: usize, const W: usize>
    TileCounts<'_, S, P, N, G, W>
{
    /// What is counted in bytes for pixel `p`, and what in 16 bits.
    #[inline(always)]
    pub(crate) fn parts(&self, p: usize) -> ([S::Counts; N], Option<Wide<S>>) {
        self.counter.parts(p, self.g)
    }

    /// See [`TileCounts`].
    #[inline(always)]
    pub(crate) fn terms(&self) -> &Wide<S> {
        self.terms
    }
}

impl<S: Popcount, const P: usize, const N: usize, const G: usize, const W: usize>
    TileCounts<'_, S, P, N, G, W>
{
    /// The accumulators of pixel `p`.
    #[inline(always)]
    fn accumulators(&self, p: usize) -> Wide<S> {
        accumulators(self.isa.lanes(), self.terms, self.counter.sums(self.isa, p, self.g))
    }
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

/// Up to 64 output channels, or some full blocks of as many.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    pub(super) weights: &'a [u8],
    /// Bytes per step of one block in `weights`.
    pub(super) stride: usize,
    /// Steps of one block.
    pub(super) steps: usize,
    /// First output channel.
    pub(super) channel: usize,
    /// Output channels.
    pub(super) count: usize,
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
        let steps = self.weights.chunks_exact(cut::divisor(self.stride));
        for (from, to) in steps.zip(to.chunks_exact_mut(cut::divisor(stride))) {
            cut::put(to, from);
        }
        Block { weights: cut::part(to, ..self.steps * stride), stride, ..self }
    }
}

/// The whole operation, in tiles of P pixels: as many as the registers hold.
#[inline(always)]
pub(crate) fn run<S: Popcount, const P: usize>(isa: S, job: BinaryJob<'_>) {
    let conv = job.conv;
    let (kh, kw) = (conv.window.kernel_h, conv.window.kernel_w);
    let groups = cut::divisor(conv.groups);
    let channels = conv.input.c / groups;
    let out_channels = conv.output.c / groups;
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
            let weights = cut::part(job.weights, group * group_bytes..);
            let mut first = 0;
            while first < out_channels {
                let stride = binary_lanes(first, out_channels);
                let full = (out_channels - first) / BINARY_LANES;
                let blocks = full.clamp(1, S::BLOCKS);
                let count = (out_channels - first).min(blocks * BINARY_LANES);
                let block = Block {
                    weights: cut::run(weights, first * steps, blocks * stride * steps),
                    stride,
                    steps,
                    channel: group * out_channels + first,
                    count,
                    byte: group * channels / 8,
                };
                let vectors = stride.div_ceil(S::VECTOR);
                // Constants of their own, so that what a set has no use for is not compiled.
                if const { S::BLOCKS == 2 } && blocks == 2 {
                    line::<S, P, 1, 2>(isa, &layer, &block, &mut sink, row);
                } else if const { S::VECTOR <= 16 } && vectors > 2 {
                    line::<S, P, 4, 1>(isa, &layer, &block, &mut sink, row);
                } else if const { S::VECTOR <= 32 } && vectors > 1 {
                    line::<S, P, 2, 1>(isa, &layer, &block, &mut sink, row);
                } else {
                    line::<S, P, 1, 1>(isa, &layer, &block, &mut sink, row);
                }
                first += count;
            }
        }
    }
}

/// One row of G blocks, N vectors each.
#[inline(always)]
fn line<'a, S: Popcount, const P: usize, const N: usize, const G: usize>(
    isa: S,
    layer: &Layer<'a>,
    block: &Block<'a>,
    sink: &mut Sink<'a>,
    row: usize,
) {
    let Conv { input, window, output, .. } = layer.conv;
    let inside = taps_inside(row, window.stride_h, window.pad_top, window.kernel_h, input.h);
    let columns = 0..output.w;
    let whole =
        whole_columns(columns.clone(), window.stride_w, window.pad_left, window.kernel_w, input.w);
    let mut line = Line { isa, layer: *layer, block: *block, sink, row, inside };
    line.edges::<N, G>(columns.start..whole.start);
    match whole.len() >= P {
        true => line.tiles::<P, N, G>(whole.clone()),
        false => line.edges::<N, G>(whole.clone()),
    }
    line.edges::<N, G>(whole.end..columns.end);
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

impl<'a, S: Popcount> Line<'_, 'a, S> {
    /// Some columns of the row, whose taps are all inside the input, in tiles of P
    /// pixels.
    #[inline(always)]
    fn tiles<const P: usize, const N: usize, const G: usize>(&mut self, columns: Range<usize>) {
        let isa = self.isa;
        let few = self.block.steps <= STEPS_PER_BYTE;
        if const { !S::CASES } {
            return isa.outline(Tiles::<S, P, N, G, 1, false>(self, columns));
        }
        match (few, self.block.count == G * BINARY_LANES) {
            (true, true) => isa.outline(Tiles::<S, P, N, G, 0, true>(self, columns)),
            (true, false) => {
                let mut spread = [0; STEPS_PER_BYTE * BINARY_LANES];
                let block = self.block.spread(N * S::VECTOR, &mut spread);
                let Line { isa, layer, ref mut sink, row, .. } = *self;
                let inside = self.inside.clone();
                let mut line = Line { isa, layer, block, sink, row, inside };
                isa.outline(Tiles::<S, P, N, 1, 0, false>(&mut line, columns));
            }
            (false, true) => isa.outline(Tiles::<S, P, N, G, 1, true>(self, columns)),
            (false, false) => isa.outline(Tiles::<S, P, N, 1, 1, false>(self, columns)),
        }
    }

    /// Any columns of the row, pixel by pixel.
    #[inline(always)]
    fn edges<const N: usize, const G: usize>(&mut self, columns: Range<usize>) {
        if !columns.is_empty() {
            self.isa.outline(Edges::<S, N, G>(self, columns));
        }
    }

    /// For accumulators of a pixel with so many columns of taps inside the input:
    /// what twice the differing bits are taken from.
    #[inline(always)]
    fn terms<const N: usize, const G: usize>(&self, columns: usize) -> [Wide<S>; G] {
        let Line { isa, layer, block, ref inside, .. } = *self;
        let lanes = isa.lanes();
        let window = &layer.conv.window;
        let taps = match layer.padding {
            Padding::One => window.kernel_h * window.kernel_w,
            Padding::Zero => inside.len() * columns,
        };
        let mut terms = [[lanes.splat16((taps * layer.channels) as i16); GROUPS]; G];
        if layer.padding == Padding::One && inside.len() < window.kernel_h {
            // Rows of taps outside are the same for all pixels.
            let mut counter = Counter::<S, 1, N, G, 1>::new(isa);
            for outside in [0..inside.start, inside.end..window.kernel_h] {
                let steps = window.kernel_w * layer.steps;
                counter.add_positive(isa, &block, outside.start * steps, outside.len() * steps);
            }
            for g in 0..G {
                terms[g] = accumulators(lanes, &terms[g], counter.sums(isa, 0, g));
            }
        }
        terms
    }

    /// The input from tap (`ky`, `kx`), which is inside, of the pixel at `column`
    /// on.
    #[inline(always)]
    fn input(&self, column: usize, ky: usize, kx: usize) -> &'a [u8] {
        let Line { layer, block, row, .. } = *self;
        let window = &layer.conv.window;
        let y = row * window.stride_h + ky - window.pad_top;
        let x = column * window.stride_w + kx - window.pad_left;
        cut::part(layer.input, (y * layer.conv.input.w + x) * layer.pixel + block.byte..)
    }
}

impl Block<'_> {
    /// Where the accumulators of block `g` of G at `column` belong.
    #[inline(always)]
    fn at<const G: usize>(&self, column: usize, g: usize) -> At {
        let channel = self.channel + g * BINARY_LANES;
        At { column, channel, count: if G > 1 { BINARY_LANES } else { self.count } }
    }
}

impl Layer<'_> {
    /// How many pieces so many taps of a row make, and the bytes of each. Taps that
    /// lie end to end, in the input as in the weights, are one.
    #[inline(always)]
    fn pieces(&self, taps: usize) -> (usize, usize) {
        if self.steps == self.pixel { (1, taps * self.steps) } else { (taps, self.steps) }
    }
}

/// The parameters of a block's channels, or of each of some full blocks'.
type BlockParameters<S, const G: usize> = [[Parameters<<S as Popcount>::L>; GROUPS]; G];

#[inline(always)]
fn parameters<S: Popcount, const G: usize>(
    isa: S,
    block: &Block<'_>,
    out: &Row<'_>,
) -> BlockParameters<S, G> {
    let lanes = isa.lanes();
    let mut found = [[out.parameters(lanes, block.channel); GROUPS]; G];
    for (group, parameters) in found.as_flattened_mut().iter_mut().enumerate().skip(1) {
        if group * LANES < block.count {
            *parameters = out.parameters(lanes, block.channel + group * LANES);
        }
    }
    found
}

/// Columns whose taps are all inside the input, at least P, in tiles of P pixels.
/// The last tile overlaps the one before it where they are no multiple of P: the
/// same values are written twice. W is 1 where more than [`STEPS_PER_BYTE`] steps
/// make a sum, else 0; FULL is for a block of 64 channels, whose pixels go to the
/// epilogue at once, in registers.
struct Tiles<
    't,
    'l,
    'a,
    S,
    const P: usize,
    const N: usize,
    const G: usize,
    const W: usize,
    const FULL: bool,
>(&'t mut Line<'l, 'a, S>, Range<usize>);

impl<S: Popcount, const P: usize, const N: usize, const G: usize, const W: usize, const FULL: bool>
    Work for Tiles<'_, '_, '_, S, P, N, G, W, FULL>
{
    #[inline(always)]
    fn run(self) {
        let Tiles(line, columns) = self;
        let Line { isa, layer, block, row, .. } = *line;
        let inside = line.inside.clone();
        let terms = line.terms::<N, G>(layer.conv.window.kernel_w);
        let mut out = line.sink.row(row);
        let parameters = parameters::<S, G>(isa, &block, &out);
        let mut full = [None; G];
        if FULL {
            for (g, full) in full.iter_mut().enumerate() {
                *full = isa.full(&out, block.at::<G>(0, g).channel);
            }
        }
        let lanes = isa.lanes();
        let window = layer.conv.window;
        let width = layer.conv.input.w;
        let (taps, steps) = layer.pieces(window.kernel_w);
        let first_row = (row * window.stride_h + inside.start).wrapping_sub(window.pad_top);
        // A block that is not full hands its pixels over in runs.
        let mut waiting = if FULL { None } else { out.shift16().map(Waiting::new) };

        for column in columns.clone().step_by(P) {
            let column = column.min(columns.end - P);
            let x = column * window.stride_w - window.pad_left;
            let mut counter = Counter::<S, P, N, G, W>::new(isa);
            // Wraps where no row is inside, and is not used.
            let mut pixel = first_row.wrapping_mul(width).wrapping_add(x).wrapping_mul(layer.pixel);
            pixel = pixel.wrapping_add(block.byte);
            let mut step = inside.start * taps * steps;
            for _ in 0..inside.len() {
                for tap in 0..taps {
                    let mut inputs = [&[][..]; P];
                    for p in 0..P {
                        let first = pixel + (tap + p * window.stride_w) * layer.pixel;
                        inputs[p] = cut::part(layer.input, first..first + steps);
                    }
                    counter.add(isa, inputs, &block, step);
                    step += steps;
                }
                pixel += width * layer.pixel;
            }
            if let Some(waiting) = &mut waiting {
                if !waiting.takes(column, P) {
                    waiting.finish(lanes, &mut out, &parameters[0], &block);
                    waiting.column = column;
                }
                for p in 0..P {
                    let sums = counter.sums(isa, p, 0);
                    for group in 0..GROUPS {
                        if group * LANES >= block.count {
                            break;
                        }
                        let sum = accumulator(lanes, terms[0][group], sums[group]);
                        let value = parameters[0][group].scale16(lanes, sum, waiting.shift);
                        waiting.put(lanes, group, value);
                    }
                    waiting.pixels += 1;
                }
                continue;
            }
            for g in 0..G {
                let at = block.at::<G>(column, g);
                let tile = TileCounts { isa, counter: &counter, terms: &terms[g], g };
                if let Some(full) = &full[g]
                    && isa.emit(&mut out, full, at, &tile)
                {
                    continue;
                }
                for p in 0..P {
                    out.emit16(lanes, &parameters[g], at.pixel(p), tile.accumulators(p));
                }
            }
        }
        if let Some(waiting) = &mut waiting {
            waiting.finish(lanes, &mut out, &parameters[0], &block);
        }
    }
}

/// Σ w·x of terms and the number of differing bits.
#[inline(always)]
fn accumulators<L: Lanes>(
    lanes: L,
    terms: &[L::I16; GROUPS],
    sums: [L::I16; GROUPS],
) -> [L::I16; GROUPS] {
    let mut accumulators = sums;
    for (sum, &terms) in accumulators.iter_mut().zip(terms) {
        *sum = accumulator(lanes, terms, *sum);
    }
    accumulators
}

#[inline(always)]
fn accumulator<L: Lanes>(lanes: L, terms: L::I16, sum: L::I16) -> L::I16 {
    lanes.sub16(terms, lanes.add16(sum, sum))
}

/// Columns pixel by pixel: those with taps outside the input, and fewer than a
/// tile.
struct Edges<'t, 'l, 'a, S, const N: usize, const G: usize>(&'t mut Line<'l, 'a, S>, Range<usize>);

impl<S: Popcount, const N: usize, const G: usize> Work for Edges<'_, '_, '_, S, N, G> {
    #[inline(always)]
    fn run(self) {
        let Edges(line, columns) = self;
        let Line { isa, layer, block, row, .. } = *line;
        let lanes = isa.lanes();
        let window = layer.conv.window;
        let parameters = parameters::<S, G>(isa, &block, &line.sink.row(row));
        // Where taps outside read +1 it does not depend on the column.
        let all = line.terms::<N, G>(window.kernel_w);
        for column in columns {
            let width = layer.conv.input.w;
            let beside =
                taps_inside(column, window.stride_w, window.pad_left, window.kernel_w, width);
            let (taps, steps) = layer.pieces(beside.len());
            let mut counter = Counter::<S, 1, N, G, 1>::new(isa);
            for ky in line.inside.clone() {
                let step = |kx| (ky * window.kernel_w + kx) * layer.steps;
                if !beside.is_empty() {
                    let input = line.input(column, ky, beside.start);
                    for tap in 0..taps {
                        let input = cut::run(input, tap * layer.pixel, steps);
                        counter.add(isa, [input], &block, step(beside.start + tap));
                    }
                }
                if layer.padding == Padding::One {
                    for outside in [0..beside.start, beside.end..window.kernel_w] {
                        let steps = outside.len() * layer.steps;
                        counter.add_positive(isa, &block, step(outside.start), steps);
                    }
                }
            }
            let terms = match layer.padding {
                Padding::One => all,
                Padding::Zero => line.terms::<N, G>(beside.len()),
            };
            let mut out = line.sink.row(row);
            for g in 0..G {
                let accumulators = accumulators(lanes, &terms[g], counter.sums(isa, 0, g));
                out.emit16(lanes, &parameters[g], block.at::<G>(column, g), accumulators);
            }
        }
    }
}
