//! Which layers are binary at which step.
//!
//! A run is a row of phases. In each the bottom 1-bit layers have binary
//! activations and binary weights, to two heights; above them the same network
//! runs with `clip(x, −1, 1)` in the place of the sign and with latent weights
//! as they are. Parameters are shared by all phases: a phase differs only in
//! its operations.

use bitat_graph::{Graph, NodeId, Op, Precision};

/// The order in which layers become binary.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Schedule {
    /// All layers from the first step on.
    AtOnce,
    /// Bottom to top in this many stages (2 or more); the last one, with all layers
    /// binary, has the steps that the others leave.
    Progressive {
        /// Stages, at most one per 1-bit layer.
        stages: usize,
        /// Part of the steps that all stages but the last share, 0 to 1.
        part: f64,
    },
    /// All activations first, under float weights; then the weights too.
    TwoStep {
        /// Part of the steps of the first step, 0 to 1.
        part: f64,
    },
}

/// One row of the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phase {
    /// Layers with binary activations, counted from the bottom.
    pub activations: usize,
    /// Layers with binary weights, counted from the bottom; at most `activations`.
    pub weights: usize,
    /// The step before which the phase begins.
    pub start: u64,
    /// The step before which it ends.
    pub end: u64,
}

impl Schedule {
    /// Bottom to top in `stages` stages, of which all but the last share `part` of the
    /// steps; all at once if that is one.
    pub fn in_stages(stages: usize, part: f64) -> Schedule {
        match stages {
            0 | 1 => Schedule::AtOnce,
            _ => Schedule::Progressive { stages, part },
        }
    }

    /// Its stages, bottom to top; 1 where layers do not take turns.
    pub fn stages(&self) -> usize {
        match *self {
            Schedule::AtOnce | Schedule::TwoStep { .. } => 1,
            Schedule::Progressive { stages, .. } => stages,
        }
    }

    /// The phases of a run of `steps` over a network of `layers` 1-bit layers, at
    /// least one; all but the last may be empty where there are few steps.
    pub fn phases(&self, layers: usize, steps: u64) -> Vec<Phase> {
        let at = |part: f64| ((steps as f64 * part) as u64).min(steps);
        let whole = |start| Phase { activations: layers, weights: layers, start, end: steps };
        match *self {
            Schedule::AtOnce => vec![whole(0)],
            Schedule::TwoStep { part } => {
                let first = Phase { weights: 0, end: at(part), ..whole(0) };
                vec![first, whole(first.end)]
            }
            Schedule::Progressive { stages, part } => {
                let stages = stages.clamp(1, layers.max(1));
                let end = |stage: usize| at(part * stage as f64 / (stages.max(2) - 1) as f64);
                let mut phases: Vec<Phase> = (1..stages)
                    .map(|stage| {
                        let binary = (layers * stage).div_ceil(stages);
                        let (start, end) = (end(stage - 1), end(stage));
                        Phase { activations: binary, weights: binary, start, end }
                    })
                    .collect();
                phases.push(whole(phases.last().map_or(0, |p| p.end)));
                phases
            }
        }
    }
}

/// The 1-bit convolutions, bottom to top.
pub fn binary_layers(graph: &Graph) -> Vec<NodeId> {
    (0..graph.nodes.len())
        .filter(|&id| matches!(graph.nodes[id].op, Op::Conv { precision: Precision::Binary, .. }))
        .collect()
}

/// Makes `graph` the network of `phase`; `order` is [`binary_layers`] of the whole.
fn relax(graph: &mut Graph, order: &[NodeId], phase: Phase) {
    for &layer in &order[phase.weights.min(order.len())..] {
        if let Op::Conv { precision, .. } = &mut graph.nodes[layer].op {
            *precision = Precision::Float;
        }
    }
    for &layer in &order[phase.activations.min(order.len())..] {
        let input = graph.nodes[layer].inputs[0];
        if let Op::Sign { .. } = graph.nodes[input].op {
            graph.nodes[input].op = Op::Clip { lo: -1.0, hi: 1.0 };
        }
    }
}

/// Runs `work` on the network of `phase` and takes its parameters back.
pub fn with_phase<T>(graph: &mut Graph, phase: Phase, work: impl FnOnce(&mut Graph) -> T) -> T {
    let order = binary_layers(graph);
    let nodes = graph.nodes.clone();
    relax(graph, &order, phase);
    let result = work(graph);
    // 8-bit binary points set during the phase outlive it; operations do not.
    for (node, mut original) in graph.nodes.iter_mut().zip(nodes) {
        if let (Op::Narrow { frac }, Op::Narrow { frac: kept }) = (&node.op, &mut original.op) {
            *kept = *frac;
        }
        node.op = original.op;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_cover_all_steps_and_end_with_the_whole_network() {
        let schedules = [
            Schedule::AtOnce,
            Schedule::TwoStep { part: 0.5 },
            Schedule::Progressive { stages: 4, part: 0.4 },
            Schedule::Progressive { stages: 99, part: 1.0 },
            Schedule::Progressive { stages: 1, part: 0.4 },
        ];
        for schedule in schedules {
            for (layers, steps) in [(13, 1000), (13, 3), (1, 7), (0, 5)] {
                let phases = schedule.phases(layers, steps);
                let last = phases[phases.len() - 1];
                assert_eq!((last.activations, last.weights, last.end), (layers, layers, steps));
                assert_eq!(phases[0].start, 0);
                for pair in phases.windows(2) {
                    assert_eq!(pair[0].end, pair[1].start, "{schedule:?}");
                    assert!(pair[0].weights <= pair[1].weights);
                    assert!(pair[0].activations <= pair[1].activations);
                }
                assert!(phases.iter().all(|p| p.weights <= p.activations && p.start <= p.end));
            }
        }
    }

    #[test]
    fn layers_become_binary_bottom_to_top() {
        let phases = Schedule::Progressive { stages: 4, part: 0.75 }.phases(13, 100);
        let heights: Vec<usize> = phases.iter().map(|p| p.weights).collect();
        assert_eq!(heights, [4, 7, 10, 13]);
        let ends: Vec<u64> = phases.iter().map(|p| p.end).collect();
        assert_eq!(ends, [25, 50, 75, 100]);
    }
}
