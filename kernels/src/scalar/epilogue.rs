//! From the accumulators of two channels to tensors.
//!
//! What belongs to a channel is fetched once for a run of pixels; then the run
//! is scaled, the shortcut added, and the rest done in a loop each, so that a
//! loop's values fit the registers of a small CPU. A loop goes over whole pixels of
//! a tensor, which needs no check for each, and is there twice where a shift has a
//! direction. Where there are instructions for two 16-bit values at once, most
//! layers have both channels in each loop (`dsp.rs`).

use core::ops::Range;
use core::slice::ChunksExact;

#[cfg(arm_dsp)]
use super::dsp;
use super::pool::rdiv;
use super::{pixels, pixels_mut, positive};
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
    #[inline(never)]
    pub(super) fn put(
        &mut self,
        row: usize,
        column: usize,
        channel: usize,
        channels: usize,
        run: &mut [[i32; 2]],
    ) -> Option<()> {
        #[cfg(arm_dsp)]
        if channels == 2 && self.takes_both(channel) {
            return self.put_both(row, column, channel, run);
        }
        for i in 0..channels.min(2) {
            self.put_one(row, column, channel + i, i, run)?;
        }
        Some(())
    }

    /// Whether the epilogue is one for [`Sink::put_both`], which most are.
    #[cfg(arm_dsp)]
    fn takes_both(&self, channel: usize) -> bool {
        let even = |shape: Shape| shape.c.is_multiple_of(2);
        match &self.epilogue {
            Epilogue::Stream { shortcut, prelu: Some(_), stream: Some(_), .. } => {
                channel.is_multiple_of(2)
                    && even(self.shape)
                    && shortcut.as_ref().is_none_or(|taken| even(taken.shape))
            }
            _ => false,
        }
    }

    /// Takes the accumulators of two channels, if [`Sink::takes_both`].
    #[cfg(arm_dsp)]
    #[inline(never)]
    fn put_both(
        &mut self,
        row: usize,
        column: usize,
        channel: usize,
        run: &mut [[i32; 2]],
    ) -> Option<()> {
        let Shape { h, w, c } = self.shape;
        let pixel = (row - self.first_row) * w + column;
        let Epilogue::Stream { shift, multiplier, bias, shortcut, prelu, stream, sign } =
            &mut self.epilogue
        else {
            return None;
        };
        let two = dsp::Two::new(multiplier, bias, prelu.as_ref()?, channel);
        let shift = Shift::new(*shift);
        match shift.is_left() {
            true => two.scale(run, |value| shift.apply_left(value)),
            false => two.scale(run, |value| shift.apply_right(value)),
        }
        if let Some(taken) = shortcut {
            let shift = Shift::new(taken.shift);
            let first = channel.checked_rem(taken.shape.c)?;
            let values = Values {
                all: taken.values.as_chunks().0,
                input: Shape { c: taken.shape.c / 2, ..taken.shape },
                output: Shape { h, w, c: c / 2 },
                pool: taken.pool,
                first: first / 2,
            };
            if let Some(pixels) = values.of_pixels(row, column, run.len()) {
                match shift.is_left() {
                    true => dsp::add(run, pixels, first / 2, |value| shift.apply(value))?,
                    false => dsp::add(run, pixels, first / 2, |value| shift.right(value))?,
                }
            } else {
                values.means(row, column, run, |run, row, column, four| {
                    let means = match four {
                        Some(four) => [0, 1].map(|i| mean_of_four(four.map(|pair| pair[i]))),
                        None => [
                            mean(taken, c, row, column, first)?,
                            mean(taken, c, row, column, first + 1)?,
                        ],
                    };
                    run[0] = dsp::plus(run[0], means.map(|mean| shift.apply(mean)));
                    Some(())
                })?;
            }
        }
        let stream = stream.as_mut()?.as_chunks_mut().0;
        two.activate(run, pixels_mut(stream, c / 2, pixel, run.len())?, channel / 2)?;
        if let Some(Sign { thresholds, bits }) = sign {
            let bits = pixels_mut(bits, pixel_bytes(c), pixel, run.len())?;
            dsp::sign(run, thresholds, channel, bits)?;
        }
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
        match &mut self.epilogue {
            Epilogue::Threshold { thresholds, bits } => {
                set_bits(bits, c, pixel, channel, run, i, *thresholds.get(channel)?)?;
            }
            Epilogue::Stream { shift, multiplier, bias, shortcut, prelu, stream, sign } => {
                let shift = Shift::new(*shift);
                let factor = Factor::new(*multiplier.get(channel)?, *bias.get(channel)?);
                match shift.is_left() {
                    true => each(run, i, |value| factor.apply(shift.apply_left(value))),
                    false => each(run, i, |value| factor.apply(shift.apply_right(value))),
                }
                if let Some(taken) = shortcut {
                    add_shortcut(taken, self.shape, row, column, channel, run, i)?;
                }
                let activation = match prelu {
                    Some(prelu) => Activation::new(prelu, channel)?,
                    None => Activation::NONE,
                };
                match stream {
                    Some(stream) => {
                        let pixels = pixels_mut(stream, c, pixel, run.len())?;
                        for (two, pixel) in run.iter_mut().zip(pixels) {
                            let value = activation.apply(two[i % 2]);
                            two[i % 2] = value;
                            *pixel.get_mut(channel)? = value as i16;
                        }
                    }
                    None => each(run, i, |value| activation.apply(value)),
                }
                if let Some(Sign { thresholds, bits }) = sign {
                    let threshold = i32::from(*thresholds.get(channel)?);
                    set_bits(bits, c, pixel, channel, run, i, threshold)?;
                }
            }
            Epilogue::Scores { multiplier, bias, scores } => {
                let (multiplier, bias) = (multiplier.get(channel)?, bias.get(channel)?);
                let to = scores.get_mut(channel)?;
                for &value in run.iter().map(|two| &two[i % 2]) {
                    let score = i64::from(value) * i64::from(*multiplier) + i64::from(*bias);
                    *to = score.clamp(i32::MIN.into(), i32::MAX.into()) as i32;
                }
            }
        }
        Some(())
    }
}

/// Changes each value of a run, those of index `i`.
#[inline(always)]
fn each(run: &mut [[i32; 2]], i: usize, change: impl Fn(i32) -> i32) {
    for two in run {
        two[i % 2] = change(two[i % 2]);
    }
}

/// Sets the bit of `channel` of the pixels from `pixel` on where the value of the run is
/// below the threshold.
#[inline(always)]
fn set_bits(
    bits: &mut [u8],
    channels: usize,
    pixel: usize,
    channel: usize,
    run: &[[i32; 2]],
    i: usize,
    threshold: i32,
) -> Option<()> {
    let pixels = pixels_mut(bits, pixel_bytes(channels), pixel, run.len())?;
    for (two, pixel) in run.iter().zip(pixels) {
        if two[i % 2] < threshold {
            *pixel.get_mut(channel / 8)? |= 1 << (channel % 8);
        }
    }
    Some(())
}

#[inline(always)]
fn saturate(value: i32) -> i32 {
    value.clamp(i16::MIN.into(), i16::MAX.into())
}

/// What 16-bit values are multiplied by, over 2^15, and what is added then.
struct Factor {
    factor: i32,
    /// Over 2^15, and half for rounding: no product added to it leaves 32 bits.
    addend: i32,
}

impl Factor {
    #[inline(always)]
    fn new(factor: i16, addend: i16) -> Self {
        Factor { factor: factor.into(), addend: (i32::from(addend) << 15) + (1 << 14) }
    }

    /// `((value·factor + 2^14) >> 15) + addend`, not saturated.
    #[inline(always)]
    fn of(&self, value: i32) -> i32 {
        (value * self.factor + self.addend) >> 15
    }

    #[inline(always)]
    fn apply(&self, value: i32) -> i32 {
        saturate(self.of(value))
    }
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

    /// Whether it is one to the left.
    #[inline(always)]
    fn is_left(self) -> bool {
        self.left > 0
    }

    /// If [`Shift::is_left`]: wraps; saturated to 16 bits.
    #[inline(always)]
    fn apply_left(self, value: i32) -> i32 {
        saturate(value << self.left)
    }

    /// If not: rounds; saturated to 16 bits.
    #[inline(always)]
    fn apply_right(self, value: i32) -> i32 {
        saturate(self.right(value))
    }

    /// If not, of a 16-bit value, which remains one.
    #[inline(always)]
    fn right(self, value: i32) -> i32 {
        value.wrapping_add(self.half) >> self.right
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
    after: i32,
    /// Of what is below 0, `after` too.
    slope: Factor,
}

impl Activation {
    /// Changes no 16-bit value.
    const NONE: Activation =
        Activation { before: 0, after: 0, slope: Factor { factor: 1 << 15, addend: 1 << 14 } };

    fn new(prelu: &Prelu<'_>, channel: usize) -> Option<Self> {
        let after = *prelu.after.get(channel)?;
        Some(Activation {
            before: i32::from(*prelu.before.get(channel)?),
            after: i32::from(after),
            slope: Factor::new(*prelu.slope.get(channel)?, after),
        })
    }

    #[inline(always)]
    fn apply(&self, value: i32) -> i32 {
        let y = saturate(value - self.before);
        saturate(if y < 0 { self.slope.of(y) } else { y + self.after })
    }
}

/// Adds what the shortcut has for `channel` to pixels of an output of this shape.
#[inline(always)]
fn add_shortcut(
    taken: &Shortcut<'_>,
    output: Shape,
    row: usize,
    column: usize,
    channel: usize,
    run: &mut [[i32; 2]],
    i: usize,
) -> Option<()> {
    let Shortcut { values, shape, pool, shift } = *taken;
    // Where `Sink::put_both` takes what is common, no fast loop is here: for its size.
    let pool = if cfg!(arm_dsp) { 0 } else { pool };
    let shift = Shift::new(shift);
    let first = channel.checked_rem(shape.c)?;
    let values = Values { all: values, input: shape, output, pool, first };
    if let Some(pixels) = values.of_pixels(row, column, run.len()) {
        match shift.is_left() {
            true => add_each(run, i, pixels, first, |value| shift.apply(value)),
            false => add_each(run, i, pixels, first, |value| shift.right(value)),
        }
    } else {
        values.means(row, column, run, |two, row, column, four| {
            let mean = match four {
                Some(four) => mean_of_four(four.map(|&value| value)),
                None => mean(taken, output.c, row, column, first)?,
            };
            two[i % 2] = saturate(two[i % 2] + shift.apply(mean));
            Some(())
        })
    }
}

/// Adds the shifted values of one channel.
#[inline(always)]
fn add_each(
    run: &mut [[i32; 2]],
    i: usize,
    pixels: ChunksExact<'_, i16>,
    channel: usize,
    shift: impl Fn(i32) -> i32,
) -> Option<()> {
    for (two, pixel) in run.iter_mut().zip(pixels) {
        two[i % 2] = saturate(two[i % 2] + shift(i32::from(*pixel.get(channel)?)));
    }
    Some(())
}

/// Where a shortcut's values are: of one channel, or of two if elements are pairs.
struct Values<'a, T> {
    all: &'a [T],
    /// In elements, both.
    input: Shape,
    output: Shape,
    pool: usize,
    /// Which element of a pixel.
    first: usize,
}

impl<'a, T> Values<'a, T> {
    /// The pixels of the input, if each of the output has one of its own.
    #[inline(always)]
    fn of_pixels(&self, row: usize, column: usize, count: usize) -> Option<ChunksExact<'a, T>> {
        let Values { all, input, output, pool, .. } = *self;
        if !(pool == 1 && input.w == output.w && input.c <= output.c) {
            return None;
        }
        pixels(all, input.c, row * input.w + column, count)
    }

    /// Calls `add` with each of a run, its place, and the four values of which the mean
    /// is wanted where there are four.
    #[inline(always)]
    fn means(
        &self,
        mut row: usize,
        mut column: usize,
        mut run: &mut [[i32; 2]],
        add: impl Fn(&mut [i32; 2], usize, usize, Option<[&T; 4]>) -> Option<()>,
    ) -> Option<()> {
        let Values { all, input, output, pool, first } = *self;
        while !run.is_empty() {
            // A part that lies in one row.
            let length = positive(output.w.checked_sub(column)?)?.min(run.len());
            let (part, rest) = run.split_at_mut_checked(length)?;
            // With fewer channels in than out, the first is the only one.
            let four = pool == 2 && input.c <= output.c && row * 2 + 1 < input.h;
            let whole = if four { (input.w / 2).saturating_sub(column).min(length) } else { 0 };
            let (fours, others) = part.split_at_mut_checked(whole)?;
            let two_pixels = |y: usize| {
                let from = if whole > 0 { (y * input.w + column * 2) * input.c } else { 0 };
                let pixels = all.get(from..from + whole * 2 * input.c)?;
                Some(pixels.chunks_exact(positive(2 * input.c)?))
            };
            let below = two_pixels(row * 2 + 1)?;
            for ((two, above), below) in fours.iter_mut().zip(two_pixels(row * 2)?).zip(below) {
                let four = [
                    above.get(first)?,
                    above.get(first + input.c)?,
                    below.get(first)?,
                    below.get(first + input.c)?,
                ];
                add(two, row, column, Some(four))?;
            }
            for (two, column) in others.iter_mut().zip(column + whole..) {
                add(two, row, column, None)?;
            }
            (row, column, run) = (row + 1, 0, rest);
        }
        Some(())
    }
}

/// The mean of four values.
#[inline(always)]
fn mean_of_four(values: [i16; 4]) -> i32 {
    (values.iter().map(|&value| i32::from(value)).sum::<i32>() + 2) >> 2
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
