//! Starting values.

use crate::rng::Rng;
use bitat_graph::{Graph, Op};

/// He initialisation: every convolution's and dense layer's weights are drawn
/// from a normal of variance `2 / fan_in` (dense: `1 / fan_in`), in node order;
/// biases 0; batch norms `gamma = 1, beta = 0`, running mean 0 and variance 1.
/// Thresholds and PReLUs are left as they are.
pub fn he(graph: &mut Graph, seed: u64) {
    let mut rng = Rng::new(seed);
    for node in &graph.nodes {
        let params = &mut graph.params;
        match node.op {
            Op::Conv { weight, bias, .. } | Op::Dense { weight, bias, .. } => {
                let gain = if matches!(node.op, Op::Dense { .. }) { 1.0 } else { 2.0 };
                let weight = &mut params[weight];
                let fan_in = weight.data.len() / weight.shape[0].max(1);
                let deviation = (gain / fan_in.max(1) as f32).sqrt();
                weight.data.iter_mut().for_each(|w| *w = deviation * rng.normal());
                if let Some(bias) = bias {
                    params[bias].data.fill(0.0);
                }
            }
            Op::BatchNorm { gamma, beta, mean, var, .. } => {
                for (p, value) in [(gamma, 1.0), (beta, 0.0), (mean, 0.0), (var, 1.0)] {
                    params[p].data.fill(value);
                }
            }
            _ => {}
        }
    }
}
