//! Convolution of ±1 by ±1 where an instruction counts the bits of a whole register
//! (RISC-V's Zbb): 32 input channels of one output channel in a word.
//!
//! The layout of weights has a byte per output channel, so that their words are put
//! together first, for 8 output channels, once for all pixels where the buffer holds
//! the whole window, or else once for a run of them.
//!
//! Cost per 32 binary multiply-accumulates: 1 load, 1 xor, 1 count, 1 addition, and an
//! eighth of the pixel's load and of the loop; without the instruction it is 14
//! operations (`binary_conv.rs`).

use core::ops::Range;

use super::binary_conv::{CHANNELS, Eight, Layer, Sums};
use super::positive;
use crate::types::{Conv, Padding};

/// Words of each output channel that lie ready.
const WORDS: usize = 36;

/// A part of the window.
#[derive(Clone, PartialEq, Eq)]
struct Part {
    taps: Range<usize>,
    /// Of each of these taps. All, where there is more than one of them.
    words: Range<usize>,
}

/// Weights of 8 output channels, word by word.
pub(super) struct Words<'a> {
    /// All words of the input.
    input: &'a [u32],
    /// Words of a pixel, and those of them that hold channels.
    pixel: usize,
    channels: usize,
    weights: [[u32; CHANNELS]; WORDS],
    /// Which these are.
    ready: Option<Part>,
}

impl<'a> Words<'a> {
    /// Nothing where the input cannot be read in words.
    pub(super) fn new(layer: &Layer<'a>) -> Option<Self> {
        // SAFETY: any four bytes are a `u32`.
        let (before, input, _) = unsafe { layer.input.align_to::<u32>() };
        let whole = layer.conv.groups == 1 && before.is_empty();
        whole.then_some(Words {
            input,
            pixel: layer.pixel / 4,
            channels: layer.steps.div_ceil(4),
            weights: [[0; CHANNELS]; WORDS],
            ready: None,
        })
    }

    /// The next 8 output channels.
    pub(super) fn start(&mut self) {
        self.ready = None;
    }

    /// Sums up for a run's pixels, the first at `row` and `column`, what the window's
    /// taps have that are inside the input.
    pub(super) fn count(
        &mut self,
        layer: &Layer<'_>,
        eight: &Eight<'_>,
        row: usize,
        column: usize,
        sums: &mut Sums,
        pixels: usize,
    ) -> Option<()> {
        if layer.in_place() && self.channels <= WORDS {
            self.lay(layer, eight, Part { taps: 0..1, words: 0..self.channels })?;
            return self.in_place(layer, row * layer.conv.output.w + column, sums, pixels);
        }
        let taps = layer.conv.window.kernel_h * layer.conv.window.kernel_w;
        let at_once = (WORDS / positive(self.channels)?).max(1);
        let mut keep = false;
        for tap in (0..taps).step_by(at_once) {
            for word in (0..self.channels).step_by(WORDS) {
                let part = Part {
                    taps: tap..(tap + at_once).min(taps),
                    words: word..(word + WORDS).min(self.channels),
                };
                self.lay(layer, eight, part.clone())?;
                self.add(layer, &part, row, column, sums, pixels, keep)?;
                keep = true;
            }
        }
        Some(())
    }

    /// Puts the words of a part together, if they are not.
    #[inline(never)]
    fn lay(&mut self, layer: &Layer<'_>, eight: &Eight<'_>, part: Part) -> Option<()> {
        if self.ready.as_ref() == Some(&part) {
            return Some(());
        }
        let mut to = self.weights.iter_mut();
        for tap in part.taps.clone() {
            for word in part.words.clone() {
                let words = to.next()?;
                *words = [0; CHANNELS];
                for byte in 4 * word..(4 * word + 4).min(layer.steps) {
                    let first = (tap * layer.steps + byte) * eight.stride + eight.lane;
                    let bytes = eight.block.get(first..)?.first_chunk::<CHANNELS>()?;
                    for (word, &weights) in words.iter_mut().zip(bytes) {
                        *word |= u32::from(weights) << (byte % 4 * 8);
                    }
                }
            }
        }
        self.ready = Some(part);
        Some(())
    }

    /// The sums of a run's pixels, from `first` on, each from the input pixel in its place.
    #[inline(never)]
    fn in_place(
        &self,
        layer: &Layer<'_>,
        first: usize,
        sums: &mut Sums,
        pixels: usize,
    ) -> Option<()> {
        let input = self.input.get(first * self.pixel..)?;
        let weights = self.weights.get(..self.channels)?;
        let terms = layer.conv.input.c as i32;
        for (p, words) in input.chunks_exact(positive(self.pixel)?).take(pixels).enumerate() {
            let mut differing = [0; CHANNELS];
            compare(words, weights, &mut differing);
            for (sums, two) in sums.iter_mut().zip(differing.as_chunks::<2>().0) {
                *sums.get_mut(p)? = two.map(|differing| terms - 2 * differing as i32);
            }
        }
        Some(())
    }

    /// What a part has for each pixel: added to the sums if they are to be kept.
    #[inline(never)]
    #[expect(clippy::too_many_arguments, reason = "a loop's body, apart for its registers")]
    fn add(
        &self,
        layer: &Layer<'_>,
        part: &Part,
        mut row: usize,
        mut column: usize,
        sums: &mut Sums,
        pixels: usize,
        keep: bool,
    ) -> Option<()> {
        let Conv { input, output, window, .. } = *layer.conv;
        let count = part.words.len();
        let terms = ((32 * part.words.end).min(input.c) - 32 * part.words.start) as i32;
        let kernel_w = positive(window.kernel_w)?;
        let first = (part.taps.start / kernel_w, part.taps.start % kernel_w);
        let weights = self.weights.get(..part.taps.len() * count)?;
        for p in 0..pixels {
            let mut differing = [0u32; CHANNELS];
            let mut most = 0;
            let (mut ky, mut kx) = first;
            for weights in weights.chunks_exact(positive(count)?) {
                // Above or left of the input this wraps, to more than any side.
                let y = (row * window.stride_h + ky).wrapping_sub(window.pad_top);
                let x = (column * window.stride_w + kx).wrapping_sub(window.pad_left);
                kx += 1;
                if kx == kernel_w {
                    (ky, kx) = (ky + 1, 0);
                }
                let words = if y < input.h && x < input.w {
                    self.input.get((y * input.w + x) * self.pixel + part.words.start..)?
                } else if layer.padding == Padding::One {
                    &OUTSIDE
                } else {
                    continue;
                };
                compare(words, weights, &mut differing);
                most += terms;
            }
            for (sums, differing) in sums.iter_mut().zip(differing.as_chunks::<2>().0) {
                let sum = differing.map(|differing| most - 2 * differing as i32);
                let to = sums.get_mut(p)?;
                *to = if keep { [to[0] + sum[0], to[1] + sum[1]] } else { sum };
            }
            column += 1;
            if column == output.w {
                (row, column) = (row + 1, 0);
            }
        }
        Some(())
    }
}

/// 0 bits are +1.
static OUTSIDE: [u32; WORDS] = [0; WORDS];

/// Adds the bits in which each of 8 output channels differs from a pixel's words.
#[inline(always)]
fn compare(words: &[u32], weights: &[[u32; CHANNELS]], differing: &mut [u32; CHANNELS]) {
    for (word, weights) in words.iter().zip(weights) {
        for (differing, weights) in differing.iter_mut().zip(weights) {
            *differing += (word ^ weights).count_ones();
        }
    }
}

#[cfg(test)]
mod tests {
    /// So that the suite, built for such a target, runs what is here.
    #[test]
    fn words_are_counted_where_the_target_can() {
        let can =
            cfg!(any(target_feature = "popcnt", target_feature = "zbb", target_family = "wasm"));
        assert_eq!(cfg!(word_popcount), can);
    }
}
