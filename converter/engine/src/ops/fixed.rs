//! The arithmetic of a packed network, forward only, on integers that `f32` holds.
//! Rules S3 to S27 are those of the oracle's `SEMANTICS.md`.

use super::shortcut::Map;
use crate::simd::vectorised;

/// An integer of at most 22 bits, read from the mantissa: a cast, which minds NaN,
/// is not vectorised.
#[inline(always)]
fn integer(x: f32) -> i32 {
    const BIAS: f32 = 12_582_912.0; // 1.5·2²³
    (x + BIAS).to_bits() as i32 - BIAS.to_bits() as i32
}

#[inline(always)]
fn sat16(x: i32) -> i32 {
    x.clamp(-32768, 32767)
}

/// S6; both factors within 16 bits.
#[inline(always)]
fn mulr(a: i32, b: i32) -> i32 {
    (a * b + (1 << 14)) >> 15
}

/// S8 by `2^by = scale`, exact for |x| ≤ 2²⁴: a sum with the half that has no room
/// for its last bit is beyond the clamp, or its fraction is below a half.
#[inline(always)]
fn shift(x: f32, scale: f32) -> f32 {
    (x * scale + 0.5).floor().clamp(-32768.0, 32767.0)
}

/// S5. A quotient of this size that is no integer is further from one than `f64`
/// rounds.
#[inline(always)]
fn rdiv(sum: f64, n: f64) -> f64 {
    ((2.0 * sum + n) / (2.0 * n)).floor()
}

/// `2^by`.
fn power(by: i32) -> f32 {
    (by as f32).exp2()
}

/// A table's tiles as integers.
pub(crate) fn integers(table: &[f32]) -> Vec<i32> {
    table.iter().map(|v| integer(*v)).collect()
}

vectorised! {
    /// S21 to S23: `y` from accumulators, what the shortcut adds (nothing: empty) and
    /// the tiles of multiplier and bias and, with a PReLU, before, slope and after.
    fn requantise[_s](acc: &[f32], added: &[f32], y: &mut [f32], by: i32, table: &[i32], prelu: bool) {
        let tiles = if prelu { 5 } else { 2 };
        let width = table.len() / tiles;
        let tile = |i: usize| &table[i * width..][..width];
        let scale = power(by);
        let (multiplier, bias) = (tile(0), tile(1));
        for (acc, y) in acc.chunks(width).zip(y.chunks_mut(width)) {
            for (((y, acc), m), b) in y.iter_mut().zip(acc).zip(multiplier).zip(bias) {
                *y = sat16(mulr(integer(shift(*acc, scale)), *m) + b) as f32;
            }
        }
        for (y, added) in y.iter_mut().zip(added) {
            *y = sat16(integer(*y) + integer(*added)) as f32;
        }
        if !prelu {
            return;
        }
        let (before, slope, after) = (tile(2), tile(3), tile(4));
        for y in y.chunks_mut(width) {
            for (((y, t), slope), e) in y.iter_mut().zip(before).zip(slope).zip(after) {
                let x = sat16(integer(*y) - t);
                let x = if x < 0 { mulr(x, *slope) } else { x };
                *y = sat16(x + e) as f32;
            }
        }
    }

    /// `y[r][o] = Σ x[r][i]·w[o][i]` in `f64`, rounded once; `k` terms, rows of `y`
    /// `stride` apart.
    fn double_product[_s](x: &[f32], w: &[f32], k: usize, y: &mut [f32], stride: usize) {
        /// Sums side by side, so that they fill registers.
        const LANES: usize = 16;
        let outputs = w.len() / k;
        for (x, y) in x.chunks_exact(k).zip(y.chunks_mut(stride)) {
            for (w, y) in w.chunks_exact(k).zip(&mut y[..outputs]) {
                let mut sums = [0.0f64; LANES];
                let (xs, ws) = (x.chunks_exact(LANES), w.chunks_exact(LANES));
                let rest = xs.remainder().iter().zip(ws.remainder());
                for (x, w) in xs.zip(ws) {
                    for ((sum, x), w) in sums.iter_mut().zip(x).zip(w) {
                        *sum += f64::from(*x) * f64::from(*w);
                    }
                }
                let rest: f64 = rest.map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
                *y = (sums.iter().sum::<f64>() + rest) as f32;
            }
        }
    }

    /// S25 to S27 for one image: what the shortcut adds, shifted by `by`. `sums` is
    /// scratch of `from.c` values.
    fn shortcut[_s](map: &Map, x: &[f32], by: i32, y: &mut [f32], sums: &mut [f64]) {
        let (ci, co) = (map.from.c, map.to.c);
        let scale = power(by);
        for (y, (corner, [rows, columns])) in y.chunks_exact_mut(co).zip(map.windows(0)) {
            let pixels = rows * columns;
            if pixels == 1 && ci <= co {
                for y in y.chunks_mut(ci) {
                    for (y, x) in y.iter_mut().zip(&x[corner..corner + ci]) {
                        *y = shift(*x, scale);
                    }
                }
                continue;
            }
            sums.fill(0.0);
            for row in 0..rows {
                for column in 0..columns {
                    let at = corner + (row * map.from.w + column) * ci;
                    for (sum, x) in sums.iter_mut().zip(&x[at..at + ci]) {
                        *sum += f64::from(*x);
                    }
                }
            }
            // The first `ci mod co` channels have one member more.
            let (head, tail) = sums.split_at_mut(co.min(ci));
            for tail in tail.chunks(co) {
                for (sum, more) in head.iter_mut().zip(tail) {
                    *sum += more;
                }
            }
            let (members, longer) = if ci > co { (ci / co, ci % co) } else { (1, 0) };
            for y in y.chunks_mut(head.len()) {
                for (c, (y, sum)) in y.iter_mut().zip(&*head).enumerate() {
                    let n = pixels * (members + usize::from(c < longer));
                    *y = shift(rdiv(*sum, n as f64) as f32, scale);
                }
            }
        }
    }
}

/// S19 for one image: `x` is `pixels × c`.
pub(crate) fn average_pool(x: &[f32], by: i32, y: &mut [f32], sums: &mut [f64]) {
    let c = y.len();
    let pixels = (x.len() / c) as f64;
    sums.fill(0.0);
    for x in x.chunks_exact(c) {
        for (sum, x) in sums.iter_mut().zip(x) {
            *sum += f64::from(*x);
        }
    }
    let scale = f64::from(power(by));
    for (y, sum) in y.iter_mut().zip(sums) {
        *y = rdiv(*sum * scale, pixels).clamp(-32768.0, 32767.0) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shifts_round_ties_up_and_saturate_at_the_end() {
        let shift = |x: i32, by: i32| shift(x as f32, power(by)) as i32;
        assert_eq!([-3, -2, -1, 0, 1, 2, 3].map(|x| shift(x, -1)), [-1, -1, 0, 0, 1, 1, 2]);
        assert_eq!([shift(1, 15), shift(-1, 15), shift(1 << 20, 15)], [32767, -32768, 32767]);
        assert_eq!([shift(i32::MAX, -1), shift(i32::MIN, -1)], [32767, -32768]);
        assert_eq!(shift(1 << 24, -16), 256);
    }

    #[test]
    fn shifts_are_exact_wherever_a_bit_could_be_lost() {
        let near = |x: i32| (x - 40).max(-(1 << 24))..=(x + 40).min(1 << 24);
        for by in -16..=15 {
            for middle in (0..=24).flat_map(|bit| [1 << bit, -(1 << bit), 3 << bit >> 1]) {
                for x in near(middle) {
                    let exact = match by {
                        0.. => i64::from(x) << by,
                        _ => (i64::from(x) + (1 << (-by - 1))) >> -by,
                    };
                    let found = shift(x as f32, power(by)) as i64;
                    assert_eq!(found, exact.clamp(-32768, 32767), "{x} by {by}");
                }
            }
        }
    }

    #[test]
    fn an_epilogue_by_hand() {
        // 100·2³ = 800; 800·0.5 = 400, −400 + 3; then before 5, slope ¼, after 2.
        let table = [16384, -16384, 3, 3, 5, 5, 8192, 8192, 2, 2];
        let mut y = [0.0; 4];
        requantise(&[100.0, 100.0, 9e6, 9e6], &[], &mut y, 3, &table[..4], false);
        assert_eq!(y, [403.0, -397.0, 16387.0, -16380.0]);
        requantise(&[100.0, 100.0, 9e6, 9e6], &[], &mut y, 3, &table, true);
        // (−397 − 5)/4 = −100.5, up; (−16380 − 5)/4 = −4096.25.
        assert_eq!(y, [400.0, -98.0, 16384.0, -4094.0]);
        requantise(&[100.0; 4], &[32767.0, -32768.0, -403.0, 397.0], &mut y, 3, &table[..4], false);
        assert_eq!(y, [32767.0, -32768.0, 0.0, 0.0]);
    }

    #[test]
    fn sums_that_f32_would_lose_are_exact() {
        let x: Vec<f32> = (0..70).map(|i| if i % 2 == 0 { 16_777_216.0 } else { 1.0 }).collect();
        let w: Vec<f32> = (0..70).map(|i| if i % 4 == 0 { -1.0 } else { 1.0 }).collect();
        let mut y = [0.0; 3];
        double_product(&x, &w, 70, &mut y, 3);
        // 18 of 35 large ones are negative: −2²⁴ + 35.
        assert_eq!(y, [-16_777_181.0, 0.0, 0.0]);
    }

    #[test]
    fn pools_round_the_mean_once() {
        let (mut y, mut sums) = ([0.0; 2], [0.0; 2]);
        average_pool(&[1.0, -1.0, 2.0, -2.0], 0, &mut y, &mut sums);
        assert_eq!(y, [2.0, -1.0], "±1.5, ties up");
        average_pool(&[32767.0, -32768.0, 32767.0, 0.0], 1, &mut y, &mut sums);
        assert_eq!(y, [32767.0, -32768.0]);
    }
}
