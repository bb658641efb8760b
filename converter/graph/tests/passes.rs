//! The passes on graphs built by hand, and what validation refuses. That they
//! keep values is checked on many networks in the importer's tests.

use bitat_graph::{
    Graph, NodeId, Op, Precision, Role, Shape, Window, canonicalise, evaluate, fold_batch_norm,
    prune, take_input_affine,
};

const UNIT: Window = Window { kernel: [1; 2], stride: [1; 2], pads: [0; 4] };

struct Net(Graph);

impl Net {
    fn new(h: usize, w: usize, c: usize) -> Net {
        let mut graph = Graph::default();
        graph.push("x", Op::Input, &[], Some(Shape { h, w, c })).unwrap();
        Net(graph)
    }

    fn push(&mut self, name: &str, op: Op, inputs: &[NodeId]) -> NodeId {
        self.0.output = self.0.push(name, op, inputs, None).unwrap();
        self.0.output
    }

    fn gain(&mut self, name: &str, data: &[f32]) -> usize {
        self.0.param(name, &[data.len()], data.to_vec(), Role::Gain)
    }

    /// A 1x1 convolution with these weights, one output channel per row.
    fn conv(&mut self, name: &str, input: NodeId, rows: &[&[f32]], precision: Precision) -> NodeId {
        let shape = [rows.len(), 1, 1, rows[0].len()];
        let weight = self.0.param(format!("{name}.weight"), &shape, rows.concat(), Role::Weight);
        let op = Op::Conv { weight, bias: None, window: UNIT, groups: 1, precision };
        self.push(name, op, &[input])
    }

    fn batch_norm(&mut self, name: &str, input: NodeId, values: [&[f32]; 4], eps: f32) -> NodeId {
        let [gamma, beta, mean, var] =
            [("g", 0), ("b", 1), ("m", 2), ("v", 3)].map(|(p, i)| self.gain(p, values[i]));
        self.push(name, Op::BatchNorm { gamma, beta, mean, var, eps }, &[input])
    }

    fn affine(&mut self, name: &str, input: NodeId, scale: &[f32], offset: &[f32]) -> NodeId {
        let (zero, one) = (vec![0.0; scale.len()], vec![1.0; scale.len()]);
        self.batch_norm(name, input, [scale, offset, &zero, &one], 0.0)
    }
}

fn operations(graph: &Graph) -> Vec<&'static str> {
    graph.nodes.iter().map(|n| n.op.name()).collect()
}

/// Everything that can go goes, and the values stay.
#[test]
fn canonical_form() {
    let mut net = Net::new(1, 1, 2);
    let a = net.affine("nothing", 0, &[1.0; 2], &[0.0; 2]);
    let b = net.conv("first", a, &[&[1.0, 2.0], &[3.0, -4.0]], Precision::Float);
    let c = net.affine("bias", b, &[1.0; 2], &[0.5, -0.5]);
    let d = net.push("low", Op::Clip { lo: 0.0, hi: f32::MAX }, &[c]);
    let e = net.push("high", Op::Clip { lo: f32::MIN, hi: 6.0 }, &[d]);
    let f = net.push("pool", Op::GlobalAveragePool, &[e]);
    let _unread = net.push("unread", Op::Relu, &[f]);
    let g = net.conv("scores", f, &[&[1.0, -1.0]], Precision::Float);
    net.affine("scale", g, &[2.0], &[1.0]);
    let graph = canonicalise(&net.0);
    graph.validate().unwrap();
    assert_eq!(operations(&graph), ["input", "conv", "clip", "dense"]);
    let names: Vec<_> = graph.nodes.iter().map(|n| n.name.as_str()).collect();
    assert_eq!(names, ["x", "first", "high", "scores"]);
    assert_eq!(graph.nodes[2].op, Op::Clip { lo: 0.0, hi: 6.0 });
    // 1 + 4 + 0.5 = 5.5 and 3 − 8 − 0.5 < 0: 5.5·2 + 1.
    assert_eq!(evaluate(&graph, &[1.0, 2.0])[graph.output], [12.0]);
    assert_eq!(evaluate(&net.0, &[1.0, 2.0])[net.0.output], [12.0]);
    assert_eq!(canonicalise(&graph), graph, "a second time changes nothing");
}

#[test]
fn clips_merge_in_the_right_order() {
    for (first, second, wanted) in [
        (Op::Relu, Op::Clip { lo: -1.0, hi: 6.0 }, Op::Clip { lo: 0.0, hi: 6.0 }),
        (Op::Clip { lo: -1.0, hi: 6.0 }, Op::Relu, Op::Clip { lo: 0.0, hi: 6.0 }),
        (Op::Relu, Op::Relu, Op::Relu),
        // Disjoint: everything becomes the nearer end of the second.
        (
            Op::Clip { lo: 2.0, hi: 3.0 },
            Op::Clip { lo: 0.0, hi: 1.0 },
            Op::Clip { lo: 1.0, hi: 1.0 },
        ),
        (Op::Clip { lo: -3.0, hi: -2.0 }, Op::Relu, Op::Clip { lo: 0.0, hi: 0.0 }),
    ] {
        let mut net = Net::new(1, 1, 1);
        let a = net.push("a", first.clone(), &[0]);
        net.push("b", second.clone(), &[a]);
        let graph = canonicalise(&net.0);
        assert_eq!(graph.nodes.len(), 2, "{first:?}, {second:?}");
        assert_eq!(graph.nodes[1].op, wanted, "{first:?}, {second:?}");
        for x in [-9.0, -2.5, -0.5, 0.5, 2.5, 9.0] {
            let value = |g: &Graph| evaluate(g, &[x])[g.output][0];
            assert_eq!(value(&graph), value(&net.0), "{first:?}, {second:?} at {x}");
        }
    }
}

/// A node that somebody else reads too must stay as it is.
#[test]
fn shared_nodes_are_left_alone() {
    let mut net = Net::new(1, 1, 1);
    let a = net.conv("conv", 0, &[&[2.0]], Precision::Float);
    let b = net.affine("bias", a, &[1.0], &[3.0]);
    let c = net.batch_norm("norm", a, [&[1.0], &[0.0], &[0.5], &[1.0]], 0.0);
    net.push("sum", Op::Add, &[b, c]);
    for graph in [canonicalise(&net.0), fold_batch_norm(&net.0)] {
        assert_eq!(operations(&graph), ["input", "conv", "batch_norm", "batch_norm", "add"]);
        assert_eq!(evaluate(&graph, &[10.0])[graph.output], [23.0 + 19.5]);
    }
    // The network's output counts as a reader.
    let mut net = Net::new(1, 1, 1);
    let a = net.push("relu", Op::Relu, &[0]);
    net.push("clip", Op::Clip { lo: 0.0, hi: 1.0 }, &[a]);
    net.0.output = a;
    assert_eq!(operations(&canonicalise(&net.0)), ["input", "relu"]);
}

#[test]
fn removed_nodes_hand_their_readers_on() {
    let mut net = Net::new(1, 1, 1);
    let a = net.push("relu", Op::Relu, &[0]);
    let b = net.push("pool", Op::GlobalAveragePool, &[a]);
    // Two readers of the pool become two readers of the ReLU: no merging into it.
    let c = net.push("clip", Op::Clip { lo: 0.0, hi: 1.0 }, &[b]);
    net.push("sum", Op::Add, &[b, c]);
    let graph = canonicalise(&net.0);
    assert_eq!(operations(&graph), ["input", "relu", "clip", "add"]);
    assert_eq!(evaluate(&graph, &[5.0])[graph.output], [6.0]);
}

#[test]
fn average_pools_over_everything_are_global() {
    let pool = |kernel, pads, include_pad| {
        let mut net = Net::new(3, 2, 1);
        let window = Window { kernel, stride: [9; 2], pads };
        net.push("p", Op::AveragePool { window, include_pad }, &[0]);
        let graph = canonicalise(&net.0);
        let image = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        assert_eq!(evaluate(&graph, &image)[1], evaluate(&net.0, &image)[1]);
        operations(&graph)[1]
    };
    assert_eq!(pool([3, 2], [0; 4], false), "global_average_pool");
    assert_eq!(pool([3, 2], [0; 4], true), "global_average_pool");
    assert_eq!(pool([5, 3], [1, 1, 1, 0], false), "global_average_pool");
    assert_eq!(pool([5, 3], [1, 1, 1, 0], true), "average_pool", "zeros count");
    assert_eq!(pool([3, 2], [1, 0, 0, 0], false), "average_pool", "the last row is outside");
    assert_eq!(pool([2, 2], [0; 4], false), "average_pool");
}

#[test]
fn batch_norm_folds_where_the_scale_survives() {
    for (precision, folded) in [
        (Precision::Float, true),
        (Precision::Int8, true),
        (Precision::Int8PerTensor, false),
        (Precision::Binary, false),
    ] {
        let mut net = Net::new(1, 1, 2);
        let a = net.conv("conv", 0, &[&[1.0, 2.0], &[3.0, 4.0]], precision);
        net.batch_norm("norm", a, [&[2.0, -1.0], &[0.5, 0.0], &[1.0, 2.0], &[3.0, 0.0]], 1.0);
        let graph = fold_batch_norm(&net.0);
        graph.validate().unwrap();
        let wanted =
            if folded { vec!["input", "conv"] } else { vec!["input", "conv", "batch_norm"] };
        assert_eq!(operations(&graph), wanted, "{precision:?}");
        let value = |g: &Graph| evaluate(g, &[3.0, -1.0])[g.output].clone();
        let (a, b) = (value(&graph), value(&net.0));
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-5), "{precision:?}: {a:?} {b:?}");
        assert_eq!(graph.nodes[1].name, "conv", "the layer keeps its name");
    }
}

#[test]
fn only_a_leading_affine_is_taken() {
    let mut net = Net::new(1, 1, 1);
    let a = net.batch_norm("norm", 0, [&[2.0], &[1.0], &[3.0], &[4.0]], 0.0);
    net.conv("conv", a, &[&[1.0]], Precision::Float);
    let (rest, taken) = take_input_affine(&net.0);
    let taken = taken.unwrap();
    assert_eq!((taken.scale, taken.offset), (vec![1.0], vec![-2.0]));
    assert_eq!(operations(&rest), ["input", "conv"]);
    rest.validate().unwrap();
    // Somebody else reads the image as it is.
    net.push("sum", Op::Add, &[0, 2]);
    assert_eq!(take_input_affine(&net.0), (net.0.clone(), None));
}

#[test]
fn pruning_renumbers_nodes_and_parameters() {
    let mut net = Net::new(1, 1, 1);
    net.conv("dead", 0, &[&[7.0]], Precision::Float);
    let a = net.push("relu", Op::Relu, &[0]);
    net.conv("alive", a, &[&[2.0]], Precision::Float);
    let graph = prune(&net.0);
    graph.validate().unwrap();
    assert_eq!(operations(&graph), ["input", "relu", "conv"]);
    assert_eq!((graph.output, graph.params.len()), (2, 1));
    assert_eq!(graph.params[0].name, "alive.weight");
    assert_eq!(graph.nodes[2].inputs, [1]);
}

#[test]
fn validation_names_the_fault() {
    let good = || {
        let mut net = Net::new(2, 2, 1);
        let a = net.conv("conv", 0, &[&[2.0]], Precision::Float);
        net.push("relu", Op::Relu, &[a]);
        net.0
    };
    good().validate().unwrap();
    type Break = fn(&mut Graph);
    let cases: [(Break, &str); 12] = [
        (|g| g.nodes[2].name = "conv".into(), "node 'conv': the name is taken"),
        (|g| g.nodes[0].op = Op::Relu, "node 'x': the input, and only the input, comes first"),
        (|g| g.nodes[2].op = Op::Input, "node 'relu': the input, and only the input"),
        (|g| g.nodes[1].inputs = vec![1], "node 'conv': reads node 1, which does not come before"),
        (|g| g.nodes[2].inputs = vec![], "node 'relu': takes 1 inputs, not 0"),
        (|g| g.params.clear(), "node 'conv': names parameter 0 of 0"),
        (|g| g.params[0].data.push(0.0), "'conv.weight' has 2 values for [1, 1, 1, 1]"),
        (|g| g.params[0].data[0] = f32::NAN, "'conv.weight' holds NaN"),
        (|g| g.params[0].shape = vec![usize::MAX, 2], "has 1 values for"),
        (|g| g.nodes[2].shape.h = 3, "node 'relu': is 2x2x1, not 3x2x1"),
        (|g| g.output = 3, "the output is node 3 of 3"),
        (
            |g| {
                g.nodes[0].shape.c = 0;
                g.nodes.truncate(1);
                g.output = 0;
            },
            "node 'x': is empty",
        ),
    ];
    for (break_it, wanted) in cases {
        let mut graph = good();
        break_it(&mut graph);
        let message = graph.validate().unwrap_err().to_string();
        assert!(message.contains(wanted), "wanted '{wanted}', got '{message}'");
    }
}

#[test]
fn the_description_counts() {
    let mut net = Net::new(4, 4, 2);
    net.conv("conv", 0, &[[1.0, 1.0].as_slice(); 3], Precision::Float);
    assert_eq!(net.0.macs(1), 96);
    let text = net.0.describe();
    assert!(text.contains("6 parameters, 96 multiplications"), "{text}");
    assert!(text.lines().nth(1).unwrap().contains("4x4x3"), "{text}");
}
