//! Layers of 1-bit networks, appended one after another, with their parameters.

use super::super::build::batch_norm;
use super::super::random::SplitMix64;
use bitat_graph::{Graph, NodeId, Op, ParamId, Precision, Role, Shape, ShapeError, Window};

/// Binary point of an 8-bit reading until data says a better one.
const FRAC: i32 = 4;

/// Deviation of the latent weights, within their range of ±1.
const LATENT: f64 = 0.1;

/// Deviation of thresholds and shifts, in units of a batch norm's output.
const SHIFT: f64 = 0.1;

/// Slope of a PReLU, and the mean it gives to values of mean 0 and deviation 1:
/// (1 − slope) / √(2π). It is taken away again, or signs would all become +1.
const SLOPE: f32 = 0.25;
const LIFT: f32 = 0.3;

/// How much of a window's overhang lies above and to the left.
#[derive(Clone, Copy)]
pub(super) enum Pads {
    /// (kernel − 1) / 2 pixels on every side, as PyTorch's networks have it.
    Around,
    /// As little as makes the output ceil(input / stride), the odd pixel below
    /// and to the right: TensorFlow's `same`.
    Same,
}

/// The graph so far and where its end is.
pub(super) struct Layers {
    graph: Graph,
    random: SplitMix64,
    pads: Pads,
    /// The node the next layer reads.
    pub(super) last: NodeId,
}

/// How a convolution's weights are kept, and whether it mixes channels.
#[derive(Clone, Copy)]
enum Kind {
    Binary,
    Int8,
    Depthwise,
    /// Depthwise, all weights equal.
    Mean,
}

impl Layers {
    /// A square RGB image.
    pub(super) fn new(side: usize, pads: Pads) -> Result<Self, ShapeError> {
        let mut graph = Graph::default();
        let image = Shape { h: side, w: side, c: 3 };
        let last = graph.push("input", Op::Input, &[], Some(image))?;
        Ok(Self { graph, random: SplitMix64::new(0), pads, last })
    }

    pub(super) fn channels(&self) -> usize {
        self.graph.nodes[self.last].shape.c
    }

    /// 8-bit convolution of the image, batch norm.
    pub(super) fn stem(
        &mut self,
        out: usize,
        kernel: usize,
        stride: usize,
    ) -> Result<(), ShapeError> {
        self.conv("stem", Kind::Int8, out, kernel, stride)
    }

    /// 8-bit 1x1 convolution of a stream, batch norm.
    pub(super) fn pointwise(&mut self, name: &str, out: usize) -> Result<(), ShapeError> {
        self.narrow(name)?;
        self.conv(name, Kind::Int8, out, 1, 1)
    }

    /// 8-bit convolution of each channel of a stream by itself, batch norm.
    pub(super) fn depthwise(
        &mut self,
        name: &str,
        kernel: usize,
        stride: usize,
    ) -> Result<(), ShapeError> {
        self.narrow(name)?;
        self.conv(name, Kind::Depthwise, self.channels(), kernel, stride)
    }

    /// Mean over 2x2 pixels as an 8-bit depthwise convolution of equal weights.
    pub(super) fn halve(&mut self, name: &str) -> Result<(), ShapeError> {
        self.narrow(name)?;
        self.conv(name, Kind::Mean, self.channels(), 2, 2)
    }

    /// Signs against thresholds, 1-bit convolution, batch norm.
    pub(super) fn binary(
        &mut self,
        name: &str,
        out: usize,
        kernel: usize,
        stride: usize,
    ) -> Result<(), ShapeError> {
        let threshold = self.gain(&format!("{name}.threshold"), 0.0, SHIFT);
        self.append(format!("{name}.sign"), Op::Sign { threshold })?;
        self.conv(name, Kind::Binary, out, kernel, stride)
    }

    /// Adds an earlier stream, `pool` by `pool` of its pixels to one, its channels
    /// repeated where there are more now.
    pub(super) fn add(&mut self, name: &str, from: NodeId, pool: usize) -> Result<(), ShapeError> {
        let wanted = self.graph.nodes[self.last].shape;
        let name = format!("{name}.shortcut");
        let op = Op::Shortcut { pool };
        let shortcut = self.graph.push(name.clone(), op, &[from], Some(wanted))?;
        let name = format!("{name}.add");
        self.last = self.graph.push(name, Op::Add, &[self.last, shortcut], None)?;
        Ok(())
    }

    /// Shifted PReLU with shifts of its own per channel.
    pub(super) fn prelu(&mut self, name: &str) -> Result<(), ShapeError> {
        let before = self.gain(&format!("{name}.prelu.before"), 0.0, SHIFT);
        let slope = self.gain(&format!("{name}.prelu.slope"), SLOPE, 0.02);
        let after = self.gain(&format!("{name}.prelu.after"), -LIFT, SHIFT);
        self.append(format!("{name}.prelu"), Op::ShiftedPrelu { before, slope, after })
    }

    /// ReLU, as the shifted PReLU that has no shifts and no slope.
    pub(super) fn relu(&mut self, name: &str) -> Result<(), ShapeError> {
        let [before, slope, after] = ["before", "slope", "after"]
            .map(|part| self.gain(&format!("{name}.relu.{part}"), 0.0, 0.0));
        self.append(format!("{name}.relu"), Op::ShiftedPrelu { before, slope, after })
    }

    /// Mean over the picture, then the 8-bit classifier.
    pub(super) fn classify(mut self, classes: usize) -> Result<Graph, ShapeError> {
        self.append("pool".into(), Op::GlobalAveragePool)?;
        let features = self.channels();
        self.narrow("classifier")?;
        let data = self.random.normals(classes * features, 0.01);
        let shape = [classes, features];
        let weight = self.graph.param("classifier.weight", &shape, data, Role::Weight);
        let bias = self.graph.param("classifier.bias", &[classes], vec![0.0; classes], Role::Gain);
        let precision = Precision::Int8PerTensor;
        self.append("classifier".into(), Op::Dense { weight, bias: Some(bias), precision })?;
        self.graph.output = self.last;
        Ok(self.graph)
    }

    fn conv(
        &mut self,
        name: &str,
        kind: Kind,
        out: usize,
        kernel: usize,
        stride: usize,
    ) -> Result<(), ShapeError> {
        let Shape { h, w, c } = self.graph.nodes[self.last].shape;
        let groups = match kind {
            Kind::Binary | Kind::Int8 => 1,
            Kind::Depthwise | Kind::Mean => c,
        };
        let per_group = c / groups;
        let fan_in = kernel * kernel * per_group;
        let len = out * fan_in;
        let data = match kind {
            Kind::Binary => self.random.normals(len, LATENT),
            Kind::Int8 | Kind::Depthwise => self.random.normals(len, (2.0 / fan_in as f64).sqrt()),
            Kind::Mean => vec![1.0 / fan_in as f32; len],
        };
        let (precision, role) = match kind {
            Kind::Binary => (Precision::Binary, Role::Latent),
            _ => (Precision::Int8, Role::Weight),
        };
        let shape = [out, kernel, kernel, per_group];
        let weight = self.graph.param(format!("{name}.weight"), &shape, data, role);
        let [(top, bottom), (left, right)] = [h, w].map(|side| self.pads(side, kernel, stride));
        let window =
            Window { kernel: [kernel; 2], stride: [stride; 2], pads: [top, left, bottom, right] };
        self.append(name.to_owned(), Op::Conv { weight, bias: None, window, groups, precision })?;
        let name = format!("{name}.norm");
        let norm = batch_norm(&mut self.graph, &name, out);
        self.append(name, norm)
    }

    /// Pixels outside, before and after a side.
    fn pads(&self, side: usize, kernel: usize, stride: usize) -> (usize, usize) {
        match self.pads {
            Pads::Around => ((kernel - 1) / 2, (kernel - 1) / 2),
            Pads::Same => {
                let covered = (side.div_ceil(stride) - 1) * stride + kernel;
                let outside = covered.saturating_sub(side);
                (outside / 2, outside - outside / 2)
            }
        }
    }

    /// The 8-bit reading of a stream.
    fn narrow(&mut self, reader: &str) -> Result<(), ShapeError> {
        self.append(format!("{reader}.narrow"), Op::Narrow { frac: FRAC })
    }

    /// A parameter per channel, around `middle`.
    fn gain(&mut self, name: &str, middle: f32, deviation: f64) -> ParamId {
        let c = self.channels();
        let data = self.random.normals(c, deviation).into_iter().map(|v| middle + v).collect();
        self.graph.param(name, &[c], data, Role::Gain)
    }

    fn append(&mut self, name: String, op: Op) -> Result<(), ShapeError> {
        self.last = self.graph.push(name, op, &[self.last], None)?;
        Ok(())
    }
}
