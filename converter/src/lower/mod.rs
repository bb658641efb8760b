//! From the trained 1-bit network to integers.
//!
//! Every weight layer with its batch norm, and whatever follows up to the next
//! stream, becomes one packed layer. Batch norm and weight scale fold into a
//! multiplier, a shift and a bias, or, where only the sign is read, into one
//! integer threshold per channel; a channel whose slope is negative has its
//! weights negated, so that "below the threshold" always means −1.

mod deployed;
mod fixed;
mod weights;

use bitat_engine::Binarizer;
use bitat_format::model::{
    self, Epilogue, Input, Kind, Layer, Model, Operation, Prelu, Shortcut, Sign, Tensor, TensorId,
};
use bitat_graph::{Graph, NodeId, Op};

use crate::Error;
use deployed::{Builder, Sums};
use fixed::{exp2, frac_for, threshold, to_i16};
use weights::{Weights, integer_weights};

pub use deployed::Deployed;
pub use fixed::frac_for as binary_point;

/// Head room of a stream over the largest value seen: sums before the PReLU
/// saturate for inputs a little stronger than any in the calibration data.
const HEADROOM: f64 = 1.25;

/// What the lowering needs beside the graph.
pub struct Facts<'a> {
    /// Name of the network.
    pub name: &'a str,
    /// One name per class, or none.
    pub classes: &'a [String],
    /// Per input channel, the pixel value that counts as 0.
    pub zero: &'a [u8],
    /// The float network's preprocessing, 0–255 scale.
    pub mean: &'a [f32],
    /// The same.
    pub std: &'a [f32],
    /// What one unit of the graph's input is in pixels.
    pub input_scale: f32,
    /// Per node and channel, the largest absolute value seen on calibration data.
    pub ranges: &'a [Vec<f32>],
}

/// The packed model, and which graph node each of its tensors holds.
pub struct Lowered {
    /// The integers.
    pub model: Model,
    /// The same network for the trainer's engine.
    pub deployed: Deployed,
    /// `nodes[t]` is the graph node whose value tensor `t` holds.
    pub nodes: Vec<NodeId>,
    /// `sums[t]` is the binary point of the 16-bit values of which tensor `t`
    /// holds the signs, where a layer compares such values and not its
    /// accumulators.
    pub sums: Vec<Option<i32>>,
}

/// Lowers a trained network.
///
/// # Errors
/// If the graph has an operation that only training knows, or sizes beyond the format's.
pub fn lower(graph: &Graph, binarizer: &dyn Binarizer, facts: &Facts) -> Result<Lowered, Error> {
    let mut lowering = Lowering::new(graph, binarizer, facts)?;
    for id in 0..graph.nodes.len() {
        match graph.nodes[id].op {
            Op::Conv { .. } => lowering.convolution(id)?,
            Op::Dense { .. } => lowering.classifier(id)?,
            Op::GlobalAveragePool => lowering.pool(id)?,
            _ => {}
        }
    }
    lowering.finish()
}

struct Lowering<'a> {
    graph: &'a Graph,
    binarizer: &'a dyn Binarizer,
    facts: &'a Facts<'a>,
    consumers: Vec<Vec<NodeId>>,
    /// The tensor that holds a node's value, where one does.
    tensor_of: Vec<Option<TensorId>>,
    tensors: Vec<Tensor>,
    nodes: Vec<NodeId>,
    sums: Vec<Option<i32>>,
    layers: Vec<Layer>,
    deployed: Builder<'a>,
    score_scale: f64,
}

/// What follows a batch norm, up to the next stream.
#[derive(Default)]
struct Tail {
    shortcut: Option<NodeId>,
    prelu: Option<NodeId>,
    /// The nodes whose values the epilogue's sums pass through.
    passed: Vec<NodeId>,
}

impl<'a> Lowering<'a> {
    fn new(
        graph: &'a Graph,
        binarizer: &'a dyn Binarizer,
        facts: &'a Facts<'a>,
    ) -> Result<Self, Error> {
        let mut consumers = vec![Vec::new(); graph.nodes.len()];
        for (id, node) in graph.nodes.iter().enumerate() {
            for &input in &node.inputs {
                consumers[input].push(id);
            }
        }
        let mut lowering = Lowering {
            graph,
            binarizer,
            facts,
            consumers,
            tensor_of: vec![None; graph.nodes.len()],
            tensors: Vec::new(),
            nodes: Vec::new(),
            sums: Vec::new(),
            layers: Vec::new(),
            deployed: Builder::new(graph)?,
            score_scale: 1.0,
        };
        lowering.tensor(0, Kind::Image, 0)?;
        Ok(lowering)
    }

    fn finish(self) -> Result<Lowered, Error> {
        let facts = self.facts;
        Ok(Lowered {
            deployed: self.deployed.finish(&self.nodes)?,
            model: Model {
                name: facts.name.to_owned(),
                input: Input {
                    zero: facts.zero.to_vec(),
                    mean: facts.mean.to_vec(),
                    std: facts.std.to_vec(),
                },
                classes: facts.classes.to_vec(),
                tensors: self.tensors,
                layers: self.layers,
                score_scale: self.score_scale as f32,
            },
            nodes: self.nodes,
            sums: self.sums,
        })
    }

    fn convolution(&mut self, id: NodeId) -> Result<(), Error> {
        let node = &self.graph.nodes[id];
        let Op::Conv { window, groups, .. } = node.op else { unreachable!("a convolution") };
        let (input, narrow, unit) = self.input(node.inputs[0])?;
        let mut weights = integer_weights(self.graph, id, self.binarizer)?;
        let norm = self.only_consumer(id)?;
        let (slope, offset) = self.norm(norm)?;
        let mut gain: Vec<f64> =
            slope.iter().zip(&weights.scale).map(|(a, s)| a * s * unit).collect();
        let epilogue = match self.consumers[norm].as_slice() {
            &[sign] if matches!(self.graph.nodes[sign].op, Op::Sign { .. }) => {
                weights.negate_where(&mut gain);
                self.threshold_epilogue(sign, &gain, &offset)?
            }
            _ => self.stream_epilogue(norm, &gain, &offset, id, &weights, unit)?,
        };
        let Weights { values, binary, .. } = weights;
        let sums = Sums { node: id, window, groups, narrow, weights: &values, bias: &[] };
        let acc = self.deployed.sums(&sums)?;
        self.deployed.epilogue(acc, norm, &epilogue, &self.nodes)?;
        let window = self.window(&node.name, &window)?;
        let depthwise = groups > 1 && groups == node.shape.c;
        let operation = match (binary, depthwise) {
            (false, false) => Operation::Int8Conv { window, narrow, weights: values, epilogue },
            (false, true) => {
                let weights = tap_major(&values, node.shape.c);
                Operation::Int8Depthwise { window, narrow, weights, epilogue }
            }
            (true, false) => Operation::BinaryConv {
                window,
                groups: groups as u16,
                padding: model::Padding::Zero,
                weights: values,
                epilogue,
            },
            (true, true) => Operation::BinaryDepthwise {
                window,
                padding: model::Padding::Zero,
                weights: tap_major(&values, node.shape.c),
                epilogue,
            },
        };
        self.layers.push(Layer { name: node.name.clone(), input, operation });
        Ok(())
    }

    fn classifier(&mut self, id: NodeId) -> Result<(), Error> {
        let node = &self.graph.nodes[id];
        let Op::Dense { bias, .. } = node.op else { unreachable!("a classifier") };
        let (input, narrow, unit) = self.input(node.inputs[0])?;
        let shape = self.graph.nodes[node.inputs[0]].shape;
        let weights = integer_weights(self.graph, id, self.binarizer)?;
        let unit = match unit * weights.scale[0] {
            0.0 => 1.0,
            unit => unit,
        };
        self.score_scale = unit;
        let bias: Vec<i32> = match bias {
            Some(bias) => {
                let limit = f64::from(1 << 29);
                let to_unit = |b: &f32| (f64::from(*b) / unit).round().clamp(-limit, limit) as i32;
                self.graph.params[bias].data.iter().map(to_unit).collect()
            }
            None => vec![0; node.shape.c],
        };
        let scores = self.tensor(id, Kind::Scores, 0)?;
        let window =
            bitat_graph::Window { kernel: [shape.h, shape.w], stride: [1, 1], pads: [0; 4] };
        let weights = weights.values;
        let sums = Sums { node: id, window, groups: 1, narrow, weights: &weights, bias: &bias };
        self.deployed.sums(&sums)?;
        let window = self.window(&node.name, &window)?;
        let epilogue = Epilogue::Scores { multiplier: vec![1; node.shape.c], bias, scores };
        let operation = Operation::Int8Conv { window, narrow, weights, epilogue };
        self.layers.push(Layer { name: node.name.clone(), input, operation });
        Ok(())
    }

    fn pool(&mut self, id: NodeId) -> Result<(), Error> {
        let node = &self.graph.nodes[id];
        let input = self.existing(node.inputs[0])?;
        let from = i32::from(self.tensors[usize::from(input)].frac);
        let (low, high) = self.narrow_limits(id);
        let shape = self.graph.nodes[node.inputs[0]].shape;
        let wanted = frac_for(self.range(id) * HEADROOM, 32767.0).min(high).max(low);
        let room = frac_for((shape.h * shape.w) as f64, 32767.0);
        let shift = (wanted - from).min(room).clamp(0, 8);
        let output = self.tensor(id, Kind::Stream, from + shift)?;
        self.deployed.pool(id, shift)?;
        self.layers.push(Layer {
            name: node.name.clone(),
            input,
            operation: Operation::GlobalAveragePool { shift: shift as u8, output },
        });
        Ok(())
    }

    /// The tensor a layer reads, its narrowing, and what one input unit is worth.
    fn input(&self, id: NodeId) -> Result<(TensorId, u8, f64), Error> {
        let node = &self.graph.nodes[id];
        match node.op {
            Op::Input => Ok((0, 0, 1.0 / f64::from(self.facts.input_scale))),
            Op::Sign { .. } => Ok((self.existing(id)?, 0, 1.0)),
            Op::Narrow { frac } => {
                let tensor = self.existing(node.inputs[0])?;
                let shift = i32::from(self.tensors[usize::from(tensor)].frac) - frac;
                let narrow = u8::try_from(shift).ok().filter(|s| *s <= 8).ok_or_else(|| {
                    Error::model(format!(
                        "node '{}': its 8-bit reading lies {shift} bits below the stream (0 to 8 are possible)",
                        node.name
                    ))
                })?;
                Ok((tensor, narrow, exp2(-frac)))
            }
            _ => Err(self.no_place(id)),
        }
    }

    /// `y = slope[c]·x + offset[c]`: the batch norm with its running statistics.
    fn norm(&self, id: NodeId) -> Result<(Vec<f64>, Vec<f64>), Error> {
        let Op::BatchNorm { gamma, beta, mean, var, eps } = self.graph.nodes[id].op else {
            return Err(self.no_place(id));
        };
        let data = |p: usize, c: usize| f64::from(self.graph.params[p].data[c]);
        let channels = self.graph.nodes[id].shape.c;
        let slope: Vec<f64> = (0..channels)
            .map(|c| data(gamma, c) / (data(var, c) + f64::from(eps)).sqrt())
            .collect();
        let offset = (0..channels).map(|c| data(beta, c) - slope[c] * data(mean, c)).collect();
        Ok((slope, offset))
    }

    /// `gain[c]·acc + offset[c] < t[c]` as `acc < T[c]`, `gain[c] ≥ 0`.
    fn threshold_epilogue(
        &mut self,
        sign: NodeId,
        gain: &[f64],
        offset: &[f64],
    ) -> Result<Epilogue, Error> {
        let t = self.thresholds(sign);
        let thresholds = (0..gain.len())
            .map(|c| {
                let bound = t[c] - offset[c];
                match gain[c] > 0.0 {
                    true => {
                        threshold(bound, gain[c]).clamp(i32::MIN.into(), i32::MAX.into()) as i32
                    }
                    // A constant: −1 everywhere or nowhere.
                    false if bound > 0.0 => i32::MAX,
                    false => i32::MIN,
                }
            })
            .collect();
        Ok(Epilogue::Threshold { thresholds, bits: self.tensor(sign, Kind::Bits, 0)? })
    }

    fn stream_epilogue(
        &mut self,
        norm: NodeId,
        gain: &[f64],
        offset: &[f64],
        conv: NodeId,
        weights: &Weights,
        unit: f64,
    ) -> Result<Epilogue, Error> {
        let tail = self.tail(norm)?;
        let end = tail.passed[tail.passed.len() - 1];
        let param = |p: usize| -> Vec<f64> {
            self.graph.params[p].data.iter().map(|v| f64::from(*v)).collect()
        };
        let prelu = tail.prelu.map(|id| {
            let Op::ShiftedPrelu { before, slope, after } = self.graph.nodes[id].op else {
                unreachable!("the tail holds a PReLU")
            };
            [param(before), param(slope), param(after)]
        });
        let widest = |values: &[f64]| values.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        let margin = prelu.as_ref().map_or(0.0, |p| widest(&p[0]).max(widest(&p[2])));
        let largest =
            tail.passed.iter().map(|&n| self.range(n)).fold(widest(offset).min(1e3), f64::max);
        let (low, high) = self.narrow_limits(end);
        let wanted = frac_for((largest + margin) * HEADROOM, 32767.0).min(high).max(low);
        let acc_bound = weights
            .acc_bound(matches!(self.graph.nodes[self.graph.nodes[conv].inputs[0]].op, Op::Input));
        let acc_seen = self.facts.ranges[conv]
            .iter()
            .zip(&weights.scale)
            .filter(|(_, scale)| **scale > 0.0)
            .map(|(range, scale)| f64::from(*range) / (scale * unit))
            .fold(0.0, f64::max)
            .min(acc_bound);
        let scale = fixed::scale(gain, offset, acc_seen, acc_bound, wanted, low);
        let shortcut = match tail.shortcut {
            None => None,
            Some(id) => {
                let Op::Shortcut { pool } = self.graph.nodes[id].op else {
                    return Err(self.no_place(id));
                };
                let tensor = self.existing(self.graph.nodes[id].inputs[0])?;
                let shift = scale.frac - i32::from(self.tensors[usize::from(tensor)].frac);
                Some(Shortcut { tensor, pool: pool as u8, shift: shift.clamp(-15, 15) as i8 })
            }
        };
        let fix = |v: &[f64]| v.iter().map(|v| to_i16(*v, scale.frac)).collect::<Vec<_>>();
        let prelu = prelu.map(|[before, slope, after]| Prelu {
            before: fix(&before),
            slope: slope.iter().map(|s| to_i16(*s, 15)).collect(),
            after: fix(&after),
        });
        let sign = self.consumers[end]
            .iter()
            .copied()
            .find(|&c| matches!(self.graph.nodes[c].op, Op::Sign { .. }));
        let only_signs = sign.is_some() && self.consumers[end].len() == 1;
        let stream = match only_signs {
            true => None,
            false => Some(self.tensor(end, Kind::Stream, scale.frac)?),
        };
        let sign = match sign {
            None => None,
            Some(id) => {
                let thresholds = self
                    .thresholds(id)
                    .iter()
                    .map(|t| threshold(*t, exp2(-scale.frac)).clamp(-32768, 32767) as i16)
                    .collect();
                let bits = self.tensor(id, Kind::Bits, 0)?;
                self.sums[usize::from(bits)] = Some(scale.frac);
                Some(Sign { thresholds, bits })
            }
        };
        let fixed::Scale { shift, multiplier, bias, .. } = scale;
        Ok(Epilogue::Stream { shift, multiplier, bias, shortcut, prelu, stream, sign })
    }

    fn tail(&self, norm: NodeId) -> Result<Tail, Error> {
        let mut tail = Tail { passed: vec![norm], ..Tail::default() };
        let mut end = norm;
        while let &[next] = self.consumers[end].as_slice() {
            match self.graph.nodes[next].op {
                Op::Add if tail.shortcut.is_none() && tail.prelu.is_none() => {
                    let inputs = &self.graph.nodes[next].inputs;
                    tail.shortcut = Some(inputs[usize::from(inputs[0] == end)]);
                }
                Op::ShiftedPrelu { .. } if tail.prelu.is_none() => tail.prelu = Some(next),
                _ => break,
            }
            tail.passed.push(next);
            end = next;
        }
        Ok(tail)
    }

    /// The binary points between which every 8-bit reading of a stream lies 0 to 8 bits below it.
    fn narrow_limits(&self, id: NodeId) -> (i32, i32) {
        self.consumers[id].iter().fold((-8, 15), |(low, high), &c| match self.graph.nodes[c].op {
            Op::Narrow { frac } => (low.max(frac), high.min(frac + 8)),
            _ => (low, high),
        })
    }

    /// The largest absolute value seen of a node.
    fn range(&self, id: NodeId) -> f64 {
        self.facts.ranges[id].iter().fold(0.0, |m, r| m.max(f64::from(*r)))
    }

    fn thresholds(&self, sign: NodeId) -> Vec<f64> {
        let Op::Sign { threshold } = self.graph.nodes[sign].op else { unreachable!("a sign") };
        self.graph.params[threshold].data.iter().map(|t| f64::from(*t)).collect()
    }

    fn tensor(&mut self, id: NodeId, kind: Kind, frac: i32) -> Result<TensorId, Error> {
        let node = &self.graph.nodes[id];
        let side = |n: usize| {
            u16::try_from(n).map_err(|_| {
                Error::model(format!(
                    "node '{}': a side of {n} is beyond the file format",
                    node.name
                ))
            })
        };
        let tensor = Tensor {
            kind,
            height: side(node.shape.h)?,
            width: side(node.shape.w)?,
            channels: side(node.shape.c)?,
            frac: frac as i8,
        };
        let index = side(self.tensors.len())?;
        self.tensors.push(tensor);
        self.nodes.push(id);
        self.sums.push(None);
        self.tensor_of[id] = Some(index);
        Ok(index)
    }

    fn existing(&self, id: NodeId) -> Result<TensorId, Error> {
        self.tensor_of[id].ok_or_else(|| self.no_place(id))
    }

    fn only_consumer(&self, id: NodeId) -> Result<NodeId, Error> {
        match self.consumers[id].as_slice() {
            &[next] => Ok(next),
            _ => Err(self.no_place(id)),
        }
    }

    fn window(&self, name: &str, window: &bitat_graph::Window) -> Result<model::Window, Error> {
        let byte = |n: usize| {
            u8::try_from(n).map_err(|_| {
                Error::model(format!(
                    "node '{name}': a window side of {n} is beyond the file format"
                ))
            })
        };
        Ok(model::Window {
            kernel_h: byte(window.kernel[0])?,
            kernel_w: byte(window.kernel[1])?,
            stride_h: byte(window.stride[0])?,
            stride_w: byte(window.stride[1])?,
            pad_top: byte(window.pads[0])?,
            pad_left: byte(window.pads[1])?,
        })
    }

    fn no_place(&self, id: NodeId) -> Error {
        Error::model(format!(
            "node '{}': this place in the network has no integer counterpart",
            self.graph.nodes[id].name
        ))
    }
}

/// `[channel][tap]` to `[tap][channel]`.
fn tap_major(weights: &[i8], channels: usize) -> Vec<i8> {
    let taps = weights.len() / channels;
    (0..taps).flat_map(|t| (0..channels).map(move |c| weights[c * taps + t])).collect()
}
