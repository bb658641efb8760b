//! Every gradient: the backward pass against derivatives of plain loops in f64,
//! and those derivatives against finite differences.
mod common;

use bitat_engine::rng::Rng;
use bitat_engine::{Mode, Net, PlainSte, Purpose};
use bitat_graph::{Graph, NodeId, Op, Precision, Role, Shape, Window};
use common::dual::{self, Dual};
use common::{Builder, Style, images, mobile};

const STE: PlainSte = PlainSte { clip: 0.6 };

/// The loss is `Σ seed·value` over the seeded nodes; compares its derivative along a
/// random direction of each parameter with the backward pass's.
fn check(graph: &Graph, n: usize, purposes: &[Purpose], mode: Mode, seeded: &[NodeId], what: &str) {
    let mut rng = Rng::new(77);
    let x = images(graph, n, 21);
    let duals: Vec<Dual> = x.iter().map(|&x| Dual::from(f64::from(x))).collect();
    let seeds: Vec<(NodeId, Vec<f32>)> = seeded
        .iter()
        .map(|&id| (id, (0..n * graph.nodes[id].shape.len()).map(|_| rng.normal()).collect()))
        .collect();
    let seeds_in: Vec<(NodeId, &[f32])> = seeds.iter().map(|(id, s)| (*id, s.as_slice())).collect();
    let pass = |&purpose: &Purpose| {
        let mut trained = graph.clone();
        let mut net = Net::new(graph, n, purpose, seeded).unwrap();
        // Twice: the second pass must not see anything of the first.
        for _ in 0..2 {
            net.forward(&mut trained, &STE, &x, n, mode);
            net.backward(&trained, &STE, &seeds_in);
        }
        (purpose, net)
    };
    let nets: Vec<(Purpose, Net)> = purposes.iter().map(pass).collect();
    for (id, param) in graph.params.iter().enumerate().filter(|(_, p)| p.role != Role::Statistic) {
        let mut params = dual::params_of(graph);
        for p in &mut params[id] {
            p.t = f64::from(rng.normal());
        }
        let values =
            dual::evaluate(graph, &params, &duals, mode != Mode::Eval, f64::from(STE.clip));
        let exact: f64 = seeds
            .iter()
            .flat_map(|(id, seed)| values[*id].iter().zip(seed))
            .map(|(value, seed)| value.t * f64::from(*seed))
            .sum();
        for (purpose, net) in &nets {
            let terms = net.gradient(id).iter().zip(&params[id]).map(|(g, d)| f64::from(*g) * d.t);
            let got: f64 = terms.clone().sum();
            let size = terms.map(|t| t * t).sum::<f64>().sqrt();
            assert!(
                (got - exact).abs() <= 2e-4 * size.max(exact.abs()).max(0.3),
                "{what} {purpose:?} {mode:?} '{}': {got} for {exact}",
                param.name
            );
        }
    }
}

fn check_all(graph: &Graph, seeded: &[NodeId], what: &str) {
    for mode in [Mode::Train { momentum: 0.1 }, Mode::Eval] {
        check(graph, 3, &[Purpose::Train, Purpose::Inspect], mode, seeded, what);
    }
}

#[test]
fn whole_networks() {
    for style in common::STYLES {
        let graph = mobile(style, 31);
        check_all(&graph, &[graph.output], &format!("{style:?}"));
    }
}

/// Gradients enter at several nodes at once, some of them read by a batch norm.
#[test]
fn seeds_in_the_middle() {
    for style in common::STYLES {
        let graph = mobile(style, 32);
        let convs: Vec<NodeId> = (0..graph.nodes.len())
            .filter(|&id| matches!(graph.nodes[id].op, Op::Conv { .. } | Op::ShiftedPrelu { .. }))
            .step_by(3)
            .chain([graph.output])
            .collect();
        check_all(&graph, &convs, &format!("{style:?} seeds {convs:?}"));
    }
}

/// Nodes that one-path networks do not have: sums of a node with itself, of two
/// chains, of three; a stored node read by a batch norm and by others.
#[test]
fn branching_graphs() {
    let mut b = Builder::new(4, 5, 6, 41);
    let x = b.pointwise(0, 6, Precision::Float);
    let twice = b.push(Op::Add, &[x, x], None);
    let relu = b.push(Op::Relu, &[twice], None);
    let with_source = b.push(Op::Add, &[relu, x], None);
    let left = b.norm(with_source);
    let left = b.push(Op::Relu, &[left], None);
    let right = b.norm(with_source);
    let right = b.push(Op::Clip { lo: -0.5, hi: 0.8 }, &[right], None);
    let both = b.push(Op::Add, &[left, right], None);
    let y = b.push(Op::Add, &[both, x], None);
    let y = b.push(Op::Add, &[y, with_source], None);
    let y = b.push(Op::Add, &[y, twice], None);
    let shape = b.graph.nodes[x].shape;
    let same = b.push(Op::Shortcut { pool: 1 }, &[x], Some(shape));
    let y = b.push(Op::Add, &[same, y], None);
    let z = b.norm(y);
    let z = b.push(Op::Add, &[y, z], None);
    let unused = b.shifted_prelu(z);
    let graph = b.finish(z, 3, Precision::Float);
    check_all(&graph, &[graph.output], "branches");
    check_all(&graph, &[graph.output, unused, x], "branches, seeded");
}

/// Each operation alone after a convolution, at shapes where borders, tails and
/// strides show.
#[test]
fn single_operations() {
    let window = |kernel, stride, pads| Window { kernel, stride, pads };
    let float = Precision::Float;
    type Make = Box<dyn Fn(&mut Builder, NodeId) -> NodeId>;
    let conv =
        move |out: usize, w: Window, groups: usize, precision: Precision, bias: bool| -> Make {
            Box::new(move |b, x| {
                b.conv(x, out, w.kernel, w.stride, w.pads, groups, precision, bias)
            })
        };
    let shortcut = |pool: usize, h: usize, w: usize, c: usize| -> Make {
        Box::new(move |b, x| b.push(Op::Shortcut { pool }, &[x], Some(Shape { h, w, c })))
    };
    let average = |w: Window, include_pad: bool| -> Make {
        Box::new(move |b, x| b.push(Op::AveragePool { window: w, include_pad }, &[x], None))
    };
    let cases: Vec<(&str, Make)> = vec![
        ("3x3", conv(5, window([3, 3], [1, 1], [1; 4]), 1, float, true)),
        ("3x3 s2", conv(33, window([3, 3], [2, 2], [0, 0, 1, 1]), 1, Precision::Int8, false)),
        ("1x1 s2", conv(7, window([1, 1], [2, 2], [0; 4]), 1, Precision::Binary, false)),
        ("2x3 groups", conv(9, window([2, 3], [1, 2], [1, 0, 0, 2]), 3, float, true)),
        ("1x1", conv(37, window([1, 1], [1, 1], [0; 4]), 1, Precision::Binary, true)),
        ("depthwise", conv(6, window([3, 3], [1, 1], [1; 4]), 6, float, true)),
        (
            "depthwise s2",
            conv(6, window([3, 3], [2, 2], [0, 1, 1, 0]), 6, Precision::Binary, false),
        ),
        ("depthwise, no pad", conv(6, window([3, 3], [1, 1], [0; 4]), 6, float, false)),
        ("depthwise 5x2", conv(6, window([5, 2], [3, 1], [2, 0, 2, 1]), 6, Precision::Int8, true)),
        ("depthwise 7x6", conv(6, window([7, 6], [1, 1], [0; 4]), 6, float, false)),
        ("depthwise, wide pad", conv(6, window([3, 3], [2, 2], [3, 4, 2, 1]), 6, float, false)),
        ("two per channel", conv(12, window([3, 3], [1, 1], [1; 4]), 6, float, false)),
        ("shortcut grows", shortcut(1, 7, 6, 15)),
        ("shortcut shrinks", shortcut(2, 4, 3, 4)),
        ("shortcut pools", shortcut(3, 3, 2, 6)),
        ("average", average(window([2, 3], [2, 1], [1, 0, 1, 1]), false)),
        ("average, padding counts", average(window([3, 3], [2, 2], [1; 4]), true)),
        (
            "prelu",
            Box::new(|b, x| {
                let slope = b.random("slope", &[6], 0.3, Role::Gain);
                b.push(Op::Prelu { slope }, &[x], None)
            }),
        ),
        ("sign", Box::new(|b, x| b.sign(x))),
        ("narrow", Box::new(|b, x| b.push(Op::Narrow { frac: 6 }, &[x], None))),
        ("global pool", Box::new(|b, x| b.push(Op::GlobalAveragePool, &[x], None))),
        (
            "dense",
            Box::new(|b, x| {
                let weight = b.random("w", &[5, 7 * 6 * 6], 0.1, Role::Weight);
                let bias = Some(b.random("b", &[5], 0.1, Role::Gain));
                b.push(Op::Dense { weight, bias, precision: Precision::Int8PerTensor }, &[x], None)
            }),
        ),
        ("clip", Box::new(|b, x| b.push(Op::Clip { lo: -0.3, hi: 0.7 }, &[x], None))),
    ];
    for (name, make) in cases {
        for chained in [false, true] {
            let mut b = Builder::new(7, 6, 4, 51);
            let mut x = b.pointwise(0, 6, Precision::Float);
            if chained {
                x = b.norm(x);
                x = b.shifted_prelu(x);
            }
            let y = make(&mut b, x);
            b.graph.output = y;
            check_all(&b.graph, &[y], &format!("{name} chained={chained}"));
        }
    }
}

/// Wide and tall enough for several bands, blocks and panels.
#[test]
fn blocks_and_bands() {
    let mut b = Builder::new(40, 37, 3, 61);
    let x = b.conv(0, 70, [3, 3], [1, 1], [1; 4], 1, Precision::Float, true);
    let x = b.norm(x);
    let x = b.shifted_prelu(x);
    let y = b.depthwise(x, 1, Precision::Float);
    let y = b.norm(y);
    let y = b.push(Op::Relu, &[y], None);
    let y = b.depthwise(y, 2, Precision::Float);
    let graph = b.finish(y, 3, Precision::Float);
    check(&graph, 2, &[Purpose::Train], Mode::Train { momentum: 0.0 }, &[graph.output], "large");
}

/// The dual numbers themselves, on a smooth network, against central differences.
#[test]
fn derivatives_match_finite_differences() {
    let graph = mobile(Style::Float, 71);
    let x = images(&graph, 2, 3);
    let x: Vec<Dual> = x.iter().map(|&x| Dual::from(f64::from(x))).collect();
    let mut rng = Rng::new(5);
    for (id, param) in graph.params.iter().enumerate().filter(|(_, p)| p.role != Role::Statistic) {
        let direction: Vec<f64> = param.data.iter().map(|_| f64::from(rng.normal())).collect();
        let loss = |step: f64, tangent: bool| -> Dual {
            let mut params = dual::params_of(&graph);
            for (p, d) in params[id].iter_mut().zip(&direction) {
                *p = Dual::new(p.v + step * d, if tangent { *d } else { 0.0 });
            }
            let values = dual::evaluate(&graph, &params, &x, true, 1.0);
            let logits = &values[graph.output];
            let weighted = |(i, x): (usize, &Dual)| *x * Dual::from((i as f64).sin());
            logits.iter().enumerate().map(weighted).fold(Dual::default(), |a, b| a + b)
        };
        let step = 1e-6;
        let slope = (loss(step, false).v - loss(-step, false).v) / (2.0 * step);
        let exact = loss(0.0, true).t;
        assert!(
            (slope - exact).abs() < 1e-5 * exact.abs().max(0.1),
            "'{}': {slope} {exact}",
            param.name
        );
    }
}

/// The surrogate slope of sign is the derivative of a function from −1 to 1.
#[test]
fn surrogate_of_sign() {
    for i in -150..=150 {
        let u = f64::from(i) / 100.0 + 0.0003;
        let slope = (dual::soft_sign(u + 1e-6) - dual::soft_sign(u - 1e-6)) / 2e-6;
        assert!((slope - dual::sign_slope(u)).abs() < 1e-5, "{u}");
    }
    assert_eq!(
        [dual::soft_sign(-2.0), dual::soft_sign(0.0), dual::soft_sign(3.0)],
        [-1.0, 0.0, 1.0]
    );
}
