//! A whole network whose every tensor is worked out by hand.

use bitat_format::model::{
    Epilogue, Input, Kind, Layer, Model, Operation, Padding, Prelu, Shortcut, Sign, Tensor, Window,
};
use bitat_reference::{Error, Values, ops, run};

fn tensor(kind: Kind, height: u16, width: u16, channels: u16) -> Tensor {
    Tensor { kind, height, width, channels, frac: 0 }
}

fn window(kernel_h: u8, kernel_w: u8, stride: u8) -> Window {
    Window { kernel_h, kernel_w, stride_h: stride, stride_w: stride, pad_top: 0, pad_left: 0 }
}

fn layer(name: &str, input: u16, operation: Operation) -> Layer {
    Layer { name: name.into(), input, operation }
}

/// All five operations, all three epilogues, shortcut and PReLU.
fn model() -> Model {
    let stem = Operation::Int8Conv {
        window: window(1, 1, 1),
        narrow: 0,
        weights: vec![2, -1],
        epilogue: Epilogue::Stream {
            shift: 1,
            multiplier: vec![16384, 16384],
            bias: vec![0, 1],
            shortcut: None,
            prelu: None,
            stream: Some(1),
            sign: Some(Sign { thresholds: vec![0, 1], bits: 2 }),
        },
    };
    let depthwise = Operation::BinaryDepthwise {
        window: window(2, 1, 1),
        padding: Padding::One,
        weights: vec![1, -1, -1, 1],
        epilogue: Epilogue::Threshold { thresholds: vec![0, 1], bits: 3 },
    };
    let dense = Operation::BinaryConv {
        window: window(2, 2, 2),
        groups: 1,
        padding: Padding::Zero,
        weights: vec![1, 1, 1, -1, -1, 1, 1, 1],
        epilogue: Epilogue::Stream {
            shift: 3,
            multiplier: vec![16384],
            bias: vec![-3],
            shortcut: Some(Shortcut { tensor: 1, pool: 2, shift: 2 }),
            prelu: Some(Prelu { before: vec![11], slope: vec![16384], after: vec![3] }),
            stream: Some(4),
            sign: None,
        },
    };
    let pool = Operation::GlobalAveragePool { shift: 2, output: 5 };
    let int8_depthwise = Operation::Int8Depthwise {
        window: window(1, 1, 1),
        narrow: 1,
        weights: vec![3, -5],
        epilogue: Epilogue::Threshold { thresholds: vec![7, -5], bits: 6 },
    };
    let classifier = Operation::Int8Conv {
        window: window(1, 1, 1),
        narrow: 0,
        weights: vec![5, -7],
        epilogue: Epilogue::Scores { multiplier: vec![3, -1], bias: vec![100, 0], scores: 7 },
    };
    Model {
        name: "by hand".into(),
        input: Input { zero: vec![10], mean: vec![10.0], std: vec![1.0] },
        classes: vec![],
        tensors: vec![
            tensor(Kind::Image, 2, 2, 1),
            tensor(Kind::Stream, 2, 2, 2),
            tensor(Kind::Bits, 2, 2, 2),
            tensor(Kind::Bits, 2, 2, 2),
            tensor(Kind::Stream, 1, 1, 1),
            tensor(Kind::Stream, 1, 1, 2),
            tensor(Kind::Bits, 1, 1, 2),
            tensor(Kind::Scores, 1, 1, 2),
        ],
        layers: vec![
            layer("stem", 0, stem),
            layer("depthwise", 2, depthwise),
            layer("dense", 3, dense),
            layer("pool", 1, pool),
            layer("int8 depthwise", 5, int8_depthwise),
            layer("classifier", 4, classifier),
        ],
        score_scale: 1.0,
    }
}

const IMAGE: [u8; 4] = [11, 8, 10, 13];

#[test]
fn every_tensor_is_the_one_worked_out_by_hand() {
    let trace = run(&model(), &IMAGE).unwrap();
    let expected = [
        Values::Image(IMAGE.to_vec()),
        // Centred 1, −2, 0, 3; times 2 and −1; the scale is 1; bias 0 and 1.
        Values::Stream(vec![2, 0, -4, 3, 0, 1, 6, -2]),
        Values::Bits(vec![1, -1, -1, 1, 1, 1, 1, -1]),
        // Accumulators 0 2, −2 −2, 0 0, 0 2; the lower tap of row 1 reads +1.
        Values::Bits(vec![1, 1, -1, -1, 1, -1, 1, 1]),
        // Accumulator 2 → 16 → 8 → 5; shortcut 6/8 → 1 → 4; 9 − 11 = −2 → −1 → 2.
        Values::Stream(vec![2]),
        // 4·4/4 and 2·4/4.
        Values::Stream(vec![4, 2]),
        // Narrowed to 2, 1: 6 < 7; −5 is not below −5.
        Values::Bits(vec![-1, 1]),
        // 10·3 + 100 and −14·−1.
        Values::Scores(vec![130, 14]),
    ];
    for (id, values) in expected.iter().enumerate() {
        assert_eq!(trace.tensor(id as u16), Some(values), "tensor {id}");
    }
    assert_eq!(trace.tensor(8), None);
    assert_eq!(trace.scores(), [130, 14]);
}

#[test]
fn a_wrong_image_is_the_callers_fault() {
    let found = run(&model(), &IMAGE[..3]).unwrap_err();
    assert_eq!(found, Error::Image { expected: 4, found: 3 });
    assert_eq!(found.to_string(), "the image has 3 bytes, the network reads 4");
}

/// Each change makes the model contradict itself; the error names the layer.
#[test]
fn a_contradicting_model_is_an_error_not_a_panic() {
    type Change = fn(&mut Model);
    let cases: [(Option<usize>, &str, Change); 10] = [
        (None, "there is no tensor 0", |m| m.tensors.clear()),
        (None, "tensor 0 is not an image", |m| m.tensors[0].kind = Kind::Bits),
        (None, "one zero per image channel is needed", |m| m.input.zero.push(0)),
        (None, "no layer writes scores", |m| m.layers.truncate(5)),
        (Some(0), "a tensor is read before it is written", |m| m.layers[0].input = 7),
        (Some(0), "there is no such tensor", |m| m.layers[0].input = 99),
        (Some(1), "the tensor read is not bits", |m| m.layers[1].input = 1),
        (Some(1), "depthwise keeps the channels", |m| m.tensors[3].channels = 1),
        (Some(2), "the shortcut has a pool without a pixel (S25)", |m| m.tensors[4].width = 2),
        (Some(3), "the tensor written has another shape", |m| m.tensors[5].channels = 1),
    ];
    for (case, (layer, what, change)) in cases.into_iter().enumerate() {
        let mut model = model();
        change(&mut model);
        let found = run(&model, &IMAGE);
        assert_eq!(found, Err(Error::Model { layer, what }), "case {case}");
    }
}

#[test]
fn equal_scores_rank_by_class() {
    assert_eq!(ops::ranking(&[5, 7, 5, 7, i32::MIN]), [1, 3, 0, 2, 4]);
}
