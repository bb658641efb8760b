//! Matrix products in which one side is ±1.
//!
//! Where both sides are, in bits: `Σ a·b` over `k` pairs of signs is `k` less twice
//! the number of pairs that differ. Sixty-four outputs lie side by side, one byte of
//! eight weights each, so that a register counts hundreds of pairs at a time.
//!
//! Where one side is float (the gradient of the weights, `c += dᵀ·a` with `a` ±1),
//! by tables: four rows of `d` have 16 signed sums, each a register of neighbouring
//! outputs; a column's four signs pick one of them. One addition then does the work
//! of four multiply-adds (the method of the four Russians). The gradient of the input,
//! `d·weights`, is the same product of the transposed and scaled `d` with the signs of
//! the weights; it pays where the products outweigh two transposes.

use crate::buffer::Buffer;
use crate::simd::{lanes, vectorised};
use crate::vector::V;

/// Outputs side by side in a panel of bits.
const PANEL: usize = 64;

/// Bytes whose differing bits a byte can count.
const COUNTED: usize = 31;

/// Rows whose signs make one word of a column.
pub(crate) const WORD: usize = 32;

/// Rows of one table, and tables of one word.
const ROWS: usize = 4;
const TABLES: usize = WORD / ROWS;

/// Working memory of the products.
#[derive(Default)]
pub(crate) struct Scratch {
    pub(crate) rows: Vec<u8>,
    pub(crate) columns: Vec<u32>,
    turned: Buffer,
    blocks: Buffer,
}

/// Weights `[n][k]` that are ± one scale per output.
#[derive(Clone, Debug)]
pub(crate) struct SignWeights {
    k: usize,
    n: usize,
    /// One per output, padded to whole panels.
    scales: Vec<f32>,
    /// `[panel][byte of k][output]`, 1 for a negative weight.
    bits: Vec<u8>,
    /// The signs by column, for the way back.
    columns: Vec<u32>,
    row: Vec<u8>,
}

impl SignWeights {
    pub(crate) fn new(k: usize, n: usize) -> SignWeights {
        let (outputs, bytes) = (n.next_multiple_of(PANEL), k.div_ceil(8));
        let (scales, bits) = (vec![0.0; outputs], vec![0; outputs * bytes]);
        let columns = vec![0; n.div_ceil(WORD) * k];
        SignWeights { k, n, scales, bits, columns, row: vec![0; bytes] }
    }

    /// Takes new weights; false if an output's are not all of one size.
    pub(crate) fn set(&mut self, weights: &[f32]) -> bool {
        let bytes = self.row.len();
        for (output, weights) in weights.chunks_exact(self.k).enumerate() {
            let scale = weights[0].abs();
            if !weights.iter().fold(true, |same, w| same & (w.abs() == scale)) {
                return false;
            }
            self.scales[output] = scale;
            pack_row(weights, &mut self.row);
            let panel = &mut self.bits[output / PANEL * PANEL * bytes..];
            let places = panel[output % PANEL..].iter_mut().step_by(PANEL);
            places.zip(&self.row).for_each(|(place, byte)| *place = *byte);
        }
        pack_columns(weights, self.k, &mut self.columns);
        true
    }

    /// `c = a · weightsᵀ` for rows `a` of ±1; `rows` is scratch.
    pub(crate) fn multiply(&self, a: &[f32], rows: &mut Vec<u8>, c: &mut [f32]) {
        let bytes = self.row.len();
        let count = a.len() / self.k;
        if rows.len() < count * bytes {
            rows.resize(count * bytes, 0);
        }
        let rows = &mut rows[..count * bytes];
        if self.k.is_multiple_of(8) {
            // Without padding, all rows are one.
            pack_row(a, rows);
        } else {
            let rows = rows.chunks_exact_mut(bytes);
            a.chunks_exact(self.k).zip(rows).for_each(|(a, row)| pack_row(a, row));
        }
        count_signs(rows, &self.bits, &self.scales, [self.k, self.n], c);
    }

    /// Whether [`SignWeights::multiply_back`] is faster than multiply-adds. A transpose
    /// takes about a cycle for an element, a product a sixteenth for each.
    pub(crate) fn pay_back(&self) -> bool {
        self.k * self.n > 32 * (self.k + self.n)
    }

    /// `dx = d · weights`: rows of `n` to rows of `k`.
    pub(crate) fn multiply_back(&self, d: &[f32], scratch: &mut Scratch, dx: &mut [f32]) {
        let (k, n) = (self.k, self.n);
        let rows = d.len() / n;
        let Scratch { turned, blocks, .. } = scratch;
        turned.grow(n * rows);
        let turned = &mut turned[..n * rows];
        transpose(d, n, turned);
        for (row, scale) in turned.chunks_exact_mut(rows).zip(&self.scales) {
            row.iter_mut().for_each(|d| *d *= scale);
        }
        let len = rows.next_multiple_of(lanes()) * k;
        blocks.grow(len);
        let blocks = &mut blocks[..len];
        blocks.fill(0.0);
        add_signed(turned, rows, 0, rows, &self.columns, k, blocks);
        unfold(blocks, k, dx);
    }
}

vectorised! {
    /// The signs of a row, eight a byte from the lowest bit up, 1 for a negative one.
    fn pack_row[_s](row: &[f32], out: &mut [u8]) {
        let (whole, rest) = row.as_chunks::<64>();
        let (words, tail) = out.split_at_mut(8 * whole.len());
        for (x, out) in whole.iter().zip(words.chunks_exact_mut(8)) {
            let mut word = 0;
            for (i, x) in x.iter().enumerate() {
                word |= u64::from(x.to_bits() >> 31) << i;
            }
            out.copy_from_slice(&word.to_le_bytes());
        }
        for (x, out) in rest.chunks(8).zip(tail) {
            *out = x.iter().rev().fold(0, |byte, x| byte << 1 | (x.to_bits() >> 31) as u8);
        }
    }

    fn count_signs[_s](
        rows: &[u8], weights: &[u8], scales: &[f32], size: [usize; 2], c: &mut [f32],
    ) {
        let [k, n] = size;
        let bytes = k.div_ceil(8);
        for (row, c) in rows.chunks_exact(bytes).zip(c.chunks_exact_mut(n)) {
            let panels = weights.chunks_exact(PANEL * bytes).zip(scales.as_chunks::<PANEL>().0);
            for ((weights, scales), c) in panels.zip(c.chunks_mut(PANEL)) {
                let mut counts = [0u32; PANEL];
                for (row, weights) in row.chunks(COUNTED).zip(weights.chunks(COUNTED * PANEL)) {
                    let mut differ = [0u8; PANEL];
                    for (x, weights) in row.iter().zip(weights.as_chunks::<PANEL>().0) {
                        for o in 0..PANEL {
                            differ[o] += (weights[o] ^ x).count_ones() as u8;
                        }
                    }
                    for o in 0..PANEL {
                        counts[o] += u32::from(differ[o]);
                    }
                }
                let mut sums = [0.0; PANEL];
                for o in 0..PANEL {
                    sums[o] = scales[o] * (k as i32 - 2 * counts[o] as i32) as f32;
                }
                c.copy_from_slice(&sums[..c.len()]);
            }
        }
    }

    /// The signs of every column of `a`, rows of `width`: bit `r` of word
    /// `[m / 32][column]` is 1 where row `32·(m / 32) + r` is negative.
    fn pack_columns[_s](a: &[f32], width: usize, words: &mut [u32]) {
        for (a, words) in a.chunks(WORD * width).zip(words.chunks_exact_mut(width)) {
            words.fill(0);
            for (r, a) in a.chunks_exact(width).enumerate() {
                for (word, a) in words.iter_mut().zip(a) {
                    *word |= a.to_bits() >> 31 << r;
                }
            }
        }
    }

    /// `c += dᵀ·a`: `d` is rows of `ldd` floats, of which columns `first..first + o`
    /// count; `columns` the signs of the `i` columns of `a`. `c` has a register's
    /// width of outputs side by side: `[o / lanes][i][lanes]`.
    fn add_signed[s](
        d: &[f32], ldd: usize, first: usize, o: usize, columns: &[u32], i: usize, c: &mut [f32],
    ) {
        let zero = s.splat_f32s(0.0);
        let mut tables = Tables([[zero; 16]; TABLES]);
        let tables = &mut tables.0;
        for (block, c) in c.chunks_exact_mut(i * S::F32_LANES).enumerate() {
            let at = block * S::F32_LANES;
            let width = S::F32_LANES.min(o - at);
            let (c, _) = S::as_mut_simd_f32s(c);
            for (d, columns) in d.chunks(WORD * ldd).zip(columns.chunks_exact(i)) {
                let rows = d.len().div_ceil(ldd);
                for (t, table) in tables.iter_mut().enumerate() {
                    let mut d4 = [V::all(s, 0.0); ROWS];
                    for (r, d4) in d4.iter_mut().enumerate().take(rows.saturating_sub(ROWS * t)) {
                        *d4 = V::load(s, d, (ROWS * t + r) * ldd + first + at, width);
                    }
                    let [plus, minus] = [d4[0] + d4[1], d4[0] - d4[1]];
                    let [high, low] = [d4[2] + d4[3], d4[2] - d4[3]];
                    // Index bits 0 and 1 are the signs of rows 0 and 1.
                    for (i, pair) in [plus, -minus, minus, -plus].into_iter().enumerate() {
                        table[i] = (pair + high).v;
                        table[4 + i] = (pair - low).v;
                        table[8 + i] = (pair + low).v;
                        table[12 + i] = (pair - high).v;
                    }
                }
                for (c, &word) in c.iter_mut().zip(columns) {
                    let mut picked = [zero; TABLES];
                    for t in 0..TABLES {
                        picked[t] = tables[t][(word >> (ROWS * t)) as usize % 16];
                    }
                    for half in [4, 2, 1] {
                        for t in 0..half {
                            picked[t] = s.add_f32s(picked[t], picked[t + half]);
                        }
                    }
                    *c = s.add_f32s(*c, picked[0]);
                }
            }
        }
    }
}

vectorised! {
    /// Rows of `width` to columns.
    fn transpose[_s](a: &[f32], width: usize, out: &mut [f32]) {
        let height = a.len() / width;
        for r in (0..height).step_by(TILE) {
            for c in (0..width).step_by(TILE) {
                if r + TILE > height || c + TILE > width {
                    for r in r..height.min(r + TILE) {
                        for c in c..width.min(c + TILE) {
                            out[c * height + r] = a[r * width + c];
                        }
                    }
                    continue;
                }
                let (mut from, mut to) = ([[0.0; TILE]; TILE], [[0.0; TILE]; TILE]);
                for i in 0..TILE {
                    from[i].copy_from_slice(&a[(r + i) * width + c..][..TILE]);
                }
                for i in 0..TILE {
                    for j in 0..TILE {
                        to[j][i] = from[i][j];
                    }
                }
                for i in 0..TILE {
                    out[(c + i) * height + r..][..TILE].copy_from_slice(&to[i]);
                }
            }
        }
    }
}

/// Rows and columns of what is transposed in registers.
const TILE: usize = 4;

/// On lines of their own: registers are as wide as those.
#[repr(align(64))]
struct Tables<T>(T);

/// From the layout of [`add_signed`] to rows of `i` for each output.
pub(crate) fn unfold(blocks: &[f32], i: usize, out: &mut [f32]) {
    let lanes = lanes();
    for (block, out) in blocks.chunks_exact(i * lanes).zip(out.chunks_mut(i * lanes)) {
        if out.len() == block.len() {
            transpose(block, lanes, out);
            continue;
        }
        for (o, out) in out.chunks_exact_mut(i).enumerate() {
            let from = block[o..].iter().step_by(lanes);
            out.iter_mut().zip(from).for_each(|(out, from)| *out = *from);
        }
    }
}

/// Makes room in `columns` for the signs of `rows` rows of `width`.
pub(crate) fn room(columns: &mut Vec<u32>, rows: usize, width: usize) -> &mut [u32] {
    let len = rows.div_ceil(WORD) * width;
    if columns.len() < len {
        columns.resize(len, 0);
    }
    &mut columns[..len]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use crate::simd::lanes;

    fn signs(rng: &mut Rng, len: usize) -> Vec<f32> {
        (0..len).map(|_| if rng.below(2) == 0 { -1.0 } else { 1.0 }).collect()
    }

    #[test]
    fn sign_weights_match_nested_loops() {
        let mut rng = Rng::new(3);
        let ks = [1, 7, 8, 9, 63, 64, 65, 247, 248, 249, 512];
        for (k, n) in ks.into_iter().flat_map(|k| [1, 63, 64, 65].map(|n| (k, n))) {
            let rows = rng.below(40) + 1;
            let a = signs(&mut rng, rows * k);
            let mut w = signs(&mut rng, n * k);
            for (i, w) in w.chunks_exact_mut(k).enumerate() {
                w.iter_mut().for_each(|w| *w *= 0.25 * i as f32);
            }
            let mut weights = SignWeights::new(k, n);
            assert!(weights.set(&w));
            let mut c = vec![f32::NAN; rows * n];
            weights.multiply(&a, &mut Vec::new(), &mut c);
            for (i, c) in c.iter().enumerate() {
                let (a, w) = (&a[i / n * k..][..k], &w[i % n * k..][..k]);
                let exact: f32 = a.iter().zip(w).map(|(a, w)| a * w).sum();
                assert_eq!(*c, exact, "{k} signs, output {} of {n}", i % n);
            }
            let d: Vec<f32> = (0..rows * n).map(|_| rng.normal()).collect();
            let mut dx = vec![f32::NAN; rows * k];
            weights.multiply_back(&d, &mut Scratch::default(), &mut dx);
            for (i, dx) in dx.iter().enumerate() {
                let d = &d[i / k * n..][..n];
                let terms = d.iter().zip(w[i % k..].iter().step_by(k));
                let exact: f64 = terms.map(|(d, w)| f64::from(*d) * f64::from(*w)).sum();
                let close = (f64::from(*dx) - exact).abs() < 1e-3;
                assert!(close, "back from {n} outputs, sign {} of {k}: {dx} {exact}", i % k);
            }
            w[n * k - 1] += 0.125;
            assert_eq!(weights.set(&w), k == 1, "one weight of {k} larger than the others");
        }
    }

    #[test]
    fn signed_sums_match_nested_loops() {
        let mut rng = Rng::new(4);
        for m in [1, 3, 4, 31, 32, 33, 100] {
            for (o, i) in [(1, 1), (7, 3), (15, 8), (16, 33), (17, 5), (40, 64)] {
                let a = signs(&mut rng, m * i);
                let d: Vec<f32> = (0..m * o).map(|_| rng.normal()).collect();
                let mut columns = Vec::new();
                let columns = room(&mut columns, m, i);
                pack_columns(&a, i, columns);
                let mut blocks = vec![0.0; o.next_multiple_of(lanes()) * i];
                // Twice, the second time a register of outputs at a time.
                add_signed(&d, o, 0, o, columns, i, &mut blocks);
                for (b, block) in blocks.chunks_exact_mut(lanes() * i).enumerate() {
                    let first = b * lanes();
                    add_signed(&d, o, first, lanes().min(o - first), columns, i, block);
                }
                let mut c = vec![f32::NAN; o * i];
                unfold(&blocks, i, &mut c);
                for (at, c) in c.iter().enumerate() {
                    let (x, y) = (at / i, at % i);
                    let terms = (0..m).map(|r| f64::from(d[r * o + x]) * f64::from(a[r * i + y]));
                    let exact = 2.0 * terms.sum::<f64>();
                    assert!((f64::from(*c) - exact).abs() < 1e-4, "{m}x{o}x{i}: {c} {exact}");
                }
            }
        }
    }
}
