//! The float meaning of a graph, as obvious loops: an oracle for tests.
//!
//! Every value is the sum of its terms in `f64`, rounded once to `f32`. No
//! blocking, no reuse, no threads: about 10⁸ multiplies per second, which is
//! enough for one image through a MobileNet and for any small network.

use crate::fixed;
use crate::{Graph, Node, NodeId, Op, ParamId, Precision, Shape, Window};

/// The values of every node for one image, in node order, each NHWC.
///
/// `image` is the preprocessed image, NHWC. Weights enter as their
/// [`Precision`] says; binary ones are `±mean |w|` of their output channel.
///
/// # Panics
/// If the graph is not valid or `image` has the wrong length.
pub fn evaluate(graph: &Graph, image: &[f32]) -> Vec<Vec<f32>> {
    evaluate_with(graph, image, |_, w, per_output| binary_weights(w, per_output))
}

/// As [`evaluate`]; `binarize(node, latent, per_output)` gives the weights of
/// the binary layers, where something else than `±mean |w|` is wanted.
///
/// # Panics
/// As [`evaluate`].
pub fn evaluate_with(
    graph: &Graph,
    image: &[f32],
    binarize: impl Fn(NodeId, &[f32], usize) -> Vec<f32>,
) -> Vec<Vec<f32>> {
    evaluate_watched(graph, image, binarize, |_, _| {})
}

/// As [`evaluate_with`]; `watch` sees each node's value right after it was
/// computed and may replace it: later nodes read what it leaves. So every node
/// can be checked by itself, on inputs that came from elsewhere.
///
/// # Panics
/// As [`evaluate`], and if `watch` changes a length.
pub fn evaluate_watched(
    graph: &Graph,
    image: &[f32],
    binarize: impl Fn(NodeId, &[f32], usize) -> Vec<f32>,
    mut watch: impl FnMut(NodeId, &mut Vec<f32>),
) -> Vec<Vec<f32>> {
    let mut values: Vec<Vec<f32>> = Vec::with_capacity(graph.nodes.len());
    for (id, node) in graph.nodes.iter().enumerate() {
        let weights = |p: ParamId, precision: Precision| {
            let w = &graph.params[p].data;
            let per_output = w.len() / graph.params[p].shape[0];
            match precision {
                Precision::Float | Precision::Double => w.clone(),
                Precision::Int8 => int8_weights(w, per_output),
                Precision::Int8PerTensor => int8_weights(w, w.len()),
                Precision::Binary => binarize(id, w, per_output),
            }
        };
        let mut value = if node.op == Op::Input {
            image.to_vec()
        } else {
            let source = |i: usize| {
                let id = node.inputs[i];
                Tensor { shape: graph.nodes[id].shape, data: &values[id] }
            };
            compute(graph, node, &source, &weights)
        };
        watch(id, &mut value);
        assert_eq!(value.len(), node.shape.len(), "node '{}'", node.name);
        values.push(value);
    }
    values
}

/// `±mean |w|` per output channel, `sign(0) = +1`.
fn binary_weights(w: &[f32], per_output: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(w.len());
    for row in w.chunks(per_output) {
        let mean = row.iter().map(|w| f64::from(w.abs())).sum::<f64>() / row.len() as f64;
        out.extend(row.iter().map(|w| if *w < 0.0 { -mean as f32 } else { mean as f32 }));
    }
    out
}

/// Rounded to −127..=127 times `max |w| / 127`, once per `group` weights.
fn int8_weights(w: &[f32], group: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(w.len());
    for row in w.chunks(group) {
        let unit = row.iter().fold(0.0f32, |m, w| m.max(w.abs())) / 127.0;
        out.extend(row.iter().map(|w| {
            if unit > 0.0 { (w / unit).round().clamp(-127.0, 127.0) * unit } else { 0.0 }
        }));
    }
    out
}

#[derive(Clone, Copy)]
struct Tensor<'a> {
    shape: Shape,
    data: &'a [f32],
}

impl Tensor<'_> {
    fn at(&self, y: usize, x: usize, c: usize) -> f64 {
        f64::from(self.data[(y * self.shape.w + x) * self.shape.c + c])
    }

    /// Sum and number of the values that a shortcut to `channels` channels
    /// averages for one output (row, column, channel).
    fn pooled(&self, pool: usize, channels: usize, [oy, ox, c]: [usize; 3]) -> (f64, i64) {
        let members: Vec<usize> = if self.shape.c >= channels {
            (c..self.shape.c).step_by(channels).collect()
        } else {
            vec![c % self.shape.c]
        };
        let (mut sum, mut n) = (0.0, 0);
        for y in oy * pool..(oy * pool + pool).min(self.shape.h) {
            for px in ox * pool..(ox * pool + pool).min(self.shape.w) {
                for &c in &members {
                    sum += self.at(y, px, c);
                    n += 1;
                }
            }
        }
        (sum, n)
    }

    /// The taps of `window` at output `(oy, ox)` inside the input: `(ky, kx, y, x)`.
    fn taps(&self, window: &Window, oy: usize, ox: usize) -> Vec<(usize, usize, usize, usize)> {
        let mut taps = Vec::new();
        for ky in 0..window.kernel[0] {
            for kx in 0..window.kernel[1] {
                let y = (oy * window.stride[0] + ky).checked_sub(window.pads[0]);
                let x = (ox * window.stride[1] + kx).checked_sub(window.pads[1]);
                if let (Some(y), Some(x)) = (y, x)
                    && y < self.shape.h
                    && x < self.shape.w
                {
                    taps.push((ky, kx, y, x));
                }
            }
        }
        taps
    }
}

/// Fills a tensor of `shape` from a function of row, column and channel.
fn fill(shape: Shape, f: impl Fn(usize, usize, usize) -> f64) -> Vec<f32> {
    let mut out = Vec::with_capacity(shape.len());
    for y in 0..shape.h {
        for x in 0..shape.w {
            for c in 0..shape.c {
                out.push(f(y, x, c) as f32);
            }
        }
    }
    out
}

fn compute<'a>(
    graph: &'a Graph,
    node: &Node,
    source: &dyn Fn(usize) -> Tensor<'a>,
    weights: &dyn Fn(ParamId, Precision) -> Vec<f32>,
) -> Vec<f32> {
    let x = source(0);
    let shape = node.shape;
    let param = |p: ParamId, c: usize| f64::from(graph.params[p].data[c]);
    let bias_of = |bias: &Option<ParamId>, o: usize| bias.map_or(0.0, |b| param(b, o));
    let prelu = |v: f64, slope: f64| if v >= 0.0 { v } else { slope * v };
    match &node.op {
        Op::Input => unreachable!("has no inputs"),
        Op::Conv { weight, bias, window, groups, precision } => {
            let w = weights(*weight, *precision);
            let per_group = x.shape.c / groups;
            let out_per_group = shape.c / groups;
            fill(shape, |oy, ox, o| {
                let first = o / out_per_group * per_group;
                let mut sum = bias_of(bias, o);
                for (ky, kx, y, px) in x.taps(window, oy, ox) {
                    for i in 0..per_group {
                        let tap = (o * window.kernel[0] + ky) * window.kernel[1] + kx;
                        sum += f64::from(w[tap * per_group + i]) * x.at(y, px, first + i);
                    }
                }
                sum
            })
        }
        Op::BatchNorm { gamma, beta, mean, var, eps } => fill(shape, |y, px, c| {
            let unit = (param(*var, c) + f64::from(*eps)).sqrt();
            param(*gamma, c) * (x.at(y, px, c) - param(*mean, c)) / unit + param(*beta, c)
        }),
        Op::Relu => fill(shape, |y, px, c| x.at(y, px, c).max(0.0)),
        Op::Clip { lo, hi } => {
            fill(shape, |y, px, c| x.at(y, px, c).max(f64::from(*lo)).min(f64::from(*hi)))
        }
        Op::Prelu { slope } => fill(shape, |y, px, c| prelu(x.at(y, px, c), param(*slope, c))),
        Op::ShiftedPrelu { before, slope, after } => fill(shape, |y, px, c| {
            prelu(x.at(y, px, c) - param(*before, c), param(*slope, c)) + param(*after, c)
        }),
        Op::Sign { threshold } => {
            fill(shape, |y, px, c| if x.at(y, px, c) < param(*threshold, c) { -1.0 } else { 1.0 })
        }
        Op::Narrow { frac } => {
            let unit = f64::from(*frac).exp2();
            // Half up, as the integer shift rounds.
            fill(shape, |y, px, c| {
                (x.at(y, px, c) * unit + 0.5).floor().clamp(-128.0, 127.0) / unit
            })
        }
        Op::Add => {
            let other = source(1);
            fill(shape, |y, px, c| x.at(y, px, c) + other.at(y, px, c))
        }
        Op::Shortcut { pool } => fill(shape, |oy, ox, c| {
            let (sum, n) = x.pooled(*pool, shape.c, [oy, ox, c]);
            sum / n as f64
        }),
        Op::AveragePool { window, include_pad } => fill(shape, |oy, ox, c| {
            let taps = x.taps(window, oy, ox);
            let whole = window.kernel[0] * window.kernel[1];
            let n = if *include_pad { whole } else { taps.len() };
            taps.iter().map(|&(_, _, y, px)| x.at(y, px, c)).sum::<f64>() / n as f64
        }),
        Op::GlobalAveragePool => fill(shape, |_, _, c| {
            let pixels = x.data.iter().skip(c).step_by(x.shape.c);
            pixels.map(|v| f64::from(*v)).sum::<f64>() / (x.shape.h * x.shape.w) as f64
        }),
        Op::Dense { weight, bias, precision } => {
            let w = weights(*weight, *precision);
            fill(shape, |_, _, o| {
                let row = &w[o * x.data.len()..][..x.data.len()];
                let products = row.iter().zip(x.data).map(|(w, x)| f64::from(*w) * f64::from(*x));
                products.sum::<f64>() + bias_of(bias, o)
            })
        }
        Op::Requantise { shift, multiplier, bias, shortcut, prelu } => {
            let integer = |p: ParamId, c: usize| graph.params[p].data[c] as i64;
            fill(shape, |y, px, c| {
                let acc = fixed::shift(x.at(y, px, c) as i64, *shift);
                let mut v =
                    fixed::sat16(fixed::mulr(acc, integer(*multiplier, c)) + integer(*bias, c));
                if let Some(shortcut) = shortcut {
                    let (sum, n) = source(1).pooled(shortcut.pool, shape.c, [y, px, c]);
                    v = fixed::sat16(v + fixed::shift(fixed::rdiv(sum as i64, n), shortcut.shift));
                }
                if let Some(prelu) = prelu {
                    v = fixed::sat16(v - integer(prelu.before, c));
                    if v < 0 {
                        v = fixed::mulr(v, integer(prelu.slope, c));
                    }
                    v = fixed::sat16(v + integer(prelu.after, c));
                }
                v as f64
            })
        }
        Op::FixedAveragePool { shift } => fill(shape, |_, _, c| {
            let pixels = x.data.iter().skip(c).step_by(x.shape.c);
            let sum: i64 = pixels.map(|v| (*v as i64) << shift).sum();
            fixed::sat16(fixed::rdiv(sum, (x.shape.h * x.shape.w) as i64)) as f64
        }),
    }
}
