//! How the work of one layer is cut into parts for threads (feature `threads`).
//!
//! A layer is cut over rows of its output. Where a window is one pixel, rows do
//! not matter and it is cut over pixels; where the output is one pixel, over
//! blocks of output channels. Each part writes slices of its own, so the
//! integers are those of the whole layer, however it is cut.

use core::ops::Range;

use bitat_format::{EpilogueView, OperationView};
use bitat_kernels::{Conv, Operation, Shape, Window, layout, scratch_bytes};

use crate::arena::ARENA_ALIGN;
use crate::part::Part;

/// What a network is planned for, see [`Network::for_threads`](crate::Network::for_threads).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threads {
    /// Threads that work on one layer, at most.
    pub count: usize,
    /// Least work that is worth a thread, in nanoseconds on the fastest machine
    /// measured: a layer is cut into no more parts than it has so much work
    /// for. 0 cuts whatever can be cut, [`usize::MAX`] nothing.
    pub part_ns: usize,
}

impl Threads {
    /// `count` threads, and parts of at least 0.5 µs.
    ///
    /// Handing over a part and waiting for it takes 0.2 to 0.6 µs more than the part
    /// (Emerald Rapids), but to wake a thread that fell asleep for want of parts some 50, so
    /// cutting many layers is better than cutting the large ones. Measured with AVX-512 on
    /// two cores of a Zen 4, when handing over took 1.6 µs, milliseconds of MobileNets at
    /// `part_ns` of
    ///
    /// | network     | one thread |  500 | 2000 | 4000 | 8000 | 16000 |
    /// | ----------- | ---------: | ---: | ---: | ---: | ---: | ----: |
    /// | v1-1.0-224  |       2.51 | 1.48 | 1.48 | 1.48 | 1.51 |  1.62 |
    /// | v2-1.0-224  |       3.08 | 1.80 | 1.80 | 1.87 | 2.06 |  2.51 |
    /// | v2-0.5-160  |       0.93 | 0.61 | 0.66 | 0.80 | 0.84 |  0.88 |
    /// | v2-0.35-96  |       0.37 | 0.30 | 0.36 | 0.37 | 0.37 |  0.37 |
    /// | v1-0.5-32   |       0.14 | 0.13 | 0.15 | 0.16 | 0.14 |  0.14 |
    /// | v1-0.25-28  |       0.09 | 0.09 | 0.09 | 0.09 | 0.09 |  0.09 |
    ///
    /// Threads also hand each other cache lines of the arena: rows that both read, and
    /// what the plan could not keep apart. How long a line takes from one core to the
    /// other differs by machine; measure on yours, with `bitat bench --threads`. Cores
    /// under one last-level cache are what this is for.
    pub const fn new(count: usize) -> Threads {
        Threads { count, part_ns: 500 }
    }
}

/// Pixels that a part of a pointwise layer has a multiple of, the last apart:
/// whole tiles of most kernel sets.
const PIXELS: usize = 4;
/// Output channels that a part of a one-pixel layer has a multiple of, the last
/// apart: whole blocks of weights and whole words of bits.
const CHANNELS: usize = layout::BINARY_LANES;
/// Rows that a kernel's shape may have.
const SIDE: usize = 65535;

/// How a layer is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    axis: Axis,
    /// What there is to cut, in steps of the axis.
    steps: usize,
    nanoseconds: usize,
    /// Bytes of scratch, of the layer as of each part.
    scratch: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Axis {
    Rows,
    Pixels,
    Channels,
}

impl Axis {
    /// Rows, pixels or channels in one step.
    fn step(self) -> usize {
        match self {
            Axis::Rows => 1,
            Axis::Pixels => PIXELS,
            Axis::Channels => CHANNELS,
        }
    }
}

/// Bytes of scratch of a layer that `threads` threads work on; `shortcut` as for
/// [`Cut::new`].
pub(crate) fn scratch(
    operation: Operation,
    conv: &Conv,
    shortcut: Option<(Shape, usize)>,
    threads: Threads,
) -> usize {
    let cut = Cut::new(operation, conv, shortcut);
    cut.scratch(cut.parts(threads))
}

impl Cut {
    /// `shortcut` is the shape of the stream that is added, and its pool.
    pub(crate) fn new(operation: Operation, conv: &Conv, shortcut: Option<(Shape, usize)>) -> Cut {
        let Shape { h, w, c } = conv.output;
        let dense = match operation {
            Operation::BinaryConv | Operation::Int8Conv => conv.groups == 1,
            Operation::BinaryDepthwise | Operation::Int8Depthwise => false,
        };
        let (axis, length) = if (h, w) == (1, 1) && dense && shortcut.is_none() {
            (Axis::Channels, c)
        } else if pointwise(conv, shortcut) {
            (Axis::Pixels, h * w)
        } else {
            (Axis::Rows, h)
        };
        let steps = length.div_ceil(axis.step());
        let nanoseconds = nanoseconds(operation, conv);
        Cut { axis, steps, nanoseconds, scratch: scratch_bytes(operation, conv) }
    }

    /// How many parts: 1 where more would not be faster.
    pub(crate) fn parts(&self, threads: Threads) -> usize {
        let worth = self.nanoseconds.checked_div(threads.part_ns).unwrap_or(usize::MAX);
        threads.count.min(self.steps).min(worth).max(1)
    }

    /// Bytes of scratch for `parts` parts.
    fn scratch(&self, parts: usize) -> usize {
        match parts {
            1 => self.scratch,
            _ => self.part_scratch().saturating_mul(parts),
        }
    }

    /// The same of each of several parts: the next begins where tensors may.
    fn part_scratch(&self) -> usize {
        self.scratch.checked_next_multiple_of(ARENA_ALIGN).unwrap_or(usize::MAX)
    }

    /// The layer as [`Cut::take`] cuts it.
    pub(crate) fn prepare<'s>(&self, mut part: Part<'s>) -> Part<'s> {
        if self.axis == Axis::Pixels {
            // The same pixels, one to a row.
            let shortcut = part.shortcut.as_mut().map(|taken| &mut taken.shape);
            let shapes = [&mut part.conv.input, &mut part.conv.output];
            for shape in shapes.into_iter().chain(shortcut) {
                *shape = Shape { h: shape.h * shape.w, w: 1, c: shape.c };
            }
            part.rows = 0..part.conv.output.h;
        }
        part
    }

    /// Cuts the first of `parts` parts off; what does not come out even stays
    /// with the rest.
    pub(crate) fn take<'s>(&self, whole: Part<'s>, parts: usize) -> [Part<'s>; 2] {
        let Part { conv, ref rows, .. } = whole;
        let (all_rows, all_channels) = (rows.clone(), 0..conv.output.c);
        let step = self.axis.step();
        let middle = |all: &Range<usize>| all.start + all.len().div_ceil(step) / parts * step;
        let places = match self.axis {
            Axis::Channels => {
                halves(&all_channels, middle(&all_channels)).map(|part| (all_rows.clone(), part))
            }
            Axis::Rows | Axis::Pixels => {
                halves(&all_rows, middle(&all_rows)).map(|part| (part, all_channels.clone()))
            }
        };
        let pixels = places[0].0.len() * conv.output.w;
        let channels = places[0].1.len();
        let streams = cut(whole.stream, pixels * channels);
        let bits = cut(whole.bits, pixels * layout::pixel_bytes(channels));
        let scores = cut(whole.scores, pixels * channels);
        let scratch = cut(whole.scratch, self.part_scratch());
        let [first, rest] = places;
        let part = |(rows, channels), stream, bits, scores, scratch| Part {
            operation: of_channels(whole.operation, &conv, &channels),
            conv: Conv { output: Shape { c: channels.len(), ..conv.output }, ..conv },
            rows,
            input: whole.input,
            shortcut: whole.shortcut,
            stream,
            bits,
            scores,
            scratch,
        };
        [
            part(first, streams.0, bits.0, scores.0, scratch.0),
            part(rest, streams.1, bits.1, scores.1, scratch.1),
        ]
    }
}

/// Nanoseconds that a layer takes on the fastest kernels measured: AVX-512 on a
/// Zen 4 at 3.7 GHz, within a factor of two or so for layers of MobileNets.
/// Where kernels are slower, layers stay whole that could be cut.
fn nanoseconds(operation: Operation, conv: &Conv) -> usize {
    let Shape { h, w, c } = conv.output;
    let outputs = h.saturating_mul(w).saturating_mul(c);
    let taps = conv.window.kernel_h.saturating_mul(conv.window.kernel_w);
    let macs = outputs.saturating_mul(taps).saturating_mul(conv.input.c / conv.groups.max(1));
    match operation {
        Operation::BinaryConv => macs / 1000 + outputs / 6,
        Operation::Int8Conv => macs / 50 + outputs / 6,
        Operation::Int8Depthwise => outputs / 2,
        Operation::BinaryDepthwise => outputs / 8,
    }
}

/// Whether every output pixel comes of the input pixel and the shortcut's pixel
/// of the same place alone.
fn pointwise(conv: &Conv, shortcut: Option<(Shape, usize)>) -> bool {
    let side = |shape: Shape| (shape.h, shape.w);
    let window =
        Window { kernel_h: 1, kernel_w: 1, stride_h: 1, stride_w: 1, pad_top: 0, pad_left: 0 };
    let same = |(shape, pool)| pool == 1 && side(shape) == side(conv.output);
    conv.window == window
        && side(conv.input) == side(conv.output)
        && shortcut.is_none_or(same)
        && conv.output.h.saturating_mul(conv.output.w) <= SIDE
}

fn halves(all: &Range<usize>, middle: usize) -> [Range<usize>; 2] {
    let middle = middle.min(all.end);
    [all.start..middle, middle..all.end]
}

/// A slice's first `length` elements and the others; of a slice that the layer
/// does not have, nothing and nothing.
fn cut<T>(slice: &mut [T], length: usize) -> (&mut [T], &mut [T]) {
    slice.split_at_mut(length.min(slice.len()))
}

/// The same with the weights and parameters of `channels` alone, which begin
/// at a multiple of [`CHANNELS`].
fn of_channels<'s>(
    operation: OperationView<'s>,
    conv: &Conv,
    channels: &Range<usize>,
) -> OperationView<'s> {
    let all = conv.output.c;
    if channels.len() == all {
        return operation;
    }
    let kernel = (conv.window.kernel_h, conv.window.kernel_w);
    let mut part = operation;
    match &mut part {
        OperationView::BinaryConv { weights, epilogue, .. } => {
            let steps = layout::binary_steps(kernel.0, kernel.1, conv.input.c);
            let at = |channel| match channel == all {
                true => weights.len(),
                false => layout::binary_offset(steps, all, channel, 0),
            };
            *weights = weights.get(at(channels.start)..at(channels.end)).unwrap_or_default();
            *epilogue = epilogue_of(*epilogue, channels);
        }
        OperationView::Int8Conv { weights, epilogue, .. } => {
            let depth = layout::int8_depth(kernel.0, kernel.1, conv.input.c);
            let at = |channel| match channel == all {
                true => weights.len(),
                false => layout::int8_offset(depth, all, channel, 0),
            };
            *weights = weights.get(at(channels.start)..at(channels.end)).unwrap_or_default();
            *epilogue = epilogue_of(*epilogue, channels);
        }
        // Never cut by channels.
        OperationView::Int8Depthwise { .. }
        | OperationView::BinaryDepthwise { .. }
        | OperationView::GlobalAveragePool { .. } => {}
    }
    part
}

/// The parameters of `channels` alone. A shortcut is left as it is: layers that
/// have one are not cut by channels.
fn epilogue_of<'s>(mut epilogue: EpilogueView<'s>, channels: &Range<usize>) -> EpilogueView<'s> {
    fn part<T>(all: &mut &[T], channels: &Range<usize>) {
        *all = all.get(channels.clone()).unwrap_or_default();
    }
    match &mut epilogue {
        EpilogueView::Threshold { thresholds, .. } => part(thresholds, channels),
        EpilogueView::Stream { multiplier, bias, prelu, sign, .. } => {
            part(multiplier, channels);
            part(bias, channels);
            if let Some(prelu) = prelu {
                part(&mut prelu.before, channels);
                part(&mut prelu.slope, channels);
                part(&mut prelu.after, channels);
            }
            if let Some(sign) = sign {
                part(&mut sign.thresholds, channels);
            }
        }
        EpilogueView::Scores { multiplier, bias, .. } => {
            part(multiplier, channels);
            part(bias, channels);
        }
    }
    epilogue
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::part::Input;

    const POINT: Window =
        Window { kernel_h: 1, kernel_w: 1, stride_h: 1, stride_w: 1, pad_top: 0, pad_left: 0 };

    fn conv(output: Shape, window: Window) -> Conv {
        Conv { input: Shape { c: 8, ..output }, output, window, groups: 1 }
    }

    /// Rows and output channels of each part, in order, of a binary convolution.
    fn parts(conv: Conv, count: usize) -> std::vec::Vec<(Range<usize>, usize)> {
        let Shape { h, w, c } = conv.output;
        let thresholds = std::vec![0; c];
        let weights = std::vec![0; layout::binary_weight_bytes(1, 1, 8, c, 1)];
        let mut bits = std::vec![0; layout::bits_bytes(h, w, c)];
        let cut = Cut::new(Operation::BinaryConv, &conv, None);
        let mut rest = cut.prepare(Part {
            operation: OperationView::BinaryConv {
                window: bitat_format::Window {
                    kernel_h: 1,
                    kernel_w: 1,
                    stride_h: 1,
                    stride_w: 1,
                    pad_top: 0,
                    pad_left: 0,
                },
                groups: 1,
                padding: bitat_format::Padding::One,
                weights: &weights,
                epilogue: EpilogueView::Threshold { thresholds: &thresholds, bits: 1 },
            },
            conv,
            rows: 0..h,
            input: Input::Arena(&[]),
            shortcut: None,
            stream: &mut [],
            bits: &mut bits,
            scores: &mut [],
            scratch: &mut [],
        });
        let mut found = std::vec![];
        let mut note = |part: &Part<'_>| {
            let Conv { output: Shape { w, c, .. }, .. } = part.conv;
            assert_eq!(part.bits.len(), layout::bits_bytes(part.rows.len(), w, c));
            let OperationView::BinaryConv { weights, .. } = part.operation else { unreachable!() };
            assert_eq!(weights.len(), layout::binary_weight_bytes(1, 1, 8, c, 1));
            found.push((part.rows.clone(), c));
        };
        let count = cut.parts(Threads { count, part_ns: 0 });
        for left in (2..=count).rev() {
            let part;
            [part, rest] = cut.take(rest, left);
            note(&part);
        }
        note(&rest);
        found
    }

    #[test]
    fn rows_go_round_and_what_is_over_goes_to_the_last() {
        let window = Window { kernel_h: 3, pad_top: 1, ..POINT };
        for rows in 1..12 {
            for threads in 1..6 {
                let parts = parts(conv(Shape { h: rows, w: 3, c: 8 }, window), threads);
                assert_eq!(parts.len(), rows.min(threads));
                let mut next = 0;
                for (part, channels) in &parts {
                    assert_eq!((part.start, *channels), (next, 8));
                    assert!((rows / threads..=rows.div_ceil(threads)).contains(&part.len()));
                    next = part.end;
                }
                assert_eq!(next, rows);
            }
        }
    }

    #[test]
    fn a_pointwise_layer_is_cut_between_pixels() {
        let parts = parts(conv(Shape { h: 7, w: 7, c: 8 }, POINT), 2);
        assert_eq!(parts, [(0..24, 8), (24..49, 8)]);
    }

    #[test]
    fn a_pixel_is_cut_between_blocks() {
        let pixel = |c| conv(Shape { h: 1, w: 1, c }, POINT);
        assert_eq!(parts(pixel(64), 5), [(0..1, 64)]);
        assert_eq!(parts(pixel(65), 5), [(0..1, 64), (0..1, 1)]);
        assert_eq!(parts(pixel(1000), 3), [(0..1, 320), (0..1, 320), (0..1, 360)]);
    }

    #[test]
    fn a_layer_has_as_many_parts_as_it_has_work_for() {
        let parts = |side, threads| {
            let conv = Conv {
                input: Shape { h: side, w: side, c: 64 },
                ..conv(Shape { h: side, w: side, c: 64 }, POINT)
            };
            Cut::new(Operation::BinaryConv, &conv, None).parts(Threads::new(threads))
        };
        // 14.8 ns per pixel: a part of 0.5 us has at least 34 of them.
        assert_eq!([parts(8, 2), parts(9, 2), parts(9, 4), parts(12, 4)], [1, 2, 2, 4]);
        let nothing = Threads { count: 4, part_ns: 0 };
        let conv = conv(Shape { h: 2, w: 1, c: 1 }, Window { kernel_h: 2, ..POINT });
        assert_eq!(Cut::new(Operation::BinaryConv, &conv, None).parts(nothing), 2);
    }
}
