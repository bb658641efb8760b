//! The algorithms, each written once over the vectors of an instruction set.
//!
//! Everything here is safe code and `#[inline(always)]`: an instruction set's
//! entry point (a `#[target_feature]` function) is the only place where it is
//! compiled, with that set's instructions. Values of the vector traits'
//! implementors are proofs that the CPU has the instructions; that is what
//! makes the traits' methods safe to call. For the same reason no closure here
//! handles a vector, and none is passed to `map` or `from_fn`: a function of
//! its own is compiled without the instructions, and then each is a call.
//!
//! Slices are cut by [`cut`], which on a device does not panic.

pub(crate) mod binary_conv;
pub(crate) mod binary_counter;
pub(crate) mod binary_depthwise;
pub(crate) mod cut;
pub(crate) mod epilogue;
mod finish;
pub(crate) mod int8_conv;
pub(crate) mod int8_depthwise;
mod int8_windows;
pub(crate) mod lanes;
pub(crate) mod mean;
#[cfg(feature = "std")]
pub(crate) mod peak;
pub(crate) mod pool;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(crate) mod pooled;
mod shift;
pub(crate) mod shortcut;
#[cfg(target_arch = "x86_64")]
pub(crate) mod tile;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(crate) mod usual;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(crate) mod usual_image;
mod waiting;

use core::ops::Range;

use crate::layout::pixel_bytes;
use crate::types::{Conv, Epilogue, Int8Input, Padding, Shape, Window};

/// What a binary kernel is given; lengths have been checked.
pub(crate) struct BinaryJob<'a> {
    pub(crate) conv: Conv,
    pub(crate) padding: Padding,
    pub(crate) input: &'a [u8],
    pub(crate) weights: &'a [u8],
    pub(crate) rows: Range<usize>,
    pub(crate) epilogue: Epilogue<'a>,
    pub(crate) scratch: &'a mut [u8],
}

/// What an 8-bit convolution is given; lengths have been checked.
pub(crate) struct Int8Job<'a> {
    pub(crate) conv: Conv,
    pub(crate) input: Int8Input<'a>,
    pub(crate) weights: &'a [i8],
    pub(crate) rows: Range<usize>,
    pub(crate) epilogue: Epilogue<'a>,
    pub(crate) scratch: &'a mut [u8],
}

/// What an 8-bit depthwise convolution is given; lengths have been checked.
pub(crate) struct Int8DepthwiseJob<'a> {
    pub(crate) conv: Conv,
    pub(crate) input: &'a [i16],
    pub(crate) narrow: u8,
    pub(crate) weights: &'a [i8],
    pub(crate) rows: Range<usize>,
    pub(crate) epilogue: Epilogue<'a>,
}

/// What the pool is given; lengths have been checked.
pub(crate) struct PoolJob<'a> {
    pub(crate) shape: Shape,
    pub(crate) shift: u8,
    pub(crate) input: &'a [i16],
    pub(crate) output: &'a mut [i16],
}

/// Whether each pixel of the output is had from the one at its place.
fn pointwise(conv: &Conv) -> bool {
    let side = |shape: Shape| (shape.h, shape.w);
    let window =
        Window { kernel_h: 1, kernel_w: 1, stride_h: 1, stride_w: 1, pad_top: 0, pad_left: 0 };
    conv.window == window && side(conv.input) == side(conv.output)
}

/// A pointwise convolution does not care where a row ends, so its rows are
/// joined into one line: pixel tiles then fit whatever the width is.
fn joins(conv: &Conv, epilogue: &Epilogue<'_>) -> bool {
    let side = |shape: Shape| (shape.h, shape.w);
    let shortcut_joins = match epilogue {
        Epilogue::Stream { shortcut: Some(taken), .. } => {
            taken.pool == 1 && side(taken.shape) == side(conv.output)
        }
        _ => true,
    };
    pointwise(conv) && shortcut_joins
}

/// The geometry and shortcut of the joined rows. Slices of the input are the
/// caller's business. `None`, and nothing is joined, if the shortcut is too short.
fn join(conv: &mut Conv, rows: &mut Range<usize>, epilogue: &mut Epilogue<'_>) -> Option<()> {
    let width = conv.output.w;
    let pixels = rows.len() * width;
    if let Epilogue::Stream { shortcut: Some(taken), .. } = epilogue {
        let channels = taken.shape.c;
        taken.values =
            taken.values.get(rows.start * width * channels..rows.end * width * channels)?;
        taken.shape = Shape { h: 1, w: pixels, c: channels };
    }
    for shape in [&mut conv.input, &mut conv.output] {
        *shape = Shape { h: 1, w: pixels, c: shape.c };
    }
    *rows = 0..1;
    Some(())
}

impl BinaryJob<'_> {
    /// The same convolution with its rows joined where that is possible.
    pub(crate) fn flattened(mut self) -> Self {
        if joins(&self.conv, &self.epilogue) {
            let row = self.conv.input.w * pixel_bytes(self.conv.input.c);
            if let Some(input) = self.input.get(self.rows.start * row..self.rows.end * row)
                && join(&mut self.conv, &mut self.rows, &mut self.epilogue).is_some()
            {
                self.input = input;
            }
        }
        self
    }
}

impl Int8Job<'_> {
    /// The same convolution with its rows joined where that is possible.
    pub(crate) fn flattened(mut self) -> Self {
        if joins(&self.conv, &self.epilogue) {
            let row = self.conv.input.w * self.conv.input.c;
            let part = self.rows.start * row..self.rows.end * row;
            let input = match self.input {
                Int8Input::Image { pixels, zero } => {
                    pixels.get(part).map(|pixels| Int8Input::Image { pixels, zero })
                }
                Int8Input::Stream { values, narrow } => {
                    values.get(part).map(|values| Int8Input::Stream { values, narrow })
                }
            };
            if let Some(input) = input
                && join(&mut self.conv, &mut self.rows, &mut self.epilogue).is_some()
            {
                self.input = input;
            }
        }
        self
    }
}

/// Which taps of one axis lie inside the input for output position `at`.
#[inline(always)]
pub(crate) fn taps_inside(
    at: usize,
    stride: usize,
    pad: usize,
    kernel: usize,
    side: usize,
) -> Range<usize> {
    let first = at * stride;
    let start = pad.saturating_sub(first).min(kernel);
    let end = (side + pad).saturating_sub(first).min(kernel);
    start..end.max(start)
}

/// Those of some columns of the output whose taps are all inside the input; the
/// other parameters are those of [`taps_inside`].
#[inline(always)]
pub(crate) fn whole_columns(
    columns: Range<usize>,
    stride: usize,
    pad: usize,
    kernel: usize,
    side: usize,
) -> Range<usize> {
    if side + pad < kernel {
        return columns.start..columns.start;
    }
    let start = columns.start.max(pad.div_ceil(cut::divisor(stride))).min(columns.end);
    let end = columns.end.min((side + pad - kernel) / cut::divisor(stride) + 1);
    start..end.max(start)
}

#[cfg(test)]
mod tests {
    use super::{taps_inside, whole_columns};

    #[test]
    fn whole_columns_are_those_with_all_taps_inside() {
        for (stride, kernel, side) in [(1, 3, 7), (2, 3, 8), (2, 7, 5), (3, 2, 9), (1, 5, 3)] {
            for pad in 0..kernel {
                for columns in [0..0, 0..1, 0..side, 2..5] {
                    let whole = whole_columns(columns.clone(), stride, pad, kernel, side);
                    for column in columns {
                        let taps = taps_inside(column, stride, pad, kernel, side);
                        assert_eq!(whole.contains(&column), taps.len() == kernel, "{column}");
                    }
                }
            }
        }
    }

    #[test]
    fn taps_inside_are_those_that_hit_the_input() {
        for stride in 1..4usize {
            for kernel in 1..6usize {
                for pad in 0..kernel {
                    for side in 1..10 {
                        for at in 0..12 {
                            let inside = taps_inside(at, stride, pad, kernel, side);
                            for tap in 0..kernel {
                                let hit =
                                    (at * stride + tap).checked_sub(pad).is_some_and(|i| i < side);
                                assert_eq!(
                                    inside.contains(&tap),
                                    hit,
                                    "tap {tap} at {at}: stride {stride} kernel {kernel} pad {pad} side {side}"
                                );
                            }
                        }
                    }
                }
            }
        }
    }
}
