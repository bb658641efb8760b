//! The two golden models and the way to their files.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::path::PathBuf;

use bitat_format::model::{Epilogue, Input, Layer, Model, Operation, Prelu, Sign};
use bitat_format::{FileBuffer, Kind, Padding, Shortcut, Tensor, Window};

/// Path of a golden file.
pub(crate) fn golden_path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "golden", name].iter().collect()
}

/// Bytes of a golden file, aligned.
pub(crate) fn golden(name: &str) -> FileBuffer {
    let path = golden_path(name);
    let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    FileBuffer::new(&bytes)
}

/// Compares with a golden file; with `BITAT_BLESS=1` in the environment writes it.
pub(crate) fn assert_golden(name: &str, bytes: &[u8]) {
    let path = golden_path(name);
    if std::env::var_os("BITAT_BLESS").is_some_and(|value| value == "1") {
        std::fs::write(&path, bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
    let same = golden(name)[..] == *bytes;
    assert!(
        same,
        "{} differs from what is written now; a format version never changes silently. \
         If this is a new version, run again with BITAT_BLESS=1",
        path.display()
    );
}

/// Values that differ from place to place, so that swapped ones show.
fn paint<T>(count: usize, salt: i32, value: impl Fn(i32) -> T) -> Vec<T> {
    (0..count as i32).map(|i| value((i * 37 + salt * 101 + i * i / 7) % 251 - 125)).collect()
}

fn int8(count: usize, salt: i32) -> Vec<i8> {
    paint(count, salt, |v| v as i8)
}

fn binary(count: usize, salt: i32) -> Vec<i8> {
    paint(count, salt, |v| if v % 3 == 0 { -1 } else { 1 })
}

fn int16(count: usize, salt: i32) -> Vec<i16> {
    paint(count, salt, |v| (v * 211) as i16)
}

fn int32(count: usize, salt: i32) -> Vec<i32> {
    paint(count, salt, |v| v * 13)
}

fn tensor(kind: Kind, height: u16, width: u16, channels: u16, frac: i8) -> Tensor {
    Tensor { kind, height, width, channels, frac }
}

fn window(kernel: [u8; 2], stride: [u8; 2], pad: [u8; 2]) -> Window {
    Window {
        kernel_h: kernel[0],
        kernel_w: kernel[1],
        stride_h: stride[0],
        stride_w: stride[1],
        pad_top: pad[0],
        pad_left: pad[1],
    }
}

fn layer(name: &str, input: u16, operation: Operation) -> Layer {
    Layer { name: name.into(), input, operation }
}

fn prelu(channels: usize, salt: i32) -> Prelu {
    Prelu {
        before: int16(channels, salt),
        slope: int16(channels, salt + 1),
        after: int16(channels, salt + 2),
    }
}

fn sign(channels: usize, salt: i32, bits: u16) -> Sign {
    Sign { thresholds: int16(channels, salt), bits }
}

/// Every operation, every epilogue and every option, once at least.
pub(crate) fn everything() -> Model {
    let tensors = vec![
        tensor(Kind::Image, 7, 6, 3, 0),
        tensor(Kind::Stream, 4, 3, 12, 9),
        tensor(Kind::Bits, 4, 3, 12, 0),
        tensor(Kind::Stream, 4, 3, 16, 8),
        tensor(Kind::Bits, 4, 3, 16, 0),
        tensor(Kind::Bits, 4, 3, 70, 0),
        tensor(Kind::Stream, 2, 2, 70, -3),
        tensor(Kind::Bits, 2, 2, 70, 0),
        tensor(Kind::Bits, 2, 2, 70, 0),
        tensor(Kind::Stream, 2, 2, 18, 7),
        tensor(Kind::Stream, 1, 1, 18, 9),
        tensor(Kind::Stream, 1, 1, 17, 10),
        tensor(Kind::Scores, 1, 1, 5, 0),
    ];
    let layers = vec![
        layer(
            "stem",
            0,
            Operation::Int8Conv {
                window: window([3, 3], [2, 2], [1, 1]),
                narrow: 0,
                weights: int8(12 * 27, 1),
                epilogue: Epilogue::Stream {
                    shift: -6,
                    multiplier: int16(12, 2),
                    bias: int16(12, 3),
                    shortcut: None,
                    prelu: Some(prelu(12, 4)),
                    stream: Some(1),
                    sign: Some(sign(12, 7, 2)),
                },
            },
        ),
        layer(
            "binary 3x3, zero padding, repeated channels",
            2,
            Operation::BinaryConv {
                window: window([3, 3], [1, 1], [1, 1]),
                groups: 1,
                padding: Padding::Zero,
                weights: binary(16 * 9 * 12, 8),
                epilogue: Epilogue::Stream {
                    shift: 7,
                    multiplier: int16(16, 9),
                    bias: int16(16, 10),
                    shortcut: Some(Shortcut { tensor: 1, pool: 1, shift: -1 }),
                    prelu: Some(prelu(16, 11)),
                    stream: Some(3),
                    sign: Some(sign(16, 14, 4)),
                },
            },
        ),
        layer(
            "binary 1x2, two groups, padding one",
            4,
            Operation::BinaryConv {
                window: window([1, 2], [1, 1], [0, 1]),
                groups: 2,
                padding: Padding::One,
                weights: binary(70 * 2 * 8, 15),
                epilogue: Epilogue::Threshold { thresholds: int32(70, 16), bits: 5 },
            },
        ),
        layer(
            "binary depthwise, zero padding, pooled shortcut",
            5,
            Operation::BinaryDepthwise {
                window: window([3, 3], [2, 2], [1, 1]),
                padding: Padding::Zero,
                weights: binary(9 * 70, 17),
                epilogue: Epilogue::Stream {
                    shift: 10,
                    multiplier: int16(70, 18),
                    bias: int16(70, 19),
                    shortcut: Some(Shortcut { tensor: 3, pool: 2, shift: 4 }),
                    prelu: None,
                    stream: Some(6),
                    sign: None,
                },
            },
        ),
        layer(
            "8-bit depthwise",
            6,
            Operation::Int8Depthwise {
                window: window([2, 3], [1, 1], [1, 1]),
                narrow: 3,
                weights: int8(6 * 70, 20),
                epilogue: Epilogue::Stream {
                    shift: 0,
                    multiplier: int16(70, 21),
                    bias: int16(70, 22),
                    shortcut: None,
                    prelu: None,
                    stream: None,
                    sign: Some(sign(70, 23, 7)),
                },
            },
        ),
        layer(
            "binary depthwise, padding one",
            7,
            Operation::BinaryDepthwise {
                window: window([2, 2], [1, 1], [0, 1]),
                padding: Padding::One,
                weights: binary(4 * 70, 24),
                epilogue: Epilogue::Threshold { thresholds: int32(70, 25), bits: 8 },
            },
        ),
        layer(
            "8-bit pointwise, mean of channel groups",
            6,
            Operation::Int8Conv {
                window: window([1, 1], [1, 1], [0, 0]),
                narrow: 8,
                weights: int8(18 * 70, 26),
                epilogue: Epilogue::Stream {
                    shift: 2,
                    multiplier: int16(18, 27),
                    bias: int16(18, 28),
                    shortcut: Some(Shortcut { tensor: 6, pool: 1, shift: 0 }),
                    prelu: None,
                    stream: Some(9),
                    sign: None,
                },
            },
        ),
        layer("pool", 9, Operation::GlobalAveragePool { shift: 2, output: 10 }),
        layer(
            "binary dense",
            8,
            Operation::BinaryConv {
                window: window([2, 2], [1, 1], [0, 0]),
                groups: 1,
                padding: Padding::Zero,
                weights: binary(17 * 4 * 70, 29),
                epilogue: Epilogue::Stream {
                    shift: 4,
                    multiplier: int16(17, 30),
                    bias: int16(17, 31),
                    shortcut: Some(Shortcut { tensor: 10, pool: 1, shift: 1 }),
                    prelu: Some(prelu(17, 32)),
                    stream: Some(11),
                    sign: None,
                },
            },
        ),
        layer(
            "classifier",
            11,
            Operation::Int8Conv {
                window: window([1, 1], [1, 1], [0, 0]),
                narrow: 1,
                weights: int8(5 * 17, 35),
                epilogue: Epilogue::Scores {
                    multiplier: paint(5, 36, |v| v as i16),
                    bias: paint(5, 37, |v| v * 10_007),
                    scores: 12,
                },
            },
        ),
    ];
    Model {
        name: "everything, Größe 7×6".into(),
        input: Input {
            zero: vec![124, 116, 104],
            mean: vec![123.675, 116.28, 103.53],
            std: vec![58.395, 57.12, 57.375],
        },
        classes: ["zero", "one", "", "three", "vier €"].map(String::from).into(),
        tensors,
        layers,
        score_scale: 0.001_25,
    }
}

/// One layer, no names: the smallest there is.
pub(crate) fn bare() -> Model {
    Model {
        name: String::new(),
        input: Input { zero: vec![0], mean: vec![0.0], std: vec![1.0] },
        classes: vec![],
        tensors: vec![tensor(Kind::Image, 2, 1, 1, 0), tensor(Kind::Scores, 1, 1, 2, 0)],
        layers: vec![layer(
            "",
            0,
            Operation::Int8Conv {
                window: window([2, 1], [1, 1], [0, 0]),
                narrow: 0,
                weights: vec![1, -1, -127, 127],
                epilogue: Epilogue::Scores { multiplier: vec![1, -1], bias: vec![0, 1], scores: 1 },
            },
        )],
        score_scale: 1.0,
    }
}

/// Means over so many elements that one more could overflow: 217 × 151 = 32767
/// pixels in one of two layers that take a mean, pool² · `channels` in the other.
pub(crate) fn long_means(channels: u16, pool: u8) -> Model {
    let wide = usize::from(channels);
    let pointwise = |weights: usize, epilogue| Operation::Int8Conv {
        window: window([1, 1], [1, 1], [0, 0]),
        narrow: 0,
        weights: int8(weights, 1),
        epilogue,
    };
    let stream = |channels: usize, shortcut, stream| Epilogue::Stream {
        shift: 0,
        multiplier: int16(channels, 2),
        bias: int16(channels, 3),
        shortcut,
        prelu: None,
        stream: Some(stream),
        sign: None,
    };
    let shortcut = Shortcut { tensor: 1, pool, shift: 0 };
    let scores = Epilogue::Scores { multiplier: vec![1], bias: vec![0], scores: 4 };
    Model {
        tensors: vec![
            tensor(Kind::Image, 217, 151, 1, 0),
            tensor(Kind::Stream, 217, 151, channels, 0),
            tensor(Kind::Stream, 1, 1, channels, 0),
            tensor(Kind::Stream, 1, 1, 1, 0),
            tensor(Kind::Scores, 1, 1, 1, 0),
        ],
        layers: vec![
            layer("", 0, pointwise(wide, stream(wide, None, 1))),
            layer("", 1, Operation::GlobalAveragePool { shift: 0, output: 2 }),
            layer("", 2, pointwise(wide, stream(1, Some(shortcut), 3))),
            layer("", 3, pointwise(1, scores)),
        ],
        ..bare()
    }
}
