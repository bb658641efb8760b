//! The graph on dual numbers in f64: each value carries its derivative along one
//! direction, so that plain loops of the forward pass give exact directional
//! derivatives, straight-through rules included.

use bitat_graph::{Graph, NodeId, Op, ParamId, Precision, Shape, Window};
use std::ops::{Add, Mul, Sub};

/// A value and its derivative.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Dual {
    pub v: f64,
    pub t: f64,
}

impl Dual {
    pub fn new(v: f64, t: f64) -> Dual {
        Dual { v, t }
    }

    fn powf(self, p: f64) -> Dual {
        Dual::new(self.v.powf(p), p * self.v.powf(p - 1.0) * self.t)
    }
}

impl From<f64> for Dual {
    fn from(v: f64) -> Dual {
        Dual::new(v, 0.0)
    }
}

impl Add for Dual {
    type Output = Dual;
    fn add(self, o: Dual) -> Dual {
        Dual::new(self.v + o.v, self.t + o.t)
    }
}

impl Sub for Dual {
    type Output = Dual;
    fn sub(self, o: Dual) -> Dual {
        Dual::new(self.v - o.v, self.t - o.t)
    }
}

impl Mul for Dual {
    type Output = Dual;
    fn mul(self, o: Dual) -> Dual {
        Dual::new(self.v * o.v, self.v * o.t + self.t * o.v)
    }
}

fn sum(items: impl Iterator<Item = Dual>) -> Dual {
    items.fold(Dual::default(), |a, b| a + b)
}

/// The derivative that stands in for that of `sign(u)`, and the function it is
/// the derivative of.
pub fn sign_slope(u: f64) -> f64 {
    (2.0 - 2.0 * u.abs()).max(0.0)
}

pub fn soft_sign(u: f64) -> f64 {
    let u = u.clamp(-1.0, 1.0);
    2.0 * u - u * u.abs()
}

/// Parameters, or anything else to differentiate along, as f64.
pub type Params = Vec<Vec<Dual>>;

pub fn params_of(graph: &Graph) -> Params {
    let row = |p: &bitat_graph::Param| p.data.iter().map(|&v| Dual::from(f64::from(v))).collect();
    graph.params.iter().map(row).collect()
}

/// Every node's values for all images, `[n][h][w][c]`. `batch`: batch norms use the
/// batch's statistics. Binary weights are `±mean |w|`, the gradient passing for
/// `|w| ≤ clip`.
pub fn evaluate(
    graph: &Graph,
    params: &Params,
    images: &[Dual],
    batch: bool,
    clip: f64,
) -> Vec<Vec<Dual>> {
    let n = images.len() / graph.nodes[0].shape.len();
    let mut values: Vec<Vec<Dual>> = Vec::new();
    for node in &graph.nodes {
        let input = |i: usize| {
            let id: NodeId = node.inputs[i];
            Batch { shape: graph.nodes[id].shape, data: &values[id] }
        };
        let weights = |p: ParamId, precision| {
            effective(&params[p], graph.params[p].shape[0], precision, clip)
        };
        let value = match &node.op {
            Op::Input => images.to_vec(),
            Op::BatchNorm { gamma, beta, mean, var, eps } => {
                let x = input(0);
                let c = x.shape.c;
                let mut out = x.data.to_vec();
                let gains = params[*gamma].iter().zip(&params[*beta]);
                for (channel, (&gamma, &beta)) in gains.enumerate() {
                    let column = || x.data.iter().skip(channel).step_by(c).copied();
                    let count = Dual::from(1.0 / column().count() as f64);
                    let (mean, var) = if batch {
                        let mean = sum(column()) * count;
                        (mean, sum(column().map(|x| (x - mean) * (x - mean))) * count)
                    } else {
                        (params[*mean][channel], params[*var][channel])
                    };
                    let istd = (var + Dual::from(f64::from(*eps))).powf(-0.5);
                    for out in out.iter_mut().skip(channel).step_by(c) {
                        *out = (*out - mean) * istd * gamma + beta;
                    }
                }
                out
            }
            op => {
                let mut out = Vec::new();
                for image in 0..n {
                    let one = |i: usize| {
                        let b = input(i);
                        let len = b.shape.len();
                        Batch { shape: b.shape, data: &b.data[image * len..][..len] }
                    };
                    compute(op, node.shape, params, &one, &weights, &mut out);
                }
                out
            }
        };
        assert_eq!(value.len(), n * node.shape.len());
        values.push(value);
    }
    values
}

fn effective(w: &[Dual], rows: usize, precision: Precision, clip: f64) -> Vec<Dual> {
    let row = w.len() / rows;
    let int8 = |w: &[Dual]| -> Vec<Dual> {
        let unit = w.iter().fold(0.0f32, |m, w| m.max(w.v.abs() as f32)) / 127.0;
        w.iter().map(|w| Dual::new(f64::from((w.v as f32 / unit).round() * unit), w.t)).collect()
    };
    match precision {
        Precision::Float | Precision::Double => w.to_vec(),
        Precision::Int8 => w.chunks(row).flat_map(int8).collect(),
        Precision::Int8PerTensor => int8(w),
        Precision::Binary => w
            .chunks(row)
            .flat_map(|w| {
                let scale = w.iter().map(|w| w.v.abs()).sum::<f64>() / row as f64;
                let binary = move |w: &Dual| {
                    let v = if w.v < 0.0 { -scale } else { scale };
                    Dual::new(v, if w.v.abs() <= clip { w.t } else { 0.0 })
                };
                w.iter().map(binary).collect::<Vec<_>>()
            })
            .collect(),
    }
}

#[derive(Clone, Copy)]
struct Batch<'a> {
    shape: Shape,
    data: &'a [Dual],
}

impl Batch<'_> {
    fn at(&self, y: usize, x: usize, c: usize) -> Dual {
        self.data[(y * self.shape.w + x) * self.shape.c + c]
    }

    /// The taps of a window that lie inside: `(tap, y, x)`.
    fn taps(&self, window: &Window, oy: usize, ox: usize) -> Vec<(usize, usize, usize)> {
        let mut taps = Vec::new();
        for ky in 0..window.kernel[0] {
            for kx in 0..window.kernel[1] {
                let y = (oy * window.stride[0] + ky) as isize - window.pads[0] as isize;
                let x = (ox * window.stride[1] + kx) as isize - window.pads[1] as isize;
                let inside = |i: isize, size: usize| (0..size as isize).contains(&i);
                if inside(y, self.shape.h) && inside(x, self.shape.w) {
                    taps.push((ky * window.kernel[1] + kx, y as usize, x as usize));
                }
            }
        }
        taps
    }
}

fn compute<'a>(
    op: &Op,
    shape: Shape,
    params: &Params,
    input: &dyn Fn(usize) -> Batch<'a>,
    weights: &dyn Fn(ParamId, Precision) -> Vec<Dual>,
    out: &mut Vec<Dual>,
) {
    let x = input(0);
    let mut fill = |f: &dyn Fn(usize, usize, usize) -> Dual| {
        for i in 0..shape.len() {
            out.push(f(i / shape.c / shape.w, i / shape.c % shape.w, i % shape.c));
        }
    };
    let prelu = |x: Dual, slope: Dual| if x.v >= 0.0 { x } else { x * slope };
    let bias = |p: &Option<ParamId>, o: usize| p.map_or(Dual::default(), |p| params[p][o]);
    match op {
        Op::Conv { weight, bias: b, window, groups, precision } => {
            let w = weights(*weight, *precision);
            let per_group = x.shape.c / groups;
            let taps = window.kernel[0] * window.kernel[1];
            for pixel in 0..shape.h * shape.w {
                let inside = x.taps(window, pixel / shape.w, pixel % shape.w);
                for o in 0..shape.c {
                    let first = o / (shape.c / groups) * per_group;
                    let mut total = bias(b, o);
                    for &(tap, y, px) in &inside {
                        let at = (y * x.shape.w + px) * x.shape.c + first;
                        let w = &w[(o * taps + tap) * per_group..][..per_group];
                        let products = w.iter().zip(&x.data[at..]).map(|(&w, &x)| w * x);
                        total = products.fold(total, |a, b| a + b);
                    }
                    out.push(total);
                }
            }
        }
        Op::Dense { weight, bias: b, precision } => {
            let w = weights(*weight, *precision);
            let len = x.data.len();
            fill(&|_, _, o| {
                sum(w[o * len..][..len].iter().zip(x.data).map(|(&w, &x)| w * x)) + bias(b, o)
            });
        }
        Op::Relu => fill(&|y, px, c| {
            let x = x.at(y, px, c);
            if x.v > 0.0 { x } else { Dual::default() }
        }),
        Op::Clip { lo, hi } => fill(&|y, px, c| {
            let (x, lo, hi) = (x.at(y, px, c), f64::from(*lo), f64::from(*hi));
            if x.v > lo && x.v < hi { x } else { Dual::from(x.v.clamp(lo, hi)) }
        }),
        Op::Prelu { slope } => fill(&|y, px, c| prelu(x.at(y, px, c), params[*slope][c])),
        Op::ShiftedPrelu { before, slope, after } => fill(&|y, px, c| {
            prelu(x.at(y, px, c) - params[*before][c], params[*slope][c]) + params[*after][c]
        }),
        Op::Sign { threshold } => fill(&|y, px, c| {
            let u = x.at(y, px, c) - params[*threshold][c];
            Dual::new(if u.v >= 0.0 { 1.0 } else { -1.0 }, sign_slope(u.v) * u.t)
        }),
        Op::Narrow { frac } => fill(&|y, px, c| {
            let (x, unit) = (x.at(y, px, c), 2f64.powi(*frac));
            let level = (x.v * unit + 0.5).floor();
            let inside = (-128.0..=127.0).contains(&level);
            Dual::new(level.clamp(-128.0, 127.0) / unit, if inside { x.t } else { 0.0 })
        }),
        Op::Add => fill(&|y, px, c| x.at(y, px, c) + input(1).at(y, px, c)),
        Op::Shortcut { pool } => fill(&|oy, ox, c| {
            let mut terms = Vec::new();
            let channels = if x.shape.c >= shape.c { c } else { c % x.shape.c };
            for y in oy * pool..(oy * pool + pool).min(x.shape.h) {
                for px in ox * pool..(ox * pool + pool).min(x.shape.w) {
                    let group = (channels..x.shape.c).step_by(shape.c);
                    terms.extend(group.map(|c| x.at(y, px, c)));
                }
            }
            let count = terms.len() as f64;
            sum(terms.into_iter()) * Dual::from(1.0 / count)
        }),
        Op::AveragePool { window, include_pad } => fill(&|oy, ox, c| {
            let taps = x.taps(window, oy, ox);
            let whole = window.kernel[0] * window.kernel[1];
            let count = if *include_pad { whole } else { taps.len() };
            sum(taps.iter().map(|&(_, y, px)| x.at(y, px, c))) * Dual::from(1.0 / count as f64)
        }),
        Op::GlobalAveragePool => fill(&|_, _, c| {
            let column = x.data.iter().skip(c).step_by(x.shape.c).copied();
            sum(column) * Dual::from(1.0 / (x.shape.h * x.shape.w) as f64)
        }),
        Op::Input | Op::BatchNorm { .. } => unreachable!("done by the caller"),
        Op::Requantise { .. } | Op::FixedAveragePool { .. } => unreachable!("not trained"),
    }
}
