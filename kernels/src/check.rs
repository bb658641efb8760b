//! Every length and range, checked before a kernel runs.
//!
//! The kernels cut slices by what is established here, so a mistake in this file is
//! at worst a panic, or on a device an error, never a read past an end: vectors are
//! loaded from slices whose length is checked again where they are loaded.

use core::ops::Range;

use crate::layout;
use crate::misuse::Misuse;
use crate::types::{Conv, Epilogue, Int8Input, Operation, Prelu, Shape, Shortcut, Sign, Window};

const SIDE: usize = 65535;

fn ensure(condition: bool, otherwise: Misuse) -> Result<(), Misuse> {
    if condition { Ok(()) } else { Err(otherwise) }
}

fn in_range(side: usize) -> bool {
    (1..=SIDE).contains(&side)
}

fn elements(shape: Shape) -> usize {
    shape.h.saturating_mul(shape.w).saturating_mul(shape.c)
}

fn shape(shape: Shape) -> Result<(), Misuse> {
    ensure(in_range(shape.h) && in_range(shape.w) && in_range(shape.c), Misuse::Shape)
}

fn window(window: &Window) -> Result<(), Misuse> {
    let sides = [window.kernel_h, window.kernel_w, window.stride_h, window.stride_w];
    ensure(
        sides.into_iter().all(in_range)
            && window.pad_top < window.kernel_h
            && window.pad_left < window.kernel_w,
        Misuse::Window,
    )
}

/// Geometry common to all convolutions.
fn geometry(conv: &Conv, rows: &Range<usize>) -> Result<(), Misuse> {
    shape(conv.input)?;
    shape(conv.output)?;
    window(&conv.window)?;
    ensure(rows.start <= rows.end && rows.end <= conv.output.h, Misuse::Rows)
}

fn scratch(operation: Operation, conv: &Conv, scratch: &[u8]) -> Result<(), Misuse> {
    ensure(scratch.len() >= layout::scratch_bytes(operation, conv), Misuse::Scratch)
}

/// `K ≤ 32767`, so that accumulators and mismatch counts fit 16 bits.
fn binary_accumulator(conv: &Conv, channels: usize) -> Result<(), Misuse> {
    let window = &conv.window;
    let terms = window.kernel_h.saturating_mul(window.kernel_w).saturating_mul(channels);
    ensure(terms <= 32767, Misuse::Accumulator)
}

pub(crate) fn binary_conv(
    conv: &Conv,
    input: &[u8],
    weights: &[u8],
    rows: &Range<usize>,
    epilogue: &Epilogue<'_>,
    scratch_given: &[u8],
) -> Result<(), Misuse> {
    geometry(conv, rows)?;
    let (groups, c_in, c_out) = (conv.groups, conv.input.c, conv.output.c);
    ensure(groups >= 1 && c_in % groups == 0 && c_out % groups == 0, Misuse::Groups)?;
    let c_in = c_in / groups;
    ensure(groups == 1 || c_in.is_multiple_of(8), Misuse::Groups)?;
    binary_accumulator(conv, c_in)?;
    let (kh, kw) = (conv.window.kernel_h, conv.window.kernel_w);
    ensure(
        weights.len() == layout::binary_weight_bytes(kh, kw, c_in, c_out / groups, groups),
        Misuse::Weights,
    )?;
    bits_input(conv.input, input)?;
    scratch(Operation::BinaryConv, conv, scratch_given)?;
    outputs(conv.output, rows, epilogue)
}

pub(crate) fn binary_depthwise(
    conv: &Conv,
    input: &[u8],
    weights: &[u8],
    rows: &Range<usize>,
    epilogue: &Epilogue<'_>,
    scratch_given: &[u8],
) -> Result<(), Misuse> {
    geometry(conv, rows)?;
    ensure(conv.input.c == conv.output.c, Misuse::Shape)?;
    binary_accumulator(conv, 1)?;
    let (kh, kw) = (conv.window.kernel_h, conv.window.kernel_w);
    ensure(
        weights.len() == layout::binary_depthwise_weight_bytes(kh, kw, conv.input.c),
        Misuse::Weights,
    )?;
    bits_input(conv.input, input)?;
    scratch(Operation::BinaryDepthwise, conv, scratch_given)?;
    outputs(conv.output, rows, epilogue)
}

pub(crate) fn int8_conv(
    conv: &Conv,
    input: &Int8Input<'_>,
    weights: &[i8],
    rows: &Range<usize>,
    epilogue: &Epilogue<'_>,
    scratch_given: &[u8],
) -> Result<(), Misuse> {
    geometry(conv, rows)?;
    ensure(conv.groups == 1, Misuse::Groups)?;
    match *input {
        Int8Input::Image { pixels, zero } => {
            ensure(pixels.len() == elements(conv.input), Misuse::Input)?;
            ensure(zero.len() == conv.input.c, Misuse::Zero)?;
        }
        Int8Input::Stream { values, narrow } => {
            ensure(values.len() == elements(conv.input), Misuse::Input)?;
            ensure(narrow <= 8, Misuse::Narrow)?;
        }
    }
    let (kh, kw) = (conv.window.kernel_h, conv.window.kernel_w);
    ensure(
        weights.len() == layout::int8_weight_bytes(kh, kw, conv.input.c, conv.output.c),
        Misuse::Weights,
    )?;
    scratch(Operation::Int8Conv, conv, scratch_given)?;
    outputs(conv.output, rows, epilogue)
}

pub(crate) fn int8_depthwise(
    conv: &Conv,
    input: &[i16],
    narrow: u8,
    weights: &[i8],
    rows: &Range<usize>,
    epilogue: &Epilogue<'_>,
    scratch_given: &[u8],
) -> Result<(), Misuse> {
    geometry(conv, rows)?;
    ensure(conv.input.c == conv.output.c, Misuse::Shape)?;
    ensure(narrow <= 8, Misuse::Narrow)?;
    let (kh, kw) = (conv.window.kernel_h, conv.window.kernel_w);
    ensure(
        weights.len() == layout::int8_depthwise_weight_bytes(kh, kw, conv.input.c),
        Misuse::Weights,
    )?;
    ensure(input.len() == elements(conv.input), Misuse::Input)?;
    scratch(Operation::Int8Depthwise, conv, scratch_given)?;
    outputs(conv.output, rows, epilogue)
}

pub(crate) fn global_average_pool(
    input_shape: Shape,
    shift: u8,
    input: &[i16],
    output: &[i16],
) -> Result<(), Misuse> {
    shape(input_shape)?;
    ensure(shift <= 8, Misuse::Shift)?;
    ensure(input.len() == elements(input_shape), Misuse::Input)?;
    ensure(output.len() == input_shape.c, Misuse::Stream)
}

fn bits_input(shape: Shape, input: &[u8]) -> Result<(), Misuse> {
    ensure(input.len() == layout::bits_bytes(shape.h, shape.w, shape.c), Misuse::Input)
}

fn bits_output(out: Shape, rows: usize, bits: &[u8]) -> Result<(), Misuse> {
    ensure(bits.len() == layout::bits_bytes(rows, out.w, out.c), Misuse::Bits)
}

fn outputs(out: Shape, rows: &Range<usize>, epilogue: &Epilogue<'_>) -> Result<(), Misuse> {
    let rows = rows.len();
    let per_channel = |length: usize, otherwise| ensure(length == out.c, otherwise);
    match epilogue {
        Epilogue::Threshold { thresholds, bits } => {
            per_channel(thresholds.len(), Misuse::Thresholds)?;
            bits_output(out, rows, bits)
        }
        Epilogue::Stream { shift, multiplier, bias, shortcut, prelu, stream, sign } => {
            ensure((-16..=15).contains(shift), Misuse::Shift)?;
            per_channel(multiplier.len(), Misuse::Multiplier)?;
            per_channel(bias.len(), Misuse::Bias)?;
            if let Some(taken) = shortcut {
                check_shortcut(out, taken)?;
            }
            if let Some(Prelu { before, slope, after }) = prelu {
                for one in [before, slope, after] {
                    per_channel(one.len(), Misuse::Prelu)?;
                }
            }
            if let Some(stream) = stream {
                let expected = rows.saturating_mul(out.w).saturating_mul(out.c);
                ensure(stream.len() == expected, Misuse::Stream)?;
            }
            if let Some(Sign { thresholds, bits }) = sign {
                per_channel(thresholds.len(), Misuse::Thresholds)?;
                bits_output(out, rows, bits)?;
            }
            Ok(())
        }
        Epilogue::Scores { multiplier, bias, scores } => {
            ensure((out.h, out.w) == (1, 1), Misuse::Scores)?;
            per_channel(multiplier.len(), Misuse::Multiplier)?;
            per_channel(bias.len(), Misuse::Bias)?;
            ensure(scores.len() == rows * out.c, Misuse::Scores)
        }
    }
}

/// Every output pixel reads at least one pixel of the shortcut, so its mean is
/// over at least one element.
fn check_shortcut(out: Shape, taken: &Shortcut<'_>) -> Result<(), Misuse> {
    ensure((-15..=15).contains(&taken.shift), Misuse::Shift)?;
    let Shape { h, w, c } = taken.shape;
    ensure(
        [h, w, c, taken.pool].into_iter().all(in_range)
            && taken.values.len() == elements(taken.shape)
            && ((out.h - 1) as u64) * (taken.pool as u64) < h as u64
            && ((out.w - 1) as u64) * (taken.pool as u64) < w as u64,
        Misuse::Shortcut,
    )
}
