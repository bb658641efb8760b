//! What the door refuses, and that it refuses before anything is written.

use bitat_kernels::{
    Conv, Epilogue, Int8Input, Isa, Kernels, Misuse, Operation, Padding, Shape, Shortcut, Sign,
    Window, layout, scratch_bytes,
};

const WINDOW: Window =
    Window { kernel_h: 3, kernel_w: 3, stride_h: 1, stride_w: 1, pad_top: 1, pad_left: 1 };
const CONV: Conv = Conv {
    input: Shape { h: 4, w: 5, c: 16 },
    output: Shape { h: 4, w: 5, c: 24 },
    window: WINDOW,
    groups: 1,
};

fn kernels() -> Kernels {
    Kernels::new(Isa::Scalar).expect("scalar runs everywhere")
}

/// A binary convolution with one thing changed.
fn binary(change: impl FnOnce(&mut Conv, &mut [usize; 4])) -> Result<(), Misuse> {
    let mut conv = CONV;
    let mut lengths = [
        layout::bits_bytes(4, 5, 16),
        layout::binary_weight_bytes(3, 3, 16, 24, 1),
        24,
        layout::bits_bytes(4, 5, 24),
    ];
    change(&mut conv, &mut lengths);
    let (input, weights) = (vec![0; lengths[0]], vec![0; lengths[1]]);
    let (thresholds, mut bits) = (vec![0; lengths[2]], vec![7; lengths[3]]);
    let epilogue = Epilogue::Threshold { thresholds: &thresholds, bits: &mut bits };
    let result =
        kernels().binary_conv(&conv, Padding::Zero, &input, &weights, 0..4, epilogue, &mut []);
    assert!(result.is_ok() || bits.iter().all(|&byte| byte == 7), "written in spite of {result:?}");
    result
}

#[test]
fn a_binary_conv_names_what_is_wrong() {
    assert_eq!(binary(|_, _| ()), Ok(()));
    assert_eq!(binary(|_, l| l[0] -= 1), Err(Misuse::Input));
    assert_eq!(binary(|_, l| l[0] += 1), Err(Misuse::Input));
    assert_eq!(binary(|_, l| l[1] -= 1), Err(Misuse::Weights));
    assert_eq!(binary(|_, l| l[2] += 1), Err(Misuse::Thresholds));
    assert_eq!(binary(|_, l| l[3] -= 1), Err(Misuse::Bits));
    assert_eq!(binary(|c, _| c.input.h = 0), Err(Misuse::Shape));
    assert_eq!(binary(|c, _| c.output.w = 65536), Err(Misuse::Shape));
    assert_eq!(binary(|c, _| c.window.kernel_h = 0), Err(Misuse::Window));
    assert_eq!(binary(|c, _| c.window.stride_w = 0), Err(Misuse::Window));
    assert_eq!(binary(|c, _| c.window.pad_left = 3), Err(Misuse::Window));
    assert_eq!(binary(|c, _| c.groups = 0), Err(Misuse::Groups));
    assert_eq!(binary(|c, _| c.groups = 5), Err(Misuse::Groups));
    assert_eq!(binary(|c, _| c.groups = 4), Err(Misuse::Groups), "4 channels are no whole bytes");
    assert_eq!(binary(|c, _| c.input.c = 3641), Err(Misuse::Accumulator));
    assert_eq!(binary(|c, _| c.output.h = 3), Err(Misuse::Rows));
    assert_eq!(binary(|c, _| c.input = Shape { h: 65535, w: 65535, c: 16 }), Err(Misuse::Input));
}

#[test]
fn an_int8_conv_names_what_is_wrong() {
    let conv = Conv { output: Shape { h: 4, w: 5, c: 3 }, ..CONV };
    let values = vec![0; 4 * 5 * 16];
    let pixels = vec![0; 4 * 5 * 16];
    let weights = vec![0; layout::int8_weight_bytes(3, 3, 16, 3)];
    let run = |input: Int8Input<'_>, weights: &[i8], scratch: usize| {
        let mut stream = vec![0; 4 * 5 * 3];
        let epilogue = Epilogue::Stream {
            shift: 0,
            multiplier: &[1; 3],
            bias: &[0; 3],
            shortcut: None,
            prelu: None,
            stream: Some(&mut stream),
            sign: None,
        };
        kernels().int8_conv(&conv, input, weights, 0..4, epilogue, &mut vec![0; scratch])
    };
    let enough = scratch_bytes(Operation::Int8Conv, &conv);
    let stream = Int8Input::Stream { values: &values, narrow: 8 };
    assert_eq!(run(stream, &weights, enough), Ok(()));
    assert_eq!(run(stream, &weights, enough - 1), Err(Misuse::Scratch));
    assert_eq!(run(stream, &weights[1..], enough), Err(Misuse::Weights));
    let narrow = Int8Input::Stream { values: &values, narrow: 9 };
    assert_eq!(run(narrow, &weights, enough), Err(Misuse::Narrow));
    let short = Int8Input::Stream { values: &values[1..], narrow: 0 };
    assert_eq!(run(short, &weights, enough), Err(Misuse::Input));
    let image = Int8Input::Image { pixels: &pixels, zero: &[0; 15] };
    assert_eq!(run(image, &weights, enough), Err(Misuse::Zero));
}

#[test]
fn an_epilogue_names_what_is_wrong() {
    let conv = Conv { output: Shape { c: 16, ..CONV.output }, ..CONV };
    let input = vec![0; 4 * 5 * 16];
    let weights = vec![0; 9 * 16];
    let whole = Shape { h: 4, w: 5, c: 16 };
    let run = |epilogue: Epilogue<'_>| {
        kernels().int8_depthwise(&conv, &input, 0, &weights, 0..4, epilogue, &mut [])
    };
    let stream = |shift,
                  multiplier: usize,
                  shortcut: Option<(Shape, usize, i8)>,
                  written: usize,
                  bits: usize| {
        let values = shortcut.map_or(vec![], |(s, _, _)| vec![0; s.h * s.w * s.c]);
        run(Epilogue::Stream {
            shift,
            multiplier: &vec![1; multiplier],
            bias: &[0; 16],
            shortcut: shortcut.map(|(shape, pool, shift)| Shortcut {
                values: &values,
                shape,
                pool,
                shift,
            }),
            prelu: None,
            stream: Some(&mut vec![0; written]),
            sign: Some(Sign { thresholds: &[0; 16], bits: &mut vec![0; bits] }),
        })
    };
    let (elements, bytes) = (4 * 5 * 16, 4 * 5 * 8);
    assert_eq!(stream(0, 16, Some((whole, 1, 0)), elements, bytes), Ok(()));
    assert_eq!(stream(16, 16, None, elements, bytes), Err(Misuse::Shift));
    assert_eq!(stream(-17, 16, None, elements, bytes), Err(Misuse::Shift));
    assert_eq!(stream(0, 15, None, elements, bytes), Err(Misuse::Multiplier));
    assert_eq!(stream(0, 16, None, elements - 1, bytes), Err(Misuse::Stream));
    assert_eq!(stream(0, 16, None, elements, bytes + 8), Err(Misuse::Bits));
    assert_eq!(stream(0, 16, Some((whole, 0, 0)), elements, bytes), Err(Misuse::Shortcut));
    assert_eq!(stream(0, 16, Some((whole, 2, 0)), elements, bytes), Err(Misuse::Shortcut));
    assert_eq!(stream(0, 16, Some((whole, 1, 16)), elements, bytes), Err(Misuse::Shift));
    let scores = Epilogue::Scores { multiplier: &[1; 16], bias: &[0; 16], scores: &mut [0; 16] };
    assert_eq!(run(scores), Err(Misuse::Scores), "the output is not 1×1");
}

/// The arena is planned before the instruction set is known: exact numbers.
#[test]
fn scratch_is_what_it_was() {
    assert_eq!(scratch_bytes(Operation::BinaryConv, &CONV), 0);
    assert_eq!(scratch_bytes(Operation::Int8Depthwise, &CONV), 0);
    // 4 planes of 16 pixels, 8 bytes each.
    assert_eq!(scratch_bytes(Operation::BinaryDepthwise, &CONV), 16 * 4 * 8);
    // As many windows of 144 values and 16 more, 2 bytes each, as 2048 bytes
    // hold, in fours, and another.
    assert_eq!(scratch_bytes(Operation::Int8Conv, &CONV), (4 + 1) * (144 + 16) * 2);
}
