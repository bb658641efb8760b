//! MobileNetV1 in the default 1-bit block, as the trainer meets it.

use bitat_graph::{Graph, NodeId, Op, Precision, Role, Shape, ShapeError, Window};

/// Channels (at width 1) and stride of MobileNetV1's blocks.
const BLOCKS: [(usize, usize); 13] = [
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (1024, 2),
    (1024, 1),
];

/// MobileNetV1 with 8-bit stem, depthwise and classifier and 1-bit pointwise
/// convolutions, each block with its shortcut and shifted PReLU. `width` is in
/// per cent, `side` the input's rows and columns, `stem` the first stride.
/// Weights are zero; see `bitat_engine::init`.
///
/// # Errors
/// If `side` is too small for the strides.
pub fn quantization_aware(
    width: usize,
    side: usize,
    stem: usize,
    classes: usize,
) -> Result<Graph, ShapeError> {
    let mut b = Builder { graph: Graph { name: "mobilenet_v1".into(), ..Graph::default() } };
    b.graph.push("input", Op::Input, &[], Some(Shape { h: side, w: side, c: 3 }))?;
    let scaled = |c: usize| c * width / 100;
    let x = b.conv("stem", 0, scaled(32), 3, stem, 1, Precision::Int8)?;
    let x = b.norm("stem.norm", x)?;
    let mut x = b.shifted_prelu("stem.prelu", x)?;
    for (i, (out, stride)) in BLOCKS.into_iter().enumerate() {
        let name = |what: &str| format!("block{i}.{what}");
        let c = b.graph.nodes[x].shape.c;
        let d = b.graph.push(name("narrow"), Op::Narrow { frac: 4 }, &[x], None)?;
        let d = b.conv(&name("depthwise"), d, c, 3, stride, c, Precision::Int8)?;
        let d = b.norm(&name("norm1"), d)?;
        let threshold = b.gain(&name("threshold"), c, 0.0);
        let d = b.graph.push(name("sign"), Op::Sign { threshold }, &[d], None)?;
        let p = b.conv(&name("pointwise"), d, scaled(out), 1, 1, 1, Precision::Binary)?;
        let p = b.norm(&name("norm2"), p)?;
        let shape = b.graph.nodes[p].shape;
        let shortcut = if b.graph.nodes[x].shape == shape {
            x
        } else {
            let op = Op::Shortcut { pool: stride };
            b.graph.push(name("shortcut"), op, &[x], Some(shape))?
        };
        let sum = b.graph.push(name("add"), Op::Add, &[p, shortcut], None)?;
        x = b.shifted_prelu(&name("prelu"), sum)?;
    }
    let pooled = b.graph.push("pool", Op::GlobalAveragePool, &[x], None)?;
    let c = b.graph.nodes[pooled].shape.c;
    let data = vec![0.0; classes * c];
    let weight = b.graph.param("classifier.weight", &[classes, c], data, Role::Weight);
    let bias = Some(b.gain("classifier.bias", classes, 0.0));
    let precision = Precision::Int8PerTensor;
    let dense = Op::Dense { weight, bias, precision };
    b.graph.output = b.graph.push("classifier", dense, &[pooled], None)?;
    Ok(b.graph)
}

struct Builder {
    graph: Graph,
}

impl Builder {
    #[allow(clippy::too_many_arguments)]
    fn conv(
        &mut self,
        name: &str,
        x: NodeId,
        out: usize,
        kernel: usize,
        stride: usize,
        groups: usize,
        precision: Precision,
    ) -> Result<NodeId, ShapeError> {
        let shape = [out, kernel, kernel, self.graph.nodes[x].shape.c / groups];
        let role = if precision == Precision::Binary { Role::Latent } else { Role::Weight };
        let data = vec![0.0; shape.iter().product()];
        let weight = self.graph.param(format!("{name}.weight"), &shape, data, role);
        let window = Window { kernel: [kernel; 2], stride: [stride; 2], pads: [kernel / 2; 4] };
        let op = Op::Conv { weight, bias: None, window, groups, precision };
        self.graph.push(name, op, &[x], None)
    }

    fn gain(&mut self, name: &str, c: usize, value: f32) -> usize {
        self.graph.param(name, &[c], vec![value; c], Role::Gain)
    }

    fn norm(&mut self, name: &str, x: NodeId) -> Result<NodeId, ShapeError> {
        let c = self.graph.nodes[x].shape.c;
        let gamma = self.gain(&format!("{name}.gamma"), c, 1.0);
        let beta = self.gain(&format!("{name}.beta"), c, 0.0);
        let mean = self.graph.param(format!("{name}.mean"), &[c], vec![0.0; c], Role::Statistic);
        let var = self.graph.param(format!("{name}.var"), &[c], vec![1.0; c], Role::Statistic);
        self.graph.push(name, Op::BatchNorm { gamma, beta, mean, var, eps: 1e-5 }, &[x], None)
    }

    fn shifted_prelu(&mut self, name: &str, x: NodeId) -> Result<NodeId, ShapeError> {
        let c = self.graph.nodes[x].shape.c;
        let before = self.gain(&format!("{name}.before"), c, 0.0);
        let slope = self.gain(&format!("{name}.slope"), c, 0.25);
        let after = self.gain(&format!("{name}.after"), c, 0.0);
        self.graph.push(name, Op::ShiftedPrelu { before, slope, after }, &[x], None)
    }
}
