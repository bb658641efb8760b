//! A network with what the oracle makes of it, and the comparison.

use bitat_format::FileBuffer;
use bitat_format::model::{Model, Operation};
use bitat_reference::{Trace, Values as Expected};
use bitat_runtime::{Step, Values};

use super::generate;
use super::random::Random;

/// What an arena is filled with before a run.
pub(crate) const GARBAGE: u8 = 0xA5;
/// Bytes behind the arena, which stay as they are.
pub(crate) const GUARD: usize = 64;

/// A model, its file, two images and what the oracle makes of them.
pub(crate) struct Case {
    pub(crate) model: Model,
    pub(crate) file: FileBuffer,
    pub(crate) runs: Vec<(Vec<u8>, Trace)>,
}

impl Case {
    pub(crate) fn new(model: Model, seed: u64) -> Case {
        let mut random = Random(!seed);
        let file = super::file(&model);
        let runs = (0..2)
            .map(|_| {
                let image = generate::image(&model, &mut random);
                let trace = bitat_reference::run(&model, &image)
                    .unwrap_or_else(|e| panic!("{}: the oracle refuses: {e}", model.name));
                (image, trace)
            })
            .collect();
        Case { model, file, runs }
    }
}

/// Fails unless what a layer wrote is what the oracle says.
pub(crate) fn compare(model: &Model, trace: &Trace, step: Step<'_>, whose: &str) {
    for &(id, values) in step.outputs {
        let place = format!("{whose}: layer {}, tensor {id}", step.layer);
        let equal = match (trace.tensor(id).expect("a tensor of the trace"), values) {
            (Expected::Stream(expected), Values::Stream(found)) => {
                first_difference(expected, found)
            }
            (Expected::Scores(expected), Values::Scores(found)) => {
                first_difference(expected, found)
            }
            (Expected::Bits(expected), Values::Bits(found)) => {
                let channels = model.tensors[usize::from(id)].channels.into();
                first_difference(expected, &unpack(found, channels, &place))
            }
            (_, found) => panic!("{place}: another kind: {found:?}"),
        };
        if let Err((i, what)) = equal {
            let operation = &model.layers[step.layer].operation;
            let shape = model.tensors[usize::from(id)];
            panic!("{place}: element {i} of {shape:?}: {what}\n{}", short(operation));
        }
    }
}

fn first_difference<T: PartialEq + std::fmt::Debug>(
    expected: &[T],
    found: &[T],
) -> Result<(), (usize, String)> {
    if expected.len() != found.len() {
        return Err((0, format!("{} elements instead of {}", found.len(), expected.len())));
    }
    match expected.iter().zip(found).position(|(e, f)| e != f) {
        Some(i) => Err((i, format!("{:?} instead of {:?}", found[i], expected[i]))),
        None => Ok(()),
    }
}

/// Bits to ±1, written here anew so that it shares no mistake with the packing.
fn unpack(bytes: &[u8], channels: usize, place: &str) -> Vec<i8> {
    let pixel = channels.div_ceil(64) * 8;
    let mut values = vec![];
    for pixel in bytes.chunks(pixel) {
        for c in 0..pixel.len() * 8 {
            let negative = pixel[c / 8] >> (c % 8) & 1 == 1;
            if c < channels {
                values.push(if negative { -1 } else { 1 });
            } else {
                assert!(!negative, "{place}: tail bit {c} of {channels} channels is set");
            }
        }
    }
    values
}

/// The geometry of an operation; its weights would fill the screen.
fn short(operation: &Operation) -> String {
    let text = format!("{operation:?}");
    text.split('[').next().unwrap_or_default().to_owned()
}
