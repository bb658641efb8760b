//! From the accumulators of one channel to tensors.
//!
//! What belongs to the channel is fetched once for a run of pixels; then the run
//! is scaled, the shortcut added, and the rest done in a loop each, so that a
//! loop's values fit the registers of a small CPU.

use core::ops::Range;

use super::pool::rdiv;
use crate::layout::pixel_bytes;
use crate::types::{Epilogue, Prelu, Shape, Shortcut, Sign};

/// The tensors written, and how.
pub(super) struct Sink<'a> {
    epilogue: Epilogue<'a>,
    shape: Shape,
    first_row: usize,
}

impl<'a> Sink<'a> {
    /// All bits become 0: [`Sink::put`] sets those that are 1.
    pub(super) fn new(mut epilogue: Epilogue<'a>, shape: Shape, rows: &Range<usize>) -> Self {
        match &mut epilogue {
            Epilogue::Threshold { bits, .. }
            | Epilogue::Stream { sign: Some(Sign { bits, .. }), .. } => bits.fill(0),
            _ => {}
        }
        Sink { epilogue, shape, first_row: rows.start }
    }

    /// Takes the accumulators of `channel`, of the pixels from `column` of `row`
    /// on: a row goes on in the next. They are scratch afterwards.
    #[inline(never)]
    pub(super) fn put(&mut self, row: usize, column: usize, channel: usize, run: &mut [i32]) {
        let Shape { w, c, .. } = self.shape;
        let pixel = (row - self.first_row) * w + column;
        match &mut self.epilogue {
            Epilogue::Threshold { thresholds, bits } => {
                let threshold = thresholds[channel];
                let mut bits = Bits::new(bits, c, pixel, channel);
                for &accumulator in &*run {
                    bits.put(accumulator < threshold);
                }
            }
            Epilogue::Stream { shift, multiplier, bias, shortcut, prelu, stream, sign } => {
                let shift = Shift::new(*shift);
                let (multiplier, bias) = (multiplier[channel], i32::from(bias[channel]));
                for value in &mut *run {
                    *value = saturate(mulr(shift.apply(*value), multiplier) + bias);
                }
                if let Some(taken) = shortcut {
                    add_shortcut(taken, self.shape, row, column, channel, run);
                }
                let activation = prelu.as_ref().map(|prelu| Activation::new(prelu, channel));
                let mut at = pixel * c + channel;
                for value in &mut *run {
                    if let Some(activation) = &activation {
                        *value = activation.apply(*value);
                    }
                    if let Some(stream) = stream {
                        stream[at] = *value as i16;
                    }
                    at += c;
                }
                if let Some(Sign { thresholds, bits }) = sign {
                    let threshold = i32::from(thresholds[channel]);
                    let mut bits = Bits::new(bits, c, pixel, channel);
                    for &value in &*run {
                        bits.put(value < threshold);
                    }
                }
            }
            Epilogue::Scores { multiplier, bias, scores } => {
                for &value in &*run {
                    let score = i64::from(value) * i64::from(multiplier[channel])
                        + i64::from(bias[channel]);
                    scores[channel] = score.clamp(i32::MIN.into(), i32::MAX.into()) as i32;
                }
            }
        }
    }
}

/// One channel's bits, pixel by pixel.
struct Bits<'b> {
    bits: &'b mut [u8],
    at: usize,
    /// Bytes per pixel.
    step: usize,
    mask: u8,
}

impl<'b> Bits<'b> {
    fn new(bits: &'b mut [u8], channels: usize, pixel: usize, channel: usize) -> Self {
        let step = pixel_bytes(channels);
        Bits { bits, at: pixel * step + channel / 8, step, mask: 1 << (channel % 8) }
    }

    #[inline(always)]
    fn put(&mut self, below: bool) {
        if below {
            self.bits[self.at] |= self.mask;
        }
        self.at += self.step;
    }
}

#[inline(always)]
fn saturate(value: i32) -> i32 {
    value.clamp(i16::MIN.into(), i16::MAX.into())
}

/// `(value·factor + 2^14) >> 15` of 16-bit values; `factor` is not −32768.
#[inline(always)]
fn mulr(value: i32, factor: i16) -> i32 {
    (value * i32::from(factor) + (1 << 14)) >> 15
}

/// Multiplies by a power of two.
#[derive(Clone, Copy)]
struct Shift {
    left: u32,
    right: u32,
    half: i32,
}

impl Shift {
    /// By `2^shift`; `shift` −16..=15.
    fn new(shift: i8) -> Self {
        let right = u32::from(shift.min(0).unsigned_abs());
        Shift { left: shift.max(0) as u32, right, half: 1 << right >> 1 }
    }

    /// Rounds to the right, wraps to the left; saturated to 16 bits.
    #[inline(always)]
    fn apply(self, value: i32) -> i32 {
        saturate((value << self.left).wrapping_add(self.half) >> self.right)
    }
}

/// The shifted PReLU of one channel.
struct Activation {
    before: i32,
    slope: i16,
    after: i32,
}

impl Activation {
    fn new(prelu: &Prelu<'_>, channel: usize) -> Self {
        Activation {
            before: prelu.before[channel].into(),
            slope: prelu.slope[channel],
            after: prelu.after[channel].into(),
        }
    }

    #[inline(always)]
    fn apply(&self, value: i32) -> i32 {
        let y = saturate(value - self.before);
        saturate(if y < 0 { mulr(y, self.slope) } else { y } + self.after)
    }
}

/// Adds what the shortcut has for `channel` to pixels of an output of this shape.
fn add_shortcut(
    taken: &Shortcut<'_>,
    output: Shape,
    mut row: usize,
    mut column: usize,
    channel: usize,
    run: &mut [i32],
) {
    let Shortcut { values, shape, pool, shift } = *taken;
    let shift = Shift::new(shift);
    let first = channel % shape.c;
    if pool == 1 && shape.w == output.w && shape.c <= output.c {
        let mut at = (row * shape.w + column) * shape.c + first;
        for value in run {
            *value = saturate(*value + shift.apply(values[at].into()));
            at += shape.c;
        }
        return;
    }
    for value in run {
        let (mut sum, mut elements) = (0i64, 0);
        for row in row * pool..(row * pool + pool).min(shape.h) {
            for column in column * pool..(column * pool + pool).min(shape.w) {
                let pixel = &values[(row * shape.w + column) * shape.c..][..shape.c];
                // With fewer channels in than out, the first is the only one.
                for &element in pixel[first..].iter().step_by(output.c) {
                    sum += i64::from(element);
                    elements += 1;
                }
            }
        }
        *value = saturate(*value + shift.apply(rdiv(sum, elements) as i32));
        column += 1;
        if column == output.w {
            (row, column) = (row + 1, 0);
        }
    }
}
