//! Small networks with every shape of block, and helpers.
#![allow(dead_code, unreachable_pub)]

pub mod dual;

use bitat_engine::rng::Rng;
use bitat_graph::{Graph, NodeId, Op, Precision, Role, Shape, Window};

/// What the blocks of a small MobileNet are made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Style {
    /// Float, ReLU6, inverted residuals.
    Float,
    /// 8-bit depthwise, 1-bit pointwise, shortcuts.
    Binary,
    /// 1-bit depthwise and pointwise, each with its shortcut.
    FullyBinary,
}

pub const STYLES: [Style; 3] = [Style::Float, Style::Binary, Style::FullyBinary];

pub struct Builder {
    pub graph: Graph,
    rng: Rng,
}

impl Builder {
    pub fn new(h: usize, w: usize, c: usize, seed: u64) -> Builder {
        let mut graph = Graph::default();
        graph.push("input", Op::Input, &[], Some(Shape { h, w, c })).unwrap();
        Builder { graph, rng: Rng::new(seed) }
    }

    pub fn random(&mut self, name: &str, shape: &[usize], scale: f32, role: Role) -> usize {
        let len = shape.iter().product();
        let data = (0..len).map(|_| scale * self.rng.normal()).collect();
        let name = format!("{name}{}", self.graph.params.len());
        self.graph.param(name, shape, data, role)
    }

    pub fn push(&mut self, op: Op, inputs: &[NodeId], wanted: Option<Shape>) -> NodeId {
        let name =
            format!("{}_{}", self.graph.nodes.len(), format!("{op:?}").split(' ').next().unwrap());
        self.graph.push(name, op, inputs, wanted).unwrap()
    }

    #[allow(clippy::too_many_arguments)]
    pub fn conv(
        &mut self,
        x: NodeId,
        out: usize,
        kernel: [usize; 2],
        stride: [usize; 2],
        pads: [usize; 4],
        groups: usize,
        precision: Precision,
        bias: bool,
    ) -> NodeId {
        let per_group = self.graph.nodes[x].shape.c / groups;
        let fan_in = (per_group * kernel[0] * kernel[1]) as f32;
        let role = if precision == Precision::Binary { Role::Latent } else { Role::Weight };
        let shape = [out, kernel[0], kernel[1], per_group];
        let weight = self.random("w", &shape, (2.0 / fan_in).sqrt(), role);
        let bias = bias.then(|| self.random("b", &[out], 0.1, Role::Gain));
        let window = Window { kernel, stride, pads };
        self.push(Op::Conv { weight, bias, window, groups, precision }, &[x], None)
    }

    pub fn depthwise(&mut self, x: NodeId, stride: usize, precision: Precision) -> NodeId {
        let c = self.graph.nodes[x].shape.c;
        self.conv(x, c, [3, 3], [stride; 2], [1; 4], c, precision, false)
    }

    pub fn pointwise(&mut self, x: NodeId, out: usize, precision: Precision) -> NodeId {
        self.conv(x, out, [1, 1], [1, 1], [0; 4], 1, precision, false)
    }

    pub fn norm(&mut self, x: NodeId) -> NodeId {
        let c = self.graph.nodes[x].shape.c;
        let around = |b: &mut Builder, name: &str, centre: f32, role: Role| {
            let p = b.random(name, &[c], 0.2, role);
            b.graph.params[p].data.iter_mut().for_each(|v| *v = (*v + centre).max(0.1 * centre));
            p
        };
        let gamma = around(self, "gamma", 1.0, Role::Gain);
        let beta = self.random("beta", &[c], 0.2, Role::Gain);
        let mean = self.random("mean", &[c], 0.2, Role::Statistic);
        let var = around(self, "var", 1.0, Role::Statistic);
        self.push(Op::BatchNorm { gamma, beta, mean, var, eps: 1e-3 }, &[x], None)
    }

    pub fn sign(&mut self, x: NodeId) -> NodeId {
        let c = self.graph.nodes[x].shape.c;
        let threshold = self.random("threshold", &[c], 0.1, Role::Gain);
        self.push(Op::Sign { threshold }, &[x], None)
    }

    pub fn shifted_prelu(&mut self, x: NodeId) -> NodeId {
        let c = self.graph.nodes[x].shape.c;
        let before = self.random("before", &[c], 0.1, Role::Gain);
        let slope = self.random("slope", &[c], 0.3, Role::Gain);
        let after = self.random("after", &[c], 0.1, Role::Gain);
        self.push(Op::ShiftedPrelu { before, slope, after }, &[x], None)
    }

    /// `x + shortcut` and a shifted PReLU, the shortcut taking `from` to `x`'s shape.
    pub fn close_block(&mut self, x: NodeId, from: NodeId) -> NodeId {
        let shape = self.graph.nodes[x].shape;
        let pool = self.graph.nodes[from].shape.h.div_ceil(shape.h);
        let shortcut = if self.graph.nodes[from].shape == shape {
            from
        } else {
            self.push(Op::Shortcut { pool }, &[from], Some(shape))
        };
        let sum = self.push(Op::Add, &[x, shortcut], None);
        self.shifted_prelu(sum)
    }

    pub fn finish(mut self, x: NodeId, classes: usize, precision: Precision) -> Graph {
        let pooled = self.push(Op::GlobalAveragePool, &[x], None);
        let c = self.graph.nodes[pooled].shape.c;
        let weight = self.random("w", &[classes, c], (1.0 / c as f32).sqrt(), Role::Weight);
        let bias = Some(self.random("b", &[classes], 0.1, Role::Gain));
        self.graph.output = self.push(Op::Dense { weight, bias, precision }, &[pooled], None);
        self.graph
    }
}

/// A MobileNet in miniature: strides, channels that grow, shrink and stay.
pub fn mobile(style: Style, seed: u64) -> Graph {
    let mut b = Builder::new(9, 8, 3, seed);
    let stem = if style == Style::Float { Precision::Float } else { Precision::Int8 };
    let x = b.conv(0, 8, [3, 3], [1, 1], [1; 4], 1, stem, false);
    let x = b.norm(x);
    let mut x =
        if style == Style::Float { b.push(Op::Relu, &[x], None) } else { b.shifted_prelu(x) };
    for (out, stride) in [(8, 1), (20, 2), (20, 1), (10, 1), (40, 2)] {
        x = match style {
            Style::Float => {
                let hidden = b.pointwise(x, 2 * out, Precision::Float);
                let hidden = b.norm(hidden);
                let hidden = b.push(Op::Clip { lo: 0.0, hi: 6.0 }, &[hidden], None);
                let d = b.depthwise(hidden, stride, Precision::Float);
                let d = b.norm(d);
                let d = b.push(Op::Relu, &[d], None);
                let p = b.pointwise(d, out, Precision::Float);
                let p = b.norm(p);
                if b.graph.nodes[p].shape == b.graph.nodes[x].shape {
                    b.push(Op::Add, &[x, p], None)
                } else {
                    p
                }
            }
            Style::Binary => {
                let narrow = b.push(Op::Narrow { frac: 5 }, &[x], None);
                let d = b.depthwise(narrow, stride, Precision::Int8);
                let d = b.norm(d);
                let d = b.sign(d);
                let p = b.pointwise(d, out, Precision::Binary);
                let p = b.norm(p);
                b.close_block(p, x)
            }
            Style::FullyBinary => {
                let s = b.sign(x);
                let d = b.depthwise(s, stride, Precision::Binary);
                let d = b.norm(d);
                let d = b.close_block(d, x);
                let s = b.sign(d);
                let p = b.pointwise(s, out, Precision::Binary);
                let p = b.norm(p);
                b.close_block(p, d)
            }
        };
    }
    let head = if style == Style::Float { Precision::Float } else { Precision::Int8PerTensor };
    b.finish(x, 5, head)
}

pub fn images(graph: &Graph, n: usize, seed: u64) -> Vec<f32> {
    let mut rng = Rng::new(seed);
    (0..n * graph.nodes[0].shape.len()).map(|_| rng.normal()).collect()
}

/// Asserts `|got − want| ≤ tolerance · max(1, max |want|)`.
pub fn close(got: &[f32], want: &[f32], tolerance: f32, what: impl Fn() -> String) {
    assert_eq!(got.len(), want.len(), "{}", what());
    let size = want.iter().fold(1.0f32, |m, w| m.max(w.abs()));
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= tolerance * size, "{} [{i}]: {g} for {w}", what());
    }
}
