//! Convolution of ±1 by ±1: xor, popcount, add, with a byte per output channel.
//!
//! Σ w·x over n terms is n − 2·(number of bits in which w and x differ). One step
//! of the weights (8 input channels of one tap) has one byte per output channel,
//! so two 32-bit registers hold 8 of them: one byte of a pixel, in all bytes of a
//! register, is compared with them, the differing bits are counted within bytes
//! and added to 8 byte counters. A step adds at most 8 to a counter, so that they
//! are widened at most every 31 steps.
//!
//! Cost per step and 4 output channels (32 binary multiply-accumulates): half a
//! load and a multiplication, 1 load, 1 xor, 11 operations to count and add.
//!
//! Adding bits by full adders first (carry-save, four steps to one count) is fewer
//! operations in the loop, but three counts at its end, of the few steps that a layer
//! has, and more values than registers: on a Cortex-M4 it took 20.7 million
//! instructions for the network of `models/vww` in place of 19.7.
//!
//! Where an instruction counts the bits of a register, `words.rs` does the counting.

use super::epilogue::Sink;
use super::positive;
use super::words::Words;
use crate::generic::BinaryJob;
use crate::layout::{
    BINARY_LANES, binary_group_bytes, binary_lanes, binary_offset, binary_steps, pixel_bytes,
};
use crate::types::{Conv, Padding};

/// Whether words are counted. Asked at each use too: that there are no `Words` where they
/// are not made the optimizer does not always see, and 3 KB of their code stayed.
const BY_WORDS: bool = cfg!(word_popcount);
/// Output channels that are counted together; the layout has whole ones of them.
pub(super) const CHANNELS: usize = 8;
/// Pixels, row after row, that go to the epilogue together, at most.
const RUN: usize = 32;
/// Accumulators of 8 output channels, two by two, of each of a run's pixels.
pub(super) type Sums = [[[i32; 2]; RUN]; CHANNELS / 2];
/// Steps that a byte counter holds: 31 · 8 ≤ 255.
pub(super) const STEPS_PER_BYTE: usize = 31;
/// Times a byte, the byte in all four bytes.
pub(super) const ALL: u32 = 0x0101_0101;

/// The whole operation.
pub(super) fn run(job: BinaryJob<'_>) -> Option<()> {
    let BinaryJob { conv, padding, input, weights, rows, epilogue, .. } = job;
    let window = conv.window;
    let groups = positive(conv.groups)?;
    let (inputs, outputs) = (conv.input.c / groups, conv.output.c / groups);
    let layer = Layer {
        conv: &conv,
        padding,
        input,
        inputs,
        steps: inputs.div_ceil(8),
        pixel: positive(pixel_bytes(conv.input.c))?,
    };
    let steps = binary_steps(window.kernel_h, window.kernel_w, inputs);
    let group_bytes = positive(binary_group_bytes(steps, outputs))?;
    let mut sums: Sums = [[[0; 2]; RUN]; CHANNELS / 2];
    let mut words = if BY_WORDS { Words::new(&layer) } else { None };
    let mut sink = Sink::new(epilogue, conv.output, &rows);
    let width = conv.output.w;
    let pixels = rows.start * width..rows.end * width;
    for (group, weights) in weights.chunks_exact(group_bytes).enumerate() {
        for channel in (0..outputs).step_by(CHANNELS) {
            let block = channel / BINARY_LANES * BINARY_LANES;
            let eight = Eight {
                block: weights.get(binary_offset(steps, outputs, block, 0)..)?,
                stride: positive(binary_lanes(block, outputs))?,
                lane: channel - block,
                byte: group * inputs / 8,
            };
            if BY_WORDS && let Some(words) = &mut words {
                words.start();
            }
            for first in pixels.clone().step_by(RUN) {
                let count = (pixels.end - first).min(RUN);
                let (row, column) = (first / positive(width)?, first % positive(width)?);
                if BY_WORDS && let Some(words) = &mut words {
                    words.count(&layer, &eight, row, column, &mut sums, count)?;
                } else {
                    layer.sums(&eight, row, column, &mut sums, count)?;
                }
                for (channel, sums) in (channel..outputs).step_by(2).zip(&mut sums) {
                    let (at, two) = (group * outputs + channel, (outputs - channel).min(2));
                    sink.put(row, column, at, two, sums.get_mut(..count)?)?;
                }
            }
        }
    }
    Some(())
}

/// What stays the same for all of a layer.
pub(super) struct Layer<'a> {
    pub(super) conv: &'a Conv,
    pub(super) padding: Padding,
    pub(super) input: &'a [u8],
    /// Input channels of a group.
    inputs: usize,
    /// Steps (bytes of input channels) per tap.
    pub(super) steps: usize,
    /// Bytes per input pixel.
    pub(super) pixel: usize,
}

/// Eight output channels.
pub(super) struct Eight<'a> {
    /// Weights of the block that they are in.
    pub(super) block: &'a [u8],
    /// Bytes per step in it.
    pub(super) stride: usize,
    /// In a step, the first of them.
    pub(super) lane: usize,
    /// First byte of the input pixel that the group reads.
    byte: usize,
}

impl Layer<'_> {
    /// Whether each input pixel makes the output pixel in its place.
    pub(super) fn in_place(&self) -> bool {
        let Conv { input, output, window, .. } = *self.conv;
        (window.kernel_h, window.kernel_w) == (1, 1)
            && (window.stride_h, window.stride_w) == (1, 1)
            && output.w == input.w
    }

    /// The sums of a run's pixels, the first at `row` and `column`.
    #[inline(always)]
    fn sums(
        &self,
        eight: &Eight<'_>,
        row: usize,
        column: usize,
        sums: &mut Sums,
        count: usize,
    ) -> Option<()> {
        let output = self.conv.output;
        // In one round of counting.
        if self.in_place() && self.steps <= STEPS_PER_BYTE {
            let first = row * output.w + column;
            let bytes = self.input.get(first * self.pixel + eight.byte..)?;
            for (p, bytes) in bytes.chunks(positive(self.pixel)?).take(count).enumerate() {
                let bytes = bytes.get(..self.steps)?;
                let counts = compare(bytes, ALL, eight, eight.block);
                for (i, sums) in sums.iter_mut().enumerate() {
                    *sums.get_mut(p)? = [2 * i, 2 * i + 1]
                        .map(|channel| self.inputs as i32 - 2 * of_byte(counts, channel));
                }
            }
        } else {
            let (mut row, mut column) = (row, column);
            for p in 0..count {
                let (differing, taps) = self.count(eight, row, column)?;
                let terms = (taps * self.inputs) as i32;
                for (sums, differing) in sums.iter_mut().zip(differing) {
                    *sums.get_mut(p)? = differing.map(|differing| terms - 2 * differing);
                }
                column += 1;
                if column == output.w {
                    (row, column) = (row + 1, 0);
                }
            }
        }
        Some(())
    }

    /// The bits that differ, by output channel, of one output pixel, and the taps
    /// that were compared.
    #[inline(always)]
    fn count(
        &self,
        eight: &Eight<'_>,
        row: usize,
        column: usize,
    ) -> Option<([[i32; 2]; CHANNELS / 2], usize)> {
        let Conv { input, window, .. } = *self.conv;
        let mut differing = [[0; 2]; CHANNELS / 2];
        let mut taps = 0;
        let part = positive(STEPS_PER_BYTE * eight.stride)?;
        for ky in 0..window.kernel_h {
            // Above or left of the input this wraps, to more than any side.
            let y = (row * window.stride_h + ky).wrapping_sub(window.pad_top);
            for kx in 0..window.kernel_w {
                let x = (column * window.stride_w + kx).wrapping_sub(window.pad_left);
                let (pixel, all) = match self.padding {
                    _ if y < input.h && x < input.w => (y * input.w + x, ALL),
                    Padding::Zero => continue,
                    // Any pixel, of which nothing remains: 0 bits are +1.
                    Padding::One => (0, 0),
                };
                taps += 1;
                let bytes = self.input.get(pixel * self.pixel + eight.byte..)?.get(..self.steps)?;
                let first = (ky * window.kernel_w + kx) * self.steps * eight.stride;
                let parts = eight.block.get(first..)?.chunks(part);
                for (bytes, weights) in bytes.chunks(STEPS_PER_BYTE).zip(parts) {
                    let counts = compare(bytes, all, eight, weights);
                    for (channel, differing) in differing.iter_mut().flatten().enumerate() {
                        *differing += of_byte(counts, channel);
                    }
                }
            }
        }
        Some((differing, taps))
    }
}

/// The bits in which each of 8 output channels differs from some bytes of a pixel,
/// at most [`STEPS_PER_BYTE`]; `block` are their block's weights for these.
#[inline(never)]
fn compare(bytes: &[u8], all: u32, eight: &Eight<'_>, block: &[u8]) -> [u32; 2] {
    let (mut low, mut high) = (0, 0);
    for (&byte, step) in bytes.iter().zip(block.chunks_exact(eight.stride)) {
        let Some(&[a, b, c, d, e, f, g, h]) = step.get(eight.lane..eight.lane + CHANNELS) else {
            break;
        };
        let byte = spread(byte, all);
        low += popcounts(u32::from_le_bytes([a, b, c, d]) ^ byte);
        high += popcounts(u32::from_le_bytes([e, f, g, h]) ^ byte);
    }
    [low, high]
}

/// The byte in all four bytes; `all` is [`ALL`], or 0 for none of it.
#[inline(always)]
fn spread(byte: u8, all: u32) -> u32 {
    let byte = u32::from(byte);
    if cfg!(no_multiplier) {
        let two = byte | byte << 8;
        (two | two << 16) & 0u32.wrapping_sub(all & 1)
    } else {
        byte * all
    }
}

/// The count of one of 8 output channels.
#[inline(always)]
fn of_byte(counts: [u32; 2], channel: usize) -> i32 {
    (counts[channel / 4] >> (channel % 4 * 8) & 0xFF) as i32
}

/// The number of ones in each byte.
#[inline(always)]
pub(super) fn popcounts(bits: u32) -> u32 {
    let twos = bits - (bits >> 1 & 0x5555_5555);
    let fours = (twos & 0x3333_3333) + (twos >> 2 & 0x3333_3333);
    (fours + (fours >> 4)) & 0x0F0F_0F0F
}

#[cfg(test)]
mod tests {
    use super::popcounts;

    #[test]
    fn bytes_are_counted_apart() {
        for byte in 0..=255u8 {
            let [a, b, c, d] = popcounts(u32::from_le_bytes([byte, !byte, 0, 255])).to_le_bytes();
            let ones = byte.count_ones() as u8;
            assert_eq!([a, b, c, d], [ones, 8 - ones, 0, 8], "{byte:08b}");
        }
    }
}
