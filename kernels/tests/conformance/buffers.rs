//! Buffers that notice, and packing by the documented offsets.

use std::fmt::Debug;

use bitat_kernels::layout;

const GUARD: usize = 64;

/// A buffer to be written, guarded on both sides.
pub(crate) struct Guarded<T> {
    all: Vec<T>,
    guard: T,
}

impl<T: Copy + PartialEq + Debug> Guarded<T> {
    /// `count` elements that hold `dirt` until they are written.
    pub(crate) fn new(count: usize, dirt: T, guard: T) -> Self {
        let mut all = vec![guard; count + 2 * GUARD];
        all[GUARD..GUARD + count].fill(dirt);
        Guarded { all, guard }
    }

    pub(crate) fn part(&mut self) -> &mut [T] {
        let end = self.all.len() - GUARD;
        &mut self.all[GUARD..end]
    }

    /// The elements, after a look at the guards.
    pub(crate) fn checked(self, name: &str) -> Vec<T> {
        let (before, rest) = self.all.split_at(GUARD);
        let (inside, after) = rest.split_at(rest.len() - GUARD);
        assert!(before.iter().all(|v| *v == self.guard), "{name}: written before the start");
        assert!(after.iter().all(|v| *v == self.guard), "{name}: written past the end");
        inside.to_vec()
    }
}

/// The same elements in an allocation that ends with them.
pub(crate) fn exact<T: Clone>(values: &[T]) -> Box<[T]> {
    values.to_vec().into_boxed_slice()
}

/// ±1 `[pixel][channel]` to a tensor of bits.
pub(crate) fn pack_bits(values: &[i8], channels: usize) -> Box<[u8]> {
    let pixel = layout::pixel_bytes(channels);
    let mut bytes = vec![0; values.len() / channels * pixel];
    for (i, &value) in values.iter().enumerate() {
        let (p, c) = (i / channels, i % channels);
        bytes[p * pixel + c / 8] |= u8::from(value < 0) << (c % 8);
    }
    bytes.into_boxed_slice()
}

/// ±1 `[out][tap][in]` (channels per group) to binary weights.
pub(crate) fn pack_binary(
    values: &[i8],
    (kernel_h, kernel_w): (usize, usize),
    (in_channels, out_channels): (usize, usize),
    groups: usize,
) -> Box<[u8]> {
    let steps = layout::binary_steps(kernel_h, kernel_w, in_channels);
    let group_bytes = layout::binary_group_bytes(steps, out_channels);
    let all = layout::binary_weight_bytes(kernel_h, kernel_w, in_channels, out_channels, groups);
    let mut bytes = vec![0; all];
    let per_out = kernel_h * kernel_w * in_channels;
    for (i, &value) in values.iter().enumerate() {
        let (group, out) = (i / per_out / out_channels, i / per_out % out_channels);
        let (tap, channel) = (i % per_out / in_channels, i % in_channels);
        let step = tap * in_channels.div_ceil(8) + channel / 8;
        let at = layout::binary_offset(steps, out_channels, out, step);
        bytes[group * group_bytes + at] |= u8::from(value < 0) << (channel % 8);
    }
    bytes.into_boxed_slice()
}

/// `[out][flattened]` to 8-bit weights.
pub(crate) fn pack_int8(
    values: &[i8],
    (kernel_h, kernel_w): (usize, usize),
    (in_channels, out_channels): (usize, usize),
) -> Box<[i8]> {
    let depth = layout::int8_depth(kernel_h, kernel_w, in_channels);
    let mut packed = vec![0; depth * out_channels];
    let per_out = kernel_h * kernel_w * in_channels;
    for (i, &value) in values.iter().enumerate() {
        packed[layout::int8_offset(depth, out_channels, i / per_out, i % per_out)] = value;
    }
    packed.into_boxed_slice()
}
