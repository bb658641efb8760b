//! Means: shortcuts and the global average pool (rules S19, S25–S27).

use super::{Shape, rdiv, sat16, shift_sat16};

/// What a shortcut adds, one value per element of `to` (S25–S27).
/// `values` has shape `from`; `pool` ≥ 1; `shift` in −15..=15.
pub fn shortcut(values: &[i16], from: Shape, to: Shape, pool: usize, shift: i8) -> Vec<i16> {
    assert_eq!(values.len(), from.elements(), "length of the shortcut's input");
    assert!(pool >= 1, "pool of 0");

    let mut out = Vec::with_capacity(to.elements());
    for oy in 0..to.height {
        let rows = oy * pool..(oy * pool + pool).min(from.height);
        for ox in 0..to.width {
            let columns = ox * pool..(ox * pool + pool).min(from.width);
            assert!(!rows.is_empty() && !columns.is_empty(), "S25: pool without a pixel");
            for c in 0..to.channels {
                let mut sum = 0i64;
                let mut n = 0;
                for row in rows.clone() {
                    for column in columns.clone() {
                        // With fewer channels in than out, the first is the only one.
                        for channel in (c % from.channels..from.channels).step_by(to.channels) {
                            sum += i64::from(values[from.index(row, column, channel)]);
                            n += 1;
                        }
                    }
                }
                out.push(shift_sat16(rdiv(sum, n), shift));
            }
        }
    }
    out
}

/// Mean over all pixels, per channel (S19). `shift` in 0..=8.
pub fn global_average_pool(values: &[i16], shape: Shape, shift: u8) -> Vec<i16> {
    assert_eq!(values.len(), shape.elements(), "length of the pool's input");
    assert!(shift <= 8, "pool shift {shift}");
    let pixels = shape.height * shape.width;
    (0..shape.channels)
        .map(|c| {
            let sum: i64 =
                values.iter().skip(c).step_by(shape.channels).map(|&x| i64::from(x)).sum();
            sat16(rdiv(sum << shift, pixels as i64))
        })
        .collect()
}
