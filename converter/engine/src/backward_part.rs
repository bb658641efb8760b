//! The images of one part in one backward stage: the node's own operation, and the
//! chain in front of it.

use crate::buffer::Buffer;
use crate::chain::{Run, Sinks, View};
use crate::forward::{BAND, PRODUCT_BLOCK, band_of, block_rows};
use crate::matmul::{Product, TransposedProduct, packed_len};
use crate::net::Scratch;
use crate::ops::depthwise::{self, Band};
use crate::ops::pool::{self, Average};
use crate::ops::{elementwise, shortcut};
use crate::plan::Stage;
use crate::signs;
use crate::simd::tile;
use crate::weights::{Form, Layer};
use bitat_graph::Op;
use std::ops::Range;

/// The images of one part in one stage.
pub(crate) struct Task<'a> {
    pub(crate) view: View<'a>,
    pub(crate) stage: &'a Stage,
    pub(crate) layer: Option<&'a Layer>,
    pub(crate) images: Range<usize>,
    pub(crate) sinks: Sinks<'a>,
    pub(crate) sums: &'a mut [f64],
    pub(crate) partial: &'a mut [f32],
    /// Of a wide layer: input rows and their gradients, instead of `partial`.
    pub(crate) rows: [&'a mut [f32]; 2],
}

impl Task<'_> {
    pub(crate) fn run(mut self, scratch: &mut Scratch) {
        self.sums.fill(0.0);
        self.partial.fill(0.0);
        match (&self.view.nodes[self.stage.node].op, self.layer) {
            (_, Some(layer)) => match layer.form {
                Form::Product => self.product(layer, scratch),
                Form::Depthwise => self.depthwise(layer, scratch),
                Form::Unfolded => self.unfolded(layer, scratch),
            },
            (Op::GlobalAveragePool | Op::AveragePool { .. } | Op::Shortcut { .. }, _) => {
                self.pool(scratch);
            }
            _ => self.chain_end(scratch),
        }
    }

    /// Whether anything before this stage's own operation wants a gradient.
    fn wants_input(&self) -> bool {
        self.stage.chain.sums > 0 || self.sinks.list.iter().any(|s| s.node.is_some())
    }

    /// First pixel of the part at the chain.
    fn base(&self) -> usize {
        let shape = self.view.nodes[self.stage.chain.source].shape;
        self.images.start * shape.h * shape.w
    }

    fn chain_end(&mut self, scratch: &mut Scratch) {
        let shape = self.view.nodes[self.stage.node].shape;
        let run = Run::new(self.view, &self.stage.chain);
        let pixels = shape.h * shape.w;
        let block = block_rows(shape.c);
        let Scratch { chain, d, .. } = scratch;
        d.grow(block * shape.c);
        let base = self.base();
        for first in (self.images.start * pixels..self.images.end * pixels).step_by(block) {
            let range = first..(first + block).min(self.images.end * pixels);
            let d = self.view.gradient(self.stage.node, range.clone(), d);
            run.backward(range, base, d, &mut self.sinks, self.sums, chain);
        }
    }

    fn product(&mut self, layer: &Layer, scratch: &mut Scratch) {
        let Scratch { chain, a, d, dx, packed, signs, .. } = scratch;
        let run = Run::new(self.view, &self.stage.chain);
        let (k, n) = (layer.k, layer.n);
        let per_row = k / self.view.nodes[self.stage.chain.source].shape.c;
        let pixels = layer.geometry.to.h * layer.geometry.to.w;
        let block = block_rows(k.max(n));
        d.grow(block * n);
        dx.grow(block * k);
        let (wants_input, base) = (self.wants_input(), self.base());
        let wide = !self.rows[0].is_empty();
        for first in (self.images.start * pixels..self.images.end * pixels).step_by(block) {
            let range = first..(first + block).min(self.images.end * pixels);
            let rows = range.len();
            let inputs = range.start * per_row..range.end * per_row;
            let d = self.view.gradient(self.stage.node, range, d);
            self.bias(layer, d);
            if wide {
                let at = first - self.images.start * pixels;
                let [rows_in, rows_out] = &mut self.rows;
                rows_out[at * n..(at + rows) * n].copy_from_slice(d);
                run.forward(inputs.clone(), &mut rows_in[at * k..(at + rows) * k], chain);
            } else {
                let a = run.read(inputs.clone(), a, chain);
                let c = &mut *self.partial;
                if layer.reads_signs() {
                    let columns = signs::room(&mut signs.columns, rows, k);
                    signs::pack_columns(a, k, columns);
                    signs::add_signed(d, n, 0, n, columns, k, c);
                } else {
                    TransposedProduct { d, ldd: n, a, lda: k, m: rows, o: n, i: k, c, ldc: k }
                        .run(packed);
                }
            }
            if wants_input {
                let dx = &mut dx[..rows * k];
                if let Some(weights) = layer.signs().filter(|weights| weights.pay_back()) {
                    weights.multiply_back(d, signs, dx);
                } else {
                    let (panels, c) = (&layer.back, &mut *dx);
                    Product {
                        a: d,
                        lda: n,
                        rows,
                        k: n,
                        panels,
                        n: k,
                        c,
                        ldc: k,
                        accumulate: false,
                    }
                    .run();
                }
                run.backward(inputs, base, dx, &mut self.sinks, self.sums, chain);
            }
        }
    }

    fn bias(&mut self, layer: &Layer, d: &[f32]) {
        if layer.bias.is_some() {
            let c = layer.geometry.to.c;
            let sums = &mut self.sums[self.stage.chain.sums..][..c];
            for d in d.chunks(64 * tile(c)) {
                elementwise::sum_channels(d, tile(c), sums);
            }
        }
    }

    fn depthwise(&mut self, layer: &Layer, scratch: &mut Scratch) {
        let geometry = layer.geometry;
        let (from, to, c) = (geometry.from, geometry.to, geometry.to.c);
        let run = Run::new(self.view, &self.stage.chain);
        let rows_per_band = geometry.rows_within(BAND);
        let Scratch { chain, band, a, d, d_band, dx, taps, .. } = scratch;
        band.grow(geometry.band_len(rows_per_band));
        d.grow(rows_per_band.max(1) * to.w * c);
        taps.grow(layer.k * c);
        let taps = &mut taps[..layer.k * c];
        taps.fill(0.0);
        let [kh, kw] = geometry.window.kernel;
        let width = from.w + kw - 1;
        let back_rows = (BAND / (width * c)).saturating_sub(kh - 1).clamp(1, from.h);
        d_band.grow((back_rows + kh - 1) * width * c);
        dx.grow(back_rows * from.w * c);
        let (wants_input, base) = (self.wants_input(), self.base());
        // An image's gradient is finished once if it stays in cache, else per band.
        let whole = to.len() <= BAND;
        a.grow(if whole { to.len() } else { rows_per_band.max(kh) * to.w * c });
        for image in self.images.clone() {
            let (in_pixel, out_pixel) = (image * from.h * from.w, image * to.h * to.w);
            let d_image: &[f32] = if whole {
                self.view.gradient(self.stage.node, out_pixel..out_pixel + to.h * to.w, a)
            } else {
                &[]
            };
            for start in (0..to.h).step_by(rows_per_band) {
                let rows = start..(start + rows_per_band).min(to.h);
                geometry.fill_band(rows.clone(), band, |y, row| {
                    let first = in_pixel + y * from.w;
                    run.forward(first..first + from.w, row, chain);
                });
                let pixels = out_pixel + rows.start * to.w..out_pixel + rows.end * to.w;
                let d = if whole {
                    &d_image[rows.start * to.w * c..rows.end * to.w * c]
                } else {
                    self.view.gradient(self.stage.node, pixels, d)
                };
                self.bias(layer, d);
                depthwise::weight_gradient(&band_of(layer, rows.len()), band, d, taps);
            }
            if !wants_input {
                continue;
            }
            for start in (0..from.h).step_by(back_rows) {
                let rows = start..(start + back_rows).min(from.h);
                self.spread(layer, out_pixel, d_image, rows.clone(), d, d_band);
                let out = [rows.len(), from.w];
                let shape = Band { width, c, kernel: [kh, kw], stride: [1, 1], out };
                let dx = &mut dx[..rows.len() * from.w * c];
                depthwise::convolve(&shape, d_band, &layer.back, dx);
                let pixels = in_pixel + rows.start * from.w..in_pixel + rows.end * from.w;
                run.backward(pixels, base, dx, &mut self.sinks, self.sums, chain);
            }
        }
        for (channel, out) in self.partial.chunks_exact_mut(layer.k).enumerate() {
            for (tap, out) in out.iter_mut().enumerate() {
                *out = taps[tap * c + channel];
            }
        }
    }

    /// Lays the gradient out so that a stride-1 convolution with the flipped filter
    /// gives the gradient at input rows `rows`: padded, and spread by the stride.
    /// `d_image` is the image's gradient, or empty where it has to be computed.
    fn spread(
        &self,
        layer: &Layer,
        out_pixel: usize,
        d_image: &[f32],
        rows: Range<usize>,
        d: &mut Buffer,
        band: &mut [f32],
    ) {
        let geometry = layer.geometry;
        let (from, to, c) = (geometry.from, geometry.to, geometry.to.c);
        let ([kh, kw], [sy, sx]) = (geometry.window.kernel, geometry.window.stride);
        let [top, left, ..] = geometry.window.pads;
        let width = (from.w + kw - 1) * c;
        let count = rows.len() + kh - 1;
        d.grow(to.w * c);
        for (r, row) in band[..count * width].chunks_exact_mut(width).enumerate() {
            let y = (rows.start + top + r).checked_sub(kh - 1);
            let Some(y) = y.filter(|y| y % sy == 0 && y / sy < to.h) else {
                row.fill(0.0);
                continue;
            };
            let y = y / sy;
            let d = if d_image.is_empty() {
                let first = out_pixel + y * to.w;
                self.view.gradient(self.stage.node, first..first + to.w, d)
            } else {
                &d_image[y * to.w * c..][..to.w * c]
            };
            if sx == 1 && kw > left && (kw - 1 - left + to.w) * c <= width {
                let at = (kw - 1 - left) * c;
                row[..at].fill(0.0);
                row[at..at + d.len()].copy_from_slice(d);
                row[at + d.len()..].fill(0.0);
                continue;
            }
            row.fill(0.0);
            for (x, d) in d.chunks_exact(c).enumerate() {
                if let Some(column) = (x * sx + kw - 1).checked_sub(left)
                    && (column + 1) * c <= width
                {
                    row[column * c..][..c].copy_from_slice(d);
                }
            }
        }
    }

    fn unfolded(&mut self, layer: &Layer, scratch: &mut Scratch) {
        let geometry = layer.geometry;
        let (from, to) = (geometry.from, geometry.to);
        let (k, n, c) = (layer.k, layer.n, geometry.to.c);
        let run = Run::new(self.view, &self.stage.chain);
        let rows_per_band =
            geometry.rows_within(BAND).min((PRODUCT_BLOCK / (to.w * k.max(c))).max(1));
        let per_group = from.c / layer.groups;
        let (wants_input, base) = (self.wants_input(), self.base());
        let width = geometry.padded_width() * from.c;
        let image_rows = geometry.band_rows(to.h).max(geometry.window.pads[0] + from.h);
        let Scratch { chain, band, d, d_band, dx, unfolded, packed, .. } = scratch;
        band.grow(geometry.band_len(rows_per_band));
        d.grow(rows_per_band * to.w * c);
        let block = rows_per_band * to.w;
        unfolded.grow(block * k);
        if wants_input {
            d_band.grow(image_rows * width);
            dx.grow(from.len());
        }
        for image in self.images.clone() {
            let (in_pixel, out_pixel) = (image * from.h * from.w, image * to.h * to.w);
            if wants_input {
                d_band[..image_rows * width].fill(0.0);
            }
            for start in (0..to.h).step_by(rows_per_band) {
                let band_rows = start..(start + rows_per_band).min(to.h);
                let rows = band_rows.len() * to.w;
                geometry.fill_band(band_rows.clone(), band, |y, row| {
                    let first = in_pixel + y * from.w;
                    run.forward(first..first + from.w, row, chain);
                });
                let pixels = out_pixel + start * to.w..out_pixel + start * to.w + rows;
                let d = self.view.gradient(self.stage.node, pixels, d);
                self.bias(layer, d);
                for group in 0..layer.groups {
                    let channels = group * per_group..(group + 1) * per_group;
                    let d = &d[group * n..];
                    geometry.unfold(band, band_rows.len(), channels.clone(), unfolded);
                    let c_out = &mut self.partial[group * n * k..][..n * k];
                    let a = &unfolded[..];
                    TransposedProduct {
                        d,
                        ldd: c,
                        a,
                        lda: k,
                        m: rows,
                        o: n,
                        i: k,
                        c: c_out,
                        ldc: k,
                    }
                    .run(packed);
                    if wants_input {
                        let size = packed_len(n, k);
                        let panels = &layer.back[group * size..][..size];
                        let c_out = &mut unfolded[..];
                        Product {
                            a: d,
                            lda: c,
                            rows,
                            k: n,
                            panels,
                            n: k,
                            c: c_out,
                            ldc: k,
                            accumulate: false,
                        }
                        .run();
                        let at = start * geometry.window.stride[0] * width;
                        geometry.fold(unfolded, band_rows.len(), channels, &mut d_band[at..]);
                    }
                }
            }
            if wants_input {
                let [top, left, ..] = geometry.window.pads;
                let dx = &mut dx[..from.len()];
                for (y, dx) in dx.chunks_exact_mut(from.w * from.c).enumerate() {
                    let at = (y + top) * width + left * from.c;
                    dx.copy_from_slice(&d_band[at..][..from.w * from.c]);
                }
                let pixels = in_pixel..in_pixel + from.h * from.w;
                run.backward(pixels, base, dx, &mut self.sinks, self.sums, chain);
            }
        }
    }

    fn pool(&mut self, scratch: &mut Scratch) {
        if !self.wants_input() {
            return;
        }
        let node = &self.view.nodes[self.stage.node];
        let from = self.view.nodes[self.stage.chain.source].shape;
        let run = Run::new(self.view, &self.stage.chain);
        let (in_pixels, out_pixels) = (from.h * from.w, node.shape.h * node.shape.w);
        let Scratch { chain, a, d, dx, .. } = scratch;
        a.grow(from.c);
        d.grow(node.shape.len());
        dx.grow(from.len());
        let base = self.base();
        for image in self.images.clone() {
            let pixels = image * out_pixels..(image + 1) * out_pixels;
            let d = self.view.gradient(self.stage.node, pixels, d);
            let dx = &mut dx[..from.len()];
            match node.op {
                Op::AveragePool { window, include_pad } => {
                    Average { from, to: node.shape, window, include_pad }.backward(d, dx);
                }
                Op::Shortcut { pool } => {
                    let map = shortcut::Map { from, to: node.shape, pool };
                    shortcut::give_back(&map, d, 0, dx, false, a);
                }
                _ => pool::global_back(d, in_pixels, dx),
            }
            let pixels = image * in_pixels..(image + 1) * in_pixels;
            run.backward(pixels, base, dx, &mut self.sinks, self.sums, chain);
        }
    }
}
