//! Evaluation of element-wise chains, forward and backward, a cache-sized block
//! of pixels at a time.

use crate::ops::shortcut::Map;
use crate::ops::{elementwise as ew, norm, shortcut};
use crate::plan::{Chain, Kind, MAX_SIDES, Plan, Step};
use crate::simd::tile;
use bitat_graph::{Node, NodeId};

/// Floats of a block that all steps of a chain run over while it is in the
/// first-level cache.
const BLOCK: usize = 2048;

/// What a pass reads: the plan, stored values and per-channel tables.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) nodes: &'a [Node],
    pub(crate) plan: &'a Plan,
    pub(crate) values: &'a [Vec<f32>],
    /// Per node: tiles of what its forward pass needs.
    pub(crate) tables: &'a [Vec<f32>],
    /// Per batch norm: tile of the mean, then `a`, `b`, `e` of its input gradient.
    pub(crate) back_tables: &'a [Vec<f32>],
    pub(crate) grads: &'a [Vec<f32>],
}

impl<'a> View<'a> {
    /// A stored node's values, all images.
    pub(crate) fn value(&self, node: NodeId) -> &'a [f32] {
        self.plan.value[node].map_or(&[], |slot| self.values[slot].as_slice())
    }

    /// The gradient at a stored node for `pixels`, finishing its batch norm's
    /// gradient where that was left to the reader.
    pub(crate) fn gradient<'b>(
        &self,
        node: NodeId,
        pixels: std::ops::Range<usize>,
        scratch: &'b mut [f32],
    ) -> &'b [f32]
    where
        'a: 'b,
    {
        let c = self.nodes[node].shape.c;
        let range = pixels.start * c..pixels.end * c;
        let Some(slot) = self.plan.grad[node] else {
            return &[];
        };
        let d = &self.grads[slot][range.clone()];
        match self.plan.lazy_norm[node] {
            None => d,
            Some(bn) => {
                let table = &self.back_tables[bn][tile(c)..];
                let out = &mut scratch[..range.len()];
                norm::input_gradient(d, &self.value(node)[range], table, out);
                out
            }
        }
    }
}

/// Working memory of one thread's block.
#[derive(Default)]
pub(crate) struct ChainScratch {
    steps: Vec<Vec<f32>>,
    mean: Vec<f32>,
}

impl ChainScratch {
    fn fit(&mut self, steps: usize, block: usize, view: &View<'_>, chain: &Chain) {
        if self.steps.len() < steps {
            self.steps.resize_with(steps, Vec::new);
        }
        for buffer in &mut self.steps[..steps] {
            grow(buffer, block);
        }
        for side in chain.steps.iter().filter_map(|s| s.kind.side()) {
            grow(&mut self.mean, view.nodes[side].shape.c);
        }
    }
}

/// Makes `buffer` at least `len` long; no work once it is.
pub(crate) fn grow<T: Copy + Default>(buffer: &mut Vec<T>, len: usize) {
    if buffer.len() < len {
        buffer.resize(len, T::default());
    }
}

/// Where a chain's input gradients go: for its source and sides, the part of the
/// gradient buffer for the images at hand.
pub(crate) struct Sinks<'a> {
    pub(crate) list: [Sink<'a>; MAX_SIDES + 1],
}

#[derive(Default)]
pub(crate) struct Sink<'a> {
    /// None: nobody wants it.
    pub(crate) node: Option<NodeId>,
    pub(crate) into: &'a mut [f32],
    pub(crate) accumulate: bool,
    /// Whether this block has been given once already.
    touched: bool,
}

impl<'a> Sink<'a> {
    pub(crate) fn new(node: NodeId, into: &'a mut [f32], accumulate: bool) -> Sink<'a> {
        Sink { node: Some(node), into, accumulate, touched: false }
    }

    /// The slice, and whether to add to it.
    fn open(&mut self) -> (&mut [f32], bool) {
        let accumulate = self.accumulate || self.touched;
        self.touched = true;
        (self.into, accumulate)
    }
}

/// One chain in one pass.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a> {
    pub(crate) view: View<'a>,
    pub(crate) chain: &'a Chain,
    /// Channels, the same all along the chain.
    c: usize,
}

impl<'a> Run<'a> {
    pub(crate) fn new(view: View<'a>, chain: &'a Chain) -> Run<'a> {
        Run { view, chain, c: view.nodes[chain.source].shape.c }
    }

    /// Pixels of a block: a whole number of tiles.
    fn block(&self) -> usize {
        let tile = tile(self.c);
        (BLOCK / tile).max(1) * tile / self.c
    }

    /// The values at the chain's end for `pixels`, counted over all images:
    /// borrowed if the chain is empty, else computed into `out`.
    pub(crate) fn read<'b>(
        &self,
        pixels: std::ops::Range<usize>,
        out: &'b mut Vec<f32>,
        scratch: &mut ChainScratch,
    ) -> &'b [f32]
    where
        'a: 'b,
    {
        if self.chain.steps.is_empty() {
            return &self.view.value(self.chain.source)[pixels.start * self.c..pixels.end * self.c];
        }
        let len = pixels.len() * self.c;
        grow(out, len);
        self.forward(pixels, &mut out[..len], scratch);
        &out[..len]
    }

    /// Computes the values at the chain's end for `pixels` into `out`.
    pub(crate) fn forward(
        &self,
        pixels: std::ops::Range<usize>,
        out: &mut [f32],
        scratch: &mut ChainScratch,
    ) {
        let source = self.view.value(self.chain.source);
        let Some((last, steps)) = self.chain.steps.split_last() else {
            out.copy_from_slice(&source[pixels.start * self.c..pixels.end * self.c]);
            return;
        };
        let block = self.block();
        scratch.fit(2, block * self.c, &self.view, self.chain);
        let ChainScratch { steps: buffers, mean } = scratch;
        for (i, out) in out.chunks_mut(block * self.c).enumerate() {
            let first = pixels.start + i * block;
            let (even, odd) = buffers.split_at_mut(1);
            let (mut from, mut to) = (&mut even[0][..out.len()], &mut odd[0][..out.len()]);
            let mut input = &source[first * self.c..][..out.len()];
            for step in steps {
                self.step(step, first, input, to, mean);
                std::mem::swap(&mut from, &mut to);
                input = from;
            }
            self.step(last, first, input, out, mean);
        }
    }

    /// Takes the gradient `d` at the chain's end for `pixels` back to its inputs:
    /// to `sinks` (source first), whose slices begin with pixel `base` of the
    /// source, and parameter gradients to `sums`.
    pub(crate) fn backward(
        &self,
        pixels: std::ops::Range<usize>,
        base: usize,
        d: &mut [f32],
        sinks: &mut Sinks<'_>,
        sums: &mut [f64],
        scratch: &mut ChainScratch,
    ) {
        let steps = &self.chain.steps;
        let source = self.view.value(self.chain.source);
        let block = self.block();
        scratch.fit(steps.len(), block * self.c, &self.view, self.chain);
        let ChainScratch { steps: buffers, mean } = scratch;
        for (i, d) in d.chunks_mut(block * self.c).enumerate() {
            let first = pixels.start + i * block;
            let len = d.len();
            let input = &source[first * self.c..][..len];
            for (k, step) in steps.iter().enumerate().take(steps.len().saturating_sub(1)) {
                let (before, after) = buffers.split_at_mut(k);
                let x = before.last().map_or(input, |b| &b[..len]);
                self.step(step, first, x, &mut after[0][..len], mean);
            }
            for sink in &mut sinks.list {
                sink.touched = false;
            }
            for (k, step) in steps.iter().enumerate().rev() {
                let x = if k == 0 { input } else { &buffers[k - 1][..len] };
                self.step_back(step, first, base, x, d, sinks, sums, mean);
            }
            let sink = &mut sinks.list[0];
            if sink.node.is_some() {
                let (into, accumulate) = sink.open();
                ew::give(d, &mut into[(first - base) * self.c..][..len], accumulate);
            }
        }
    }

    fn step(&self, step: &Step, first: usize, x: &[f32], y: &mut [f32], mean: &mut [f32]) {
        let table = &self.view.tables[step.node];
        match step.kind {
            Kind::Affine => {
                let (scale, shift) = table.split_at(table.len() / 2);
                ew::affine(x, y, scale, shift);
            }
            Kind::Relu => ew::relu(x, y),
            Kind::Clip { lo, hi } => ew::clip(x, y, lo, hi),
            Kind::Prelu => ew::prelu(x, y, table),
            Kind::ShiftedPrelu => ew::shifted_prelu(x, y, table),
            Kind::Sign => ew::sign(x, y, table),
            Kind::Narrow { frac } => ew::narrow(x, y, frac),
            Kind::Add { other } => {
                ew::add(x, &self.view.value(other)[first * self.c..][..x.len()], y);
            }
            Kind::AddShortcut { other, pool } => {
                let map = self.map(step, other, pool);
                shortcut::add_shortcut(&map, self.view.value(other), first, x, y, mean);
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn step_back(
        &self,
        step: &Step,
        first: usize,
        base: usize,
        x: &[f32],
        d: &mut [f32],
        sinks: &mut Sinks<'_>,
        sums: &mut [f64],
        mean: &mut [f32],
    ) {
        let table = &self.view.tables[step.node];
        let sums = &mut sums[step.sums_at..];
        let c = self.c;
        match step.kind {
            Kind::Affine => {
                let mean = &self.view.back_tables[step.node][..tile(c)];
                norm::gradient_sums(x, d, mean, &mut sums[..2 * c]);
            }
            Kind::Relu => ew::relu_back(x, d),
            Kind::Clip { lo, hi } => ew::clip_back(x, d, lo, hi),
            Kind::Prelu => ew::prelu_back(x, d, table, &mut sums[..c]),
            Kind::ShiftedPrelu => ew::shifted_prelu_back(x, d, table, &mut sums[..3 * c]),
            Kind::Sign => ew::sign_back(x, d, table, &mut sums[..c]),
            Kind::Narrow { frac } => ew::narrow_back(x, d, frac),
            Kind::Add { other } => {
                if let Some(sink) = sinks.list.iter_mut().find(|s| s.node == Some(other)) {
                    let (into, accumulate) = sink.open();
                    ew::give(d, &mut into[(first - base) * c..][..d.len()], accumulate);
                }
            }
            Kind::AddShortcut { other, pool } => {
                let map = self.map(step, other, pool);
                if let Some(sink) = sinks.list.iter_mut().find(|s| s.node == Some(other)) {
                    let (into, accumulate) = sink.open();
                    shortcut::give_shortcut(&map, d, first - base, into, accumulate, mean);
                }
            }
        }
    }

    fn map(&self, step: &Step, other: NodeId, pool: usize) -> Map {
        Map { from: self.view.nodes[other].shape, to: self.view.nodes[step.node].shape, pool }
    }
}
