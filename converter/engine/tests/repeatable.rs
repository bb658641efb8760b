//! The same bits for any number of threads, and from a resumed run.
mod common;

use bitat_engine::checkpoint::State;
use bitat_engine::loss::cross_entropy;
use bitat_engine::optimiser::{Config, Cosine, Optimiser};
use bitat_engine::rng::Rng;
use bitat_engine::{Mode, Net, PlainSte, Purpose};
use bitat_graph::Graph;
use common::{images, mobile};

/// A run of training that can be cut: graph, optimiser, generator.
struct Training {
    graph: Graph,
    optimiser: Optimiser,
    rng: Rng,
    images: Vec<f32>,
}

const BATCH: usize = 21;

impl Training {
    fn new(style: common::Style) -> Training {
        let graph = mobile(style, 8);
        let images = images(&graph, 40, 2);
        let optimiser = Optimiser::new(&graph, Config::default());
        Training { optimiser, rng: Rng::new(99), images, graph }
    }

    fn run(&mut self, steps: usize) -> Vec<u64> {
        let schedule = Cosine { peak: 0.01, floor: 0.0, warm_up: 2, steps: 10 };
        let ste = PlainSte::default();
        let mut net = Net::new(&self.graph, BATCH, Purpose::Train, &[]).unwrap();
        let len = self.graph.nodes[0].shape.len();
        (0..steps)
            .map(|_| {
                let picks: Vec<usize> = (0..BATCH).map(|_| self.rng.below(40)).collect();
                let x: Vec<f32> =
                    picks.iter().flat_map(|i| self.images[i * len..][..len].to_vec()).collect();
                let labels: Vec<usize> = picks.iter().map(|i| i % 5).collect();
                let mut seed = vec![0.0; BATCH * 5];
                let mode = Mode::Train { momentum: 0.1 };
                let logits = net.forward(&mut self.graph, &ste, &x, BATCH, mode);
                let loss = cross_entropy(logits, &labels, 5, 0.1, &mut seed);
                net.backward(&self.graph, &ste, &[(self.graph.output, &seed)]);
                let rate = schedule.at(self.optimiser.steps());
                self.optimiser.step(&mut self.graph, &net, rate);
                loss.to_bits()
            })
            .collect()
    }
}

fn bits(graph: &Graph) -> Vec<u32> {
    graph.params.iter().flat_map(|p| p.data.iter().map(|x| x.to_bits())).collect()
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    for style in common::STYLES {
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut training = Training::new(style);
                let losses = training.run(3);
                (losses, bits(&training.graph))
            })
        };
        let one = run(1);
        for threads in [2, 3] {
            assert!(one == run(threads), "{style:?}, {threads} threads");
        }
    }
}

#[test]
fn a_resumed_run_is_the_same_run() {
    for style in common::STYLES {
        let mut whole = Training::new(style);
        let losses = whole.run(6);
        let mut first = Training::new(style);
        assert_eq!(first.run(3), losses[..3]);
        let mut state = State::of(&first.graph, Some(&first.optimiser));
        for (i, word) in first.rng.state().into_iter().enumerate() {
            state.set_counter(&format!("rng{i}"), word);
        }
        let path = std::env::temp_dir().join(format!("bitat-{}-{style:?}", std::process::id()));
        state.save(&path).unwrap();
        let state = State::load(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let mut second = Training::new(style);
        second.run(1);
        state.restore(&mut second.graph, Some(&mut second.optimiser)).unwrap();
        let word = |i| state.counter(&format!("rng{i}")).unwrap();
        second.rng = Rng::from_state(std::array::from_fn(word));
        assert_eq!(second.run(3), losses[3..], "{style:?}");
        assert_eq!(bits(&second.graph), bits(&whole.graph), "{style:?}");
    }
}

/// Re-estimated statistics are those of all images at once.
#[test]
fn reestimated_statistics_are_exact() {
    let mut graph = mobile(common::Style::Float, 4);
    let ste = PlainSte::default();
    let x = images(&graph, 30, 6);
    let len = graph.nodes[0].shape.len();
    let mut whole = graph.clone();
    let mut net = Net::new(&graph, 30, Purpose::Eval, &[]).unwrap();
    net.forward(&mut whole, &ste, &x, 30, Mode::Train { momentum: 1.0 });
    net.begin_reestimate();
    for x in x.chunks(10 * len) {
        net.forward(&mut graph, &ste, x, 10, Mode::Reestimate);
    }
    net.finish_reestimate(&mut graph);
    // The first batch norm sees the same values either way; later ones depend on
    // how the images were batched.
    for name in ["mean", "var"] {
        let find =
            |g: &Graph| g.params.iter().find(|p| p.name.starts_with(name)).unwrap().data.clone();
        common::close(&find(&graph), &find(&whole), 1e-5, || name.to_string());
    }
}
