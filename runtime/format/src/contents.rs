//! What stands in the blobs (FORMAT.md, W): values that the arithmetic relies
//! on never to occur, and padding that must be zero.

use crate::error::{Error, ErrorKind};
use crate::layer::{Decoded, EpilogueView, OperationView};
use crate::layout;

/// An error at element `i` of `slice`, which lies in `file`.
pub(crate) fn fail<T, R>(kind: ErrorKind, file: &[u8], slice: &[T], i: usize) -> Result<R, Error> {
    let start = slice.as_ptr().addr() - file.as_ptr().addr();
    Err(Error::new(kind, start + i * size_of::<T>()))
}

/// Checks every value of a layer's blobs.
pub(crate) fn check(file: &[u8], layer: &Decoded<'_>) -> Result<(), Error> {
    let c_in = usize::from(layer.geometry.input.channels);
    let c_out = usize::from(layer.geometry.output.channels);
    let taps = layer.geometry.taps;
    let epilogue = match layer.operation {
        OperationView::Int8Conv { weights, epilogue, .. } => {
            not_minimum(file, weights, i8::MIN, ErrorKind::Weight)?;
            int8_padding(file, weights, taps * c_in, c_out)?;
            epilogue
        }
        OperationView::Int8Depthwise { weights, epilogue, .. } => {
            not_minimum(file, weights, i8::MIN, ErrorKind::Weight)?;
            epilogue
        }
        OperationView::BinaryConv { weights, epilogue, groups, .. } => {
            let groups = usize::from(groups);
            binary_padding(file, weights, taps, c_in / groups, c_out / groups)?;
            epilogue
        }
        OperationView::BinaryDepthwise { weights, epilogue, .. } => {
            let pixel = layout::bits_pixel_bytes(c_in);
            for tap in weights.chunks_exact(pixel) {
                for (i, &byte) in tap.iter().enumerate().skip(c_in / 8) {
                    if byte & !used_bits(c_in, i) != 0 {
                        return fail(ErrorKind::Weight, file, tap, i);
                    }
                }
            }
            epilogue
        }
        OperationView::GlobalAveragePool { .. } => return Ok(()),
    };
    match epilogue {
        EpilogueView::Threshold { .. } => Ok(()),
        EpilogueView::Stream { multiplier, prelu, .. } => {
            not_minimum(file, multiplier, i16::MIN, ErrorKind::Range)?;
            let slope = prelu.map_or(&[][..], |prelu| prelu.slope);
            not_minimum(file, slope, i16::MIN, ErrorKind::Range)
        }
        EpilogueView::Scores { multiplier, bias, .. } => {
            not_minimum(file, multiplier, i16::MIN, ErrorKind::Range)?;
            let largest = |(&multiplier, &bias): (&i16, &i32)| {
                // At most 2^30 · 2^15 + 2^31.
                layer.geometry.acc * u64::from(multiplier.unsigned_abs())
                    + u64::from(bias.unsigned_abs())
            };
            let mut scores = multiplier.iter().zip(bias).map(largest);
            match scores.position(|score| score > i32::MAX as u64) {
                Some(i) => fail(ErrorKind::Overflow, file, multiplier, i),
                None => Ok(()),
            }
        }
    }
}

/// Refuses the one value whose negative does not exist.
fn not_minimum<T: Copy + PartialEq>(
    file: &[u8],
    values: &[T],
    minimum: T,
    kind: ErrorKind,
) -> Result<(), Error> {
    match values.iter().position(|&value| value == minimum) {
        Some(i) => fail(kind, file, values, i),
        None => Ok(()),
    }
}

/// The bits of byte `i` that channels below `channels` have.
fn used_bits(channels: usize, i: usize) -> u8 {
    match channels.saturating_sub(i * 8) {
        left @ 0..8 => !(0xFF << left),
        _ => 0xFF,
    }
}

/// Weights from `k` on, which only fill the last group of four, are 0.
fn int8_padding(file: &[u8], weights: &[i8], k: usize, channels: usize) -> Result<(), Error> {
    let padded = k.next_multiple_of(layout::INT8_GROUP);
    for channel in 0..channels {
        for k in k..padded {
            let i = layout::int8_conv_offset(padded, channels, channel, k);
            if weights.get(i).is_some_and(|&weight| weight != 0) {
                return fail(ErrorKind::Weight, file, weights, i);
            }
        }
    }
    Ok(())
}

/// In every K step, lanes without an output channel are 0; in the last step of
/// every tap, so are the bits without an input channel.
fn binary_padding(
    file: &[u8],
    weights: &[u8],
    taps: usize,
    c_in: usize,
    c_out: usize,
) -> Result<(), Error> {
    if c_in.is_multiple_of(8) && c_out.is_multiple_of(8) {
        return Ok(());
    }
    let steps_per_tap = c_in.div_ceil(8);
    let steps = taps * steps_per_tap;
    let group_bytes = layout::binary_conv_group_bytes(steps, c_out);
    for group in weights.chunks_exact(group_bytes) {
        let mut rest = group;
        let mut first = 0;
        while first < c_out {
            let lanes = layout::binary_conv_lanes(c_out, first);
            let (block, after) = rest.split_at_checked(steps * lanes).unwrap_or((rest, &[]));
            for (step, row) in block.chunks_exact(lanes).enumerate() {
                let used = used_bits(c_in, step % steps_per_tap);
                for (lane, &byte) in row.iter().enumerate() {
                    let used = if first + lane < c_out { used } else { 0 };
                    if byte & !used != 0 {
                        return fail(ErrorKind::Weight, file, row, lane);
                    }
                }
            }
            rest = after;
            first += layout::BINARY_LANES;
        }
    }
    Ok(())
}
