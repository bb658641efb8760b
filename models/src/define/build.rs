//! Layers appended one after another, with their parameters.

use super::random::SplitMix64;
use super::{DefineError, MobileNet};
use bitat_graph::{Graph, NodeId, Op, Precision, Role, Window};

/// What every definition has: the graph so far and where its end is.
pub(super) struct Builder {
    graph: Graph,
    random: SplitMix64,
    /// The node the next layer reads.
    pub(super) last: NodeId,
}

/// What follows a convolution's batch norm.
#[derive(Clone, Copy)]
pub(super) enum Activation {
    None,
    Relu,
    Relu6,
}

/// One convolution: output channels, square kernel, stride, groups.
pub(super) struct Conv {
    pub(super) out: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) groups: usize,
}

/// A batch norm of `channels` that changes nothing yet, with its parameters.
pub(super) fn batch_norm(graph: &mut Graph, name: &str, channels: usize) -> Op {
    let mut param = |part: &str, value: f32, role| {
        graph.param(format!("{name}.{part}"), &[channels], vec![value; channels], role)
    };
    Op::BatchNorm {
        gamma: param("gamma", 1.0, Role::Gain),
        beta: param("beta", 0.0, Role::Gain),
        mean: param("mean", 0.0, Role::Statistic),
        var: param("var", 1.0, Role::Statistic),
        eps: 1e-5,
    }
}

impl Builder {
    /// Checks the definition and starts its graph with the input.
    pub(super) fn new(family: &str, definition: &MobileNet) -> Result<Self, DefineError> {
        definition.check()?;
        let &MobileNet { width, input, seed, .. } = definition;
        let name = format!("{family}_{width}_{}x{}", input.h, input.w);
        let mut graph = Graph { name, ..Graph::default() };
        let last = graph.push("input", Op::Input, &[], Some(input))?;
        Ok(Self { graph, random: SplitMix64::new(seed), last })
    }

    pub(super) fn channels(&self) -> usize {
        self.graph.nodes[self.last].shape.c
    }

    /// Convolution, batch norm, activation. Weights start He-normal.
    pub(super) fn conv(
        &mut self,
        name: &str,
        conv: Conv,
        activation: Activation,
    ) -> Result<(), DefineError> {
        let Conv { out, kernel, stride, groups } = conv;
        let per_group = self.channels() / groups;
        let fan_in = kernel * kernel * per_group;
        let data = self.random.normals(out * fan_in, (2.0 / fan_in as f64).sqrt());
        let shape = [out, kernel, kernel, per_group];
        let weight = self.graph.param(format!("{name}.weight"), &shape, data, Role::Weight);
        let window =
            Window { kernel: [kernel; 2], stride: [stride; 2], pads: [(kernel - 1) / 2; 4] };
        let op = Op::Conv { weight, bias: None, window, groups, precision: Precision::Float };
        self.append(name.to_owned(), op)?;
        self.batch_norm(&format!("{name}.bn"))?;
        match activation {
            Activation::None => Ok(()),
            Activation::Relu => self.append(format!("{name}.relu"), Op::Relu),
            Activation::Relu6 => {
                self.append(format!("{name}.relu6"), Op::Clip { lo: 0.0, hi: 6.0 })
            }
        }
    }

    /// A 3x3 convolution of each channel by itself.
    pub(super) fn depthwise(
        &mut self,
        name: &str,
        stride: usize,
        activation: Activation,
    ) -> Result<(), DefineError> {
        let channels = self.channels();
        self.conv(name, Conv { out: channels, kernel: 3, stride, groups: channels }, activation)
    }

    /// A 1x1 convolution.
    pub(super) fn pointwise(
        &mut self,
        name: &str,
        out: usize,
        activation: Activation,
    ) -> Result<(), DefineError> {
        self.conv(name, Conv { out, kernel: 1, stride: 1, groups: 1 }, activation)
    }

    fn batch_norm(&mut self, name: &str) -> Result<(), DefineError> {
        let channels = self.channels();
        let op = batch_norm(&mut self.graph, name, channels);
        self.append(name.to_owned(), op)
    }

    /// The sum of the end and an earlier node.
    pub(super) fn add(&mut self, name: String, other: NodeId) -> Result<(), DefineError> {
        self.last = self.graph.push(name, Op::Add, &[other, self.last], None)?;
        Ok(())
    }

    /// Mean over the picture, then the classifier, its weights near zero.
    pub(super) fn classify(mut self, classes: usize) -> Result<Graph, DefineError> {
        self.append("pool".into(), Op::GlobalAveragePool)?;
        let features = self.channels();
        let data = self.random.normals(classes * features, 0.01);
        let shape = [classes, features];
        let weight = self.graph.param("classifier.weight", &shape, data, Role::Weight);
        let bias = self.graph.param("classifier.bias", &[classes], vec![0.0; classes], Role::Gain);
        let op = Op::Dense { weight, bias: Some(bias), precision: Precision::Float };
        self.append("classifier".into(), op)?;
        self.graph.output = self.last;
        Ok(self.graph)
    }

    fn append(&mut self, name: String, op: Op) -> Result<(), DefineError> {
        self.last = self.graph.push(name, op, &[self.last], None)?;
        Ok(())
    }
}
