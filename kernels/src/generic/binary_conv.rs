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
//! 16 bits enough. The accumulators then go to the epilogue without having
//! been in memory.
//!
//! A tap outside the input is skipped for that pixel alone (it adds 0, and the
//! pixel's n is smaller), or compared with 0 bits when it reads +1.
//!
//! Cost per step and 64 channels (512 binary multiply-accumulates) of one
//! pixel: [`Popcount::input`] once and [`Popcount::count`] once per vector;
//! [`Popcount::weights`] is shared by the P pixels.

use core::ops::Range;

use super::epilogue::{At, Sink};
use super::lanes::{LANES, Lanes, Outline, Work};
use super::{BinaryJob, taps_inside};
use crate::layout::{BINARY_LANES, binary_group_bytes, binary_lanes, binary_steps, pixel_bytes};
use crate::types::{Conv, Padding};

/// Steps after which a byte counter must be widened.
const STEPS_PER_BYTE: usize = 31;

/// Groups of 16 channels in a full block.
const GROUPS: usize = BINARY_LANES / LANES;

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

/// One row of one block, pixel by pixel where it is narrower than a tile.
#[inline(always)]
fn line<'a, S: Popcount, const P: usize, const N: usize>(
    isa: S,
    layer: &Layer<'a>,
    block: &Block<'a>,
    sink: &mut Sink<'a>,
    row: usize,
) {
    let short = block.weights.len() <= STEPS_PER_BYTE * block.stride;
    if layer.conv.output.w < P {
        isa.outline(Line::<S, 1, N, true> { isa, layer, block, sink, row });
    } else if short {
        isa.outline(Line::<S, P, N, false> { isa, layer, block, sink, row });
    } else {
        isa.outline(Line::<S, P, N, true> { isa, layer, block, sink, row });
    }
}

/// One row of one block in tiles of P pixels, at least P wide. The last tile
/// overlaps the one before it where the width is no multiple of P: the same
/// values are written twice. `LONG` where more than [`STEPS_PER_BYTE`] steps
/// make a sum.
struct Line<'l, 'a, S, const P: usize, const N: usize, const LONG: bool> {
    isa: S,
    layer: &'l Layer<'a>,
    block: &'l Block<'a>,
    sink: &'l mut Sink<'a>,
    row: usize,
}

impl<S: Popcount, const P: usize, const N: usize, const LONG: bool> Work
    for Line<'_, '_, S, P, N, LONG>
{
    #[inline(always)]
    fn run(self) {
        let Line { isa, layer, block, sink, row } = self;
        let lanes = isa.lanes();
        let window = &layer.conv.window;
        let height = layer.conv.input.h;
        let inside = taps_inside(row, window.stride_h, window.pad_top, window.kernel_h, height);
        let mut parameters = [sink.parameters(lanes, block.channel); GROUPS];
        for (group, parameters) in parameters.iter_mut().enumerate().skip(1) {
            if group * LANES < block.count {
                *parameters = sink.parameters(lanes, block.channel + group * LANES);
            }
        }
        let rows = match layer.padding {
            Padding::One => window.kernel_h,
            Padding::Zero => inside.len(),
        };
        let whole_terms = rows * window.kernel_w * layer.channels;
        let width = layer.conv.output.w;
        for column in (0..width).step_by(P) {
            let column = column.min(width - P);
            let tile = Tile { layer, block, row, column, inside: &inside };
            let counter = tile.count::<S, P, N, LONG>(isa);
            let whole = tile.is_whole::<P>();
            for p in 0..P {
                let terms = if whole { whole_terms } else { tile.terms(p) };
                let terms = lanes.splat16(terms as i16);
                let mut accumulators = counter.sums(isa, p);
                for sum in &mut accumulators {
                    *sum = lanes.sub16(terms, lanes.add16(*sum, *sum));
                }
                let at = At { row, column: column + p, channel: block.channel, count: block.count };
                sink.emit16(lanes, &parameters, at, accumulators);
            }
        }
    }
}

/// Some neighbouring pixels of one block.
struct Tile<'l, 'a> {
    layer: &'l Layer<'a>,
    block: &'l Block<'a>,
    row: usize,
    column: usize,
    /// Rows of the window inside the input.
    inside: &'l Range<usize>,
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

    /// Whether all columns of the windows of P pixels lie inside the input.
    #[inline(always)]
    fn is_whole<const P: usize>(&self) -> bool {
        let last = self.layer.conv.window.kernel_w - 1;
        self.input_column(0, 0).is_some() && self.input_column(P - 1, last).is_some()
    }

    /// The input column of tap `kx` of pixel `p`, if there is one.
    #[inline(always)]
    fn input_column(&self, p: usize, kx: usize) -> Option<usize> {
        let window = &self.layer.conv.window;
        let x = ((self.column + p) * window.stride_w + kx).checked_sub(window.pad_left)?;
        (x < self.layer.conv.input.w).then_some(x)
    }

    /// `steps` bytes of the input from pixel (y, x) on.
    #[inline(always)]
    fn input(&self, y: usize, x: usize, steps: usize) -> &'a [u8] {
        let layer = self.layer;
        let first = (y * layer.conv.input.w + x) * layer.pixel + self.block.byte;
        &layer.input[first..first + steps]
    }

    /// Counts the differing bits of P pixels.
    #[inline(always)]
    fn count<S: Popcount, const P: usize, const N: usize, const LONG: bool>(
        &self,
        isa: S,
    ) -> Counter<S, P, N, LONG> {
        let Tile { layer, block, .. } = *self;
        let window = &layer.conv.window;
        let mut counter = Counter::new(isa);
        let whole = self.is_whole::<P>();
        // Taps of a row that lie end to end, in the input as in the weights,
        // are one long tap.
        let (taps, steps) = if whole && layer.steps == layer.pixel {
            (1, layer.steps * window.kernel_w)
        } else {
            (window.kernel_w, layer.steps)
        };
        for ky in 0..window.kernel_h {
            let inside = self.inside.contains(&ky);
            if !inside && layer.padding == Padding::Zero {
                continue;
            }
            // Wraps for a row outside, which is not used then.
            let y = (self.row * window.stride_h + ky).wrapping_sub(window.pad_top);
            for kx in 0..taps {
                let first = (ky * taps + kx) * steps * block.stride;
                let weights = &block.weights[first..first + steps * block.stride];
                let ends = (self.input_column(0, kx), self.input_column(P - 1, kx));
                if let (true, (Some(x), Some(_))) = (inside, ends) {
                    let mut inputs = [&[][..]; P];
                    for (p, input) in inputs.iter_mut().enumerate() {
                        *input = self.input(y, x + p * window.stride_w, steps);
                    }
                    counter.all(isa, inputs, weights, block.stride);
                } else {
                    let mut inputs = [None; P];
                    for (p, input) in inputs.iter_mut().enumerate() {
                        if let (true, Some(x)) = (inside, self.input_column(p, kx)) {
                            *input = Some(self.input(y, x, steps));
                        }
                    }
                    counter.each(isa, inputs, layer.padding, weights, block.stride);
                }
            }
        }
        counter
    }
}

/// The counters of a tile: N registers of bytes per pixel, widened into
/// 16 bits in time.
struct Counter<S: Popcount, const P: usize, const N: usize, const LONG: bool> {
    bytes: [[S::Counts; N]; P],
    /// In use if `LONG`.
    wide: [[<S::L as Lanes>::I16; GROUPS]; P],
    /// Steps since the last widening.
    used: usize,
}

impl<S: Popcount, const P: usize, const N: usize, const LONG: bool> Counter<S, P, N, LONG> {
    #[inline(always)]
    fn new(isa: S) -> Self {
        Counter {
            bytes: [[isa.zero(); N]; P],
            wide: [[isa.lanes().splat16(0); GROUPS]; P],
            used: 0,
        }
    }

    /// The counts of pixel `p`.
    #[inline(always)]
    fn sums(&self, isa: S, p: usize) -> [<S::L as Lanes>::I16; GROUPS] {
        let lanes = isa.lanes();
        let parts = S::VECTOR / LANES;
        let mut sums = self.wide[p];
        for (group, sum) in sums.iter_mut().enumerate().take(N * parts) {
            let more = isa.widen(self.bytes[p][group / parts], group % parts);
            *sum = if LONG { lanes.add16(*sum, more) } else { more };
        }
        sums
    }

    /// Empties the byte counters into the wide ones.
    #[inline(always)]
    fn widen(&mut self, isa: S) {
        for p in 0..P {
            self.wide[p] = self.sums(isa, p);
        }
        self.bytes = [[isa.zero(); N]; P];
        self.used = 0;
    }

    /// How many of `left` steps may be taken at once.
    #[inline(always)]
    fn take(&mut self, isa: S, left: usize) -> usize {
        if !LONG {
            return left;
        }
        if self.used == STEPS_PER_BYTE {
            self.widen(isa);
        }
        let take = left.min(STEPS_PER_BYTE - self.used);
        self.used += take;
        take
    }

    /// A tap that lies inside the input for all pixels.
    #[inline(always)]
    fn all(&mut self, isa: S, inputs: [&[u8]; P], weights: &[u8], stride: usize) {
        let steps = inputs[0].len();
        let mut done = 0;
        while done < steps {
            let take = self.take(isa, steps - done);
            let mut part = [&[][..]; P];
            for (part, input) in part.iter_mut().zip(&inputs) {
                *part = &input[done..done + take];
            }
            count::<S, P, N>(isa, &mut self.bytes, part, &weights[done * stride..], stride);
            done += take;
        }
    }

    /// A tap that lies outside the input (`None`) for some pixels. All of them
    /// use up the same number of steps.
    #[inline(always)]
    fn each(
        &mut self,
        isa: S,
        inputs: [Option<&[u8]>; P],
        padding: Padding,
        weights: &[u8],
        stride: usize,
    ) {
        const OUTSIDE: [u8; STEPS_PER_BYTE] = [0; STEPS_PER_BYTE];
        let steps = weights.len() / stride;
        let mut done = 0;
        while done < steps {
            let take = self.take(isa, steps - done);
            for (bytes, input) in self.bytes.iter_mut().zip(inputs) {
                let part = match input {
                    Some(bits) => &bits[done..done + take],
                    None if padding == Padding::One => &OUTSIDE[..take],
                    None => continue,
                };
                let mut one = [*bytes];
                count::<S, 1, N>(isa, &mut one, [part], &weights[done * stride..], stride);
                *bytes = one[0];
            }
            done += take;
        }
    }
}

/// The innermost loop: as many steps as `inputs` has bytes, at most
/// [`STEPS_PER_BYTE`] since the last widening.
#[inline(always)]
fn count<S: Popcount, const P: usize, const N: usize>(
    isa: S,
    bytes: &mut [[S::Counts; N]; P],
    inputs: [&[u8]; P],
    weights: &[u8],
    stride: usize,
) {
    let steps = inputs[0].len();
    let mut counts = *bytes;
    if stride == N * S::VECTOR {
        for (k, row) in weights.chunks_exact(N * S::VECTOR).take(steps).enumerate() {
            step::<S, P, N>(isa, &mut counts, inputs, k, row);
        }
    } else {
        for k in 0..steps {
            // Lanes past the block's last read what follows, and are dropped by
            // the epilogue; where nothing follows, they read 0.
            let row = &weights[k * stride..];
            let mut buffer = [0; BINARY_LANES];
            let row = match row.get(..N * S::VECTOR) {
                Some(row) => row,
                None => {
                    buffer[..row.len()].copy_from_slice(row);
                    &buffer[..N * S::VECTOR]
                }
            };
            step::<S, P, N>(isa, &mut counts, inputs, k, row);
        }
    }
    *bytes = counts;
}

/// One step of P pixels.
#[inline(always)]
fn step<S: Popcount, const P: usize, const N: usize>(
    isa: S,
    counts: &mut [[S::Counts; N]; P],
    inputs: [&[u8]; P],
    k: usize,
    row: &[u8],
) {
    let mut weights = [isa.weights(row); N];
    for (n, weights) in weights.iter_mut().enumerate().skip(1) {
        *weights = isa.weights(&row[n * S::VECTOR..]);
    }
    for (counts, input) in counts.iter_mut().zip(inputs) {
        let input = isa.input(input[k]);
        for (count, &weights) in counts.iter_mut().zip(&weights) {
            *count = isa.count(*count, weights, input);
        }
    }
}
