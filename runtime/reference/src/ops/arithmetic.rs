//! Saturation and rounding (rules S3–S8).

/// Clamps to `i16` (S3).
pub fn sat16(x: i64) -> i16 {
    x.clamp(i16::MIN.into(), i16::MAX.into()) as i16
}

/// Clamps to `i32` (S3).
pub fn sat32(x: i64) -> i32 {
    x.clamp(i32::MIN.into(), i32::MAX.into()) as i32
}

/// `x / 2^r`, rounded, ties towards +∞ (S4). `r` in 0..=31, |x| < 2^62.
pub fn rshr(x: i64, r: u32) -> i64 {
    assert!(r <= 31, "right shift by {r}");
    if r == 0 { x } else { (x + (1 << (r - 1))) >> r }
}

/// `sum / n`, rounded, ties towards +∞ (S5). `n` > 0, |sum| < 2^61.
pub fn rdiv(sum: i64, n: i64) -> i64 {
    assert!(n > 0, "mean of {n} elements");
    (2 * sum + n).div_euclid(2 * n)
}

/// `a · b / 2^15`, rounded, ties towards +∞ (S6). `b` ≠ −32768.
pub fn mulr(a: i16, b: i16) -> i16 {
    assert!(b != i16::MIN, "multiplier −32768");
    ((i32::from(a) * i32::from(b) + (1 << 14)) >> 15) as i16
}

/// A stream value in 8 bits (S7). `shift` in 0..=8.
pub fn narrow(x: i16, shift: u8) -> i8 {
    assert!(shift <= 8, "narrow by {shift}");
    rshr(x.into(), shift.into()).clamp(-128, 127) as i8
}

/// `x · 2^shift` in 16 bits (S8). `shift` in −31..=31, |x| < 2^31.
pub fn shift_sat16(x: i64, shift: i8) -> i16 {
    assert!((-31..=31).contains(&shift), "shift by {shift}");
    if shift >= 0 { sat16(x << shift) } else { sat16(rshr(x, u32::from(shift.unsigned_abs()))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_up_on_both_sides_of_zero() {
        let halves: Vec<i64> = (-5..=5).map(|x| rshr(x, 1)).collect();
        assert_eq!(halves, [-2, -2, -1, -1, 0, 0, 1, 1, 2, 2, 3]);
        let quarters: Vec<i64> = (-6..=6).map(|x| rshr(x, 2)).collect();
        assert_eq!(quarters, [-1, -1, -1, -1, 0, 0, 0, 0, 1, 1, 1, 1, 2]);
        assert_eq!(rshr(-7, 0), -7);
        assert_eq!(rshr(i64::from(i32::MAX), 31), 1);
        assert_eq!(rshr(i64::from(i32::MIN), 31), -1);
    }

    #[test]
    fn division_by_a_power_of_two_is_the_shift() {
        for k in 0..6 {
            for sum in -200..=200 {
                assert_eq!(rdiv(sum, 1 << k), rshr(sum, k), "{sum} / 2^{k}");
            }
        }
    }

    #[test]
    fn division_rounds_negatives_to_the_nearest() {
        let thirds: Vec<i64> = (-5..=5).map(|x| rdiv(x, 3)).collect();
        assert_eq!(thirds, [-2, -1, -1, -1, 0, 0, 0, 1, 1, 1, 2]);
        // 6 is even: ties exist, at ±3, ±9.
        assert_eq!([rdiv(3, 6), rdiv(-3, 6), rdiv(9, 6), rdiv(-9, 6)], [1, 0, 2, -1]);
    }

    #[test]
    fn multiply_has_no_case_that_overflows() {
        assert_eq!(mulr(32767, 32767), 32766);
        assert_eq!(mulr(-32768, 32767), -32767);
        assert_eq!(mulr(-32768, -32767), 32767);
        assert_eq!(mulr(32767, -32767), -32766);
        assert_eq!(mulr(1, 16384), 1);
        assert_eq!(mulr(-1, 16384), 0);
        assert_eq!(mulr(-3, 16384), -1);
        assert_eq!(mulr(1, 16383), 0);
    }

    #[test]
    #[should_panic(expected = "multiplier −32768")]
    fn the_one_multiplier_that_could_overflow_is_refused() {
        mulr(-32768, -32768);
    }

    #[test]
    fn narrowing_rounds_then_clamps() {
        assert_eq!(narrow(127, 0), 127);
        assert_eq!(narrow(128, 0), 127);
        assert_eq!(narrow(-129, 0), -128);
        // 127.5 rounds to 128, which is out of range.
        assert_eq!(narrow(255, 1), 127);
        assert_eq!(narrow(-257, 1), -128);
        assert_eq!(narrow(-3, 1), -1);
        assert_eq!(narrow(32767, 8), 127);
        assert_eq!(narrow(-32768, 8), -128);
    }

    #[test]
    fn shifts_saturate_only_at_the_end() {
        assert_eq!(shift_sat16(1, 15), 32767);
        assert_eq!(shift_sat16(-1, 15), -32768);
        assert_eq!(shift_sat16(1 << 30, 15), 32767);
        assert_eq!(shift_sat16(-(1 << 30), 15), -32768);
        assert_eq!(shift_sat16(1 << 30, -16), 16384);
        assert_eq!(shift_sat16((1 << 30) - 1, -15), 32767);
        assert_eq!(shift_sat16(-3, -1), -1);
        assert_eq!(shift_sat16(40000, 0), 32767);
        assert_eq!(sat32(1 << 31), i32::MAX);
        assert_eq!(sat32(-(1 << 31) - 1), i32::MIN);
    }
}
