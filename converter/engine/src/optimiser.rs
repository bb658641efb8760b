//! AdamW and SGD with momentum, and the learning-rate schedule.

use crate::net::Net;
use crate::plan::params;
use crate::simd::vectorised;
use bitat_graph::{Graph, Op, ParamId, Role};
use rayon::prelude::*;

/// The update rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// Adam with decoupled weight decay (Loshchilov and Hutter).
    AdamW {
        /// Decay of the first moment.
        beta1: f32,
        /// Decay of the second.
        beta2: f32,
        /// Added to the root of the second moment.
        eps: f32,
    },
    /// `v ← momentum·v + g + decay·w; w ← w − rate·v`.
    Sgd {
        /// Share of the old velocity.
        momentum: f32,
    },
}

/// How one role of parameters is treated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RoleConfig {
    /// Times the step's learning rate; 0 freezes.
    pub rate: f32,
    /// Weight decay (AdamW: decoupled, times the rate).
    pub decay: f32,
}

/// Everything that does not change from step to step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config {
    /// The update rule.
    pub rule: Rule,
    /// Float and 8-bit weights.
    pub weight: RoleConfig,
    /// Latent weights of binary layers.
    pub latent: RoleConfig,
    /// Biases, batch norm, thresholds, PReLU.
    pub gain: RoleConfig,
    /// Latent weights are kept within ± this after each step.
    pub latent_clip: f32,
}

impl Default for Config {
    fn default() -> Config {
        let plain = RoleConfig { rate: 1.0, decay: 0.0 };
        Config {
            rule: Rule::AdamW { beta1: 0.9, beta2: 0.999, eps: 1e-8 },
            weight: plain,
            latent: plain,
            gain: plain,
            latent_clip: 1.0,
        }
    }
}

/// Floats of a parameter updated at a time.
const PIECE: usize = 8192;

/// Largest magnitude of a PReLU slope; the integer runtime stores it in Q15.
pub const MAX_SLOPE: f32 = 0.999;

/// The moments of every parameter and the number of steps taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Optimiser {
    /// The configuration; may be changed between steps.
    pub config: Config,
    pub(crate) steps: u64,
    pub(crate) moments: Vec<[Vec<f32>; 2]>,
}

impl Optimiser {
    /// With zero moments for every trainable parameter of `graph`.
    pub fn new(graph: &Graph, config: Config) -> Optimiser {
        let adam = matches!(config.rule, Rule::AdamW { .. });
        let moments = graph.params.iter().map(|p| {
            let trained = p.role != Role::Statistic;
            let len = |keep: bool| vec![0.0; if keep { p.data.len() } else { 0 }];
            [len(trained), len(trained && adam)]
        });
        Optimiser { config, steps: 0, moments: moments.collect() }
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Takes one step of learning rate `rate` along the gradients of the net's
    /// last backward pass; then clips latent weights and PReLU slopes.
    pub fn step(&mut self, graph: &mut Graph, net: &Net, rate: f32) {
        self.step_with(graph, rate, |p| net.gradient(p));
    }

    /// As [`Optimiser::step`] with gradients from elsewhere; an empty one leaves its
    /// parameter alone.
    pub fn step_with<'a>(
        &mut self,
        graph: &mut Graph,
        rate: f32,
        gradient: impl Fn(ParamId) -> &'a [f32] + Sync,
    ) {
        self.steps += 1;
        let Config { rule, latent_clip, .. } = self.config;
        let steps = self.steps;
        let config = self.config;
        let params_and_moments = graph.params.par_iter_mut().zip(&mut self.moments).enumerate();
        params_and_moments.with_max_len(1).for_each(|(id, (param, [first, second]))| {
            let g = gradient(id);
            let role = match param.role {
                Role::Weight => config.weight,
                Role::Latent => config.latent,
                Role::Gain => config.gain,
                Role::Statistic => return,
            };
            if g.is_empty() || role.rate == 0.0 {
                return;
            }
            let rate = rate * role.rate;
            let latent = param.role == Role::Latent;
            // Large parameters in pieces: for all threads, and clipped while in cache.
            let pieces = param.data.par_chunks_mut(PIECE).zip(g.par_chunks(PIECE));
            let clip = |w: &mut [f32]| {
                if latent {
                    w.iter_mut().for_each(|w| *w = w.clamp(-latent_clip, latent_clip));
                }
            };
            match rule {
                Rule::AdamW { beta1, beta2, eps } => {
                    let step = Adam::at(beta1, beta2, eps, steps, rate, role.decay);
                    let moments = first.par_chunks_mut(PIECE).zip(second.par_chunks_mut(PIECE));
                    pieces.zip(moments).for_each(|((w, g), (first, second))| {
                        step.apply(w, g, first, second);
                        clip(w);
                    });
                }
                Rule::Sgd { momentum } => {
                    pieces.zip(first.par_chunks_mut(PIECE)).for_each(|((w, g), velocity)| {
                        sgd(w, g, velocity, momentum, rate, role.decay);
                        clip(w);
                    });
                }
            }
        });
        for node in &graph.nodes {
            if let Op::Prelu { slope } | Op::ShiftedPrelu { slope, .. } = node.op {
                let slopes = graph.params[slope].data.iter_mut();
                slopes.for_each(|s| *s = s.clamp(-MAX_SLOPE, MAX_SLOPE));
            }
        }
    }

    /// Forgets the moments of the parameters of one node, for when its meaning
    /// changes (a layer becomes binary).
    pub fn reset_node(&mut self, op: &Op) {
        for p in params(op) {
            self.moments[p].iter_mut().for_each(|m| m.fill(0.0));
        }
    }
}

/// One step of Adam.
pub(crate) struct Adam {
    beta1: f32,
    beta2: f32,
    eps: f32,
    /// Learning rate over the first moment's bias correction.
    rate: f32,
    /// One over the root of the second's.
    unbias: f32,
    keep: f32,
}

impl Adam {
    fn at(beta1: f32, beta2: f32, eps: f32, steps: u64, rate: f32, decay: f32) -> Adam {
        let correction = |beta: f32| 1.0 - f64::from(beta).powf(steps as f64);
        Adam {
            beta1,
            beta2,
            eps,
            rate: (f64::from(rate) / correction(beta1)) as f32,
            unbias: (1.0 / correction(beta2).sqrt()) as f32,
            keep: 1.0 - rate * decay,
        }
    }

    fn apply(&self, w: &mut [f32], g: &[f32], first: &mut [f32], second: &mut [f32]) {
        adam(self, w, g, first, second);
    }
}

vectorised! {
    fn adam[_s](how: &Adam, w: &mut [f32], g: &[f32], first: &mut [f32], second: &mut [f32]) {
        let Adam { beta1, beta2, eps, rate, unbias, keep } = *how;
        for (((w, &g), m), v) in w.iter_mut().zip(g).zip(first).zip(second) {
            *m += (1.0 - beta1) * (g - *m);
            *v += (1.0 - beta2) * (g * g - *v);
            *w = *w * keep - rate * *m / (v.sqrt() * unbias + eps);
        }
    }
}

fn sgd(w: &mut [f32], g: &[f32], velocity: &mut [f32], momentum: f32, rate: f32, decay: f32) {
    for ((w, &g), v) in w.iter_mut().zip(g).zip(velocity) {
        *v = momentum * *v + g + decay * *w;
        *w -= rate * *v;
    }
}

/// Linear warm-up, then half a cosine from `peak` to `floor`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cosine {
    /// Learning rate after the warm-up.
    pub peak: f32,
    /// Learning rate at the end.
    pub floor: f32,
    /// Steps of warm-up.
    pub warm_up: u64,
    /// All steps, warm-up included.
    pub steps: u64,
}

impl Cosine {
    /// The learning rate of step `step` (from 0); `floor` from `steps` on.
    pub fn at(&self, step: u64) -> f32 {
        if step < self.warm_up {
            return self.peak * (step + 1) as f32 / self.warm_up as f32;
        }
        let run = self.steps.saturating_sub(self.warm_up).max(1);
        let share = ((step - self.warm_up) as f64 / run as f64).min(1.0);
        let cosine = 0.5 * (1.0 + (std::f64::consts::PI * share).cos());
        self.floor + (self.peak - self.floor) * cosine as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_param(role: Role) -> Graph {
        let mut graph = Graph::default();
        graph.param("w", &[2], vec![0.5, -0.25], role);
        graph
    }

    /// Two steps of AdamW by hand in f64.
    #[test]
    fn adamw_by_hand() {
        let mut graph = one_param(Role::Weight);
        let weight = RoleConfig { rate: 0.5, decay: 0.1 };
        let config = Config { weight, ..Config::default() };
        let mut optimiser = Optimiser::new(&graph, config);
        let gradients = [[0.3f32, -2.0], [0.1, 0.5]];
        let (mut w, mut m, mut v) = ([0.5f64, -0.25], [0.0f64; 2], [0.0f64; 2]);
        for (t, g) in gradients.iter().enumerate() {
            optimiser.step_with(&mut graph, 0.02, |_| g);
            for i in 0..2 {
                let g = f64::from(g[i]);
                m[i] = 0.9 * m[i] + 0.1 * g;
                v[i] = 0.999 * v[i] + 0.001 * g * g;
                let m_hat = m[i] / (1.0 - 0.9f64.powi(t as i32 + 1));
                let v_hat = v[i] / (1.0 - 0.999f64.powi(t as i32 + 1));
                w[i] = w[i] * (1.0 - 0.01 * 0.1) - 0.01 * m_hat / (v_hat.sqrt() + 1e-8);
                assert!((w[i] - f64::from(graph.params[0].data[i])).abs() < 1e-6);
            }
        }
        assert_eq!(optimiser.steps(), 2);
    }

    #[test]
    fn sgd_latent_clip_and_frozen_statistics() {
        let mut graph = one_param(Role::Latent);
        graph.param("mean", &[1], vec![3.0], Role::Statistic);
        let config =
            Config { rule: Rule::Sgd { momentum: 0.5 }, latent_clip: 0.75, ..Config::default() };
        let mut optimiser = Optimiser::new(&graph, config);
        optimiser.step_with(&mut graph, 1.0, |_| &[-1.0, 0.25]);
        assert_eq!(graph.params[0].data, [0.75, -0.5]);
        optimiser.step_with(&mut graph, 1.0, |_| &[0.0, 0.0]);
        assert_eq!(graph.params[0].data, [0.75, -0.625]);
        assert_eq!(graph.params[1].data, [3.0]);
    }

    #[test]
    fn cosine_warms_up_and_ends_at_the_floor() {
        let schedule = Cosine { peak: 1.0, floor: 0.1, warm_up: 4, steps: 104 };
        assert_eq!(schedule.at(0), 0.25);
        assert_eq!(schedule.at(3), 1.0);
        assert_eq!(schedule.at(4), 1.0);
        assert!((schedule.at(54) - 0.55).abs() < 1e-6);
        assert_eq!(schedule.at(104), 0.1);
        assert_eq!(schedule.at(u64::MAX), 0.1);
        assert_eq!(Cosine { peak: 1.0, floor: 0.0, warm_up: 0, steps: 0 }.at(5), 0.0);
    }
}
