//! What the 3×3 depthwise passes read and write, looked at once for a loop that has no
//! bounds to check.

use core::ops::Range;
use core::ptr;

use crate::generic::cut;
use crate::generic::usual::UsualRows;
use crate::types::{Conv, Shape};

/// Some rows of the output of up to N channels; all pointers at the first of them.
#[derive(Clone, Copy)]
pub(crate) struct Rows<const STRIDE: usize, const N: usize> {
    pub(crate) range: (usize, usize),
    /// Pixels of each.
    pub(crate) pixels: usize,
    /// The whole input.
    pub(crate) input: *const i16,
    /// Lines and columns of it.
    pub(crate) lines: usize,
    pub(crate) columns: usize,
    /// Padding.
    pub(crate) top: usize,
    pub(crate) left: usize,
    /// The first of `STRIDE` lines, if there is a shortcut, and elements from one to the next.
    pub(crate) shortcut: *const i16,
    pub(crate) step: usize,
    pub(crate) stream: Option<*mut i16>,
    pub(crate) bits: *mut u8,
    /// Bytes per pixel of bits.
    pub(crate) bytes: usize,
    /// Whether they are the first of a word of 64 channels, and write all of it.
    pub(crate) word: bool,
    /// Elements per pixel, of the input as of the output.
    pub(crate) channels: usize,
    /// Those of N channels that exist.
    #[cfg(target_arch = "x86_64")]
    pub(crate) there: u32,
}

impl<const STRIDE: usize, const N: usize> Rows<STRIDE, N> {
    /// `input` starts at the channel, `to` at the first of the rows. `None` if anything is
    /// shorter than what a pass will touch.
    #[inline(always)]
    pub(crate) fn new(
        conv: Conv,
        input: &[i16],
        to: UsualRows<'_>,
        rows: &Range<usize>,
        channel: usize,
    ) -> Option<Self> {
        let UsualRows { pixels, stream, bits, pixel, shortcut, .. } = to;
        let bits = bits.unwrap_or_default();
        let Shape { h, w, c: channels } = conv.input;
        let own = (channels - channel).min(N);
        let (width, part) = (conv.output.w, channel / 8);
        let step = shortcut.len() / cut::divisor(STRIDE * rows.len());
        // From the first element of the first pixel to the last's `own`th.
        let reach = |pixels: usize, of: usize, own: usize| (pixels - 1) * of + own;
        let shortcut = match shortcut {
            [] => ptr::null(),
            all => {
                let reach = (STRIDE * rows.len() - 1) * step + reach(STRIDE * width, channels, own);
                all.get(channel..)?.get(..reach)?.as_ptr()
            }
        };
        let stream = match stream {
            Some(all) => {
                let own = reach(pixels, channels, own);
                Some(all.get_mut(channel..)?.get_mut(..own)?.as_mut_ptr())
            }
            None => None,
        };
        Some(Rows {
            range: (rows.start, rows.end),
            pixels: width,
            input: input.get(..reach(h * w, channels, own))?.as_ptr(),
            lines: h,
            columns: w,
            top: conv.window.pad_top,
            left: conv.window.pad_left,
            shortcut,
            step,
            stream,
            bits: bits.get_mut(part..)?.get_mut(..reach(pixels, pixel, pixel - part))?.as_mut_ptr(),
            bytes: pixel,
            word: channel.is_multiple_of(64),
            channels,
            #[cfg(target_arch = "x86_64")]
            there: u32::MAX >> (32 - own),
        })
    }
}
