//! The executor against the plain-loop evaluator, and whether training learns.
mod common;

use bitat_engine::loss::cross_entropy;
use bitat_engine::optimiser::{Config, Optimiser};
use bitat_engine::{Mode, Net, PlainSte, Purpose};
use common::{images, mobile};

/// Every node's value equals the evaluator's, fused or not.
#[test]
fn forward_equals_plain_loops() {
    for style in common::STYLES {
        let mut graph = mobile(style, 11);
        let n = 3;
        let x = images(&graph, n, 5);
        let exact: Vec<Vec<Vec<f32>>> = x
            .chunks(graph.nodes[0].shape.len())
            .map(|x| bitat_graph::evaluate(&graph, x))
            .collect();
        for purpose in [Purpose::Inspect, Purpose::Eval, Purpose::Train] {
            let mut net = Net::new(&graph, n, purpose, &[]).unwrap();
            let logits = net.forward(&mut graph, &PlainSte::default(), &x, n, Mode::Eval).to_vec();
            let nodes = if purpose == Purpose::Inspect { 0 } else { graph.output }..=graph.output;
            for node in nodes {
                let got = net.activation(node);
                let len = graph.nodes[node].shape.len();
                for image in 0..n {
                    let got = &got[image * len..][..len];
                    common::close(got, &exact[image][node], 2e-5, || {
                        format!("{style:?} {purpose:?} {}", graph.nodes[node].name)
                    });
                }
            }
            assert_eq!(logits.as_slice(), net.activation(graph.output));
        }
    }
}

#[test]
fn memorises_a_few_images() {
    for style in common::STYLES {
        let mut graph = mobile(style, 3);
        let n = 16;
        let x = images(&graph, n, 9);
        let labels: Vec<usize> = (0..n).map(|i| i * 7 % 5).collect();
        let ste = PlainSte::default();
        let mut net = Net::new(&graph, n, Purpose::Train, &[]).unwrap();
        let mut optimiser = Optimiser::new(&graph, Config::default());
        let mut losses = Vec::new();
        for _ in 0..150 {
            let mut seed = vec![0.0; n * 5];
            let logits = net.forward(&mut graph, &ste, &x, n, Mode::Train { momentum: 0.1 });
            losses.push(cross_entropy(logits, &labels, 5, 0.0, &mut seed));
            net.backward(&graph, &ste, &[(graph.output, &seed)]);
            optimiser.step(&mut graph, &net, 0.01);
        }
        let last = losses[losses.len() - 1];
        // A dozen 1-bit channels cannot hold sixteen noise images.
        let share = if style == common::Style::FullyBinary { 0.6 } else { 0.1 };
        assert!(last < share * losses[0], "{style:?}: {} to {last}", losses[0]);
    }
}
