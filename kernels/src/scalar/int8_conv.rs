//! 8-bit convolution over all input channels.
//!
//! The windows of a run of output pixels are laid out in the scratch, in the
//! weights' order and a byte per value: the pixel itself (outside the input, what
//! stands for 0), or the narrowed stream + 128 (outside, 128). Every sum is taken
//! less that of one window more, of an input of zeros. A window that does not fit
//! is laid out part by part, and again for every four channels.
//!
//! Four channels take each value that is loaded. Cost per multiply-accumulate: 1.25
//! loads and a multiply-add; on DSP instructions, 1.6 instructions in all.

use core::ops::Range;

#[cfg(arm_dsp)]
use super::dsp::{Four, Values};
use super::epilogue::Sink;
use super::{narrow, positive};
use crate::generic::{Int8Job, whole_columns};
use crate::layout::{INT8_GROUP, INT8_LANES, int8_depth, int8_lanes, int8_offset};
use crate::types::{Conv, Int8Input, Window};

/// Output pixels whose windows are laid out together, at most.
const RUN: usize = 32;

/// Output channels whose products are added up together.
const CHANNELS: usize = 4;

/// The whole operation.
pub(super) fn run(job: Int8Job<'_>) -> Option<()> {
    let Int8Job { conv, input, weights, rows, epilogue, scratch } = job;
    let outputs = conv.output.c;
    let depth = positive(int8_depth(conv.window.kernel_h, conv.window.kernel_w, conv.input.c))?;
    let most = (scratch.len() / depth).saturating_sub(1).clamp(1, RUN);
    let part = positive(depth.min(scratch.len() / (most + 1) / INT8_GROUP * INT8_GROUP))?;
    let mut sums = [[[0i32; 2]; RUN]; CHANNELS / 2];
    let mut sink = Sink::new(epilogue, conv.output, &rows);
    for row in rows {
        for column in (0..conv.output.w).step_by(most) {
            let pixels = (conv.output.w - column).min(most);
            // The window of zeros stands last.
            let laid = scratch.get_mut(..(pixels + 1) * part)?;
            for channel in (0..outputs).step_by(CHANNELS) {
                // Their weights lie side by side.
                let count = (outputs - channel).min(CHANNELS);
                let block = channel / INT8_LANES * INT8_LANES;
                let stride = positive(INT8_GROUP * int8_lanes(block, outputs))?;
                let lane = INT8_GROUP * (channel - block);
                let [first, second] = &mut sums;
                let [first, second] = [first.get_mut(..pixels)?, second.get_mut(..pixels)?];
                first.fill([0; 2]);
                second.fill([0; 2]);
                for from in (0..depth).step_by(part) {
                    let length = part.min(depth - from);
                    if channel == 0 || part < depth {
                        let run = Laid { conv: &conv, input: &input, row, column, from, length };
                        run.lay_out(laid, part)?;
                    }
                    let all = weights.get(int8_offset(depth, outputs, block, from)..)?;
                    let weights = Weights { all, stride, lane };
                    if count == CHANNELS {
                        weights.add::<CHANNELS>(laid, part, length, [first, second], 0)?;
                    } else {
                        for i in 0..count {
                            let weights = Weights { lane: lane + INT8_GROUP * i, ..weights };
                            weights.add::<1>(laid, part, length, [first, second], i)?;
                        }
                    }
                }
                for (i, sums) in [first, second].into_iter().enumerate() {
                    if count > 2 * i {
                        sink.put(row, column, channel + 2 * i, (count - 2 * i).min(2), sums)?;
                    }
                }
            }
        }
    }
    Some(())
}

/// A part of the windows of a run of output pixels.
struct Laid<'l> {
    conv: &'l Conv,
    input: &'l Int8Input<'l>,
    row: usize,
    column: usize,
    /// Positions of a window.
    from: usize,
    length: usize,
}

impl Laid<'_> {
    /// Lays them out, and last that of an input of zeros, `part` bytes from each other.
    fn lay_out(&self, to: &mut [u8], part: usize) -> Option<()> {
        let Laid { conv, input, row, column, from, length } = *self;
        let Window { kernel_h, kernel_w, .. } = conv.window;
        let pixels = (to.len() / positive(part)?).checked_sub(1)?;
        let whole = match from == 0 && kernel_h * kernel_w * conv.input.c <= length {
            true => self.copy_whole(pixels, to, part)?,
            false => 0..0,
        };
        let columns = (0..pixels).map(|p| Some(column + p)).chain([None]);
        for (p, (column, to)) in columns.zip(to.chunks_exact_mut(part)).enumerate() {
            if !whole.contains(&p) {
                lay_out(conv, input, row, column, from, to.get_mut(..length)?)?;
            }
        }
        Some(())
    }

    /// Lays out whole windows of a few sizes that lie in an image: which pixels' of so many.
    fn copy_whole(&self, pixels: usize, to: &mut [u8], part: usize) -> Option<Range<usize>> {
        let Laid { conv: Conv { window, input: shape, .. }, input, row, column, .. } = *self;
        let &Int8Input::Image { pixels: image, .. } = input else { return Some(0..0) };
        let Some(y) = (row * window.stride_h).checked_sub(window.pad_top) else {
            return Some(0..0);
        };
        let (stride, pad, kernel_w) = (window.stride_w, window.pad_left, window.kernel_w);
        let inside = whole_columns(column..column + pixels, stride, pad, kernel_w, shape.w);
        if y + window.kernel_h > shape.h || inside.is_empty() {
            return Some(0..0);
        }
        let whole = inside.start - column..inside.end - column;
        let to = to.get_mut(whole.start * part..whole.end * part)?;
        let first = (y * shape.w + inside.start * stride).checked_sub(pad)?;
        let image = image.get(first * shape.c..)?;
        let (line, step) = (shape.w * shape.c, positive(stride * shape.c)?);
        // Of one channel or three, as most images are: what is copied has a size that the
        // compiler knows.
        match kernel_w * shape.c {
            3 => copy::<3>(image, line, step, window.kernel_h, to, part)?,
            9 => copy::<9>(image, line, step, window.kernel_h, to, part)?,
            _ => return Some(0..0),
        }
        Some(whole)
    }
}

/// Copies windows of `height` rows of N bytes, `line` bytes from each other; from a window
/// to the next it is `step` in the image, and `part` in what is laid out.
#[inline(never)]
fn copy<const N: usize>(
    image: &[u8],
    line: usize,
    step: usize,
    height: usize,
    to: &mut [u8],
    part: usize,
) -> Option<()> {
    let reach = (to.len() / positive(part)?).checked_sub(1)? * step + N;
    for y in 0..height {
        let rows = image.get(y * line..)?.get(..reach)?.windows(N).step_by(positive(step)?);
        for (row, to) in rows.zip(to.chunks_exact_mut(part)) {
            to.get_mut(y * N..)?.first_chunk_mut()?.clone_from(row.first_chunk::<N>()?);
        }
    }
    Some(())
}

/// Lays out a part of the window of one output pixel, or of an input of zeros:
/// the positions from `from` on. Past the window's last it leaves what there was,
/// for a weight of 0.
fn lay_out(
    conv: &Conv,
    input: &Int8Input<'_>,
    row: usize,
    column: Option<usize>,
    from: usize,
    mut to: &mut [u8],
) -> Option<()> {
    let (shape, window) = (conv.input, conv.window);
    let (channels, kernel_w) = (positive(shape.c)?, positive(window.kernel_w)?);
    let mut first = from % channels;
    let mut tap = from / channels;
    while tap < window.kernel_h * kernel_w {
        // Above or left of the input this wraps, to more than any side.
        let y = (row * window.stride_h + tap / kernel_w).wrapping_sub(window.pad_top);
        let x = column.map_or(usize::MAX, |column| {
            (column * window.stride_w + tap % kernel_w).wrapping_sub(window.pad_left)
        });
        let inside = (y < shape.h && x < shape.w).then(|| (y * shape.w + x) * channels + first);
        // Taps side by side are so in the input too.
        let taps = inside.map_or(1, |_| (kernel_w - tap % kernel_w).min(shape.w - x));
        let (now, rest) = to.split_at_mut((taps * channels - first).min(to.len()));
        to = rest;
        tap += taps;
        match (*input, inside) {
            (Int8Input::Image { pixels, .. }, Some(at)) => {
                now.copy_from_slice(pixels.get(at..)?.get(..now.len())?);
            }
            (Int8Input::Image { zero, .. }, None) => {
                now.copy_from_slice(zero.get(first..)?.get(..now.len())?);
            }
            (Int8Input::Stream { values, narrow: count }, Some(at)) => {
                for (to, &value) in now.iter_mut().zip(values.get(at..)?) {
                    *to = (narrow(value, count) + 128) as u8;
                }
            }
            (Int8Input::Stream { .. }, None) => now.fill(128),
        }
        first = 0;
    }
    Some(())
}

/// Those of a block of channels, from a position on.
#[derive(Clone, Copy)]
struct Weights<'w> {
    all: &'w [i8],
    /// Bytes from four positions to the next.
    stride: usize,
    /// Where in them the first channel's are.
    lane: usize,
}

impl Weights<'_> {
    /// Adds to each pixel's sums Σ w·x over `length` values of its window, less that of the
    /// window of zeros; of N channels, the first of which is that of index `first` in the
    /// two runs. Windows are `part` bytes from each other.
    #[inline(never)]
    fn add<const N: usize>(
        self,
        laid: &[u8],
        part: usize,
        length: usize,
        [a, b]: [&mut [[i32; 2]]; 2],
        first: usize,
    ) -> Option<()> {
        let (windows, zeros) = laid.split_at_checked(a.len() * part)?;
        let less = self.dots([0; N], zeros.get(..length)?)?.map(i32::wrapping_neg);
        let windows = windows.chunks_exact(positive(part)?);
        for (window, (a, b)) in windows.zip(a.iter_mut().zip(b)) {
            let found = self.dots(less, window.get(..length)?)?;
            let sums = a.iter_mut().chain(b).skip(first);
            for (sum, found) in sums.zip(found) {
                *sum = sum.wrapping_add(found);
            }
        }
        Some(())
    }

    /// Adds Σ w·x over a window.
    #[inline(always)]
    fn dots<const N: usize>(self, mut sums: [i32; N], window: &[u8]) -> Option<[i32; N]> {
        let steps = self.all.chunks_exact(positive(self.stride)?);
        for (weights, x) in steps.zip(window.as_chunks::<INT8_GROUP>().0) {
            let weights = weights.get(self.lane..self.lane + N * INT8_GROUP)?;
            let x = Values::new(x);
            for (sum, weights) in sums.iter_mut().zip(weights.as_chunks().0) {
                *sum = Four::new(weights).add(&x, *sum);
            }
        }
        Some(sums)
    }
}

/// Four weights. By reference: an array that is a value is loaded as one, and taken apart.
#[cfg(not(arm_dsp))]
struct Four<'w>(&'w [i8; INT8_GROUP]);

/// Four values.
#[cfg(not(arm_dsp))]
struct Values<'x>(&'x [u8; INT8_GROUP]);

#[cfg(not(arm_dsp))]
impl Values<'_> {
    #[inline(always)]
    fn new(x: &[u8; INT8_GROUP]) -> Values<'_> {
        Values(x)
    }
}

#[cfg(not(arm_dsp))]
impl Four<'_> {
    #[inline(always)]
    fn new(weights: &[i8; INT8_GROUP]) -> Four<'_> {
        Four(weights)
    }

    /// Adds the products.
    #[inline(always)]
    fn add(&self, x: &Values, sum: i32) -> i32 {
        let products = self.0.iter().zip(x.0).map(|(&w, &x)| i32::from(w) * i32::from(x));
        products.fold(sum, i32::wrapping_add)
    }
}
