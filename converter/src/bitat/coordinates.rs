//! The coordinates in which latent weights are trained: `B = sign(W·T)`,
//! `T = V diag(s) Vᵀ`, with V and s trained too.
//!
//! V starts as the eigenvectors of the input correlation `S`, s as `Λ^(−1/2)`,
//! damped: a step of W is then the input side of a natural-gradient step, and each
//! latent weight is disentangled from the others. With `V = I, s = 1` it is plain
//! straight-through estimation. With groups, V and s live in their k dimensions:
//! `T = s₀ I + P (V diag(s) Vᵀ − s₀ I) Pᵀ`.
//!
//! V stays orthonormal: its step is a skew matrix A in its own frame (Adam on the
//! frame's gradient), `V ← V (I + A)`, and one Newton–Schulz step towards the
//! nearest orthonormal matrix, `V ← V (3 I − VᵀV) / 2`, which takes away what the
//! linear step and the rounding of all steps before it have left.

use bitat_engine::multiply;
use nalgebra::{DMatrix, SymmetricEigen};

use super::metric::{Correlation, Symmetric, sign};

/// Added to the eigenvalues of `S` before their root is inverted, as part of their mean.
const DAMPING: f64 = 0.1;
/// Backward passes whose gradients make one step of V and s. They move slowly, and a
/// step costs as much as several products with T.
const PASSES: u32 = 8;
/// Learning rate of V and s over that of the latent weights: radians by which a
/// direction turns, and change of softplus's argument.
const RATE: f32 = 0.5;
/// Frobenius norm of A at most: one Newton–Schulz step mends that much.
const LARGEST_TURN: f32 = 0.05;
/// γ and κ: weights in the loss of `‖s‖²` and of the drift `‖V − V₀‖²` from the
/// eigenvectors of `S`.
const WEIGHTS: [f32; 2] = [1e-5, 1e-5];
/// Least size of `W·T` at the start, as part of its row's mean |w|: above what
/// rounding can turn.
const LEAST: f32 = 1e-3;
const BETAS: [f32; 2] = [0.9, 0.999];
const EPSILON: f32 = 1e-8;

/// V, s and all that training them needs, for one group of a layer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Coordinates {
    /// k × k, one direction per column, row-major.
    v: Vec<f32>,
    /// V at the start.
    start: Vec<f32>,
    /// `s = softplus(rho)`.
    rho: Vec<f32>,
    /// Adam's moments of A.
    turn: [Vec<f32>; 2],
    /// Adam's moments of rho.
    stretch: [Vec<f32>; 2],
    /// Sum of the gradients of `V diag(s) Vᵀ` since the last step.
    gradient: Vec<f32>,
    /// Backward passes since then, and steps.
    counts: [f32; 2],
    /// `T`; its core follows from V and s.
    pub(super) transform: Symmetric,
}

impl Coordinates {
    /// As the method starts on a layer whose inputs correlate like this.
    pub(super) fn start(correlation: &Correlation) -> Coordinates {
        let eigen = SymmetricEigen::new(correlation.core.clone());
        let inverse_root = |l: f64| 1.0 / (l.max(0.0) + DAMPING).sqrt();
        let values: Vec<f64> = eigen.eigenvalues.iter().map(|l| inverse_root(*l)).collect();
        let rest = inverse_root(correlation.rest);
        let k = values.len();
        let d = correlation.groups.as_ref().map_or(k, |groups| groups.of().len());
        // Mean s² over all d dimensions is 1: a step in W is as large a one in W·T.
        let squares: f64 = values.iter().map(|s| s * s).sum();
        let scale = (d as f64 / (squares + (d - k) as f64 * rest * rest)).sqrt();
        let mut coordinates = Coordinates::zeros(k);
        for (v, x) in coordinates.v.iter_mut().zip(eigen.eigenvectors.transpose().iter()) {
            *v = *x as f32;
        }
        coordinates.start.clone_from(&coordinates.v);
        // Inverse of softplus: ln(eˢ − 1).
        coordinates.rho = values.iter().map(|s| (s * scale).exp_m1().ln() as f32).collect();
        coordinates.transform.groups.clone_from(&correlation.groups);
        coordinates.transform.rest =
            if correlation.groups.is_some() { (rest * scale) as f32 } else { 0.0 };
        coordinates.refresh();
        coordinates
    }

    /// Room for `k` dimensions.
    pub(super) fn zeros(k: usize) -> Coordinates {
        let (square, line) = (vec![0.0; k * k], vec![0.0; k]);
        Coordinates {
            v: square.clone(),
            start: square.clone(),
            rho: line.clone(),
            turn: [square.clone(), square.clone()],
            stretch: [line.clone(), line],
            gradient: square.clone(),
            counts: [0.0; 2],
            transform: Symmetric { groups: None, core: square, rest: 0.0 },
        }
    }

    /// What a checkpoint keeps, by name; see [`Coordinates::refresh`].
    pub(super) fn fields(&mut self) -> [(&'static str, &mut [f32]); 10] {
        let [turn1, turn2] = &mut self.turn;
        let [stretch1, stretch2] = &mut self.stretch;
        [
            ("V", &mut self.v),
            ("V at the start", &mut self.start),
            ("rho", &mut self.rho),
            ("first moment of V", turn1),
            ("second moment of V", turn2),
            ("first moment of rho", stretch1),
            ("second moment of rho", stretch2),
            ("gradient of T", &mut self.gradient),
            ("counts", &mut self.counts),
            ("rest of T", std::slice::from_mut(&mut self.transform.rest)),
        ]
    }

    /// Brings `W` (rows of d) into these coordinates: `W ← W₀ T⁻¹`, with no sign of
    /// `W·T` other than that of `W₀`. A row that the optimiser would clip at ±1 is
    /// scaled down as a whole, which turns no sign either.
    pub(super) fn enter(&self, rows: &mut [f32], d: usize) {
        for row in rows.chunks_exact_mut(d) {
            let mean = row.iter().map(|w| w.abs()).sum::<f32>() / d as f32;
            row.iter_mut().for_each(|w| *w = sign(*w) * w.abs().max(LEAST * mean));
        }
        let s: Vec<f32> = self.rho.iter().map(|r| 1.0 / softplus(*r)).collect();
        let k = s.len();
        let inner = self.compose(&s);
        let inner = DMatrix::from_iterator(k, k, inner.iter().map(|x| f64::from(*x)));
        let rest = 1.0 / f64::from(self.transform.rest);
        let inverse = Symmetric::new(self.transform.groups.clone(), &inner, rest);
        let before = rows.to_vec();
        inverse.apply(&before, rows);
        for row in rows.chunks_exact_mut(d) {
            let largest = row.iter().fold(1.0f32, |m, w| m.max(w.abs()));
            row.iter_mut().for_each(|w| *w /= largest);
        }
    }

    /// Adds the gradient of V and s, given the latent weights and the gradient `dz`
    /// at `W·T`; writes that of the latent weights, `dz·Tᵀ`.
    pub(super) fn backward(&mut self, latent: &[f32], dz: &[f32], d_latent: &mut [f32]) {
        self.transform.apply(dz, d_latent);
        let k = self.rho.len();
        let groups = self.transform.groups.as_deref();
        let gather = |rows: &[f32]| groups.map(|groups| groups.gather(rows));
        let (latent_k, dz_k) = (gather(latent), gather(dz));
        let (latent, dz) = (latent_k.as_deref().unwrap_or(latent), dz_k.as_deref().unwrap_or(dz));
        let mut product = vec![0.0; k * k];
        let rows = latent.len() / k;
        multiply(&transposed(latent, k), dz, [k, 1], [k, rows, k], &mut product);
        self.gradient.iter_mut().zip(&product).for_each(|(sum, g)| *sum += g);
        self.counts[0] += 1.0;
    }

    /// Takes one step of V and s if enough gradients have come together; true if it did.
    pub(super) fn step(&mut self, rate: f32) -> bool {
        if self.counts[0] < PASSES as f32 {
            return false;
        }
        let [mut turn, mut stretch] = self.gradients(WEIGHTS);
        self.counts = [0.0, self.counts[1] + 1.0];
        self.gradient.fill(0.0);
        let k = self.rho.len();
        let steps = self.counts[1];
        adam(&mut turn, &mut self.turn, steps);
        adam(&mut stretch, &mut self.stretch, steps);
        let rate = rate * RATE;
        for (rho, step) in self.rho.iter_mut().zip(&stretch) {
            *rho -= rate * step;
        }
        // A row of A moves its direction by the root of k elements.
        let norm = turn.iter().map(|a| a * a).sum::<f32>().sqrt();
        let size = (rate / (k as f32).sqrt()).min(LARGEST_TURN / norm.max(f32::MIN_POSITIVE));
        turn.iter_mut().for_each(|a| *a *= -size);
        self.turn_by(&turn);
        self.refresh();
        true
    }

    /// Gradients of A (skew) and rho: of the task and the penalty, meaned over the
    /// passes, of `γ‖s‖²` and of `κ‖V − V₀‖²`.
    ///
    /// With G the gradient of `V diag(s) Vᵀ` and `H = Vᵀ(G + Gᵀ)V`, that of `s` is the
    /// diagonal of H / 2, and that of A at 0 in `V(I + A)` is `Hᵢⱼ (sⱼ − sᵢ)`, as the
    /// gradient `(G + Gᵀ) V diag(s)` of V is in V's own frame, less its transpose.
    fn gradients(&self, [gamma, kappa]: [f32; 2]) -> [Vec<f32>; 2] {
        let k = self.rho.len();
        let passes = self.counts[0];
        let mut both = vec![0.0; k * k];
        for i in 0..k {
            for j in 0..k {
                both[i * k + j] = (self.gradient[i * k + j] + self.gradient[j * k + i]) / passes;
            }
        }
        let frame = transposed(&self.v, k);
        let h = square(&frame, &square(&both, &self.v, k), k);
        let drift = square(&frame, &self.start, k);
        let s: Vec<f32> = self.rho.iter().map(|r| softplus(*r)).collect();
        let mut turn = vec![0.0; k * k];
        // The upper triangle alone, so that rounding leaves A skew.
        for i in 0..k {
            for j in i + 1..k {
                let task = h[i * k + j] * (s[j] - s[i]);
                let back = 2.0 * kappa * (drift[i * k + j] - drift[j * k + i]);
                turn[i * k + j] = task - back;
                turn[j * k + i] = -turn[i * k + j];
            }
        }
        let rho = self.rho.iter().zip(&s).enumerate().map(|(i, (rho, s))| {
            let d_s = 0.5 * h[i * k + i] + 2.0 * gamma * s;
            d_s / (1.0 + (-rho).exp())
        });
        [turn, rho.collect()]
    }

    /// `V ← V (I + A)`, made orthonormal.
    fn turn_by(&mut self, a: &[f32]) {
        let k = self.rho.len();
        let turned = square(&self.v, a, k);
        self.v.iter_mut().zip(&turned).for_each(|(v, t)| *v += t);
        let mut mend = square(&transposed(&self.v, k), &self.v, k);
        mend.iter_mut().for_each(|x| *x *= -0.5);
        (0..k).for_each(|i| mend[i * k + i] += 1.5);
        self.v = square(&self.v, &mend, k);
    }

    /// Makes `T` from V and s.
    pub(super) fn refresh(&mut self) {
        let s: Vec<f32> = self.rho.iter().map(|r| softplus(*r)).collect();
        let mut core = self.compose(&s);
        let k = s.len();
        (0..k).for_each(|i| core[i * k + i] -= self.transform.rest);
        self.transform.core = core;
    }

    /// `V diag(s) Vᵀ`.
    fn compose(&self, s: &[f32]) -> Vec<f32> {
        let k = s.len();
        let mut scaled = self.v.clone();
        for row in scaled.chunks_exact_mut(k) {
            row.iter_mut().zip(s).for_each(|(v, s)| *v *= s);
        }
        let mut out = vec![0.0; k * k];
        multiply(&scaled, &self.v, [1, k], [k; 3], &mut out);
        out
    }
}

/// `ln(1 + eˣ)`.
fn softplus(x: f32) -> f32 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// Turns gradients into Adam's steps of rate 1.
fn adam(gradient: &mut [f32], [first, second]: &mut [Vec<f32>; 2], steps: f32) {
    let [unbias1, unbias2] = BETAS.map(|beta| 1.0 / (1.0 - beta.powf(steps)));
    for ((g, m), v) in gradient.iter_mut().zip(first).zip(second) {
        *m += (1.0 - BETAS[0]) * (*g - *m);
        *v += (1.0 - BETAS[1]) * (*g * *g - *v);
        *g = *m * unbias1 / ((*v * unbias2).sqrt() + EPSILON);
    }
}

/// The transpose of rows of `k`.
fn transposed(rows: &[f32], k: usize) -> Vec<f32> {
    (0..k).flat_map(|j| rows.iter().skip(j).step_by(k).copied()).collect()
}

/// `a · b`, both k × k.
fn square(a: &[f32], b: &[f32], k: usize) -> Vec<f32> {
    let mut out = vec![0.0; k * k];
    multiply(a, b, [k, 1], [k; 3], &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::super::metric::tests::{correlated, random};
    use super::*;
    use bitat_engine::rng::Rng;

    fn started(rng: &mut Rng, d: usize, limit: usize) -> Coordinates {
        Coordinates::start(&Correlation::new(correlated(rng, d), limit))
    }

    fn wide(rows: &[f32], k: usize) -> DMatrix<f64> {
        DMatrix::from_row_iterator(rows.len() / k, k, rows.iter().map(|x| f64::from(*x)))
    }

    /// How far V's columns are from orthonormal.
    fn skewed(coordinates: &Coordinates) -> f64 {
        let k = coordinates.rho.len();
        let v = wide(&coordinates.v, k);
        (v.transpose() * &v - DMatrix::identity(k, k)).norm()
    }

    fn product(coordinates: &Coordinates, w: &[f32]) -> Vec<f32> {
        let mut z = vec![0.0; w.len()];
        coordinates.transform.apply(w, &mut z);
        z
    }

    #[test]
    fn entering_turns_no_sign() {
        let mut rng = Rng::new(21);
        for (d, limit) in [(1, 0), (9, 0), (64, 0), (64, 16), (200, 0)] {
            let coordinates = started(&mut rng, d, limit);
            let mut w = random(&mut rng, 16 * d);
            w.iter_mut().step_by(5).for_each(|w| *w = 0.0);
            w.iter_mut().skip(1).step_by(7).for_each(|w| *w *= 1e-6);
            let before = w.clone();
            coordinates.enter(&mut w, d);
            assert!(w.iter().all(|w| w.abs() <= 1.0));
            for (z, w) in product(&coordinates, &w).iter().zip(&before) {
                assert_eq!(sign(*z), sign(*w), "{d} {limit}: {z} {w}");
            }
        }
    }

    #[test]
    fn the_start_is_the_damped_inverse_root_of_the_correlation() {
        let mut rng = Rng::new(22);
        let s = correlated(&mut rng, 12);
        let correlation = Correlation::new(s, 0);
        let t = Coordinates::start(&correlation).transform.dense();
        let damped = &correlation.core + DMatrix::identity(12, 12) * DAMPING;
        let like_identity = &t * damped * &t;
        let scale = like_identity[(0, 0)];
        assert!((like_identity - DMatrix::identity(12, 12) * scale).amax() < 1e-4 * scale);
        assert!(((&t * &t).trace() / 12.0 - 1.0).abs() < 1e-4);
    }

    #[test]
    fn v_stays_orthonormal_over_hundreds_of_steps() {
        let mut rng = Rng::new(23);
        for (d, limit) in [(9, 0), (48, 0), (48, 12)] {
            let mut coordinates = started(&mut rng, d, limit);
            let first = coordinates.v.clone();
            let mut d_w = vec![0.0; 8 * d];
            for _ in 0..400 * PASSES {
                let (w, dz) = (random(&mut rng, 8 * d), random(&mut rng, 8 * d));
                coordinates.backward(&w, &dz, &mut d_w);
                // A rate above any in use, so that the largest turn is met too.
                coordinates.step(0.2);
                assert!(skewed(&coordinates) < 1e-4, "{d}: {}", skewed(&coordinates));
            }
            let moved: f32 = first.iter().zip(&coordinates.v).map(|(a, b)| (a - b).powi(2)).sum();
            assert!(moved > 0.5, "{d}: {moved}");
        }
    }

    /// Weights of `‖s‖²` and of the drift that a difference shows.
    const HEAVY: [f32; 2] = [0.2, 0.3];

    /// The surrogate of straight-through estimation: `⟨C, W·T(V, s)⟩ + γ‖s‖² + κ‖V − V₀‖²`
    /// as its definition has it, V turned by a skew matrix from where it stands.
    fn surrogate(
        coordinates: &Coordinates,
        [w, c]: [&DMatrix<f64>; 2],
        turn: &DMatrix<f64>,
        rho: &[f64],
    ) -> f64 {
        let k = rho.len();
        let v = wide(&coordinates.v, k) * turn.clone().exp();
        let s = DMatrix::from_diagonal(&nalgebra::DVector::from_fn(k, |i, _| rho[i].exp().ln_1p()));
        let rest = f64::from(coordinates.transform.rest);
        let mut t = &v * &s * v.transpose();
        if let Some(groups) = &coordinates.transform.groups {
            let d = groups.of().len();
            t = groups.expand(&(t - DMatrix::identity(k, k) * rest))
                + DMatrix::identity(d, d) * rest;
        }
        let drift = (v - wide(&coordinates.start, k)).norm_squared();
        (w * t).dot(c) + f64::from(HEAVY[0]) * s.norm_squared() + f64::from(HEAVY[1]) * drift
    }

    #[test]
    fn gradients_match_differences() {
        let mut rng = Rng::new(24);
        for (d, limit) in [(6, 0), (9, 3)] {
            let mut coordinates = started(&mut rng, d, limit);
            // Somewhere on the way, not at the start.
            let k = coordinates.rho.len();
            let raw = random(&mut rng, k * k);
            let skew: Vec<f32> =
                (0..k * k).map(|i| 0.05 * (raw[i] - raw[i % k * k + i / k])).collect();
            coordinates.turn_by(&skew);
            coordinates.turn_by(&skew);
            coordinates.refresh();
            let (w, c) = (random(&mut rng, 4 * d), random(&mut rng, 4 * d));
            let mut d_w = vec![0.0; 4 * d];
            coordinates.backward(&w, &c, &mut d_w);
            let [turn, stretch] = coordinates.gradients(HEAVY);
            let (w, c) = (wide(&w, d), wide(&c, d));
            let still = DMatrix::zeros(k, k);
            let rho: Vec<f64> = coordinates.rho.iter().map(|r| f64::from(*r)).collect();
            let step = 1e-5;
            let slope = |loss: &dyn Fn(f64) -> f64| (loss(step) - loss(-step)) / (2.0 * step);
            let check = |what: String, exact: f64, ours: f32| {
                let off = (exact - f64::from(ours)).abs();
                assert!(off < 1e-4 * exact.abs().max(0.1), "{what}: {exact} {ours}");
            };
            for (i, ours) in d_w.iter().enumerate() {
                let (row, column) = (i / d, i % d);
                let exact = slope(&|by| {
                    let mut w = w.clone();
                    w[(row, column)] += by;
                    surrogate(&coordinates, [&w, &c], &still, &rho)
                });
                check(format!("W {row} {column}"), exact, *ours);
            }
            for i in 0..k {
                let exact = slope(&|by| {
                    let mut rho = rho.clone();
                    rho[i] += by;
                    surrogate(&coordinates, [&w, &c], &still, &rho)
                });
                check(format!("rho {i}"), exact, stretch[i]);
                for j in i + 1..k {
                    let exact = slope(&|by| {
                        let mut turn = still.clone();
                        (turn[(i, j)], turn[(j, i)]) = (by, -by);
                        surrogate(&coordinates, [&w, &c], &turn, &rho)
                    });
                    check(format!("A {i} {j}"), exact, turn[i * k + j]);
                    assert_eq!(turn[i * k + j], -turn[j * k + i]);
                }
            }
        }
    }

    #[test]
    fn training_v_and_s_lowers_what_their_gradients_say() {
        let mut rng = Rng::new(25);
        let mut coordinates = started(&mut rng, 16, 0);
        let (w, target) = (random(&mut rng, 8 * 16), random(&mut rng, 8 * 16));
        let error = |coordinates: &Coordinates| -> (f32, Vec<f32>) {
            let z = product(coordinates, &w);
            let dz: Vec<f32> = z.iter().zip(&target).map(|(z, t)| z - t).collect();
            (dz.iter().map(|d| d * d).sum(), dz)
        };
        let before = error(&coordinates).0;
        for _ in 0..100 * PASSES {
            let (_, dz) = error(&coordinates);
            coordinates.backward(&w, &dz, &mut vec![0.0; 8 * 16]);
            coordinates.step(0.02);
        }
        let after = error(&coordinates).0;
        assert!(after < 0.8 * before, "{after} {before}");
    }
}
