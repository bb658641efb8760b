//! One 1-bit layer that has had its turn: from latent weights to binary ones and back.

use bitat_graph::{Graph, NodeId, Op};

use super::Options;
use super::coordinates::Coordinates;
use super::metric::{Correlation, Symmetric, scale, sign};
use super::signs;

/// Largest magnitude of `W·T` that still learns, as in plain straight-through estimation.
const CLIP: f32 = 1.0;

/// A convolution's weights as the method sees them: per group, `outputs` rows of
/// `inputs` weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rows {
    pub(super) groups: usize,
    /// Output channels per group.
    pub(super) outputs: usize,
    /// Weights per output channel, `d`.
    pub(super) inputs: usize,
}

impl Rows {
    pub(super) fn of(graph: &Graph, node: NodeId) -> Rows {
        let Op::Conv { weight, groups, .. } = graph.nodes[node].op else {
            unreachable!("only convolutions become binary")
        };
        let shape = &graph.params[weight].shape;
        let inputs = shape[1..].iter().product();
        Rows { groups, outputs: shape[0] / groups, inputs }
    }

    /// Weights of one group.
    pub(super) fn len(&self) -> usize {
        self.outputs * self.inputs
    }
}

/// What the method knows about one group of a layer.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) metric: Symmetric,
    pub(super) coordinates: Option<Coordinates>,
}

/// A layer's state, and its weights as last computed.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) rows: Rows,
    pub(super) groups: Vec<Group>,
    /// λ over the layer's output channels.
    penalty: f32,
    current: Current,
}

/// What follows from one set of latent weights; a backward pass asks for what the
/// forward pass before it has made.
#[derive(Clone, Debug, Default)]
struct Current {
    latent: Vec<f32>,
    /// `W·T`.
    z: Vec<f32>,
    /// One per output channel.
    scales: Vec<f32>,
}

impl Layer {
    pub(super) fn new(rows: Rows, groups: Vec<Group>, options: &Options) -> Layer {
        let penalty = options.penalty / (rows.groups * rows.outputs) as f32;
        Layer { rows, groups, penalty, current: Current::default() }
    }

    /// The layer's turn: sets its state from the correlations of its inputs, one per
    /// group, and gives its latent weights the signs and coordinates that training
    /// starts from.
    pub(super) fn begin(
        rows: Rows,
        correlations: impl Iterator<Item = Correlation>,
        latent: &mut [f32],
        options: &Options,
    ) -> Layer {
        let groups = correlations.zip(latent.chunks_exact_mut(rows.len()));
        let groups = groups.map(|(correlation, latent)| {
            let metric = correlation.metric();
            if options.signs {
                signs::choose(&metric.dense(), latent);
            }
            let coordinates = options.trained.then(|| Coordinates::start(&correlation));
            if let Some(coordinates) = &coordinates {
                coordinates.enter(latent, rows.inputs);
            }
            Group { metric, coordinates }
        });
        Layer::new(rows, groups.collect(), options)
    }

    /// Writes `α·sign(W·T)`.
    pub(super) fn forward(&mut self, latent: &[f32], out: &mut [f32]) {
        self.compute(latent);
        let d = self.rows.inputs;
        let rows = self.current.z.chunks_exact(d).zip(&self.current.scales);
        for ((z, scale), out) in rows.zip(out.chunks_exact_mut(d)) {
            for (out, &z) in out.iter_mut().zip(z) {
                *out = if z >= 0.0 { *scale } else { -scale };
            }
        }
    }

    /// Writes the gradient of the latent weights and adds up that of V and s.
    ///
    /// The task's passes straight through where `|W·T|` is within the clip. The
    /// scale's own is left out: the batch norm behind the layer makes it 0. The
    /// penalty `λ/o ‖Z − α⊙B‖²` in M adds `2λ/o (Z − α⊙B)·M`; that α follows Z makes no
    /// difference, as α is where the error does not change with it.
    pub(super) fn backward(&mut self, latent: &[f32], d_out: &[f32], d_latent: &mut [f32]) {
        self.compute(latent);
        let (len, d) = (self.rows.len(), self.rows.inputs);
        let pass = |(g, z): (&f32, &f32)| if z.abs() <= CLIP { *g } else { 0.0 };
        let mut dz: Vec<f32> = d_out.iter().zip(&self.current.z).map(pass).collect();
        for (i, group) in self.groups.iter_mut().enumerate() {
            let part = i * len..(i + 1) * len;
            let dz = &mut dz[part.clone()];
            if self.penalty > 0.0 {
                let z = self.current.z[part.clone()].chunks_exact(d);
                let rows = z.zip(&self.current.scales[i * self.rows.outputs..]);
                let error: Vec<f32> = rows
                    .flat_map(|(z, scale)| z.iter().map(move |z| z - scale * sign(*z)))
                    .collect();
                let mut gradient = vec![0.0; len];
                group.metric.apply(&error, &mut gradient);
                for (d, g) in dz.iter_mut().zip(gradient) {
                    *d += 2.0 * self.penalty * g;
                }
            }
            let d_latent = &mut d_latent[part.clone()];
            match &mut group.coordinates {
                Some(coordinates) => coordinates.backward(&latent[part], dz, d_latent),
                None => d_latent.copy_from_slice(dz),
            }
        }
    }

    /// Trains V and s, where it is their turn.
    pub(super) fn step(&mut self, rate: f32) {
        let mut moved = false;
        for coordinates in self.groups.iter_mut().filter_map(|g| g.coordinates.as_mut()) {
            moved |= coordinates.step(rate);
        }
        if moved {
            self.current.latent.clear();
        }
    }

    /// Brings `current` to these latent weights.
    fn compute(&mut self, latent: &[f32]) {
        let Current { latent: known, z, scales } = &mut self.current;
        if known == latent {
            return;
        }
        known.clear();
        known.extend_from_slice(latent);
        z.resize(latent.len(), 0.0);
        scales.clear();
        let (len, d) = (self.rows.len(), self.rows.inputs);
        let mut mb = vec![0.0; len];
        let parts = latent.chunks_exact(len).zip(z.chunks_exact_mut(len));
        for (group, (latent, z)) in self.groups.iter().zip(parts) {
            match &group.coordinates {
                Some(coordinates) => coordinates.transform.apply(latent, z),
                None => z.copy_from_slice(latent),
            }
            let b: Vec<f32> = z.iter().map(|z| sign(*z)).collect();
            group.metric.apply(&b, &mut mb);
            let rows = z.chunks_exact(d).zip(b.chunks_exact(d)).zip(mb.chunks_exact(d));
            scales.extend(rows.map(|((z, b), mb)| scale(z, b, mb)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::metric::tests::{correlated, random};
    use super::*;
    use bitat_engine::rng::Rng;
    use bitat_engine::{Binarizer, PlainSte};
    use bitat_graph::{Precision, Role, Shape, Window};
    use nalgebra::{DMatrix, DVector};

    const ROWS: Rows = Rows { groups: 2, outputs: 3, inputs: 12 };

    fn begun(s: &[DMatrix<f64>], latent: &mut [f32], options: &Options) -> Layer {
        let correlations = s.iter().map(|s| Correlation::new(s.clone(), options.groups));
        Layer::begin(ROWS, correlations, latent, options)
    }

    fn some_correlations() -> [DMatrix<f64>; 2] {
        let mut rng = Rng::new(32);
        [(); 2].map(|()| correlated(&mut rng, ROWS.inputs))
    }

    fn close(ours: &[f32], exact: &[f64], tolerance: f64) {
        for (i, (a, b)) in ours.iter().zip(exact).enumerate() {
            assert!((f64::from(*a) - b).abs() < tolerance, "{i}: {a} {b}");
        }
    }

    /// A 1-bit convolution with the weights of [`ROWS`].
    fn convolution(latent: &[f32]) -> Graph {
        let mut graph = Graph::default();
        let shape = Shape { h: 3, w: 3, c: 24 };
        let input = graph.push("in", Op::Input, &[], Some(shape)).unwrap();
        let weight = graph.param("w", &[6, 1, 1, 12], latent.to_vec(), Role::Latent);
        let window = Window { kernel: [1, 1], stride: [1, 1], pads: [0; 4] };
        let precision = Precision::Binary;
        let op = Op::Conv { weight, bias: None, window, groups: 2, precision };
        graph.output = graph.push("conv", op, &[input], None).unwrap();
        graph
    }

    #[test]
    fn where_all_weights_count_the_same_it_is_plain_straight_through_estimation() {
        let mut rng = Rng::new(31);
        let mut latent = random(&mut rng, 2 * ROWS.len());
        latent[3] = 0.0;
        latent[4] = -1.5;
        let identity = DMatrix::identity(ROWS.inputs, ROWS.inputs);
        let before = latent.clone();
        let mut layer = begun(&[identity.clone(), identity], &mut latent, &Options::default());
        assert_eq!(latent, before);
        let graph = convolution(&latent);
        assert_eq!(Rows::of(&graph, 1), ROWS);
        let plain = PlainSte::default();
        let (mut ours, mut theirs) = (vec![0.0; latent.len()], vec![0.0; latent.len()]);
        layer.forward(&latent, &mut ours);
        plain.forward(&graph, 1, &latent, &mut theirs);
        assert_eq!(ours, theirs);
        let d_out = random(&mut rng, latent.len());
        layer.backward(&latent, &d_out, &mut ours);
        plain.backward(&graph, 1, &latent, &d_out, &mut theirs);
        assert_eq!(ours, theirs);
    }

    /// `⟨C, Z⟩ + λ/o Σ minα ‖Z − α⊙B‖²` in M, `Z = W·T`, as the definition has it.
    fn surrogate(layer: &Layer, w: &[f64], c: &[f32], lambda: f64) -> f64 {
        let d = ROWS.inputs;
        let row = |i: usize| {
            let group = &layer.groups[i / ROWS.outputs];
            let w = DVector::from_column_slice(&w[i * d..][..d]);
            let z = match &group.coordinates {
                Some(coordinates) => coordinates.transform.dense() * w,
                None => w,
            };
            let m = group.metric.dense();
            let b = z.map(|z| if z >= 0.0 { 1.0 } else { -1.0 });
            let alpha = z.dot(&(&m * &b)) / b.dot(&(&m * &b));
            let r = &z - b * alpha;
            let task: f64 = z.iter().zip(&c[i * d..]).map(|(z, c)| z * f64::from(*c)).sum();
            task + lambda / 6.0 * r.dot(&(&m * &r))
        };
        (0..6).map(row).sum()
    }

    #[test]
    fn gradients_of_the_latent_weights_match_differences() {
        for (trained, groups) in [(false, 0), (false, 5), (true, 0), (true, 5)] {
            let mut rng = Rng::new(33);
            let mut latent = random(&mut rng, 2 * ROWS.len());
            let penalty = 0.7;
            let options = Options { penalty, trained, groups, ..Options::default() };
            let mut layer = begun(&some_correlations(), &mut latent, &options);
            let c = random(&mut rng, latent.len());
            let mut ours = vec![0.0; latent.len()];
            layer.backward(&latent, &c, &mut ours);
            assert!(layer.current.z.iter().all(|z| z.abs() < CLIP), "none is clipped");
            let w: Vec<f64> = latent.iter().map(|w| f64::from(*w)).collect();
            let exact: Vec<f64> = (0..w.len())
                .map(|i| {
                    let at = |by: f64| {
                        let mut w = w.clone();
                        w[i] += by;
                        surrogate(&layer, &w, &c, f64::from(penalty))
                    };
                    (at(1e-7) - at(-1e-7)) / 2e-7
                })
                .collect();
            close(&ours, &exact, 1e-4);
        }
    }

    #[test]
    fn what_is_beyond_the_clip_learns_from_the_penalty_alone() {
        let mut latent = vec![0.2; 2 * ROWS.len()];
        latent[0] = 1.25;
        let ones = vec![1.0; latent.len()];
        let mut gradient = ones.clone();
        let mut layer = begun(&some_correlations(), &mut latent, &Options::default());
        layer.backward(&latent, &ones, &mut gradient);
        assert_eq!((gradient[0], gradient[1]), (0.0, 1.0));
        let options = Options { penalty: 1.0, ..Options::default() };
        let mut layer = begun(&some_correlations(), &mut latent, &options);
        layer.backward(&latent, &ones, &mut gradient);
        assert!(gradient[0] > 0.0, "the penalty pulls it back: {}", gradient[0]);
    }

    #[test]
    fn a_turn_keeps_the_signs_it_chose() {
        let mut rng = Rng::new(34);
        let before = random(&mut rng, 2 * ROWS.len());
        let (mut chosen, mut entered) = (before.clone(), before.clone());
        let options = Options { signs: true, ..Options::default() };
        begun(&some_correlations(), &mut chosen, &options);
        let options = Options { trained: true, ..options };
        let mut layer = begun(&some_correlations(), &mut entered, &options);
        let mut out = vec![0.0; entered.len()];
        layer.forward(&entered, &mut out);
        assert!(out.iter().zip(&chosen).all(|(out, w)| (*out >= 0.0) == (*w >= 0.0)));
        assert!(before.iter().zip(&chosen).any(|(a, b)| a.signum() != b.signum()));
    }
}
