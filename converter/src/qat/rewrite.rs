//! From the float network to the 1-bit network that is trained.
//!
//! The float graph is read unit by unit (convolution, batch norm, residual
//! add, activation) and each unit is replaced by the block that keeps accuracy
//! at one bit:
//!
//! - **depthwise in 8 bits** (the default): `x → 8-bit reading → depthwise →
//!   batch norm → + shortcut(x) → shifted PReLU`; the pointwise layer behind it
//!   reads the sign, its shortcut the value;
//! - **depthwise in 8 bits, only its signs read**: `x → 8-bit reading →
//!   depthwise → batch norm`, and the pointwise layer's shortcut starts at x;
//! - **1-bit convolution**: `sign(· − threshold) → convolution of ±1 by ±1 →
//!   batch norm → + shortcut(block input) → shifted PReLU`;
//! - **kept in 8 bits** (first layer, classifier, `--keep`): as it was, on the
//!   8-bit reading of its input.
//!
//! The image enters as `(pixel − zero) / 64` with an integer `zero`, so that
//! what the trainer sees is what the integers see; the float network's own
//! mean and standard deviation are folded into the first layer's weights.

use bitat_graph::{Graph, Node, NodeId, Op, ParamId, Precision, Role, Shape};

use crate::Error;

/// The divisor of the 1-bit network's input: a power of two near the usual
/// standard deviations, so that weights keep their size.
pub const INPUT_SCALE: f32 = 64.0;

/// Mean absolute latent weight after the rewrite. With the latents clipped to
/// ±1 this leaves both room to grow and few steps to a change of sign.
const LATENT_SIZE: f32 = 0.1;

/// Negative slope every shifted PReLU starts with.
const INITIAL_SLOPE: f32 = 0.25;

/// What a depthwise layer becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depthwise {
    /// 8 bits, with a shortcut and a PReLU of its own: the most accurate in narrow
    /// networks.
    Int8,
    /// 8 bits, of which the layer behind it reads the signs and nothing is kept:
    /// the fastest in MobileNetV1, but with AVX-512, whose kernels are for the others.
    Int8Signs,
    /// 1 bit, with a shortcut and a PReLU of its own: the smallest.
    Binary,
}

impl Depthwise {
    /// All three.
    pub const ALL: [Depthwise; 3] = [Depthwise::Int8, Depthwise::Int8Signs, Depthwise::Binary];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Depthwise::Int8 => "8",
            Depthwise::Int8Signs => "8-signs",
            Depthwise::Binary => "1",
        }
    }
}

/// What stays in 8 bits.
#[derive(Clone, Debug)]
pub struct Options {
    /// What depthwise layers become.
    pub depthwise: Depthwise,
    /// Names of float convolutions that stay in 8 bits.
    pub keep: Vec<String>,
}

/// The 1-bit network and what the trainer must know beside it.
#[derive(Clone, Debug)]
pub struct Rewritten {
    /// The network; its input is `(pixel − zero) / INPUT_SCALE`.
    pub graph: Graph,
    /// Per input channel, the pixel value that counts as 0.
    pub zero: Vec<u8>,
    /// Weight layers in order, bottom to top.
    pub layers: Vec<LayerNote>,
}

/// One weight layer of the rewritten network.
#[derive(Clone, Debug)]
pub struct LayerNote {
    /// The convolution's node in the new graph.
    pub node: NodeId,
    /// The same layer in the float graph.
    pub float_node: NodeId,
    /// 1 or 8.
    pub bits: u8,
    /// Where the float layer had no batch norm of its own (folded), the new
    /// one must take scale and shift from the float layer's outputs.
    pub folded_norm: Option<NodeId>,
}

/// Where a float node's value lives in the new graph.
#[derive(Clone, Copy)]
enum Value {
    /// The image.
    Image(NodeId),
    /// A stream: what shortcuts and 8-bit readings take.
    Stream(NodeId),
    /// An 8-bit depthwise layer's batch norm, read only as signs: `source` is
    /// the stream its block started from, `pool` its stride.
    Pending { node: NodeId, source: NodeId, pool: usize },
}

/// Rewrites `float`; `mean` and `std` are its preprocessing on the 0–255 scale.
///
/// # Errors
/// If a node has no 1-bit counterpart, or `keep` names no convolution.
pub fn rewrite(
    float: &Graph,
    mean: &[f32],
    std: &[f32],
    options: &Options,
) -> Result<Rewritten, Error> {
    let convolutions: Vec<&str> = float
        .nodes
        .iter()
        .filter(|n| matches!(n.op, Op::Conv { .. }))
        .map(|n| n.name.as_str())
        .collect();
    for name in &options.keep {
        if !convolutions.contains(&name.as_str()) {
            return Err(Error::usage(format!(
                "--keep {name}: the network has no such convolution; it has {}",
                convolutions.join(", ")
            )));
        }
    }
    let zero: Vec<u8> = mean.iter().map(|m| m.round().clamp(0.0, 255.0) as u8).collect();
    let mut builder = Builder::new(float, options, std);
    builder.run()?;
    Ok(Rewritten { graph: builder.graph, zero, layers: builder.layers })
}

struct Builder<'a> {
    float: &'a Graph,
    options: &'a Options,
    std: &'a [f32],
    consumers: Vec<Vec<NodeId>>,
    graph: Graph,
    values: Vec<Option<Value>>,
    /// Float nodes that a convolution's unit has taken in.
    taken: Vec<bool>,
    /// The one sign node of each new stream.
    signs: Vec<Option<NodeId>>,
    layers: Vec<LayerNote>,
}

/// A convolution of the float graph with what follows it.
struct Unit {
    norm: Option<NodeId>,
    /// The other operand of the residual add.
    residual: Option<NodeId>,
    activated: bool,
    /// The last float node absorbed.
    end: NodeId,
}

impl<'a> Builder<'a> {
    fn new(float: &'a Graph, options: &'a Options, std: &'a [f32]) -> Self {
        let mut consumers = vec![Vec::new(); float.nodes.len()];
        for (id, node) in float.nodes.iter().enumerate() {
            for &input in &node.inputs {
                consumers[input].push(id);
            }
        }
        Builder {
            float,
            options,
            std,
            consumers,
            graph: Graph { name: float.name.clone(), ..Graph::default() },
            values: vec![None; float.nodes.len()],
            taken: vec![false; float.nodes.len()],
            signs: Vec::new(),
            layers: Vec::new(),
        }
    }

    fn run(&mut self) -> Result<(), Error> {
        for id in 0..self.float.nodes.len() {
            let read = !self.consumers[id].is_empty() || id == self.float.output;
            if self.taken[id] || !read {
                continue;
            }
            let node = &self.float.nodes[id];
            match &node.op {
                Op::Input => {
                    let input = self.push(&node.name, Op::Input, &[], Some(node.shape))?;
                    self.values[id] = Some(Value::Image(input));
                }
                Op::Conv { weight, bias, .. } if id == self.float.output => {
                    self.classifier(id, *weight, *bias)?;
                }
                Op::Dense { weight, bias, .. } if id == self.float.output => {
                    self.classifier(id, *weight, *bias)?;
                }
                Op::Conv { .. } => self.convolution(id)?,
                Op::GlobalAveragePool => {
                    let x = self.stream(node.inputs[0], node)?;
                    let pool = self.push(&node.name, Op::GlobalAveragePool, &[x], None)?;
                    self.values[id] = Some(Value::Stream(pool));
                }
                _ => return Err(unsupported(node)),
            }
        }
        match self.values[self.float.output] {
            Some(Value::Stream(node)) => self.graph.output = node,
            _ => return Err(unsupported(&self.float.nodes[self.float.output])),
        }
        Ok(())
    }

    /// The convolution with the batch norm, residual add and activation behind it.
    fn unit(&mut self, conv: NodeId) -> Unit {
        let mut unit = Unit { norm: None, residual: None, activated: false, end: conv };
        loop {
            let &[next] = self.consumers[unit.end].as_slice() else { return unit };
            let node = &self.float.nodes[next];
            match node.op {
                Op::BatchNorm { .. } if unit.norm.is_none() && unit.end == conv => {
                    unit.norm = Some(next);
                }
                Op::Add if unit.residual.is_none() && !unit.activated => {
                    let other = node.inputs[usize::from(node.inputs[0] == unit.end)];
                    // The branch that is computed last takes the add in.
                    if other == unit.end || self.values[other].is_none() {
                        return unit;
                    }
                    unit.residual = Some(other);
                }
                Op::Relu | Op::Clip { .. } | Op::Prelu { .. } if !unit.activated => {
                    unit.activated = true;
                }
                _ => return unit,
            }
            unit.end = next;
            self.taken[next] = true;
        }
    }

    fn convolution(&mut self, id: NodeId) -> Result<(), Error> {
        let unit = self.unit(id);
        let node = &self.float.nodes[id];
        let &Op::Conv { window, groups, .. } = &node.op else { unreachable!("a convolution") };
        let depthwise = groups > 1 && groups == node.shape.c;
        let source = self.values[node.inputs[0]].ok_or_else(|| unsupported(node))?;
        let kept = self.options.keep.contains(&node.name);
        let eight = kept
            || matches!(source, Value::Image(_))
            || (depthwise && self.options.depthwise != Depthwise::Binary);
        if eight && groups > 1 && !depthwise {
            return Err(Error::model(format!(
                "node '{}': a grouped convolution cannot stay in 8 bits; drop --keep for it",
                node.name
            )));
        }
        let stride = window.stride[0];
        let (shortcut_source, pool) = match source {
            Value::Image(_) => (None, stride),
            Value::Stream(x) => (Some(x), stride),
            Value::Pending { source, pool, .. } => (Some(source), pool * stride),
        };
        let x = match (source, eight) {
            (Value::Image(x), _) => x,
            (Value::Stream(x), true) => self.narrow(&node.name, x)?,
            (Value::Stream(x), false) => self.sign(&node.name, x)?,
            (Value::Pending { node: x, .. }, false) => self.sign(&node.name, x)?,
            (Value::Pending { .. }, true) => unreachable!("a kept layer ends the block before it"),
        };
        let conv = self.weights(id, x, eight)?;
        let norm = self.norm(&unit, conv, eight && !depthwise)?;
        self.layers.push(LayerNote {
            node: conv,
            float_node: id,
            bits: if eight { 8 } else { 1 },
            folded_norm: (unit.norm.is_none() && eight && !depthwise).then_some(norm),
        });
        if eight && depthwise && !kept && self.only_signs_wanted(&unit) {
            let Value::Stream(source) = source else { return Err(unsupported(node)) };
            self.values[unit.end] = Some(Value::Pending { node: norm, source, pool: stride });
            return Ok(());
        }
        let shape = self.graph.nodes[norm].shape;
        let mut value = norm;
        let shortcut = match unit.residual {
            Some(other) => Some((self.stream(other, node)?, 1)),
            None if eight && (kept || !depthwise) => None,
            None => shortcut_source.map(|s| (s, pool)),
        };
        if let Some((from, pool)) = shortcut {
            let fits = {
                let s = self.graph.nodes[from].shape;
                s.h.div_ceil(pool) == shape.h && s.w.div_ceil(pool) == shape.w
            };
            if fits {
                let name = format!("{}.shortcut", node.name);
                let from = self.push(&name, Op::Shortcut { pool }, &[from], Some(shape))?;
                value = self.push(&format!("{}.add", node.name), Op::Add, &[value, from], None)?;
            }
        }
        if !eight || unit.activated {
            value = self.shifted_prelu(&node.name, value)?;
        }
        self.values[unit.end] = Some(Value::Stream(value));
        Ok(())
    }

    /// True if only signs are asked for and all that reads the unit is one 1-bit
    /// convolution over channels.
    fn only_signs_wanted(&self, unit: &Unit) -> bool {
        if self.options.depthwise != Depthwise::Int8Signs || unit.residual.is_some() {
            return false;
        }
        let &[next] = self.consumers[unit.end].as_slice() else { return false };
        let node = &self.float.nodes[next];
        match node.op {
            Op::Conv { groups, .. } => {
                groups == 1 && next != self.float.output && !self.options.keep.contains(&node.name)
            }
            _ => false,
        }
    }

    fn classifier(
        &mut self,
        id: NodeId,
        weight: ParamId,
        bias: Option<ParamId>,
    ) -> Result<(), Error> {
        let node = &self.float.nodes[id];
        let x = self.stream(node.inputs[0], node)?;
        let shape = self.graph.nodes[x].shape;
        let out = node.shape.c;
        if node.shape.len() != out || self.float.params[weight].data.len() != out * shape.len() {
            return Err(Error::model(format!(
                "node '{}': the classifier must give one score per class, not {:?}",
                node.name, node.shape
            )));
        }
        let x = self.narrow(&node.name, x)?;
        let weights = &self.float.params[weight];
        let weight = self.graph.param(
            &weights.name,
            &[out, shape.len()],
            weights.data.clone(),
            Role::Weight,
        );
        let bias = bias.map(|b| {
            let b = &self.float.params[b];
            self.graph.param(&b.name, &[out], b.data.clone(), Role::Gain)
        });
        let op = Op::Dense { weight, bias, precision: Precision::Int8PerTensor };
        let dense = self.push(&node.name, op, &[x], None)?;
        self.layers.push(LayerNote { node: dense, float_node: id, bits: 8, folded_norm: None });
        self.values[id] = Some(Value::Stream(dense));
        Ok(())
    }

    fn weights(&mut self, id: NodeId, x: NodeId, eight: bool) -> Result<NodeId, Error> {
        let node = &self.float.nodes[id];
        let &Op::Conv { weight, window, groups, .. } = &node.op else { unreachable!() };
        let float = &self.float.params[weight];
        let mut data = float.data.clone();
        let (role, precision) =
            if eight { (Role::Weight, Precision::Int8) } else { (Role::Latent, Precision::Binary) };
        if matches!(self.graph.nodes[x].op, Op::Input) {
            let channels = self.graph.nodes[x].shape.c;
            for (i, w) in data.iter_mut().enumerate() {
                *w *= INPUT_SCALE / self.std[i % channels];
            }
        }
        if !eight {
            let mean = data.iter().map(|w| f64::from(w.abs())).sum::<f64>() / data.len() as f64;
            let scale = if mean > 0.0 { LATENT_SIZE / mean as f32 } else { 1.0 };
            data.iter_mut().for_each(|w| *w = (*w * scale).clamp(-1.0, 1.0));
        }
        let weight = self.graph.param(&float.name, &float.shape, data, role);
        let op = Op::Conv { weight, bias: None, window, groups, precision };
        self.push(&node.name, op, &[x], None)
    }

    /// A batch norm behind `conv`. With `copy` it starts from the float one;
    /// otherwise, and where that was folded, it starts at scale 1 and shift 0.
    fn norm(&mut self, unit: &Unit, conv: NodeId, copy: bool) -> Result<NodeId, Error> {
        let channels = self.graph.nodes[conv].shape.c;
        let name = format!("{}.norm", self.graph.nodes[conv].name);
        let float = unit.norm.filter(|_| copy).map(|n| &self.float.nodes[n].op);
        let start = |id: Option<ParamId>, value: f32| match id {
            Some(id) => self.float.params[id].data.clone(),
            None => vec![value; channels],
        };
        let (data, eps) = match float {
            Some(&Op::BatchNorm { gamma, beta, mean, var, eps }) => (
                [
                    start(Some(gamma), 1.0),
                    start(Some(beta), 0.0),
                    start(Some(mean), 0.0),
                    start(Some(var), 1.0),
                ],
                eps,
            ),
            _ => ([start(None, 1.0), start(None, 0.0), start(None, 0.0), start(None, 1.0)], 1e-5),
        };
        let mut ids = [0; 4];
        for (i, (values, suffix)) in
            data.into_iter().zip(["gamma", "beta", "mean", "var"]).enumerate()
        {
            let role = if i < 2 { Role::Gain } else { Role::Statistic };
            ids[i] = self.graph.param(format!("{name}.{suffix}"), &[channels], values, role);
        }
        let [gamma, beta, mean, var] = ids;
        self.push(&name, Op::BatchNorm { gamma, beta, mean, var, eps }, &[conv], None)
    }

    fn shifted_prelu(&mut self, name: &str, x: NodeId) -> Result<NodeId, Error> {
        let channels = self.graph.nodes[x].shape.c;
        let mut gain = |suffix: &str, value: f32| {
            let name = format!("{name}.prelu.{suffix}");
            self.graph.param(name, &[channels], vec![value; channels], Role::Gain)
        };
        let before = gain("before", 0.0);
        let slope = gain("slope", INITIAL_SLOPE);
        let after = gain("after", 0.0);
        self.push(&format!("{name}.prelu"), Op::ShiftedPrelu { before, slope, after }, &[x], None)
    }

    fn sign(&mut self, name: &str, x: NodeId) -> Result<NodeId, Error> {
        self.signs.resize(self.graph.nodes.len(), None);
        if let Some(sign) = self.signs[x] {
            return Ok(sign);
        }
        let channels = self.graph.nodes[x].shape.c;
        let threshold = self.graph.param(
            format!("{name}.threshold"),
            &[channels],
            vec![0.0; channels],
            Role::Gain,
        );
        let sign = self.push(&format!("{name}.sign"), Op::Sign { threshold }, &[x], None)?;
        self.signs[x] = Some(sign);
        Ok(sign)
    }

    fn narrow(&mut self, name: &str, x: NodeId) -> Result<NodeId, Error> {
        self.push(&format!("{name}.narrow"), Op::Narrow { frac: 4 }, &[x], None)
    }

    fn stream(&self, id: NodeId, reader: &Node) -> Result<NodeId, Error> {
        match self.values[id] {
            Some(Value::Stream(node)) => Ok(node),
            _ => Err(unsupported(reader)),
        }
    }

    fn push(
        &mut self,
        name: &str,
        op: Op,
        inputs: &[NodeId],
        shape: Option<Shape>,
    ) -> Result<NodeId, Error> {
        self.graph.push(name, op, inputs, shape).map_err(|e| Error::model(e.to_string()))
    }
}

fn unsupported(node: &Node) -> Error {
    let op = format!("{:?}", node.op);
    let op = op.split([' ', '{', '(']).next().unwrap_or_default();
    Error::model(format!(
        "node '{}': {op} has no 1-bit counterpart at this place; the converter takes networks of \
         convolutions with batch norm, activation and residual adds, a global pool and one classifier",
        node.name
    ))
}
