//! Convolutions: from values to accumulators (rules S14–S18).

use super::{Conv, Padding, narrow};

/// `pixel − zero[channel]` (S15). `pixels` are channels last.
pub fn centre_pixels(pixels: &[u8], zero: &[u8]) -> Vec<i16> {
    assert!(!zero.is_empty() && pixels.len().is_multiple_of(zero.len()), "length of pixels");
    pixels.iter().zip(zero.iter().cycle()).map(|(&x, &z)| i16::from(x) - i16::from(z)).collect()
}

/// `narrow(value)` of every value (S15). `shift` in 0..=8.
pub fn narrow_stream(values: &[i16], shift: u8) -> Vec<i16> {
    values.iter().map(|&x| narrow(x, shift).into()).collect()
}

/// 8-bit convolution (S15). `input` from [`centre_pixels`] or
/// [`narrow_stream`]; `weights` `[out][ky][kx][in / groups]`.
/// Returns the accumulators, in the order of the output.
pub fn int8_conv(conv: &Conv, input: &[i16], weights: &[i8]) -> Vec<i32> {
    dense(conv, input, weights, |_| 0)
}

/// 8-bit depthwise convolution (S16). `weights` `[ky][kx][channel]`.
pub fn int8_depthwise(conv: &Conv, input: &[i16], weights: &[i8]) -> Vec<i32> {
    depthwise(conv, input, weights, |_| 0)
}

/// Binary convolution (S17). `input` ±1; `weights` ±1 `[out][ky][kx][in / groups]`.
pub fn binary_conv(conv: &Conv, padding: Padding, input: &[i8], weights: &[i8]) -> Vec<i32> {
    let input = signs("input", input);
    signs("weights", weights);
    dense(conv, &input, weights, |weight| outside(padding, weight))
}

/// Binary depthwise convolution (S18). `input` ±1; `weights` ±1 `[ky][kx][channel]`.
pub fn binary_depthwise(conv: &Conv, padding: Padding, input: &[i8], weights: &[i8]) -> Vec<i32> {
    let input = signs("input", input);
    signs("weights", weights);
    depthwise(conv, &input, weights, |weight| outside(padding, weight))
}

/// What a tap outside the input adds (S10).
fn outside(padding: Padding, weight: i8) -> i64 {
    match padding {
        Padding::Zero => 0,
        Padding::One => weight.into(),
    }
}

fn signs(name: &str, values: &[i8]) -> Vec<i16> {
    assert!(values.iter().all(|v| matches!(v, -1 | 1)), "{name} not ±1");
    values.iter().map(|&v| v.into()).collect()
}

fn exact(acc: i64) -> i32 {
    i32::try_from(acc).expect("S14: the accumulator does not fit 32 bits")
}

fn dense(conv: &Conv, input: &[i16], weights: &[i8], outside: impl Fn(i8) -> i64) -> Vec<i32> {
    let (shape, window) = (conv.input, conv.window);
    let (in_group, out_group) = (conv.in_per_group(), conv.out_per_group());
    assert_eq!(in_group * conv.groups, shape.channels, "groups divide the input channels");
    assert_eq!(out_group * conv.groups, conv.output.channels, "groups divide the output channels");
    assert_eq!(input.len(), shape.elements(), "length of the input");
    let per_output = window.taps() * in_group;
    assert_eq!(weights.len(), conv.output.channels * per_output, "length of the weights");

    let mut accumulators = Vec::with_capacity(conv.output.elements());
    for oy in 0..conv.output.height {
        for ox in 0..conv.output.width {
            for o in 0..conv.output.channels {
                let first = o / out_group * in_group;
                let mut acc = 0i64;
                for ky in 0..window.kernel_h {
                    for kx in 0..window.kernel_w {
                        let tap = o * per_output + (ky * window.kernel_w + kx) * in_group;
                        let w = &weights[tap..tap + in_group];
                        match window.source(shape, (oy, ox), (ky, kx)) {
                            Some((row, column)) => {
                                let x = shape.index(row, column, first);
                                acc += dot(w, &input[x..x + in_group]);
                            }
                            None => acc += w.iter().map(|&w| outside(w)).sum::<i64>(),
                        }
                    }
                }
                accumulators.push(exact(acc));
            }
        }
    }
    accumulators
}

/// Σ w·x. In 32 bits, because a tap has at most 32768 channels and a product
/// at most 127 × 255: no overflow, and the compiler can use vectors.
fn dot(w: &[i8], x: &[i16]) -> i64 {
    assert!(w.len() <= 32768 && x.len() == w.len());
    let sum: i32 = w.iter().zip(x).map(|(&w, &x)| i32::from(w) * i32::from(x)).sum();
    sum.into()
}

fn depthwise(conv: &Conv, input: &[i16], weights: &[i8], outside: impl Fn(i8) -> i64) -> Vec<i32> {
    let (shape, window, channels) = (conv.input, conv.window, conv.output.channels);
    assert_eq!(shape.channels, channels, "channels of a depthwise convolution");
    assert_eq!(input.len(), shape.elements(), "length of the input");
    assert_eq!(weights.len(), window.taps() * channels, "length of the weights");

    let mut accumulators = Vec::with_capacity(conv.output.elements());
    for oy in 0..conv.output.height {
        for ox in 0..conv.output.width {
            for c in 0..channels {
                let mut acc = 0i64;
                for ky in 0..window.kernel_h {
                    for kx in 0..window.kernel_w {
                        let w = weights[(ky * window.kernel_w + kx) * channels + c];
                        acc += match window.source(shape, (oy, ox), (ky, kx)) {
                            Some((row, column)) => {
                                i64::from(w) * i64::from(input[shape.index(row, column, c)])
                            }
                            None => outside(w),
                        };
                    }
                }
                accumulators.push(exact(acc));
            }
        }
    }
    accumulators
}
