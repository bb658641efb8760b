//! One side of the comparison in `compare/trainer.py`: a quantization-aware
//! training step of MobileNetV1 in our trainer.
//!
//! `trainer_step DIR WIDTH SIDE STEM BATCH THREADS` writes the network, a batch and
//! the gradients of its first step to DIR, then obeys standard input: `step N` runs
//! N steps and prints the microseconds of each; `profile N` prints where their time
//! goes and its share of the machine's limits.
#![forbid(unsafe_code)]

use bitat_benches::mobilenet::quantization_aware;
use bitat_benches::trainer_profile::table;
use bitat_engine::loss::cross_entropy;
use bitat_engine::optimiser::{Config, Optimiser};
use bitat_engine::rng::Rng;
use bitat_engine::{Mode, Net, PlainSte, Purpose, init};
use bitat_graph::{Graph, Op};
use std::error::Error;
use std::io::BufRead;
use std::path::Path;
use std::time::Instant;

const CLASSES: usize = 100;

struct Trainer {
    graph: Graph,
    net: Net,
    optimiser: Optimiser,
    images: Vec<f32>,
    labels: Vec<usize>,
    seed: Vec<f32>,
}

impl Trainer {
    /// Forward, loss, backward; the optimiser is left to the caller.
    fn gradients(&mut self) -> f64 {
        let (n, ste) = (self.labels.len(), PlainSte::default());
        let mode = Mode::Train { momentum: 0.1 };
        let logits = self.net.forward(&mut self.graph, &ste, &self.images, n, mode);
        let loss = cross_entropy(logits, &self.labels, CLASSES, 0.0, &mut self.seed);
        let seeds = [(self.graph.output, self.seed.as_slice())];
        self.net.backward(&self.graph, &ste, &seeds);
        loss
    }

    fn step(&mut self) {
        self.gradients();
        self.optimiser.step(&mut self.graph, &self.net, 1e-4);
    }
}

fn write(path: &Path, data: impl Iterator<Item = f32>) -> std::io::Result<()> {
    std::fs::write(path, data.flat_map(f32::to_le_bytes).collect::<Vec<u8>>())
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [dir, numbers @ ..] = args.as_slice() else {
        return Err("usage: trainer_step DIR WIDTH SIDE STEM BATCH THREADS".into());
    };
    let numbers: Vec<usize> = numbers.iter().map(|n| n.parse()).collect::<Result<_, _>>()?;
    let &[width, side, stem, batch, threads] = numbers.as_slice() else {
        return Err("five numbers wanted: WIDTH SIDE STEM BATCH THREADS".into());
    };
    let dir = Path::new(dir);
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;

    let mut graph = quantization_aware(width, side, stem, CLASSES)?;
    init::he(&mut graph, 1);
    let mut rng = Rng::new(2);
    let mut trainer = Trainer {
        net: Net::new(&graph, batch, Purpose::Train, &[])?,
        optimiser: Optimiser::new(&graph, Config::default()),
        images: (0..batch * side * side * 3).map(|_| rng.normal()).collect(),
        labels: (0..batch).map(|_| rng.below(CLASSES)).collect(),
        seed: vec![0.0; batch * CLASSES],
        graph,
    };
    let params = &trainer.graph.params;
    let names = params.iter().map(|p| format!("{} {:?} {:?}\n", p.name, p.shape, p.role));
    std::fs::write(dir.join("names"), names.collect::<String>())?;
    write(&dir.join("params"), params.iter().flat_map(|p| p.data.clone()))?;
    write(&dir.join("images"), trainer.images.iter().copied())?;
    write(&dir.join("labels"), trainer.labels.iter().map(|&l| l as f32))?;
    let before = trainer.graph.clone();
    let loss = trainer.gradients();
    let ids = 0..trainer.graph.params.len();
    write(&dir.join("gradients"), ids.flat_map(|p| trainer.net.gradient(p).to_vec()))?;
    write(&dir.join("decisions"), decisions(&before, &trainer, batch)?.into_iter())?;
    println!("loss {loss}");

    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (command, count) = line.split_once(' ').ok_or("a command is a word and a number")?;
        let count: usize = count.parse()?;
        match command {
            "step" => {
                let time = |_| {
                    let start = Instant::now();
                    trainer.step();
                    format!("{}", start.elapsed().as_micros())
                };
                println!("{}", (0..count).map(time).collect::<Vec<_>>().join(" "));
            }
            "profile" => profile(&mut trainer, count.max(1)),
            _ => return Err(format!("unknown command '{command}'").into()),
        }
    }
    Ok(())
}

/// Every sign and rounding of the step just taken, in order, by a net that keeps all.
fn decisions(before: &Graph, trainer: &Trainer, n: usize) -> Result<Vec<f32>, Box<dyn Error>> {
    let mut graph = before.clone();
    let mut net = Net::new(&graph, n, Purpose::Inspect, &[])?;
    let mode = Mode::Train { momentum: 0.1 };
    let logits = net.forward(&mut graph, &PlainSte::default(), &trainer.images, n, mode);
    if logits != trainer.net.activation(graph.output) {
        return Err("the fused net and the one that keeps everything differ".into());
    }
    let deciding = |&id: &usize| matches!(graph.nodes[id].op, Op::Sign { .. } | Op::Narrow { .. });
    let nodes = (0..graph.nodes.len()).filter(deciding);
    Ok(nodes.flat_map(|id| net.activation(id).to_vec()).collect())
}

/// Prints where the time of `count` steps goes.
fn profile(trainer: &mut Trainer, count: usize) {
    trainer.net.set_profiling(true);
    let start = Instant::now();
    let mut optimiser = std::time::Duration::ZERO;
    for _ in 0..count {
        trainer.gradients();
        let start = Instant::now();
        trainer.optimiser.step(&mut trainer.graph, &trainer.net, 1e-4);
        optimiser += start.elapsed();
    }
    let whole = start.elapsed();
    if let Some(profile) = trainer.net.profile() {
        let n = trainer.labels.len();
        print!(
            "{}",
            table(&trainer.graph, profile, n, count, trainer.net.bytes(), optimiser, whole)
        );
    }
    println!("end");
    trainer.net.set_profiling(false);
}
