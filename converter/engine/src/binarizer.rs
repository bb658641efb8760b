//! The seam through which a method of binarization enters: how the weights of a
//! binary layer come from its latent ones, and how gradients go back.

use bitat_graph::{Graph, NodeId, Op};

/// Makes the ±1-times-scale weights of [`bitat_graph::Precision::Binary`] layers.
///
/// `latent` and `out` have the layout of the layer's weight parameter, output
/// channel outermost. Called once per layer and forward (backward) pass, from
/// several threads for different layers.
pub trait Binarizer: Sync {
    /// Writes the weights the convolution multiplies by.
    fn forward(&self, graph: &Graph, node: NodeId, latent: &[f32], out: &mut [f32]);

    /// Writes (does not add) the gradient of the latent weights, given that of the
    /// weights made by [`Binarizer::forward`].
    fn backward(
        &self,
        graph: &Graph,
        node: NodeId,
        latent: &[f32],
        d_out: &[f32],
        d_latent: &mut [f32],
    );
}

/// Plain straight-through estimator: `sign(w) · mean |w|` per output channel,
/// `sign(0) = +1`; the gradient passes unchanged where `|w| ≤ clip`, else is 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlainSte {
    /// Largest magnitude that still learns.
    pub clip: f32,
}

impl Default for PlainSte {
    fn default() -> PlainSte {
        PlainSte { clip: 1.0 }
    }
}

impl Binarizer for PlainSte {
    fn forward(&self, graph: &Graph, node: NodeId, latent: &[f32], out: &mut [f32]) {
        let row = row_len(graph, node, latent.len());
        for (w, out) in latent.chunks_exact(row).zip(out.chunks_exact_mut(row)) {
            let scale = (size(w) / row as f64) as f32;
            for (out, &w) in out.iter_mut().zip(w) {
                *out = if w >= 0.0 { scale } else { -scale };
            }
        }
    }

    fn backward(
        &self,
        _graph: &Graph,
        _node: NodeId,
        latent: &[f32],
        d_out: &[f32],
        d_latent: &mut [f32],
    ) {
        for ((d, &g), w) in d_latent.iter_mut().zip(d_out).zip(latent) {
            *d = if w.abs() <= self.clip { g } else { 0.0 };
        }
    }
}

/// Sum of magnitudes. Eight sums side by side, as one would wait for each addition.
fn size(w: &[f32]) -> f64 {
    let mut sums = [0.0; 8];
    let (whole, rest) = w.as_chunks::<8>();
    for w in whole {
        sums.iter_mut().zip(w).for_each(|(sum, w)| *sum += f64::from(w.abs()));
    }
    sums.into_iter().chain(rest.iter().map(|w| f64::from(w.abs()))).sum()
}

/// Weights per output channel of a convolution or dense node.
fn row_len(graph: &Graph, node: NodeId, len: usize) -> usize {
    match &graph.nodes[node].op {
        Op::Conv { weight, .. } | Op::Dense { weight, .. } => {
            len / graph.params[*weight].shape[0].max(1)
        }
        _ => len,
    }
    .max(1)
}
