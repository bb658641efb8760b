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
pub(crate) trait Dot: Copy {
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
                lanes.outline(Pixels::<S, INT8_TILE>(tile));
            }
        } else {
            for column in 0..width {
                tile.column = column;
                lanes.outline(Pixels::<S, 1>(tile));
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
                products(isa, &mut sums, &block[part * count..][..length * count], count, inputs);
            }
            let parameters = sink.parameters(lanes, first);
            let mut out = sink.row(row);
            for (p, &sum) in sums.iter().enumerate() {
                let at = At { column: column + p, channel: first, count };
                out.emit32(lanes, &parameters, at, sum);
            }
        }
    }
}

/// The product loop: `count` channels' weights times P laid-out windows, in
/// groups of 4 native `i16`.
#[inline(always)]
fn products<S: Dot, const P: usize>(
    isa: S,
    sums: &mut [<S::L as Lanes>::I32; P],
    weights: &[i8],
    count: usize,
    inputs: [&[[u8; 2 * INT8_GROUP]]; P],
) {
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

/// Lays out positions `first..first + length` of one output pixel's window, a
/// multiple of 4, as native `i16`. `to` has room for 16 elements more, which
/// whole-vector stores may touch.
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
    let shape = conv.input;
    let window = &conv.window;
    let inside_y = taps_inside(row, window.stride_h, window.pad_top, window.kernel_h, shape.h);
    let inside_x = taps_inside(column, window.stride_w, window.pad_left, window.kernel_w, shape.w);
    let (kernel_row, end) = (window.kernel_w * shape.c, first + length);
    let mut done = first;
    for ky in first / kernel_row..window.kernel_h {
        if done >= end {
            break;
        }
        let start = ky * kernel_row;
        if inside_y.contains(&ky) {
            // Positions of this row inside the input: one run of elements.
            let inside = start + inside_x.start * shape.c..start + inside_x.end * shape.c;
            let (from, until) = (inside.start.max(done), inside.end.min(end));
            if from < until {
                zeros(&mut to[2 * (done - first)..2 * (from - first)]);
                let y = row * window.stride_h + ky - window.pad_top;
                let x = column * window.stride_w + inside_x.start - window.pad_left;
                let element = (y * shape.w + x) * shape.c + (from - inside.start);
                let to = &mut to[2 * (from - first)..];
                run_of(lanes, source, element, until - from, shape.c, to);
                done = until;
            }
        }
        let until = (start + kernel_row).min(end);
        zeros(&mut to[2 * (done - first)..2 * (until - first)]);
        done = until;
    }
    zeros(&mut to[2 * (done - first)..2 * length]);
}

/// Few bytes at a time; a call of the library's fill would cost more.
#[inline(always)]
fn zeros(to: &mut [u8]) {
    for byte in to {
        *byte = 0;
    }
}

/// `count` input elements from `element` on, converted; up to 15 more of `to`
/// are touched.
#[inline(always)]
fn run_of<L: Lanes>(
    lanes: L,
    source: &Source<'_, L>,
    element: usize,
    count: usize,
    channels: usize,
    to: &mut [u8],
) {
    let mut done = 0;
    while done < count {
        let at = element + done;
        let value = match source {
            Source::Image { pixels, zero, cycle } => {
                let channel = at % channels;
                let pixels = lanes.load_u8(&padded(&pixels[at..]));
                let zero = if channels < LANES {
                    load16_padded(lanes, &cycle[channel..])
                } else {
                    let around = core::array::from_fn(|i| {
                        let c = channel + i;
                        i16::from(zero[if c < channels { c } else { c - channels }])
                    });
                    lanes.load16(&around)
                };
                lanes.sub16(pixels, zero)
            }
            Source::Stream { values, narrow } => {
                let values = load16_padded(lanes, &values[at..]);
                lanes.narrow16(values, *narrow)
            }
        };
        let mut bytes = [0; 2 * LANES];
        let mut elements = [0; LANES];
        lanes.store16(value, &mut elements);
        for (two, element) in bytes.chunks_exact_mut(2).zip(elements) {
            two.copy_from_slice(&element.to_ne_bytes());
        }
        to[2 * done..][..2 * LANES].copy_from_slice(&bytes);
        done += LANES;
    }
}
