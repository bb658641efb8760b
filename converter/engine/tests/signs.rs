//! A 1-bit layer computes the same by bits and tables as by multiply-adds.
mod common;

use bitat_engine::rng::Rng;
use bitat_engine::{Binarizer, Mode, Net, PlainSte, Purpose};
use bitat_graph::{Graph, NodeId, Op, Precision, Role};
use common::{Builder, close, images};

/// Plain signs, the first weight larger by a rounding: no longer ± one scale, so
/// only multiply-adds will do.
struct Uneven(PlainSte);

impl Binarizer for Uneven {
    fn forward(&self, graph: &Graph, node: NodeId, latent: &[f32], out: &mut [f32]) {
        self.0.forward(graph, node, latent, out);
        out[0] = f32::from_bits(out[0].to_bits() + 1);
    }

    fn backward(
        &self,
        graph: &Graph,
        node: NodeId,
        latent: &[f32],
        d_out: &[f32],
        d_latent: &mut [f32],
    ) {
        self.0.backward(graph, node, latent, d_out, d_latent);
    }
}

/// Signs of the input, then a 1-bit 1x1 convolution from `c` to `out` channels.
fn layer(side: usize, c: usize, out: usize) -> Graph {
    let mut b = Builder::new(side, side, c, 7);
    let scale = b.random("scale", &[c, 1, 1, 1], 1.0, Role::Weight);
    let window = bitat_graph::Window { kernel: [1, 1], stride: [1, 1], pads: [0; 4] };
    let depthwise =
        Op::Conv { weight: scale, bias: None, window, groups: c, precision: Precision::Float };
    let x = b.push(depthwise, &[0], None);
    let threshold = b.random("threshold", &[c], 0.1, Role::Gain);
    let x = b.push(Op::Sign { threshold }, &[x], None);
    let x = b.conv(x, out, [1, 1], [1, 1], [0; 4], 1, Precision::Binary, true);
    b.graph.output = x;
    b.graph
}

/// The output and each gradient.
fn pass(graph: &Graph, n: usize, binarizer: &dyn Binarizer) -> Vec<Vec<f32>> {
    let mut graph = graph.clone();
    let x = images(&graph, n, 3);
    let mut net = Net::new(&graph, n, Purpose::Train, &[]).unwrap();
    let mode = Mode::Train { momentum: 0.1 };
    let output = net.forward(&mut graph, binarizer, &x, n, mode).to_vec();
    let mut rng = Rng::new(8);
    let seed: Vec<f32> = (0..output.len()).map(|_| rng.normal()).collect();
    net.backward(&graph, binarizer, &[(graph.output, &seed)]);
    let gradients = (0..graph.params.len()).map(|p| net.gradient(p).to_vec());
    [output].into_iter().chain(gradients).collect()
}

#[test]
fn bits_and_tables_agree_with_multiply_adds() {
    // A sum per part and all rows at once; outputs and rows of whole registers and not;
    // gradients of the input by tables (both wide) and not.
    for (side, c, out, n) in
        [(1, 128, 128, 33), (9, 96, 80, 5), (8, 128, 130, 3), (5, 7, 20, 19), (2, 130, 31, 4)]
    {
        let graph = layer(side, c, out);
        let signs = pass(&graph, n, &PlainSte::default());
        let floats = pass(&graph, n, &Uneven(PlainSte::default()));
        for (i, (signs, floats)) in signs.iter().zip(&floats).enumerate() {
            let what = || format!("array {i}, {n} images {side}x{side}x{c} to {out}");
            close(signs, floats, 1e-4, what);
        }
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let alone = one.install(|| pass(&graph, n, &PlainSte::default()));
        assert!(alone == signs, "one thread, {n} images {side}x{side}x{c} to {out}");
    }
}
