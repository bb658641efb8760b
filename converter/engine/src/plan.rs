//! What is kept in memory and what is computed on the way.
//!
//! Memory traffic, not arithmetic, is what a small network's training step
//! costs. So only the results of convolutions and pools are stored, and those
//! element-wise results that several nodes read; every other element-wise node
//! is *lazy*: part of a [`Chain`] that its reader evaluates block by block in
//! cache, forward and again on the way back. In the binary block of a MobileNet
//! three tensors per block remain.
//!
//! A batch norm needs sums over the whole batch before anything can pass it, so
//! its input is always stored: its forward sums are taken while that input is
//! written, and its backward sums while the gradient at its *output* is written
//! to the buffer of its input's gradient. The reader of that buffer finishes the
//! batch-norm gradient on the fly (`lazy_norm`).

use crate::error::Error;
use bitat_graph::{Graph, NodeId, Op, Precision, Role};

/// What a [`crate::Net`] is for; decides what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Forward only; buffers are reused as soon as nobody reads them.
    Eval,
    /// Forward and backward, element-wise chains fused.
    Train,
    /// Forward and backward; every node's value and gradient can be read after.
    Inspect,
}

/// A batch is cut into this many runs of images at most. Fixed, so that sums over
/// the batch are added in the same order whatever the number of threads.
pub(crate) const PARTS: usize = 16;

/// Pixels of a part at least, but for the last.
const MIN_PIXELS: usize = 16;

/// Side inputs that one chain may read.
pub(crate) const MAX_SIDES: usize = 2;

/// A run of element-wise nodes from a stored node to their reader.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chain {
    pub(crate) source: NodeId,
    pub(crate) steps: Vec<Step>,
    /// Sums (f64) that a backward pass gathers.
    pub(crate) sums: usize,
    pub(crate) pattern: Pattern,
}

/// Chains that are computed in one pass.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Pattern {
    /// None of those: step by step.
    #[default]
    Steps,
    NormSign,
    NormClip {
        lo: f32,
        hi: f32,
    },
    NormPrelu,
    /// An addition in between, plain or of a shortcut.
    NormAddPrelu,
    Narrow {
        frac: i32,
    },
}

impl Pattern {
    fn of(steps: &[Step]) -> Pattern {
        let kinds = |i: usize| steps.get(i).map(|s| s.kind);
        match (kinds(0), kinds(1), kinds(2), kinds(3)) {
            (Some(Kind::Affine), Some(Kind::Sign), None, _) => Pattern::NormSign,
            (Some(Kind::Affine), Some(Kind::Relu), None, _) => {
                Pattern::NormClip { lo: 0.0, hi: f32::INFINITY }
            }
            (Some(Kind::Affine), Some(Kind::Clip { lo, hi }), None, _) => {
                Pattern::NormClip { lo, hi }
            }
            (Some(Kind::Affine), Some(Kind::ShiftedPrelu), None, _) => Pattern::NormPrelu,
            (
                Some(Kind::Affine),
                Some(Kind::Add { .. } | Kind::AddShortcut { .. }),
                Some(Kind::ShiftedPrelu),
                None,
            ) => Pattern::NormAddPrelu,
            (Some(Kind::Narrow { frac }), None, ..) => Pattern::Narrow { frac },
            _ => Pattern::Steps,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) node: NodeId,
    pub(crate) kind: Kind,
    /// Where this step's parameter gradients stand among the chain's sums.
    pub(crate) sums_at: usize,
}

/// An element-wise operation; per-channel parameters are in the node's table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Affine,
    Relu,
    Clip { lo: f32, hi: f32 },
    Prelu,
    ShiftedPrelu,
    Sign,
    Narrow { frac: i32 },
    Add { other: NodeId },
    AddShortcut { other: NodeId, pool: usize },
}

impl Kind {
    /// The stored node read besides the main one.
    pub(crate) fn side(&self) -> Option<NodeId> {
        match *self {
            Kind::Add { other } | Kind::AddShortcut { other, .. } => Some(other),
            _ => None,
        }
    }

    /// Parameter gradients per channel.
    fn sums(&self) -> usize {
        match self {
            Kind::Affine => 2,
            Kind::Prelu | Kind::Sign => 1,
            Kind::ShiftedPrelu => 3,
            _ => 0,
        }
    }
}

/// Computes one stored node.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) node: NodeId,
    pub(crate) chain: Chain,
    /// A stored node that the node's own operation reads beside the chain.
    pub(crate) side: Option<NodeId>,
}

#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) stages: Vec<Stage>,
    /// Buffer of each stored node's value.
    pub(crate) value: Vec<Option<usize>>,
    /// Floats per image of each value buffer.
    pub(crate) value_len: Vec<usize>,
    /// Buffer of each stored node's gradient, where it has one.
    pub(crate) grad: Vec<Option<usize>>,
    pub(crate) grad_len: Vec<usize>,
    /// For a stored node: the batch norm whose output's gradient is what the
    /// node's gradient buffer holds.
    pub(crate) lazy_norm: Vec<Option<NodeId>>,
    /// For a stored node: the batch norms that read it.
    pub(crate) norms: Vec<Vec<NodeId>>,
    /// Nodes whose value and gradient stay readable.
    pub(crate) kept: Vec<bool>,
    /// Nodes with something trainable at or above them.
    pub(crate) trained: Vec<bool>,
    /// Pixels of each node.
    pixels: Vec<usize>,
}

impl Plan {
    pub(crate) fn new(graph: &Graph, purpose: Purpose, keep: &[NodeId]) -> Result<Plan, Error> {
        let count = graph.nodes.len();
        if !matches!(graph.nodes.first().map(|n| &n.op), Some(Op::Input)) {
            return Err(Error::NoInput);
        }
        for (id, node) in graph.nodes.iter().enumerate() {
            if node.inputs.iter().any(|&i| i >= id) {
                return Err(Error::Order { node: node.name.clone() });
            }
            if purpose != Purpose::Eval && evaluated_only(&node.op) {
                return Err(Error::NotTrained { node: node.name.clone() });
            }
        }
        let mut kept = vec![purpose == Purpose::Inspect; count];
        for &id in keep.iter().chain([&graph.output]) {
            *kept.get_mut(id).ok_or(Error::NoSuchNode(id))? = true;
        }
        let mut needed = kept.clone();
        needed[0] = true;
        for id in (0..count).rev().filter(|&id| needed[id]).collect::<Vec<_>>() {
            mark(graph, id, &mut needed);
        }
        let mut forced = kept.clone();
        let (stored, stages) = loop {
            let layout = Layout::new(graph, &needed, &forced);
            match layout.stages(graph) {
                Ok(stages) => break (layout.stored, stages),
                Err(conflict) => forced[conflict] = true,
            }
        };
        let mut plan = Plan {
            stages,
            value: vec![None; count],
            value_len: Vec::new(),
            grad: vec![None; count],
            grad_len: Vec::new(),
            lazy_norm: vec![None; count],
            norms: vec![Vec::new(); count],
            kept,
            trained: trained(graph),
            pixels: graph.nodes.iter().map(|n| (n.shape.h * n.shape.w).max(1)).collect(),
        };
        plan.place_values(graph, purpose);
        for stage in &plan.stages {
            if let Some(Step { node, kind: Kind::Affine, .. }) = stage.chain.steps.first() {
                plan.norms[stage.chain.source].push(*node);
            }
        }
        if purpose != Purpose::Eval {
            plan.choose_lazy_norms();
            plan.place_gradients(graph, purpose);
        }
        debug_assert!(plan.stages.iter().all(|s| stored[s.node]));
        Ok(plan)
    }

    /// Images per part at a stored node: at most [`PARTS`] parts, none with so few
    /// pixels that the panels of its weights are read for nothing.
    pub(crate) fn per_part(&self, node: NodeId, n: usize) -> usize {
        n.div_ceil(PARTS).max(MIN_PIXELS.div_ceil(self.pixels[node])).min(n)
    }

    /// Stage indices that read a stored node.
    fn readers(&self, node: NodeId) -> impl Iterator<Item = usize> {
        self.stages.iter().enumerate().filter_map(move |(i, stage)| {
            let sides = stage.chain.steps.iter().filter_map(|s| s.kind.side());
            let reads = stage.node != node
                && (stage.chain.source == node || sides.chain(stage.side).any(|s| s == node));
            reads.then_some(i)
        })
    }

    fn place_values(&mut self, graph: &Graph, purpose: Purpose) {
        let mut slots = Slots::default();
        let mut dead: Vec<Vec<NodeId>> = vec![Vec::new(); self.stages.len()];
        for (i, stage) in self.stages.iter().enumerate() {
            let last = self.readers(stage.node).last().unwrap_or(i);
            if purpose == Purpose::Eval && !self.kept[stage.node] {
                dead[last].push(stage.node);
            }
        }
        for (i, dead) in dead.iter().enumerate() {
            let node = self.stages[i].node;
            self.value[node] = Some(slots.take(graph.nodes[node].shape.len()));
            for &node in dead {
                slots.free.extend(self.value[node]);
            }
        }
        self.value_len = slots.len;
    }

    fn choose_lazy_norms(&mut self) {
        let alone = |v: NodeId| {
            let mut readers = self.readers(v);
            let (Some(i), None) = (readers.next(), readers.next()) else {
                return false;
            };
            let chain = &self.stages[i].chain;
            chain.source == v && chain.steps.iter().all(|s| s.kind.side() != Some(v))
        };
        let lazy = |v: NodeId| self.norms[v].first().copied().filter(|_| !self.kept[v] && alone(v));
        self.lazy_norm = (0..self.norms.len()).map(lazy).collect();
    }

    fn place_gradients(&mut self, graph: &Graph, purpose: Purpose) {
        let mut slots = Slots::default();
        let take = |plan: &mut Plan, slots: &mut Slots, node: NodeId| {
            if plan.trained[node] && plan.grad[node].is_none() {
                plan.grad[node] = Some(slots.take(graph.nodes[node].shape.len()));
            }
        };
        for id in 0..graph.nodes.len() {
            if self.kept[id] && self.value[id].is_some() {
                take(self, &mut slots, id);
            }
        }
        for i in (0..self.stages.len()).rev() {
            let chain = &self.stages[i].chain;
            let sides = chain.steps.iter().filter_map(|s| s.kind.side());
            let touched: Vec<NodeId> = sides.chain([chain.source]).collect();
            for node in touched {
                take(self, &mut slots, node);
            }
            let node = self.stages[i].node;
            if purpose == Purpose::Train && !self.kept[node] {
                slots.free.extend(self.grad[node]);
            }
        }
        self.grad_len = slots.len;
    }
}

/// Buffers by index; a freed one goes to the next taker it fits best.
#[derive(Default)]
struct Slots {
    len: Vec<usize>,
    free: Vec<usize>,
}

impl Slots {
    fn take(&mut self, len: usize) -> usize {
        let best = (0..self.free.len())
            .min_by_key(|&i| {
                let have = self.len[self.free[i]];
                if have >= len { (0, have - len) } else { (1, len - have) }
            })
            .map(|i| self.free.swap_remove(i));
        match best {
            Some(slot) => {
                self.len[slot] = self.len[slot].max(len);
                slot
            }
            None => {
                self.len.push(len);
                self.len.len() - 1
            }
        }
    }
}

fn mark(graph: &Graph, id: NodeId, needed: &mut [bool]) {
    let mut stack = vec![id];
    while let Some(id) = stack.pop() {
        for &input in &graph.nodes[id].inputs {
            if !std::mem::replace(&mut needed[input], true) {
                stack.push(input);
            }
        }
    }
}

/// Nodes with a trainable parameter at or above them.
fn trained(graph: &Graph) -> Vec<bool> {
    let mut trained = vec![false; graph.nodes.len()];
    for (id, node) in graph.nodes.iter().enumerate() {
        trained[id] = node.inputs.iter().any(|&i| trained[i])
            || params(&node.op).any(|p| graph.params[p].role != Role::Statistic);
    }
    trained
}

/// The parameters an operation names.
pub(crate) fn params(op: &Op) -> impl Iterator<Item = usize> {
    let list: [Option<usize>; 4] = match *op {
        Op::Conv { weight, bias, .. } | Op::Dense { weight, bias, .. } => {
            [Some(weight), bias, None, None]
        }
        Op::BatchNorm { gamma, beta, mean, var, .. } => {
            [Some(gamma), Some(beta), Some(mean), Some(var)]
        }
        Op::Prelu { slope } => [Some(slope), None, None, None],
        Op::ShiftedPrelu { before, slope, after } => [Some(before), Some(slope), Some(after), None],
        Op::Sign { threshold } => [Some(threshold), None, None, None],
        _ => [None; 4],
    };
    list.into_iter().flatten()
}

/// Operations on integers, which have no gradient.
fn evaluated_only(op: &Op) -> bool {
    match op {
        Op::Conv { precision, .. } | Op::Dense { precision, .. } => *precision == Precision::Double,
        Op::Requantise { .. } | Op::FixedAveragePool { .. } => true,
        _ => false,
    }
}

fn elementwise(op: &Op) -> bool {
    matches!(
        op,
        Op::BatchNorm { .. }
            | Op::Relu
            | Op::Clip { .. }
            | Op::Prelu { .. }
            | Op::ShiftedPrelu { .. }
            | Op::Sign { .. }
            | Op::Narrow { .. }
            | Op::Add
    )
}

/// Which nodes are stored, and which input of an addition is the main one.
struct Layout {
    needed: Vec<bool>,
    stored: Vec<bool>,
    /// Index of the main input of each addition.
    main: Vec<usize>,
}

impl Layout {
    fn new(graph: &Graph, needed: &[bool], forced: &[bool]) -> Layout {
        let count = graph.nodes.len();
        let mut readers = vec![0usize; count];
        for (id, node) in graph.nodes.iter().enumerate().filter(|(id, _)| needed[*id]) {
            debug_assert!(needed[id]);
            for &input in &node.inputs {
                readers[input] += 1;
            }
        }
        let lazy = |id: NodeId| readers[id] == 1 && !forced[id];
        let mut stored: Vec<bool> =
            (0..count).map(|id| !(elementwise(&graph.nodes[id].op) && lazy(id))).collect();
        let mut main = vec![0; count];
        for (id, node) in graph.nodes.iter().enumerate().filter(|(id, _)| needed[*id]) {
            match node.op {
                Op::AveragePool { .. } | Op::Shortcut { .. } | Op::BatchNorm { .. } => {
                    stored[node.inputs[0]] = true;
                }
                Op::Requantise { shortcut: Some(_), .. } => stored[node.inputs[1]] = true,
                Op::Add => {
                    let shortcut = |i: usize| {
                        let input = node.inputs[i];
                        lazy(input) && matches!(graph.nodes[input].op, Op::Shortcut { .. })
                    };
                    main[id] =
                        if shortcut(1) || !shortcut(0) && stored[node.inputs[1]] { 0 } else { 1 };
                    let side = 1 - main[id];
                    stored[node.inputs[side]] = !shortcut(side);
                }
                _ => {}
            }
        }
        Layout { needed: needed.to_vec(), stored, main }
    }

    /// One stage per stored node in order, or a node that has to be stored first.
    fn stages(&self, graph: &Graph) -> Result<Vec<Stage>, NodeId> {
        let mut stages = Vec::new();
        for (id, node) in graph.nodes.iter().enumerate() {
            if !self.needed[id] || !self.stored[id] {
                continue;
            }
            let chain = if elementwise(&node.op) {
                self.chain(graph, id, true)?
            } else if let Some(&input) = node.inputs.first() {
                self.chain(graph, input, false)?
            } else {
                Chain::default()
            };
            let side = match node.op {
                Op::Requantise { .. } => node.inputs.get(1).copied(),
                _ => None,
            };
            stages.push(Stage { node: id, chain, side });
        }
        Ok(stages)
    }

    /// The chain that ends with `end`; `through` a stored end to what it is made of.
    fn chain(&self, graph: &Graph, end: NodeId, through: bool) -> Result<Chain, NodeId> {
        let mut steps = Vec::new();
        let mut sides = 0;
        let mut at = end;
        let mut through = through;
        while through || !self.stored[at] {
            through = false;
            let node = &graph.nodes[at];
            let mut main = node.inputs[0];
            let kind = match node.op {
                Op::BatchNorm { .. } => Kind::Affine,
                Op::Relu => Kind::Relu,
                Op::Clip { lo, hi } => Kind::Clip { lo, hi },
                Op::Prelu { .. } => Kind::Prelu,
                Op::ShiftedPrelu { .. } => Kind::ShiftedPrelu,
                Op::Sign { .. } => Kind::Sign,
                Op::Narrow { frac } => Kind::Narrow { frac },
                _ => {
                    main = node.inputs[self.main[at]];
                    let side = node.inputs[1 - self.main[at]];
                    match graph.nodes[side].op {
                        Op::Shortcut { pool } if !self.stored[side] => {
                            Kind::AddShortcut { other: graph.nodes[side].inputs[0], pool }
                        }
                        _ => Kind::Add { other: side },
                    }
                }
            };
            if kind.side().is_some() {
                if sides == MAX_SIDES {
                    return Err(at);
                }
                sides += 1;
            }
            steps.push(Step { node: at, kind, sums_at: 0 });
            at = main;
        }
        steps.reverse();
        Ok(finish(graph, at, steps))
    }
}

fn finish(graph: &Graph, source: NodeId, mut steps: Vec<Step>) -> Chain {
    let mut sums = 0;
    for step in &mut steps {
        step.sums_at = sums;
        sums += step.kind.sums() * graph.nodes[step.node].shape.c;
    }
    Chain { source, pattern: Pattern::of(&steps), steps, sums }
}
