//! From the accumulators of two channels to tensors.
//!
//! What belongs to a channel is fetched once for a run of pixels; then the run
//! is scaled, the shortcut added, and the rest done in a loop each, so that a
//! loop's values fit the registers of a small CPU. Where there are instructions
//! for two 16-bit values at once, most layers have both channels in each loop
//! (`dsp.rs`).

use core::ops::Range;

#[cfg(arm_dsp)]
use super::dsp;
use super::pool::rdiv;
use super::positive;
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

    /// Takes the accumulators of `channel` and, if there are `channels` = 2, of the
    /// next, of the pixels from `column` of `row` on: a row goes on in the next.
    /// They are scratch afterwards.
    pub(super) fn put(
        &mut self,
        row: usize,
        column: usize,
        channel: usize,
        channels: usize,
        run: &mut [[i32; 2]],
    ) -> Option<()> {
        #[cfg(arm_dsp)]
        if channels == 2 && self.put_both(row, column, channel, run).is_some() {
            return Some(());
        }
        for i in 0..channels.min(2) {
            self.put_one(row, column, channel + i, i, run)?;
        }
        Some(())
    }

    /// Takes the accumulators of two channels if that is what most layers want.
    #[cfg(arm_dsp)]
    fn put_both(
        &mut self,
        row: usize,
        column: usize,
        channel: usize,
        run: &mut [[i32; 2]],
    ) -> Option<()> {
        let Shape { w, c, .. } = self.shape;
        let pixel = (row - self.first_row) * w + column;
        let Epilogue::Stream { shift, multiplier, bias, shortcut, prelu, stream, sign } =
            &mut self.epilogue
        else {
            return None;
        };
        let (Some(prelu), Some(stream)) = (prelu, stream) else { return None };
        if !(channel.is_multiple_of(2) && c.is_multiple_of(2)) {
            return None;
        }
        let shortcut = match shortcut {
            None => None,
            Some(Shortcut { values, shape, pool: 1, shift })
                if shape.w == w && shape.c <= c && shape.c.is_multiple_of(2) =>
            {
                let at = ((row * w + column) * shape.c + channel.checked_rem(shape.c)?) / 2;
                let from = dsp::Pixels { all: values.as_chunks().0, at, step: shape.c / 2 };
                Some(dsp::Shortcut { from, shift: Shift::new(*shift) })
            }
            Some(_) => return None,
        };
        let two = dsp::Two::new(Shift::new(*shift), multiplier, bias, prelu, channel);
        let all = stream.as_chunks_mut().0;
        let stream = dsp::Pixels { all, at: (pixel * c + channel) / 2, step: c / 2 };
        let signs = sign.as_mut().map(|sign| dsp::Signs::new(sign, channel, pixel, pixel_bytes(c)));
        dsp::put(&two, run, shortcut, stream, signs);
        Some(())
    }

    /// Takes the accumulators of `channel`, which are those of index `i`.
    #[inline(never)]
    fn put_one(
        &mut self,
        row: usize,
        column: usize,
        channel: usize,
        i: usize,
        run: &mut [[i32; 2]],
    ) -> Option<()> {
        let Shape { w, c, .. } = self.shape;
        let pixel = (row - self.first_row) * w + column;
        // Which says to the compiler that no pixel has to be asked.
        let i = i % 2;
        match &mut self.epilogue {
            Epilogue::Threshold { thresholds, bits } => {
                let threshold = *thresholds.get(channel)?;
                let mut bits = Bits::new(bits, c, pixel, channel);
                for &accumulator in run.iter().map(|two| &two[i]) {
                    bits.put(accumulator < threshold)?;
                }
            }
            Epilogue::Stream { shift, multiplier, bias, shortcut, prelu, stream, sign } => {
                let shift = Shift::new(*shift);
                let (multiplier, bias) =
                    (*multiplier.get(channel)?, i32::from(*bias.get(channel)?));
                for value in run.iter_mut().map(|two| &mut two[i]) {
                    *value = saturate(mulr(shift.apply(*value), multiplier) + bias);
                }
                if let Some(taken) = shortcut {
                    let run = run.iter_mut().map(|two| &mut two[i]);
                    add_shortcut(taken, self.shape, row, column, channel, run)?;
                }
                let activation = match prelu {
                    Some(prelu) => Some(Activation::new(prelu, channel)?),
                    None => None,
                };
                let mut at = pixel * c + channel;
                for value in run.iter_mut().map(|two| &mut two[i]) {
                    if let Some(activation) = &activation {
                        *value = activation.apply(*value);
                    }
                    if let Some(stream) = stream {
                        *stream.get_mut(at)? = *value as i16;
                    }
                    at += c;
                }
                if let Some(Sign { thresholds, bits }) = sign {
                    let threshold = i32::from(*thresholds.get(channel)?);
                    let mut bits = Bits::new(bits, c, pixel, channel);
                    for &value in run.iter().map(|two| &two[i]) {
                        bits.put(value < threshold)?;
                    }
                }
            }
            Epilogue::Scores { multiplier, bias, scores } => {
                let (multiplier, bias) = (multiplier.get(channel)?, bias.get(channel)?);
                let to = scores.get_mut(channel)?;
                for &value in run.iter().map(|two| &two[i]) {
                    let score = i64::from(value) * i64::from(*multiplier) + i64::from(*bias);
                    *to = score.clamp(i32::MIN.into(), i32::MAX.into()) as i32;
                }
            }
        }
        Some(())
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
    fn put(&mut self, below: bool) -> Option<()> {
        if below {
            *self.bits.get_mut(self.at)? |= self.mask;
        }
        self.at += self.step;
        Some(())
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
pub(super) struct Shift {
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

    /// Whether it is no shift to the left.
    #[cfg(arm_dsp)]
    pub(super) fn is_right(self) -> bool {
        self.left == 0
    }

    /// Of a 16-bit value, if [`Shift::is_right`].
    #[cfg(arm_dsp)]
    #[inline(always)]
    pub(super) fn apply_right(self, value: i32) -> i32 {
        (value + self.half) >> self.right
    }

    /// Rounds to the right, wraps to the left; saturated to 16 bits.
    #[inline(always)]
    pub(super) fn apply(self, value: i32) -> i32 {
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
    fn new(prelu: &Prelu<'_>, channel: usize) -> Option<Self> {
        Some(Activation {
            before: i32::from(*prelu.before.get(channel)?),
            slope: *prelu.slope.get(channel)?,
            after: i32::from(*prelu.after.get(channel)?),
        })
    }

    #[inline(always)]
    fn apply(&self, value: i32) -> i32 {
        let y = saturate(value - self.before);
        saturate(if y < 0 { mulr(y, self.slope) } else { y } + self.after)
    }
}

/// Adds what the shortcut has for `channel` to pixels of an output of this shape.
#[inline(always)]
fn add_shortcut<'r>(
    taken: &Shortcut<'_>,
    output: Shape,
    mut row: usize,
    mut column: usize,
    channel: usize,
    run: impl Iterator<Item = &'r mut i32>,
) -> Option<()> {
    let Shortcut { values, shape, pool, shift } = *taken;
    let shift = Shift::new(shift);
    let first = channel.checked_rem(shape.c)?;
    if pool == 1 && shape.w == output.w && shape.c <= output.c {
        let mut at = (row * shape.w + column) * shape.c + first;
        for value in run {
            *value = saturate(*value + shift.apply(i32::from(*values.get(at)?)));
            at += shape.c;
        }
        return Some(());
    }
    // With fewer channels in than out, the first is the only one.
    let four = pool == 2 && shape.c <= output.c;
    for value in run {
        let corner = (row * pool * shape.w + column * pool) * shape.c + first;
        let mean = match row * 2 + 1 < shape.h && column * 2 + 1 < shape.w {
            true if four => mean_of_four(values.get(corner..)?, shape)?,
            _ => mean(taken, output.c, row, column, first)?,
        };
        *value = saturate(*value + shift.apply(mean));
        column += 1;
        if column == output.w {
            (row, column) = (row + 1, 0);
        }
    }
    Some(())
}

/// The mean of two by two pixels' first channel.
#[inline(always)]
fn mean_of_four(values: &[i16], shape: Shape) -> Option<i32> {
    let (right, below) = (shape.c, shape.w * shape.c);
    let mut sum = 0;
    for at in [0, right, below, below + right] {
        sum += i32::from(*values.get(at)?);
    }
    Some((sum + 2) >> 2)
}

/// The mean of `pool × pool` pixels, as far as there are any, and of the channels
/// `first`, `first + channels`, ….
#[inline(never)]
fn mean(
    taken: &Shortcut<'_>,
    channels: usize,
    row: usize,
    column: usize,
    first: usize,
) -> Option<i32> {
    let Shortcut { values, shape, pool, .. } = *taken;
    let (mut sum, mut elements) = (0i64, 0);
    for row in row * pool..(row * pool + pool).min(shape.h) {
        for column in column * pool..(column * pool + pool).min(shape.w) {
            let pixel = values.get((row * shape.w + column) * shape.c..)?.get(..shape.c)?;
            for &element in pixel.get(first..)?.iter().step_by(positive(channels)?) {
                sum += i64::from(element);
                elements += 1;
            }
        }
    }
    rdiv(sum, elements).map(|mean| mean as i32)
}
