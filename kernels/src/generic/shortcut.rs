//! The parameter-free shortcut: pool, regroup channels, shift.
//!
//! A shortcut of the output's own shape is one load. In nearly every other
//! layer a lane's source channels are as contiguous as its own, and the number
//! of elements is 2, 4 or 8: then it is vector adds and one rounding shift.
//! Anything else (channels that wrap within 16, means over 3 or 9 elements)
//! takes the scalar path, one channel at a time.

use core::ops::Range;

use super::epilogue::At;
use super::lanes::{LANES, Lanes, Work, load16_padded};
use super::pool::rdiv;
use crate::types::Shortcut;

/// What one output row needs of the shortcut.
#[derive(Clone, Copy)]
pub(crate) struct RowShortcut<'a> {
    /// The output row's own pixels, if the shapes agree.
    plain: Option<&'a [i16]>,
    taken: &'a Shortcut<'a>,
    row: usize,
}

impl<'a> RowShortcut<'a> {
    /// For output row `row` of `channels` channels.
    pub(crate) fn new(taken: &'a Shortcut<'a>, row: usize, channels: usize) -> Self {
        let elements = taken.shape.w * channels;
        let plain = (taken.pool == 1 && taken.shape.c == channels)
            .then(|| &taken.values[row * elements..(row + 1) * elements]);
        RowShortcut { plain, taken, row }
    }

    /// What the shortcut adds to the channels at `at` (of `channels`): all of
    /// them if G is above 1.
    #[inline(always)]
    pub(crate) fn values<L: Lanes, const G: usize>(
        self,
        lanes: L,
        channels: usize,
        at: At,
    ) -> [L::I16; G] {
        let mut values = [lanes.splat16(0); G];
        if let Some(plain) = self.plain {
            let from = &plain[at.column * channels + at.channel..];
            if G == 1 {
                values[0] = load16_padded(lanes, from);
            } else if let Some(from) = from[..G * LANES].as_chunks().0.first_chunk::<G>() {
                for (value, from) in values.iter_mut().zip(from) {
                    *value = lanes.load16(from);
                }
            }
        } else {
            let mut means = [[0; LANES]; G];
            let pooled =
                Pooled { lanes, taken: self.taken, row: self.row, channels, at, means: &mut means };
            lanes.outline(pooled);
            for (value, means) in values.iter_mut().zip(&means) {
                *value = lanes.load16(means);
            }
        }
        let shift = self.taken.shift;
        if shift < 0 {
            // A rounding right shift by r is a rounding multiplication by 2^(15−r).
            let factor = lanes.splat16(1 << (15 + shift));
            for value in &mut values {
                *value = lanes.mulr16(*value, factor);
            }
        } else if shift > 0 {
            for value in &mut values {
                *value = lanes.shls16(*value, shift as u32);
            }
        }
        values
    }
}

/// Means over pixels and channels.
struct Pooled<'l, 'a, L> {
    lanes: L,
    taken: &'l Shortcut<'a>,
    row: usize,
    channels: usize,
    at: At,
    /// One per group of 16 channels.
    means: &'l mut [[i16; LANES]],
}

impl<L: Lanes> Work for Pooled<'_, '_, L> {
    #[inline(always)]
    fn run(self) {
        let Pooled { lanes, taken, row, channels, at, means } = self;
        let (shape, pool) = (taken.shape, taken.pool);
        let rows = row * pool..(row * pool + pool).min(shape.h);
        let columns = at.column * pool..(at.column * pool + pool).min(shape.w);
        for (group, means) in means.iter_mut().enumerate() {
            let Some(at) = at.group(group) else { break };
            let first = at.channel % shape.c;
            let (aligned, repeats) = if shape.c >= channels {
                (shape.c.is_multiple_of(channels), shape.c / channels)
            } else {
                (first + at.count <= shape.c, 1)
            };
            let elements = rows.len() * columns.len() * repeats;
            if !(aligned && elements.is_power_of_two() && elements <= 1 << 15) {
                one_by_one(taken, channels, at, rows.clone(), columns.clone(), means);
                continue;
            }
            let mut sum = lanes.zero32();
            for row in rows.clone() {
                for column in columns.clone() {
                    let pixel = (row * shape.w + column) * shape.c;
                    for repeat in 0..repeats {
                        let from = pixel + first + repeat * channels;
                        let values = load16_padded(lanes, &taken.values[from..]);
                        sum = lanes.add32(sum, lanes.widen16(values));
                    }
                }
            }
            if elements > 1 {
                sum = lanes.rshr32(sum, elements.trailing_zeros());
            }
            lanes.store16(lanes.saturate32(sum), means);
        }
    }
}

/// The means of up to 16 channels of one pixel, whatever the geometry.
fn one_by_one(
    taken: &Shortcut<'_>,
    channels: usize,
    at: At,
    rows: Range<usize>,
    columns: Range<usize>,
    means: &mut [i16; LANES],
) {
    let shape = taken.shape;
    for (channel, mean) in (at.channel..).zip(&mut means[..at.count]) {
        // With fewer channels in than out, the first is the only one.
        let (first, step) = (channel % shape.c, channels);
        let (mut sum, mut elements) = (0i64, 0);
        for row in rows.clone() {
            for column in columns.clone() {
                let pixel = (row * shape.w + column) * shape.c;
                for c in (first..shape.c).step_by(step) {
                    sum += i64::from(taken.values[pixel + c]);
                    elements += 1;
                }
            }
        }
        // A mean of 16-bit values is one.
        *mean = rdiv(sum, elements) as i16;
    }
}
