//! The lines of bits that a row of a 3×3 1-bit depthwise convolution reads, copied so that
//! a register takes the 64 channels of neighbouring pixels that one tap reads.

use core::array::from_fn;
use core::ops::Range;

use crate::generic::taps_inside;
use crate::layout::pixel_bytes;
use crate::types::{Conv, Padding, Shape};

/// Channels of a block, the bits of a word.
pub(super) const BLOCK: usize = 64;

/// Columns of the output, at most.
pub(super) const COLUMNS: usize = 256;

/// Pixels of a tile, at most: it may reach so far past the last.
pub(super) const REACH: usize = 8;

/// From a pixel to the one whose channels are in the upper half of its word, where a block
/// has no more than 32.
pub(super) const APART: usize = REACH / 2;

/// The words of a line, those of every second column apart where the stride is 2; around
/// them is a padding of +1.
pub(super) type Line = [[u64; COLUMNS + REACH]; 2];

/// What is read, and how.
#[derive(Clone, Copy)]
pub(super) struct Image<'a> {
    pub(super) conv: Conv,
    pub(super) padding: Padding,
    pub(super) input: &'a [u8],
    pub(super) weights: &'a [u8],
}

impl Image<'_> {
    /// The weights of 64 channels from `channel` on, tap by tap.
    #[inline(always)]
    pub(super) fn words(&self, channel: usize) -> [u64; 9] {
        let pixel = pixel_bytes(self.conv.output.c);
        from_fn(|tap| word(&self.weights[tap * pixel + channel / 8..]))
    }

    /// The columns of the output between those with taps left and right of the input.
    #[inline(always)]
    pub(super) fn between(&self) -> Range<usize> {
        let Conv { window, input, output, .. } = self.conv;
        let last = output.w - 1;
        let right = last * window.stride_w + 3 > input.w + window.pad_left;
        window.pad_left..if right { last } else { output.w }
    }
}

/// Any three lines of a block.
pub(super) struct BitLines {
    lines: [Line; 3],
    /// Their rows of the input.
    held: [usize; 3],
}

impl BitLines {
    #[inline(always)]
    pub(super) fn new() -> BitLines {
        BitLines { lines: [[[0; COLUMNS + REACH]; 2]; 3], held: [usize::MAX; 3] }
    }

    /// For another block.
    #[inline(always)]
    pub(super) fn forget(&mut self) {
        self.held = [usize::MAX; 3];
    }

    /// The lines for row `row` of the output, of the 64 channels from `channel` on, and
    /// those rows of the window that are inside the input. HALF: there are up to 32, and
    /// above them are those of the pixel [`APART`].
    #[inline(always)]
    pub(super) fn of_row<const HALF: bool>(
        &mut self,
        image: &Image<'_>,
        channel: usize,
        row: usize,
    ) -> ([&Line; 3], Range<usize>) {
        const OUTSIDE: &Line = &[[0; COLUMNS + REACH]; 2];
        let Conv { window, input: Shape { h, w, c }, .. } = image.conv;
        let pixel = pixel_bytes(c);
        let inside = taps_inside(row, window.stride_h, window.pad_top, 3, h);
        let line = |ky| row * window.stride_h + ky - window.pad_top;
        for y in inside.clone().map(line) {
            if self.held[y % 3] != y {
                let from = &image.input[y * w * pixel..][..w * pixel];
                let to = &mut self.lines[y % 3];
                copy(from, pixel, channel, window.pad_left, window.stride_w, to);
                if HALF {
                    to[..window.stride_w].iter_mut().for_each(join);
                }
                self.held[y % 3] = y;
            }
        }
        let lines = &self.lines;
        let of_row =
            from_fn(|ky| if inside.contains(&ky) { &lines[line(ky) % 3] } else { OUTSIDE });
        (of_row, inside)
    }
}

/// The 64 bits at the start.
#[inline(always)]
fn word(from: &[u8]) -> u64 {
    u64::from_le_bytes(*from.first_chunk().expect("a word"))
}

/// The words of 64 channels from `channel` on, from column `left` of the line on.
#[inline(always)]
fn copy(pixels: &[u8], pixel: usize, channel: usize, left: usize, stride: usize, line: &mut Line) {
    let words = pixels.chunks_exact(pixel).map(|pixel| word(&pixel[channel / 8..]));
    let [even, odd] = line;
    if stride == 1 {
        for (to, word) in even[left..].iter_mut().zip(words) {
            *to = word;
        }
        return;
    }
    for (column, word) in (left..).zip(words) {
        let half = if column % 2 == 0 { &mut *even } else { &mut *odd };
        half[column / 2] = word;
    }
}

/// Fills the upper halves of words.
#[inline(always)]
fn join(words: &mut [u64; COLUMNS + REACH]) {
    for at in 0..words.len() - APART {
        words[at] = u64::from(words[at] as u32) | words[at + APART] << 32;
    }
}
