//! Depthwise convolution of any values, two channels by two.
//!
//! The lines of the input that some rows of the output need are fetched for one
//! channel, amid what is read outside; then a 3×3 window goes over them. Other
//! windows read the input tap by tap.
//!
//! Cost per output of a 3×3 window: 9 loads and multiply-adds, or on DSP instructions
//! 3 loads and 6 of them, 1 store, and a part of fetching: 1 load, 1 store and 5
//! operations per value of the input.

use core::ops::Range;

#[cfg(arm_dsp)]
use super::dsp::{Weights, two_windows};
use super::epilogue::Sink;
use super::positive;
use crate::types::{Conv, Epilogue, Window};

/// Taps per side of the window that is fast.
pub(super) const TAPS: usize = 3;
/// Outputs of a channel in the making, at most: whole rows, or a part of one.
const RUN: usize = 96;
/// Lines that are fetched together, at most.
const LINES: usize = 8;
/// Windows that fit a line, at stride 1, and values of one.
const PLACES: usize = 64;
const LINE: usize = PLACES + TAPS - 1;

/// Where values come from; `None` where there is no such value.
pub(super) trait Source {
    /// Of one tap of the window.
    fn weight(&self, tap: usize, channel: usize) -> Option<i32>;
    /// Of the taps of a 3×3 window.
    fn weights(&self, channel: usize) -> Option<[i32; TAPS * TAPS]>;
    /// Of one pixel of the input; it fits 16 bits.
    fn pixel(&self, pixel: usize, channel: usize) -> Option<i32>;
    /// Of neighbouring pixels of the input, from `first` on.
    fn pixels(&self, first: usize, channel: usize, to: &mut [i16]) -> Option<()>;
    /// What is read outside the input; it fits 16 bits.
    fn outside(&self) -> i32;
}

/// Values of one channel. A pair of them may be loaded at once.
#[derive(Clone, Copy)]
#[repr(C, align(4))]
struct Line([i16; LINE]);

/// The whole operation.
#[inline(always)]
pub(super) fn run(
    source: &impl Source,
    conv: &Conv,
    rows: Range<usize>,
    epilogue: Epilogue<'_>,
) -> Option<()> {
    let (output, window) = (conv.output, conv.window);
    let fast = (window.kernel_h, window.kernel_w) == (TAPS, TAPS);
    let columns = output.w.min(RUN).min((PLACES - 1) / positive(window.stride_w)? + 1);
    let columns = positive(columns)?;
    let together = match columns == output.w {
        true => (RUN / columns).min((LINES - TAPS) / positive(window.stride_h)? + 1),
        false => 1,
    };
    let mut sink = Sink::new(epilogue, output, &rows);
    let mut lines = [const { Line([0; LINE]) }; LINES];
    let mut sums = [[0; 2]; RUN];
    for row in rows.clone().step_by(positive(together)?) {
        let height = together.min(rows.end - row);
        for column in (0..output.w).step_by(columns) {
            let width = columns.min(output.w - column);
            let sums = sums.get_mut(..height * width)?;
            let lines = lines.get_mut(..(height - 1) * window.stride_h + TAPS)?;
            // What lies outside the input does so for every channel.
            for Line(line) in &mut *lines {
                line.fill(source.outside() as i16);
            }
            for channel in (0..output.c).step_by(2) {
                let two = (output.c - channel).min(2);
                for i in 0..two {
                    let part = Part { source, conv, row, column, width, channel: channel + i };
                    if fast {
                        part.fetch(lines)?;
                        part.window(lines, sums, i)?;
                    } else {
                        part.any_window(sums, i)?;
                    }
                }
                sink.put(row, column, channel, two, sums)?;
            }
        }
    }
    Some(())
}

/// Outputs of one channel in the making.
struct Part<'a, S> {
    source: &'a S,
    conv: &'a Conv,
    /// The first output.
    row: usize,
    column: usize,
    /// Outputs per row.
    width: usize,
    channel: usize,
}

impl<S: Source> Part<'_, S> {
    /// The lines that the windows read, as far as they lie inside the input.
    #[inline(always)]
    fn fetch(&self, lines: &mut [Line]) -> Option<()> {
        let Part { source, conv, channel, .. } = *self;
        let (input, window) = (conv.input, conv.window);
        let length = (self.width - 1) * window.stride_w + TAPS;
        let first = self.column * window.stride_w;
        let from = window.pad_left.saturating_sub(first).min(length);
        let until = (input.w + window.pad_left).saturating_sub(first).clamp(from, length);
        for (below, line) in (self.row * window.stride_h..).zip(lines) {
            // Above the input this wraps, to more than its height.
            let y = below.wrapping_sub(window.pad_top);
            if y < input.h && from < until {
                let pixel = (y * input.w + first + from).wrapping_sub(window.pad_left);
                source.pixels(pixel, channel, line.0.get_mut(from..until)?)?;
            }
        }
        Some(())
    }

    /// Σ w·x of a 3×3 window over the lines, to index `i`.
    #[inline(always)]
    fn window(&self, lines: &[Line], sums: &mut [[i32; 2]], i: usize) -> Option<()> {
        let weights = self.source.weights(self.channel)?;
        multiply(lines, self.conv.window, weights.as_chunks().0.first_chunk()?, self.width, sums, i)
    }

    /// Σ w·x of any window, to index `i`.
    #[inline(never)]
    fn any_window(&self, sums: &mut [[i32; 2]], i: usize) -> Option<()> {
        let Part { source, conv, channel, .. } = *self;
        let (input, window) = (conv.input, conv.window);
        let (width, kernel_w) = (positive(self.width)?, positive(window.kernel_w)?);
        for (p, sums) in sums.iter_mut().enumerate() {
            let (row, column) = (self.row + p / width, self.column + p % width);
            let mut sum = 0i32;
            for tap in 0..window.kernel_h * kernel_w {
                // Above or left of the input this wraps, to more than any side.
                let y = row * window.stride_h + tap / kernel_w;
                let x = column * window.stride_w + tap % kernel_w;
                let (y, x) = (y.wrapping_sub(window.pad_top), x.wrapping_sub(window.pad_left));
                let value = match y < input.h && x < input.w {
                    true => source.pixel(y * input.w + x, channel)?,
                    false => source.outside(),
                };
                sum = sum.wrapping_add(source.weight(tap, channel)? * value);
            }
            sums[i % 2] = sum;
        }
        Some(())
    }
}

/// Σ w·x of the 3×3 windows of some rows of outputs, `width` each, to index `i`.
#[inline(never)]
fn multiply(
    lines: &[Line],
    window: Window,
    weights: &[[i32; TAPS]; TAPS],
    width: usize,
    sums: &mut [[i32; 2]],
    i: usize,
) -> Option<()> {
    let weights = weights.map(Weights::new);
    #[cfg(arm_dsp)]
    if window.stride_w == 1 {
        return multiply_both(lines, window, weights, width, sums, i);
    }
    for (row, sums) in sums.chunks_mut(positive(width)?).enumerate() {
        // As one array: one address, from which each value is a constant away.
        let lines: &[Line; TAPS] = lines.get(row * window.stride_h..)?.first_chunk()?;
        let mut place = 0;
        for sums in sums {
            let mut sum = 0;
            // The remainder says to the compiler that the window lies in the lines.
            let x = place % PLACES;
            for (Line(line), weights) in lines.iter().zip(&weights) {
                sum = weights.add([line[x], line[x + 1], line[x + 2]], sum);
            }
            sums[i % 2] = sum;
            place += window.stride_w;
        }
    }
    Some(())
}

/// [`multiply`] with a stride of 1, two windows at a time: they share what is loaded.
#[cfg(arm_dsp)]
#[inline(never)]
fn multiply_both(
    lines: &[Line],
    window: Window,
    weights: [Weights; TAPS],
    width: usize,
    sums: &mut [[i32; 2]],
    i: usize,
) -> Option<()> {
    for (row, sums) in sums.chunks_mut(positive(width)?).enumerate() {
        // As one array: one address, from which each value is a constant away.
        let lines: &[Line; TAPS] = lines.get(row * window.stride_h..)?.first_chunk()?;
        let (pairs, single) = sums.as_chunks_mut::<2>();
        let single_at = pairs.len().min(PLACES / 2 - 1);
        for (pair, [a, b]) in (0..PLACES / 2).zip(pairs) {
            // SAFETY: it is one of so many.
            let both = unsafe { both_at(lines, pair, &weights) };
            [a[i % 2], b[i % 2]] = both;
        }
        if let [sums] = single {
            // SAFETY: it is no later than the last of them.
            [sums[i % 2], _] = unsafe { both_at(lines, single_at, &weights) };
        }
    }
    Some(())
}

/// Σ w·x of the windows at the place `2·pair` and at the next.
///
/// # Safety
/// The pair is below `PLACES / 2`.
#[cfg(arm_dsp)]
#[inline(always)]
unsafe fn both_at(lines: &[Line; TAPS], pair: usize, weights: &[Weights; TAPS]) -> [i32; 2] {
    // SAFETY: a `Line` is at a multiple of 4 bytes, and so is an even place; the last is two
    // less than `PLACES`, and a line two values longer.
    unsafe { two_windows::<LINE>(weights, lines.as_ptr().cast::<i16>().add(2 * pair)) }
}

/// Those of one line of a 3×3 window.
#[cfg(not(arm_dsp))]
#[derive(Clone, Copy)]
struct Weights([i32; TAPS]);

#[cfg(not(arm_dsp))]
impl Weights {
    fn new(weights: [i32; TAPS]) -> Weights {
        Weights(weights)
    }

    /// Adds the products.
    #[inline(always)]
    fn add(&self, x: [i16; TAPS], sum: i32) -> i32 {
        let products = self.0.iter().zip(x).map(|(w, x)| w * i32::from(x));
        products.fold(sum, i32::wrapping_add)
    }
}
