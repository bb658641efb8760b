//! The weights a pass multiplies by: made from the parameters once per forward,
//! and packed for both directions.

use crate::binarizer::Binarizer;
use crate::buffer::Buffer;
use crate::matmul::{pack, packed_len};
use crate::ops::window::Geometry;
use crate::plan::PARTS;
use crate::quantise;
use crate::signs::SignWeights;
use crate::simd::lanes;
use bitat_graph::{Graph, NodeId, Op, ParamId, Precision, Shape, Window};

/// How a convolution is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A matrix product on pixels as they lie in memory (1x1, stride 1), or on
    /// whole images (dense).
    Product,
    /// One filter per channel.
    Depthwise,
    /// Unfolded windows, per group.
    Unfolded,
}

/// A convolution or dense node.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) node: NodeId,
    pub(crate) form: Form,
    pub(crate) geometry: Geometry,
    pub(crate) groups: usize,
    /// Weights per output, and outputs, of one group.
    pub(crate) k: usize,
    pub(crate) n: usize,
    pub(crate) weight: ParamId,
    pub(crate) bias: Option<ParamId>,
    pub(crate) precision: Precision,
    backward: bool,
    /// Where all inputs are ±1: room for the weights as signs, and whether those of
    /// this step are.
    signs: Option<SignWeights>,
    signed: bool,
    pub(crate) effective: Buffer,
    /// Products: panels of `k × n` per group. Depthwise: `[ky][kx][c]`. Nothing where
    /// the sums are taken in `f64`: they read `effective`.
    pub(crate) forward: Buffer,
    /// Products: panels of `n × k` per group. Depthwise: `[ky][kx][c]`, both axes flipped.
    pub(crate) back: Buffer,
    /// Gradient of `effective`.
    pub(crate) d_effective: Buffer,
    /// Gradient of the parameter.
    pub(crate) d_latent: Buffer,
}

impl Layer {
    /// The layer of a node, if it is one. `backward`: also make room for gradients.
    pub(crate) fn new(graph: &Graph, id: NodeId, backward: bool) -> Option<Layer> {
        let node = &graph.nodes[id];
        let from = |input: NodeId| graph.nodes[input].shape;
        let (form, geometry, groups, weight, bias, precision) = match node.op {
            Op::Conv { weight, bias, window, groups, precision } => {
                let from = from(node.inputs[0]);
                let plain = window.kernel == [1, 1] && window.stride == [1, 1];
                let form = if plain && window.pads == [0; 4] && groups == 1 {
                    Form::Product
                } else if groups == from.c
                    && groups == node.shape.c
                    && precision != Precision::Double
                {
                    Form::Depthwise
                } else {
                    Form::Unfolded
                };
                (form, Geometry { from, to: node.shape, window }, groups, weight, bias, precision)
            }
            Op::Dense { weight, bias, precision } => {
                let from = Shape { h: 1, w: 1, c: from(node.inputs[0]).len() };
                let window = Window { kernel: [1, 1], stride: [1, 1], pads: [0; 4] };
                let geometry = Geometry { from, to: node.shape, window };
                (Form::Product, geometry, 1, weight, bias, precision)
            }
            _ => return None,
        };
        let len = graph.params[weight].data.len();
        let n = node.shape.c / groups;
        let k = len / node.shape.c;
        let (forward, back) = match form {
            Form::Depthwise => (len, len),
            _ if precision == Precision::Double => (0, 0),
            _ => (groups * packed_len(k, n), groups * packed_len(n, k)),
        };
        let reads_signs = matches!(graph.nodes[node.inputs[0]].op, Op::Sign { .. });
        let signs = reads_signs && form == Form::Product;
        let when = |len: usize| Buffer::zeros(if backward { len } else { 0 });
        Some(Layer {
            node: id,
            form,
            geometry,
            groups,
            k,
            n,
            weight,
            bias,
            precision,
            backward,
            signs: signs.then(|| SignWeights::new(k, n)),
            signed: false,
            effective: Buffer::zeros(len),
            forward: Buffer::zeros(forward),
            back: when(back),
            d_effective: when(len),
            d_latent: when(len),
        })
    }

    /// Floats of an input row and of an output row of one image.
    pub(crate) fn row_lens(&self) -> [usize; 2] {
        let pixels = self.geometry.to.h * self.geometry.to.w;
        [pixels * self.k, pixels * self.n]
    }

    /// Whether a sum of weight gradients per part would cost more memory traffic than
    /// writing the rows of all images and multiplying them at once.
    pub(crate) fn is_wide(&self, n: usize) -> bool {
        let [inputs, outputs] = self.row_lens();
        self.form == Form::Product && PARTS * self.k * self.n > n * (inputs + outputs)
    }

    /// Whether all inputs are ±1.
    pub(crate) fn reads_signs(&self) -> bool {
        self.signs.is_some()
    }

    /// The weights as signs, if those and all inputs are.
    pub(crate) fn signs(&self) -> Option<&SignWeights> {
        self.signs.as_ref().filter(|_| self.signed)
    }

    /// Floats that gather the weights' gradient: as many as there are weights, or in
    /// the layout of [`crate::signs::add_signed`].
    pub(crate) fn gathered_len(&self) -> usize {
        if self.reads_signs() {
            self.n.next_multiple_of(lanes()) * self.k
        } else {
            self.effective.len()
        }
    }

    /// Takes the parameters of this step.
    pub(crate) fn prepare(&mut self, graph: &Graph, binarizer: &dyn Binarizer) {
        let latent = graph.params[self.weight].data.as_slice();
        match self.precision {
            Precision::Float | Precision::Double => self.effective.copy_from_slice(latent),
            Precision::Int8 => {
                let rows = self.effective.chunks_exact_mut(self.k).zip(latent.chunks_exact(self.k));
                rows.for_each(|(out, latent)| quantise::fake(latent, out));
            }
            Precision::Int8PerTensor => quantise::fake(latent, &mut self.effective),
            Precision::Binary => binarizer.forward(graph, self.node, latent, &mut self.effective),
        }
        let (k, n) = (self.k, self.n);
        if self.precision == Precision::Double {
            return;
        }
        if self.form == Form::Depthwise {
            let c = self.groups;
            for (channel, taps) in self.effective.chunks_exact(k).enumerate() {
                for (tap, &w) in taps.iter().enumerate() {
                    self.forward[tap * c + channel] = w;
                    if self.backward {
                        self.back[(k - 1 - tap) * c + channel] = w;
                    }
                }
            }
            return;
        }
        self.signed = self.signs.as_mut().is_some_and(|signs| signs.set(&self.effective));
        if !self.signed {
            let weights = self.effective.chunks_exact(k * n);
            for (w, out) in weights.zip(self.forward.chunks_exact_mut(packed_len(k, n))) {
                pack(w, [k, n], [1, k], out);
            }
        }
        let back = self.backward && !self.signs().is_some_and(|signs| signs.pay_back());
        if back {
            let weights = self.effective.chunks_exact(k * n);
            for (w, out) in weights.zip(self.back.chunks_exact_mut(packed_len(n, k))) {
                pack(w, [n, k], [k, 1], out);
            }
        }
    }

    /// Turns the gradient of the effective weights into that of the parameter.
    pub(crate) fn finish(&mut self, graph: &Graph, binarizer: &dyn Binarizer) {
        if self.precision == Precision::Binary {
            let latent = &graph.params[self.weight].data;
            binarizer.backward(graph, self.node, latent, &self.d_effective, &mut self.d_latent);
        } else {
            std::mem::swap(&mut self.d_effective, &mut self.d_latent);
        }
    }
}
