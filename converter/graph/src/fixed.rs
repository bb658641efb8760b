//! The integer arithmetic of a packed network, for the naive evaluation: rules
//! S3 to S8 of the oracle's `SEMANTICS.md`, written down a second time.

/// S3.
pub(crate) fn sat16(x: i64) -> i64 {
    x.clamp(-32768, 32767)
}

/// S5: to the nearest, ties up; `n > 0`.
pub(crate) fn rdiv(sum: i64, n: i64) -> i64 {
    (2 * sum + n).div_euclid(2 * n)
}

/// S6.
pub(crate) fn mulr(a: i64, b: i64) -> i64 {
    rdiv(a * b, 1 << 15)
}

/// S8: to the left, or rounded to the right where negative.
pub(crate) fn shift(x: i64, shift: i32) -> i64 {
    sat16(if shift < 0 { rdiv(x, 1 << -shift) } else { x << shift })
}
