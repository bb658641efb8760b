//! Aggregation: the input dimensions of a wide layer in groups of like ones.
//!
//! Two dimensions are alike when they correlate with all others alike, so the
//! rows of the correlation matrix are what is clustered. k-means is small enough
//! to stand here; what crates there are for it bring their own array types.

use bitat_engine::rng::Rng;
use nalgebra::DMatrix;
use rayon::prelude::*;

/// Rounds of k-means; it has settled by then or is close.
const ROUNDS: usize = 20;
const SEED: u64 = 0x6b6d_6561_6e73;

/// `k` groups of `d` dimensions: the matrix `P` (d × k) with `1/√|g|` where a
/// dimension belongs to group `g`, so that `PᵀP = I`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Groups {
    /// The group of each dimension.
    of: Vec<usize>,
    /// The one entry of `P` that is not 0, per dimension.
    entry: Vec<f32>,
    count: usize,
}

impl Groups {
    /// From the group of each dimension; `None` unless each of `0..count` has one.
    pub(super) fn new(of: Vec<usize>, count: usize) -> Option<Groups> {
        let mut sizes = vec![0usize; count];
        for &group in &of {
            *sizes.get_mut(group)? += 1;
        }
        let entry = of.iter().map(|&g| 1.0 / (sizes[g] as f32).sqrt()).collect();
        sizes.iter().all(|size| *size > 0).then_some(Groups { of, entry, count })
    }

    /// Groups the dimensions of `s` (d × d, symmetric) into `count ≤ d` by the
    /// k-means of its rows, started as k-means++ does (Arthur and Vassilvitskii).
    pub(super) fn cluster(s: &DMatrix<f64>, count: usize) -> Groups {
        let mut centres = first_centres(s, count);
        let mut of = vec![usize::MAX; s.ncols()];
        for _ in 0..ROUNDS {
            let mut nearest: Vec<(usize, f64)> = (0..s.ncols())
                .into_par_iter()
                .map(|i| {
                    let distances = (0..count).map(|g| distance(s, i, &centres, g));
                    let better =
                        |best: (usize, f64), (g, d)| if d < best.1 { (g, d) } else { best };
                    distances.enumerate().fold((0, f64::INFINITY), better)
                })
                .collect();
            fill_empty(&mut nearest, count);
            let now: Vec<usize> = nearest.into_iter().map(|n| n.0).collect();
            if now == of {
                break;
            }
            of = now;
            centres.fill(0.0);
            let mut sizes = vec![0.0; count];
            for (i, &group) in of.iter().enumerate() {
                sizes[group] += 1.0;
                let mut centre = centres.column_mut(group);
                centre += s.column(i);
            }
            for (mut centre, size) in centres.column_iter_mut().zip(sizes) {
                centre /= size;
            }
        }
        match Groups::new(of, count) {
            Some(groups) => groups,
            None => unreachable!("no group is left empty"),
        }
    }

    /// Number of groups, `k`.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The group of each dimension.
    pub(super) fn of(&self) -> &[usize] {
        &self.of
    }

    /// `rows · P`: from rows of `d` to rows of `k`.
    pub(super) fn gather(&self, rows: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; rows.len() / self.of.len() * self.count];
        let pairs = rows.chunks_exact(self.of.len()).zip(out.chunks_exact_mut(self.count));
        for (row, out) in pairs {
            for ((x, &group), entry) in row.iter().zip(&self.of).zip(&self.entry) {
                out[group] += x * entry;
            }
        }
        out
    }

    /// `out = rest · rows + grouped · Pᵀ`: `grouped` has rows of `k`, the others of `d`.
    pub(super) fn scatter(&self, grouped: &[f32], rest: f32, rows: &[f32], out: &mut [f32]) {
        let d = self.of.len();
        let rows = rows.chunks_exact(d).zip(out.chunks_exact_mut(d));
        for ((row, out), grouped) in rows.zip(grouped.chunks_exact(self.count)) {
            let entries = self.of.iter().zip(&self.entry);
            for ((out, x), (&group, entry)) in out.iter_mut().zip(row).zip(entries) {
                *out = rest * x + grouped[group] * entry;
            }
        }
    }

    /// `Pᵀ s P` (k × k).
    pub(super) fn project(&self, s: &DMatrix<f64>) -> DMatrix<f64> {
        let mut out = DMatrix::zeros(self.count, self.count);
        let entry = |i: usize| f64::from(self.entry[i]);
        for j in 0..s.ncols() {
            for i in 0..s.nrows() {
                out[(self.of[i], self.of[j])] += entry(i) * entry(j) * s[(i, j)];
            }
        }
        out
    }

    /// `P core Pᵀ` (d × d).
    pub(super) fn expand(&self, core: &DMatrix<f64>) -> DMatrix<f64> {
        let entry = |i: usize| f64::from(self.entry[i]);
        DMatrix::from_fn(self.of.len(), self.of.len(), |i, j| {
            entry(i) * entry(j) * core[(self.of[i], self.of[j])]
        })
    }
}

/// Squared distance of row `i` (a column, as `s` is symmetric) from centre `g`.
fn distance(s: &DMatrix<f64>, i: usize, centres: &DMatrix<f64>, g: usize) -> f64 {
    let d = s.nrows();
    let row = &s.as_slice()[i * d..][..d];
    let centre = &centres.as_slice()[g * d..][..d];
    row.iter().zip(centre).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// Different rows, each drawn with the square of its distance from those before.
fn first_centres(s: &DMatrix<f64>, count: usize) -> DMatrix<f64> {
    let mut rng = Rng::new(SEED);
    let mut chosen = vec![rng.below(s.ncols())];
    let mut nearest = vec![f64::INFINITY; s.ncols()];
    while chosen.len() < count {
        let last = s.columns(chosen[chosen.len() - 1], 1).clone_owned();
        for (i, nearest) in nearest.iter_mut().enumerate() {
            *nearest = nearest.min(distance(s, i, &last, 0));
        }
        let mut left = f64::from(rng.uniform()) * nearest.iter().sum::<f64>();
        let drawn = nearest.iter().position(|distance| {
            left -= distance;
            left < 0.0
        });
        // Rows that are all alike have no distance to draw by.
        let other = (0..s.ncols()).find(|i| !chosen.contains(i));
        chosen.extend(drawn.filter(|i| !chosen.contains(i)).or(other));
    }
    DMatrix::from_fn(s.nrows(), count, |i, g| s[(i, chosen[g])])
}

/// Gives each group without a member the one that is worst off where it is.
fn fill_empty(nearest: &mut [(usize, f64)], count: usize) {
    let mut sizes = vec![0usize; count];
    nearest.iter().for_each(|n| sizes[n.0] += 1);
    for group in 0..count {
        if sizes[group] > 0 {
            continue;
        }
        let movable = (0..nearest.len()).filter(|&i| sizes[nearest[i].0] > 1);
        if let Some(i) = movable.max_by(|&a, &b| nearest[a].1.total_cmp(&nearest[b].1)) {
            sizes[nearest[i].0] -= 1;
            sizes[group] += 1;
            nearest[i] = (group, 0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::DVector;

    /// Three families of dimensions, mixed.
    fn families(d: usize) -> DMatrix<f64> {
        DMatrix::from_fn(d, d, |i, j| match (i == j, i % 3 == j % 3) {
            (true, _) => 1.0,
            (_, true) => 0.9,
            _ => 0.1 * (i % 3 + j % 3) as f64 - 0.3,
        })
    }

    #[test]
    fn like_dimensions_share_a_group() {
        let groups = Groups::cluster(&families(30), 3);
        for i in 0..30 {
            for j in 0..30 {
                assert_eq!(groups.of()[i] == groups.of()[j], i % 3 == j % 3, "{i} {j}");
            }
        }
    }

    #[test]
    fn every_group_has_a_member_even_where_all_rows_are_alike() {
        for s in [DMatrix::from_element(7, 7, 1.0), DMatrix::identity(7, 7), families(7)] {
            for count in 1..=7 {
                let groups = Groups::cluster(&s, count);
                let mut seen = vec![false; count];
                groups.of().iter().for_each(|g| seen[*g] = true);
                assert!(seen.iter().all(|s| *s), "{count}: {:?}", groups.of());
            }
        }
        assert_eq!(Groups::new(vec![0, 2], 3), None);
        assert_eq!(Groups::new(vec![0, 3], 3), None);
    }

    #[test]
    fn p_has_orthonormal_columns_and_products_follow_it() {
        let s = families(10);
        let groups = Groups::cluster(&s, 4);
        let mut p = DMatrix::<f64>::zeros(10, 4);
        for i in 0..10 {
            let size = groups.of().iter().filter(|g| **g == groups.of()[i]).count();
            p[(i, groups.of()[i])] = 1.0 / (size as f64).sqrt();
        }
        assert!((p.transpose() * &p - DMatrix::identity(4, 4)).norm() < 1e-6);
        let core = p.transpose() * &s * &p;
        assert!((groups.project(&s) - &core).norm() < 1e-6);
        assert!((groups.expand(&core) - &p * &core * p.transpose()).norm() < 1e-6);
        let row: Vec<f32> = (0..10).map(|i| i as f32 - 4.0).collect();
        let exact = DVector::from_iterator(10, row.iter().map(|x| f64::from(*x)));
        let grouped = groups.gather(&row);
        let expected = p.transpose() * &exact;
        assert!(grouped.iter().zip(&expected).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-5));
        let mut out = vec![0.0; 10];
        groups.scatter(&grouped, 0.5, &row, &mut out);
        let expected = &exact * 0.5 + &p * expected;
        assert!(out.iter().zip(&expected).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-5));
    }
}
