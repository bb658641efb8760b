//! The executor: buffers, tables and the order of passes.

use crate::binarizer::Binarizer;
use crate::buffer::Buffer;
use crate::chain::{ChainScratch, View};
use crate::error::Error;
use crate::matmul::Packed;
use crate::ops::norm::{self, Moments};
use crate::plan::{PARTS, Plan, Purpose, Stage};
use crate::signs;
use crate::simd::{fill_tile, tile};
use crate::weights::Layer;
use bitat_graph::{Graph, Node, NodeId, Op, ParamId, Role};
use rayon::prelude::*;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// What batch norms do in a forward pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    /// Use the running statistics.
    Eval,
    /// Use the batch's; `running ← (1 − momentum)·running + momentum·batch`.
    Train {
        /// Share of the new batch, 0 to leave the running statistics alone.
        momentum: f32,
    },
    /// Use the batch's and gather them; see [`Net::begin_reestimate`].
    Reestimate,
}

/// Executor of one graph for up to `max_batch` images at a time.
///
/// All buffers are made by [`Net::new`]; passes do not allocate once each thread
/// has run one. Results do not depend on the number of threads.
pub struct Net {
    pub(crate) nodes: Vec<Node>,
    pub(crate) plan: Plan,
    pub(crate) purpose: Purpose,
    pub(crate) max_batch: usize,
    pub(crate) output: NodeId,
    pub(crate) values: Vec<Buffer>,
    pub(crate) grads: Vec<Buffer>,
    /// Gradient at the output of each batch norm that does not share its input's.
    pub(crate) norm_grads: Vec<Buffer>,
    pub(crate) tables: Vec<Buffer>,
    pub(crate) back_tables: Vec<Buffer>,
    pub(crate) norms: Vec<Option<Norm>>,
    pub(crate) layers: Vec<Layer>,
    pub(crate) layer_of: Vec<Option<usize>>,
    pub(crate) gradients: Vec<Buffer>,
    /// Per part: weight gradients; of a wide layer, all.
    pub(crate) partial: Buffer,
    /// Per part: sums per channel.
    pub(crate) sums: Vec<f64>,
    pub(crate) sums_per_part: usize,
    /// Statistics of one batch norm, while they are put together.
    joined: Vec<Moments>,
    /// What wide layers' weight gradients are made of, all images.
    pub(crate) rows: [Buffer; 2],
    /// Signs of a wide layer's input.
    pub(crate) columns: Vec<u32>,
    pub(crate) scratch: ScratchPool,
    /// Images and mode of the last forward pass.
    pub(crate) last: Option<(usize, Mode)>,
    pub(crate) written: Vec<bool>,
    pub(crate) profile: Option<Profile>,
}

/// Where the time goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Making, rounding and packing the weights.
    pub prepare: Duration,
    /// Taking weight gradients back to parameters.
    pub finish: Duration,
    /// One per stored node.
    pub stages: Vec<StageTime>,
}

/// Times of one stored node and of the element-wise nodes computed with it.
#[derive(Clone, Debug, PartialEq)]
pub struct StageTime {
    /// The stored node.
    pub node: NodeId,
    /// The element-wise nodes evaluated on the way to it, itself included if it is one.
    pub chain: Vec<NodeId>,
    /// Time of forward passes.
    pub forward: Duration,
    /// Time of backward passes.
    pub backward: Duration,
}

/// A batch norm's statistics in the last forward pass.
#[derive(Clone, Debug)]
pub(crate) struct Norm {
    pub(crate) mean: Vec<f64>,
    pub(crate) istd: Vec<f64>,
    gathered: Vec<Moments>,
}

/// Working memory of one thread.
#[derive(Default)]
pub(crate) struct Scratch {
    pub(crate) chain: ChainScratch,
    pub(crate) a: Buffer,
    pub(crate) d: Buffer,
    pub(crate) dx: Buffer,
    pub(crate) band: Buffer,
    pub(crate) d_band: Buffer,
    pub(crate) unfolded: Buffer,
    pub(crate) packed: Packed,
    pub(crate) signs: signs::Scratch,
    pub(crate) pivot: Vec<f32>,
    pub(crate) taps: Buffer,
}

/// Scratch memory, one per running task, kept between passes.
#[derive(Default)]
pub(crate) struct ScratchPool(Mutex<Vec<Scratch>>);

impl ScratchPool {
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut Scratch) -> R) -> R {
        let lock = || self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut scratch = lock().pop().unwrap_or_default();
        let result = f(&mut scratch);
        lock().push(scratch);
        result
    }
}

impl Net {
    /// Lays out and allocates everything a pass over `max_batch` images needs.
    ///
    /// `keep` names nodes whose value (and, unless for [`Purpose::Eval`], gradient)
    /// is to stay readable besides the output's; [`Purpose::Inspect`] keeps all.
    /// The graph's structure must not change while the net is used; parameters may.
    ///
    /// # Errors
    /// If the graph is not one (no input, wrong order, unknown node), the batch is 0, or
    /// a node that is evaluated only is to be trained.
    pub fn new(
        graph: &Graph,
        max_batch: usize,
        purpose: Purpose,
        keep: &[NodeId],
    ) -> Result<Net, Error> {
        if max_batch == 0 {
            return Err(Error::EmptyBatch);
        }
        let plan = Plan::new(graph, purpose, keep)?;
        let training = purpose != Purpose::Eval;
        let count = graph.nodes.len();
        let buffers = |lens: &[usize]| -> Vec<Buffer> {
            lens.iter().map(|len| Buffer::zeros(len * max_batch)).collect()
        };
        let layers: Vec<Layer> = plan
            .stages
            .iter()
            .filter_map(|stage| Layer::new(graph, stage.node, training))
            .collect();
        let mut layer_of = vec![None; count];
        for (i, layer) in layers.iter().enumerate() {
            layer_of[layer.node] = Some(i);
        }
        let mut norm_grads = vec![Buffer::default(); count];
        for (id, norms) in plan.norms.iter().enumerate().filter(|_| training) {
            for bn in norms.iter().filter(|_| plan.lazy_norm[id].is_none()) {
                norm_grads[*bn] = Buffer::zeros(graph.nodes[id].shape.len() * max_batch);
            }
        }
        let gathered = layers.iter().map(|l| {
            let parts = if l.is_wide(max_batch) { 1 } else { PARTS };
            l.gathered_len() * parts
        });
        let gathered = gathered.max().unwrap_or(0);
        let channels = graph.nodes.iter().map(|n| n.shape.c).max().unwrap_or(0);
        let chain = plan.stages.iter().map(|s| s.chain.sums).max().unwrap_or(0);
        let sums_per_part = chain + 3 * channels;
        let wide_rows = [0, 1].map(|side| {
            let wide = layers.iter().filter(|l| l.is_wide(max_batch));
            wide.map(|l| max_batch * l.row_lens()[side]).max().unwrap_or(0)
        });
        let gradients = graph.params.iter().map(|p| {
            let len = if training && p.role != Role::Statistic { p.data.len() } else { 0 };
            Buffer::zeros(len)
        });
        let norms = graph.nodes.iter().map(|node| {
            matches!(node.op, Op::BatchNorm { .. }).then(|| Norm {
                mean: vec![0.0; node.shape.c],
                istd: vec![0.0; node.shape.c],
                gathered: vec![Moments::default(); node.shape.c],
            })
        });
        Ok(Net {
            nodes: graph.nodes.clone(),
            purpose,
            max_batch,
            output: graph.output,
            values: buffers(&plan.value_len),
            grads: buffers(&plan.grad_len),
            norm_grads,
            tables: vec![Buffer::default(); count],
            back_tables: vec![Buffer::default(); count],
            norms: norms.collect(),
            layer_of,
            partial: Buffer::zeros(if training { gathered } else { 0 }),
            layers,
            gradients: gradients.collect(),
            sums: vec![0.0; sums_per_part * PARTS],
            sums_per_part,
            joined: vec![Moments::default(); channels],
            rows: wide_rows.map(|len| Buffer::zeros(if training { len } else { 0 })),
            columns: Vec::new(),
            scratch: ScratchPool::default(),
            last: None,
            written: vec![false; count],
            profile: None,
            plan,
        })
    }

    /// Computes the scores `[n][classes]` of `n` preprocessed images, NHWC.
    ///
    /// # Panics
    /// If `n` is 0 or above the `max_batch` of [`Net::new`], `images` is not `n`
    /// images long, or the graph's structure is not the one given there.
    pub fn forward(
        &mut self,
        graph: &mut Graph,
        binarizer: &dyn Binarizer,
        images: &[f32],
        n: usize,
        mode: Mode,
    ) -> &[f32] {
        assert!(n > 0 && n <= self.max_batch, "{n} images in a net for {}", self.max_batch);
        assert_eq!(images.len(), n * self.nodes[0].shape.len(), "length of the images");
        assert_eq!(graph.nodes.len(), self.nodes.len(), "not the graph this net was made for");
        self.last = Some((n, mode));
        // One entry into the thread pool, not one for each of its many parts.
        rayon::scope(|_| self.forward_inside(graph, binarizer, images, n, mode));
        let len = n * self.nodes[self.output].shape.len();
        &self.values[self.plan.value[self.output].unwrap_or(0)][..len]
    }

    fn forward_inside(
        &mut self,
        graph: &mut Graph,
        binarizer: &dyn Binarizer,
        images: &[f32],
        n: usize,
        mode: Mode,
    ) {
        let start = Instant::now();
        let layers = self.layers.par_iter_mut().with_max_len(1);
        layers.for_each(|layer| layer.prepare(graph, binarizer));
        self.fill_tables(graph, mode);
        self.note(start, |p| &mut p.prepare);
        for i in 0..self.plan.stages.len() {
            let start = Instant::now();
            self.forward_stage(i, images, n, mode);
            let node = self.plan.stages[i].node;
            if mode != Mode::Eval {
                for i in 0..self.plan.norms[node].len() {
                    self.finish_norm(graph, self.plan.norms[node][i], n, mode);
                }
            }
            self.note(start, |p| &mut p.stages[i].forward);
        }
    }

    /// The value of a node in the last forward pass, `n` images.
    ///
    /// # Panics
    /// If the node was not kept (see [`Net::new`]).
    pub fn activation(&self, node: NodeId) -> &[f32] {
        assert!(self.plan.kept[node], "node '{}' was not kept", self.nodes[node].name);
        let n = self.last.map_or(0, |(n, _)| n);
        self.plan.value[node]
            .map_or(&[], |slot| &self.values[slot][..n * self.nodes[node].shape.len()])
    }

    /// The gradient at a node in the last backward pass, `n` images; empty if
    /// nothing at or above the node is trained.
    ///
    /// # Panics
    /// If the node was not kept (see [`Net::new`]).
    pub fn node_gradient(&self, node: NodeId) -> &[f32] {
        assert!(self.plan.kept[node], "node '{}' was not kept", self.nodes[node].name);
        let n = self.last.map_or(0, |(n, _)| n);
        self.plan.grad[node]
            .map_or(&[], |slot| &self.grads[slot][..n * self.nodes[node].shape.len()])
    }

    /// The gradient of a parameter in the last backward pass; empty for statistics.
    pub fn gradient(&self, param: ParamId) -> &[f32] {
        &self.gradients[param]
    }

    /// Bytes of activations and gradients held.
    pub fn bytes(&self) -> usize {
        let floats: usize = [&self.values, &self.grads, &self.norm_grads]
            .iter()
            .flat_map(|v| v.iter().map(|b| b.len()))
            .sum();
        4 * (floats + self.partial.len())
    }

    /// Forgets what was gathered, so that the next passes in [`Mode::Reestimate`]
    /// start afresh.
    pub fn begin_reestimate(&mut self) {
        for norm in self.norms.iter_mut().flatten() {
            norm.gathered.fill(Moments::default());
        }
    }

    /// Sets every running mean and variance to that of all images seen since
    /// [`Net::begin_reestimate`], exactly; leaves them where nothing was seen.
    pub fn finish_reestimate(&mut self, graph: &mut Graph) {
        for (node, norm) in self.nodes.iter().zip(&self.norms) {
            let (Op::BatchNorm { mean, var, .. }, Some(norm)) = (&node.op, norm) else {
                continue;
            };
            for (c, moments) in norm.gathered.iter().enumerate().filter(|(_, m)| m.count > 0.0) {
                graph.params[*mean].data[c] = moments.mean as f32;
                graph.params[*var].data[c] = moments.unbiased() as f32;
            }
        }
    }

    /// Starts (or restarts) or stops taking times.
    pub fn set_profiling(&mut self, on: bool) {
        let stage = |s: &Stage| StageTime {
            node: s.node,
            chain: s.chain.steps.iter().map(|s| s.node).collect(),
            forward: Duration::ZERO,
            backward: Duration::ZERO,
        };
        self.profile = on.then(|| Profile {
            prepare: Duration::ZERO,
            finish: Duration::ZERO,
            stages: self.plan.stages.iter().map(stage).collect(),
        });
    }

    /// Times summed over the passes since [`Net::set_profiling`].
    pub fn profile(&self) -> Option<&Profile> {
        self.profile.as_ref()
    }

    pub(crate) fn note(
        &mut self,
        start: Instant,
        which: impl FnOnce(&mut Profile) -> &mut Duration,
    ) {
        if let Some(profile) = &mut self.profile {
            *which(profile) += start.elapsed();
        }
    }

    pub(crate) fn view(&self) -> View<'_> {
        View {
            nodes: &self.nodes,
            plan: &self.plan,
            values: &self.values,
            tables: &self.tables,
            back_tables: &self.back_tables,
            grads: &self.grads,
        }
    }

    /// Lays the per-channel parameters out as tiles.
    fn fill_tables(&mut self, graph: &Graph, mode: Mode) {
        for (id, node) in self.nodes.iter().enumerate() {
            let table = &mut self.tables[id];
            let width = tile(node.shape.c.max(1));
            match node.op {
                Op::Conv { bias: Some(p), .. }
                | Op::Dense { bias: Some(p), .. }
                | Op::Prelu { slope: p }
                | Op::Sign { threshold: p } => {
                    table.resize(width);
                    fill_tile(table, &graph.params[p].data);
                }
                Op::ShiftedPrelu { before, slope, after } => {
                    table.resize(3 * width);
                    for (table, p) in table.chunks_exact_mut(width).zip([before, slope, after]) {
                        fill_tile(table, &graph.params[p].data);
                    }
                }
                Op::Requantise { .. } => {
                    let params = node.op.params();
                    table.resize(params.len() * width);
                    for (table, p) in table.chunks_exact_mut(width).zip(params) {
                        fill_tile(table, &graph.params[p].data);
                    }
                }
                Op::BatchNorm { mean, var, eps, .. } => {
                    let Some(norm) = &mut self.norms[id] else { continue };
                    if mode == Mode::Eval {
                        for (c, out) in norm.mean.iter_mut().enumerate() {
                            *out = f64::from(graph.params[mean].data[c]);
                        }
                        for (c, out) in norm.istd.iter_mut().enumerate() {
                            let var = f64::from(graph.params[var].data[c]);
                            *out = 1.0 / (var + f64::from(eps)).sqrt();
                        }
                        norm_tables(graph, node, norm, table, &mut self.back_tables[id]);
                    }
                }
                _ => {}
            }
        }
    }

    /// After the input of a batch norm was written: statistics and tables.
    fn finish_norm(&mut self, graph: &mut Graph, bn: NodeId, n: usize, mode: Mode) {
        let node = &self.nodes[bn];
        let (Op::BatchNorm { mean, var, eps, .. }, Some(norm)) = (&node.op, &mut self.norms[bn])
        else {
            return;
        };
        let c = node.shape.c;
        let source = node.inputs[0];
        let per_part = self.plan.per_part(source, n);
        let all = &mut self.joined[..c];
        all.fill(Moments::default());
        for (part, sums) in self.sums.chunks_exact(self.sums_per_part).enumerate() {
            let images = per_part.min(n.saturating_sub(part * per_part));
            if images > 0 {
                norm::join_all(all, (images * node.shape.h * node.shape.w) as f64, sums);
            }
        }
        for (channel, &all) in all.iter().enumerate() {
            norm.mean[channel] = all.mean;
            norm.istd[channel] = 1.0 / (all.variance() + f64::from(*eps)).sqrt();
            match mode {
                Mode::Train { momentum } => {
                    let blend = |old: &mut f32, new: f64| *old += momentum * (new as f32 - *old);
                    blend(&mut graph.params[*mean].data[channel], all.mean);
                    blend(&mut graph.params[*var].data[channel], all.unbiased());
                }
                Mode::Reestimate => {
                    norm.gathered[channel] = norm.gathered[channel].join(all);
                }
                Mode::Eval => {}
            }
        }
        norm_tables(graph, node, norm, &mut self.tables[bn], &mut self.back_tables[bn]);
    }
}

/// Scale and shift of the forward map, and the mean for the backward pass.
fn norm_tables(graph: &Graph, node: &Node, norm: &Norm, table: &mut Buffer, back: &mut Buffer) {
    let Op::BatchNorm { gamma, beta, .. } = node.op else {
        return;
    };
    let c = node.shape.c;
    let width = tile(c);
    table.resize(2 * width);
    back.resize(4 * width);
    for i in 0..width {
        let channel = i % c;
        let scale = f64::from(graph.params[gamma].data[channel]) * norm.istd[channel];
        let shift = f64::from(graph.params[beta].data[channel]) - norm.mean[channel] * scale;
        table[i] = scale as f32;
        table[width + i] = shift as f32;
        back[i] = norm.mean[channel] as f32;
    }
}
