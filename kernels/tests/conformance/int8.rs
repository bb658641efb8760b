//! 8-bit convolutions.

use bitat_kernels::{Conv, Int8Input, Operation, Shape, Window};
use bitat_reference::ops;

use crate::buffers::pack_int8;
use crate::epilogue::{check, expected, first_spec, placed, spec};
use crate::geometry::{conv, dense_convs, depthwise_convs, oracle};
use crate::random::{Random, every, seed};
use crate::sets::on_every_set;

enum Input {
    Image { pixels: Box<[u8]>, zero: Box<[u8]> },
    Stream { values: Box<[i16]>, narrow: u8 },
}

/// Streams that saturate when narrowed, and streams that do not.
fn stream(random: &mut Random, count: usize, narrow: u8, extreme: bool) -> Box<[i16]> {
    let most = if random.chance(2) { 32767 } else { (200i64 << narrow).min(32767) };
    random.values::<i16>(count, -most - 1, most, extreme).into()
}

fn run_dense(test: &str, first: u64, convs: impl Fn(&mut Random) -> Vec<Conv>) {
    run_dense_with(test, first, false, convs);
}

/// With `usual` all are images, with an epilogue that first layers have.
fn run_dense_with(test: &str, first: u64, usual: bool, convs: impl Fn(&mut Random) -> Vec<Conv>) {
    let seed = seed();
    let convs = convs(&mut Random::new(seed, first));
    let mut cases = Vec::new();
    for (i, conv) in convs.into_iter().enumerate().step_by(every()) {
        let random = &mut Random::new(seed, first + i as u64 + 1);
        let extreme = random.chance(6);
        let kernel = (conv.window.kernel_h, conv.window.kernel_w);
        let depth = kernel.0 * kernel.1 * conv.input.c;
        let elements = conv.input.h * conv.input.w * conv.input.c;
        let weights: Vec<i8> = random.values(depth * conv.output.c, -127, 127, extreme);
        let (input, seen, largest) = if usual || random.chance(2) {
            let pixels: Vec<u8> = random.values(elements, 0, 255, extreme);
            let zero: Vec<u8> = random.values(conv.input.c, 0, 255, extreme);
            let seen = ops::centre_pixels(&pixels, &zero);
            (Input::Image { pixels: placed(&pixels), zero: placed(&zero) }, seen, 255)
        } else {
            let narrow = random.size(0, 8) as u8;
            let values = stream(random, elements, narrow, extreme);
            let seen = ops::narrow_stream(&values, narrow);
            (Input::Stream { values, narrow }, seen, 128)
        };
        let spec = if usual { first_spec } else { spec };
        let spec = spec(random, conv.output, (depth * 127 * largest) as i64);
        let sums = ops::int8_conv(&oracle(&conv), &seen, &weights);
        let expected = expected(&spec, conv.output, &sums);
        let weights = pack_int8(&weights, kernel, (conv.input.c, conv.output.c));
        cases.push((i, conv, input, weights, spec, expected));
    }
    on_every_set(test, |kernels| {
        for (i, conv, input, weights, spec, expected) in &cases {
            let name = format!("{test} on {}, BITAT_SEED={seed}, case {i}", kernels.isa());
            let input = match input {
                Input::Image { pixels, zero } => Int8Input::Image { pixels, zero },
                Input::Stream { values, narrow } => Int8Input::Stream { values, narrow: *narrow },
            };
            check(&name, spec, conv, Operation::Int8Conv, expected, |rows, epilogue, scratch| {
                kernels.int8_conv(conv, input, weights, rows, epilogue, scratch)
            });
        }
        cases.len()
    });
}

#[test]
fn int8_conv() {
    run_dense("8-bit convolution", 3 << 32, |random| dense_convs(random, 1_000_000));
}

/// Images of few channels: the first layer.
#[test]
fn int8_conv_of_images() {
    run_dense("8-bit convolution of few channels", 4 << 32, |random| {
        let mut convs = Vec::new();
        for c_in in [1, 2, 3, 4, 5, 15, 17] {
            for c_out in [1, 8, 15, 16, 17, 32, 33] {
                let window = random.pick(&[(3, 3), (5, 5), (2, 2), (7, 7)]);
                convs.push(conv(random, window, (c_in, c_out), 1_000_000));
            }
        }
        convs
    });
}

/// Rows of many pixels, as the first layers of networks have.
#[test]
fn int8_conv_of_wide_images() {
    run_dense("8-bit convolution of wide images", 9 << 32, |random| {
        let mut convs = Vec::new();
        for kernel in [(3, 3), (5, 5), (7, 7), (4, 6), (2, 10), (11, 11)] {
            for c_in in [1, 3, 4] {
                for c_out in [24, 32, 64, 64] {
                    for _ in 0..4 {
                        let stride = random.size(1, 2);
                        let (pad_top, pad_left) =
                            (random.size(0, kernel.0 - 1), random.size(0, kernel.1 - 1));
                        let input = Shape { h: kernel.0, w: random.size(14, 60), c: c_in };
                        let output =
                            Shape { h: random.size(1, 2), w: (input.w - 1) / stride + 1, c: c_out };
                        let window = Window {
                            kernel_h: kernel.0,
                            kernel_w: kernel.1,
                            stride_h: stride,
                            stride_w: stride,
                            pad_top,
                            pad_left,
                        };
                        convs.push(Conv { input, output, window, groups: 1 });
                    }
                }
            }
        }
        convs
    });
}

/// 3×3 windows over one channel or three, as most first layers have.
#[test]
fn int8_conv_of_usual_images() {
    run_dense_with("8-bit convolution of usual images", 10 << 32, true, |random| {
        let mut convs = Vec::new();
        for c_in in [1, 3] {
            for c_out in [8, 16, 24, 32, 40, 64] {
                for _ in 0..16 {
                    let input = Shape { h: random.size(1, 9), w: random.size(1, 30), c: c_in };
                    let window = Window {
                        kernel_h: 3,
                        kernel_w: 3,
                        stride_h: random.size(1, 2),
                        stride_w: random.size(1, 2),
                        pad_top: random.size(0, 2),
                        pad_left: random.size(0, 2),
                    };
                    // Up to a tap outside at the end, or some pixels unread.
                    let side = |random: &mut Random, side: usize, stride: usize| {
                        (side.div_ceil(stride)).saturating_sub(random.size(0, 1)).max(1)
                    };
                    let output = Shape {
                        h: side(random, input.h, window.stride_h),
                        w: side(random, input.w, window.stride_w),
                        c: c_out,
                    };
                    convs.push(Conv { input, output, window, groups: 1 });
                }
            }
        }
        convs
    });
}

/// Windows that are laid out part by part, cut in the middle of a row.
#[test]
fn int8_conv_with_long_windows() {
    run_dense("8-bit convolution, long windows", 5 << 32, |random| {
        let mut convs = Vec::new();
        for (side, c_in) in [(1, 1024), (1, 1025), (1, 2050), (3, 130), (3, 700), (5, 41), (7, 75)]
        {
            for (out, c_out) in [((1, 1), 20), ((2, 5), 3), ((1, 2), 16)] {
                let mut one = conv(random, (side, side), (c_in, c_out), 1);
                (one.window.stride_h, one.window.stride_w) = (1, 1);
                one.input = Shape { h: out.0, w: out.1, c: c_in };
                (one.window.pad_top, one.window.pad_left) = (side / 2, side / 2);
                one.output = Shape { h: out.0, w: out.1, c: c_out };
                convs.push(one);
            }
        }
        convs
    });
}

#[test]
fn int8_depthwise() {
    let test = "8-bit depthwise";
    let seed = seed();
    let random = &mut Random::new(seed, 6 << 32);
    let mut convs = depthwise_convs(random, 100_000);
    // As almost all are, often enough that some have the epilogue that almost all have.
    // The last has more input than is in the cache, and so is done by bands of rows.
    for (c, h, w, count) in [
        (16, 7, 11, 40),
        (32, 7, 11, 40),
        (40, 7, 11, 40),
        (64, 7, 11, 40),
        (96, 7, 11, 40),
        (512, 15, 20, 4),
    ] {
        for stride in [1, 2].repeat(count) {
            let pad = random.size(0, 1);
            let [least_h, least_w] = if c < 512 { [1, 1] } else { [h, w] };
            let output = Shape { h: random.size(least_h, h), w: random.size(least_w, w), c };
            let side = |out: usize| ((out - 1) * stride + 2 - pad).max(stride * out);
            let input = Shape { h: side(output.h), w: side(output.w), c };
            let window = Window {
                kernel_h: 3,
                kernel_w: 3,
                stride_h: stride,
                stride_w: stride,
                pad_top: pad,
                pad_left: pad,
            };
            convs.push(Conv { input, output, window, groups: 1 });
        }
    }
    let mut cases = Vec::new();
    for (i, conv) in convs.into_iter().enumerate().step_by(every()) {
        let random = &mut Random::new(seed, i as u64 + (7 << 32));
        let extreme = random.chance(6);
        let taps = conv.window.kernel_h * conv.window.kernel_w;
        let narrow = random.size(0, 8) as u8;
        let values = stream(random, conv.input.h * conv.input.w * conv.input.c, narrow, extreme);
        let weights: Vec<i8> = random.values(taps * conv.input.c, -127, 127, extreme);
        let spec = spec(random, conv.output, (taps * 127 * 128) as i64);
        let seen = ops::narrow_stream(&values, narrow);
        let sums = ops::int8_depthwise(&oracle(&conv), &seen, &weights);
        let expected = expected(&spec, conv.output, &sums);
        cases.push((i, conv, values, narrow, placed(&weights), spec, expected));
    }
    on_every_set(test, |kernels| {
        for (i, conv, values, narrow, weights, spec, expected) in &cases {
            let name = format!("{test} on {}, BITAT_SEED={seed}, case {i}", kernels.isa());
            check(
                &name,
                spec,
                conv,
                Operation::Int8Depthwise,
                expected,
                |rows, epilogue, scratch| {
                    kernels.int8_depthwise(conv, values, *narrow, weights, rows, epilogue, scratch)
                },
            );
        }
        cases.len()
    });
}
