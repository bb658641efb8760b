//! Parameters and multiplies against the figures published with the networks.
#![cfg(feature = "define")]

use bitat_graph::{Graph, Node, Op, Precision, Role, Shape};
use bitat_models::{MobileNet, OneBit, mobilenet_v1, mobilenet_v2};

const IMAGE: Shape = Shape { h: 224, w: 224, c: 3 };

/// What an optimiser trains: everything but batch norm's running statistics.
fn parameters(graph: &Graph) -> usize {
    let trained = graph.params.iter().filter(|param| param.role != Role::Statistic);
    trained.map(|param| param.data.len()).sum()
}

/// Multiply-accumulates of convolutions and classifier for one image.
fn macs(graph: &Graph) -> usize {
    graph.nodes.iter().map(|node| cost(graph, node)).sum()
}

/// Those of ±1 by ±1.
fn binary_macs(graph: &Graph) -> usize {
    let binary = |node: &&Node| {
        matches!(node.op, Op::Conv { precision: Precision::Binary, .. })
            && matches!(graph.nodes[node.inputs[0]].op, Op::Sign { .. })
    };
    graph.nodes.iter().filter(binary).map(|node| cost(graph, node)).sum()
}

fn cost(graph: &Graph, node: &Node) -> usize {
    match &node.op {
        Op::Conv { weight, .. } => {
            let shape = &graph.params[*weight].shape;
            node.shape.len() * shape[1..].iter().product::<usize>()
        }
        Op::Dense { weight, .. } => graph.params[*weight].data.len(),
        _ => 0,
    }
}

fn within(value: usize, published: f64, tolerance: f64) -> bool {
    (value as f64 / published - 1.0).abs() <= tolerance
}

#[test]
fn v1_costs_what_is_published() {
    let full = mobilenet_v1(&MobileNet::new(1.0, IMAGE, 1000)).unwrap();
    assert_eq!(parameters(&full), 4_231_976); // 4.24 M with the background class
    assert_eq!(macs(&full), 568_740_352); // 569 M
    // Width, million parameters, million multiplies.
    for (width, millions, multiplies) in
        [(1.0, 4.24, 569.0), (0.75, 2.59, 325.0), (0.5, 1.34, 149.0), (0.25, 0.47, 41.0)]
    {
        let graph = mobilenet_v1(&MobileNet::new(width, IMAGE, 1001)).unwrap();
        let (params, macs) = (parameters(&graph), macs(&graph));
        assert!(within(params, millions * 1e6, 0.01), "width {width}: {params} parameters");
        assert!(within(macs, multiplies * 1e6, 0.01), "width {width}: {macs} multiplies");
    }
}

#[test]
fn v2_costs_what_is_published() {
    let full = mobilenet_v2(&MobileNet::new(1.0, IMAGE, 1000)).unwrap();
    assert_eq!(parameters(&full), 3_504_872); // 3.50 M
    assert_eq!(macs(&full), 300_774_272); // 300 M
    for (width, millions, multiplies) in
        [(1.4, 6.06, 582.0), (0.75, 2.61, 209.0), (0.5, 1.95, 97.0), (0.35, 1.66, 59.0)]
    {
        let graph = mobilenet_v2(&MobileNet::new(width, IMAGE, 1001)).unwrap();
        let (params, macs) = (parameters(&graph), macs(&graph));
        assert!(within(params, millions * 1e6, 0.015), "width {width}: {params} parameters");
        assert!(within(macs, multiplies * 1e6, 0.015), "width {width}: {macs} multiplies");
    }
}

/// A convolution with 512 channels at 14x14, 256 at 28x28 and so on.
const CONV: usize = 14 * 14 * 9 * 512 * 512 / 4;

/// Multiplies of ±1 by ±1 that the networks' authors, or Larq Zoo, state.
#[test]
fn one_bit_networks_cost_what_is_published() {
    for (network, published, exact) in [
        // Two sections of half the channels.
        (OneBit::QuickNetSmall, 1.16e9, 8 * CONV / 4 + 8 * CONV),
        (OneBit::QuickNet, 1.85e9, 16 * CONV),
        (OneBit::QuickNetLarge, 3.70e9, 32 * CONV),
        // Half of what it would be where the picture halves.
        (OneBit::BiRealNet18, 1.68e9, 13 * CONV + 3 * CONV / 2),
        // 1x1 convolutions of a ninth.
        (OneBit::ReActNetA, 4.82e9, 5 * CONV + 8 * 4 * CONV + (5 + 8 * 2) * 2 * CONV / 9),
    ] {
        let graph = network.graph(224, 1000).unwrap();
        let macs = binary_macs(&graph);
        assert!(within(macs, published, 0.005), "{}: {macs}", network.name());
        assert_eq!(macs, exact, "{}", network.name());
    }
}

/// Weights and batch norms as published; thresholds, PReLUs and the 8-bit layers in
/// place of pools are what may come on top.
#[test]
fn one_bit_networks_are_as_large_as_published() {
    for (network, published) in [
        (OneBit::QuickNetSmall, 12_655_688.0),
        (OneBit::QuickNet, 13_234_088.0),
        (OneBit::QuickNetLarge, 23_342_248.0),
        (OneBit::BiRealNet18, 11_699_112.0),
    ] {
        let graph = network.graph(224, 1000).unwrap();
        assert!(within(parameters(&graph), published, 0.005), "{}", network.name());
    }
}

#[test]
fn one_bit_networks_end_at_seven_by_seven() {
    for network in OneBit::ALL {
        let graph = network.graph(224, 10).unwrap();
        let pool = graph.nodes.iter().find(|node| node.op == Op::GlobalAveragePool).unwrap();
        let Shape { h, w, .. } = graph.nodes[pool.inputs[0]].shape;
        assert_eq!((h, w), (7, 7), "{}", network.name());
        assert_eq!(graph.nodes[graph.output].shape, Shape { h: 1, w: 1, c: 10 });
        assert!(network.graph(0, 10).is_err() && network.graph(64, 0).is_err());
    }
}
