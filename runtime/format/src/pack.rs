//! Values to the packed layouts of [`crate::layout`] and back (feature `write`).
//!
//! Binary values stand unpacked as `i8`, −1 or +1; only the sign is looked at.

use alloc::vec;
use alloc::vec::Vec;

use crate::layout;

/// Packs pixels of `channels` values each (or the taps of binary depthwise
/// weights): one bits pixel for each.
///
/// # Panics
/// If `channels` is 0 or does not divide `values.len()`.
pub fn bits(values: &[i8], channels: usize) -> Vec<u8> {
    assert_eq!(values.len() % channels, 0, "whole pixels");
    let pixel = layout::bits_pixel_bytes(channels);
    let mut packed = vec![0; values.len() / channels * pixel];
    for (pixel, values) in packed.chunks_exact_mut(pixel).zip(values.chunks_exact(channels)) {
        for (c, &value) in values.iter().enumerate() {
            pixel[c / 8] |= u8::from(value < 0) << (c % 8);
        }
    }
    packed
}

/// The inverse of [`bits`].
///
/// # Panics
/// If `packed` is not a whole number of pixels.
pub fn unpack_bits(packed: &[u8], channels: usize) -> Vec<i8> {
    let pixel = layout::bits_pixel_bytes(channels);
    assert_eq!(packed.len() % pixel, 0, "whole pixels");
    let pixels = packed.chunks_exact(pixel);
    pixels.flat_map(|pixel| (0..channels).map(|c| plus_minus(pixel[c / 8], c % 8))).collect()
}

/// Packs binary convolution weights `[out][tap][in_per_group]`.
///
/// # Panics
/// If the weights are not that many, or `groups` does not divide `out_channels`.
pub fn binary_conv(
    weights: &[i8],
    taps: usize,
    in_per_group: usize,
    out_channels: usize,
    groups: usize,
) -> Vec<u8> {
    assert_eq!(weights.len(), out_channels * taps * in_per_group);
    assert_eq!(out_channels % groups, 0, "whole groups");
    let bytes = layout::binary_conv_bytes(taps, in_per_group * groups, out_channels, groups);
    let mut packed = vec![0; bytes];
    for_each_binary_weight(taps, in_per_group, out_channels, groups, |i, byte, bit| {
        packed[byte] |= u8::from(weights[i] < 0) << bit;
    });
    packed
}

/// The inverse of [`binary_conv`].
///
/// # Panics
/// If `packed` has another size than these shapes give.
pub fn unpack_binary_conv(
    packed: &[u8],
    taps: usize,
    in_per_group: usize,
    out_channels: usize,
    groups: usize,
) -> Vec<i8> {
    let bytes = layout::binary_conv_bytes(taps, in_per_group * groups, out_channels, groups);
    assert_eq!(packed.len(), bytes);
    let mut weights = vec![0; out_channels * taps * in_per_group];
    for_each_binary_weight(taps, in_per_group, out_channels, groups, |i, byte, bit| {
        weights[i] = plus_minus(packed[byte], bit);
    });
    weights
}

/// Calls `visit(index of the weight, its byte, its bit)` for every weight.
fn for_each_binary_weight(
    taps: usize,
    in_per_group: usize,
    out_channels: usize,
    groups: usize,
    mut visit: impl FnMut(usize, usize, usize),
) {
    let out_per_group = out_channels / groups;
    let steps = layout::binary_conv_steps(taps, in_per_group);
    let group_bytes = layout::binary_conv_group_bytes(steps, out_per_group);
    let mut i = 0;
    for out in 0..out_channels {
        let (group, channel) = (out / out_per_group, out % out_per_group);
        for tap in 0..taps {
            for c in 0..in_per_group {
                let step = tap * in_per_group.div_ceil(8) + c / 8;
                let byte = layout::binary_conv_offset(steps, out_per_group, channel, step);
                visit(i, group * group_bytes + byte, c % 8);
                i += 1;
            }
        }
    }
}

/// Packs 8-bit convolution weights `[out][k]`, `k` = taps × input channels.
///
/// # Panics
/// If the weights are not that many.
pub fn int8_conv(weights: &[i8], k: usize, out_channels: usize) -> Vec<i8> {
    assert_eq!(weights.len(), k * out_channels);
    let padded = k.next_multiple_of(layout::INT8_GROUP);
    let mut packed = vec![0; padded * out_channels];
    for (i, &weight) in weights.iter().enumerate() {
        packed[layout::int8_conv_offset(padded, out_channels, i / k, i % k)] = weight;
    }
    packed
}

/// The inverse of [`int8_conv`].
///
/// # Panics
/// If `packed` has another size than these shapes give.
pub fn unpack_int8_conv(packed: &[i8], k: usize, out_channels: usize) -> Vec<i8> {
    let padded = k.next_multiple_of(layout::INT8_GROUP);
    assert_eq!(packed.len(), padded * out_channels);
    let place = |i| layout::int8_conv_offset(padded, out_channels, i / k, i % k);
    (0..k * out_channels).map(|i| packed[place(i)]).collect()
}

fn plus_minus(byte: u8, bit: usize) -> i8 {
    1 - 2 * (byte >> bit & 1) as i8
}
