//! The integers of one layer's weights.

use bitat_engine::Binarizer;
use bitat_engine::quantise::{int8_per_channel, int8_per_tensor};
use bitat_graph::{Graph, NodeId, Op, Precision};

use crate::Error;

/// Integer weights in the graph's order, with what one unit is worth.
pub(super) struct Weights {
    /// −127..=127, or ±1.
    pub values: Vec<i8>,
    /// Per output channel; the real weight is `scale[c]·value`.
    pub scale: Vec<f64>,
    /// True for ±1.
    pub binary: bool,
}

impl Weights {
    fn per_output(&self) -> usize {
        self.values.len() / self.scale.len()
    }

    /// The largest accumulator that any input can make.
    pub(super) fn acc_bound(&self, image: bool) -> f64 {
        let unit = match (self.binary, image) {
            (true, _) => 1.0,
            (false, true) => 127.0 * 255.0,
            (false, false) => 127.0 * 128.0,
        };
        self.per_output() as f64 * unit
    }

    /// Makes every `gain` non-negative by negating the channel's weights.
    pub(super) fn negate_where(&mut self, gain: &mut [f64]) {
        let per_output = self.per_output();
        for (c, gain) in gain.iter_mut().enumerate().filter(|(_, g)| **g < 0.0) {
            *gain = -*gain;
            let channel = c * per_output..(c + 1) * per_output;
            self.values[channel].iter_mut().for_each(|w| *w = -*w);
        }
    }
}

/// The weights of a convolution or dense node as the trainer's forward pass sees them.
pub(super) fn integer_weights(
    graph: &Graph,
    id: NodeId,
    binarizer: &dyn Binarizer,
) -> Result<Weights, Error> {
    let node = &graph.nodes[id];
    let (&Op::Conv { weight, precision, .. } | &Op::Dense { weight, precision, .. }) = &node.op
    else {
        unreachable!("a weight layer")
    };
    let latent = &graph.params[weight].data;
    let outputs = graph.params[weight].shape[0];
    let per_output = latent.len() / outputs;
    match precision {
        Precision::Float | Precision::Double => Err(Error::model(format!(
            "node '{}': float weights cannot be packed; it must be 1-bit or 8-bit",
            node.name
        ))),
        Precision::Binary => {
            let mut real = vec![0.0; latent.len()];
            binarizer.forward(graph, id, latent, &mut real);
            Ok(Weights {
                values: latent_signs(&real, latent),
                scale: real.chunks(per_output).map(|row| f64::from(row[0].abs())).collect(),
                binary: true,
            })
        }
        Precision::Int8 => {
            let (values, scale) = int8_per_channel(latent, outputs);
            let scale = scale.into_iter().map(f64::from).collect();
            Ok(Weights { values, scale, binary: false })
        }
        Precision::Int8PerTensor => {
            let (values, scale) = int8_per_tensor(latent);
            Ok(Weights { values, scale: vec![f64::from(scale); outputs], binary: false })
        }
    }
}

/// Signs of the real weights; where a channel's scale is 0 the latent decides.
fn latent_signs(real: &[f32], latent: &[f32]) -> Vec<i8> {
    real.iter()
        .zip(latent)
        .map(|(r, l)| if *r < 0.0 || (*r == 0.0 && *l < 0.0) { -1 } else { 1 })
        .collect()
}
