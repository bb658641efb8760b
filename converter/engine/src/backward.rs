//! The backward pass: stages in reverse, each turning the gradient at its stored
//! node into those of its weights, of its chain's parameters and of the stored
//! nodes the chain reads.

use crate::backward_part::Task;
use crate::binarizer::Binarizer;
use crate::buffer::Buffer;
use crate::chain::{Sink, Sinks};
use crate::forward::{block_rows, images_of, split};
use crate::matmul::TransposedProduct;
use crate::net::{Mode, Net, ScratchPool};
use crate::ops::{elementwise, norm};
use crate::plan::{Kind, MAX_SIDES, PARTS, Purpose};
use crate::signs;
use crate::simd::{lanes, tile};
use crate::weights::Layer;
use bitat_graph::{Graph, NodeId, Op, ParamId};
use rayon::prelude::*;
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
        // One entry into the thread pool, not one for each of its many parts.
        rayon::scope(|_| self.backward_inside(graph, binarizer, seeds, n, mode));
    }

    fn backward_inside(
        &mut self,
        graph: &Graph,
        binarizer: &dyn Binarizer,
        seeds: &[(NodeId, &[f32])],
        n: usize,
        mode: Mode,
    ) {
        self.written.fill(false);
        for (p, gradient) in self.gradients.iter_mut().enumerate() {
            // Those of weights are replaced at the end.
            if self.layers.iter().all(|l| l.weight != p) {
                gradient.fill(0.0);
            }
        }
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
        let layers = self.layers.par_iter_mut().with_max_len(1);
        layers.for_each(|layer| layer.finish(graph, binarizer));
        for i in 0..self.layers.len() {
            let (before, rest) = self.layers.split_at_mut(i);
            let (layer, gradients) = (&mut rest[0], &mut self.gradients);
            if before.iter().any(|l| l.weight == layer.weight) {
                elementwise::give(&layer.d_latent, &mut gradients[layer.weight], true);
            } else {
                std::mem::swap(&mut layer.d_latent, &mut gradients[layer.weight]);
            }
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
        let mut buffers: [Buffer; MAX_SIDES + 1] = Default::default();
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

        let mut rows = std::mem::take(&mut self.rows);
        let wide = layer.filter(|&l| self.layers[l].is_wide(self.max_batch));
        let per_part = self.plan.per_part(node, n);
        {
            let weights = layer.filter(|_| wide.is_none());
            let weights = weights.map_or(0, |l| self.layers[l].gathered_len());
            let [rows_in, rows_out] = &mut rows;
            let row_lens = wide.map_or([0; 2], |l| self.layers[l].row_lens());
            let mut rows = [
                split(&mut rows_in[..n * row_lens[0]], per_part * row_lens[0]).into_iter(),
                split(&mut rows_out[..n * row_lens[1]], per_part * row_lens[1]).into_iter(),
            ];
            let mut sums = split(&mut sums, self.sums_per_part).into_iter();
            let mut partial = split(&mut partial, weights).into_iter();
            let [b0, b1, b2] = &mut buffers;
            let len = |target: Option<NodeId>| {
                per_part * self.nodes[target.unwrap_or(source)].shape.len()
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
                    images: images_of(part, per_part, n),
                    sinks: Sinks { list },
                    sums: sums.next().unwrap_or_default(),
                    partial: partial.next().unwrap_or_default(),
                    rows: [0, 1].map(|side| rows[side].next().unwrap_or_default()),
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
        if let Some(layer) = wide {
            let pixels = n * self.layers[layer].geometry.to.h * self.layers[layer].geometry.to.w;
            let layer = &mut self.layers[layer];
            if layer.reads_signs() {
                let columns = signs::room(&mut self.columns, pixels, layer.k);
                multiply_signs(&rows, pixels, layer, columns, &mut partial);
            } else {
                multiply_rows(&rows, pixels, layer, &self.scratch);
            }
        } else if let Some(layer) = layer {
            let layer = &mut self.layers[layer];
            if layer.reads_signs() {
                reduce_signed(&mut partial, parts, layer);
            } else {
                reduce_parts(&partial, parts, &mut layer.d_effective);
            }
        }
        self.rows = rows;
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
                scratch.d.grow(block);
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

/// The weight gradient of a wide layer, from all its rows at once: every thread makes
/// some outputs' rows of it.
fn multiply_rows(rows: &[Buffer; 2], pixels: usize, layer: &mut Layer, pool: &ScratchPool) {
    let (k, n) = (layer.k, layer.n);
    let outputs = n.div_ceil(WIDE_PARTS).next_multiple_of(24);
    layer.d_effective.par_chunks_mut(outputs * k).enumerate().for_each(|(i, c)| {
        pool.with(|scratch| {
            let (first, o) = (i * outputs, c.len() / k);
            c.fill(0.0);
            let d = &rows[1][first..];
            let a = &rows[0];
            TransposedProduct { d, ldd: n, a, lda: k, m: pixels, o, i: k, c, ldc: k }
                .run(&mut scratch.packed);
        });
    });
}

/// As [`reduce_parts`] where the parts are in the layout of [`signs::add_signed`].
fn reduce_signed(partial: &mut [f32], parts: usize, layer: &mut Layer) {
    let (len, k) = (layer.gathered_len(), layer.k);
    let (total, rest) = partial.split_at_mut(len);
    let block = k * lanes();
    let blocks = total.par_chunks_mut(block).zip(layer.d_effective.par_chunks_mut(block));
    blocks.enumerate().for_each(|(i, (total, out))| {
        for part in rest.chunks_exact(len).take(parts - 1) {
            elementwise::give(&part[i * block..][..block], total, true);
        }
        signs::unfold(total, k, out);
    });
}

/// As [`multiply_rows`] where all inputs are ±1.
fn multiply_signs(
    rows: &[Buffer; 2],
    pixels: usize,
    layer: &mut Layer,
    columns: &mut [u32],
    gathered: &mut [f32],
) {
    let (k, n, len) = (layer.k, layer.n, layer.gathered_len());
    let [a, d] = [&rows[0][..pixels * k], &rows[1][..pixels * n]];
    let words = columns.par_chunks_mut(k).zip(a.par_chunks(signs::WORD * k));
    words.for_each(|(words, a)| signs::pack_columns(a, k, words));
    let columns = &*columns;
    let block = k * lanes();
    let blocks = gathered[..len].par_chunks_mut(block);
    blocks.zip(layer.d_effective.par_chunks_mut(block)).enumerate().for_each(|(i, (c, out))| {
        c.fill(0.0);
        signs::add_signed(d, n, i * lanes(), out.len() / k, columns, k, c);
        signs::unfold(c, k, out);
    });
}

/// Parts that a wide layer's outputs are cut into.
const WIDE_PARTS: usize = 8;
