//! The operations on integers against the naive evaluator, and where they stop.

use bitat_engine::rng::Rng;
use bitat_engine::{Error, Mode, Net, PlainSte, Purpose};
use bitat_graph::{FixedPrelu, FixedShortcut, Graph, Op, Precision, Role, Shape, Window, evaluate};

struct Builder {
    graph: Graph,
    rng: Rng,
}

impl Builder {
    fn new(shape: Shape, seed: u64) -> Builder {
        let mut graph = Graph::default();
        graph.push("input", Op::Input, &[], Some(shape)).unwrap();
        Builder { graph, rng: Rng::new(seed) }
    }

    /// Integers of about `size`, at most 32767.
    fn integers(&mut self, shape: &[usize], size: f32) -> usize {
        let len = shape.iter().product();
        let integer = |_| (size * self.rng.normal()).round().clamp(-32767.0, 32767.0);
        let data = (0..len).map(integer).collect();
        let name = format!("p{}", self.graph.params.len());
        self.graph.param(name, shape, data, Role::Statistic)
    }

    fn push(&mut self, op: Op, inputs: &[usize]) -> usize {
        let name = format!("n{}", self.graph.nodes.len());
        self.graph.push(name, op, inputs, None).unwrap()
    }

    fn conv(&mut self, x: usize, out: usize, kernel: usize, groups: usize, p: Precision) -> usize {
        let per_group = self.graph.nodes[x].shape.c / groups;
        let weight = self.integers(&[out, kernel, kernel, per_group], 40.0);
        // Doubles are rounded once before the bias and once with it, the evaluator's only once.
        let bias = (p == Precision::Float).then(|| self.integers(&[out], 500.0));
        let pad = kernel / 2;
        let window = Window { kernel: [kernel; 2], stride: [1, 1], pads: [pad, pad, pad, pad] };
        self.push(Op::Conv { weight, bias, window, groups, precision: p }, &[x])
    }

    fn requantise(
        &mut self,
        acc: usize,
        shift: i32,
        from: Option<(usize, FixedShortcut)>,
        prelu: bool,
    ) -> usize {
        let c = [self.graph.nodes[acc].shape.c];
        let multiplier = self.integers(&c, 15_000.0);
        let bias = self.integers(&c, 5_000.0);
        let prelu = prelu.then(|| FixedPrelu {
            before: self.integers(&c, 3_000.0),
            slope: self.integers(&c, 20_000.0),
            after: self.integers(&c, 3_000.0),
        });
        let inputs: Vec<usize> = [acc].into_iter().chain(from.map(|f| f.0)).collect();
        let shortcut = from.map(|f| f.1);
        self.push(Op::Requantise { shift, multiplier, bias, shortcut, prelu }, &inputs)
    }
}

/// Every node of a few images, by the engine and naively.
fn agrees(builder: &mut Builder, images: usize) {
    let graph = &mut builder.graph;
    graph.output = graph.nodes.len() - 1;
    graph.validate().unwrap();
    let len = graph.nodes[0].shape.len();
    let inputs: Vec<f32> =
        (0..images * len).map(|_| (60.0 * builder.rng.normal()).round()).collect();
    let all: Vec<usize> = (0..graph.nodes.len()).collect();
    for keep in [all.as_slice(), &[]] {
        let mut net = Net::new(graph, images, Purpose::Eval, keep).unwrap();
        net.forward(graph, &PlainSte::default(), &inputs, images, Mode::Eval);
        for (image, input) in inputs.chunks(len).enumerate() {
            let expected = evaluate(graph, input);
            for &node in keep.iter().chain([&graph.output]) {
                let found = &net.activation(node)[image * expected[node].len()..];
                assert_eq!(found[..expected[node].len()], expected[node], "node {node}");
            }
        }
    }
}

#[test]
fn a_network_of_integers_is_what_plain_loops_make_of_it() {
    for (seed, shape) in [(8, 8, 3), (7, 5, 16), (3, 9, 37)].into_iter().enumerate() {
        let (h, w, c) = shape;
        let mut b = Builder::new(Shape { h, w, c }, seed as u64);
        let acc = b.conv(0, 24, 3, 1, Precision::Float);
        let first = b.requantise(acc, 2, None, true);
        let narrow = b.push(Op::Narrow { frac: -7 }, &[first]);
        let acc = b.conv(narrow, 24, 3, 24, Precision::Float);
        let second = b.requantise(acc, -9, None, false);
        let threshold = b.integers(&[24], 2_000.0);
        let signs = b.push(Op::Sign { threshold }, &[second]);
        // Grows from the first stream, shrinks to a third, keeps.
        for (from, out, shift) in [(first, 53, -3), (second, 7, 1), (first, 24, 0)] {
            let acc = b.conv(signs, out, 1, 1, Precision::Float);
            let shortcut = FixedShortcut { pool: 1, shift };
            b.requantise(acc, 6, Some((from, shortcut)), true);
        }
        let pooled = b.graph.nodes.len() - 1;
        b.push(Op::FixedAveragePool { shift: 3 }, &[pooled]);
        agrees(&mut b, 3);
    }
}

#[test]
fn strided_shortcuts_average_what_there_is() {
    for (h, w, out) in [(6, 6, 8), (7, 5, 16), (9, 8, 5)] {
        let mut b = Builder::new(Shape { h, w, c: 8 }, 7);
        let weight = b.integers(&[out, 1, 1, 8], 40.0);
        let window = Window { kernel: [1, 1], stride: [2, 2], pads: [0; 4] };
        let precision = Precision::Float;
        let conv = Op::Conv { weight, bias: None, window, groups: 1, precision };
        let acc = b.push(conv, &[0]);
        // The side input is element-wise: it has to be stored.
        let side = b.push(Op::Relu, &[0]);
        b.requantise(acc, 0, Some((side, FixedShortcut { pool: 2, shift: 5 })), true);
        agrees(&mut b, 2);
    }
}

#[test]
fn double_precision_serves_every_kind_of_layer() {
    let mut b = Builder::new(Shape { h: 6, w: 5, c: 12 }, 11);
    let large = b.integers(&[12], 30_000.0);
    let zero = b.graph.param("zero", &[12], vec![0.0; 12], Role::Statistic);
    let x = Op::ShiftedPrelu { before: large, slope: large, after: zero };
    let x = b.push(x, &[0]);
    for (out, kernel, groups) in [(20, 1, 1), (9, 3, 1), (12, 3, 12), (8, 3, 4)] {
        b.conv(x, out, kernel, groups, Precision::Double);
    }
    let weight = b.integers(&[10, 6 * 5 * 12], 100.0);
    b.push(Op::Dense { weight, bias: None, precision: Precision::Double }, &[x]);
    agrees(&mut b, 3);
}

#[test]
fn integers_are_not_trained() {
    let mut b = Builder::new(Shape { h: 2, w: 2, c: 4 }, 1);
    let acc = b.conv(0, 4, 1, 1, Precision::Float);
    b.requantise(acc, 0, None, false);
    b.graph.output = 2;
    for purpose in [Purpose::Train, Purpose::Inspect] {
        let error = Net::new(&b.graph, 1, purpose, &[]).err().unwrap();
        assert_eq!(error, Error::NotTrained { node: "n2".into() });
        assert!(error.to_string().contains("'n2'"), "{error}");
    }
    let mut b = Builder::new(Shape { h: 2, w: 2, c: 4 }, 1);
    b.graph.output = b.conv(0, 4, 1, 1, Precision::Double);
    assert!(Net::new(&b.graph, 1, Purpose::Train, &[]).is_err());
}
