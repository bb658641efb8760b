//! Which layers are binary at which step.
//!
//! In stage `k` of `n` the bottom `k/n` of the 1-bit layers are binary; above
//! them the same network runs with latent weights as they are and with
//! `clip(x, −1, 1)` in the place of the sign. Parameters are shared by all
//! stages: a stage differs only in its operations.

use bitat_graph::{Graph, NodeId, Op, Precision};

/// The network of one stage: layers of `order` (bottom to top) beyond the
/// first `binary` are relaxed to float.
fn relax(graph: &mut Graph, order: &[NodeId], binary: usize) {
    for &layer in &order[binary.min(order.len())..] {
        let input = graph.nodes[layer].inputs[0];
        if let Op::Conv { precision, .. } = &mut graph.nodes[layer].op {
            *precision = Precision::Float;
        }
        if let Op::Sign { .. } = graph.nodes[input].op {
            graph.nodes[input].op = Op::Clip { lo: -1.0, hi: 1.0 };
        }
    }
}

/// The 1-bit convolutions, bottom to top.
pub fn binary_layers(graph: &Graph) -> Vec<NodeId> {
    (0..graph.nodes.len())
        .filter(|&id| matches!(graph.nodes[id].op, Op::Conv { precision: Precision::Binary, .. }))
        .collect()
}

/// Runs `work` on the network of stage `stage` of `stages` (1-based; the last
/// one is the whole 1-bit network) and takes its parameters back.
pub fn with_stage<T>(
    graph: &mut Graph,
    stage: usize,
    stages: usize,
    work: impl FnOnce(&mut Graph) -> T,
) -> T {
    let order = binary_layers(graph);
    let nodes = graph.nodes.clone();
    relax(graph, &order, (order.len() * stage).div_ceil(stages));
    let result = work(graph);
    // 8-bit binary points set during the stage outlive it; operations do not.
    for (node, mut original) in graph.nodes.iter_mut().zip(nodes) {
        if let (Op::Narrow { frac }, Op::Narrow { frac: kept }) = (&node.op, &mut original.op) {
            *kept = *frac;
        }
        node.op = original.op;
    }
    result
}
