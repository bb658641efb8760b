//! The signs a layer starts from: chosen in order of importance, each choice's
//! error made good in the weights not yet chosen, then improved one by one.
//!
//! The first part is the optimal-brain recursion (Hassibi and Stork) as GPTQ
//! arranges it (Frantar et al., 2022): one order for all output channels, and the
//! Cholesky factor of the inverse in the place of an inverse per step.

use nalgebra::{Cholesky, DMatrix, DVector};
use rayon::prelude::*;

/// Added to the metric's diagonal before it is inverted, as part of its mean.
const DAMPING: f64 = 0.01;
/// A flip must lower the error by this part of it, or rounding could go round in circles.
const WORTHWHILE: f64 = 1e-12;
/// Least size of a latent weight, as part of its row's mean: a sign must not be lost
/// to a 0.
const LEAST: f32 = 1e-3;

/// Gives the rows of `latent` (o × d) the signs that make `‖w − α·b‖²` in `metric`
/// small, α being the best scale for them. The error is at most that of rounding
/// to the nearest.
///
/// Sizes stay: a weight that was near 0 is as easy to turn back as it was to turn.
pub(super) fn choose(metric: &DMatrix<f64>, latent: &mut [f32]) {
    let d = metric.ncols();
    let recursion = Recursion::new(metric, latent);
    latent.par_chunks_exact_mut(d).for_each(|row| {
        let w = DVector::from_iterator(d, row.iter().map(|w| f64::from(*w)));
        let mut best = Signs::new(metric, &w, w.map(sign));
        let compensated = Signs::new(metric, &w, recursion.signs(&w, best.scale()));
        if compensated.score() > best.score() {
            best = compensated;
        }
        best.descend();
        let mean = row.iter().map(|w| w.abs()).sum::<f32>() / d as f32;
        for (w, b) in row.iter_mut().zip(&best.b) {
            *w = w.abs().max(LEAST * mean) * *b as f32;
        }
    });
}

fn sign(w: f64) -> f64 {
    if w >= 0.0 { 1.0 } else { -1.0 }
}

/// What the choice in order of importance needs, the same for all rows.
struct Recursion {
    /// Dimensions, most important first.
    order: Vec<usize>,
    /// Lower factor of the inverse metric in that order.
    factor: DMatrix<f64>,
}

impl Recursion {
    /// The importance of a dimension is the error that its weights' loss would leave
    /// if all others made good what they can: the mean of `w²/[M⁻¹]ⱼⱼ`. The diagonal
    /// of M would not do: it is 1 wherever inputs are ±1.
    fn new(metric: &DMatrix<f64>, latent: &[f32]) -> Recursion {
        let d = metric.ncols();
        let inverse = damped(metric).inverse();
        let mut importance = vec![0.0; d];
        for row in latent.chunks_exact(d) {
            for (j, w) in row.iter().enumerate() {
                importance[j] += f64::from(*w).powi(2) / inverse[(j, j)];
            }
        }
        let mut order: Vec<usize> = (0..d).collect();
        order.sort_by(|&a, &b| importance[b].total_cmp(&importance[a]));
        let ordered = DMatrix::from_fn(d, d, |i, j| inverse[(order[i], order[j])]);
        Recursion { order, factor: damped_by(&ordered, 0.0).unpack() }
    }

    /// Signs of one row, each chosen under the errors of those before it.
    fn signs(&self, w: &DVector<f64>, scale: f64) -> DVector<f64> {
        let d = w.len();
        let mut left: Vec<f64> = self.order.iter().map(|&j| w[j]).collect();
        let mut b = DVector::zeros(d);
        for (i, &j) in self.order.iter().enumerate() {
            b[j] = sign(left[i]);
            let column = &self.factor.as_slice()[i * d + i..(i + 1) * d];
            let error = (left[i] - scale * b[j]) / column[0];
            left[i..].iter_mut().zip(column).for_each(|(w, f)| *w -= error * f);
        }
        b
    }
}

fn damped(metric: &DMatrix<f64>) -> Cholesky<f64, nalgebra::Dyn> {
    damped_by(metric, DAMPING)
}

/// The Cholesky factor of a positive semi-definite matrix, damped by as much more as
/// rounding makes necessary.
fn damped_by(matrix: &DMatrix<f64>, part: f64) -> Cholesky<f64, nalgebra::Dyn> {
    let d = matrix.ncols();
    let mean = matrix.trace() / d as f64;
    let mut part = part;
    loop {
        let mut damped = matrix.clone();
        (0..d).for_each(|i| damped[(i, i)] += part * mean);
        if let Some(factor) = Cholesky::new(damped) {
            return factor;
        }
        part = (2.0 * part).max(1e-9);
    }
}

/// Signs of one row and what a flip of one would change.
///
/// With the best α ≥ 0 the error is `⟨w, w⟩ − ⟨w, b⟩²/⟨b, b⟩`: the score to raise is
/// that fraction, 0 where `⟨w, b⟩` is negative.
struct Signs<'a> {
    metric: &'a DMatrix<f64>,
    b: DVector<f64>,
    /// `M·w` and `M·b`.
    mw: DVector<f64>,
    mb: DVector<f64>,
    /// `⟨w, b⟩` and `⟨b, b⟩`.
    wb: f64,
    bb: f64,
}

impl<'a> Signs<'a> {
    fn new(metric: &'a DMatrix<f64>, w: &DVector<f64>, b: DVector<f64>) -> Self {
        let (mw, mb) = (metric * w, metric * &b);
        Signs { metric, wb: b.dot(&mw), bb: b.dot(&mb), b, mw, mb }
    }

    fn scale(&self) -> f64 {
        if self.bb > 0.0 { (self.wb / self.bb).max(0.0) } else { 0.0 }
    }

    fn score(&self) -> f64 {
        score(self.wb, self.bb)
    }

    /// Flips signs while any flip helps.
    fn descend(&mut self) {
        let d = self.b.len();
        let mut unchanged = 0;
        for j in (0..d).cycle() {
            let b = self.b[j];
            let wb = self.wb - 2.0 * b * self.mw[j];
            let bb = self.bb - 4.0 * b * self.mb[j] + 4.0 * self.metric[(j, j)];
            if score(wb, bb) > self.score() * (1.0 + WORTHWHILE) {
                self.b[j] = -b;
                self.mb.axpy(-2.0 * b, &self.metric.column(j), 1.0);
                (self.wb, self.bb) = (wb, bb);
                unchanged = 0;
                continue;
            }
            unchanged += 1;
            if unchanged == d {
                return;
            }
        }
    }
}

fn score(wb: f64, bb: f64) -> f64 {
    if wb > 0.0 && bb > 0.0 { wb * wb / bb } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::super::metric::Correlation;
    use super::super::metric::tests::{correlated, random};
    use super::*;
    use bitat_engine::rng::Rng;

    /// The least error of these signs over α ≥ 0, by the definition.
    fn error(metric: &DMatrix<f64>, w: &[f32], b: impl Fn(usize) -> f64) -> f64 {
        let d = w.len();
        let w = DVector::from_fn(d, |i, _| f64::from(w[i]));
        let b = DVector::from_fn(d, |i, _| b(i));
        let alpha = (w.dot(&(metric * &b)) / b.dot(&(metric * &b))).max(0.0);
        let r = &w - b * alpha;
        r.dot(&(metric * &r))
    }

    #[test]
    fn no_row_ends_above_round_to_nearest_and_no_flip_would_help() {
        let mut rng = Rng::new(12);
        let (mut better, mut rows) = (0, 0);
        for d in [1, 2, 9, 33, 64] {
            let metric = Correlation::new(correlated(&mut rng, d), 0).metric().dense();
            let before = random(&mut rng, 8 * d);
            let mut after = before.clone();
            choose(&metric, &mut after);
            for (w, chosen) in before.chunks(d).zip(after.chunks(d)) {
                let nearest = error(&metric, w, |i| sign(f64::from(w[i])));
                let b = |i: usize| f64::from(chosen[i].signum());
                let ours = error(&metric, w, b);
                assert!(ours <= nearest * (1.0 + 1e-9), "{d}: {ours} {nearest}");
                for flip in 0..d {
                    let flipped = error(&metric, w, |i| if i == flip { -b(i) } else { b(i) });
                    assert!(flipped >= ours * (1.0 - 1e-9), "{d}: {flip}");
                }
                better += usize::from(ours < 0.95 * nearest);
                rows += 1;
            }
        }
        assert!(better * 3 > rows, "{better} of {rows} rows are clearly better");
    }

    #[test]
    fn descent_never_raises_the_error() {
        let mut rng = Rng::new(13);
        for _ in 0..50 {
            let d = 1 + rng.below(24);
            let metric = correlated(&mut rng, d);
            let w = random(&mut rng, d);
            let b = DVector::from_fn(d, |_, _| sign(f64::from(rng.normal())));
            let start = error(&metric, &w, |i| b[i]);
            let w64 = DVector::from_fn(d, |i, _| f64::from(w[i]));
            let mut signs = Signs::new(&metric, &w64, b);
            signs.descend();
            let end = error(&metric, &w, |i| signs.b[i]);
            assert!(end <= start * (1.0 + 1e-9), "{d}: {end} {start}");
        }
    }

    #[test]
    fn compensation_alone_beats_rounding_on_average() {
        let mut rng = Rng::new(14);
        let d = 48;
        let metric = Correlation::new(correlated(&mut rng, d), 0).metric().dense();
        let latent = random(&mut rng, 32 * d);
        let recursion = Recursion::new(&metric, &latent);
        let (mut nearest, mut compensated) = (0.0, 0.0);
        for row in latent.chunks(d) {
            let w = DVector::from_fn(d, |i, _| f64::from(row[i]));
            let rounded = Signs::new(&metric, &w, w.map(sign));
            nearest += error(&metric, row, |i| rounded.b[i]);
            let b = recursion.signs(&w, rounded.scale());
            compensated += error(&metric, row, |i| b[i]);
        }
        assert!(compensated < 0.9 * nearest, "{compensated} {nearest}");
    }

    #[test]
    fn where_all_weights_count_the_same_the_signs_stay() {
        let mut rng = Rng::new(15);
        let mut latent = random(&mut rng, 6 * 40);
        latent[7] = 0.0;
        let before = latent.clone();
        choose(&DMatrix::identity(40, 40), &mut latent);
        for (now, before) in latent.iter().zip(&before) {
            assert_eq!(sign(f64::from(*now)), sign(f64::from(*before)));
        }
        assert!(latent[7] > 0.0);
    }
}
