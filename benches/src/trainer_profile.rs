//! Where a training step's time goes, and how near each kind of pass is to what the
//! machine can do: its multiply-adds against the peak of the multiply-add units, and
//! the bytes it cannot help moving against a copy of as many bytes. What the pass
//! before has written may lie in a cache; what was written a whole pass ago is held
//! against a copy of all that the trainer holds.

use bitat_engine::{Profile, StageTime, limits};
use bitat_graph::{Graph, NodeId, Op, Precision, Role};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

/// What a pass has to do at least.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Work {
    multiply_adds: usize,
    /// Bytes just written, or to be written.
    fresh: usize,
    /// Bytes read again after a whole pass.
    old: usize,
}

/// The machine's limits, measured once per power of two of bytes.
struct Machine {
    multiply_adds: f64,
    copies: BTreeMap<u32, f64>,
    /// Bytes of all activations and gradients.
    held: usize,
}

impl Machine {
    fn measure(held: usize) -> Machine {
        let multiply_adds = limits::multiply_adds_per_second();
        Machine { multiply_adds, copies: BTreeMap::new(), held }
    }

    /// Bytes per second of a copy within about as many bytes.
    fn copy(&mut self, bytes: usize) -> f64 {
        let size = bytes.max(1).next_power_of_two();
        let copy = self.copies.entry(size.ilog2());
        *copy.or_insert_with(|| limits::copied_bytes_per_second(size))
    }

    /// Seconds that the work's arithmetic and its traffic take at the limit.
    fn seconds(&mut self, work: Work) -> [f64; 2] {
        let fresh = work.fresh as f64 / self.copy(work.fresh + work.old);
        let old = work.old as f64 / self.copy(self.held);
        [work.multiply_adds as f64 / self.multiply_adds, fresh + old]
    }
}

/// One line of the table, summed over passes.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    seconds: f64,
    arithmetic: f64,
    traffic: f64,
}

impl Line {
    fn add(&mut self, time: Duration, [arithmetic, traffic]: [f64; 2]) {
        self.seconds += time.as_secs_f64();
        self.arithmetic += arithmetic;
        self.traffic += traffic;
    }

    fn print(&self, out: &mut String, name: &str, whole: f64) {
        let percent = |part: f64, of: f64| {
            if part > 0.0 { format!("{:.0} %", 100.0 * part / of) } else { "-".into() }
        };
        let _ = writeln!(
            out,
            "{:>9.0} us {:>6} {:>12} {:>12}   {name}",
            1e6 * self.seconds,
            percent(self.seconds, whole),
            percent(self.arithmetic, self.seconds),
            percent(self.traffic, self.seconds)
        );
    }
}

/// The table of `steps` steps on `n` images each: by kind of pass, then by node.
/// `held` is the bytes of activations and gradients that the net holds.
pub fn table(
    graph: &Graph,
    profile: &Profile,
    n: usize,
    steps: usize,
    held: usize,
    optimiser: Duration,
    whole: Duration,
) -> String {
    let mut machine = Machine::measure(held);
    let steps = steps as u32;
    let whole = (whole / steps).as_secs_f64();
    let mut kinds: BTreeMap<(&str, &str), Line> = BTreeMap::new();
    let mut nodes = Vec::new();
    let mut note = |kind, pass, name: String, time: Duration, work: [f64; 2]| {
        let mut line = Line::default();
        line.add(time / steps, work);
        kinds.entry((kind, pass)).or_default().add(time / steps, work);
        nodes.push((line, format!("{name}, {pass}")));
    };
    let stored: Vec<NodeId> = profile.stages.iter().map(|s| s.node).collect();
    for stage in &profile.stages {
        let name = |id: &NodeId| graph.nodes[*id].name.as_str();
        let fused: Vec<&str> = stage.chain.iter().filter(|&&i| i != stage.node).map(name).collect();
        let name = match fused.as_slice() {
            [] => name(&stage.node).to_string(),
            fused => format!("{} with {}", name(&stage.node), fused.join(", ")),
        };
        let kind = kind(graph, stage.node);
        let [forward, backward] = work(graph, &stored, stage, n).map(|w| machine.seconds(w));
        note(kind, "forward", name.clone(), stage.forward, forward);
        if stage.backward > Duration::ZERO {
            note(kind, "backward", name, stage.backward, backward);
        }
    }
    let len = |weights: bool| {
        let trained = graph.params.iter().filter(|p| p.role != Role::Statistic);
        let these = trained.filter(|p| !weights || p.role != Role::Gain);
        these.map(|p| 4 * p.data.len()).sum::<usize>()
    };
    let mut traffic = |fresh, old| machine.seconds(Work { multiply_adds: 0, fresh, old });
    // Latent weights read, packed ones written; gradients read and written.
    let weights = traffic(2 * len(true), 0);
    note("weights", "forward", "weights".into(), profile.prepare, weights);
    note("weights", "backward", "weights".into(), profile.finish, weights);
    // Parameters and two moments read and written after a whole step, gradients read.
    note("optimiser", "step", "optimiser".into(), optimiser, traffic(len(false), 6 * len(false)));

    let mut out = String::new();
    let _ = writeln!(
        out,
        "limits: {:.0} G multiply-adds/s; copies, both ways, {} GB/s",
        machine.multiply_adds / 1e9,
        machine
            .copies
            .iter()
            .map(|(size, copy)| format!("{:.0} ({} KiB)", copy / 1e9, (1u64 << size) / 1024))
            .collect::<Vec<_>>()
            .join(", ")
    );
    let head = "        time   step  multiply-add         copy";
    let _ = writeln!(out, "{head}   kind of pass; shares: of the step, of the two limits");
    let mut sorted: Vec<_> = kinds.into_iter().collect();
    sorted.sort_by(|a, b| b.1.seconds.total_cmp(&a.1.seconds));
    let mut rest = whole;
    for ((kind, pass), line) in sorted {
        line.print(&mut out, &format!("{kind}, {pass}"), whole);
        rest -= line.seconds;
    }
    Line { seconds: rest.max(0.0), ..Line::default() }.print(&mut out, "loss and the rest", whole);
    Line { seconds: whole, ..Line::default() }.print(&mut out, "all, per step", whole);
    let _ = writeln!(out, "{head}   node (with what is fused into it)");
    for (line, name) in nodes {
        line.print(&mut out, &name, whole);
    }
    out
}

fn kind(graph: &Graph, node: NodeId) -> &'static str {
    let node = &graph.nodes[node];
    match node.op {
        Op::Input => "input",
        Op::Conv { groups, .. } if groups > 1 => "depthwise convolutions",
        Op::Conv { precision: Precision::Binary, .. } => "1-bit convolutions",
        Op::Conv { .. } => "other convolutions",
        Op::Dense { .. } => "classifier",
        Op::GlobalAveragePool | Op::AveragePool { .. } | Op::Shortcut { .. } => "pools",
        _ => "norms, sums and PReLUs",
    }
}

/// The least that a stage does forward and backward: its products, and every stored
/// tensor it needs read or written once. Backward reads the gradient of its result
/// (with the result itself where a batch norm is to be taken back) and its inputs, and
/// writes the inputs' gradients.
fn work(graph: &Graph, stored: &[NodeId], stage: &StageTime, n: usize) -> [Work; 2] {
    let bytes = |id: NodeId| 4 * n * graph.nodes[id].shape.len();
    let inside = |id: &NodeId| stage.chain.contains(id) || *id == stage.node;
    let of = stage.chain.iter().chain([&stage.node]).flat_map(|&id| &graph.nodes[id].inputs);
    // A shortcut that is not stored is read through.
    let source = |&id: &NodeId| if stored.contains(&id) { id } else { graph.nodes[id].inputs[0] };
    let mut inputs: Vec<NodeId> = of.filter(|&id| !inside(id)).map(source).collect();
    inputs.sort_unstable();
    inputs.dedup();
    let trained = inputs.iter().filter(|&&id| !matches!(graph.nodes[id].op, Op::Input));
    let given: usize = trained.map(|&id| bytes(id)).sum();
    let read: usize = inputs.iter().map(|&id| bytes(id)).sum();
    let normed = graph
        .nodes
        .iter()
        .any(|node| matches!(node.op, Op::BatchNorm { .. }) && node.inputs[0] == stage.node);
    let out = &graph.nodes[stage.node];
    let multiply_adds = match out.op {
        Op::Conv { weight, .. } | Op::Dense { weight, .. } => {
            n * out.shape.h * out.shape.w * graph.params[weight].data.len()
        }
        _ => 0,
    };
    let result = bytes(stage.node);
    let products = if given > 0 { 2 } else { 1 };
    [
        Work { multiply_adds, fresh: read + result, old: 0 },
        Work {
            multiply_adds: products * multiply_adds,
            fresh: result + given,
            old: if normed { result } else { 0 } + read,
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mobilenet::quantization_aware;
    use bitat_engine::{Net, Purpose};

    #[test]
    fn work_of_the_first_block_by_hand() {
        let graph = quantization_aware(50, 32, 1, 100).unwrap();
        let mut net = Net::new(&graph, 2, Purpose::Train, &[]).unwrap();
        net.set_profiling(true);
        let profile = net.profile().unwrap();
        let stored: Vec<NodeId> = profile.stages.iter().map(|s| s.node).collect();
        let of = |name: &str| {
            let named = |s: &&StageTime| graph.nodes[s.node].name == name;
            work(&graph, &stored, profile.stages.iter().find(named).unwrap(), 2)
        };
        // Two images of 32 x 32 pixels of four bytes.
        let plane = 2 * 32 * 32 * 4;
        let pixels = 2 * 32 * 32;
        let products = pixels * 27 * 16;
        let stem = Work { multiply_adds: products, fresh: (3 + 16) * plane, old: 0 };
        // The images have no gradient; a batch norm follows.
        let (fresh, old) = (16 * plane, (16 + 3) * plane);
        let stem_back = Work { multiply_adds: products, fresh, old };
        assert_eq!(of("stem"), [stem, stem_back]);
        let products = pixels * 16 * 32;
        let both = (16 + 32) * plane;
        let pointwise = Work { multiply_adds: products, fresh: both, old: 0 };
        let back = Work { multiply_adds: 2 * products, fresh: both, old: both };
        assert_eq!(of("block0.pointwise"), [pointwise, back]);
        // The sum reads the block's input through a shortcut of twice its channels.
        let read = (32 + 16) * plane;
        let prelu = Work { multiply_adds: 0, fresh: read + 32 * plane, old: 0 };
        let back = Work { multiply_adds: 0, fresh: read + 32 * plane, old: read };
        assert_eq!(of("block0.prelu"), [prelu, back]);
    }
}
