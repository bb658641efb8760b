//! Epilogues that most layers have, taken apart for an instruction set's own passes.

use core::ops::Range;

use super::Int8Job;
use super::epilogue::{Row, Sink};
use crate::layout::pixel_bytes;
use crate::types::{Conv, Epilogue, Int8Input, Shape};

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
        let from = &taken.values[pool * rows.start * elements..pool * rows.end * elements];
        Some(UsualRows {
            pixels: rows.len() * w,
            stream: stream.as_deref_mut().map(|all| &mut all[at.start * w * c..at.end * w * c]),
            bits: sign
                .as_mut()
                .map(|sign| &mut sign.bits[at.start * w * pixel..at.end * w * pixel]),
            pixel,
            shortcut: from,
            channels: taken.shape.c,
        })
    }
}

/// See [`Sink::usual_rows`].
pub(crate) struct UsualRows<'r> {
    pub(crate) pixels: usize,
    pub(crate) stream: Option<&'r mut [i16]>,
    pub(crate) bits: Option<&'r mut [u8]>,
    /// Bytes per pixel of bits.
    pub(crate) pixel: usize,
    /// All rows that become these.
    pub(crate) shortcut: &'r [i16],
    /// Of the shortcut.
    pub(crate) channels: usize,
}

impl Row<'_> {
    /// If this becomes a stream, and perhaps bits, by a shift to the right and perhaps a
    /// shifted PReLU, without a shortcut: that shift, and whether there is a PReLU.
    pub(crate) fn plain(&self) -> Option<(u32, bool)> {
        let plain = self.stream.is_some() && self.shortcut.is_none();
        let shift = self.shift().filter(|&shift| plain && shift <= 0)?;
        Some((shift.unsigned_abs().into(), self.sources.prelu.is_some()))
    }

    /// The stream, and the bits, from pixel `column` on.
    #[inline(always)]
    pub(crate) fn plain_from(&mut self, column: usize) -> Option<PlainRow<'_>> {
        let Row { channels, pixel, .. } = *self;
        Some(PlainRow {
            stream: &mut self.stream.as_deref_mut()?[column * channels..],
            bits: self.bits.as_deref_mut().map(|bits| &mut bits[column * pixel..]),
            channels,
            pixel,
        })
    }
}

/// See [`Row::plain_from`].
pub(crate) struct PlainRow<'r> {
    pub(crate) stream: &'r mut [i16],
    pub(crate) bits: Option<&'r mut [u8]>,
    /// Elements per pixel of the stream.
    pub(crate) channels: usize,
    /// Bytes per pixel of bits.
    pub(crate) pixel: usize,
}

impl Int8Job<'_> {
    /// If this is a 3×3 convolution of an image of one channel or three that becomes a
    /// stream, and perhaps bits, by a shift to the right and perhaps a shifted PReLU: that
    /// shift, and whether there is a PReLU.
    #[inline(always)]
    pub(crate) fn usual_image(&self) -> Option<(u32, bool)> {
        let Conv { window, input, groups, .. } = self.conv;
        match (window.kernel_h, window.kernel_w, input.c, groups, &self.input, &self.epilogue) {
            (
                3,
                3,
                1 | 3,
                1,
                Int8Input::Image { .. },
                Epilogue::Stream {
                    shift: shift @ ..=0,
                    shortcut: None,
                    prelu,
                    stream: Some(_),
                    ..
                },
            ) if !self.rows.is_empty() => Some((shift.unsigned_abs().into(), prelu.is_some())),
            _ => None,
        }
    }
}
