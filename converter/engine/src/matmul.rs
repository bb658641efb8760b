//! Matrix products on packed panels, single-threaded.
//!
//! The right-hand matrix is packed once into panels of two vector registers'
//! width, `[panel][k][NR]`, zero-padded. A tile of `MR × NR` outputs stays in
//! registers while `k` runs: per step two loads of the panel, `MR` broadcasts
//! from the left-hand rows and `2·MR` fused multiply-adds. Every output is
//! summed in order of `k`, so a result does not depend on how rows are split.

use crate::simd::arch;
use pulp::{Simd, WithSimd};

/// Floats in one row of a panel on this machine.
pub(crate) fn panel_width() -> usize {
    struct Lanes;
    impl WithSimd for Lanes {
        type Output = usize;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            2 * S::F32_LANES
        }
    }
    arch().dispatch(Lanes)
}

/// Floats that [`pack`] writes for a `k × n` matrix.
pub(crate) fn packed_len(k: usize, n: usize) -> usize {
    let nr = panel_width();
    n.div_ceil(nr) * nr * k
}

/// Packs element `(k, n)` = `b[k·stride_k + n·stride_n]`.
pub(crate) fn pack(
    b: &[f32],
    [k, n]: [usize; 2],
    [stride_k, stride_n]: [usize; 2],
    out: &mut [f32],
) {
    let nr = panel_width();
    for (panel, out) in out[..packed_len(k, n)].chunks_exact_mut(nr * k).enumerate() {
        let first = panel * nr;
        let width = nr.min(n - first);
        if stride_n == 1 {
            for (row, out) in out.chunks_exact_mut(nr).enumerate() {
                let at = row * stride_k + first;
                out[..width].copy_from_slice(&b[at..at + width]);
                out[width..].fill(0.0);
            }
        } else {
            for column in 0..nr {
                if column < width {
                    let from = &b[(first + column) * stride_n..];
                    for (row, out) in out[column..].iter_mut().step_by(nr).enumerate() {
                        *out = from[row * stride_k];
                    }
                } else {
                    out[column..].iter_mut().step_by(nr).for_each(|out| *out = 0.0);
                }
            }
        }
    }
}

/// `c (=|+=) a · b`: `rows × k` times the packed `k × n`; row `r` of `a` begins at
/// `r·lda` and of `c` at `r·ldc`.
pub(crate) struct Product<'a> {
    pub(crate) a: &'a [f32],
    pub(crate) lda: usize,
    pub(crate) rows: usize,
    pub(crate) k: usize,
    pub(crate) panels: &'a [f32],
    pub(crate) n: usize,
    pub(crate) c: &'a mut [f32],
    pub(crate) ldc: usize,
    pub(crate) accumulate: bool,
}

impl Product<'_> {
    pub(crate) fn run(self) {
        if self.rows > 0 && self.k > 0 {
            arch().dispatch(self);
        }
    }
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // 2·MR sums, 2 panel vectors and a broadcast have to fit the registers:
        // 32 of them with AVX-512, 16 otherwise.
        if S::F32_LANES == 16 {
            self.tiles::<S, 8>(simd);
        } else {
            self.tiles::<S, 6>(simd);
        }
    }
}

impl Product<'_> {
    #[inline(always)]
    fn tiles<S: Simd, const MR: usize>(self, simd: S) {
        let nr = 2 * S::F32_LANES;
        let k = self.k;
        for (panel, b) in self.panels.chunks_exact(nr * k).enumerate() {
            let first = panel * nr;
            let width = nr.min(self.n - first);
            let (b, _) = S::as_simd_f32s(b);
            let mut row = 0;
            while row < self.rows {
                let height = MR.min(self.rows - row);
                let a: [&[f32]; MR] = std::array::from_fn(|r| {
                    let at = (row + r.min(height - 1)) * self.lda;
                    &self.a[at..at + k]
                });
                let mut sums = [[simd.splat_f32s(0.0); 2]; MR];
                for (step, b) in b.chunks_exact(2).enumerate() {
                    for r in 0..MR {
                        let x = simd.splat_f32s(a[r][step]);
                        sums[r][0] = simd.mul_add_e_f32s(x, b[0], sums[r][0]);
                        sums[r][1] = simd.mul_add_e_f32s(x, b[1], sums[r][1]);
                    }
                }
                for (r, sums) in sums.iter().enumerate().take(height) {
                    let at = (row + r) * self.ldc + first;
                    put(simd, &mut self.c[at..at + width], *sums, self.accumulate);
                }
                row += height;
            }
        }
    }
}

/// Stores one row of a tile, whole or cut at the matrix's edge.
#[inline(always)]
fn put<S: Simd>(simd: S, c: &mut [f32], sums: [S::f32s; 2], accumulate: bool) {
    if c.len() == 2 * S::F32_LANES {
        let (c, _) = S::as_mut_simd_f32s(c);
        for (c, sum) in c.iter_mut().zip(sums) {
            *c = if accumulate { simd.add_f32s(*c, sum) } else { sum };
        }
    } else {
        let (low, high) = c.split_at_mut(c.len().min(S::F32_LANES));
        for (c, sum) in [low, high].into_iter().zip(sums) {
            if !c.is_empty() {
                let old = if accumulate { simd.partial_load_f32s(c) } else { simd.splat_f32s(0.0) };
                simd.partial_store_f32s(c, simd.add_f32s(old, sum));
            }
        }
    }
}

/// `c += dᵀ · a`: `d` is `m × o`, the packed `a` is `m × i`, `c` is `o × i`.
pub(crate) struct TransposedProduct<'a> {
    /// `d` packed by [`pack_transposed`].
    pub(crate) d: &'a [f32],
    pub(crate) m: usize,
    pub(crate) o: usize,
    pub(crate) panels: &'a [f32],
    pub(crate) i: usize,
    pub(crate) c: &'a mut [f32],
    pub(crate) ldc: usize,
}

/// Rows of a tile of [`TransposedProduct`].
const TALL: usize = 8;
const SHORT: usize = 6;

fn tile_height() -> usize {
    if panel_width() == 32 { TALL } else { SHORT }
}

/// Floats that [`pack_transposed`] writes.
pub(crate) fn packed_transposed_len(m: usize, o: usize) -> usize {
    let mr = tile_height();
    o.div_ceil(mr) * mr * m
}

/// Packs `m × o` into tiles of columns, `[tile][m][MR]`, zero-padded; row `r`
/// begins at `r·ld`.
pub(crate) fn pack_transposed(d: &[f32], m: usize, o: usize, ld: usize, out: &mut [f32]) {
    let mr = tile_height();
    for (tile, out) in out[..packed_transposed_len(m, o)].chunks_exact_mut(mr * m).enumerate() {
        let first = tile * mr;
        let width = mr.min(o - first);
        for (row, out) in out.chunks_exact_mut(mr).enumerate() {
            let at = row * ld + first;
            if width == TALL && mr == TALL {
                let from: [f32; TALL] = d[at..at + TALL].try_into().unwrap_or([0.0; TALL]);
                out.copy_from_slice(&from);
            } else {
                out[..width].copy_from_slice(&d[at..at + width]);
                out[width..].fill(0.0);
            }
        }
    }
}

impl TransposedProduct<'_> {
    pub(crate) fn run(self) {
        if self.m > 0 {
            arch().dispatch(self);
        }
    }

    #[inline(always)]
    fn tiles<S: Simd, const MR: usize>(self, simd: S) {
        let nr = 2 * S::F32_LANES;
        for (panel, b) in self.panels.chunks_exact(nr * self.m).enumerate() {
            let first = panel * nr;
            let width = nr.min(self.i - first);
            let (b, _) = S::as_simd_f32s(b);
            for (tile, d) in self.d.chunks_exact(MR * self.m).enumerate() {
                let mut sums = [[simd.splat_f32s(0.0); 2]; MR];
                for (b, d) in b.chunks_exact(2).zip(d.chunks_exact(MR)) {
                    for r in 0..MR {
                        let x = simd.splat_f32s(d[r]);
                        sums[r][0] = simd.mul_add_e_f32s(x, b[0], sums[r][0]);
                        sums[r][1] = simd.mul_add_e_f32s(x, b[1], sums[r][1]);
                    }
                }
                let height = MR.min(self.o - tile * MR);
                for (r, sums) in sums.iter().enumerate().take(height) {
                    let at = (tile * MR + r) * self.ldc + first;
                    put(simd, &mut self.c[at..at + width], *sums, true);
                }
            }
        }
    }
}

impl WithSimd for TransposedProduct<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if S::F32_LANES == 16 {
            self.tiles::<S, TALL>(simd);
        } else {
            self.tiles::<S, SHORT>(simd);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn random(rng: &mut Rng, len: usize) -> Vec<f32> {
        (0..len).map(|_| rng.normal()).collect()
    }

    #[test]
    fn products_match_nested_loops() {
        let mut rng = Rng::new(1);
        for (m, k, n) in
            [(1, 1, 1), (7, 3, 31), (8, 16, 32), (9, 27, 33), (65, 40, 100), (6, 5, 64)]
        {
            let (a, b) = (random(&mut rng, m * k), random(&mut rng, k * n));
            let mut panels = vec![f32::NAN; packed_len(k, n)];
            pack(&b, [k, n], [n, 1], &mut panels);
            let mut transposed = vec![f32::NAN; packed_len(k, n)];
            let bt: Vec<f32> = (0..n * k).map(|i| b[i % k * n + i / k]).collect();
            pack(&bt, [k, n], [1, k], &mut transposed);
            assert_eq!(panels, transposed);
            let mut c = vec![1.0; m * n];
            let product = |c: &mut [f32], accumulate| {
                Product { a: &a, lda: k, rows: m, k, panels: &panels, n, c, ldc: n, accumulate }
                    .run();
            };
            product(&mut c, false);
            product(&mut c, true);
            for i in 0..m {
                for j in 0..n {
                    let exact: f64 =
                        (0..k).map(|l| a[i * k + l] as f64 * b[l * n + j] as f64).sum();
                    let got = c[i * n + j] as f64;
                    assert!((got - 2.0 * exact).abs() < 1e-4, "{m}x{k}x{n}: {got} {exact}");
                }
            }
        }
    }

    #[test]
    fn transposed_products_match_nested_loops() {
        let mut rng = Rng::new(2);
        for (m, o, i) in [(1, 1, 1), (5, 7, 3), (64, 8, 32), (33, 17, 50)] {
            let (d, a) = (random(&mut rng, m * o), random(&mut rng, m * i));
            let mut packed_d = vec![f32::NAN; packed_transposed_len(m, o)];
            pack_transposed(&d, m, o, o, &mut packed_d);
            let mut panels = vec![f32::NAN; packed_len(m, i)];
            pack(&a, [m, i], [i, 1], &mut panels);
            let mut c = vec![1.0; o * i];
            TransposedProduct { d: &packed_d, m, o, panels: &panels, i, c: &mut c, ldc: i }.run();
            for x in 0..o {
                for y in 0..i {
                    let exact: f64 =
                        (0..m).map(|l| d[l * o + x] as f64 * a[l * i + y] as f64).sum();
                    assert!((c[x * i + y] as f64 - 1.0 - exact).abs() < 1e-4, "{m}x{o}x{i}");
                }
            }
        }
    }
}
