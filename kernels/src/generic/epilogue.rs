//! From accumulators to tensors, in registers: the same for every kernel.
//!
//! A kernel hands over the accumulators of up to 16 channels of P neighbouring
//! pixels ([`Sink::emit16`], [`Sink::emit32`]); they are scaled, the shortcut is
//! added, the shifted PReLU applied, and the stream and the next layer's bits
//! are written, in one pass. Per 16 channels the parameters are loaded once for
//! the P pixels.
//!
//! Cost per pixel and 16 channels on a machine with 16-lane registers: scale
//! and bias 3 operations (shift, rounding multiply, add), shortcut 1 load and
//! add, PReLU 6, sign 3; bytes moved: 2 per element of the stream read and
//! written, 1/8 for the bits. A shift that cannot saturate, known from the
//! accumulator's bound, is one operation instead of five.

use core::ops::Range;

use super::lanes::{LANES, Lanes, load16_padded, load32_padded, store16_clipped};
use super::shortcut;
use crate::layout::pixel_bytes;
use crate::types::{Epilogue, Shape};

/// Where accumulators belong.
#[derive(Clone, Copy)]
pub(crate) struct At {
    /// Output row.
    pub(crate) row: usize,
    /// Column of the first pixel.
    pub(crate) column: usize,
    /// First channel. Per pixel, calls come in rising order of it.
    pub(crate) channel: usize,
    /// Channels that exist, 1..=16.
    pub(crate) count: usize,
}

/// The tensors written, and how.
pub(crate) struct Sink<'a> {
    epilogue: Epilogue<'a>,
    shape: Shape,
    first_row: usize,
    /// No left shift of a 16-bit accumulator can saturate.
    exact_shift: bool,
}

impl<'a> Sink<'a> {
    /// `bound` is the largest magnitude of a 16-bit accumulator (kernels with
    /// 32-bit accumulators pass anything).
    pub(crate) fn new(
        epilogue: Epilogue<'a>,
        shape: Shape,
        rows: &Range<usize>,
        bound: usize,
    ) -> Self {
        let exact_shift = match epilogue {
            Epilogue::Stream { shift, .. } if shift >= 0 => bound << shift <= 32767,
            _ => false,
        };
        Sink { epilogue, shape, first_row: rows.start, exact_shift }
    }

    /// Whether only bits against a threshold are wanted, and which thresholds.
    pub(crate) fn thresholds(&self) -> Option<&'a [i32]> {
        match &self.epilogue {
            Epilogue::Threshold { thresholds, .. } => Some(thresholds),
            _ => None,
        }
    }

    /// The bits of one output pixel under [`Epilogue::Threshold`].
    #[inline(always)]
    pub(crate) fn threshold_pixel(&mut self, row: usize, column: usize) -> &mut [u8] {
        let pixel = (row - self.first_row) * self.shape.w + column;
        match &mut self.epilogue {
            Epilogue::Threshold { bits, .. } => pixel_bits(bits, pixel, self.shape.c),
            _ => &mut [],
        }
    }

    /// Takes 16-bit accumulators of P neighbouring pixels.
    #[inline(always)]
    pub(crate) fn emit16<L: Lanes, const P: usize>(
        &mut self,
        lanes: L,
        at: At,
        accumulators: [L::I16; P],
    ) {
        match &self.epilogue {
            Epilogue::Stream { shift, .. } => {
                let shift = *shift;
                let mut values = accumulators;
                if shift < 0 {
                    // A right shift by 16 rounds everything to 0.
                    let factor = if shift == -16 { 0 } else { 1 << (15 + shift) };
                    let factor = lanes.splat16(factor);
                    for value in &mut values {
                        *value = lanes.mulr16(*value, factor);
                    }
                } else if self.exact_shift {
                    for value in &mut values {
                        *value = lanes.shl16(*value, shift as u32);
                    }
                } else {
                    for value in &mut values {
                        *value = lanes.shls16(*value, shift as u32);
                    }
                }
                self.stream(lanes, at, values);
            }
            _ => {
                self.emit32(lanes, at, accumulators.map(|value| lanes.widen16(value)));
            }
        }
    }

    /// Takes 32-bit accumulators of P neighbouring pixels.
    #[inline(always)]
    pub(crate) fn emit32<L: Lanes, const P: usize>(
        &mut self,
        lanes: L,
        at: At,
        accumulators: [L::I32; P],
    ) {
        let pixel = self.pixel(at);
        match &mut self.epilogue {
            Epilogue::Threshold { thresholds, bits } => {
                let thresholds = load32_padded(lanes, &thresholds[at.channel..]);
                for (p, &value) in accumulators.iter().enumerate() {
                    let below = lanes.less32(value, thresholds);
                    put_bits(bits, pixel + p, self.shape.c, at, below);
                }
            }
            Epilogue::Stream { shift, .. } => {
                let shift = *shift;
                let values = accumulators.map(|value| {
                    lanes.saturate32(if shift < 0 {
                        lanes.rshr32(value, u32::from(shift.unsigned_abs()))
                    } else {
                        lanes.shl32(value, shift as u32)
                    })
                });
                self.stream(lanes, at, values);
            }
            Epilogue::Scores { multiplier, bias, scores } => {
                for accumulator in accumulators {
                    let mut values = [0; LANES];
                    lanes.store32(accumulator, &mut values);
                    for (i, &value) in values[..at.count].iter().enumerate() {
                        let c = at.channel + i;
                        let score = i64::from(value) * i64::from(multiplier[c]);
                        let score = score + i64::from(bias[c]);
                        scores[c] = score.clamp(i32::MIN.into(), i32::MAX.into()) as i32;
                    }
                }
            }
        }
    }

    /// Index of a pixel among the rows written.
    #[inline(always)]
    fn pixel(&self, at: At) -> usize {
        (at.row - self.first_row) * self.shape.w + at.column
    }

    /// Everything after the accumulator's shift.
    #[inline(always)]
    fn stream<L: Lanes, const P: usize>(&mut self, lanes: L, at: At, mut values: [L::I16; P]) {
        let pixel = self.pixel(at);
        let channels = self.shape.c;
        let Epilogue::Stream { multiplier, bias, shortcut, prelu, stream, sign, .. } =
            &mut self.epilogue
        else {
            return;
        };
        let parameter = |values: &[i16]| load16_padded(lanes, &values[at.channel..]);

        let (factor, offset) = (parameter(multiplier), parameter(bias));
        for value in &mut values {
            *value = lanes.adds16(lanes.mulr16(*value, factor), offset);
        }
        if let Some(taken) = shortcut {
            for (p, value) in values.iter_mut().enumerate() {
                let extra = shortcut::value(lanes, taken, channels, at, at.column + p);
                *value = lanes.adds16(*value, extra);
            }
        }
        if let Some(prelu) = prelu {
            let before = parameter(prelu.before);
            let slope = parameter(prelu.slope);
            let after = parameter(prelu.after);
            let zero = lanes.splat16(0);
            for value in &mut values {
                let y = lanes.subs16(*value, before);
                // One of the two is 0, and mulr(0, slope) is 0.
                let positive = lanes.max16(y, zero);
                let negative = lanes.mulr16(lanes.min16(y, zero), slope);
                *value = lanes.adds16(lanes.add16(positive, negative), after);
            }
        }
        if let Some(stream) = stream {
            for (p, &value) in values.iter().enumerate() {
                let first = (pixel + p) * channels + at.channel;
                store16_clipped(lanes, value, &mut stream[first..first + at.count]);
            }
        }
        if let Some(sign) = sign {
            let thresholds = parameter(sign.thresholds);
            for (p, &value) in values.iter().enumerate() {
                let below = lanes.less16(value, thresholds);
                put_bits(sign.bits, pixel + p, channels, at, below);
            }
        }
    }
}

/// The bytes of one pixel of bits.
#[inline(always)]
fn pixel_bits(bits: &mut [u8], pixel: usize, channels: usize) -> &mut [u8] {
    let bytes = pixel_bytes(channels);
    &mut bits[pixel * bytes..(pixel + 1) * bytes]
}

/// Writes the bits of channels `at.channel..` of one pixel and zeroes what
/// follows them in the last byte touched; after the pixel's last channel, also
/// the rest of the pixel. Because channels come in rising order, that leaves
/// every pixel whole with its tail 0.
#[inline(always)]
fn put_bits(bits: &mut [u8], pixel: usize, channels: usize, at: At, below: u16) {
    let pixel = pixel_bits(bits, pixel, channels);
    let (byte, bit) = (at.channel / 8, at.channel % 8);
    let end = if bit == 0 && at.count == LANES {
        pixel[byte..byte + 2].copy_from_slice(&below.to_le_bytes());
        byte + 2
    } else {
        let below = u32::from(below) & ((1 << at.count) - 1);
        let kept = u32::from(pixel[byte]) & ((1 << bit) - 1);
        let touched = (bit + at.count).div_ceil(8);
        let bytes = (kept | below << bit).to_le_bytes();
        pixel[byte..byte + touched].copy_from_slice(&bytes[..touched]);
        byte + touched
    };
    if at.channel + at.count == channels {
        pixel[end..].fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::{At, put_bits};

    #[test]
    fn bits_land_where_they_belong_and_leave_a_zero_tail() {
        // Groups of 11 channels: starts within a byte, and a last one that
        // spans two bytes.
        let mut pixel = [0xAA; 8];
        let groups = [0b101_0101_0101, 0b111_1111_1111, 0b100_0000_0001];
        for (group, below) in groups.into_iter().enumerate() {
            let at = At { row: 0, column: 0, channel: group * 11, count: 11 };
            put_bits(&mut pixel, 0, 33, at, below | 0x8000);
        }
        let expected = 0b101_0101_0101u64 | 0b111_1111_1111 << 11 | 0b100_0000_0001 << 22;
        assert_eq!(u64::from_le_bytes(pixel), expected);
    }
}
