//! From accumulators to what is stored (rules S20–S24, S28).

use super::{mulr, sat16, sat32, shift_sat16};

/// The scale and bias of a stream epilogue (S21).
#[derive(Clone, Copy, Debug)]
pub struct Scale<'a> {
    /// −16..=15; negative shifts right and rounds.
    pub shift: i8,
    /// Q15 per output channel, ≠ −32768.
    pub multiplier: &'a [i16],
    /// Per output channel, in units of the stream.
    pub bias: &'a [i16],
}

/// The shifted PReLU of a stream epilogue (S23), each per output channel.
#[derive(Clone, Copy, Debug)]
pub struct Prelu<'a> {
    /// Subtracted first.
    pub before: &'a [i16],
    /// Q15, ≠ −32768.
    pub slope: &'a [i16],
    /// Added last.
    pub after: &'a [i16],
}

/// ±1 per accumulator: −1 where `acc < thresholds[c]` (S20).
pub fn threshold(accumulators: &[i32], thresholds: &[i32]) -> Vec<i8> {
    per_channel(accumulators, thresholds.len(), |acc, c| if acc < thresholds[c] { -1 } else { 1 })
}

/// The stream values (S21–S23). `shortcut`: one value per output element,
/// from [`shortcut`](super::shortcut()).
pub fn stream_epilogue(
    accumulators: &[i32],
    scale: Scale<'_>,
    shortcut: Option<&[i16]>,
    prelu: Option<Prelu<'_>>,
) -> Vec<i16> {
    let channels = scale.multiplier.len();
    assert_eq!(scale.bias.len(), channels, "length of the bias");
    if let Some(values) = shortcut {
        assert_eq!(values.len(), accumulators.len(), "length of the shortcut");
    }
    if let Some(p) = prelu {
        let lengths = [p.before.len(), p.slope.len(), p.after.len()];
        assert_eq!(lengths, [channels; 3], "lengths of the PReLU");
    }

    let scaled = per_channel(accumulators, channels, |acc, c| {
        let v = shift_sat16(acc.into(), scale.shift);
        sat16(i64::from(mulr(v, scale.multiplier[c])) + i64::from(scale.bias[c]))
    });
    let added: Vec<i16> = match shortcut {
        Some(values) => {
            scaled.iter().zip(values).map(|(&y, &s)| sat16(i64::from(y) + i64::from(s))).collect()
        }
        None => scaled,
    };
    match prelu {
        Some(p) => per_channel(&added, channels, |y, c| {
            let y = sat16(i64::from(y) - i64::from(p.before[c]));
            let y = if y >= 0 { y } else { mulr(y, p.slope[c]) };
            sat16(i64::from(y) + i64::from(p.after[c]))
        }),
        None => added,
    }
}

/// ±1 per stream value: −1 where `y < thresholds[c]` (S24).
pub fn sign(values: &[i16], thresholds: &[i16]) -> Vec<i8> {
    per_channel(values, thresholds.len(), |y, c| if y < thresholds[c] { -1 } else { 1 })
}

/// Class scores (S28). One accumulator per class.
pub fn scores(accumulators: &[i32], multiplier: &[i16], bias: &[i32]) -> Vec<i32> {
    let classes = accumulators.len();
    assert_eq!([multiplier.len(), bias.len()], [classes; 2], "lengths of the scale");
    per_channel(accumulators, classes, |acc, c| {
        sat32(i64::from(acc) * i64::from(multiplier[c]) + i64::from(bias[c]))
    })
}

/// `f(value, channel)` of every value, channels last.
fn per_channel<T: Copy, U>(values: &[T], channels: usize, f: impl Fn(T, usize) -> U) -> Vec<U> {
    assert!(
        channels > 0 && values.len().is_multiple_of(channels),
        "channels do not divide the values"
    );
    values.iter().zip((0..channels).cycle()).map(|(&value, c)| f(value, c)).collect()
}
