//! Convolutions of ±1.

use bitat_kernels::{Conv, Operation, Padding, Shape, Window};
use bitat_reference::ops;

use crate::buffers::{pack_binary, pack_bits};
use crate::epilogue::{Spec, check, expected, pointwise_spec, spec, usual_spec};
use crate::geometry::{conv, dense_convs, depthwise_convs, oracle};
use crate::random::{Random, every, seed};
use crate::sets::on_every_set;

fn oracle_padding(padding: Padding) -> ops::Padding {
    match padding {
        Padding::Zero => ops::Padding::Zero,
        Padding::One => ops::Padding::One,
    }
}

/// Inputs of every kind: noise, and what makes the largest accumulators.
fn signs(random: &mut Random, count: usize) -> Vec<i8> {
    match random.size(0, 5) {
        0 => vec![random.pick(&[-1, 1]); count],
        _ => random.signs(count),
    }
}

fn run_dense(test: &str, convs: impl Fn(&mut Random) -> Vec<Conv>) {
    run_dense_with(test, spec, convs);
}

fn run_dense_with(
    test: &str,
    spec: fn(&mut Random, Shape, i64) -> Spec,
    convs: impl Fn(&mut Random) -> Vec<Conv>,
) {
    let seed = seed();
    let convs = convs(&mut Random::new(seed, 0));
    let mut cases = Vec::new();
    for (i, conv) in convs.into_iter().enumerate().step_by(every()) {
        let random = &mut Random::new(seed, i as u64 + 1);
        let (c_in, c_out) = (conv.input.c / conv.groups, conv.output.c / conv.groups);
        let kernel = (conv.window.kernel_h, conv.window.kernel_w);
        let terms = kernel.0 * kernel.1 * c_in;
        let mut input = signs(random, conv.input.h * conv.input.w * conv.input.c);
        let weights = signs(random, conv.output.c * terms);
        if random.chance(8) {
            // Every bit differs from a channel's first weight: the fullest counters.
            input.fill(-weights[0]);
        }
        let padding = random.pick(&[Padding::Zero, Padding::One]);
        let spec = spec(random, conv.output, terms as i64);
        let sums = ops::binary_conv(&oracle(&conv), oracle_padding(padding), &input, &weights);
        let expected = expected(&spec, conv.output, &sums);
        let input = pack_bits(&input, conv.input.c);
        let weights = pack_binary(&weights, kernel, (c_in, c_out), conv.groups);
        cases.push((i, conv, padding, input, weights, spec, expected));
    }
    on_every_set(test, |kernels| {
        for (i, conv, padding, input, weights, spec, expected) in &cases {
            let name =
                format!("{test} on {}, BITAT_SEED={seed}, case {i}, {padding:?}", kernels.isa());
            check(&name, spec, conv, Operation::BinaryConv, expected, |rows, epilogue, scratch| {
                kernels.binary_conv(conv, *padding, input, weights, rows, epilogue, scratch)
            });
        }
        cases.len()
    });
}

#[test]
fn binary_conv() {
    run_dense("binary convolution", |random| dense_convs(random, 2_000_000));
}

/// Every pixel becomes one.
fn pointwise(h: usize, w: usize, (c_in, c_out): (usize, usize)) -> Conv {
    let window =
        Window { kernel_h: 1, kernel_w: 1, stride_h: 1, stride_w: 1, pad_top: 0, pad_left: 0 };
    let shape = |c| Shape { h, w, c };
    Conv { input: shape(c_in), output: shape(c_out), window, groups: 1 }
}

/// As most layers are.
#[test]
fn binary_conv_pixel_by_pixel() {
    run_dense("binary convolution, pointwise", |random| {
        let mut convs = Vec::new();
        for c_in in [3, 16, 24, 64, 88, 100, 128, 240, 250, 600, 1032] {
            for c_out in [8, 16, 20, 24, 32, 33, 48, 64, 80, 96, 128, 144] {
                for _ in 0..if c_out == 16 { 40 } else { 4 } {
                    let (h, w) = (random.size(1, 5), random.size(2, 9));
                    convs.push(pointwise(h, w, (c_in, c_out)));
                }
            }
        }
        convs
    });
}

/// With sums on both sides of what bytes hold and of what shifts leave of them.
#[test]
fn binary_conv_pixel_by_pixel_as_usual() {
    run_dense_with("binary convolution, pointwise, as usual", pointwise_spec, |random| {
        let mut convs = Vec::new();
        for c_in in [5, 16, 40, 64, 72, 128, 190, 192, 200, 240, 248, 512] {
            for c_out in [16, 24, 32, 40, 64, 96] {
                for _ in 0..6 {
                    let (h, w) = (random.size(2, 4), random.size(4, 7));
                    convs.push(pointwise(h, w, (c_in, c_out)));
                }
            }
        }
        convs
    });
}

/// So many outputs that what a shortcut adds to them is put aside in several goes.
#[test]
fn binary_conv_of_many_channels() {
    run_dense("binary convolution, pointwise, many channels", |random| {
        let mut convs = Vec::new();
        for c_in in [8, 24] {
            for c_out in [256, 320, 480, 512, 520] {
                for _ in 0..4 {
                    let (h, w) = (random.size(3, 6), random.size(5, 11));
                    convs.push(pointwise(h, w, (c_in, c_out)));
                }
            }
        }
        convs
    });
}

/// Windows with at most a tap outside at each side.
fn windows(
    random: &mut Random,
    (kernel_h, kernel_w): (usize, usize),
    output: Shape,
    c_in: usize,
) -> Conv {
    let pad = |random: &mut Random, kernel: usize| random.size(0, 1.min(kernel - 1));
    let window = Window {
        kernel_h,
        kernel_w,
        stride_h: random.size(1, 2),
        stride_w: random.size(1, 2),
        pad_top: pad(random, kernel_h),
        pad_left: pad(random, kernel_w),
    };
    // Up to a tap outside at the end, too, or some pixels unread.
    let side = |random: &mut Random, out: usize, stride, kernel, pad| {
        let last: usize = (out - 1) * stride + 1;
        let reach: usize = last + kernel - 1 - pad;
        (reach + random.size(0, 2) - 1).max(last.saturating_sub(pad)).max(1)
    };
    let input = Shape {
        h: side(random, output.h, window.stride_h, kernel_h, window.pad_top),
        w: side(random, output.w, window.stride_w, kernel_w, window.pad_left),
        c: c_in,
    };
    Conv { input, output, window, groups: 1 }
}

/// As the other layers are.
#[test]
fn binary_conv_of_small_windows() {
    run_dense("binary convolution, small windows", |random| {
        let mut convs = Vec::new();
        let kernels = [(3, 3), (3, 3), (3, 3), (2, 2), (1, 3), (3, 1), (2, 3), (1, 1)];
        for kernel in [kernels; 4].into_iter().flatten() {
            for c_in in [24, 32, 40, 64, 100, 128, 264] {
                for c_out in [32, 64, 96, 160] {
                    let w = random.pick(&[2, 3, 4, 5, 7, 8, 9, 14, 15]);
                    let output = Shape { h: random.size(1, 4), w, c: c_out };
                    convs.push(windows(random, kernel, output, c_in));
                }
            }
        }
        convs
    });
}

/// So many pixels that sums are held for some rows at a time, or too many in a row.
#[test]
fn binary_conv_of_many_windows() {
    run_dense_with("binary convolution, many windows", usual_spec, |random| {
        let mut convs = Vec::new();
        for (h, w) in [(70, 2), (40, 3), (21, 7), (7, 33), (5, 60), (3, 127), (2, 128), (2, 130)] {
            for (c_in, c_out) in [(8, 32), (64, 64), (72, 96)] {
                for _ in 0..3 {
                    convs.push(windows(random, (3, 3), Shape { h, w, c: c_out }, c_in));
                }
            }
        }
        convs
    });
}

#[test]
fn binary_conv_in_groups() {
    run_dense("binary convolution in groups", |random| {
        let mut convs = Vec::new();
        for groups in [2, 3, 5] {
            for c_in in [8, 16, 64, 72] {
                for c_out in [1, 7, 8, 20, 64, 65, 130] {
                    let window = random.pick(&[(1, 1), (3, 3), (2, 1)]);
                    let one = conv(random, window, (c_in * groups, c_out * groups), 2_000_000);
                    convs.push(Conv { groups, ..one });
                }
            }
        }
        convs
    });
}

/// Counters of 8 bits must be widened in time: the longest sums, all terms
/// alike, up to the limit of K.
#[test]
fn binary_conv_with_long_sums() {
    run_dense("binary convolution, long sums", |random| {
        let shapes = [
            ((1, 1), 248),
            ((1, 1), 249),
            ((1, 1), 256),
            ((1, 1), 4096),
            ((1, 1), 32767),
            ((3, 3), 1024),
            ((3, 3), 3640),
            ((31, 1), 1024),
            ((1, 151), 217),
        ];
        let mut convs = Vec::new();
        for (window, c_in) in shapes {
            for (c_out, width) in [(64, 9), (128, 12), (5, 2), (40, 5)] {
                let one = conv(random, window, (c_in, c_out), 1);
                let input = Shape { h: window.0, w: window.1 + width - 1, c: c_in };
                let output = Shape { h: 1, w: width, c: c_out };
                let window = Window {
                    stride_h: 1,
                    stride_w: 1,
                    pad_top: 0,
                    pad_left: (window.1 / 2).min(width),
                    ..one.window
                };
                convs.push(Conv { input, output, window, groups: 1 });
            }
        }
        convs
    });
}

fn run_depthwise(test: &str, convs: impl Fn(&mut Random) -> Vec<Conv>) {
    let seed = seed();
    let convs = convs(&mut Random::new(seed, 1 << 32));
    let mut cases = Vec::new();
    for (i, conv) in convs.into_iter().enumerate().step_by(every()) {
        let random = &mut Random::new(seed, i as u64 + (2 << 32));
        let taps = conv.window.kernel_h * conv.window.kernel_w;
        let input = signs(random, conv.input.h * conv.input.w * conv.input.c);
        let weights = signs(random, taps * conv.input.c);
        let padding = random.pick(&[Padding::Zero, Padding::One]);
        let spec = match random.chance(2) {
            // Every threshold a count can meet, and those beyond.
            true => {
                let most = taps as i64 + 2;
                Spec::Threshold {
                    thresholds: random.values(conv.output.c, -most, most, false).into(),
                }
            }
            false => spec(random, conv.output, taps as i64),
        };
        let sums = ops::binary_depthwise(&oracle(&conv), oracle_padding(padding), &input, &weights);
        let expected = expected(&spec, conv.output, &sums);
        let input = pack_bits(&input, conv.input.c);
        let weights = pack_bits(&weights, conv.input.c);
        cases.push((i, conv, padding, input, weights, spec, expected));
    }
    on_every_set(test, |kernels| {
        for (i, conv, padding, input, weights, spec, expected) in &cases {
            let name =
                format!("{test} on {}, BITAT_SEED={seed}, case {i}, {padding:?}", kernels.isa());
            check(
                &name,
                spec,
                conv,
                Operation::BinaryDepthwise,
                expected,
                |rows, epilogue, scratch| {
                    kernels
                        .binary_depthwise(conv, *padding, input, weights, rows, epilogue, scratch)
                },
            );
        }
        cases.len()
    });
}

#[test]
fn binary_depthwise() {
    run_depthwise("binary depthwise", |random| depthwise_convs(random, 100_000));
}

/// As most layers are: 3×3 with at most a tap outside at each side.
#[test]
fn binary_depthwise_of_nine_taps() {
    run_depthwise("binary depthwise, nine taps", |random| {
        let mut convs = Vec::new();
        for c in [16, 24, 32, 40, 64, 96, 128, 144, 200] {
            for _ in 0..80 {
                let (stride_h, stride_w) = (random.size(1, 2), random.size(1, 2));
                let (pad_top, pad_left) = (random.size(0, 1), random.size(0, 1));
                let output = Shape { h: random.size(1, 4), w: random.size(2, 19), c };
                // Up to a tap outside at the end, too, or a pixel unread.
                let side = |random: &mut Random, out: usize, stride: usize, pad: usize| {
                    ((out - 1) * stride + 1 - pad + random.size(1, 3)).max(1)
                };
                let input = Shape {
                    h: side(random, output.h, stride_h, pad_top),
                    w: side(random, output.w, stride_w, pad_left),
                    c,
                };
                let window =
                    Window { kernel_h: 3, kernel_w: 3, stride_h, stride_w, pad_top, pad_left };
                convs.push(Conv { input, output, window, groups: 1 });
            }
        }
        convs
    });
}

/// Plane counts change at windows of 2^n − 1 taps.
#[test]
fn binary_depthwise_with_many_taps() {
    run_depthwise("binary depthwise, many taps", |random| {
        let windows = [
            (1, 2),
            (3, 1),
            (2, 3),
            (7, 1),
            (2, 4),
            (3, 5),
            (4, 4),
            (1, 31),
            (32, 1),
            (9, 7),
            (16, 8),
            (181, 181),
        ];
        windows
            .into_iter()
            .map(|window| {
                let geometry = conv(random, window, (70, 1), 50_000);
                Conv { output: Shape { c: 70, ..geometry.output }, ..geometry }
            })
            .collect()
    });
}
