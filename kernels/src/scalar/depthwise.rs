//! Depthwise convolution of any values: three taps of a row at a time, so that a
//! pixel is fetched once per row of the window. Windows of other widths than a
//! multiple of three have taps more, of weight 0.
//!
//! Cost per output and three taps: as many fetches as the stride, 3
//! multiply-adds, 1 load and 1 store of the accumulator.

use core::ops::Range;

use super::epilogue::{RUN, Sink};
use crate::types::{Conv, Epilogue};

/// Taps that slide together.
const TAPS: usize = 3;

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
    let (input, output, window) = (conv.input, conv.output, conv.window);
    let outside = source.outside();
    let mut sink = Sink::new(epilogue, output, &rows);
    for row in rows {
        for channel in 0..output.c {
            for column in (0..output.w).step_by(RUN) {
                let sums = &mut [0i32; RUN][..(output.w - column).min(RUN)];
                for ky in 0..window.kernel_h {
                    // Above the input this wraps, to more than any height.
                    let y = (row * window.stride_h + ky).wrapping_sub(window.pad_top);
                    if y >= input.h && outside == 0 {
                        continue;
                    }
                    let width = if y < input.h { input.w } else { 0 };
                    let line = y.wrapping_mul(input.w);
                    for kx in (0..window.kernel_w).step_by(TAPS) {
                        let mut weights = [0; TAPS];
                        for (weight, kx) in weights.iter_mut().zip(kx..window.kernel_w) {
                            *weight = source.weight(ky * window.kernel_w + kx, channel);
                        }
                        let mut x = (column * window.stride_w + kx).wrapping_sub(window.pad_left);
                        let [mut a, mut b, mut c] = [0; TAPS];
                        let mut new = TAPS;
                        for sum in &mut *sums {
                            for _ in 0..new {
                                let next = if x < width {
                                    source.pixel(line + x, channel)
                                } else {
                                    outside
                                };
                                (a, b, c) = (b, c, next);
                                x = x.wrapping_add(1);
                            }
                            let taps = a * weights[0] + b * weights[1] + c * weights[2];
                            *sum = sum.wrapping_add(taps);
                            new = window.stride_w.min(TAPS);
                            x = x.wrapping_add(window.stride_w - new);
                        }
                    }
                }
                sink.put(row, column, channel, sums);
            }
        }
    }
}
