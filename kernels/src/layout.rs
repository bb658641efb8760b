//! How bits and weights lie in memory, as sizes and offsets.
//!
//! The packed file states the same layout; its crate and this one do not know
//! each other, and a third compares these functions at compile time. All
//! functions saturate instead of overflowing, so that the size of an absurd
//! shape matches no slice.
//!
//! - **Bits**: row, column, channel. A pixel takes [`pixel_bytes`]; channel `c`
//!   is bit `c % 8` (least significant first) of byte `c / 8`. 1 is negative.
//!   Bits past the last channel are 0.
//! - **Binary weights** (64-lane blocks, byte interleaved): per group, the
//!   output channels are cut into blocks of 64; the last has its remaining
//!   channels rounded up to a multiple of 8, missing ones 0. A block is a
//!   sequence of steps: tap by tap (row, then column), and within a tap one
//!   step per byte of input channels. A step holds one byte per lane: 8 input
//!   channels of one output channel. See [`binary_offset`].
//! - **Binary depthwise weights**: one pixel of bits per tap.
//! - **8-bit weights** (16-lane blocks, 4-byte groups): `kernel_h · kernel_w ·
//!   channels` flattened and padded with 0 to a multiple of 4; output channels
//!   cut into blocks of 16, the last with exactly what remains. Within a block:
//!   for each group of 4 along the flattened axis, 4 bytes per lane. See
//!   [`int8_offset`].
//! - **8-bit depthwise weights**: tap by tap, one byte per channel.

use crate::types::{Conv, Operation, Window};

/// Output channels in a full block of binary weights.
pub const BINARY_LANES: usize = 64;
/// Output channels in a full block of 8-bit weights.
pub const INT8_LANES: usize = 16;
/// Flattened 8-bit weights that lie together per lane.
pub const INT8_GROUP: usize = 4;

/// Bytes of one pixel of bits: whole 64-bit words.
pub const fn pixel_bytes(channels: usize) -> usize {
    channels.div_ceil(64).saturating_mul(8)
}

/// Bytes of a tensor of bits.
pub const fn bits_bytes(height: usize, width: usize, channels: usize) -> usize {
    height.saturating_mul(width).saturating_mul(pixel_bytes(channels))
}

/// Steps of a block of binary weights: one per tap and byte of input channels.
pub const fn binary_steps(kernel_h: usize, kernel_w: usize, channels_per_group: usize) -> usize {
    kernel_h.saturating_mul(kernel_w).saturating_mul(channels_per_group.div_ceil(8))
}

/// Lanes of the block of binary weights that starts at output channel `first`
/// of a group with `channels` output channels.
pub const fn binary_lanes(first: usize, channels: usize) -> usize {
    let left = channels.saturating_sub(first);
    if left >= BINARY_LANES { BINARY_LANES } else { left.div_ceil(8) * 8 }
}

/// Bytes of the binary weights of one group.
pub const fn binary_group_bytes(steps: usize, out_channels: usize) -> usize {
    steps.saturating_mul(out_channels.div_ceil(8).saturating_mul(8))
}

/// Bytes of all binary weights; both channel counts are per group.
pub const fn binary_weight_bytes(
    kernel_h: usize,
    kernel_w: usize,
    in_channels: usize,
    out_channels: usize,
    groups: usize,
) -> usize {
    binary_group_bytes(binary_steps(kernel_h, kernel_w, in_channels), out_channels)
        .saturating_mul(groups)
}

/// Where, within its group, the byte of `step` of output channel `channel` is.
pub const fn binary_offset(
    steps: usize,
    out_channels: usize,
    channel: usize,
    step: usize,
) -> usize {
    let first = channel / BINARY_LANES * BINARY_LANES;
    first * steps + step * binary_lanes(first, out_channels) + channel % BINARY_LANES
}

/// Bytes of binary depthwise weights.
pub const fn binary_depthwise_weight_bytes(
    kernel_h: usize,
    kernel_w: usize,
    channels: usize,
) -> usize {
    bits_bytes(kernel_h, kernel_w, channels)
}

/// Length of the flattened 8-bit axis with its padding.
pub const fn int8_depth(kernel_h: usize, kernel_w: usize, in_channels: usize) -> usize {
    let depth = kernel_h.saturating_mul(kernel_w).saturating_mul(in_channels);
    depth.div_ceil(INT8_GROUP).saturating_mul(INT8_GROUP)
}

/// Lanes of the block of 8-bit weights that starts at output channel `first`.
pub const fn int8_lanes(first: usize, channels: usize) -> usize {
    let left = channels.saturating_sub(first);
    if left >= INT8_LANES { INT8_LANES } else { left }
}

/// Bytes of 8-bit weights.
pub const fn int8_weight_bytes(
    kernel_h: usize,
    kernel_w: usize,
    in_channels: usize,
    out_channels: usize,
) -> usize {
    int8_depth(kernel_h, kernel_w, in_channels).saturating_mul(out_channels)
}

/// Where the weight of output channel `channel` at flattened position `k` is;
/// `depth` is [`int8_depth`].
pub const fn int8_offset(depth: usize, out_channels: usize, channel: usize, k: usize) -> usize {
    let first = channel / INT8_LANES * INT8_LANES;
    first * depth
        + (k / INT8_GROUP) * INT8_GROUP * int8_lanes(first, out_channels)
        + (channel % INT8_LANES) * INT8_GROUP
        + k % INT8_GROUP
}

/// Bytes of 8-bit depthwise weights.
pub const fn int8_depthwise_weight_bytes(
    kernel_h: usize,
    kernel_w: usize,
    channels: usize,
) -> usize {
    kernel_h.saturating_mul(kernel_w).saturating_mul(channels)
}

/// Output pixels of an 8-bit convolution that are laid out together, at most.
pub(crate) const INT8_RUN: usize = 32;
/// Bytes of windows above which no more than 4 of them are.
pub(crate) const INT8_RUN_BYTES: usize = 2048;
/// Flattened inputs that are laid out at once per pixel.
pub(crate) const INT8_CHUNK: usize = 1024;
/// Elements after a laid-out window that whole-vector stores may touch.
pub(crate) const INT8_SLACK: usize = 16;

/// Bytes of one laid-out window of an 8-bit convolution.
pub(crate) const fn int8_window_bytes(window: &Window, in_channels: usize) -> usize {
    let depth = int8_depth(window.kernel_h, window.kernel_w, in_channels);
    let chunk = if depth < INT8_CHUNK { depth } else { INT8_CHUNK };
    (chunk + INT8_SLACK) * 2
}

/// Output pixels of an 8-bit convolution whose windows are laid out together: 4
/// or a multiple of it, where there are so many.
pub(crate) const fn int8_run(conv: &Conv) -> usize {
    let pixels = conv.output.h.saturating_mul(conv.output.w);
    let fitting = INT8_RUN_BYTES / int8_window_bytes(&conv.window, conv.input.c);
    let run = if fitting < 4 { 4 } else { fitting / 4 * 4 };
    let run = if run < INT8_RUN { run } else { INT8_RUN };
    if run < pixels { run } else { pixels }
}

/// Output pixels of a binary depthwise convolution whose counts wait for the
/// epilogue together, at most.
pub(crate) const DEPTHWISE_RUN: usize = 16;

/// Bit planes that hold every count from 0 to `taps` and the threshold
/// `taps + 1`, which no count reaches.
pub(crate) const fn count_planes(taps: usize) -> usize {
    (usize::BITS - (taps + 1).leading_zeros()) as usize
}

/// Bytes of scratch an operation needs: the same for every [`crate::Isa`].
/// It needs no alignment and no particular contents.
pub const fn scratch_bytes(operation: Operation, conv: &Conv) -> usize {
    match operation {
        Operation::BinaryConv | Operation::Int8Depthwise => 0,
        // The counts of a run of pixels as bit planes, or the thresholds for even
        // and odd tap counts.
        Operation::BinaryDepthwise => {
            let taps = conv.window.kernel_h.saturating_mul(conv.window.kernel_w);
            let planes = if taps < usize::MAX { count_planes(taps) } else { 64 };
            pixel_bytes(conv.input.c).saturating_mul(DEPTHWISE_RUN * planes)
        }
        // The windows of a few output pixels, and that of an input of zeros.
        Operation::Int8Conv => (int8_run(conv) + 1) * int8_window_bytes(&conv.window, conv.input.c),
    }
}
