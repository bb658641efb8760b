//! Rewrites of a graph. All are pure: they return another graph.

use crate::{Graph, NodeId, Op, ParamId, Precision, Role, Shape};

/// A network's own preprocessing, per channel: `x·scale + offset`.
#[derive(Clone, Debug, PartialEq)]
pub struct InputAffine {
    /// `[c]`.
    pub scale: Vec<f32>,
    /// `[c]`.
    pub offset: Vec<f32>,
}

/// Brings a float graph into the form that the rest of the converter expects,
/// with the same values at the output:
///
/// - operations that change nothing are gone, and what nobody reads;
/// - neighbouring clips are one, and a clip from 0 without upper bound is a ReLU;
/// - an addition behind a convolution or dense layer is its bias, a scale
///   behind a dense layer is in its weights, a scale and offset behind a batch
///   norm are in its gamma and beta;
/// - an average pool over the whole image is a global one;
/// - a convolution over the whole image that makes the scores is a dense layer.
pub fn canonicalise(graph: &Graph) -> Graph {
    let mut graph = prune(graph);
    let mut uses = graph.uses();
    // Where readers of a removed node read instead.
    let mut instead: Vec<NodeId> = (0..graph.nodes.len()).collect();
    for id in 1..graph.nodes.len() {
        for i in 0..graph.nodes[id].inputs.len() {
            graph.nodes[id].inputs[i] = instead[graph.nodes[id].inputs[i]];
        }
        simplify(&mut graph, id);
        let before = graph.nodes[id].inputs[0];
        if changes_nothing(&graph, id) {
            instead[id] = before;
            uses[before] += uses[id] - 1;
        } else if uses[before] == 1
            && let Some(op) = merged(&mut graph, before, id)
        {
            // A layer keeps its name; what was merged into it has none any more.
            if !op.params().is_empty() {
                graph.nodes[id].name = graph.nodes[before].name.clone();
            }
            graph.nodes[id].op = op;
            graph.nodes[id].inputs = graph.nodes[before].inputs.clone();
        }
    }
    graph.output = instead[graph.output];
    let mut graph = prune(&graph);
    dense_scores(&mut graph);
    prune(&graph)
}

/// Makes a dense layer of a convolution over the whole image that makes the
/// scores, with the scale behind it if there is one.
fn dense_scores(graph: &mut Graph) {
    let output = graph.output;
    let scaled = plain_affine(graph, output).is_some();
    let id = if scaled { graph.nodes[output].inputs[0] } else { output };
    let Op::Conv { weight, bias, window, groups: 1, precision } = graph.nodes[id].op else {
        return;
    };
    let input = graph.nodes[graph.nodes[id].inputs[0]].shape;
    if window.pads != [0; 4] || window.kernel != [input.h, input.w] || graph.uses()[id] != 1 {
        return;
    }
    let old = graph.params[weight].clone();
    let shape = [old.shape[0], input.len()];
    let weight = graph.param(old.name, &shape, old.data, old.role);
    graph.nodes[id].op = Op::Dense { weight, bias, precision };
    if scaled && let Some(op) = merged(graph, id, output) {
        graph.nodes[id].op = op;
        graph.output = id;
    }
}

/// Replaces one node by a simpler one of the same meaning.
fn simplify(graph: &mut Graph, id: NodeId) {
    let node = &graph.nodes[id];
    let Some(input) = node.inputs.first().map(|i| graph.nodes[*i].shape) else { return };
    let op = match node.op {
        Op::Clip { lo: 0.0, hi: f32::MAX } => Op::Relu,
        Op::AveragePool { window, include_pad } => {
            let [kh, kw] = window.kernel;
            let [top, left, ..] = window.pads;
            let single = node.shape.h * node.shape.w == 1;
            let covers = kh >= top + input.h && kw >= left + input.w;
            if !single || !covers || (include_pad && kh * kw != input.h * input.w) {
                return;
            }
            Op::GlobalAveragePool
        }
        _ => return,
    };
    graph.nodes[id].op = op;
}

fn changes_nothing(graph: &Graph, id: NodeId) -> bool {
    let node = &graph.nodes[id];
    let input = graph.nodes[node.inputs[0]].shape;
    match &node.op {
        Op::Clip { lo: f32::MIN, hi: f32::MAX } => true,
        Op::BatchNorm { .. } => plain_affine(graph, id).is_some_and(|a| {
            a.scale.iter().all(|s| *s == 1.0) && a.offset.iter().all(|o| *o == 0.0)
        }),
        Op::Shortcut { pool: 1 } => node.shape == input,
        Op::AveragePool { window, .. } => {
            (window.kernel, window.stride, window.pads) == ([1; 2], [1; 2], [0; 4])
        }
        Op::GlobalAveragePool => input.h * input.w == 1,
        _ => false,
    }
}

/// The one operation that does what node `first` and then `second` do, if there is one.
fn merged(graph: &mut Graph, first: NodeId, second: NodeId) -> Option<Op> {
    let clip = |op: &Op| match *op {
        Op::Relu => Some((0.0, f32::MAX)),
        Op::Clip { lo, hi } => Some((lo, hi)),
        _ => None,
    };
    let (a, b) = (graph.nodes[first].op.clone(), graph.nodes[second].op.clone());
    if let (Some((lo, hi)), Some((lo2, hi2))) = (clip(&a), clip(&b)) {
        let (lo, hi) = (lo.clamp(lo2, hi2), hi.clamp(lo2, hi2));
        return Some(if (lo, hi) == (0.0, f32::MAX) { Op::Relu } else { Op::Clip { lo, hi } });
    }
    let InputAffine { scale, offset } = plain_affine(graph, second)?;
    let shifted = |graph: &Graph, p: Option<ParamId>, c: usize| {
        p.map_or(0.0, |p| graph.params[p].data[c]) * scale[c] + offset[c]
    };
    let all = |f: &dyn Fn(usize) -> f32| (0..scale.len()).map(f).collect::<Vec<f32>>();
    match a {
        Op::BatchNorm { gamma, beta, mean, var, eps } => {
            let scaled = all(&|c| graph.params[gamma].data[c] * scale[c]);
            let moved = all(&|c| shifted(graph, Some(beta), c));
            let gamma = gain(graph, graph.params[gamma].name.clone(), scaled);
            let beta = gain(graph, graph.params[beta].name.clone(), moved);
            Some(Op::BatchNorm { gamma, beta, mean, var, eps })
        }
        Op::Conv { weight, bias, window, groups, precision } if scale.iter().all(|s| *s == 1.0) => {
            let moved = all(&|c| shifted(graph, bias, c));
            let bias = Some(gain(graph, bias_name(graph, first, bias), moved));
            Some(Op::Conv { weight, bias, window, groups, precision })
        }
        Op::Dense { weight, bias, precision: Precision::Float } => {
            let moved = all(&|c| shifted(graph, bias, c));
            let bias = Some(gain(graph, bias_name(graph, first, bias), moved));
            let weight = scaled_outputs(graph, weight, &scale);
            Some(Op::Dense { weight, bias, precision: Precision::Float })
        }
        _ => None,
    }
}

fn bias_name(graph: &Graph, node: NodeId, bias: Option<ParamId>) -> String {
    match bias {
        Some(bias) => graph.params[bias].name.clone(),
        None => format!("{}.bias", graph.nodes[node].name),
    }
}

fn gain(graph: &mut Graph, name: String, data: Vec<f32>) -> ParamId {
    graph.param(name, &[data.len()], data, Role::Gain)
}

/// A copy of weights with every output channel times its factor.
fn scaled_outputs(graph: &mut Graph, weight: ParamId, scale: &[f32]) -> ParamId {
    let mut param = graph.params[weight].clone();
    let per_output = param.data.len() / scale.len();
    for (row, scale) in param.data.chunks_mut(per_output).zip(scale) {
        row.iter_mut().for_each(|w| *w *= scale);
    }
    graph.params.push(param);
    graph.params.len() - 1
}

/// Scale and offset of a batch norm with nothing to estimate: mean 0, variance
/// 1, epsilon 0. The importer writes plain arithmetic so.
fn plain_affine(graph: &Graph, id: NodeId) -> Option<InputAffine> {
    let Op::BatchNorm { gamma, beta, mean, var, eps: 0.0 } = graph.nodes[id].op else {
        return None;
    };
    let data = |p: ParamId| &graph.params[p].data;
    (data(mean).iter().all(|m| *m == 0.0) && data(var).iter().all(|v| *v == 1.0))
        .then(|| InputAffine { scale: data(gamma).clone(), offset: data(beta).clone() })
}

/// Scale and offset of any batch norm by its running statistics.
fn affine(graph: &Graph, id: NodeId) -> Option<InputAffine> {
    let Op::BatchNorm { gamma, beta, mean, var, eps } = graph.nodes[id].op else { return None };
    let at = |p: ParamId, c: usize| f64::from(graph.params[p].data[c]);
    let mut folded = InputAffine { scale: vec![], offset: vec![] };
    for c in 0..graph.params[gamma].data.len() {
        let scale = at(gamma, c) / (at(var, c) + f64::from(eps)).sqrt();
        folded.scale.push(scale as f32);
        folded.offset.push((at(beta, c) - at(mean, c) * scale) as f32);
    }
    Some(folded)
}

/// Folds every batch norm into the float or 8-bit layer before it, where
/// nobody else reads that layer: the same function with fewer operations.
pub fn fold_batch_norm(graph: &Graph) -> Graph {
    let mut graph = prune(graph);
    let uses = graph.uses();
    for id in 1..graph.nodes.len() {
        let before = graph.nodes[id].inputs[0];
        let (Some(affine), 1) = (affine(&graph, id), uses[before]) else { continue };
        let mut op = graph.nodes[before].op.clone();
        let (Op::Conv { weight, bias, precision, .. } | Op::Dense { weight, bias, precision }) =
            &mut op
        else {
            continue;
        };
        // A scale per tensor or a sign would not survive a scale per channel.
        if !matches!(precision, Precision::Float | Precision::Int8) {
            continue;
        }
        let old = bias.map(|b| graph.params[b].data.clone());
        let moved = (0..affine.scale.len()).map(|c| {
            let b = old.as_ref().map_or(0.0, |old| f64::from(old[c]));
            (b * f64::from(affine.scale[c]) + f64::from(affine.offset[c])) as f32
        });
        let moved = moved.collect();
        let name = bias_name(&graph, before, *bias);
        *bias = Some(gain(&mut graph, name, moved));
        *weight = scaled_outputs(&mut graph, *weight, &affine.scale);
        graph.nodes[id].op = op;
        graph.nodes[id].inputs = graph.nodes[before].inputs.clone();
        graph.nodes[id].name = graph.nodes[before].name.clone();
    }
    prune(&graph)
}

/// Takes a scale and offset of the input out of the graph, so that they can be
/// merged with the preprocessing: the input of the graph returned is the
/// output of what was taken, zero padding included.
///
/// None, and an equal graph, if the network does not begin with one.
pub fn take_input_affine(graph: &Graph) -> (Graph, Option<InputAffine>) {
    let mut readers = (1..graph.nodes.len()).filter(|id| graph.nodes[*id].inputs.contains(&0));
    let (first, more) = (readers.next(), readers.next());
    let Some((first, taken)) = first.and_then(|id| Some((id, affine(graph, id)?))) else {
        return (graph.clone(), None);
    };
    if more.is_some() || first == graph.output {
        return (graph.clone(), None);
    }
    let mut graph = graph.clone();
    for node in &mut graph.nodes {
        node.inputs.iter_mut().filter(|i| **i == first).for_each(|i| *i = 0);
    }
    (prune(&graph), Some(taken))
}

/// Drops nodes that the output does not depend on (the input stays) and
/// parameters that no node names.
pub fn prune(graph: &Graph) -> Graph {
    let mut keep = vec![false; graph.nodes.len()];
    keep[0] = true;
    keep[graph.output] = true;
    for id in (1..graph.nodes.len()).rev() {
        if keep[id] {
            graph.nodes[id].inputs.iter().for_each(|i| keep[*i] = true);
        }
    }
    let mut named = vec![false; graph.params.len()];
    for node in graph.nodes.iter().zip(&keep).filter_map(|(node, keep)| keep.then_some(node)) {
        node.op.params().into_iter().for_each(|p| named[p] = true);
    }
    let new_param = renumber(&named);
    let new_node = renumber(&keep);
    let mut result = Graph { name: graph.name.clone(), ..Graph::default() };
    result.params = kept(&graph.params, &named);
    result.nodes = kept(&graph.nodes, &keep);
    for node in &mut result.nodes {
        node.inputs.iter_mut().for_each(|i| *i = new_node[*i]);
        node.op.params_mut().into_iter().for_each(|p| *p = new_param[*p]);
    }
    result.output = new_node[graph.output];
    result
}

/// For each element, how many before it are kept.
fn renumber(keep: &[bool]) -> Vec<usize> {
    let mut next = 0;
    let count = |keep: &bool| {
        next += usize::from(*keep);
        next - usize::from(*keep)
    };
    keep.iter().map(count).collect()
}

fn kept<T: Clone>(all: &[T], keep: &[bool]) -> Vec<T> {
    all.iter().zip(keep).filter(|(_, keep)| **keep).map(|(item, _)| item.clone()).collect()
}

impl Graph {
    /// For each node, how often others and the output read it.
    pub fn uses(&self) -> Vec<usize> {
        let mut uses = vec![0; self.nodes.len()];
        self.nodes.iter().flat_map(|n| &n.inputs).for_each(|i| uses[*i] += 1);
        if let Some(output) = uses.get_mut(self.output) {
            *output += 1;
        }
        uses
    }
}

impl Shape {
    /// `HxWxC`.
    pub(crate) fn text(&self) -> String {
        format!("{}x{}x{}", self.h, self.w, self.c)
    }
}
