//! Sizes and places of packed values, as const functions (FORMAT.md, L).
//!
//! The kernels state the same layouts in their own crate; the runtime asserts
//! at compile time that the two agree. Sizes are in bytes. Arguments are
//! expected within [`crate::limits`]; there nothing overflows a 32-bit `usize`.

/// Channels per block of a [`Kind::Bits`](crate::Kind::Bits) pixel, and output
/// channels per block of binary convolution weights.
pub const BINARY_LANES: usize = 64;

/// Output channels per block of 8-bit convolution weights.
pub const INT8_LANES: usize = 16;

/// Consecutive weights of one lane in 8-bit convolution weights.
pub const INT8_GROUP: usize = 4;

/// Every blob of the file starts at a multiple of this.
pub const BLOB_ALIGN: usize = 16;

/// The buffer that holds the file starts at a multiple of this.
pub const BUFFER_ALIGN: usize = 4;

/// `at` rounded up to a multiple of [`BLOB_ALIGN`].
pub const fn align_blob(at: usize) -> usize {
    at.next_multiple_of(BLOB_ALIGN)
}

/// Bytes from one pixel of a bits tensor to the next.
/// Channel `c` is bit `c % 8`, least significant first, of byte `c / 8`.
pub const fn bits_pixel_bytes(channels: usize) -> usize {
    channels.div_ceil(BINARY_LANES) * (BINARY_LANES / 8)
}

/// K steps of a binary convolution: taps × bytes of input channels per tap.
pub const fn binary_conv_steps(taps: usize, in_per_group: usize) -> usize {
    taps * in_per_group.div_ceil(8)
}

/// Bytes of one group's weights of a binary convolution.
pub const fn binary_conv_group_bytes(steps: usize, out_per_group: usize) -> usize {
    steps * out_per_group.next_multiple_of(8)
}

/// Bytes of all weights of a binary convolution; none for no groups.
pub const fn binary_conv_bytes(
    taps: usize,
    in_channels: usize,
    out_channels: usize,
    groups: usize,
) -> usize {
    match (in_channels.checked_div(groups), out_channels.checked_div(groups)) {
        (Some(inputs), Some(outputs)) => {
            groups * binary_conv_group_bytes(binary_conv_steps(taps, inputs), outputs)
        }
        _ => 0,
    }
}

/// Lanes (bytes per K step) of the block that holds output channel `channel`
/// of a group: 64, or for the last block what is left rounded up to 8.
pub const fn binary_conv_lanes(out_per_group: usize, channel: usize) -> usize {
    let left = out_per_group - channel / BINARY_LANES * BINARY_LANES;
    if left < BINARY_LANES { left.next_multiple_of(8) } else { BINARY_LANES }
}

/// Place, within its group's weights, of the byte that holds K step `step` of
/// the group's output channel `channel`.
pub const fn binary_conv_offset(
    steps: usize,
    out_per_group: usize,
    channel: usize,
    step: usize,
) -> usize {
    let block = channel / BINARY_LANES;
    block * BINARY_LANES * steps
        + step * binary_conv_lanes(out_per_group, channel)
        + channel % BINARY_LANES
}

/// Bytes of the weights of a binary depthwise convolution: one bits pixel per tap.
pub const fn binary_depthwise_bytes(taps: usize, channels: usize) -> usize {
    taps * bits_pixel_bytes(channels)
}

/// Weights per output channel of an 8-bit convolution, zeros at the end included.
pub const fn int8_conv_padded_k(taps: usize, in_channels: usize) -> usize {
    (taps * in_channels).next_multiple_of(INT8_GROUP)
}

/// Bytes of the weights of an 8-bit convolution.
pub const fn int8_conv_bytes(taps: usize, in_channels: usize, out_channels: usize) -> usize {
    int8_conv_padded_k(taps, in_channels) * out_channels
}

/// Place of weight `k` of output channel `channel` of an 8-bit convolution.
pub const fn int8_conv_offset(
    padded_k: usize,
    out_channels: usize,
    channel: usize,
    k: usize,
) -> usize {
    let block = channel / INT8_LANES;
    let left = out_channels - block * INT8_LANES;
    let lanes = if left < INT8_LANES { left } else { INT8_LANES };
    block * INT8_LANES * padded_k
        + k / INT8_GROUP * (INT8_GROUP * lanes)
        + channel % INT8_LANES * INT8_GROUP
        + k % INT8_GROUP
}

/// Bytes of the weights of an 8-bit depthwise convolution.
pub const fn int8_depthwise_bytes(taps: usize, channels: usize) -> usize {
    taps * channels
}
