//! Models that cannot be written: the error, and the layer it names.

mod common;

use bitat_format::model::{Epilogue, Layer, Model, Operation};
use bitat_format::{ErrorKind as K, Fault, FileBuffer, Kind, Tensor, View, limits, write};
use common::{bare, everything};

type Break = fn(&mut Model);

fn stream(model: &mut Model, layer: usize) -> &mut Epilogue {
    match &mut model.layers[layer].operation {
        Operation::Int8Conv { epilogue, .. }
        | Operation::Int8Depthwise { epilogue, .. }
        | Operation::BinaryConv { epilogue, .. }
        | Operation::BinaryDepthwise { epilogue, .. } => epilogue,
        Operation::GlobalAveragePool { .. } => panic!("the pool has no epilogue"),
    }
}

fn weights(layer: &mut Layer) -> &mut Vec<i8> {
    match &mut layer.operation {
        Operation::Int8Conv { weights, .. }
        | Operation::Int8Depthwise { weights, .. }
        | Operation::BinaryConv { weights, .. }
        | Operation::BinaryDepthwise { weights, .. } => weights,
        Operation::GlobalAveragePool { .. } => panic!("the pool has no weights"),
    }
}

#[test]
fn a_model_that_breaks_a_rule_is_refused() {
    let cases: [(&str, K, Option<u16>, Break); 26] = [
        ("no tensors", K::Range, None, |m| m.tensors.clear()),
        ("no layers", K::Range, None, |m| m.layers.clear()),
        ("too many tensors", K::Limit, None, |m| {
            m.tensors.resize(1025, m.tensors[1]);
        }),
        ("more layers than 16 bits", K::Limit, None, |m| {
            m.layers.resize(70_000, m.layers[7].clone());
        }),
        ("a long name", K::Limit, None, |m| m.name = "n".repeat(1025)),
        ("a long layer name", K::Limit, None, |m| {
            m.layers[3].name = "€".repeat(342);
        }),
        ("a line break in a name", K::Text, None, |m| m.name = "a\nb".into()),
        ("one class name less", K::ClassNames, None, |m| {
            m.classes.pop();
        }),
        ("a zero less", K::Length, None, |m| {
            m.input.zero.pop();
        }),
        ("a mean more", K::Length, None, |m| m.input.mean.push(0.0)),
        ("a std less", K::Length, None, |m| {
            m.input.std.pop();
        }),
        ("std 0", K::Float, None, |m| m.input.std[1] = 0.0),
        ("scale NaN", K::Float, None, |m| m.score_scale = f32::NAN),
        ("no such tensor", K::Tensor, Some(2), |m| m.layers[2].input = 99),
        ("a tensor without rows", K::Range, None, |m| m.tensors[5].height = 0),
        ("no groups", K::Range, Some(2), |m| match &mut m.layers[2].operation {
            Operation::BinaryConv { groups, .. } => *groups = 0,
            _ => panic!("layer 2 has groups"),
        }),
        ("groups that do not divide", K::Shape, Some(2), |m| match &mut m.layers[2].operation {
            Operation::BinaryConv { groups, .. } => *groups = 3,
            _ => panic!("layer 2 has groups"),
        }),
        ("a weight less", K::Length, Some(0), |m| {
            weights(&mut m.layers[0]).pop();
        }),
        ("a depthwise weight more", K::Length, Some(3), |m| {
            weights(&mut m.layers[3]).push(1);
        }),
        ("8-bit weight -128", K::Weight, Some(4), |m| {
            weights(&mut m.layers[4])[7] = -128;
        }),
        ("binary weight 0", K::Weight, Some(1), |m| weights(&mut m.layers[1])[7] = 0),
        ("binary weight 3", K::Weight, Some(5), |m| weights(&mut m.layers[5])[7] = 3),
        ("a slope less", K::Length, Some(1), |m| match stream(m, 1) {
            Epilogue::Stream { prelu, .. } => {
                prelu.as_mut().unwrap().slope.pop();
            }
            _ => panic!("layer 1 writes a stream"),
        }),
        ("the image as stream written", K::Kind, Some(1), |m| match stream(m, 1) {
            Epilogue::Stream { stream, .. } => *stream = Some(0),
            _ => panic!("layer 1 writes a stream"),
        }),
        ("the image as shortcut", K::Kind, Some(1), |m| match stream(m, 1) {
            Epilogue::Stream { shortcut, .. } => shortcut.as_mut().unwrap().tensor = 0,
            _ => panic!("layer 1 has a shortcut"),
        }),
        ("pool shift 200", K::Range, Some(7), |m| match &mut m.layers[7].operation {
            Operation::GlobalAveragePool { shift, .. } => *shift = 200,
            _ => panic!("layer 7 is the pool"),
        }),
    ];
    for (what, kind, layer, break_it) in cases {
        let mut model = everything();
        break_it(&mut model);
        let error = write(&model).expect_err(what);
        assert_eq!((error.kind, error.layer), (kind, layer), "{what}: {error}");
    }
}

#[test]
fn a_wrong_length_is_the_callers_fault() {
    let mut model = everything();
    model.input.zero.clear();
    assert_eq!(write(&model).unwrap_err().fault(), Fault::Caller);
}

/// The last layer of `bare`, on top of whatever a test puts below it.
fn classifier_on(input: u16, channels: usize, scores: u16) -> Layer {
    let mut layer = bare().layers.remove(0);
    layer.input = input;
    let Operation::Int8Conv { window, weights, epilogue, .. } = &mut layer.operation else {
        panic!("the layer of bare is a convolution");
    };
    (window.kernel_h, *weights) = (1, vec![1; 2 * channels]);
    let Epilogue::Scores { scores: written, .. } = epilogue else {
        panic!("the layer of bare writes scores");
    };
    *written = scores;
    layer
}

#[test]
fn as_many_tensors_and_layers_as_may_be() {
    let mut model = bare();
    let scores = model.tensors.remove(1);
    let one = Tensor { kind: Kind::Stream, height: 1, width: 1, channels: 1, frac: 0 };
    model.tensors[0].height = 1;
    model.tensors.resize(limits::TENSORS - 1, one);
    model.tensors.push(scores);
    model.layers.clear();
    for id in 1..limits::TENSORS as u16 - 1 {
        let mut layer = classifier_on(id - 1, 1, 0);
        if let Operation::Int8Conv { weights, epilogue, .. } = &mut layer.operation {
            weights.truncate(1);
            *epilogue = Epilogue::Stream {
                shift: 0,
                multiplier: vec![1],
                bias: vec![0],
                shortcut: None,
                prelu: None,
                stream: Some(id),
                sign: None,
            };
        }
        model.layers.push(layer);
    }
    let last = limits::TENSORS as u16 - 1;
    model.layers.push(classifier_on(last - 1, 1, last));
    assert_eq!(model.layers.len(), limits::LAYERS);
    let file = FileBuffer::new(&write(&model).unwrap());
    assert_eq!(View::parse(&file).unwrap().to_model(), model);
}

#[test]
fn an_image_as_large_as_may_be() {
    let mut model = bare();
    let side = limits::SIDE;
    model.tensors[0] = Tensor { height: side, width: side, channels: 16, ..model.tensors[0] };
    model.input.zero = vec![0; 16];
    model.input.mean = vec![0.0; 16];
    model.input.std = vec![1.0; 16];
    model.layers[0] = classifier_on(0, 16, 1);
    assert_eq!(model.tensors[0].bytes() as u64, limits::TENSOR_BYTES);
    let file = FileBuffer::new(&write(&model).unwrap());
    assert_eq!(View::parse(&file).unwrap().to_model(), model);

    model.tensors[0].channels = 17;
    let error = write(&model).unwrap_err();
    assert_eq!((error.kind, error.offset), (K::Limit, 48));
}

#[test]
fn names_as_long_as_may_be() {
    let mut model = everything();
    model.name = "é".repeat(limits::NAME_BYTES / 2);
    model.classes[4] = "n".repeat(limits::NAME_BYTES);
    let file = FileBuffer::new(&write(&model).unwrap());
    assert_eq!(View::parse(&file).unwrap().to_model(), model);
}
