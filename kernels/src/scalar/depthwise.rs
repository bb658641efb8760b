//! Depthwise convolution of any values, channel by channel.
//!
//! A line is some pixels of one row of the input, fetched once: with what stands
//! outside in its place, and apart from each other no more. It serves all rows of
//! outputs that are in the making, three neighbouring taps at a time. Windows of
//! other widths than a multiple of three have taps more, of weight 0.
//!
//! Cost per output and row of a 3×3 window: 3 loads and multiply-adds, 1 load and
//! 1 store of the accumulator, and a part of fetching a line.

use core::ops::Range;

use super::epilogue::Sink;
use crate::types::{Conv, Epilogue};

/// Neighbouring taps that are multiplied together.
const TAPS: usize = 3;
/// Outputs of one channel in the making, at most: a part of a row, or whole rows.
const RUN: usize = 64;
/// Pixels of a line, at most: a run's under stride 2.
const LINE: usize = 2 * RUN + 1;

/// Where values come from.
pub(super) trait Source {
    /// Of one tap of the window.
    fn weight(&self, tap: usize, channel: usize) -> i32;
    /// Of one pixel of the input.
    fn pixel(&self, pixel: usize, channel: usize) -> i32;
    /// What is read outside the input.
    fn outside(&self) -> i32;
}

/// The whole operation.
#[inline(always)]
pub(super) fn run(source: &impl Source, conv: &Conv, rows: Range<usize>, epilogue: Epilogue<'_>) {
    let (output, window) = (conv.output, conv.window);
    let columns = output.w.min(RUN).min((LINE - TAPS) / window.stride_w + 1);
    // Rows that are made together share lines if windows follow each other closely.
    let together =
        if columns == output.w && window.stride_h <= window.kernel_h { RUN / columns } else { 1 };
    let mut sink = Sink::new(epilogue, output, &rows);
    let mut sums = [0; RUN];
    for row in rows.clone().step_by(together) {
        let rows = row..rows.end.min(row + together);
        for column in (0..output.w).step_by(columns) {
            let width = columns.min(output.w - column);
            let sums = &mut sums[..rows.len() * width];
            for channel in 0..output.c {
                sums.fill(0);
                for kx in (0..window.kernel_w).step_by(TAPS) {
                    add_taps(source, conv, &rows, column, channel, kx, width, sums);
                }
                sink.put(row, column, channel, sums);
            }
        }
    }
}

/// Adds what the taps from `kx` on contribute to `width` columns of some rows.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn add_taps(
    source: &impl Source,
    conv: &Conv,
    rows: &Range<usize>,
    column: usize,
    channel: usize,
    kx: usize,
    width: usize,
    sums: &mut [i32],
) {
    let (input, window) = (conv.input, conv.window);
    let Range { start, end } = *rows;
    let outside = source.outside();
    let taps = TAPS.min(window.kernel_w - kx);
    let mut line = [0; LINE];
    let line = &mut line[..(width - 1) * window.stride_w + TAPS];
    let top = start * window.stride_h;
    for below in top..(end - 1) * window.stride_h + window.kernel_h {
        // Above and left of the input this wraps, to more than any side.
        let y = below.wrapping_sub(window.pad_top);
        if y >= input.h && outside == 0 {
            continue;
        }
        let inside = if y < input.h { input.w } else { 0 };
        let mut x = (column * window.stride_w + kx).wrapping_sub(window.pad_left);
        for value in &mut *line {
            *value = if x < inside { source.pixel(y * input.w + x, channel) } else { outside };
            x = x.wrapping_add(1);
        }
        for (row, sums) in (start..).zip(sums.chunks_exact_mut(width)) {
            let ky = below.wrapping_sub(row * window.stride_h);
            if ky >= window.kernel_h {
                continue;
            }
            let mut weights = [0; TAPS];
            let first = ky * window.kernel_w + kx;
            for (weight, tap) in weights.iter_mut().zip(first..first + taps) {
                *weight = source.weight(tap, channel);
            }
            multiply(line, window.stride_w, weights, sums);
        }
    }
}

/// Adds to each sum what three pixels of the line contribute.
#[inline(never)]
fn multiply(line: &[i32], stride: usize, [a, b, c]: [i32; TAPS], sums: &mut [i32]) {
    let mut at = 0;
    for sum in sums {
        let Some(&[x, y, z]) = line.get(at..at + TAPS).and_then(<[i32]>::first_chunk) else {
            break;
        };
        *sum = sum.wrapping_add(a * x + b * y + c * z);
        at += stride;
    }
}
