//! Epilogues that most layers have, taken apart for an instruction set's own passes.

use core::ops::Range;

use super::epilogue::{At, Sink};
use super::lanes::LANES;
use super::mean::mean_terms;
use super::{BinaryJob, cut};
use crate::layout::pixel_bytes;
#[cfg(target_arch = "x86_64")]
use crate::types::Shortcut;
use crate::types::{Conv, Epilogue, Shape};

impl Sink<'_> {
    /// If all of these rows become bits, and perhaps a stream, by a shift to the right,
    /// a shifted PReLU and a shortcut of as many channels that is a load or, with a
    /// `pool` of 2, a mean of four pixels that are all there: that shift, and the
    /// shortcut's.
    pub(crate) fn usual(&self, rows: &Range<usize>, pool: usize) -> Option<(u32, i8)> {
        let Epilogue::Stream { shortcut: Some(taken), prelu: Some(_), sign: Some(_), .. } =
            &self.epilogue
        else {
            return None;
        };
        let Shape { h, w, c } = taken.shape;
        let shift = self.shift.count();
        (shift <= 0
            && taken.pool == pool
            && c == self.shape.c
            && pool * rows.end <= h
            && pool * self.shape.w <= w)
            .then_some((shift.unsigned_abs().into(), taken.shift))
    }

    /// Some rows of an epilogue with a shortcut.
    #[inline(always)]
    pub(crate) fn usual_rows(&mut self, rows: Range<usize>, pool: usize) -> Option<UsualRows<'_>> {
        let Shape { w, c, .. } = self.shape;
        let pixel = pixel_bytes(c);
        let at = rows.start - self.first_row..rows.end - self.first_row;
        let Epilogue::Stream { shortcut: Some(taken), stream, sign, .. } = &mut self.epilogue
        else {
            return None;
        };
        let elements = taken.shape.w * taken.shape.c;
        let of = pool * rows.start * elements..pool * rows.end * elements;
        Some(UsualRows {
            pixels: rows.len() * w,
            stream: stream
                .as_deref_mut()
                .map(|all| cut::part_mut(all, at.start * w * c..at.end * w * c)),
            bits: sign
                .as_mut()
                .map(|sign| cut::part_mut(sign.bits, at.start * w * pixel..at.end * w * pixel)),
            pixel,
            shortcut: cut::part(taken.values, of),
            channels: taken.shape.c,
        })
    }

    /// Some rows of bits by thresholds.
    #[inline(always)]
    pub(crate) fn sign_rows(&mut self, rows: Range<usize>) -> Option<UsualRows<'_>> {
        let Shape { w, c, .. } = self.shape;
        let pixel = pixel_bytes(c);
        let at = rows.start - self.first_row..rows.end - self.first_row;
        let Epilogue::Threshold { bits, .. } = &mut self.epilogue else { return None };
        Some(UsualRows {
            pixels: rows.len() * w,
            stream: None,
            bits: Some(cut::part_mut(bits, at.start * w * pixel..at.end * w * pixel)),
            pixel,
            shortcut: &[],
            channels: 0,
        })
    }

    /// What N sums that start at these, instead of 0, are below 0 for if they are below
    /// their thresholds, which are those from `channel` on. Sums are of 9 products of bytes.
    pub(crate) fn less_thresholds<const N: usize>(&self, channel: usize) -> [i32; N] {
        const MOST: i32 = 1 << 20;
        let thresholds = self.thresholds().unwrap_or_default();
        let mut less = [0; N];
        for (less, &threshold) in less.iter_mut().zip(cut::part(thresholds, channel..)) {
            *less = -i32::clamp(threshold, -MOST, MOST);
        }
        less
    }
}

/// See [`Sink::usual_rows`].
pub(crate) struct UsualRows<'r> {
    pub(crate) pixels: usize,
    pub(crate) stream: Option<&'r mut [i16]>,
    pub(crate) bits: Option<&'r mut [u8]>,
    /// Bytes per pixel of bits.
    pub(crate) pixel: usize,
    /// All rows that become these; none where there is no shortcut.
    pub(crate) shortcut: &'r [i16],
    /// Of the shortcut.
    pub(crate) channels: usize,
}

impl BinaryJob<'_> {
    /// Whether this is a 1×1 convolution with stride 1 of a multiple of 8 channels and at
    /// least so many pixels that becomes a stream, and perhaps bits, by a shift to the left,
    /// a shifted PReLU and a shortcut from the same pixels: loads of 8 channels, or means
    /// over as many for all of 16.
    #[inline(always)]
    pub(crate) fn usual_pointwise(&self, pixels: usize) -> bool {
        let Conv { window, input, output, groups } = self.conv;
        let one = [window.kernel_h, window.kernel_w, window.stride_h, window.stride_w, groups];
        let pads = [window.pad_top, window.pad_left];
        let &Epilogue::Stream {
            shift: 0..,
            shortcut: Some(taken),
            prelu: Some(_),
            stream: Some(_),
            ..
        } = &self.epilogue
        else {
            return false;
        };
        let (from, channels) = (taken.shape.c, output.c);
        let group = |channel| At { column: 0, channel, count: (channels - channel).min(LANES) };
        one == [1; 5]
            && pads == [0; 2]
            && input.w == output.w
            && self.rows.len() * output.w >= pixels
            && channels.is_multiple_of(8)
            && (taken.pool, taken.shape.w) == (1, output.w)
            && match from <= channels {
                true => from.is_multiple_of(8),
                false => (0..channels)
                    .step_by(LANES)
                    .all(|channel| mean_terms(from, channels, group(channel)).is_some()),
            }
    }

    /// Whether this is a convolution with windows of up to so many taps a side, at most one
    /// tap outside at each, and an epilogue that shifts to the left, has a stream and a
    /// shortcut that is taken [`by_row`].
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(crate) fn usual_windows(&self, kernel: usize) -> bool {
        let Conv { window, input, output, groups } = self.conv;
        let &Epilogue::Stream { shift: 0.., shortcut: Some(ref taken), stream: Some(_), .. } =
            &self.epilogue
        else {
            return false;
        };
        // Of no rows, a 1×1 layer has been made one of no columns.
        !self.rows.is_empty()
            && output.w > 0
            && groups == 1
            && window.kernel_h.max(window.kernel_w) <= kernel
            && window.pad_top.max(window.pad_left) <= 1
            && (output.h - 1) * window.stride_h + window.kernel_h <= input.h + window.pad_top + 1
            && line_columns(&self.conv) <= input.w + window.pad_left + 1
            && by_row(taken, output, &self.rows)
    }

    /// Whether this is a 3×3 depthwise convolution with at most a tap outside at each side,
    /// at most so many columns, and an epilogue that shifts to the left, has a shortcut
    /// that is taken [`by_row`], and a shifted PReLU.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(crate) fn usual_depthwise(&self, columns: usize) -> bool {
        let Conv { window, input, output, .. } = self.conv;
        let &Epilogue::Stream { shift: 0.., shortcut: Some(ref taken), prelu: Some(_), .. } =
            &self.epilogue
        else {
            return false;
        };
        let reach = |out: usize, stride: usize| (out - 1) * stride + 3;
        !self.rows.is_empty()
            && (window.kernel_h, window.kernel_w) == (3, 3)
            && window.stride_w <= 2
            && window.pad_top.max(window.pad_left) <= 1
            && reach(output.h, window.stride_h) <= input.h + window.pad_top + 1
            && reach(output.w, window.stride_w) <= input.w + window.pad_left + 1
            && (2..=columns - 2).contains(&output.w)
            && (input.w + 1) / window.stride_w < columns
            && by_row(taken, output, &self.rows)
    }
}

/// Columns of a line with its padding.
#[cfg(target_arch = "x86_64")]
pub(crate) fn line_columns(conv: &Conv) -> usize {
    (conv.output.w - 1) * conv.window.stride_w + conv.window.kernel_w
}

/// Whether these rows of an output take a shortcut of as many channels, pixel by pixel or
/// from 2×2 that are all there.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn by_row(taken: &Shortcut<'_>, output: Shape, rows: &Range<usize>) -> bool {
    let Shape { h, w, c } = taken.shape;
    c == output.c
        && match taken.pool {
            1 => w == output.w,
            2 => 2 * rows.end <= h && 2 * output.w <= w,
            _ => false,
        }
}
