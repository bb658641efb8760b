//! Parameters and multiplies against the figures published with the networks.
#![cfg(feature = "define")]

use bitat_graph::{Graph, Op, Role, Shape};
use bitat_models::{MobileNet, mobilenet_v1, mobilenet_v2};

const IMAGE: Shape = Shape { h: 224, w: 224, c: 3 };

/// What an optimiser trains: everything but batch norm's running statistics.
fn parameters(graph: &Graph) -> usize {
    let trained = graph.params.iter().filter(|param| param.role != Role::Statistic);
    trained.map(|param| param.data.len()).sum()
}

/// Multiply-accumulates of convolutions and classifier for one image.
fn macs(graph: &Graph) -> usize {
    let cost = |node: &bitat_graph::Node| match &node.op {
        Op::Conv { weight, .. } => {
            let shape = &graph.params[*weight].shape;
            node.shape.len() * shape[1..].iter().product::<usize>()
        }
        Op::Dense { weight, .. } => graph.params[*weight].data.len(),
        _ => 0,
    };
    graph.nodes.iter().map(cost).sum()
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
