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

use super::epilogue::{At, Sink};
use super::lanes::{LANES, Lanes};
use super::{BinaryJob, taps_inside};
use crate::layout::{BINARY_LANES, binary_group_bytes, binary_lanes, binary_steps, pixel_bytes};
use crate::types::{Conv, Padding};

/// Steps after which a byte counter must be widened.
const STEPS_PER_BYTE: usize = 31;

/// Counting the differing bits of bytes.
pub(crate) trait Popcount: Copy {
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
    /// Pixels in a tile: 1, 4 or 8.
    const TILE: usize;

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

/// The whole operation.
#[inline(always)]
pub(crate) fn run<S: Popcount>(isa: S, job: BinaryJob<'_>) {
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
                    line::<S, 4>(isa, &layer, &block, &mut sink, row);
                } else if S::VECTOR <= 32 && vectors > 1 {
                    line::<S, 2>(isa, &layer, &block, &mut sink, row);
                } else {
                    line::<S, 1>(isa, &layer, &block, &mut sink, row);
                }
            }
        }
    }
}

/// One row of one block. The last tile overlaps the one before it where the
/// width is no multiple of the tile: the same values are written twice.
#[inline(always)]
fn line<S: Popcount, const N: usize>(
    isa: S,
    layer: &Layer<'_>,
    block: &Block<'_>,
    sink: &mut Sink<'_>,
    row: usize,
) {
    let width = layer.conv.output.w;
    if S::TILE >= 8 && width >= 8 {
        for column in (0..width).step_by(8) {
            tile::<S, 8, N>(isa, layer, block, sink, row, column.min(width - 8));
        }
    } else if S::TILE >= 4 && width >= 4 {
        for column in (0..width).step_by(4) {
            tile::<S, 4, N>(isa, layer, block, sink, row, column.min(width - 4));
        }
    } else {
        for column in 0..width {
            tile::<S, 1, N>(isa, layer, block, sink, row, column);
        }
    }
}

/// P pixels of one block.
#[inline(always)]
fn tile<S: Popcount, const P: usize, const N: usize>(
    isa: S,
    layer: &Layer<'_>,
    block: &Block<'_>,
    sink: &mut Sink<'_>,
    row: usize,
    column: usize,
) {
    let lanes = isa.lanes();
    let window = &layer.conv.window;
    let (height, width) = (layer.conv.input.h, layer.conv.input.w);
    let rows_inside = taps_inside(row, window.stride_h, window.pad_top, window.kernel_h, height);
    let mut counter = Counter::<S, P, N>::new(isa);
    let mut terms = [0; P];

    // The input column of tap `kx` of pixel `p`, if it is one.
    let input_column = |p: usize, kx: usize| {
        let x = ((column + p) * window.stride_w + kx).checked_sub(window.pad_left)?;
        (x < width).then_some(x)
    };
    let whole = input_column(0, 0).is_some() && input_column(P - 1, window.kernel_w - 1).is_some();
    // Taps of a row that lie end to end, in the input as in the weights, are
    // one long tap.
    let joined = whole && layer.steps == layer.pixel;
    let (taps, tap_steps, tap_terms) = if joined {
        (1, layer.steps * window.kernel_w, layer.channels * window.kernel_w)
    } else {
        (window.kernel_w, layer.steps, layer.channels)
    };

    for ky in 0..window.kernel_h {
        let row_inside = rows_inside.contains(&ky);
        if !row_inside && layer.padding == Padding::Zero {
            continue;
        }
        // Wraps for a row outside, which is not used then.
        let y = (row * window.stride_h + ky).wrapping_sub(window.pad_top);
        for kx in 0..taps {
            let step = (ky * taps + kx) * tap_steps;
            let weights = &block.weights[step * block.stride..][..tap_steps * block.stride];
            let input = |x: usize| {
                let first = (y * width + x) * layer.pixel + block.byte;
                &layer.input[first..first + tap_steps]
            };
            if row_inside && whole {
                let first = column * window.stride_w + kx - window.pad_left;
                let mut inputs = [&[][..]; P];
                for (p, one) in inputs.iter_mut().enumerate() {
                    *one = input(first + p * window.stride_w);
                }
                counter.all(isa, inputs, weights, block.stride);
                for n in &mut terms {
                    *n += tap_terms;
                }
            } else {
                // Every pixel is given the same number of steps, so that one
                // count of steps since the last widening serves them all.
                let bits: [Option<&[u8]>; P] = core::array::from_fn(|p| {
                    let x = input_column(p, kx)?;
                    row_inside.then(|| input(x))
                });
                counter.each(isa, bits, layer.padding, weights, block.stride);
                for (n, bits) in terms.iter_mut().zip(bits) {
                    if bits.is_some() || layer.padding == Padding::One {
                        *n += tap_terms;
                    }
                }
            }
        }
    }

    counter.widen(isa);
    for (group, first) in (0..block.count).step_by(LANES).enumerate() {
        let mut accumulators = [lanes.splat16(0); P];
        for p in 0..P {
            let differing = counter.wide[p][group];
            let terms = lanes.splat16(terms[p] as i16);
            accumulators[p] = lanes.sub16(terms, lanes.add16(differing, differing));
        }
        let at = At {
            row,
            column,
            channel: block.channel + first,
            count: (block.count - first).min(LANES),
        };
        sink.emit16(lanes, at, accumulators);
    }
}

/// The counters of a tile: N registers of bytes per pixel, widened into
/// 16 bits in time.
struct Counter<S: Popcount, const P: usize, const N: usize> {
    bytes: [[S::Counts; N]; P],
    wide: [[<S::L as Lanes>::I16; BINARY_LANES / LANES]; P],
    /// Steps since the last widening.
    used: usize,
}

impl<S: Popcount, const P: usize, const N: usize> Counter<S, P, N> {
    #[inline(always)]
    fn new(isa: S) -> Self {
        Counter {
            bytes: [[isa.zero(); N]; P],
            wide: [[isa.lanes().splat16(0); BINARY_LANES / LANES]; P],
            used: 0,
        }
    }

    #[inline(always)]
    fn widen(&mut self, isa: S) {
        let lanes = isa.lanes();
        for p in 0..P {
            for n in 0..N {
                for part in 0..S::VECTOR / LANES {
                    let group = n * (S::VECTOR / LANES) + part;
                    let more = isa.widen(self.bytes[p][n], part);
                    self.wide[p][group] = lanes.add16(self.wide[p][group], more);
                }
                self.bytes[p][n] = isa.zero();
            }
        }
        self.used = 0;
    }

    /// A tap that lies inside the input for all pixels.
    #[inline(always)]
    fn all(&mut self, isa: S, inputs: [&[u8]; P], weights: &[u8], stride: usize) {
        let steps = inputs[0].len();
        let mut done = 0;
        while done < steps {
            let take = (steps - done).min(STEPS_PER_BYTE - self.used);
            let mut part = [&[][..]; P];
            for p in 0..P {
                part[p] = &inputs[p][done..done + take];
            }
            count::<S, P, N>(isa, &mut self.bytes, part, &weights[done * stride..], stride);
            self.used += take;
            done += take;
            if self.used == STEPS_PER_BYTE {
                self.widen(isa);
            }
        }
    }

    /// A tap that lies outside the input (`None`) for some pixels.
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
            let take = (steps - done).min(STEPS_PER_BYTE - self.used);
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
            self.used += take;
            done += take;
            if self.used == STEPS_PER_BYTE {
                self.widen(isa);
            }
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
    let mut counts = *bytes;
    for k in 0..inputs[0].len() {
        let mut buffer = [0; BINARY_LANES];
        let row = &weights[k * stride..];
        // Lanes past the block's last read what follows, and are dropped by
        // the epilogue; where nothing follows, they read 0.
        let row = match row.get(..N * S::VECTOR) {
            Some(row) => row,
            None => {
                buffer[..row.len()].copy_from_slice(row);
                &buffer[..N * S::VECTOR]
            }
        };
        let weights: [S::Weights; N] =
            core::array::from_fn(|n| isa.weights(&row[n * S::VECTOR..][..S::VECTOR]));
        for p in 0..P {
            let input = isa.input(inputs[p][k]);
            for n in 0..N {
                counts[p][n] = isa.count(counts[p][n], weights[n], input);
            }
        }
    }
    *bytes = counts;
}
