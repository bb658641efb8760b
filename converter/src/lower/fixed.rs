//! Choosing binary points, multipliers and thresholds.

/// The largest binary point at which `max` still fits `limit`: `floor(log2(limit / max))`.
///
/// A range of zero says nothing was ever there; any point does.
pub fn frac_for(max: f64, limit: f64) -> i32 {
    if max > 0.0 { (limit / max).log2().floor().clamp(-8.0, 15.0) as i32 } else { 8 }
}

/// `value` in units of 2^−frac, rounded to the nearest `i16`, never −32768.
pub(super) fn to_i16(value: f64, frac: i32) -> i16 {
    (value * exp2(frac)).round().clamp(-32767.0, 32767.0) as i16
}

/// 2^n.
pub(super) fn exp2(n: i32) -> f64 {
    f64::from(n).exp2()
}

/// The threshold T for which `x < T` is exactly `x·unit − bound < 0` over the
/// integers, `unit > 0`: the ceiling of `bound / unit`.
pub(super) fn threshold(bound: f64, unit: f64) -> i64 {
    (bound / unit).ceil().clamp(i64::MIN as f64, i64::MAX as f64) as i64
}

/// A layer's affine map from accumulator to stream in integers:
/// `y = mulr(sat(acc·2^shift), multiplier[c]) + bias[c]`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scale {
    /// −16..=15.
    pub(super) shift: i8,
    /// Q15.
    pub(super) multiplier: Vec<i16>,
    /// In units of the stream.
    pub(super) bias: Vec<i16>,
    /// The stream's binary point this holds for, at most the one asked for.
    pub(super) frac: i32,
}

/// Finds the [`Scale`] for `y = gain[c]·acc + offset[c]` in a stream with at
/// most `frac` and at least `min_frac` fractional bits.
///
/// The multiplier is below 1, so the shift must lift the accumulator to the
/// size of the result (`gain·2^frac < 2^shift`); yet the lifted accumulator
/// must stay within `i16` for the largest value seen (`acc_seen`). Where both
/// cannot hold, the stream gives up fractional bits. `acc_bound` is the largest
/// accumulator that any input can make: it must survive the shift in `i32`.
pub(super) fn scale(
    gain: &[f64],
    offset: &[f64],
    acc_seen: f64,
    acc_bound: f64,
    mut frac: i32,
    min_frac: i32,
) -> Scale {
    let largest = gain.iter().fold(0.0f64, |m, g| m.max(g.abs()));
    let highest = frac_for(acc_seen.max(1.0), 32767.0).min(frac_for(acc_bound, 2_147_483_647.0));
    let needed = |frac: i32| {
        if largest > 0.0 { (largest * exp2(frac)).log2().floor() as i32 + 1 } else { 0 }
    };
    while needed(frac) > highest && frac > min_frac {
        frac -= 1;
    }
    let shift = needed(frac).clamp(-16, 15);
    Scale {
        shift: shift as i8,
        multiplier: gain.iter().map(|g| to_i16(g * exp2(frac - shift), 15)).collect(),
        bias: offset.iter().map(|b| to_i16(*b, frac)).collect(),
        frac,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_decides_as_the_real_comparison_does() {
        for bound in [-7.0, -0.3, 0.0, 1e-9, 2.5, 8.0] {
            for unit in [0.1, 1.0, 3.0] {
                let t = threshold(bound, unit);
                for x in -100..100 {
                    assert_eq!(x < t, x as f64 * unit - bound < 0.0, "{x}·{unit} < {bound}");
                }
            }
        }
    }

    #[test]
    fn the_scale_reproduces_the_affine_map() {
        let gain = [0.01, -0.003, 0.0005];
        let offset = [0.5, -1.0, 0.0];
        let scale = scale(&gain, &offset, 300.0, 1024.0, 12, 4);
        for (c, (&g, &b)) in gain.iter().zip(&offset).enumerate() {
            for acc in [-300i32, -17, 0, 1, 255] {
                let lifted = (f64::from(acc) * exp2(scale.shift.into())).clamp(-32768.0, 32767.0);
                let y = (lifted * f64::from(scale.multiplier[c]) / 32768.0).round()
                    + f64::from(scale.bias[c]);
                let real = g * f64::from(acc) + b;
                let error = (y * exp2(-scale.frac) - real).abs();
                assert!(error <= 1.6 * exp2(-scale.frac), "channel {c}, acc {acc}: {error}");
            }
        }
    }

    #[test]
    fn a_scale_gives_up_bits_rather_than_saturate() {
        let scale = scale(&[1.0], &[0.0], 1000.0, 1024.0, 12, 0);
        assert_eq!(scale.frac, 4, "1000 needs ten bits, sign and the multiplier's one");
        assert!(1000.0 * exp2(scale.shift.into()) <= 32767.0);
    }
}
