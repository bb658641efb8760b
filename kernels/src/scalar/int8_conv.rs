//! 8-bit convolution over all input channels.
//!
//! The windows of a run of output pixels are laid out in the scratch, in the
//! weights' order and a byte per value: the pixel itself (outside the input, what
//! stands for 0), or the narrowed stream + 128 (outside, 128). Every sum is taken
//! less that of one window more, of an input of zeros. A window that does not fit
//! is laid out part by part, and again for each channel.
//!
//! Cost per multiply-accumulate: 2 loads and a multiply-add, for two channels 1.5
//! loads; on DSP instructions, 2 instructions in all.

#[cfg(arm_dsp)]
use super::dsp::four;
use super::epilogue::Sink;
use super::{narrow, positive};
use crate::generic::Int8Job;
use crate::layout::{INT8_GROUP, INT8_LANES, int8_depth, int8_lanes, int8_offset};
use crate::types::{Conv, Int8Input};

/// Output pixels whose windows are laid out together, at most.
const RUN: usize = 32;

/// The whole operation.
pub(super) fn run(job: Int8Job<'_>) -> Option<()> {
    let Int8Job { conv, input, weights, rows, epilogue, scratch } = job;
    let outputs = conv.output.c;
    let depth = positive(int8_depth(conv.window.kernel_h, conv.window.kernel_w, conv.input.c))?;
    let most = (scratch.len() / depth).saturating_sub(1).clamp(1, RUN);
    let part = positive(depth.min(scratch.len() / (most + 1) / INT8_GROUP * INT8_GROUP))?;
    // Those of the window of zeros stand last.
    let mut sums = [[0i32; 2]; RUN + 1];
    let mut sink = Sink::new(epilogue, conv.output, &rows);
    for row in rows {
        for column in (0..conv.output.w).step_by(most) {
            let pixels = (conv.output.w - column).min(most);
            for channel in (0..outputs).step_by(2) {
                // Two channels' weights lie side by side, but for an odd last one.
                let two = (outputs - channel).min(2);
                let block = channel / INT8_LANES * INT8_LANES;
                let stride = positive(INT8_GROUP * int8_lanes(block, outputs))?;
                let lane = INT8_GROUP * (channel - block);
                let sums = sums.get_mut(..=pixels)?;
                sums.fill([0; 2]);
                for from in (0..depth).step_by(part) {
                    let length = part.min(depth - from);
                    if channel == 0 || part < depth {
                        let columns = (0..pixels).map(|p| Some(column + p)).chain([None]);
                        for (column, to) in columns.zip(scratch.chunks_exact_mut(part)) {
                            lay_out(&conv, &input, row, column, from, to.get_mut(..length)?)?;
                        }
                    }
                    let weights = weights.get(int8_offset(depth, outputs, block, from)..)?;
                    for (sums, x) in sums.iter_mut().zip(scratch.chunks_exact(part)) {
                        let dots = dots(weights, stride, lane, two, x.get(..length)?)?;
                        for (sum, dot) in sums.iter_mut().zip(dots) {
                            *sum = sum.wrapping_add(dot);
                        }
                    }
                }
                let (zeros, sums) = sums.split_last_mut()?;
                for sums in sums.iter_mut() {
                    for (sum, zero) in sums.iter_mut().zip(&*zeros) {
                        *sum = sum.wrapping_sub(*zero);
                    }
                }
                sink.put(row, column, channel, two, sums)?;
            }
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

/// Σ w·x over the laid-out values `x`, for one or two channels. Their weights for
/// four positions are those from `lane` on of each `stride` of `weights`.
#[inline(always)]
fn dots(weights: &[i8], stride: usize, lane: usize, channels: usize, x: &[u8]) -> Option<[i32; 2]> {
    if channels == 2 {
        return sums(weights, stride, lane, x);
    }
    let [sum] = sums(weights, stride, lane, x)?;
    Some([sum, 0])
}

/// The same for a number of channels that the compiler knows.
#[inline(never)]
fn sums<const CHANNELS: usize>(
    weights: &[i8],
    stride: usize,
    lane: usize,
    x: &[u8],
) -> Option<[i32; CHANNELS]> {
    let mut sums = [0i32; CHANNELS];
    let positions = weights.chunks_exact(positive(stride)?);
    for (weights, x) in positions.zip(x.as_chunks::<INT8_GROUP>().0) {
        let weights = weights.get(lane..lane + CHANNELS * INT8_GROUP)?;
        for (sum, weights) in sums.iter_mut().zip(weights.as_chunks::<INT8_GROUP>().0) {
            *sum = four(weights, x, *sum);
        }
    }
    Some(sums)
}

/// Adds four products.
#[cfg(not(arm_dsp))]
#[inline(always)]
fn four(weights: &[i8; INT8_GROUP], x: &[u8; INT8_GROUP], sum: i32) -> i32 {
    let products = weights.iter().zip(x).map(|(&w, &x)| i32::from(w) * i32::from(x));
    products.fold(sum, i32::wrapping_add)
}
