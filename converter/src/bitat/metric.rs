//! The metric `M` in which a layer's quantization error is measured, and the
//! scale that is best in it.
//!
//! `M = V diag(s²) Vᵀ` with `V = U` and `s = √Λ` of `S = U Λ Uᵀ` is `S` itself: it
//! is kept as measured. It is not trained: batch norm cancels every gradient that
//! the task could give it through the scale, and the penalty's own would only
//! shrink it. What is trained stands in [`super::coordinates`].

use std::sync::Arc;

use bitat_engine::multiply;
use nalgebra::DMatrix;

use super::aggregate::Groups;

/// A correlation matrix `rest·(I − PPᵀ) + P·core·Pᵀ` with trace `d`; without groups
/// it is `core`.
///
/// The scale makes the mean of all `d` eigenvalues 1, so that a penalty's weight
/// means the same for every layer, with groups and without.
#[derive(Clone, Debug)]
pub(super) struct Correlation {
    pub(super) groups: Option<Arc<Groups>>,
    /// k × k.
    pub(super) core: DMatrix<f64>,
    /// `s₀²`: what the groups do not carry, per dimension.
    pub(super) rest: f64,
}

impl Correlation {
    /// From `s` (d × d), in `limit` groups where `d` is above it; 0: never. A matrix
    /// of nothing (no gradient reached the layer) counts as `I`.
    pub(super) fn new(s: DMatrix<f64>, limit: usize) -> Correlation {
        let d = s.ncols();
        let trace = s.trace();
        let s = match trace > 0.0 && trace.is_finite() {
            true => s * (d as f64 / trace),
            false => DMatrix::identity(d, d),
        };
        if limit == 0 || d <= limit {
            return Correlation { groups: None, core: s, rest: 0.0 };
        }
        let groups = Groups::cluster(&s, limit);
        let core = groups.project(&s);
        let rest = ((s.trace() - core.trace()) / (d - limit) as f64).max(0.0);
        Correlation { groups: Some(Arc::new(groups)), core, rest }
    }

    /// The metric.
    pub(super) fn metric(&self) -> Symmetric {
        Symmetric::new(self.groups.clone(), &self.core, self.rest)
    }
}

/// A symmetric d × d matrix `rest·I + P·core·Pᵀ`; without groups it is `core`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Symmetric {
    pub(super) groups: Option<Arc<Groups>>,
    /// k × k.
    pub(super) core: Vec<f32>,
    /// 0 without groups.
    pub(super) rest: f32,
}

impl Symmetric {
    /// `rest·(I − PPᵀ) + P·inner·Pᵀ`.
    pub(super) fn new(groups: Option<Arc<Groups>>, inner: &DMatrix<f64>, rest: f64) -> Symmetric {
        let rest = if groups.is_some() { rest } else { 0.0 };
        let mut core = inner.clone();
        (0..core.ncols()).for_each(|i| core[(i, i)] -= rest);
        let core = core.iter().map(|x| *x as f32).collect();
        Symmetric { groups, core, rest: rest as f32 }
    }

    /// Writes each row times the matrix.
    pub(super) fn apply(&self, rows: &[f32], out: &mut [f32]) {
        let Some(groups) = &self.groups else {
            let d = self.core.len().isqrt();
            multiply(rows, &self.core, [d, 1], [rows.len() / d, d, d], out);
            return;
        };
        let k = groups.count();
        let grouped = groups.gather(rows);
        let mut mixed = vec![0.0; grouped.len()];
        multiply(&grouped, &self.core, [k, 1], [grouped.len() / k, k, k], &mut mixed);
        groups.scatter(&mixed, self.rest, rows, out);
    }

    /// All d × d elements.
    pub(super) fn dense(&self) -> DMatrix<f64> {
        let k = self.core.len().isqrt();
        let core = DMatrix::from_iterator(k, k, self.core.iter().map(|x| f64::from(*x)));
        match &self.groups {
            None => core,
            Some(groups) => {
                let mut dense = groups.expand(&core);
                (0..dense.ncols()).for_each(|i| dense[(i, i)] += f64::from(self.rest));
                dense
            }
        }
    }
}

/// The scale α ≥ 0 that makes `‖w − α·b‖²` in `M` least, `⟨w, b⟩_M / ⟨b, b⟩_M`, for
/// `b = sign(w)` and `mb = M·b`.
///
/// Where inputs are so correlated that it would not be positive, the plain scale
/// `mean |w|` takes its place: the signs must stay those of the latent weights.
pub(super) fn scale(w: &[f32], b: &[f32], mb: &[f32]) -> f32 {
    let dot = |x: &[f32], y: &[f32]| -> f64 {
        x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
    };
    let alpha = dot(w, mb) / dot(b, mb);
    if alpha > 0.0 && alpha.is_finite() {
        return alpha as f32;
    }
    (w.iter().map(|w| f64::from(w.abs())).sum::<f64>() / w.len() as f64) as f32
}

/// `sign(w)`, `sign(0) = +1`.
pub(super) fn sign(w: f32) -> f32 {
    if w >= 0.0 { 1.0 } else { -1.0 }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use bitat_engine::rng::Rng;
    use nalgebra::{DVector, SymmetricEigen};

    /// A correlation matrix of `d` correlated ±1 inputs.
    pub(in super::super) fn correlated(rng: &mut Rng, d: usize) -> DMatrix<f64> {
        let mut s = DMatrix::zeros(d, d);
        for _ in 0..4 * d {
            let common = rng.normal();
            let sign = |x: f32| if x >= 0.0 { 1.0 } else { -1.0 };
            let x = DVector::from_fn(d, |i, _| sign(common * (i % 3) as f32 + rng.normal()));
            s += &x * x.transpose();
        }
        s
    }

    pub(in super::super) fn random(rng: &mut Rng, len: usize) -> Vec<f32> {
        (0..len).map(|_| 0.3 * rng.normal()).collect()
    }

    #[test]
    fn the_metric_is_what_its_definition_says() {
        let mut rng = Rng::new(3);
        for (d, limit) in [(9, 0), (9, 9), (20, 0), (20, 6), (20, 1)] {
            let s = correlated(&mut rng, d);
            let correlation = Correlation::new(s.clone(), limit);
            let exact = match &correlation.groups {
                None => {
                    let eigen = SymmetricEigen::new(s.clone());
                    let mean = eigen.eigenvalues.mean();
                    let s2 =
                        DMatrix::from_diagonal(&eigen.eigenvalues.map(|l| l.sqrt().powi(2) / mean));
                    &eigen.eigenvectors * s2 * eigen.eigenvectors.transpose()
                }
                Some(groups) => {
                    let k = groups.count();
                    let mut p = DMatrix::<f64>::zeros(d, k);
                    for (i, &g) in groups.of().iter().enumerate() {
                        let size = groups.of().iter().filter(|other| **other == g).count();
                        p[(i, g)] = 1.0 / (size as f64).sqrt();
                    }
                    let scale = d as f64 / s.trace();
                    let inner = SymmetricEigen::new(p.transpose() * &s * &p);
                    let rest = (s.trace() - inner.eigenvalues.sum()) / (d - k) as f64 * scale;
                    let v = inner.eigenvectors;
                    let s2 = DMatrix::from_diagonal(&(inner.eigenvalues * scale));
                    let outside = DMatrix::identity(d, d) - &p * p.transpose();
                    &p * &v * s2 * v.transpose() * p.transpose() + outside * rest
                }
            };
            assert_eq!(correlation.groups.is_some(), limit > 0 && limit < d);
            assert!((exact.trace() - d as f64).abs() < 1e-6);
            let metric = correlation.metric();
            assert!((metric.dense() - &exact).amax() < 1e-5, "{d} {limit}");
            let rows = random(&mut rng, 3 * d);
            let mut out = vec![0.0; 3 * d];
            metric.apply(&rows, &mut out);
            for (row, out) in rows.chunks(d).zip(out.chunks(d)) {
                let exact = &exact * DVector::from_iterator(d, row.iter().map(|x| f64::from(*x)));
                assert!(exact.iter().zip(out).all(|(a, b)| (a - f64::from(*b)).abs() < 1e-4));
            }
        }
    }

    #[test]
    fn a_matrix_of_nothing_is_the_identity() {
        let metric = Correlation::new(DMatrix::zeros(4, 4), 0).metric();
        assert_eq!(metric.dense(), DMatrix::identity(4, 4));
    }

    #[test]
    fn the_scale_is_the_least_squares_answer() {
        let mut rng = Rng::new(4);
        for d in [1, 9, 32] {
            let metric = Correlation::new(correlated(&mut rng, d), 0).metric();
            for _ in 0..20 {
                let w = random(&mut rng, d);
                let b: Vec<f32> = w.iter().map(|w| sign(*w)).collect();
                let mut mb = vec![0.0; d];
                metric.apply(&b, &mut mb);
                let alpha = f64::from(scale(&w, &b, &mb));
                let error = |alpha: f64| {
                    let r = DVector::from_fn(d, |i, _| f64::from(w[i]) - alpha * f64::from(b[i]));
                    r.dot(&(metric.dense() * &r))
                };
                assert!(error(alpha) < error(alpha * 1.01) && error(alpha) < error(alpha * 0.99));
            }
        }
    }

    #[test]
    fn a_scale_that_would_turn_the_signs_is_replaced() {
        // Inputs 0 and 1 nearly opposite: b = (1, 1) is in the way of its own w.
        let (w, b) = ([0.1, 1.0], [1.0, 1.0]);
        let mb = [1.0 - 0.2, 0.1 - 0.2];
        assert!((scale(&w, &b, &mb) - 0.55).abs() < 1e-6);
    }
}
