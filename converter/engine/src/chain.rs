//! Evaluation of element-wise chains, forward and backward, a cache-sized block
//! of pixels at a time.

use crate::buffer::Buffer;
use crate::ops::shortcut::Map;
use crate::ops::{elementwise as ew, fused, norm, shortcut};
use crate::plan::{Chain, Kind, MAX_SIDES, Pattern, Plan, Step};
use crate::simd::tile;
use bitat_graph::{Node, NodeId};
use std::ops::Range;

/// Floats of a block that all steps of a chain run over while it is in the
/// first-level cache.
const BLOCK: usize = 2048;

/// Tiles of a block of a chain computed in one pass.
const PASS_TILES: usize = 32;

/// What a pass reads: the plan, stored values and per-channel tables.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) nodes: &'a [Node],
    pub(crate) plan: &'a Plan,
    pub(crate) values: &'a [Buffer],
    /// Per node: tiles of what its forward pass needs.
    pub(crate) tables: &'a [Buffer],
    /// Per batch norm: tile of the mean, then `a`, `b`, `e` of its input gradient.
    pub(crate) back_tables: &'a [Buffer],
    pub(crate) grads: &'a [Buffer],
}

impl<'a> View<'a> {
    /// A stored node's values, all images.
    pub(crate) fn value(&self, node: NodeId) -> &'a [f32] {
        self.plan.value[node].map_or(&[], |slot| &*self.values[slot])
    }

    /// The gradient at a stored node for `pixels`, finishing its batch norm's
    /// gradient where that was left to the reader.
    pub(crate) fn gradient<'b>(
        &self,
        node: NodeId,
        pixels: Range<usize>,
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
    steps: Vec<Buffer>,
    /// Values, then gradients, of a side that is a shortcut.
    side: Buffer,
    /// The gradient on its way back.
    d: Buffer,
    mean: Buffer,
}

impl ChainScratch {
    fn fit(&mut self, steps: usize, block: usize, run: &Run<'_>) {
        if self.steps.len() < steps {
            self.steps.resize_with(steps, Buffer::default);
        }
        for buffer in &mut self.steps[..steps] {
            buffer.grow(block);
        }
        self.d.grow(block);
        for side in run.chain.steps.iter().filter_map(|s| s.kind.side()) {
            self.side.grow(block);
            self.mean.grow(run.view.nodes[side].shape.c);
        }
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

    /// Pixels of a block: a whole number of tiles. A chain computed in one pass has
    /// nothing to keep in the first-level cache, only sums to flush.
    fn block(&self) -> usize {
        let tile = tile(self.c);
        let tiles =
            if self.chain.pattern == Pattern::Steps { (BLOCK / tile).max(1) } else { PASS_TILES };
        tiles * tile / self.c
    }

    /// The values at the chain's end for `pixels`, counted over all images:
    /// borrowed if the chain is empty, else computed into `out`.
    pub(crate) fn read<'b>(
        &self,
        pixels: Range<usize>,
        out: &'b mut Buffer,
        scratch: &mut ChainScratch,
    ) -> &'b [f32]
    where
        'a: 'b,
    {
        if self.chain.steps.is_empty() {
            return &self.view.value(self.chain.source)[pixels.start * self.c..pixels.end * self.c];
        }
        let len = pixels.len() * self.c;
        out.grow(len);
        self.forward(pixels, &mut out[..len], scratch);
        &out[..len]
    }

    /// Computes the values at the chain's end for `pixels` into `out`.
    pub(crate) fn forward(
        &self,
        pixels: Range<usize>,
        out: &mut [f32],
        scratch: &mut ChainScratch,
    ) {
        let source = self.view.value(self.chain.source);
        let Some((last, steps)) = self.chain.steps.split_last() else {
            out.copy_from_slice(&source[pixels.start * self.c..pixels.end * self.c]);
            return;
        };
        let block = self.block();
        let buffers = if self.chain.pattern == Pattern::Steps { 2 } else { 0 };
        scratch.fit(buffers, block * self.c, self);
        for (i, out) in out.chunks_mut(block * self.c).enumerate() {
            let first = pixels.start + i * block;
            let input = &source[first * self.c..][..out.len()];
            if self.forward_at_once(first, input, out, scratch) {
                continue;
            }
            let ChainScratch { steps: buffers, side, mean, .. } = &mut *scratch;
            let (even, odd) = buffers.split_at_mut(1);
            let (mut from, mut to) = (&mut even[0][..out.len()], &mut odd[0][..out.len()]);
            let mut input = input;
            for step in steps {
                self.step(step, first, input, to, side, mean);
                std::mem::swap(&mut from, &mut to);
                input = from;
            }
            self.step(last, first, input, out, side, mean);
        }
    }

    /// The whole chain in one pass, if it is one of those that can be.
    fn forward_at_once(
        &self,
        first: usize,
        x: &[f32],
        y: &mut [f32],
        scratch: &mut ChainScratch,
    ) -> bool {
        let table = |i: usize| &*self.view.tables[self.chain.steps[i].node];
        match self.chain.pattern {
            Pattern::Steps => return false,
            Pattern::NormSign => fused::norm_sign(x, y, table(0), table(1)),
            Pattern::NormClip { lo, hi } => fused::norm_clip(x, y, table(0), lo, hi),
            Pattern::NormPrelu => fused::norm_prelu(x, y, table(0), table(1)),
            Pattern::NormAddPrelu => {
                let ChainScratch { side, mean, .. } = scratch;
                let other = self.side(&self.chain.steps[1], first, x.len(), side, mean);
                fused::norm_add_prelu(x, other, y, table(0), table(2));
            }
            Pattern::Narrow { frac } => ew::narrow(x, y, frac),
        }
        true
    }

    /// Takes the gradient `d` at the chain's end for `pixels` back to its inputs:
    /// to `sinks` (source first), whose slices begin with pixel `base` of the
    /// source, and parameter gradients to `sums`.
    pub(crate) fn backward(
        &self,
        pixels: Range<usize>,
        base: usize,
        d: &[f32],
        sinks: &mut Sinks<'_>,
        sums: &mut [f64],
        scratch: &mut ChainScratch,
    ) {
        let steps = &self.chain.steps;
        let source = self.view.value(self.chain.source);
        let block = self.block();
        let buffers = if self.chain.pattern == Pattern::Steps { steps.len() } else { 0 };
        scratch.fit(buffers, block * self.c, self);
        let sums = &mut sums[..self.chain.sums];
        for (i, d) in d.chunks(block * self.c).enumerate() {
            let first = pixels.start + i * block;
            let len = d.len();
            let input = &source[first * self.c..][..len];
            for sink in &mut sinks.list {
                sink.touched = false;
            }
            if self.backward_at_once(first, base, input, d, sinks, sums, scratch) {
                continue;
            }
            let ChainScratch { steps: buffers, side, d: back, mean } = &mut *scratch;
            let back = &mut back[..len];
            back.copy_from_slice(d);
            for (k, step) in steps.iter().enumerate().take(steps.len().saturating_sub(1)) {
                let (before, after) = buffers.split_at_mut(k);
                let x = before.last().map_or(input, |b| &b[..len]);
                self.step(step, first, x, &mut after[0][..len], side, mean);
            }
            for (k, step) in steps.iter().enumerate().rev() {
                let x = if k == 0 { input } else { &buffers[k - 1][..len] };
                self.step_back(step, x, back, sums);
                if let Some(other) = step.kind.side() {
                    self.give_side(step, other, first, base, back, sinks, mean);
                }
            }
            let sink = &mut sinks.list[0];
            if sink.node.is_some() {
                let (into, accumulate) = sink.open();
                ew::give(back, &mut into[(first - base) * self.c..][..len], accumulate);
            }
        }
    }

    /// The whole chain in one pass, if it is one of those that can be.
    #[allow(clippy::too_many_arguments)]
    fn backward_at_once(
        &self,
        first: usize,
        base: usize,
        x: &[f32],
        d: &[f32],
        sinks: &mut Sinks<'_>,
        sums: &mut [f64],
        scratch: &mut ChainScratch,
    ) -> bool {
        let (steps, len, c) = (&self.chain.steps, d.len(), self.c);
        if self.chain.pattern == Pattern::Steps {
            return false;
        }
        let table = |i: usize| &*self.view.tables[steps[i].node];
        let norm = table(0);
        let ChainScratch { side, d: back, mean: pixel, .. } = scratch;
        let [source_sink, side_sinks @ ..] = &mut sinks.list;
        let at = (first - base) * c;
        // Where nobody wants the gradient, it still makes the parameters' sums.
        let (into, accumulate) = if source_sink.node.is_some() {
            let (into, accumulate) = source_sink.open();
            (&mut into[at..at + len], accumulate)
        } else {
            (&mut back[..len], false)
        };
        if let Pattern::Narrow { frac } = self.chain.pattern {
            if accumulate {
                ew::narrow_back_to(x, d, frac, into);
            } else {
                ew::narrow_back(x, d, frac, into);
            }
            return true;
        }
        let mean = &self.view.back_tables[steps[0].node][..tile(c)];
        match self.chain.pattern {
            Pattern::NormSign => fused::norm_sign_back(x, d, into, norm, mean, table(1), sums),
            Pattern::NormClip { lo, hi } => {
                fused::norm_clip_back(x, d, into, norm, mean, lo, hi, sums);
            }
            Pattern::NormPrelu => fused::norm_prelu_back(x, d, into, norm, mean, table(1), sums),
            _ => {
                let step = &steps[1];
                let other = self.side(step, first, len, side, pixel);
                let sink = side_sinks.iter_mut().find(|s| s.node == step.kind.side());
                match sink {
                    Some(sink) if self.plain_side(step) => {
                        let (side, accumulate) = sink.open();
                        let side = &mut side[at..at + len];
                        let prelu = table(2);
                        fused::norm_add_prelu_back(
                            x, other, d, into, side, accumulate, norm, mean, prelu, sums,
                        );
                    }
                    sink => {
                        fused::norm_add_prelu_back_alone(
                            x,
                            other,
                            d,
                            into,
                            norm,
                            mean,
                            table(2),
                            sums,
                        );
                        // The batch norm's and the sum's gradients are the same.
                        if let (Some(sink), Some(map)) = (sink, self.map(step)) {
                            let (side, accumulate) = sink.open();
                            shortcut::give_back(&map, into, first - base, side, accumulate, pixel);
                        }
                    }
                }
            }
        }
        true
    }

    /// Whether an addition's side is a stored node's pixels as they are.
    fn plain_side(&self, step: &Step) -> bool {
        self.map(step).is_none_or(|map| map.identity())
    }

    /// The values that an addition adds, from pixel `first`.
    fn side<'b>(
        &self,
        step: &Step,
        first: usize,
        len: usize,
        buffer: &'b mut [f32],
        mean: &mut [f32],
    ) -> &'b [f32]
    where
        'a: 'b,
    {
        let other = step.kind.side().map_or(&[][..], |other| self.view.value(other));
        match self.map(step) {
            Some(map) if !map.identity() => {
                shortcut::read(&map, other, first, &mut buffer[..len], mean);
                &buffer[..len]
            }
            _ => &other[first * self.c..][..len],
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn give_side(
        &self,
        step: &Step,
        other: NodeId,
        first: usize,
        base: usize,
        d: &[f32],
        sinks: &mut Sinks<'_>,
        mean: &mut [f32],
    ) {
        let Some(sink) = sinks.list.iter_mut().find(|s| s.node == Some(other)) else {
            return;
        };
        let (into, accumulate) = sink.open();
        match self.map(step) {
            Some(map) if !map.identity() => {
                shortcut::give_back(&map, d, first - base, into, accumulate, mean);
            }
            _ => ew::give(d, &mut into[(first - base) * self.c..][..d.len()], accumulate),
        }
    }

    fn step(
        &self,
        step: &Step,
        first: usize,
        x: &[f32],
        y: &mut [f32],
        side: &mut [f32],
        mean: &mut [f32],
    ) {
        let table = &self.view.tables[step.node];
        match step.kind {
            Kind::Affine => ew::affine(x, y, table),
            Kind::Relu => ew::relu(x, y),
            Kind::Clip { lo, hi } => ew::clip(x, y, lo, hi),
            Kind::Prelu => ew::prelu(x, y, table),
            Kind::ShiftedPrelu => ew::shifted_prelu(x, y, table),
            Kind::Sign => ew::sign(x, y, table),
            Kind::Narrow { frac } => ew::narrow(x, y, frac),
            Kind::Add { .. } | Kind::AddShortcut { .. } => {
                ew::add(x, self.side(step, first, x.len(), side, mean), y);
            }
        }
    }

    fn step_back(&self, step: &Step, x: &[f32], d: &mut [f32], sums: &mut [f64]) {
        let table = &self.view.tables[step.node];
        let c = self.c;
        let sums = &mut sums[step.sums_at..];
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
            Kind::Narrow { frac } => ew::narrow_back_in_place(x, d, frac),
            Kind::Add { .. } | Kind::AddShortcut { .. } => {}
        }
    }

    /// The geometry of a shortcut that is added.
    fn map(&self, step: &Step) -> Option<Map> {
        let Kind::AddShortcut { other, pool } = step.kind else {
            return None;
        };
        let (from, to) = (self.view.nodes[other].shape, self.view.nodes[step.node].shape);
        Some(Map { from, to, pool })
    }
}
