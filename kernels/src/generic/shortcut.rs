//! The parameter-free shortcut: pool, regroup channels, shift.
//!
//! In nearly every layer a lane's source channels are as contiguous as its own,
//! and the number of elements is 1, 2, 4 or 8: then it is vector adds and one
//! rounding shift. Anything else (channels that wrap within 16, means over 3 or
//! 9 elements) takes the scalar path, one channel at a time.

use core::ops::Range;

use super::epilogue::At;
use super::lanes::{LANES, Lanes, load16_padded};
use super::pool::rdiv;
use crate::types::Shortcut;

/// What the shortcut adds to channels `at.channel..` (of `channels`) of the
/// output pixel in row `at.row` and the given column.
#[inline(always)]
pub(crate) fn value<L: Lanes>(
    lanes: L,
    taken: &Shortcut<'_>,
    channels: usize,
    at: At,
    column: usize,
) -> L::I16 {
    let shape = taken.shape;
    let mean = if taken.pool == 1 && shape.c == channels {
        let first = (at.row * shape.w + column) * channels + at.channel;
        load16_padded(lanes, &taken.values[first..])
    } else {
        pooled(lanes, taken, channels, at, column)
    };
    if taken.shift < 0 {
        // A rounding right shift by r is a rounding multiplication by 2^(15−r).
        lanes.mulr16(mean, lanes.splat16(1 << (15 + taken.shift)))
    } else if taken.shift > 0 {
        lanes.shls16(mean, taken.shift as u32)
    } else {
        mean
    }
}

/// The mean over pixels and channels.
#[inline(always)]
fn pooled<L: Lanes>(
    lanes: L,
    taken: &Shortcut<'_>,
    channels: usize,
    at: At,
    column: usize,
) -> L::I16 {
    let shape = taken.shape;
    let pool = taken.pool;
    let rows = at.row * pool..(at.row * pool + pool).min(shape.h);
    let columns = column * pool..(column * pool + pool).min(shape.w);

    let first = at.channel % shape.c;
    let (aligned, repeats) = if shape.c >= channels {
        (shape.c.is_multiple_of(channels), shape.c / channels)
    } else {
        (first + at.count <= shape.c, 1)
    };
    let elements = rows.len() * columns.len() * repeats;
    if !(aligned && elements.is_power_of_two() && elements <= 1 << 15) {
        let means = one_by_one(taken, channels, at, rows, columns);
        return lanes.load16(&means);
    }
    let mut sum = lanes.zero32();
    for row in rows {
        for column in columns.clone() {
            let pixel = (row * shape.w + column) * shape.c;
            for repeat in 0..repeats {
                let from = pixel + first + repeat * channels;
                let values = load16_padded(lanes, &taken.values[from..]);
                sum = lanes.add32(sum, lanes.widen16(values));
            }
        }
    }
    match elements.trailing_zeros() {
        0 => lanes.saturate32(sum),
        shift => lanes.saturate32(lanes.rshr32(sum, shift)),
    }
}

/// The means of up to 16 channels, whatever the geometry.
#[inline(never)]
fn one_by_one(
    taken: &Shortcut<'_>,
    channels: usize,
    at: At,
    rows: Range<usize>,
    columns: Range<usize>,
) -> [i16; LANES] {
    let shape = taken.shape;
    let mut means = [0; LANES];
    for (i, mean) in means[..at.count].iter_mut().enumerate() {
        let channel = at.channel + i;
        let (first, step) =
            if shape.c >= channels { (channel, channels) } else { (channel % shape.c, shape.c) };
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
    means
}
