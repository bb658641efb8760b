//! The backward pass: stages in reverse, each turning the gradient at its stored
//! node into those of its weights, of its chain's parameters and of the stored
//! nodes the chain reads.

use crate::binarizer::Binarizer;
use crate::chain::{Run, Sink, Sinks, View, grow};
use crate::forward::{BAND, PRODUCT_BLOCK, band_of, block_rows, images_of, split};
use crate::matmul::{
    Product, TransposedProduct, pack, pack_transposed, packed_len, packed_transposed_len,
};
use crate::net::{Mode, Net, PARTS, Scratch};
use crate::ops::depthwise::{self, Band};
use crate::ops::pool::{self, Average};
use crate::ops::{elementwise, norm, shortcut};
use crate::plan::{Kind, MAX_SIDES, Purpose, Stage};
use crate::simd::tile;
use crate::weights::{Form, Layer};
use bitat_graph::{Graph, NodeId, Op, ParamId};
use rayon::prelude::*;
use std::ops::Range;
use std::time::Instant;

impl Net {
    /// Takes gradients given at nodes (`n` images each, for the `n` of the last
    /// forward pass) back to every parameter. Parameters that no seed reaches get
    /// gradient 0.
    ///
    /// # Panics
    /// If the net is for [`Purpose::Eval`] or has not run forward, or if a seed's
    /// node was not kept or its length is wrong.
    pub fn backward(
        &mut self,
        graph: &Graph,
        binarizer: &dyn Binarizer,
        seeds: &[(NodeId, &[f32])],
    ) {
        assert!(self.purpose != Purpose::Eval, "backward through a net for evaluation");
        let Some((n, mode)) = self.last else {
            panic!("backward before forward");
        };
        self.written.fill(false);
        self.gradients.iter_mut().for_each(|g| g.fill(0.0));
        for &(node, seed) in seeds {
            assert!(self.plan.kept[node], "node '{}' was not kept", self.nodes[node].name);
            assert_eq!(seed.len(), n * self.nodes[node].shape.len(), "length of a seed");
            if let Some(slot) = self.plan.grad[node] {
                let into = &mut self.grads[slot][..seed.len()];
                elementwise::give(seed, into, self.written[node]);
                self.written[node] = true;
            }
        }
        for i in (0..self.plan.stages.len()).rev() {
            let node = self.plan.stages[i].node;
            if self.written[node] && node != 0 {
                let start = Instant::now();
                self.backward_stage(graph, i, n, mode);
                self.note(start, |p| &mut p.stages[i].backward);
            } else if let Some(layer) = self.layer_of[node] {
                self.layers[layer].d_effective.fill(0.0);
            }
        }
        let start = Instant::now();
        self.layers.par_iter_mut().for_each(|layer| layer.finish(graph, binarizer));
        for layer in &self.layers {
            elementwise::give(&layer.d_latent, &mut self.gradients[layer.weight], true);
        }
        self.note(start, |p| &mut p.finish);
    }

    fn backward_stage(&mut self, graph: &Graph, index: usize, n: usize, mode: Mode) {
        let stage = &self.plan.stages[index];
        let (node, chain) = (stage.node, &stage.chain);
        let layer = self.layer_of[node];
        let source = chain.source;
        // A batch norm at the chain's start: its output's gradient is what is written.
        let bn = chain.steps.first().filter(|s| s.kind == Kind::Affine).map(|s| s.node);
        let shared = bn.is_none() || self.plan.lazy_norm[source] == bn;
        let mut targets = [None; MAX_SIDES + 1];
        targets[0] = if shared { Some(source) } else { None };
        let mut count = 1;
        for side in chain.steps.iter().filter_map(|s| s.kind.side()) {
            if !targets[..count].contains(&Some(side)) {
                targets[count] = Some(side);
                count += 1;
            }
        }
        let mut buffers: [Vec<f32>; MAX_SIDES + 1] = Default::default();
        for (buffer, target) in buffers.iter_mut().zip(targets) {
            if let Some(slot) = target.and_then(|t| self.plan.grad[t]) {
                *buffer = std::mem::take(&mut self.grads[slot]);
            }
        }
        let separate = bn.filter(|_| !shared && self.plan.grad[source].is_some());
        if let Some(bn) = separate {
            buffers[0] = std::mem::take(&mut self.norm_grads[bn]);
        }
        let mut sums = std::mem::take(&mut self.sums);
        let mut partial = std::mem::take(&mut self.partial);

        let per_part = n.div_ceil(PARTS);
        {
            let weights = layer.map_or(0, |l| self.layers[l].effective.len());
            let mut sums = split(&mut sums, self.sums_per_part).into_iter();
            let mut partial = split(&mut partial, weights).into_iter();
            let [b0, b1, b2] = &mut buffers;
            let len = |target: Option<NodeId>| {
                n.min(per_part) * self.nodes[target.unwrap_or(source)].shape.len()
            };
            let mut sinks = [
                split(b0, len(targets[0])).into_iter(),
                split(b1, len(targets[1])).into_iter(),
                split(b2, len(targets[2])).into_iter(),
            ];
            let mut tasks: [Option<Task<'_>>; PARTS] = std::array::from_fn(|part| {
                let list = std::array::from_fn(|i| {
                    let into = sinks[i].next().unwrap_or_default();
                    match targets[i].or(separate.filter(|_| i == 0)) {
                        Some(target) if !into.is_empty() => {
                            let accumulate = targets[i].is_some_and(|t| {
                                self.written[t] && !(i == 0 && self.plan.lazy_norm[t].is_some())
                            });
                            Sink::new(target, into, accumulate)
                        }
                        _ => Sink::default(),
                    }
                });
                Some(Task {
                    view: self.view(),
                    stage,
                    layer: layer.map(|l| &self.layers[l]),
                    images: images_of(part, n),
                    sinks: Sinks { list },
                    sums: sums.next().unwrap_or_default(),
                    partial: partial.next().unwrap_or_default(),
                })
            });
            tasks.par_iter_mut().with_max_len(1).for_each(|task| {
                if let Some(task) = task.take().filter(|t| !t.images.is_empty()) {
                    self.scratch.with(|scratch| task.run(scratch));
                }
            });
        }

        if let Some(bn) = separate {
            self.norm_grads[bn] = std::mem::take(&mut buffers[0]);
        }
        for (buffer, target) in buffers.into_iter().zip(targets) {
            if let Some(slot) = target.and_then(|t| self.plan.grad[t]) {
                self.grads[slot] = buffer;
            }
        }
        let parts = n.div_ceil(per_part);
        self.finish_sums(graph, index, &mut sums, parts, n, mode);
        if let Some(layer) = layer {
            reduce_parts(&partial, parts, &mut self.layers[layer].d_effective);
        }
        self.sums = sums;
        self.partial = partial;
        for target in targets.into_iter().flatten() {
            self.written[target] = true;
        }
        if let Some(bn) = separate {
            self.finish_norm_gradient(bn, source, n);
            self.written[source] = true;
        }
    }

    /// Adds the parts' sums up: parameter gradients, and the tables that finish a
    /// batch norm's input gradient.
    fn finish_sums(
        &mut self,
        graph: &Graph,
        index: usize,
        sums: &mut [f64],
        parts: usize,
        n: usize,
        mode: Mode,
    ) {
        let stage = &self.plan.stages[index];
        let (total, rest) = sums.split_at_mut(self.sums_per_part);
        for part in rest.chunks_exact(self.sums_per_part).take(parts - 1) {
            for (total, part) in total.iter_mut().zip(part) {
                *total += part;
            }
        }
        let gradients = &mut self.gradients;
        let mut add = |param: ParamId, values: &[f64]| {
            for (g, &v) in gradients[param].iter_mut().zip(values) {
                *g += v as f32;
            }
        };
        for step in &stage.chain.steps {
            let node = &self.nodes[step.node];
            let c = node.shape.c;
            let at = |i: usize| step.sums_at + i * c..step.sums_at + (i + 1) * c;
            match node.op {
                Op::Prelu { slope: p } | Op::Sign { threshold: p } => add(p, &total[at(0)]),
                Op::ShiftedPrelu { before, slope, after } => {
                    for (i, p) in [before, slope, after].into_iter().enumerate() {
                        add(p, &total[at(i)]);
                    }
                }
                Op::BatchNorm { gamma, beta, .. } => {
                    let Some(norm) = &self.norms[step.node] else { continue };
                    for (dot, istd) in total[at(1)].iter_mut().zip(&norm.istd) {
                        *dot *= istd;
                    }
                    add(beta, &total[at(0)]);
                    add(gamma, &total[at(1)]);
                    let count = (n * node.shape.h * node.shape.w) as f64;
                    let width = tile(c);
                    let table = &mut self.back_tables[step.node];
                    for i in 0..width {
                        let channel = i % c;
                        let istd = norm.istd[channel];
                        let a = f64::from(graph.params[gamma].data[channel]) * istd;
                        let batch = if mode == Mode::Eval { 0.0 } else { 1.0 / count };
                        let m1 = total[at(0)][channel] * batch;
                        let m2 = total[at(1)][channel] * batch;
                        let b = -a * istd * m2;
                        table[width + i] = a as f32;
                        table[2 * width + i] = b as f32;
                        table[3 * width + i] = (-a * m1 - b * norm.mean[channel]) as f32;
                    }
                }
                _ => {}
            }
        }
        if let Op::Conv { bias: Some(p), .. } | Op::Dense { bias: Some(p), .. } =
            self.nodes[stage.node].op
        {
            add(p, &total[stage.chain.sums..][..self.nodes[stage.node].shape.c]);
        }
    }

    /// The gradient at a batch norm's input, where its buffer is not the one its
    /// output's gradient was written to.
    fn finish_norm_gradient(&mut self, bn: NodeId, source: NodeId, n: usize) {
        let Some(slot) = self.plan.grad[source] else {
            return;
        };
        let mut into = std::mem::take(&mut self.grads[slot]);
        let view = self.view();
        let c = self.nodes[bn].shape.c;
        let len = n * self.nodes[bn].shape.len();
        let (x, d) = (&view.value(source)[..len], &self.norm_grads[bn][..len]);
        let table = &view.back_tables[bn][tile(c)..];
        let accumulate = self.written[source];
        let block = block_rows(c) * c;
        let blocks = into[..len].par_chunks_mut(block).zip(x.par_chunks(block));
        blocks.zip(d.par_chunks(block)).for_each(|((into, x), d)| {
            self.scratch.with(|scratch| {
                grow(&mut scratch.d, block);
                let out = &mut scratch.d[..into.len()];
                norm::input_gradient(d, x, table, out);
                elementwise::give(out, into, accumulate);
            });
        });
        self.grads[slot] = into;
    }
}

/// Adds the parts' weight gradients in order.
fn reduce_parts(partial: &[f32], parts: usize, out: &mut [f32]) {
    let len = out.len();
    out.par_chunks_mut(4096).enumerate().for_each(|(i, out)| {
        let at = i * 4096;
        for part in 0..parts {
            elementwise::give(&partial[part * len + at..][..out.len()], out, part > 0);
        }
    });
}

/// The images of one part in one stage.
struct Task<'a> {
    view: View<'a>,
    stage: &'a Stage,
    layer: Option<&'a Layer>,
    images: Range<usize>,
    sinks: Sinks<'a>,
    sums: &'a mut [f64],
    partial: &'a mut [f32],
}

impl Task<'_> {
    fn run(mut self, scratch: &mut Scratch) {
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
        grow(d, block * shape.c);
        let base = self.base();
        for first in (self.images.start * pixels..self.images.end * pixels).step_by(block) {
            let range = first..(first + block).min(self.images.end * pixels);
            let d = self.view.gradient(self.stage.node, range.clone(), d);
            run.backward(range, base, d, &mut self.sinks, self.sums, chain);
        }
    }

    fn product(&mut self, layer: &Layer, scratch: &mut Scratch) {
        let Scratch { chain, a, d, dx, packed_d, packed_a, .. } = scratch;
        let run = Run::new(self.view, &self.stage.chain);
        let (k, n) = (layer.k, layer.n);
        let per_row = k / self.view.nodes[self.stage.chain.source].shape.c;
        let pixels = layer.geometry.to.h * layer.geometry.to.w;
        let block = block_rows(k.max(n));
        grow(d, block * n);
        grow(dx, block * k);
        grow(packed_d, packed_transposed_len(block, n));
        grow(packed_a, packed_len(block, k));
        let (wants_input, base) = (self.wants_input(), self.base());
        for first in (self.images.start * pixels..self.images.end * pixels).step_by(block) {
            let range = first..(first + block).min(self.images.end * pixels);
            let rows = range.len();
            let inputs = range.start * per_row..range.end * per_row;
            let d = self.view.gradient(self.stage.node, range, d);
            self.bias(layer, d);
            let a = run.read(inputs.clone(), a, chain);
            pack_transposed(d, rows, n, n, packed_d);
            pack(a, [rows, k], [k, 1], packed_a);
            TransposedProduct {
                d: &packed_d[..packed_transposed_len(rows, n)],
                m: rows,
                o: n,
                panels: &packed_a[..packed_len(rows, k)],
                i: k,
                c: self.partial,
                ldc: k,
            }
            .run();
            if wants_input {
                let dx = &mut dx[..rows * k];
                let (panels, c) = (&layer.back, &mut *dx);
                Product { a: d, lda: n, rows, k: n, panels, n: k, c, ldc: k, accumulate: false }
                    .run();
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
        let Scratch { chain, band, d, d_band, dx, taps, .. } = scratch;
        grow(band, geometry.band_len(rows_per_band));
        grow(d, rows_per_band.max(1) * to.w * c);
        grow(taps, layer.k * c);
        let taps = &mut taps[..layer.k * c];
        taps.fill(0.0);
        let [kh, kw] = geometry.window.kernel;
        let width = from.w + kw - 1;
        let back_rows = (BAND / (width * c)).saturating_sub(kh - 1).clamp(1, from.h);
        grow(d_band, (back_rows + kh - 1) * width * c);
        grow(dx, back_rows * from.w * c);
        let (wants_input, base) = (self.wants_input(), self.base());
        for image in self.images.clone() {
            let (in_pixel, out_pixel) = (image * from.h * from.w, image * to.h * to.w);
            for start in (0..to.h).step_by(rows_per_band) {
                let rows = start..(start + rows_per_band).min(to.h);
                geometry.fill_band(rows.clone(), band, |y, row| {
                    let first = in_pixel + y * from.w;
                    run.forward(first..first + from.w, row, chain);
                });
                let pixels = out_pixel + rows.start * to.w..out_pixel + rows.end * to.w;
                let d = self.view.gradient(self.stage.node, pixels, d);
                self.bias(layer, d);
                depthwise::weight_gradient(&band_of(layer, rows.len()), band, d, taps);
            }
            if !wants_input {
                continue;
            }
            for start in (0..from.h).step_by(back_rows) {
                let rows = start..(start + back_rows).min(from.h);
                self.spread(layer, out_pixel, rows.clone(), d, d_band);
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
    fn spread(
        &self,
        layer: &Layer,
        out_pixel: usize,
        rows: Range<usize>,
        d: &mut Vec<f32>,
        band: &mut [f32],
    ) {
        let geometry = layer.geometry;
        let (from, to, c) = (geometry.from, geometry.to, geometry.to.c);
        let ([kh, kw], [sy, sx]) = (geometry.window.kernel, geometry.window.stride);
        let [top, left, ..] = geometry.window.pads;
        let width = (from.w + kw - 1) * c;
        let count = rows.len() + kh - 1;
        grow(d, to.w * c);
        for (r, row) in band[..count * width].chunks_exact_mut(width).enumerate() {
            row.fill(0.0);
            let Some(y) = (rows.start + top + r).checked_sub(kh - 1) else { continue };
            if y % sy != 0 || y / sy >= to.h {
                continue;
            }
            let first = out_pixel + y / sy * to.w;
            let d = self.view.gradient(self.stage.node, first..first + to.w, d);
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
        let Scratch { chain, band, d, d_band, dx, unfolded, packed_d, packed_a, .. } = scratch;
        grow(band, geometry.band_len(rows_per_band));
        grow(d, rows_per_band * to.w * c);
        let block = rows_per_band * to.w;
        grow(unfolded, block * k);
        grow(packed_d, packed_transposed_len(block, n));
        grow(packed_a, packed_len(block, k));
        if wants_input {
            grow(d_band, image_rows * width);
            grow(dx, from.len());
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
                    pack_transposed(d, rows, n, c, packed_d);
                    pack(unfolded, [rows, k], [k, 1], packed_a);
                    TransposedProduct {
                        d: &packed_d[..packed_transposed_len(rows, n)],
                        m: rows,
                        o: n,
                        panels: &packed_a[..packed_len(rows, k)],
                        i: k,
                        c: &mut self.partial[group * n * k..][..n * k],
                        ldc: k,
                    }
                    .run();
                    if wants_input {
                        let size = packed_len(n, k);
                        let panels = &layer.back[group * size..][..size];
                        let c_out = unfolded.as_mut_slice();
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
        grow(a, from.c);
        grow(d, node.shape.len());
        grow(dx, from.len());
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
