//! Batch norm: sums over the batch, the affine maps they give, and back.
//!
//! Forward, per channel: `y = gamma·(x − mean)·istd + beta`, applied as
//! `scale·x + shift`. Backward, with `m₁ = mean(d)`, `m₂ = mean(d·x̂)`:
//! `dx = gamma·istd·(d − m₁ − x̂·m₂)`, applied as `a·d + b·x + e`.

use super::elementwise::{parts, parts_mut};
use super::sweep::{map, sweep};
use crate::simd::vectorised;

vectorised! {
    /// Adds the block's `Σ(x − pivot)` and `Σ(x − pivot)²` per channel to `sums`
    /// (two runs of `c`). A pivot near the mean keeps the squares exact.
    fn moments[s](x: &[f32], pivot: &[f32], sums: &mut [f64]) {
        sweep(s, [x], [], pivot.len(), [pivot], parts_mut(sums), #[inline(always)] |[x], [], [p]| {
            let u = x - p;
            ([], [u, u * u])
        });
    }

    /// Adds the block's `Σd` and `Σd·(x − mean)` per channel to `sums`.
    fn gradient_sums[s](x: &[f32], d: &[f32], mean: &[f32], sums: &mut [f64]) {
        sweep(s, [x, d], [], mean.len(), [mean], parts_mut(sums), #[inline(always)] |[x, d], [], [m]| {
            ([], [d, d * (x - m)])
        });
    }

    /// `out = a·d + b·x + e`; `table` is the three tiles.
    fn input_gradient[s](d: &[f32], x: &[f32], table: &[f32], out: &mut [f32]) {
        map(s, [d, x], out, parts(table), #[inline(always)] |[d, x], [a, b, e]| a * d + (b * x + e));
    }
}

/// Joins to every channel's moments those of a part: `count` values whose pivots,
/// `Σ(x − pivot)` and `Σ(x − pivot)²` are three runs in `sums`.
pub(crate) fn join_all(all: &mut [Moments], count: f64, sums: &[f64]) {
    let c = all.len();
    let [pivots, firsts, seconds] = [0, 1, 2].map(|i| &sums[i * c..][..c]);
    for (i, all) in all.iter_mut().enumerate() {
        *all = all.join(Moments::about(count, pivots[i], firsts[i], seconds[i]));
    }
}

/// Count, mean and sum of squared deviations of one channel.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Moments {
    pub(crate) count: f64,
    pub(crate) mean: f64,
    pub(crate) squares: f64,
}

impl Moments {
    /// From sums about a pivot.
    pub(crate) fn about(count: f64, pivot: f64, first: f64, second: f64) -> Moments {
        Moments {
            count,
            mean: pivot + first / count,
            squares: (second - first * first / count).max(0.0),
        }
    }

    /// Both samples together (Chan, Golub and LeVeque).
    pub(crate) fn join(self, other: Moments) -> Moments {
        if self.count == 0.0 {
            return other;
        }
        let count = self.count + other.count;
        let delta = other.mean - self.mean;
        Moments {
            count,
            mean: self.mean + delta * other.count / count,
            squares: self.squares
                + other.squares
                + delta * delta * self.count * other.count / count,
        }
    }

    /// Mean squared deviation.
    pub(crate) fn variance(self) -> f64 {
        self.squares / self.count.max(1.0)
    }

    /// The unbiased estimate, which running variances keep.
    pub(crate) fn unbiased(self) -> f64 {
        self.squares / (self.count - 1.0).max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use crate::simd::{fill_tile, tile};

    #[test]
    fn moments_far_from_zero() {
        for c in [1, 3, 16, 24, 100] {
            let mut rng = Rng::new(c as u64);
            let rows = 57;
            let x: Vec<f32> = (0..rows * c).map(|i| 1e4 * (i % c) as f32 + rng.normal()).collect();
            let mut pivot = vec![0.0; tile(c)];
            fill_tile(&mut pivot, &x[..c]);
            let mut joined = vec![Moments::default(); c];
            for part in x.chunks(20 * c) {
                let mut sums = vec![0.0; 2 * c];
                moments(part, &pivot, &mut sums);
                for (i, joined) in joined.iter_mut().enumerate() {
                    let count = (part.len() / c) as f64;
                    *joined = joined.join(Moments::about(
                        count,
                        f64::from(pivot[i]),
                        sums[i],
                        sums[c + i],
                    ));
                }
            }
            for (i, joined) in joined.iter().enumerate() {
                let column: Vec<f64> = x.iter().skip(i).step_by(c).map(|&x| f64::from(x)).collect();
                let mean = column.iter().sum::<f64>() / rows as f64;
                let var = column.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / rows as f64;
                assert!((joined.mean - mean).abs() < 1e-6, "{} {mean}", joined.mean);
                assert!((joined.variance() / var - 1.0).abs() < 1e-5, "{}", joined.variance());
            }
        }
    }
}
