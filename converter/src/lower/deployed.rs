//! The packed network as a graph for the trainer.
//!
//! What the lowering decides is written down twice: packed, for the runtime,
//! and here, as operations on integers that the trainer's engine executes with
//! convolutions of its own. Nothing here has seen the packed bytes, so that
//! equal scores say something about both.
//!
//! A node holds integers in `f32`. The 8-bit reading of a stream is the one
//! exception: it stays in units of the stream, a multiple of `2^narrow`, and
//! the weights that meet it are divided by that.

use bitat_format::model::{self, Epilogue};
use bitat_graph::{FixedPrelu, FixedShortcut, Graph, NodeId, Op, ParamId, Precision, Role, Window};

use crate::Error;

/// The packed network as a graph.
pub struct Deployed {
    /// In integers; its input is a pixel less the network's zero.
    pub graph: Graph,
    /// `nodes[t]` is the node that holds tensor `t` of the packed model.
    pub nodes: Vec<NodeId>,
}

/// A convolution, or a classifier as one, in integers.
pub(super) struct Sums<'a> {
    /// Its node in the trained graph.
    pub(super) node: NodeId,
    pub(super) window: Window,
    pub(super) groups: usize,
    /// Bits that the 8-bit reading of its input drops.
    pub(super) narrow: u8,
    /// `[out][ky][kx][in / groups]`.
    pub(super) weights: &'a [i8],
    /// One per output, or none.
    pub(super) bias: &'a [i32],
}

/// Follows the lowering layer by layer.
pub(super) struct Builder<'a> {
    trained: &'a Graph,
    graph: Graph,
    /// The node that holds the integers of a node of the trained graph.
    of: Vec<Option<NodeId>>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(trained: &'a Graph) -> Result<Self, Error> {
        let graph = Graph { name: trained.name.clone(), ..Graph::default() };
        let mut builder = Builder { trained, graph, of: vec![None; trained.nodes.len()] };
        builder.push(0, Op::Input, &[])?;
        Ok(builder)
    }

    /// `tensors[t]` is the node of the trained graph that tensor `t` stands for.
    pub(super) fn finish(mut self, tensors: &[NodeId]) -> Result<Deployed, Error> {
        let nodes: Result<Vec<_>, _> = tensors.iter().map(|&node| self.existing(node)).collect();
        self.graph.output = self.existing(self.trained.output)?;
        Ok(Deployed { graph: self.graph, nodes: nodes? })
    }

    /// The accumulators of a layer.
    pub(super) fn sums(&mut self, layer: &Sums) -> Result<NodeId, Error> {
        let node = &self.trained.nodes[layer.node];
        let read = node.inputs[0];
        let (x, largest) = match self.trained.nodes[read].op {
            Op::Input => (self.existing(read)?, 255.0),
            Op::Narrow { .. } => {
                let narrowed = match self.of[read] {
                    Some(narrowed) => narrowed,
                    None => {
                        let stream = self.existing(self.trained.nodes[read].inputs[0])?;
                        let narrow = Op::Narrow { frac: -i32::from(layer.narrow) };
                        self.push(read, narrow, &[stream])?
                    }
                };
                (narrowed, 128.0)
            }
            _ => (self.existing(read)?, 1.0),
        };
        let outputs = node.shape.c;
        let per_output = layer.weights.len() / outputs;
        // Below 2²⁴ every partial sum is exact in `f32`, in whatever order.
        let sum = |w: &[i8]| w.iter().map(|w| f64::from(w.unsigned_abs())).sum::<f64>();
        let bias = |c: usize| layer.bias.get(c).map_or(0.0, |b| f64::from(b.unsigned_abs()));
        let rows = layer.weights.chunks(per_output).enumerate();
        let bound = rows.map(|(c, w)| sum(w) * largest + bias(c)).fold(0.0, f64::max);
        let small = bound < f64::from(1 << f32::MANTISSA_DIGITS);
        let precision = if small { Precision::Float } else { Precision::Double };

        let unit = (-f32::from(layer.narrow)).exp2();
        let weights = layer.weights.iter().map(|w| f32::from(*w) * unit).collect();
        let [kh, kw] = layer.window.kernel;
        let shape = [outputs, kh, kw, per_output / (kh * kw)];
        let name = format!("{}.weights", node.name);
        let weight = self.graph.param(name, &shape, weights, Role::Statistic);
        let bias = (!layer.bias.is_empty())
            .then(|| self.vector(layer.node, "bias", layer.bias.iter().map(|b| *b as f32)));
        let Sums { window, groups, .. } = *layer;
        self.push(layer.node, Op::Conv { weight, bias, window, groups, precision }, &[x])
    }

    /// What a layer makes of its accumulators `acc`. `norm` is the batch norm
    /// behind it in the trained graph, `tensors` as for [`Builder::finish`].
    pub(super) fn epilogue(
        &mut self,
        acc: NodeId,
        norm: NodeId,
        epilogue: &Epilogue,
        tensors: &[NodeId],
    ) -> Result<(), Error> {
        match epilogue {
            Epilogue::Threshold { thresholds, bits } => {
                self.sign(tensors[usize::from(*bits)], acc, thresholds.iter().map(|t| *t as f32))
            }
            Epilogue::Stream { shift, multiplier, bias, shortcut, prelu, stream, sign } => {
                let mut inputs = vec![acc];
                let shortcut = match shortcut {
                    None => None,
                    Some(s) => {
                        inputs.push(self.existing(tensors[usize::from(s.tensor)])?);
                        Some(FixedShortcut { pool: s.pool.into(), shift: s.shift.into() })
                    }
                };
                let op = Op::Requantise {
                    shift: i32::from(*shift),
                    multiplier: self.vector16(norm, "multiplier", multiplier),
                    bias: self.vector16(norm, "bias", bias),
                    shortcut,
                    prelu: prelu.as_ref().map(|p| self.prelu(norm, p)),
                };
                let y = self.push(norm, op, &inputs)?;
                if let Some(stream) = stream {
                    self.of[tensors[usize::from(*stream)]] = Some(y);
                }
                match sign {
                    None => Ok(()),
                    Some(s) => {
                        let thresholds = s.thresholds.iter().map(|t| f32::from(*t));
                        self.sign(tensors[usize::from(s.bits)], y, thresholds)
                    }
                }
            }
            Epilogue::Scores { .. } => unreachable!("a classifier has no batch norm"),
        }
    }

    /// A global average pool that lifts its sums by `shift` bits.
    pub(super) fn pool(&mut self, node: NodeId, shift: i32) -> Result<(), Error> {
        let x = self.existing(self.trained.nodes[node].inputs[0])?;
        self.push(node, Op::FixedAveragePool { shift }, &[x])?;
        Ok(())
    }

    fn sign(
        &mut self,
        sign: NodeId,
        x: NodeId,
        thresholds: impl Iterator<Item = f32>,
    ) -> Result<(), Error> {
        let threshold = self.vector(sign, "threshold", thresholds);
        self.push(sign, Op::Sign { threshold }, &[x])?;
        Ok(())
    }

    fn prelu(&mut self, node: NodeId, prelu: &model::Prelu) -> FixedPrelu {
        FixedPrelu {
            before: self.vector16(node, "before", &prelu.before),
            slope: self.vector16(node, "slope", &prelu.slope),
            after: self.vector16(node, "after", &prelu.after),
        }
    }

    fn vector16(&mut self, node: NodeId, what: &str, values: &[i16]) -> ParamId {
        self.vector(node, what, values.iter().map(|v| f32::from(*v)))
    }

    fn vector(&mut self, node: NodeId, what: &str, values: impl Iterator<Item = f32>) -> ParamId {
        let values: Vec<f32> = values.collect();
        let name = format!("{}.{what}", self.trained.nodes[node].name);
        self.graph.param(name, &[values.len()], values, Role::Statistic)
    }

    /// The counterpart of a node of the trained graph, under its name.
    fn push(&mut self, node: NodeId, op: Op, inputs: &[NodeId]) -> Result<NodeId, Error> {
        let trained = &self.trained.nodes[node];
        let id = self
            .graph
            .push(&trained.name, op, inputs, Some(trained.shape))
            .map_err(|e| Error::model(format!("the deployed network: {e}")))?;
        self.of[node] = Some(id);
        Ok(id)
    }

    fn existing(&self, node: NodeId) -> Result<NodeId, Error> {
        self.of[node].ok_or_else(|| {
            Error::model(format!(
                "node '{}': this place in the network has no integer counterpart",
                self.trained.nodes[node].name
            ))
        })
    }
}
