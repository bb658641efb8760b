//! First layers as most networks have them, taken apart for an instruction set's own passes.

use super::epilogue::Row;
use super::{Int8Job, cut};
use crate::types::{Conv, Epilogue, Int8Input};

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

impl Row<'_> {
    /// If this becomes a stream, and perhaps bits, by a shift to the right and perhaps a
    /// shifted PReLU, without a shortcut: that shift, and whether there is a PReLU.
    #[cfg(target_arch = "x86_64")]
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
            stream: cut::part_mut(self.stream.as_deref_mut()?, column * channels..),
            bits: self.bits.as_deref_mut().map(|bits| cut::part_mut(bits, column * pixel..)),
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
