//! The shape of what is defined: sizes, names, order, and that a seed decides.
#![cfg(feature = "define")]

use bitat_graph::{Graph, Op, Shape};
use bitat_models::{MobileNet, mobilenet_v1, mobilenet_v2};
use std::collections::HashSet;

const SMALL: Shape = Shape { h: 28, w: 28, c: 1 };

fn both(input: Shape, classes: usize) -> [Graph; 2] {
    [
        mobilenet_v1(&MobileNet::new(0.25, input, classes)).unwrap(),
        mobilenet_v2(&MobileNet::new(0.25, input, classes)).unwrap(),
    ]
}

/// The activation that the mean over the picture reads.
fn last_map(graph: &Graph) -> Shape {
    let pool = graph.nodes.iter().find(|node| node.op == Op::GlobalAveragePool).unwrap();
    graph.nodes[pool.inputs[0]].shape
}

#[test]
fn small_pictures_end_at_four_by_four() {
    for side in [28, 32] {
        for graph in both(Shape { h: side, w: side, c: 1 }, 10) {
            let Shape { h, w, .. } = last_map(&graph);
            assert_eq!((h, w), (4, 4), "{}", graph.name);
        }
    }
    for graph in both(Shape { h: 224, w: 224, c: 3 }, 10) {
        assert_eq!((last_map(&graph).h, last_map(&graph).w), (7, 7), "{}", graph.name);
    }
}

#[test]
fn strides_can_be_chosen() {
    let definition = MobileNet { strides: [2, 2, 1, 1, 2], ..MobileNet::new(0.5, SMALL, 10) };
    assert_eq!(last_map(&mobilenet_v1(&definition).unwrap()), Shape { h: 4, w: 4, c: 512 });
    let definition = MobileNet { strides: [1; 5], ..MobileNet::new(0.5, SMALL, 10) };
    assert_eq!(last_map(&mobilenet_v2(&definition).unwrap()), Shape { h: 28, w: 28, c: 1280 });
}

#[test]
fn graphs_are_whole() {
    for graph in both(Shape { h: 33, w: 17, c: 2 }, 7) {
        assert_eq!(graph.nodes[0].op, Op::Input);
        assert_eq!(graph.nodes[graph.output].shape, Shape { h: 1, w: 1, c: 7 });
        for (id, node) in graph.nodes.iter().enumerate() {
            assert!(node.inputs.iter().all(|&input| input < id), "{}", node.name);
            assert!(!node.shape.is_empty(), "{}", node.name);
        }
        let nodes: HashSet<_> = graph.nodes.iter().map(|node| &node.name).collect();
        assert_eq!(nodes.len(), graph.nodes.len());
        let params: HashSet<_> = graph.params.iter().map(|param| &param.name).collect();
        assert_eq!(params.len(), graph.params.len());
        assert!(graph.params.iter().all(|p| p.data.iter().all(|v| v.is_finite())));
    }
}

#[test]
fn v2_adds_where_shapes_allow() {
    let graph = mobilenet_v2(&MobileNet::new(1.0, SMALL, 10)).unwrap();
    // One less than its repeats in each stage: 1 + 2 + 3 + 2 + 2.
    let added = graph.nodes.iter().filter(|node| node.op == Op::Add).count();
    assert_eq!(added, 10);
    // A dropped halving gains no shortcut: the channels still grow.
    let strides = [1; 5];
    let flat = mobilenet_v2(&MobileNet { strides, ..MobileNet::new(1.0, SMALL, 10) });
    assert_eq!(flat.unwrap().nodes.iter().filter(|node| node.op == Op::Add).count(), 10);
}

#[test]
fn the_seed_decides_the_weights() {
    let definition = MobileNet::new(0.25, SMALL, 10);
    let graph = mobilenet_v1(&definition).unwrap();
    assert_eq!(mobilenet_v1(&definition).unwrap(), graph);
    let other = mobilenet_v1(&MobileNet { seed: 1, ..definition }).unwrap();
    assert_ne!(other.params[0].data, graph.params[0].data);
    // He: the variance of a pointwise layer's weights is 2 / its inputs.
    let weights = graph.params.iter().find(|p| p.name == "block13.pointwise.weight").unwrap();
    let energy = weights.data.iter().map(|w| w * w).sum::<f32>() / weights.data.len() as f32;
    assert!((energy * 256.0 / 2.0 - 1.0).abs() < 0.02, "{energy}");
}
