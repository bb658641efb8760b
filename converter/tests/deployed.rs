//! The deployed network in the trainer's engine does what the file does, and
//! the proof refuses one that does not.

mod common;

use std::sync::Arc;

use bitat_converter::Error;
use bitat_converter::learn::fit::Material;
use bitat_converter::lower::{Facts, Lowered, lower};
use bitat_converter::pipeline::input_fit;
use bitat_converter::prove::{Proof, prove};
use bitat_converter::qat::calibrate::{self, Images};
use bitat_converter::qat::rewrite::{Depthwise, INPUT_SCALE, Options, rewrite};
use bitat_converter::ui::Stop;
use bitat_data::{Dataset, Preprocess};
use bitat_engine::optimiser::MAX_SLOPE;
use bitat_engine::rng::Rng;
use bitat_engine::{Mode, Net, PlainSte, Purpose};
use bitat_format::FileBuffer;
use bitat_format::model::{Epilogue, Operation};
use bitat_graph::{Graph, Op, Precision, Role, Shape, Window};
use bitat_models::{MobileNet, mobilenet_v1, mobilenet_v2};
use bitat_reference::Values;
use common::{CLASSES, SIDE, quiet};

/// Calibration images.
const COUNT: usize = 32;

/// A network as training may leave it, with what its lowering needs.
struct Trained {
    graph: Graph,
    zero: Vec<u8>,
    ranges: Vec<Vec<f32>>,
}

impl Trained {
    fn rewritten(float: &Graph, options: &Options, seed: u64) -> Trained {
        let channels = float.nodes[0].shape.c;
        let made = rewrite(float, &vec![127.5; channels], &vec![127.5; channels], options).unwrap();
        Trained::new(made.graph, made.zero, seed)
    }

    /// Moves every gain, threshold and PReLU away from where training starts,
    /// and measures statistics, binary points and ranges on noise.
    fn new(mut graph: Graph, zero: Vec<u8>, seed: u64) -> Trained {
        let mut rng = Rng::new(seed);
        let mut spread = |graph: &mut Graph, param: usize, centre: f32, size: f32| {
            for v in &mut graph.params[param].data {
                *v = centre + size * rng.normal();
            }
        };
        for id in 0..graph.nodes.len() {
            match graph.nodes[id].op {
                Op::BatchNorm { gamma, beta, .. } => {
                    spread(&mut graph, gamma, 0.3, 1.0);
                    spread(&mut graph, beta, 0.0, 0.5);
                }
                Op::Sign { threshold } => spread(&mut graph, threshold, 0.0, 0.4),
                Op::ShiftedPrelu { before, slope, after } => {
                    spread(&mut graph, before, 0.0, 0.3);
                    spread(&mut graph, slope, 0.1, 0.3);
                    // As the optimiser does.
                    let slopes = graph.params[slope].data.iter_mut();
                    slopes.for_each(|s| *s = s.clamp(-MAX_SLOPE, MAX_SLOPE));
                    spread(&mut graph, after, 0.0, 0.3);
                }
                _ => {}
            }
        }
        let shape = graph.nodes[0].shape;
        let pixels: Vec<f32> = (0..COUNT)
            .flat_map(|image| noise(shape, seed + image as u64))
            .enumerate()
            .map(|(i, p)| (f32::from(p) - f32::from(zero[i % shape.c])) / INPUT_SCALE)
            .collect();
        let mut net = Net::new(&graph, COUNT, Purpose::Eval, &[]).unwrap();
        net.begin_reestimate();
        net.forward(&mut graph, &PlainSte::default(), &pixels, COUNT, Mode::Reestimate);
        net.finish_reestimate(&mut graph);
        let images = Images { pixels: &pixels, count: COUNT };
        let binarizer = PlainSte::default();
        calibrate::narrow_points(&mut graph, &binarizer, &images, Mode::Eval).unwrap();
        let ranges = calibrate::ranges(&mut graph, &binarizer, &images, Mode::Eval).unwrap();
        Trained { graph, zero, ranges }
    }

    fn lowered(&self) -> Lowered {
        let channels = self.zero.len();
        let classes: Vec<String> = Vec::new();
        let facts = Facts {
            name: "test",
            classes: &classes,
            zero: &self.zero,
            mean: &vec![127.5; channels],
            std: &vec![127.5; channels],
            input_scale: INPUT_SCALE,
            ranges: &self.ranges,
        };
        lower(&self.graph, &PlainSte::default(), &facts).unwrap()
    }
}

fn noise(shape: Shape, seed: u64) -> Vec<u8> {
    let mut random = bitat_data::Random::new(&[seed]);
    (0..shape.len()).map(|_| random.below(256) as u8).collect()
}

fn mobilenet(h: usize, w: usize, c: usize) -> MobileNet {
    let mut definition = MobileNet::new(0.25, Shape { h, w, c }, CLASSES);
    definition.strides = [1, 2, 2, 1, 1];
    definition
}

fn options(depthwise: Depthwise, keep: &[&str]) -> Options {
    Options { depthwise, keep: keep.iter().map(|k| (*k).to_owned()).collect() }
}

/// Compares every tensor of both for an image; returns the oracle's.
fn agree(lowered: &Lowered, pixels: &[u8]) -> bitat_reference::Trace {
    let trace = bitat_reference::run(&lowered.model, pixels).unwrap();
    let zero = &lowered.model.input.zero;
    let image: Vec<f32> = pixels
        .iter()
        .zip(zero.iter().cycle())
        .map(|(p, z)| f32::from(*p) - f32::from(*z))
        .collect();
    let mut graph = lowered.deployed.graph.clone();
    graph.validate().unwrap();
    let mut net = Net::new(&graph, 1, Purpose::Eval, &lowered.deployed.nodes).unwrap();
    net.forward(&mut graph, &PlainSte::default(), &image, 1, Mode::Eval);
    for (tensor, &node) in lowered.deployed.nodes.iter().enumerate().skip(1) {
        let expected: Vec<f64> = match trace.tensor(tensor as u16).unwrap() {
            Values::Stream(v) => v.iter().map(|v| f64::from(*v)).collect(),
            Values::Bits(v) => v.iter().map(|v| f64::from(*v)).collect(),
            Values::Scores(v) => v.iter().map(|v| f64::from(*v)).collect(),
            Values::Image(_) => unreachable!("tensor 0"),
        };
        let found: Vec<f64> = net.activation(node).iter().map(|v| f64::from(*v)).collect();
        assert_eq!(found, expected, "node '{}'", graph.nodes[node].name);
    }
    trace
}

fn streams(trace: &bitat_reference::Trace, lowered: &Lowered) -> Vec<i16> {
    let tensors = 0..lowered.model.tensors.len();
    let stream = |t: usize| match trace.tensor(t as u16) {
        Some(Values::Stream(values)) => values.clone(),
        _ => Vec::new(),
    };
    tensors.flat_map(stream).collect()
}

/// `f(from, to, pool)` over the shortcuts of a model, in channels.
fn shortcuts(lowered: &Lowered) -> Vec<(u16, u16, u8)> {
    let tensors = &lowered.model.tensors;
    let found = lowered.model.layers.iter().filter_map(|layer| match &layer.operation {
        Operation::Int8Conv { epilogue, .. }
        | Operation::Int8Depthwise { epilogue, .. }
        | Operation::BinaryConv { epilogue, .. }
        | Operation::BinaryDepthwise { epilogue, .. } => match epilogue {
            Epilogue::Stream { shortcut: Some(s), multiplier, .. } => {
                let from = tensors[usize::from(s.tensor)].channels;
                Some((from, multiplier.len() as u16, s.pool))
            }
            _ => None,
        },
        Operation::GlobalAveragePool { .. } => None,
    });
    found.collect()
}

#[test]
fn every_tensor_of_every_kind_of_network_is_the_oracles() {
    let v1 = mobilenet_v1(&mobilenet(16, 16, 1)).unwrap();
    // Odd sides: the shortcuts' pools are clipped.
    let v2 = mobilenet_v2(&mobilenet(15, 13, 3)).unwrap();
    let convolutions = |graph: &Graph| -> Vec<String> {
        let conv = |n: &&bitat_graph::Node| matches!(n.op, Op::Conv { .. });
        graph.nodes.iter().filter(conv).map(|n| n.name.clone()).collect()
    };
    let (first, second) = (convolutions(&v1), convolutions(&v2));
    let mut seen = Vec::new();
    for (seed, (float, options)) in [
        (&v1, options(Depthwise::Int8, &[])),
        (&v1, options(Depthwise::Int8Signs, &[])),
        (&v1, options(Depthwise::Binary, &[])),
        (&v1, options(Depthwise::Int8, &[&first[2], &first[6]])),
        (&v2, options(Depthwise::Int8, &[])),
        (&v2, options(Depthwise::Int8Signs, &[])),
        (&v2, options(Depthwise::Binary, &[])),
        (&v2, options(Depthwise::Binary, &[&second[3], &second[5]])),
    ]
    .iter()
    .enumerate()
    {
        let lowered = Trained::rewritten(float, options, 10 * seed as u64).lowered();
        for image in 0..3 {
            agree(&lowered, &noise(float.nodes[0].shape, 1000 + image));
        }
        seen.extend(shortcuts(&lowered));
    }
    assert!(seen.iter().any(|(from, to, _)| from < to), "channels grow");
    assert!(seen.iter().any(|(from, to, _)| from > to), "channels shrink");
    assert!(seen.iter().any(|(.., pool)| *pool > 1), "a strided shortcut");
}

#[test]
fn sums_that_saturate_are_the_oracles() {
    let float = mobilenet_v2(&mobilenet(16, 16, 1)).unwrap();
    for depthwise in Depthwise::ALL {
        let mut trained = Trained::rewritten(&float, &options(depthwise, &[]), 5);
        // The lowering believes that streams are 20 times as small as they are.
        trained.ranges.iter_mut().flatten().for_each(|r| *r *= 0.05);
        for id in 0..trained.graph.nodes.len() {
            if let Op::Narrow { frac } = trained.graph.nodes[id].op {
                trained.graph.nodes[id].op = Op::Narrow { frac: frac + 4 };
            }
        }
        let lowered = trained.lowered();
        let trace = agree(&lowered, &noise(float.nodes[0].shape, 77));
        let values = streams(&trace, &lowered);
        // Sums saturate on both sides; what was negative comes back up by the PReLU.
        assert!(values.iter().filter(|v| **v == i16::MAX).count() > 10, "few at the end");
    }
}

/// One 8-bit convolution over the whole image and a classifier.
fn wide(side: usize, seed: u64) -> Trained {
    let mut graph = Graph { name: "wide".into(), ..Graph::default() };
    let shape = Shape { h: side, w: side, c: 3 };
    let x = graph.push("input", Op::Input, &[], Some(shape)).unwrap();
    let mut rng = Rng::new(seed);
    let outputs = 5;
    // The first output's weights are all the largest; the others alternate.
    let weights = (0..outputs * shape.len())
        .map(|i| if i < shape.len() || rng.normal() > 0.0 { 1.0 } else { -1.0 })
        .collect();
    let weight = graph.param("w", &[outputs, side, side, 3], weights, Role::Weight);
    let window = Window { kernel: [side; 2], stride: [1; 2], pads: [0; 4] };
    let precision = Precision::Int8;
    let op = Op::Conv { weight, bias: None, window, groups: 1, precision };
    let conv = graph.push("conv", op, &[x], None).unwrap();
    let mut vector = |name: &str, value: f32, role| {
        graph.param(format!("conv.{name}"), &[outputs], vec![value; outputs], role)
    };
    let gamma = vector("gamma", 1.0, Role::Gain);
    let beta = vector("beta", 0.0, Role::Gain);
    let mean = vector("mean", 0.0, Role::Statistic);
    let var = vector("var", 1.0, Role::Statistic);
    let op = Op::BatchNorm { gamma, beta, mean, var, eps: 1e-5 };
    let norm = graph.push("norm", op, &[conv], None).unwrap();
    let narrow = graph.push("narrow", Op::Narrow { frac: 4 }, &[norm], None).unwrap();
    let weights = (0..CLASSES * outputs).map(|_| rng.normal()).collect();
    let weight = graph.param("dense.w", &[CLASSES, outputs], weights, Role::Weight);
    let op = Op::Dense { weight, bias: None, precision: Precision::Int8PerTensor };
    graph.output = graph.push("dense", op, &[narrow], None).unwrap();
    Trained::new(graph, vec![128; 3], seed)
}

#[test]
fn sums_beyond_24_bits_are_taken_in_double_precision() {
    for (side, expected) in [(12, Precision::Float), (30, Precision::Double)] {
        let lowered = wide(side, 3).lowered();
        let conv = lowered.deployed.graph.nodes.iter().find(|n| n.name == "conv").unwrap();
        let Op::Conv { precision, .. } = conv.op else { panic!("a convolution") };
        assert_eq!(precision, expected);
        let len = 3 * side * side;
        for pixels in [noise(Shape { h: side, w: side, c: 3 }, 9), vec![255; len], vec![0; len]] {
            agree(&lowered, &pixels);
        }
    }
}

fn proven(trained: &Trained, lowered: &Lowered, data: &Arc<Dataset>) -> Result<Proof, Error> {
    let zero: Vec<f32> = trained.zero.iter().map(|z| f32::from(*z)).collect();
    let scale = vec![INPUT_SCALE; zero.len()];
    let binarizer = PlainSte::default();
    let material = Material {
        train: data,
        test: data,
        fit: input_fit(&trained.graph),
        preprocess: Preprocess::new(zero, scale).unwrap(),
        binarizer: &binarizer,
        teacher: None,
    };
    let file = FileBuffer::new(&bitat_format::write(&lowered.model).unwrap());
    let mut graph = trained.graph.clone();
    prove(&file, lowered, &mut graph, &material, &quiet(&Stop::new()))
}

fn trained_v1() -> Trained {
    let float = mobilenet_v1(&mobilenet(SIDE, SIDE, 1)).unwrap();
    Trained::rewritten(&float, &options(Depthwise::Int8, &[]), 4)
}

/// Images like those that the ranges of [`Trained`] come from, so that next to no
/// sum saturates.
fn noisy(count: u64) -> Arc<Dataset> {
    let shape = Shape { h: SIDE, w: SIDE, c: 1 };
    let pixels = (0..count).flat_map(|image| noise(shape, 6000 + image)).collect();
    let labels = (0..count).map(|image| image as u32 % CLASSES as u32).collect();
    let names = (0..CLASSES).map(|class| class.to_string()).collect();
    Arc::new(Dataset::from_memory(pixels, [SIDE, SIDE, 1], labels, names))
}

#[test]
fn the_proof_says_what_the_trainer_and_the_simulation_make_of_the_images() {
    let (trained, data) = (trained_v1(), noisy(70));
    let proof = proven(&trained, &trained.lowered(), &data).unwrap();
    assert_eq!(proof.packed.best, proof.trained.best);
    assert_eq!(proof.packed.images(), 70);
    assert!(proof.packed.agreeing(&proof.simulated) > 40, "of 70");
}

/// A projection whose shortcut starts before the block reads signs of values that
/// no tensor holds; wide ranges make their unit coarse, so that roundings decide
/// some of them.
#[test]
fn signs_of_values_that_are_not_written_are_open_within_their_roundings() {
    let float = mobilenet_v2(&mobilenet(SIDE, SIDE, 1)).unwrap();
    let mut trained = Trained::rewritten(&float, &options(Depthwise::Int8, &[]), 4);
    for range in trained.ranges.iter_mut().flatten() {
        *range *= 64.0;
    }
    let lowered = trained.lowered();
    proven(&trained, &lowered, &noisy(70)).unwrap();
}

#[test]
fn a_deployed_network_with_one_wrong_number_is_refused() {
    let (trained, data) = (trained_v1(), noisy(70));
    let change = |name: &str, by: f32| {
        let mut lowered = trained.lowered();
        let params = &mut lowered.deployed.graph.params;
        let param = params.iter_mut().filter(|p| p.name.ends_with(name)).nth(2).unwrap();
        for v in &mut param.data {
            *v = if *v > 32000.0 - by { *v - by } else { *v + by };
        }
        match proven(&trained, &lowered, &data) {
            Err(error) => error.to_string(),
            Ok(_) => panic!("{name} changed by {by}"),
        }
    };
    for (name, by) in [(".multiplier", 300.0), (".bias", 1.0), (".slope", 3000.0)] {
        let error = change(name, by);
        assert!(error.contains("the trainer's engine and the oracle differ"), "{error}");
        assert!(error.contains("nothing was written"), "{error}");
    }
    change(".threshold", 40.0);
    change(".weights", 1.0);
}

/// What the first images do not show, the scores of the others do.
#[test]
fn a_file_that_is_off_by_one_on_some_images_is_refused() {
    let (trained, data) = (trained_v1(), noisy(70));
    let mut lowered = trained.lowered();
    let largest = |image: usize| {
        let mut pixels = vec![0; SIDE * SIDE];
        data.read(image, &input_fit(&trained.graph), &mut pixels).unwrap();
        let trace = bitat_reference::run(&lowered.model, &pixels).unwrap();
        trace.scores().iter().copied().max().unwrap()
    };
    let scores: Vec<i32> = (0..70).map(largest).collect();
    let late = (0..70).max_by_key(|&i| scores[i]).unwrap();
    assert!(late >= 4, "the first images are compared tensor by tensor");
    // The trainer's scores end just below that image's largest.
    let hi = (scores[late] - 1) as f32;
    let graph = &mut lowered.deployed.graph;
    let clip = Op::Clip { lo: f32::MIN, hi };
    graph.output = graph.push("wrong", clip, &[graph.output], None).unwrap();
    let error = match proven(&trained, &lowered, &data) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("a wrong score passed"),
    };
    let expected = format!("the score {}, the trainer {hi}", scores[late]);
    assert!(error.contains("test image ") && error.contains(&expected), "{error}");
}
