//! Depthwise convolution of any values, channel by channel.
//!
//! A line is a part of one row of the input, in one piece and with what is read
//! outside in its place. Once fetched, it serves all rows of outputs that are in
//! the making, three neighbouring taps at a time; a window whose width is no
//! multiple of three has taps more, of weight 0.
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
    let mut run = Run { conv, outside: source.outside(), line: [0; LINE], sums: [0; RUN] };
    for row in rows.clone().step_by(together) {
        let rows = row..rows.end.min(row + together);
        for column in (0..output.w).step_by(columns) {
            let width = columns.min(output.w - column);
            for channel in 0..output.c {
                sink.put(row, column, channel, run.sums(source, &rows, column, width, channel));
            }
        }
    }
}

/// Outputs of one channel in the making.
struct Run<'c> {
    conv: &'c Conv,
    outside: i32,
    line: [i32; LINE],
    sums: [i32; RUN],
}

impl Run<'_> {
    /// Σ w·x for `width` columns of some rows.
    #[inline(always)]
    fn sums(
        &mut self,
        source: &impl Source,
        rows: &Range<usize>,
        column: usize,
        width: usize,
        channel: usize,
    ) -> &mut [i32] {
        let Run { conv, outside, .. } = *self;
        let (input, window) = (conv.input, conv.window);
        let line = &mut self.line[..(width - 1) * window.stride_w + TAPS];
        let sums = &mut self.sums[..rows.len() * width];
        sums.fill(0);
        for below in
            rows.start * window.stride_h..(rows.end - 1) * window.stride_h + window.kernel_h
        {
            // Above and left of the input this wraps, to more than any side.
            let y = below.wrapping_sub(window.pad_top);
            if y >= input.h && outside == 0 {
                continue;
            }
            let inside = if y < input.h { input.w } else { 0 };
            for kx in (0..window.kernel_w).step_by(TAPS) {
                let mut x = (column * window.stride_w + kx).wrapping_sub(window.pad_left);
                for value in &mut *line {
                    *value =
                        if x < inside { source.pixel(y * input.w + x, channel) } else { outside };
                    x = x.wrapping_add(1);
                }
                // Of the rows, those whose window holds this one.
                let first = (below + 1).saturating_sub(window.kernel_h).div_ceil(window.stride_h);
                let first = first.max(rows.start);
                let last = (below / window.stride_h).min(rows.end - 1);
                for row in first..=last {
                    let tap = (below - row * window.stride_h) * window.kernel_w + kx;
                    let mut weights = [0; TAPS];
                    for (i, weight) in weights.iter_mut().enumerate() {
                        if kx + i < window.kernel_w {
                            *weight = source.weight(tap + i, channel);
                        }
                    }
                    let sums = &mut sums[(row - rows.start) * width..][..width];
                    multiply(line, window.stride_w, weights, sums);
                }
            }
        }
        sums
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
