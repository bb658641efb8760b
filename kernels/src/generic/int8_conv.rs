//! 8-bit convolution over all input channels: exact 32-bit accumulators.
//!
//! For a tile of up to 4 output pixels the windows are laid out in the scratch
//! as 16-bit values (pixel − zero, or the narrowed stream; 0 outside the
//! input), in the weights' order, so that a window's rows follow each other and
//! every product loop is one straight run, whatever the window. Values of 9
//! bits by weights of 8 bits are multiplied as 16 bits by 16 bits and added in
//! 32, which is exact; 8-bit multiply-add instructions saturate and are not.
//!
//! For each block of 16 output channels, one step takes 4 positions of the
//! flattened window: [`Dot::weights`] is shared by the tile, [`Dot::dot`] is 64
//! multiply-accumulates of one pixel. A window longer than 1024 is laid out
//! part by part and again for each block, so that the scratch stays small.
//!
//! Cost: laying out is about 4 operations per 16 values, once per pixel (per
//! block for long windows); the products are [`Dot::dot`] per 64.

use super::epilogue::{At, Sink};
use super::lanes::{LANES, Lanes, Narrow, Outline, Work, load16_padded, padded};
use super::{Int8Job, taps_inside};
use crate::layout::{
    INT8_CHUNK, INT8_GROUP, INT8_LANES, INT8_TILE, int8_depth, int8_lanes, int8_window_bytes,
};
use crate::types::{Conv, Int8Input};

/// Products of 16 output channels.
pub(crate) trait Dot: Outline {
    /// The epilogue's vectors.
    type L: Lanes;
    /// 4 weights of each of 16 channels, ready to be multiplied.
    type Weights: Copy;

    /// The epilogue's vectors.
    fn lanes(self) -> Self::L;
    /// 4 weights per channel, channel by channel.
    fn weights(self, from: &[i8; INT8_LANES * INT8_GROUP]) -> Self::Weights;
    /// Adds to each channel Σ w·x over 4 positions; `x` holds 4 native `i16`.
    fn dot(
        self,
        sum: <Self::L as Lanes>::I32,
        weights: Self::Weights,
        x: &[u8; 2 * INT8_GROUP],
    ) -> <Self::L as Lanes>::I32;
}

/// How input elements become 16-bit values.
enum Source<'a, L: Lanes> {
    Image {
        pixels: &'a [u8],
        zero: &'a [u8],
        /// `zero` repeated, from which any 16 consecutive channels can be
        /// read; in use for fewer than 16 channels.
        cycle: [i16; 2 * LANES],
    },
    Stream {
        values: &'a [i16],
        narrow: Narrow<L>,
    },
}

/// The whole operation.
#[inline(always)]
pub(crate) fn run<S: Dot>(isa: S, job: Int8Job<'_>) {
    let conv = job.conv;
    let lanes = isa.lanes();
    let source = match job.input {
        Int8Input::Image { pixels, zero } => Source::Image {
            pixels,
            zero,
            cycle: {
                let mut cycle = [0; 2 * LANES];
                for (value, &zero) in cycle.iter_mut().zip(zero.iter().cycle()) {
                    *value = i16::from(zero);
                }
                cycle
            },
        },
        Int8Input::Stream { values, narrow } => {
            Source::Stream { values, narrow: lanes.narrow_by(narrow) }
        }
    };
    let tile = &mut Tile {
        isa,
        conv: &conv,
        source: &source,
        weights: job.weights,
        scratch: job.scratch,
        sink: &mut Sink::new(job.epilogue, conv.output, &job.rows, 0),
        row: 0,
        column: 0,
    };
    let width = conv.output.w;
    for row in job.rows {
        tile.row = row;
        if width >= INT8_TILE {
            for column in (0..width).step_by(INT8_TILE) {
                tile.column = column.min(width - INT8_TILE);
                isa.outline(Pixels::<S, INT8_TILE>(tile));
            }
        } else {
            for column in 0..width {
                tile.column = column;
                isa.outline(Pixels::<S, 1>(tile));
            }
        }
    }
}

/// Neighbouring pixels that share the weights.
struct Tile<'l, 'a, S: Dot> {
    isa: S,
    conv: &'l Conv,
    source: &'l Source<'a, S::L>,
    weights: &'a [i8],
    scratch: &'a mut [u8],
    sink: &'l mut Sink<'a>,
    row: usize,
    column: usize,
}

/// P pixels of a tile, all output channels.
struct Pixels<'t, 'l, 'a, S: Dot, const P: usize>(&'t mut Tile<'l, 'a, S>);

impl<S: Dot, const P: usize> Work for Pixels<'_, '_, '_, S, P> {
    #[inline(always)]
    fn run(self) {
        let &mut Tile { isa, conv, source, weights, ref mut scratch, ref mut sink, row, column } =
            self.0;
        let lanes = isa.lanes();
        let channels = conv.output.c;
        let depth = int8_depth(conv.window.kernel_h, conv.window.kernel_w, conv.input.c);
        let stride = int8_window_bytes(&conv.window, conv.input.c);
        if depth <= INT8_CHUNK {
            for (p, to) in scratch.chunks_exact_mut(stride).take(P).enumerate() {
                window(lanes, conv, source, row, column + p, 0, depth, to);
            }
        }
        for first in (0..channels).step_by(INT8_LANES) {
            let count = int8_lanes(first, channels);
            let block = &weights[first * depth..(first + count) * depth];
            let mut sums = [lanes.zero32(); P];
            for part in (0..depth).step_by(INT8_CHUNK) {
                let length = (depth - part).min(INT8_CHUNK);
                if depth > INT8_CHUNK {
                    for (p, to) in scratch.chunks_exact_mut(stride).take(P).enumerate() {
                        window(lanes, conv, source, row, column + p, part, length, to);
                    }
                }
                let mut inputs = [&[][..]; P];
                for (p, one) in inputs.iter_mut().enumerate() {
                    *one = scratch[p * stride..][..2 * length].as_chunks().0;
                }
                let weights = &block[part * count..][..length * count];
                isa.outline(Products { isa, sums: &mut sums, weights, count, inputs });
            }
            let mut out = sink.row(row);
            let parameters = out.parameters(lanes, first);
            for (p, &sum) in sums.iter().enumerate() {
                let at = At { column: column + p, channel: first, count };
                out.emit32(lanes, &parameters, at, sum);
            }
        }
    }
}

/// The product loop: `count` channels' weights times P laid-out windows, in
/// groups of 4 native `i16`. A function of its own, because it needs every
/// register.
struct Products<'p, S: Dot, const P: usize> {
    isa: S,
    sums: &'p mut [<S::L as Lanes>::I32; P],
    weights: &'p [i8],
    count: usize,
    inputs: [&'p [[u8; 2 * INT8_GROUP]]; P],
}

impl<S: Dot, const P: usize> Work for Products<'_, S, P> {
    #[inline(always)]
    fn run(self) {
        let Products { isa, sums, weights, count, inputs } = self;
        let groups = inputs[0].len();
        let mut exact = inputs;
        for input in &mut exact {
            *input = &input[..groups];
        }
        let mut running = *sums;
        if count == INT8_LANES {
            let weights = &weights.as_chunks().0[..groups];
            for k in 0..groups {
                let weights = isa.weights(&weights[k]);
                for (sum, input) in running.iter_mut().zip(&exact) {
                    *sum = isa.dot(*sum, weights, &input[k]);
                }
            }
        } else {
            for k in 0..groups {
                // Lanes past the block's last read what follows, and are dropped
                // by the epilogue.
                let mut buffer = [0; INT8_LANES * INT8_GROUP];
                let group = &weights[k * count * INT8_GROUP..];
                let group = match group.first_chunk() {
                    Some(whole) => whole,
                    None => {
                        buffer[..group.len()].copy_from_slice(group);
                        &buffer
                    }
                };
                let weights = isa.weights(group);
                for (sum, input) in running.iter_mut().zip(&exact) {
                    *sum = isa.dot(*sum, weights, &input[k]);
                }
            }
        }
        *sums = running;
    }
}

/// Lays out positions `first..first + length` of one output pixel's window, a
/// multiple of 4, as native `i16`. `to` has room for 16 elements more, which
/// whole-vector stores may touch. Positions past the window's end are left as
/// they are: their weights are 0.
#[allow(clippy::too_many_arguments)]
#[inline(always)]
fn window<L: Lanes>(
    lanes: L,
    conv: &Conv,
    source: &Source<'_, L>,
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

    if inside_y.len() == window.kernel_h && inside_x.len() == window.kernel_w && first == 0 {
        // The usual case: whole rows of the window, one after the other.
        for ky in 0..window.kernel_h {
            let element = ((y + ky) * shape.w + x) * shape.c;
            let start = ky * kernel_row;
            if start >= length {
                break;
            }
            let count = kernel_row.min(length - start);
            run_of(lanes, source, element, count, 0, shape.c, &mut to[2 * start..]);
        }
        return;
    }
    let end = first + length;
    for ky in first / kernel_row..window.kernel_h {
        let start = ky * kernel_row;
        if start >= end {
            break;
        }
        let (from, until) = (start.max(first), (start + kernel_row).min(end));
        to[2 * (from - first)..2 * (until - first)].fill(0);
        // Positions of this row inside the input: one run of elements.
        let from = from.max(start + inside_x.start * shape.c);
        let until = until.min(start + inside_x.end * shape.c);
        if inside_y.contains(&ky) && from < until {
            let offset = from - start;
            let pixel = y.wrapping_add(ky) * shape.w + x.wrapping_add(offset / shape.c);
            let phase = offset % shape.c;
            let element = pixel * shape.c + phase;
            // The vectors that end the run spill over what follows it; that is
            // zeroed after.
            let to = &mut to[2 * (from - first)..];
            run_of(lanes, source, element, until - from, phase, shape.c, to);
            let outside = start + kernel_row - until;
            let outside = outside.min(end - until).min(LANES);
            to[2 * (until - from)..][..2 * outside].fill(0);
        }
    }
}

/// `count` input elements from `element` on, the first of them of channel
/// `phase`, converted; up to 15 more of `to` are touched.
#[inline(always)]
fn run_of<L: Lanes>(
    lanes: L,
    source: &Source<'_, L>,
    element: usize,
    count: usize,
    phase: usize,
    channels: usize,
    to: &mut [u8],
) {
    let mut channel = phase;
    for done in (0..count).step_by(LANES) {
        let at = element + done;
        let value = match source {
            Source::Image { pixels, zero, cycle } => {
                let pixels = lanes.load_u8(&padded(&pixels[at..]));
                let zero = if channels < LANES {
                    load16_padded(lanes, &cycle[channel..])
                } else {
                    lanes.load_u8(&around(zero, channel))
                };
                channel = (channel + LANES) % channels;
                lanes.sub16(pixels, zero)
            }
            Source::Stream { values, narrow } => {
                lanes.narrow16(load16_padded(lanes, &values[at..]), *narrow)
            }
        };
        if let Some(to) = to[2 * done..].first_chunk_mut() {
            lanes.store16_bytes(value, to);
        }
    }
}

/// 16 consecutive channels from `channel` on, starting over at the end; for
/// images of many channels, which are rare.
#[inline(never)]
fn around(zero: &[u8], channel: usize) -> [u8; LANES] {
    let mut around = [0; LANES];
    for (value, &zero) in around.iter_mut().zip(zero[channel..].iter().chain(zero)) {
        *value = zero;
    }
    around
}
