//! The proof that a packed file does what was trained, in four steps.
//!
//! 1. **Runtime = oracle.** On a few images every tensor of every layer is
//!    compared with the oracle on every instruction set there is. These are
//!    integers: one that differs is a fault of the runtime. So it is with the
//!    network by rows, as a device runs it, whose tensors are compared where all
//!    their rows exist.
//! 2. **Layer = layer.** On an image every packed layer is compared with the
//!    trained one, each given the *packed* network's inputs, so that nothing
//!    adds up: a stream may differ by the roundings of its epilogue and no
//!    more, a sign only where the float value lies on its threshold, or as near
//!    it as those roundings where the values themselves are not written. So the
//!    integers mean what was trained.
//! 3. **Runtime = trainer.** All test images go through the file, layer by layer
//!    and by rows, and, as the deployed network (see [`crate::lower::Deployed`]),
//!    through the trainer's engine, which shares no code with runtime, kernels and
//!    oracle. Every score of every image is the same integer, or there is no file.
//! 4. **Network ≈ simulation.** All test images go through the network in the
//!    floats it was trained in. Those know nothing of the roundings to fixed
//!    point: where a value lies near a threshold the two may part, and a bit
//!    that flips may flip others, so some images change class; the accuracy
//!    may move by no more than such changes explain.

use std::collections::HashMap;

use bitat_data::Preprocess;
use bitat_engine::{Mode, Net, Purpose};
use bitat_format::model::{Epilogue, Operation};
use bitat_format::{FileBuffer, Kind};
use bitat_graph::{Graph, NodeId, Op, evaluate_watched};
use bitat_kernels::Kernels;
use bitat_reference::{Trace, Values as Expected};
use bitat_runtime::Values;
use rayon::prelude::*;

use crate::Error;
use crate::learn::evaluate::{Scores, evaluate, in_order};
use crate::learn::fit::{Material, Surroundings};
use crate::lower::Lowered;
use crate::packed::{Packed, Runner, available};

/// Images that go through the runtime and the trainer's engine at a time.
const BATCH: usize = 32;
/// Images compared with the oracle, tensor by tensor.
const ORACLE_IMAGES: usize = 4;
/// Most units by which the roundings of one epilogue can move a stream: half a
/// unit each for product, bias, multiplier, shortcut, and the PReLU's three
/// parameters and product.
const UNITS: f64 = 4.0;
/// Part of a layer's values that may differ by more: sums that saturate.
const SATURATED: f64 = 1e-3;
/// How near its threshold a value is when floats and integers may disagree on
/// its sign, relative to the layer's largest value.
const ON_THRESHOLD: f64 = 1e-5;

/// What was proven.
pub struct Proof {
    /// The packed file on the test images, through the runtime.
    pub packed: Scores,
    /// The deployed network on the same images, through the trainer's engine:
    /// every score the packed file's.
    pub trained: Scores,
    /// The network in the floats it was trained in, on the same images.
    pub simulated: Scores,
    /// Images compared with the oracle, tensor by tensor, on each of `isas`.
    pub oracle_images: usize,
    /// The instruction sets compared.
    pub isas: Vec<&'static str>,
    /// Largest difference between a packed and a trained layer, in units of the stream.
    pub worst_units: f64,
    /// Bytes of arena on a device: by rows.
    pub arena_bytes: usize,
    /// Bytes of arena with which every layer runs whole.
    pub whole_arena_bytes: usize,
}

/// Proves `file`, which `lowered` was written to.
///
/// # Errors
/// If the file does not do what was trained: where they part, and by how much.
pub fn prove(
    file: &FileBuffer,
    lowered: &Lowered,
    graph: &mut Graph,
    material: &Material,
    surroundings: &Surroundings,
) -> Result<Proof, Error> {
    let packed = Packed::new(file.clone(), "the packed network".as_ref())?;
    let kernels = available();
    let mut pixels = vec![0; material.fit.bytes()];
    let mut worst_units = 0.0f64;
    let oracle_images = material.test.len().min(ORACLE_IMAGES);
    for image in 0..oracle_images {
        material.test.read(image, &material.fit, &mut pixels)?;
        let trace = bitat_reference::run(&lowered.model, &pixels)
            .map_err(|e| Error::model(format!("the oracle refuses the network: {e}")))?;
        for &set in &kernels {
            against_oracle(&mut packed.runner(set)?, lowered, &trace, &pixels)?;
            against_oracle(&mut packed.runner_by_rows(set)?, lowered, &trace, &pixels)?;
        }
        against_trainer(lowered, material, &trace, &pixels)?;
        if image == 0 {
            worst_units = layer_by_layer(lowered, graph, material, &trace, &pixels)?;
        }
    }

    let total = material.test.len() as u64;
    let mut bar = surroundings.console.progress("proof", "images", 0, 2 * total);
    let [scored, trained] = score_by_score(&packed, lowered, material, |done| {
        bar.set(done as u64, "");
        !surroundings.stop.requested()
    })?;
    let simulated = evaluate(
        graph,
        material.binarizer,
        material.test,
        material.fit,
        &material.preprocess,
        usize::MAX,
        |done| {
            bar.set(total + done as u64, "");
            !surroundings.stop.requested()
        },
    )?;
    bar.finish("");
    compare(&scored, &simulated)?;
    Ok(Proof {
        packed: scored,
        trained,
        simulated,
        oracle_images,
        isas: kernels.iter().map(|k| k.isa().name()).collect(),
        worst_units,
        arena_bytes: packed.arena_bytes(),
        whole_arena_bytes: packed.whole_arena_bytes(),
    })
}

/// Compares every tensor that the trainer's engine makes of an image with the oracle's.
fn against_trainer(
    lowered: &Lowered,
    material: &Material,
    trace: &Trace,
    pixels: &[u8],
) -> Result<(), Error> {
    let mut image = vec![0.0; pixels.len()];
    centred(lowered)?.apply(pixels, &mut image);
    let nodes = &lowered.deployed.nodes;
    let mut deployed = lowered.deployed.graph.clone();
    let mut net = Net::new(&deployed, 1, Purpose::Eval, nodes)?;
    net.forward(&mut deployed, material.binarizer, &image, 1, Mode::Eval);
    for (tensor, &node) in nodes.iter().enumerate().skip(1) {
        let found = net.activation(node);
        let same = match trace.tensor(tensor as u16) {
            Some(Expected::Stream(expected)) => integers_equal(expected, found),
            Some(Expected::Bits(expected)) => integers_equal(expected, found),
            Some(Expected::Scores(expected)) => integers_equal(expected, found),
            _ => false,
        };
        if !same {
            return Err(Error::model(format!(
                "node '{}': the trainer's engine and the oracle differ; this is a fault of the \
                 lowering, please report it; nothing was written",
                deployed.nodes[node].name,
            )));
        }
    }
    Ok(())
}

fn integers_equal<T: Copy + Into<f64>>(expected: &[T], found: &[f32]) -> bool {
    let same = |(e, f): (&T, &f32)| (*e).into() == f64::from(*f);
    expected.len() == found.len() && expected.iter().zip(found).all(same)
}

/// What the deployed network reads: pixels less the network's zero.
fn centred(lowered: &Lowered) -> Result<Preprocess, Error> {
    let zero: Vec<f32> = lowered.model.input.zero.iter().map(|z| f32::from(*z)).collect();
    let one = vec![1.0; zero.len()];
    Ok(Preprocess::new(zero, one)?)
}

/// Scores all test images with the file and with the trainer's engine; `each` is
/// told how many are done and may stop.
///
/// # Errors
/// The first image of which a score differs, between the runs of the packed network
/// or from the trainer's.
fn score_by_score(
    packed: &Packed,
    lowered: &Lowered,
    material: &Material,
    mut each: impl FnMut(usize) -> bool,
) -> Result<[Scores; 2], Error> {
    let mut deployed = lowered.deployed.graph.clone();
    let mut net = Net::new(&deployed, BATCH, Purpose::Eval, &[])?;
    let kernels = Kernels::best();
    let runners = (0..rayon::current_num_threads())
        .map(|_| Ok([packed.runner(kernels)?, packed.runner_by_rows(kernels)?]));
    let mut runners = runners.collect::<Result<Vec<[Runner; 2]>, Error>>()?;
    let classes = packed.view().class_count();
    let mut found = vec![0; BATCH * classes];
    let mut scores = [Scores::new(classes), Scores::new(classes)];
    for batch in in_order(material.test, material.fit, &centred(lowered)?, BATCH)? {
        let batch = batch?;
        let first = scores[0].images();
        let found = &mut found[..batch.len() * classes];
        run_all(&mut runners, material, first, classes, found)?;
        let binarizer = material.binarizer;
        let trained = net.forward(&mut deployed, binarizer, &batch.inputs, batch.len(), Mode::Eval);
        let rows = found.chunks(classes).zip(trained.chunks(classes)).zip(&batch.labels);
        for (i, ((found, trained), &label)) in rows.enumerate() {
            if !integers_equal(found, trained) {
                let differs = |(f, t): (&i32, &f32)| f64::from(*f) != f64::from(*t);
                let class = found.iter().zip(trained).position(differs).unwrap_or_default();
                return Err(Error::model(format!(
                    "test image {}: the packed network gives class {class} the score {}, the \
                     trainer {}; this is a fault of the lowering or the runtime, please report \
                     it; nothing was written",
                    first + i,
                    found[class],
                    trained[class],
                )));
            }
            scores[0].push(label, found);
            scores[1].push(label, trained);
        }
        if !each(scores[0].images()) {
            return Err(Error::interrupted("stopped; nothing was written"));
        }
    }
    Ok(scores)
}

/// The packed network's scores of the test images from `first` on, a row of
/// `classes` each, by two runners that must agree; every pair takes its share.
fn run_all(
    runners: &mut [[Runner; 2]],
    material: &Material,
    first: usize,
    classes: usize,
    scores: &mut [i32],
) -> Result<(), Error> {
    let share = (scores.len() / classes).div_ceil(runners.len());
    let parts = runners.par_iter_mut().zip(scores.par_chunks_mut(share * classes)).enumerate();
    parts.try_for_each(|(part, ([whole, by_rows], scores))| {
        let mut pixels = vec![0; material.fit.bytes()];
        for (i, row) in scores.chunks_mut(classes).enumerate() {
            let image = first + part * share + i;
            material.test.read(image, &material.fit, &mut pixels)?;
            row.copy_from_slice(whole.run(&pixels)?);
            agree(image, row, by_rows.run(&pixels)?)?;
        }
        Ok(())
    })
}

/// Refuses scores by rows that are not those layer by layer.
fn agree(image: usize, whole: &[i32], by_rows: &[i32]) -> Result<(), Error> {
    match whole.iter().zip(by_rows).position(|(w, r)| w != r) {
        None => Ok(()),
        Some(class) => Err(Error::model(format!(
            "test image {image}: the packed network gives class {class} the score {} layer by \
             layer and {} by rows; this is a fault of the runtime, please report it; nothing was \
             written",
            whole[class], by_rows[class],
        ))),
    }
}

/// Refuses roundings that move the accuracy by more than the images that
/// change class explain.
///
/// Of `c` changed images each gains or loses a right answer about evenly, so
/// the number of right ones moves by about `√c`; three times that, and one
/// percent, are let pass. How many may change is not bounded: a network of a
/// few training steps decides by margins of nothing (one of 100 steps changed
/// 14 % of its classes, one of 7,488 steps 3 %).
fn compare(packed: &Scores, simulated: &Scores) -> Result<(), Error> {
    let images = packed.images();
    let changed = images - packed.agreeing(simulated);
    let right = |s: &Scores| s.top(1) * images as f64 / 100.0;
    let moved = (right(packed) - right(simulated)).abs();
    if moved <= 3.0 * (changed as f64).sqrt() + 0.01 * images as f64 {
        return Ok(());
    }
    Err(Error::model(format!(
        "the packed network is not the trained one: its roundings change {changed} of {images} \
         predictions ({:.2} % right packed, {:.2} % in the trainer's floats); nothing was written",
        packed.top(1),
        simulated.top(1)
    )))
}

/// Compares every tensor that the runner shows with the oracle's.
///
/// # Errors
/// The first layer that differs.
pub(crate) fn against_oracle(
    runner: &mut Runner,
    lowered: &Lowered,
    trace: &Trace,
    pixels: &[u8],
) -> Result<(), Error> {
    let mut differs = None;
    runner.run_with(pixels, |step| {
        let same = |(id, values): &(u16, Values)| equal(lowered, trace, *id, values);
        if differs.is_none() && !step.outputs.iter().all(same) {
            differs = Some(step.layer);
        }
    })?;
    match differs {
        None => Ok(()),
        Some(layer) => Err(Error::model(format!(
            "layer '{}': the {} kernels and the oracle differ; this is a fault of the runtime, \
             please report it; nothing was written",
            lowered.model.layers[layer].name,
            runner.kernels().isa(),
        ))),
    }
}

/// True if the runtime's `values` of a tensor are the oracle's.
fn equal(lowered: &Lowered, trace: &Trace, tensor: u16, values: &Values) -> bool {
    match (trace.tensor(tensor), values) {
        (Some(Expected::Stream(expected)), Values::Stream(found)) => expected == found,
        (Some(Expected::Scores(expected)), Values::Scores(found)) => expected == found,
        (Some(Expected::Bits(expected)), Values::Bits(found)) => {
            let shape = lowered.model.tensors[usize::from(tensor)];
            let (channels, stride) = (usize::from(shape.channels), shape.pixel_bytes());
            expected.iter().enumerate().all(|(i, &sign)| {
                let (pixel, channel) = (i / channels, i % channels);
                let bit = found[pixel * stride + channel / 8] >> (channel % 8) & 1;
                (bit == 1) == (sign < 0)
            })
        }
        _ => false,
    }
}

/// Compares every packed layer with the trained one on the packed network's
/// own inputs; returns the largest difference of a stream in its units.
fn layer_by_layer(
    lowered: &Lowered,
    graph: &Graph,
    material: &Material,
    trace: &Trace,
    pixels: &[u8],
) -> Result<f64, Error> {
    let tensors: HashMap<NodeId, usize> =
        lowered.nodes.iter().enumerate().skip(1).map(|(tensor, &node)| (node, tensor)).collect();
    let mut inputs = vec![0.0; pixels.len()];
    material.preprocess.apply(pixels, &mut inputs);
    let binarize = |node, latent: &[f32], _| {
        let mut out = vec![0.0; latent.len()];
        material.binarizer.forward(graph, node, latent, &mut out);
        out
    };
    let mut worst = 0.0f64;
    let mut fault = None;
    // What later nodes read: the packed network's values where it has them.
    let mut seen: HashMap<NodeId, Vec<f32>> = HashMap::new();
    evaluate_watched(graph, &inputs, binarize, |node, value| {
        let Some(&tensor) = tensors.get(&node) else {
            seen.insert(node, value.clone());
            return;
        };
        let wrong = match trace.tensor(tensor as u16) {
            Some(Expected::Stream(stream)) => {
                let unit = f64::from(-lowered.model.tensors[tensor].frac).exp2();
                let most = UNITS + shortcut_units(lowered, tensor);
                let wrong = differing(value, stream, unit, most, &mut worst);
                for (v, s) in value.iter_mut().zip(stream) {
                    *v = (f64::from(*s) * unit) as f32;
                }
                wrong
            }
            Some(Expected::Bits(signs)) => {
                let wrong = flipped(graph, node, signs, &seen, unseen_units(lowered, tensor));
                for (v, s) in value.iter_mut().zip(signs) {
                    *v = f32::from(*s);
                }
                wrong
            }
            Some(Expected::Scores(scores)) => {
                let unit = f64::from(lowered.model.score_scale);
                let largest = scores.iter().map(|s| s.unsigned_abs()).max().unwrap_or(0);
                // The bias is rounded; floats add the rest.
                let allowed = 1.0 + f64::from(largest) * 1e-5;
                let far = |(v, s): &(&f32, &i32)| {
                    (f64::from(**v) / unit - f64::from(**s)).abs() > allowed
                };
                value.iter().zip(scores).filter(far).count()
            }
            _ => value.len(),
        };
        seen.insert(node, value.clone());
        if fault.is_none() && wrong as f64 > SATURATED * value.len() as f64 {
            fault = Some((node, tensor, wrong, value.len()));
        }
    });
    match fault {
        None => Ok(worst),
        Some((node, tensor, wrong, of)) => Err(Error::model(format!(
            "node '{}': {wrong} of {of} {} of its packed layer differ from the trained one's; \
             this is a fault of the lowering, please report it; nothing was written",
            graph.nodes[node].name,
            match lowered.model.tensors[tensor].kind {
                Kind::Bits => "signs",
                Kind::Scores => "scores",
                _ => "values",
            }
        ))),
    }
}

/// The epilogue of the layer that writes `tensor` and computes 16-bit values
/// for it, if there is one.
fn epilogue_of(lowered: &Lowered, tensor: usize) -> Option<&Epilogue> {
    let mut epilogues = lowered.model.layers.iter().filter_map(|layer| match &layer.operation {
        Operation::Int8Conv { epilogue, .. }
        | Operation::Int8Depthwise { epilogue, .. }
        | Operation::BinaryConv { epilogue, .. }
        | Operation::BinaryDepthwise { epilogue, .. } => Some(epilogue),
        Operation::GlobalAveragePool { .. } => None,
    });
    let is = |id: u16| usize::from(id) == tensor;
    epilogues.find(|epilogue| match epilogue {
        Epilogue::Stream { stream, sign, .. } => {
            stream.is_some_and(is) || sign.as_ref().is_some_and(|s| is(s.bits))
        }
        _ => false,
    })
}

/// What the shortcut of the layer that writes `tensor` adds to [`UNITS`]: half
/// a unit of a coarser source stream, where its mean is rounded in those units.
fn shortcut_units(lowered: &Lowered, tensor: usize) -> f64 {
    match epilogue_of(lowered, tensor) {
        Some(Epilogue::Stream { shortcut: Some(s), .. }) => 0.5 * f64::from(s.shift.max(0)).exp2(),
        _ => 0.0,
    }
}

/// By how much the values whose signs `tensor` holds may differ from the trained
/// layer's: the roundings of an epilogue that writes their signs alone. Where it
/// writes the values too, those are what the trained signs are taken of.
fn unseen_units(lowered: &Lowered, tensor: usize) -> f64 {
    match (epilogue_of(lowered, tensor), lowered.sums[tensor]) {
        (Some(Epilogue::Stream { stream: None, .. }), Some(frac)) => {
            (UNITS + shortcut_units(lowered, tensor)) * f64::from(-frac).exp2()
        }
        _ => 0.0,
    }
}

/// Counts the values of a stream that differ by more than its epilogue's roundings.
fn differing(trained: &[f32], stream: &[i16], unit: f64, most: f64, worst: &mut f64) -> usize {
    let mut wrong = 0;
    for (v, s) in trained.iter().zip(stream) {
        let units = (f64::from(*v) / unit - f64::from(*s)).abs();
        if units > most {
            wrong += 1;
        } else {
            *worst = worst.max(units);
        }
    }
    wrong
}

/// Counts the signs that differ although the value is not within `rounding` of
/// its threshold.
fn flipped(
    graph: &Graph,
    sign: NodeId,
    signs: &[i8],
    seen: &HashMap<NodeId, Vec<f32>>,
    rounding: f64,
) -> usize {
    let (Op::Sign { threshold }, Some(values)) =
        (&graph.nodes[sign].op, seen.get(&graph.nodes[sign].inputs[0]))
    else {
        return signs.len();
    };
    let thresholds = &graph.params[*threshold].data;
    let near = near_threshold(graph, graph.nodes[sign].inputs[0], seen);
    values
        .iter()
        .zip(signs)
        .enumerate()
        .filter(|(i, (v, s))| {
            let c = i % thresholds.len();
            let above = f64::from(**v) - f64::from(thresholds[c]);
            (above < 0.0) != (**s < 0) && above.abs() > near[c] + rounding
        })
        .count()
}

/// Per channel, how near its threshold a value's sign is open: a part of the
/// largest value, and what a batch norm makes of the last bits of its input.
fn near_threshold(graph: &Graph, node: NodeId, values: &HashMap<NodeId, Vec<f32>>) -> Vec<f64> {
    let largest = |id: NodeId| {
        let values = values.get(&id).map_or(&[][..], Vec::as_slice);
        values.iter().fold(0.0, |m: f64, v| m.max(f64::from(v.abs())))
    };
    let base = largest(node) * ON_THRESHOLD;
    let channels = graph.nodes[node].shape.c;
    let Op::BatchNorm { gamma, mean, var, eps, .. } = graph.nodes[node].op else {
        return vec![base; channels];
    };
    let input = largest(graph.nodes[node].inputs[0]);
    let param = |p: usize, c: usize| f64::from(graph.params[p].data[c]);
    (0..channels)
        .map(|c| {
            let gain = param(gamma, c).abs() / (param(var, c) + f64::from(eps)).sqrt();
            base + 4.0 * f64::from(f32::EPSILON) * gain * (input + param(mean, c).abs())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values written beside their signs leave none open; of unwritten ones the
    /// roundings of the epilogue do.
    #[test]
    fn a_sign_is_open_within_the_roundings_before_it() {
        let mut graph = Graph::default();
        let shape = bitat_graph::Shape { h: 1, w: 3, c: 1 };
        let x = graph.push("x", Op::Input, &[], Some(shape)).unwrap();
        let threshold = graph.param("t", &[1], vec![0.5], bitat_graph::Role::Statistic);
        let sign = graph.push("sign", Op::Sign { threshold }, &[x], None).unwrap();
        let seen = HashMap::from([(x, vec![0.49, 0.52, 0.9])]);
        let open = |signs: [i8; 3], rounding| flipped(&graph, sign, &signs, &seen, rounding);
        assert_eq!(open([-1, 1, 1], 0.0), 0);
        assert_eq!(open([1, -1, 1], 0.0), 2);
        assert_eq!(open([1, -1, 1], 0.015), 1);
        assert_eq!(open([1, -1, -1], 0.03), 1);
    }

    /// Two classes, all images of the first.
    fn scores(predictions: impl Iterator<Item = usize>) -> Scores {
        let mut scores = Scores::new(2);
        for class in predictions {
            scores.push(0, if class == 0 { &[1, 0] } else { &[0, 1] });
        }
        scores
    }

    fn judged(packed: [usize; 2], simulated: [usize; 2]) -> Result<(), Error> {
        let made = |[right, wrong]: [usize; 2]| {
            scores(std::iter::repeat_n(0, right).chain(std::iter::repeat_n(1, wrong)))
        };
        compare(&made(packed), &made(simulated))
    }

    #[test]
    fn a_score_that_is_another_by_rows_is_refused_and_named() {
        assert!(agree(7, &[3, -4], &[3, -4]).is_ok());
        let error = agree(7, &[3, -4], &[3, -5]).unwrap_err().to_string();
        assert!(error.contains("test image 7") && error.contains("class 1"), "{error}");
    }

    #[test]
    fn an_accuracy_that_fell_is_refused_and_one_that_wavered_is_not() {
        assert!(judged([900, 100], [900, 100]).is_ok());
        assert!(judged([890, 110], [900, 100]).is_ok());
        let error = judged([700, 300], [900, 100]).unwrap_err().to_string();
        assert!(error.contains("change 200 of 1000 predictions"), "{error}");
        assert!(judged([1000, 0], [900, 100]).is_err(), "better is different too");
    }
}
