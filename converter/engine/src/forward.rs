//! One stage of the forward pass: the chain that feeds a stored node, and the
//! node's own operation, block by block, with the batch-norm sums of what is
//! written.

use crate::chain::{Run, View};
use crate::matmul::{Product, packed_len};
use crate::net::{Mode, Net, Scratch};
use crate::ops::depthwise::{self, Band};
use crate::ops::pool::{self, Average};
use crate::ops::{elementwise, fixed, norm, shortcut};
use crate::plan::{PARTS, Stage};
use crate::simd::{fill_tile, tile};
use crate::weights::{Form, Layer};
use bitat_graph::{Op, Precision};
use rayon::prelude::*;
use std::ops::Range;

/// Floats of the wider side of a block of a matrix product.
pub(crate) const PRODUCT_BLOCK: usize = 32 * 1024;

/// Floats of a padded band of rows, to stay within the second-level cache.
pub(crate) const BAND: usize = 64 * 1024;

/// Rows of a block of a product whose rows are at most `width` long.
pub(crate) fn block_rows(width: usize) -> usize {
    (PRODUCT_BLOCK / width.max(1)).clamp(32, 256) / 8 * 8
}

/// Cuts `buffer` into runs of `len`, one per part; the rest are empty.
pub(crate) fn split<T>(buffer: &mut [T], len: usize) -> [&mut [T]; PARTS] {
    let mut chunks = buffer.chunks_mut(len.max(1));
    std::array::from_fn(|_| chunks.next().unwrap_or_default())
}

/// The images of a part.
pub(crate) fn images_of(part: usize, per_part: usize, n: usize) -> Range<usize> {
    (part * per_part).min(n)..((part + 1) * per_part).min(n)
}

impl Net {
    pub(crate) fn forward_stage(&mut self, index: usize, images: &[f32], n: usize, mode: Mode) {
        let node = self.plan.stages[index].node;
        let Some(slot) = self.plan.value[node] else {
            return;
        };
        let mut out = std::mem::take(&mut self.values[slot]);
        let mut sums = std::mem::take(&mut self.sums);
        let gather = !self.plan.norms[node].is_empty() && mode != Mode::Eval;
        let len = self.nodes[node].shape.len();
        {
            let per_part = self.plan.per_part(node, n);
            let mut outs = split(&mut out[..n * len], per_part * len).into_iter();
            let mut sums = split(&mut sums, self.sums_per_part).into_iter();
            let parts: [_; PARTS] = std::array::from_fn(|part| {
                (
                    images_of(part, per_part, n),
                    outs.next().unwrap_or_default(),
                    sums.next().unwrap_or_default(),
                )
            });
            let view = self.view();
            let stage = &self.plan.stages[index];
            let layer = self.layer_of[node].map(|i| &self.layers[i]);
            let work = |(range, out, sums): (Range<usize>, &mut [f32], &mut [f64])| {
                if range.is_empty() {
                    return;
                }
                self.scratch.with(|scratch| {
                    let c = view.nodes[node].shape.c;
                    let sums = if gather { Some(&mut sums[..3 * c]) } else { None };
                    let mut pivot = std::mem::take(&mut scratch.pivot);
                    let gather = Gather { sums, pivot: &mut pivot, c, started: false };
                    Part { view, stage, layer, images: range, out, gather, scratch }.run(images);
                    scratch.pivot = pivot;
                });
            };
            parts.into_par_iter().with_max_len(1).for_each(work);
        }
        self.values[slot] = out;
        self.sums = sums;
    }
}

/// Sums for the batch norm that reads what is being written: pivot, Σ, Σ².
struct Gather<'a> {
    sums: Option<&'a mut [f64]>,
    pivot: &'a mut Vec<f32>,
    c: usize,
    started: bool,
}

impl Gather<'_> {
    fn add(&mut self, block: &[f32]) {
        let Some(sums) = &mut self.sums else {
            return;
        };
        let width = tile(self.c);
        let (pivot, rest) = sums.split_at_mut(self.c);
        if !self.started {
            self.started = true;
            self.pivot.resize(width, 0.0);
            fill_tile(self.pivot, &block[..self.c]);
            for (pivot, &x) in pivot.iter_mut().zip(block) {
                *pivot = f64::from(x);
            }
            rest.fill(0.0);
        }
        for block in block.chunks(64 * width) {
            norm::moments(block, self.pivot, rest);
        }
    }
}

/// The images of one part in one stage.
struct Part<'a> {
    view: View<'a>,
    stage: &'a Stage,
    layer: Option<&'a Layer>,
    images: Range<usize>,
    out: &'a mut [f32],
    gather: Gather<'a>,
    scratch: &'a mut Scratch,
}

impl Part<'_> {
    fn run(mut self, images: &[f32]) {
        let node = &self.view.nodes[self.stage.node];
        match (&node.op, self.layer) {
            (Op::Input, _) => {
                let len = node.shape.len();
                self.out.copy_from_slice(&images[self.images.start * len..self.images.end * len]);
                self.gather.add(self.out);
            }
            (_, Some(layer)) => match layer.form {
                Form::Product => self.product(layer),
                Form::Depthwise => self.depthwise(layer),
                Form::Unfolded => self.unfolded(layer),
            },
            (Op::GlobalAveragePool | Op::FixedAveragePool { .. }, _) => self.global_average_pool(),
            (Op::Requantise { .. }, _) => self.requantise(),
            (Op::AveragePool { .. } | Op::Shortcut { .. }, _) => self.pool(),
            _ => self.materialise(),
        }
    }

    /// Stores the end of an element-wise chain.
    fn materialise(&mut self) {
        let shape = self.view.nodes[self.stage.node].shape;
        let run = Run::new(self.view, &self.stage.chain);
        let pixels = shape.h * shape.w;
        let first = self.images.start * pixels;
        let block = block_rows(shape.c);
        for (i, out) in self.out.chunks_mut(block * shape.c).enumerate() {
            let from = first + i * block;
            run.forward(from..from + out.len() / shape.c, out, &mut self.scratch.chain);
            self.gather.add(out);
        }
    }

    fn product(&mut self, layer: &Layer) {
        let Scratch { chain, a, signs, .. } = &mut *self.scratch;
        let run = Run::new(self.view, &self.stage.chain);
        let (k, n) = (layer.k, layer.n);
        // A dense layer's row is a whole image of the chain's pixels.
        let per_row = k / self.view.nodes[self.stage.chain.source].shape.c;
        let pixels = layer.geometry.to.h * layer.geometry.to.w;
        let first = self.images.start * pixels;
        let block = block_rows(k.max(n));
        for (i, out) in self.out.chunks_mut(block * n).enumerate() {
            let (from, rows) = (first + i * block, out.len() / n);
            let a = run.read(from * per_row..(from + rows) * per_row, a, chain);
            if let Some(weights) = layer.signs() {
                weights.multiply(a, &mut signs.rows, out);
            } else {
                multiply(layer, 0, a, rows, out);
            }
            if layer.bias.is_some() {
                elementwise::add_bias(out, &self.view.tables[layer.node]);
            }
            self.gather.add(out);
        }
    }

    fn depthwise(&mut self, layer: &Layer) {
        let geometry = layer.geometry;
        let (c, width) = (geometry.to.c, geometry.to.w);
        let rows_per_band = geometry.rows_within(BAND);
        let run = Run::new(self.view, &self.stage.chain);
        let Scratch { chain, band, .. } = &mut *self.scratch;
        band.grow(geometry.band_len(rows_per_band));
        let images = self.out.chunks_exact_mut(geometry.to.len());
        for (image, out) in self.images.clone().zip(images) {
            for (i, out) in out.chunks_mut(rows_per_band * width * c).enumerate() {
                let start = i * rows_per_band;
                let rows = out.len() / (width * c);
                let pixel = image * geometry.from.h * geometry.from.w;
                geometry.fill_band(start..start + rows, band, |y, row| {
                    let first = pixel + y * geometry.from.w;
                    run.forward(first..first + geometry.from.w, row, chain);
                });
                let shape = band_of(layer, rows);
                depthwise::convolve(&shape, band, &layer.forward, out);
                if layer.bias.is_some() {
                    elementwise::add_bias(out, &self.view.tables[layer.node]);
                }
                self.gather.add(out);
            }
        }
    }

    fn unfolded(&mut self, layer: &Layer) {
        let geometry = layer.geometry;
        let (c, width) = (geometry.to.c, geometry.to.w);
        let (k, n) = (layer.k, layer.n);
        let rows_per_band =
            geometry.rows_within(BAND).min((PRODUCT_BLOCK / (width * k.max(c))).max(1));
        let run = Run::new(self.view, &self.stage.chain);
        let Scratch { chain, band, unfolded, .. } = &mut *self.scratch;
        band.grow(geometry.band_len(rows_per_band));
        unfolded.grow(rows_per_band * width * k);
        let per_group = geometry.from.c / layer.groups;
        let images = self.out.chunks_exact_mut(geometry.to.len());
        for (image, out) in self.images.clone().zip(images) {
            for (i, out) in out.chunks_mut(rows_per_band * width * c).enumerate() {
                let start = i * rows_per_band;
                let rows = out.len() / (width * c);
                let pixel = image * geometry.from.h * geometry.from.w;
                geometry.fill_band(start..start + rows, band, |y, row| {
                    let first = pixel + y * geometry.from.w;
                    run.forward(first..first + geometry.from.w, row, chain);
                });
                for group in 0..layer.groups {
                    let channels = group * per_group..(group + 1) * per_group;
                    geometry.unfold(band, rows, channels, unfolded);
                    multiply(layer, group, unfolded, rows * width, &mut out[group * n..]);
                }
                if layer.bias.is_some() {
                    elementwise::add_bias(out, &self.view.tables[layer.node]);
                }
                self.gather.add(out);
            }
        }
    }

    fn global_average_pool(&mut self) {
        let from = self.view.nodes[self.stage.chain.source].shape;
        let pixels = from.h * from.w;
        let run = Run::new(self.view, &self.stage.chain);
        let Scratch { chain, a, .. } = &mut *self.scratch;
        let mut sums = vec![0.0; from.c];
        for (image, out) in self.images.clone().zip(self.out.chunks_exact_mut(from.c)) {
            let x = run.read(image * pixels..(image + 1) * pixels, a, chain);
            match self.view.nodes[self.stage.node].op {
                Op::FixedAveragePool { shift } => fixed::average_pool(x, shift, out, &mut sums),
                _ => pool::global(x, out),
            }
            self.gather.add(out);
        }
    }

    /// Accumulators to a stream, in integers.
    fn requantise(&mut self) {
        let node = &self.view.nodes[self.stage.node];
        let Op::Requantise { shift, shortcut, ref prelu, .. } = node.op else { return };
        let table = fixed::integers(&self.view.tables[self.stage.node]);
        let run = Run::new(self.view, &self.stage.chain);
        let pixels = node.shape.h * node.shape.w;
        let len = node.shape.len();
        let Scratch { chain, a, d: added, .. } = &mut *self.scratch;
        let mut sums = vec![0.0; self.stage.side.map_or(0, |s| self.view.nodes[s].shape.c)];
        for (image, out) in self.images.clone().zip(self.out.chunks_exact_mut(len)) {
            let acc = run.read(image * pixels..(image + 1) * pixels, a, chain);
            let added: &[f32] = match (shortcut, self.stage.side) {
                (Some(s), Some(side)) => {
                    let from = self.view.nodes[side].shape;
                    let map = shortcut::Map { from, to: node.shape, pool: s.pool };
                    let x = &self.view.value(side)[image * from.len()..][..from.len()];
                    added.grow(len);
                    fixed::shortcut(&map, x, s.shift, &mut added[..len], &mut sums);
                    &added[..len]
                }
                _ => &[],
            };
            fixed::requantise(acc, added, out, shift, &table, prelu.is_some());
            self.gather.add(out);
        }
    }

    fn pool(&mut self) {
        let node = &self.view.nodes[self.stage.node];
        let source = self.stage.chain.source;
        let from = self.view.nodes[source].shape;
        let x = self.view.value(source);
        let len = node.shape.len();
        for (image, out) in self.images.clone().zip(self.out.chunks_exact_mut(len)) {
            match node.op {
                Op::AveragePool { window, include_pad } => {
                    let average = Average { from, to: node.shape, window, include_pad };
                    average.forward(&x[image * from.len()..][..from.len()], out);
                }
                Op::Shortcut { pool } => {
                    let map = shortcut::Map { from, to: node.shape, pool };
                    let a = &mut self.scratch.a;
                    a.grow(from.c);
                    let first = image * node.shape.h * node.shape.w;
                    shortcut::read(&map, x, first, out, a);
                }
                _ => {}
            }
            self.gather.add(out);
        }
    }
}

/// `rows` rows of `k` values times a group's weights, written to its columns of `out`.
fn multiply(layer: &Layer, group: usize, a: &[f32], rows: usize, out: &mut [f32]) {
    let (k, n, ldc) = (layer.k, layer.n, layer.geometry.to.c);
    if layer.precision == Precision::Double {
        let weights = &layer.effective[group * k * n..][..k * n];
        return fixed::double_product(&a[..rows * k], weights, k, out, ldc);
    }
    let size = packed_len(k, n);
    let panels = &layer.forward[group * size..][..size];
    Product { a, lda: k, rows, k, panels, n, c: out, ldc, accumulate: false }.run();
}

/// The band of a depthwise layer with this many output rows.
pub(crate) fn band_of(layer: &Layer, rows: usize) -> Band {
    Band {
        width: layer.geometry.padded_width(),
        c: layer.geometry.to.c,
        kernel: layer.geometry.window.kernel,
        stride: layer.geometry.window.stride,
        out: [rows, layer.geometry.to.w],
    }
}
