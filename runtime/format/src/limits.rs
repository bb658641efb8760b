//! Every limit of the format in one place (FORMAT.md, M).
//!
//! With these, sizes and offsets fit `usize` and `isize` on a 32-bit machine,
//! and accumulators fit `i32`; the assertions at the end say how.

/// Bytes of a file.
pub const FILE_BYTES: usize = 1 << 30;
/// Tensors of a network, the image included.
pub const TENSORS: usize = 1024;
/// Layers of a network. Each writes a tensor of its own.
pub const LAYERS: usize = TENSORS - 1;
/// Rows or columns of a tensor.
pub const SIDE: u16 = 4096;
/// Channels of a tensor.
pub const CHANNELS: u16 = 32768;
/// Bytes of one tensor in memory.
pub const TENSOR_BYTES: u64 = 1 << 28;
/// Bytes of one name.
pub const NAME_BYTES: usize = 1024;
/// Largest |binary point| of a stream.
pub const FRAC: i8 = 32;

/// Largest `narrow` of an 8-bit layer.
pub const NARROW: u8 = 8;
/// Smallest shift of a stream epilogue.
pub const SHIFT_MIN: i8 = -16;
/// Largest shift of a stream epilogue.
pub const SHIFT_MAX: i8 = 15;
/// Largest |shift| of a shortcut.
pub const SHORTCUT_SHIFT: i8 = 15;
/// Largest shift of a global average pool.
pub const POOL_SHIFT: u8 = 8;

/// Products per accumulator of a binary convolution.
pub const BINARY_K: u64 = 32767;
/// Largest |accumulator| of any convolution.
pub const ACC: u64 = 1 << 30;
/// Largest |8-bit weight × centred pixel|.
pub const IMAGE_PRODUCT: u64 = 127 * 255;
/// Largest |8-bit weight × narrowed stream value|.
pub const STREAM_PRODUCT: u64 = 127 * 128;
/// Elements of a mean, times 2^shift where the mean has a shift: then
/// 2·Σ + n, which the rounding division needs, fits `i32`.
pub const MEAN_ELEMENTS: u64 = 32767;

// The weights of the largest 8-bit convolution that B1 admits, zeros included,
// are counted in a 32-bit `usize` before the cursor compares them to the file.
const _: () = assert!((ACC / STREAM_PRODUCT + 4) * (CHANNELS as u64) < u32::MAX as u64);
// A binary convolution's: a byte per tap at least, so K bounds the K steps.
const _: () = assert!((BINARY_K * (CHANNELS as u64 + 8)) < u32::MAX as u64);
// `at + size` in the cursor's alignment step.
const _: () = assert!((FILE_BYTES + 16) < i32::MAX as usize);
const _: () = assert!(2 * MEAN_ELEMENTS * 32768 + MEAN_ELEMENTS <= i32::MAX as u64);
const _: () = assert!(TENSOR_BYTES <= i32::MAX as u64);
