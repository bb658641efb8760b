//! How the inputs of a 1-bit layer correlate, measured on the network as it stands.

use bitat_engine::loss::cross_entropy;
use bitat_engine::rng::Rng;
use bitat_engine::{Binarizer, Mode, Net, Purpose};
use bitat_graph::{Graph, NodeId, Op, Shape, Window};
use nalgebra::{DMatrix, DMatrixViewMut};
use rayon::prelude::*;

use crate::Error;
use crate::qat::calibrate::Images;

/// Images of one pass.
const BATCH: usize = 64;
/// Columns of a matrix that one thread sums.
const COLUMNS: usize = 64;
/// Patches of one product.
const PATCHES: usize = 256;
const SEED: u64 = 0x6c61_6265_6c73;

/// `S = E[x xᵀ]` of each group of a convolution, over its input patches `x` (in the
/// order of its weights; taps in the padding count as 0).
///
/// `task`: each patch counts `‖g‖²`, with `g` the gradient of the loss at the group's
/// pre-activations, for labels drawn from the network's own scores (the true Fisher
/// information's, not the labels given).
///
/// # Errors
/// If the graph cannot be executed.
pub(super) fn measure(
    graph: &mut Graph,
    binarizer: &dyn Binarizer,
    layer: NodeId,
    images: &Images,
    task: bool,
) -> Result<Vec<DMatrix<f64>>, Error> {
    let input = graph.nodes[layer].inputs[0];
    let classes = graph.nodes[graph.output].shape.c;
    let patches = Patches::of(graph, layer);
    let mut sums = vec![DMatrix::zeros(patches.len(), patches.len()); patches.groups];
    let batch = BATCH.min(images.count);
    let mut net = match task {
        true => Net::new(graph, batch, Purpose::Train, &[input, layer])?,
        false => up_to(graph, batch, input)?,
    };
    let binarizer = ForwardOnly(binarizer);
    let per_image = images.pixels.len() / images.count;
    let mut rng = Rng::new(SEED);
    for chunk in images.pixels.chunks(BATCH * per_image) {
        let count = chunk.len() / per_image;
        let mode = Mode::Train { momentum: 0.0 };
        let logits = net.forward(graph, &binarizer, chunk, count, mode);
        if task {
            let labels = draw(logits, classes, &mut rng);
            let mut seed = vec![0.0; logits.len()];
            cross_entropy(logits, &labels, classes, 0.0, &mut seed);
            // The mean over the batch would weigh a last, smaller one differently.
            seed.iter_mut().for_each(|g| *g *= count as f32);
            net.backward(graph, &binarizer, &[(graph.output, &seed)]);
        }
        let gradient = if task { Some(net.node_gradient(layer)) } else { None };
        patches.add(net.activation(input), gradient, &mut sums);
    }
    let count = (images.count * patches.to.h * patches.to.w) as f64;
    for s in &mut sums {
        s.fill_upper_triangle_with_lower_triangle();
        *s /= count;
    }
    Ok(sums)
}

/// An executor of the layers that `node` depends on, and no others.
fn up_to(graph: &mut Graph, batch: usize, node: NodeId) -> Result<Net, Error> {
    let output = std::mem::replace(&mut graph.output, node);
    let net = Net::new(graph, batch, Purpose::Eval, &[]);
    graph.output = output;
    Ok(net?)
}

/// A class per row of logits, drawn from their softmax.
fn draw(logits: &[f32], classes: usize, rng: &mut Rng) -> Vec<usize> {
    let row = |x: &[f32]| {
        let max = x.iter().fold(f32::NEG_INFINITY, |m, x| m.max(*x));
        let weights: Vec<f64> = x.iter().map(|x| f64::from(x - max).exp()).collect();
        let mut left = f64::from(rng.uniform()) * weights.iter().sum::<f64>();
        let drawn = weights.iter().position(|w| {
            left -= w;
            left < 0.0
        });
        drawn.unwrap_or(classes - 1)
    };
    logits.chunks_exact(classes).map(row).collect()
}

/// Measuring must not count as a training step's backward pass.
struct ForwardOnly<'a>(&'a dyn Binarizer);

impl Binarizer for ForwardOnly<'_> {
    fn forward(&self, graph: &Graph, node: NodeId, latent: &[f32], out: &mut [f32]) {
        self.0.forward(graph, node, latent, out);
    }

    fn backward(&self, _: &Graph, _: NodeId, _: &[f32], _: &[f32], d_latent: &mut [f32]) {
        d_latent.fill(0.0);
    }
}

/// The input patches of a convolution.
struct Patches {
    from: Shape,
    to: Shape,
    window: Window,
    groups: usize,
}

impl Patches {
    fn of(graph: &Graph, layer: NodeId) -> Patches {
        let node = &graph.nodes[layer];
        let Op::Conv { window, groups, .. } = node.op else {
            unreachable!("only convolutions become binary")
        };
        Patches { from: graph.nodes[node.inputs[0]].shape, to: node.shape, window, groups }
    }

    /// Values of one patch of one group, `d`.
    fn len(&self) -> usize {
        self.window.kernel.iter().product::<usize>() * self.from.c / self.groups
    }

    /// Adds the patches of some images to the lower triangles of `sums`.
    fn add(&self, input: &[f32], gradient: Option<&[f32]>, sums: &mut [DMatrix<f64>]) {
        let d = self.len();
        let columns = |(group, sum)| {
            let sum: &mut DMatrix<f64> = sum;
            let parts = sum.as_mut_slice().chunks_mut(COLUMNS * d).enumerate();
            parts.map(move |(i, part)| (group, i * COLUMNS, part))
        };
        let parts: Vec<_> = sums.iter_mut().enumerate().flat_map(columns).collect();
        let positions = input.len() / self.from.len() * self.to.h * self.to.w;
        parts.into_par_iter().for_each(|(group, first, part)| {
            let width = part.len() / d;
            let mut sum = DMatrixViewMut::from_slice(part, d, width);
            for start in (0..positions).step_by(PATCHES) {
                let count = PATCHES.min(positions - start);
                let mut x = DMatrix::zeros(d, count);
                for (i, patch) in x.as_mut_slice().chunks_exact_mut(d).enumerate() {
                    self.unfold(input, group, start + i, patch);
                }
                let mut weighted = x.rows(first, width).transpose();
                if let Some(gradient) = gradient {
                    for (i, mut row) in weighted.row_iter_mut().enumerate() {
                        row *= self.weight(gradient, group, start + i);
                    }
                }
                let below = d - first;
                sum.rows_mut(first, below).gemm(1.0, &x.rows(first, below), &weighted, 1.0);
            }
        });
    }

    /// Writes the patch under output `position` (image, row, column).
    fn unfold(&self, input: &[f32], group: usize, position: usize, patch: &mut [f64]) {
        let Window { kernel, stride, pads } = self.window;
        let (image, at) = (position / (self.to.h * self.to.w), position % (self.to.h * self.to.w));
        let corner = [at / self.to.w * stride[0], at % self.to.w * stride[1]];
        let channels = self.from.c / self.groups;
        for (tap, out) in patch.chunks_exact_mut(channels).enumerate() {
            let y = (corner[0] + tap / kernel[1]).checked_sub(pads[0]).filter(|y| *y < self.from.h);
            let x = (corner[1] + tap % kernel[1]).checked_sub(pads[1]).filter(|x| *x < self.from.w);
            if let (Some(y), Some(x)) = (y, x) {
                let pixel = (image * self.from.h + y) * self.from.w + x;
                let values = &input[pixel * self.from.c + group * channels..][..channels];
                out.iter_mut().zip(values).for_each(|(out, v)| *out = f64::from(*v));
            }
        }
    }

    /// `‖g‖²` of the group's outputs at `position`.
    fn weight(&self, gradient: &[f32], group: usize, position: usize) -> f64 {
        let outputs = self.to.c / self.groups;
        let g = &gradient[position * self.to.c + group * outputs..][..outputs];
        g.iter().map(|g| f64::from(*g).powi(2)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitat_engine::PlainSte;
    use bitat_graph::{Precision, Role};

    const COUNT: usize = 70;

    /// `input → sign → 1-bit convolution → global average pool`.
    fn network(cin: usize, cout: usize, side: usize, groups: usize, window: Window) -> Graph {
        let mut graph = Graph::default();
        let mut rng = Rng::new(5);
        let shape = Shape { h: side, w: side, c: cin };
        let push = |graph: &mut Graph, name: &str, op, inputs: &[usize], shape| {
            graph.push(name, op, inputs, shape).unwrap()
        };
        let input = push(&mut graph, "in", Op::Input, &[], Some(shape));
        let threshold = graph.param("t", &[cin], vec![0.1; cin], Role::Gain);
        let sign = push(&mut graph, "sign", Op::Sign { threshold }, &[input], None);
        let [kh, kw] = window.kernel;
        let data = (0..cout * kh * kw * cin / groups).map(|_| rng.normal()).collect();
        let weight = graph.param("w", &[cout, kh, kw, cin / groups], data, Role::Latent);
        let precision = Precision::Binary;
        let op = Op::Conv { weight, bias: None, window, groups, precision };
        let conv = push(&mut graph, "conv", op, &[sign], None);
        graph.output = push(&mut graph, "pool", Op::GlobalAveragePool, &[conv], None);
        graph
    }

    fn window(kernel: usize, stride: usize, pads: [usize; 4]) -> Window {
        Window { kernel: [kernel; 2], stride: [stride; 2], pads }
    }

    fn cases() -> Vec<(usize, usize, usize, usize, Window)> {
        vec![
            (5, 7, 4, 1, window(1, 1, [0; 4])),
            (70, 3, 2, 1, window(1, 1, [0; 4])),
            (4, 4, 5, 4, window(3, 1, [1; 4])),
            (4, 4, 6, 4, window(3, 2, [0, 0, 1, 1])),
            (6, 4, 5, 2, window(3, 2, [1; 4])),
        ]
    }

    fn pixels(graph: &Graph) -> Vec<f32> {
        let mut rng = Rng::new(6);
        (0..COUNT * graph.nodes[0].shape.len()).map(|_| rng.normal()).collect()
    }

    /// Sums over every output position of `weight` times the patch's outer product.
    fn naive(
        graph: &Graph,
        pixels: &[f32],
        group: usize,
        weight: impl Fn(usize, usize, usize) -> f64,
    ) -> DMatrix<f64> {
        let Op::Conv { window, groups, .. } = graph.nodes[2].op else { panic!("a convolution") };
        let (from, to) = (graph.nodes[1].shape, graph.nodes[2].shape);
        let channels = from.c / groups;
        let d = window.kernel[0] * window.kernel[1] * channels;
        let mut s = DMatrix::zeros(d, d);
        for image in 0..COUNT {
            for (oy, ox) in (0..to.h).flat_map(|y| (0..to.w).map(move |x| (y, x))) {
                let x = nalgebra::DVector::from_fn(d, |i, _| {
                    let (tap, c) = (i / channels, group * channels + i % channels);
                    let y = (oy * window.stride[0] + tap / window.kernel[1]) as isize
                        - window.pads[0] as isize;
                    let x = (ox * window.stride[1] + tap % window.kernel[1]) as isize
                        - window.pads[1] as isize;
                    let side = from.h as isize;
                    if y < 0 || x < 0 || y >= side || x >= side {
                        return 0.0;
                    }
                    let at = ((image * from.h + y as usize) * from.w + x as usize) * from.c + c;
                    if pixels[at] - 0.1 >= 0.0 { 1.0 } else { -1.0 }
                });
                s += &x * x.transpose() * weight(image, oy, ox);
            }
        }
        s / (COUNT * to.h * to.w) as f64
    }

    #[test]
    fn s_is_what_nested_loops_give_with_borders_strides_and_groups() {
        for (cin, cout, side, groups, window) in cases() {
            let mut graph = network(cin, cout, side, groups, window);
            let pixels = pixels(&graph);
            let images = Images { pixels: &pixels, count: COUNT };
            let measured = measure(&mut graph, &PlainSte::default(), 2, &images, false).unwrap();
            assert_eq!(measured.len(), groups);
            for (group, s) in measured.iter().enumerate() {
                // Sums of ±1 and 0 are exact.
                assert_eq!(s, &naive(&graph, &pixels, group, |_, _, _| 1.0));
            }
        }
    }

    #[test]
    fn task_weights_are_the_squared_gradients() {
        for (cin, cout, side, groups, window) in cases() {
            let mut graph = network(cin, cout, side, groups, window);
            let pixels = pixels(&graph);
            let images = Images { pixels: &pixels, count: COUNT };
            let measured = measure(&mut graph, &PlainSte::default(), 2, &images, true).unwrap();
            // Behind the convolution there is a mean alone: its gradient is the
            // softmax's, the same for all pixels.
            let mut rng = Rng::new(SEED);
            let mut net = Net::new(&graph, COUNT, Purpose::Eval, &[]).unwrap();
            let ste = PlainSte::default();
            let logits = net.forward(&mut graph, &ste, &pixels, COUNT, Mode::Eval).to_vec();
            let labels = draw(&logits, cout, &mut rng);
            let mut gradient = vec![0.0; logits.len()];
            cross_entropy(&logits, &labels, cout, 0.0, &mut gradient);
            let positions = (graph.nodes[2].shape.h * graph.nodes[2].shape.w) as f64;
            let outputs = cout / groups;
            for (group, s) in measured.iter().enumerate() {
                let exact = naive(&graph, &pixels, group, |image, _, _| {
                    let g = &gradient[image * cout + group * outputs..][..outputs];
                    let size = |g: &f32| (f64::from(*g) * COUNT as f64 / positions).powi(2);
                    g.iter().map(size).sum()
                });
                assert!((s - &exact).amax() < 1e-5 * exact.amax(), "{:e}", (s - &exact).amax());
            }
        }
    }

    #[test]
    fn classes_are_drawn_as_often_as_the_scores_say() {
        let mut rng = Rng::new(8);
        let logits: Vec<f32> = [0.0, 2f32.ln(), f32::NEG_INFINITY].repeat(9000);
        let drawn = draw(&logits, 3, &mut rng);
        let count = |class| drawn.iter().filter(|c| **c == class).count();
        assert!(count(0).abs_diff(3000) < 150 && count(2) == 0, "{}", count(0));
    }
}
