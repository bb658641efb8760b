//! What the 3×3 depthwise passes read and write, looked at once for a loop that has no
//! bounds to check.

use core::ops::Range;

use crate::generic::usual::UsualRows;
use crate::types::{Conv, Shape};

/// Some rows of the output of up to N channels; all pointers at the first of them.
#[derive(Clone, Copy)]
pub(super) struct Rows<const STRIDE: usize, const N: usize> {
    pub(super) range: (usize, usize),
    /// Pixels of each.
    pub(super) pixels: usize,
    /// The whole input.
    pub(super) input: *const i16,
    /// Lines and columns of it.
    pub(super) lines: usize,
    pub(super) columns: usize,
    /// Padding.
    pub(super) top: usize,
    pub(super) left: usize,
    /// The first of `STRIDE` lines, and elements from one to the next.
    pub(super) shortcut: *const i16,
    pub(super) step: usize,
    pub(super) stream: Option<*mut i16>,
    pub(super) bits: *mut u8,
    /// Bytes per pixel of bits.
    pub(super) bytes: usize,
    /// Whether they are the first of a word of 64 channels, and write all of it.
    pub(super) word: bool,
    /// Elements per pixel, of the input as of the output.
    pub(super) channels: usize,
    /// Those of N channels that exist.
    pub(super) there: u32,
}

impl<const STRIDE: usize, const N: usize> Rows<STRIDE, N> {
    /// `input` starts at the channel, `to` at the first of the rows.
    ///
    /// Panics if anything is shorter than what a pass will touch.
    #[inline(always)]
    pub(super) fn new(
        conv: Conv,
        input: &[i16],
        to: UsualRows<'_>,
        rows: Range<usize>,
        channel: usize,
    ) -> Self {
        let UsualRows { pixels, stream, bits, pixel, shortcut, .. } = to;
        let bits = bits.unwrap_or_default();
        let Shape { h, w, c: channels } = conv.input;
        let own = (channels - channel).min(N);
        let (width, part) = (conv.output.w, channel / 8);
        let step = shortcut.len() / (STRIDE * rows.len());
        // From the first element of the first pixel to the last's `own`th.
        let reach = |pixels: usize, of: usize, own: usize| (pixels - 1) * of + own;
        let shortcuts = (STRIDE * rows.len() - 1) * step + reach(STRIDE * width, channels, own);
        Rows {
            range: (rows.start, rows.end),
            pixels: width,
            input: input[..reach(h * w, channels, own)].as_ptr(),
            lines: h,
            columns: w,
            top: conv.window.pad_top,
            left: conv.window.pad_left,
            shortcut: shortcut[channel..][..shortcuts].as_ptr(),
            step,
            stream: stream.map(|all| all[channel..][..reach(pixels, channels, own)].as_mut_ptr()),
            bits: bits[part..][..reach(pixels, pixel, pixel - part)].as_mut_ptr(),
            bytes: pixel,
            word: channel.is_multiple_of(64),
            channels,
            there: u32::MAX >> (32 - own),
        }
    }
}
