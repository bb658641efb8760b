//! Matrix products on packed panels, single-threaded.
//!
//! The right-hand matrix is packed once into panels of two vector registers'
//! width, `[panel][k][NR]`, zero-padded. A tile of `MR × NR` outputs stays in
//! registers while `k` runs: per step two loads of the panel, `MR` broadcasts
//! from the left-hand rows and `2·MR` fused multiply-adds. Every output is
//! summed in order of `k`, so a result does not depend on how rows are split.

use crate::buffer::Buffer;
use crate::simd::{arch, vectorised};
use crate::vector::V;
use pulp::{Simd, WithSimd};

/// Rows of a tile where there are 32 registers, and where there are 16: 2·MR sums, 2
/// panel vectors and a broadcast have to fit.
const TALL: usize = 8;
const SHORT: usize = 6;

/// Floats in one row of a panel and rows of a tile, on this machine.
fn tile_size() -> [usize; 2] {
    struct Size;
    impl WithSimd for Size {
        type Output = [usize; 2];
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> [usize; 2] {
            [2 * S::F32_LANES, if S::REGISTER_COUNT >= 32 { TALL } else { SHORT }]
        }
    }
    arch().dispatch(Size)
}

/// Floats that [`pack`] writes for a `k × n` matrix.
pub(crate) fn packed_len(k: usize, n: usize) -> usize {
    let [nr, _] = tile_size();
    n.div_ceil(nr) * nr * k
}

/// Packs element `(k, n)` = `b[k·stride_k + n·stride_n]`.
pub(crate) fn pack(
    b: &[f32],
    [k, n]: [usize; 2],
    [stride_k, stride_n]: [usize; 2],
    out: &mut [f32],
) {
    let [nr, _] = tile_size();
    for (panel, out) in out[..packed_len(k, n)].chunks_exact_mut(nr * k).enumerate() {
        let first = panel * nr;
        let width = nr.min(n - first);
        if stride_n == 1 {
            copy_columns(&b[first..], stride_k, width, out, nr);
        } else {
            for (row, out) in out.chunks_exact_mut(nr).enumerate() {
                let from = b[first * stride_n + row * stride_k..].iter().step_by(stride_n);
                out[..width].iter_mut().zip(from).for_each(|(out, from)| *out = *from);
                out[width..].fill(0.0);
            }
        }
    }
}

vectorised! {
    /// Copies the first `width` values of every row, `stride` apart, to rows of `to`
    /// values, zeros behind them. A call to copy a register's worth would take longer
    /// than copying it.
    fn copy_columns[s](from: &[f32], stride: usize, width: usize, out: &mut [f32], to: usize) {
        for (row, out) in out.chunks_exact_mut(to).enumerate() {
            let from = &from[row * stride..][..width];
            let mut at = 0;
            while at < width {
                let len = S::F32_LANES.min(width - at);
                V::<S>::load(s, from, at, len).store(out, at, len);
                at += len;
            }
            while at < to {
                let len = S::F32_LANES.min(to - at);
                V::<S>::all(s, 0.0).store(out, at, len);
                at += len;
            }
        }
    }
}

/// `c = a · b` on one thread: `a` is `rows × k`, `c` is `rows × n`, both row-major and
/// not empty; element `(i, j)` of `b` stands at `i·strides[0] + j·strides[1]`. Every
/// sum is in order of `k`.
///
/// # Panics
/// If a slice is shorter than its matrix.
pub fn multiply(
    a: &[f32],
    b: &[f32],
    strides: [usize; 2],
    [rows, k, n]: [usize; 3],
    c: &mut [f32],
) {
    let mut panels = vec![0.0; packed_len(k, n)];
    pack(b, [k, n], strides, &mut panels);
    let panels = &panels;
    Product { a, lda: k, rows, k, panels, n, c, ldc: n, accumulate: false }.run();
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
        if S::REGISTER_COUNT >= 32 {
            self.tiles::<S, TALL>(simd);
        } else {
            self.tiles::<S, SHORT>(simd);
        }
    }
}

impl Product<'_> {
    #[inline(always)]
    fn tiles<S: Simd, const MR: usize>(mut self, simd: S) {
        let nr = 2 * S::F32_LANES;
        let panels = self.panels;
        for (panel, b) in panels.chunks_exact(nr * self.k).enumerate() {
            let first = panel * nr;
            let width = nr.min(self.n - first);
            let (b, _) = S::as_simd_f32s(b);
            if width > S::F32_LANES {
                self.panel::<S, MR, 2>(simd, b, first, width);
            } else {
                self.panel::<S, MR, 1>(simd, b, first, width);
            }
        }
    }

    /// One panel, of which `R` registers' width is in use.
    #[inline(always)]
    fn panel<S: Simd, const MR: usize, const R: usize>(
        &mut self,
        simd: S,
        b: &[S::f32s],
        first: usize,
        width: usize,
    ) {
        let mut row = 0;
        while row + MR <= self.rows {
            self.tile::<S, MR, R>(simd, b, row, first, width);
            row += MR;
        }
        if row + 4 <= self.rows {
            self.tile::<S, 4, R>(simd, b, row, first, width);
            row += 4;
        }
        while row < self.rows {
            self.tile::<S, 1, R>(simd, b, row, first, width);
            row += 1;
        }
    }

    /// `MR` whole rows of one panel.
    #[inline(always)]
    fn tile<S: Simd, const MR: usize, const R: usize>(
        &mut self,
        simd: S,
        b: &[S::f32s],
        row: usize,
        first: usize,
        width: usize,
    ) {
        let k = self.k;
        let mut a: [&[f32]; MR] = [&[]; MR];
        for (r, a) in a.iter_mut().enumerate() {
            *a = &self.a[(row + r) * self.lda..][..k];
        }
        let mut sums = [[simd.splat_f32s(0.0); R]; MR];
        for (step, b) in (0..k).zip(b.chunks_exact(2)) {
            for r in 0..MR {
                let x = simd.splat_f32s(a[r][step]);
                for i in 0..R {
                    sums[r][i] = simd.mul_add_e_f32s(x, b[i], sums[r][i]);
                }
            }
        }
        let c = &mut self.c[row * self.ldc + first..];
        for r in 0..MR {
            put(simd, &mut c[r * self.ldc..][..width], sums[r], self.accumulate);
        }
    }
}

/// Stores one row of a tile, whole or cut at the matrix's edge.
#[inline(always)]
fn put<S: Simd, const R: usize>(simd: S, c: &mut [f32], sums: [S::f32s; R], accumulate: bool) {
    let (whole, rest) = S::as_mut_simd_f32s(c);
    for (i, sum) in sums.into_iter().enumerate() {
        if let Some(c) = whole.get_mut(i) {
            *c = if accumulate { simd.add_f32s(*c, sum) } else { sum };
        } else if i == whole.len() && !rest.is_empty() {
            let zero = simd.splat_f32s(0.0);
            let old = if accumulate { simd.partial_load_f32s(rest) } else { zero };
            simd.partial_store_f32s(rest, simd.add_f32s(old, sum));
        }
    }
}

/// `c += dᵀ · a`: `d` is `m × o`, `a` is `m × i`, `c` is `o × i`; row `r` of each
/// begins at `r` times its `ld`.
pub(crate) struct TransposedProduct<'a> {
    pub(crate) d: &'a [f32],
    pub(crate) ldd: usize,
    pub(crate) a: &'a [f32],
    pub(crate) lda: usize,
    pub(crate) m: usize,
    pub(crate) o: usize,
    pub(crate) i: usize,
    pub(crate) c: &'a mut [f32],
    pub(crate) ldc: usize,
}

/// Room for the packed operands of a [`TransposedProduct`].
#[derive(Default)]
pub(crate) struct Packed {
    a: Buffer,
    d: Buffer,
}

/// Columns above which an operand is packed.
const WIDE: usize = 128;

/// Rows (`m`) of one packed block.
const BLOCK: usize = 256;

impl TransposedProduct<'_> {
    /// Packs what is wide enough that its rows, far apart, would not stay in the
    /// first-level cache over all tiles that read them.
    pub(crate) fn run(self, packed: &mut Packed) {
        let [nr, mr] = tile_size();
        let pack_a = self.i > WIDE && self.o > 2 * mr;
        let pack_d = self.i > WIDE && self.o > WIDE;
        let mut start = 0;
        while start < self.m {
            let m = BLOCK.min(self.m - start);
            let mut panels = Panels {
                d: &self.d[start * self.ldd..],
                ldd: self.ldd,
                next_d: mr,
                a: &self.a[start * self.lda..],
                lda: self.lda,
                next_a: nr,
                m,
                o: self.o,
                i: self.i,
                c: &mut *self.c,
                ldc: self.ldc,
            };
            if pack_a {
                let count = self.i.div_ceil(nr);
                packed.a.grow(count * nr * m);
                for (panel, out) in packed.a[..count * nr * m].chunks_exact_mut(nr * m).enumerate()
                {
                    let width = nr.min(self.i - panel * nr);
                    copy_columns(&panels.a[panel * nr..], self.lda, width, out, nr);
                }
                (panels.a, panels.lda, panels.next_a) = (&packed.a, nr, nr * m);
            }
            if pack_d {
                let count = self.o.div_ceil(mr);
                packed.d.grow(count * mr * m);
                for (tile, out) in packed.d[..count * mr * m].chunks_exact_mut(mr * m).enumerate() {
                    let width = mr.min(self.o - tile * mr);
                    copy_columns(&panels.d[tile * mr..], self.ldd, width, out, mr);
                }
                (panels.d, panels.ldd, panels.next_d) = (&packed.d, mr, mr * m);
            }
            arch().dispatch(panels);
            start += m;
        }
    }
}

/// Both operands in panels of columns: row `r` of panel `p` of `a` begins at
/// `p·next_a + r·lda`.
struct Panels<'a> {
    d: &'a [f32],
    ldd: usize,
    next_d: usize,
    a: &'a [f32],
    lda: usize,
    next_a: usize,
    m: usize,
    o: usize,
    i: usize,
    c: &'a mut [f32],
    ldc: usize,
}

impl WithSimd for Panels<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if S::REGISTER_COUNT >= 32 {
            self.tiles::<S, TALL>(simd);
        } else {
            self.tiles::<S, SHORT>(simd);
        }
    }
}

impl Panels<'_> {
    #[inline(always)]
    fn tiles<S: Simd, const MR: usize>(mut self, simd: S) {
        let nr = 2 * S::F32_LANES;
        for panel in 0..self.i.div_ceil(nr) {
            let width = nr.min(self.i - panel * nr);
            if width == nr {
                self.panel::<S, MR, 2>(simd, panel, 0, nr);
                continue;
            }
            // A last, narrow panel: a whole register, then a cut one.
            let low = width.min(S::F32_LANES);
            self.panel::<S, MR, 1>(simd, panel, 0, low);
            if width > low {
                self.panel::<S, MR, 1>(simd, panel, low, width - low);
            }
        }
    }

    /// `R` registers' columns of one panel from column `from` on; `R` is 1 where
    /// `width` is not whole registers.
    #[inline(always)]
    fn panel<S: Simd, const MR: usize, const R: usize>(
        &mut self,
        simd: S,
        panel: usize,
        from: usize,
        width: usize,
    ) {
        for tile in 0..self.o.div_ceil(MR) {
            let height = MR.min(self.o - tile * MR);
            if height == MR {
                self.tile::<S, MR, MR, R>(simd, panel, from, width, tile, 0);
            } else {
                for row in 0..height {
                    self.tile::<S, MR, 1, R>(simd, panel, from, width, tile, row);
                }
            }
        }
    }

    /// Rows `row..row + H` of a tile of `MR`.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    fn tile<S: Simd, const MR: usize, const H: usize, const R: usize>(
        &mut self,
        simd: S,
        panel: usize,
        from: usize,
        width: usize,
        tile: usize,
        row: usize,
    ) {
        let mut sums = [[simd.splat_f32s(0.0); R]; H];
        let a = self.a[panel * self.next_a + from..].chunks(self.lda);
        let d = self.d[tile * self.next_d + row..].chunks(self.ldd);
        for (a, d) in a.zip(d).take(self.m) {
            let mut b = [simd.splat_f32s(0.0); R];
            if R == 2 {
                let (whole, _) = S::as_simd_f32s(&a[..2 * S::F32_LANES]);
                b.copy_from_slice(&whole[..R]);
            } else {
                b[0] = V::load(simd, a, 0, width).v;
            }
            let d = &d[..H];
            for r in 0..H {
                let x = simd.splat_f32s(d[r]);
                for i in 0..R {
                    sums[r][i] = simd.mul_add_e_f32s(x, b[i], sums[r][i]);
                }
            }
        }
        let at = (tile * MR + row) * self.ldc + panel * 2 * S::F32_LANES + from;
        let c = &mut self.c[at..];
        for r in 0..H {
            put(simd, &mut c[r * self.ldc..][..width], sums[r], true);
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
            let mut whole = vec![f32::NAN; m * n];
            multiply(&a, &bt, [1, k], [m, k, n], &mut whole);
            assert!(whole.iter().zip(&c).all(|(whole, twice)| (2.0 * whole - twice).abs() < 1e-4));
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
        for (m, o, i) in
            [(1, 1, 1), (5, 7, 3), (64, 8, 32), (33, 17, 50), (300, 20, 100), (9, 30, 33)]
        {
            let (d, a) = (random(&mut rng, m * o), random(&mut rng, m * i));
            let mut c = vec![1.0; o * i];
            let (ldd, lda, ldc) = (o, i, i);
            TransposedProduct { d: &d, ldd, a: &a, lda, m, o, i, c: &mut c, ldc }
                .run(&mut Packed::default());
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
