//! The lines of bits that a row of a binary convolution reads, copied to where they have
//! their padding and pixels lie end to end, without what a pixel has past its channels: what
//! a kernel row reads of a line is one run of steps.

use crate::layout::pixel_bytes;

/// Bytes after a line that copying words may touch.
pub(super) const SPILL: usize = 8;

/// The steps of some pixels of `channels`, end to end. Copied by words: what is too
/// much of one is where the next pixel goes, and after the last it is zeros, as all bits
/// past a pixel's channels are.
#[inline(always)]
pub(super) fn copy(pixels: &[u8], channels: usize, to: &mut [u8]) {
    let (pixel, steps) = (pixel_bytes(channels), channels.div_ceil(8));
    if steps == pixel {
        to[..pixels.len()].copy_from_slice(pixels);
    } else if pixel == 8 {
        for (word, at) in pixels.as_chunks::<8>().0.iter().zip((0..).step_by(steps)) {
            if let Some(to) = to[at..].first_chunk_mut() {
                *to = *word;
            }
        }
    } else {
        for (from, at) in pixels.chunks_exact(pixel).zip((0..).step_by(steps)) {
            for (word, to) in from.as_chunks::<8>().0.iter().zip(to[at..].as_chunks_mut().0) {
                *to = *word;
            }
        }
    }
}
