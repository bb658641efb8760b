//! The proof that a packed file does what was trained, in three steps.
//!
//! 1. **Runtime = oracle.** On a few images every tensor of every layer is
//!    compared with the oracle on every instruction set there is. These are
//!    integers: one that differs is a fault of the runtime.
//! 2. **Layer = layer.** On an image every packed layer is compared with the
//!    trained one, each given the *packed* network's inputs, so that nothing
//!    adds up: a stream may differ by the roundings of its epilogue and no
//!    more, a sign only where the float value lies on its threshold.
//! 3. **Network ≈ network.** All test images go through both. Where a value
//!    lies near a threshold the two may part, and a bit that flips may flip
//!    others, so some images change class; the accuracy may move by no more
//!    than such changes explain.

use std::collections::HashMap;

use bitat_format::model::{Epilogue, Operation};
use bitat_format::{FileBuffer, Kind};

use bitat_graph::{Graph, NodeId, Op, evaluate_watched};
use bitat_kernels::Kernels;
use bitat_reference::{Trace, Values as Expected};
use bitat_runtime::Values;

use crate::Error;
use crate::learn::evaluate::{Scores, evaluate};
use crate::learn::fit::{Material, Surroundings};
use crate::lower::Lowered;
use crate::packed::{Packed, available};

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
    /// The trained network on the same images, in the trainer's floats.
    pub trained: Scores,
    /// Images that both put into the same class.
    pub same: usize,
    /// Images compared with the oracle, tensor by tensor, on each of `isas`.
    pub oracle_images: usize,
    /// The instruction sets compared.
    pub isas: Vec<&'static str>,
    /// Largest difference between a packed and a trained layer, in units of the stream.
    pub worst_units: f64,
    /// Bytes of arena.
    pub arena_bytes: usize,
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
            against_oracle(&packed, lowered, &trace, &pixels, set)?;
        }
        if image == 0 {
            worst_units = layer_by_layer(lowered, graph, material, &trace, &pixels)?;
        }
    }

    let total = material.test.len() as u64;
    let mut bar = surroundings.console.progress("proof", "images", 0, 2 * total);
    let scored = packed.score(material.test, Kernels::best(), |done| {
        bar.set(done as u64, "");
        !surroundings.stop.requested()
    })?;
    let trained = evaluate(
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
    let same = scored.predictions().zip(trained.predictions()).filter(|(a, b)| a == b).count();
    compare(&scored, &trained, same)?;
    Ok(Proof {
        packed: scored,
        trained,
        same,
        oracle_images,
        isas: kernels.iter().map(|k| k.isa().name()).collect(),
        worst_units,
        arena_bytes: packed.arena_bytes(),
    })
}

/// Refuses two sets of predictions whose accuracies differ by more than
/// rounding explains.
///
/// Of `c` changed images each gains or loses a right answer about evenly, so
/// the number of right ones moves by about `√c`; three times that, and one
/// percent, are let pass. How many may change is not bounded: a network of a
/// few training steps decides by margins of nothing (one of 100 steps changed
/// 14 % of its classes, one of 7,488 steps 3 %), and what a fault in a single
/// layer does was judged before, layer by layer.
fn compare(packed: &Scores, trained: &Scores, same: usize) -> Result<(), Error> {
    let images = packed.images();
    let changed = images - same;
    let right = |s: &Scores| s.top(1) * images as f64 / 100.0;
    let moved = (right(packed) - right(trained)).abs();
    if moved <= 3.0 * (changed as f64).sqrt() + 0.01 * images as f64 {
        return Ok(());
    }
    Err(Error::model(format!(
        "the packed network is not the trained one: {changed} of {images} predictions differ \
         ({:.2} % right packed, {:.2} % trained); nothing was written",
        packed.top(1),
        trained.top(1)
    )))
}

/// Compares every tensor with the oracle's.
fn against_oracle(
    packed: &Packed,
    lowered: &Lowered,
    trace: &Trace,
    pixels: &[u8],
    kernels: Kernels,
) -> Result<(), Error> {
    let mut differs = None;
    packed.runner(kernels)?.run_with(pixels, |step| {
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
            packed.view().layer(layer).name,
            kernels.isa(),
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
                let most = UNITS + shortcut_units(lowered, tensor as u16);
                let wrong = differing(value, stream, unit, most, &mut worst);
                for (v, s) in value.iter_mut().zip(stream) {
                    *v = (f64::from(*s) * unit) as f32;
                }
                wrong
            }
            Some(Expected::Bits(signs)) => {
                let wrong = flipped(graph, node, signs, &seen);
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

/// What the shortcut of the layer that writes `tensor` adds to [`UNITS`]: half
/// a unit of a coarser source stream, where its mean is rounded in those units.
fn shortcut_units(lowered: &Lowered, tensor: u16) -> f64 {
    let shortcut = lowered.model.layers.iter().find_map(|layer| match &layer.operation {
        Operation::Int8Conv { epilogue, .. }
        | Operation::Int8Depthwise { epilogue, .. }
        | Operation::BinaryConv { epilogue, .. }
        | Operation::BinaryDepthwise { epilogue, .. } => match epilogue {
            Epilogue::Stream { shortcut, stream, .. } if *stream == Some(tensor) => *shortcut,
            _ => None,
        },
        Operation::GlobalAveragePool { .. } => None,
    });
    shortcut.map_or(0.0, |s| 0.5 * f64::from(s.shift.max(0)).exp2())
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

/// Counts the signs that differ although the value is not on its threshold.
fn flipped(graph: &Graph, sign: NodeId, signs: &[i8], seen: &HashMap<NodeId, Vec<f32>>) -> usize {
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
            (above < 0.0) != (**s < 0) && above.abs() > near[c]
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

    /// Two classes, all images of the first.
    fn scores(predictions: impl Iterator<Item = usize>) -> Scores {
        let mut scores = Scores::new(2);
        for class in predictions {
            scores.push(0, if class == 0 { &[1, 0] } else { &[0, 1] });
        }
        scores
    }

    fn judged(packed: [usize; 2], trained: [usize; 2]) -> Result<(), Error> {
        let made = |[right, wrong]: [usize; 2]| {
            scores(std::iter::repeat_n(0, right).chain(std::iter::repeat_n(1, wrong)))
        };
        let (packed, trained) = (made(packed), made(trained));
        let same = packed.predictions().zip(trained.predictions()).filter(|(a, b)| a == b).count();
        compare(&packed, &trained, same)
    }

    #[test]
    fn an_accuracy_that_fell_is_refused_and_one_that_wavered_is_not() {
        assert!(judged([900, 100], [900, 100]).is_ok());
        assert!(judged([890, 110], [900, 100]).is_ok());
        let error = judged([700, 300], [900, 100]).unwrap_err().to_string();
        assert!(error.contains("200 of 1000 predictions differ"), "{error}");
        assert!(judged([1000, 0], [900, 100]).is_err(), "better is different too");
    }
}
