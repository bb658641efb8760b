//! Windows over an image: zero-padded bands of rows, and their unfolding into
//! matrix rows for convolutions that are neither 1x1 nor depthwise.

use crate::simd::vectorised;
use crate::vector::V;
use bitat_graph::{Shape, Window};
use std::ops::Range;

/// A convolution's geometry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Geometry {
    pub(crate) from: Shape,
    pub(crate) to: Shape,
    pub(crate) window: Window,
}

impl Geometry {
    /// Columns of a padded row.
    pub(crate) fn padded_width(&self) -> usize {
        let Window { kernel, stride, pads } = self.window;
        ((self.to.w - 1) * stride[1] + kernel[1]).max(pads[1] + self.from.w)
    }

    /// Padded rows under `rows` output rows.
    pub(crate) fn band_rows(&self, rows: usize) -> usize {
        (rows - 1) * self.window.stride[0] + self.window.kernel[0]
    }

    /// Floats of the band under `rows` output rows.
    pub(crate) fn band_len(&self, rows: usize) -> usize {
        self.band_rows(rows) * self.padded_width() * self.from.c
    }

    /// Output rows whose band stays within `floats`, at least one.
    pub(crate) fn rows_within(&self, floats: usize) -> usize {
        let fits = |rows: &usize| self.band_len(*rows) <= floats;
        (1..=self.to.h).take_while(fits).last().unwrap_or(1)
    }

    /// Fills the band under output rows `rows`; `read(y, row)` writes input row `y`.
    pub(crate) fn fill_band(
        &self,
        rows: Range<usize>,
        band: &mut [f32],
        mut read: impl FnMut(usize, &mut [f32]),
    ) {
        let c = self.from.c;
        let [top, left, ..] = self.window.pads;
        let first = rows.start * self.window.stride[0];
        let width = self.padded_width() * c;
        let inside = left * c..(left + self.from.w) * c;
        for (r, row) in band[..self.band_len(rows.len())].chunks_exact_mut(width).enumerate() {
            match (first + r).checked_sub(top) {
                Some(y) if y < self.from.h => {
                    row[..inside.start].fill(0.0);
                    row[inside.end..].fill(0.0);
                    read(y, &mut row[inside.clone()]);
                }
                _ => row.fill(0.0),
            }
        }
    }

    /// Values of one unfolded row of a group of `per_group` channels.
    pub(crate) fn unfolded(&self, per_group: usize) -> usize {
        self.window.kernel[0] * self.window.kernel[1] * per_group
    }

    /// Unfolds the windows of `rows` output rows, channels `channels` only, to one
    /// row each in the weights' order (row, column, channel).
    pub(crate) fn unfold(
        &self,
        band: &[f32],
        rows: usize,
        channels: Range<usize>,
        out: &mut [f32],
    ) {
        let whole = channels.len() == self.from.c;
        let [kh, kw] = self.window.kernel;
        // All channels of a kernel row lie side by side.
        let run = if whole { kw * channels.len() } else { channels.len() };
        let taps = kh * kw * channels.len() / run;
        let mut starts = [0; 64];
        if taps <= starts.len() {
            let width = self.padded_width() * self.from.c;
            for (i, start) in starts[..taps].iter_mut().enumerate() {
                let (ky, kx) = if whole { (i, 0) } else { (i / kw, i % kw) };
                *start = ky * width + kx * self.from.c + channels.start;
            }
            let steps = self.window.stride.map(|s| s * self.from.c);
            let step = [steps[0] * self.padded_width(), steps[1]];
            gather(band, [rows, self.to.w], step, &starts[..taps], run, out);
            return;
        }
        let per_group = channels.len();
        let row_len = self.unfolded(per_group);
        self.each_tap(rows, |pixel, tap, at| {
            let from = &band[at + channels.start..][..per_group];
            out[pixel * row_len + tap * per_group..][..per_group].copy_from_slice(from);
        });
    }

    /// The reverse of [`Geometry::unfold`]: adds every value to where it came from.
    pub(crate) fn fold(
        &self,
        unfolded: &[f32],
        rows: usize,
        channels: Range<usize>,
        band: &mut [f32],
    ) {
        let per_group = channels.len();
        let row_len = self.unfolded(per_group);
        self.each_tap(rows, |pixel, tap, at| {
            let from = &unfolded[pixel * row_len + tap * per_group..][..per_group];
            for (to, from) in band[at + channels.start..][..per_group].iter_mut().zip(from) {
                *to += from;
            }
        });
    }

    /// `f(output pixel of the band, tap, offset of the tap's channel 0 in the band)`.
    fn each_tap(&self, rows: usize, mut f: impl FnMut(usize, usize, usize)) {
        let Window { kernel, stride, .. } = self.window;
        let width = self.padded_width();
        for oy in 0..rows {
            for ox in 0..self.to.w {
                for ky in 0..kernel[0] {
                    for kx in 0..kernel[1] {
                        let at = (oy * stride[0] + ky) * width + ox * stride[1] + kx;
                        f(oy * self.to.w + ox, ky * kernel[1] + kx, at * self.from.c);
                    }
                }
            }
        }
    }
}

vectorised! {
    /// For each output pixel, the runs of `run` floats at `starts` from its corner,
    /// one behind the other; `step` is how far the corner moves per row and column.
    fn gather[s](
        band: &[f32], size: [usize; 2], step: [usize; 2], starts: &[usize], run: usize,
        out: &mut [f32],
    ) {
        let mut to = 0;
        for y in 0..size[0] {
            for x in 0..size[1] {
                let corner = y * step[0] + x * step[1];
                for start in starts {
                    let mut at = 0;
                    while at < run {
                        let len = S::F32_LANES.min(run - at);
                        V::<S>::load(s, band, corner + start + at, len).store(out, to + at, len);
                        at += len;
                    }
                    to += run;
                }
            }
        }
    }
}
