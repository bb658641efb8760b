//! What a kernel is told: shapes, windows, inputs and the epilogue.

/// Sides of a tensor, in elements. Order in memory: row, column, channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows, 1..=65535.
    pub h: usize,
    /// Columns, 1..=65535.
    pub w: usize,
    /// Channels, 1..=65535.
    pub c: usize,
}

/// Window of a convolution, in pixels. Bottom and right padding follow from
/// the output's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Rows of the kernel, 1..=65535.
    pub kernel_h: usize,
    /// Columns of the kernel, 1..=65535.
    pub kernel_w: usize,
    /// Vertical stride, 1..=65535.
    pub stride_h: usize,
    /// Horizontal stride, 1..=65535.
    pub stride_w: usize,
    /// Rows above the input, less than `kernel_h`.
    pub pad_top: usize,
    /// Columns left of the input, less than `kernel_w`.
    pub pad_left: usize,
}

/// A convolution's geometry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv {
    /// What is read.
    pub input: Shape,
    /// What is written.
    pub output: Shape,
    /// The window.
    pub window: Window,
    /// Groups of a binary convolution; divides both channel counts, and input
    /// channels per group are a multiple of 8 unless it is 1. Always 1 for
    /// [`Operation::Int8Conv`]; for the depthwise operations, which are one
    /// group per channel by definition, it is not read.
    pub groups: usize,
}

/// The operations that are given a [`Conv`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// [`crate::Kernels::binary_conv`].
    BinaryConv,
    /// [`crate::Kernels::binary_depthwise`].
    BinaryDepthwise,
    /// [`crate::Kernels::int8_conv`].
    Int8Conv,
    /// [`crate::Kernels::int8_depthwise`].
    Int8Depthwise,
}

/// Kinds of multiply-accumulates, for [`crate::Kernels::peak`].
#[cfg(feature = "std")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// ±1 by ±1: xor, popcount, add.
    Binary,
    /// 8-bit weights by what an 8-bit convolution reads, in 32 bits.
    Int8,
}

/// What a binary convolution reads outside its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// The tap adds nothing.
    Zero,
    /// The tap reads +1.
    One,
}

/// The input of an 8-bit convolution.
#[derive(Clone, Copy, Debug)]
pub enum Int8Input<'a> {
    /// An image: the arithmetic sees `pixel − zero[channel]`.
    Image {
        /// Row, column, channel.
        pixels: &'a [u8],
        /// One per channel.
        zero: &'a [u8],
    },
    /// A stream: the arithmetic sees `clamp(rshr(x, narrow), −128, 127)`.
    Stream {
        /// Row, column, channel.
        values: &'a [i16],
        /// 0..=8.
        narrow: u8,
    },
}

/// From accumulators to tensors.
///
/// The slices written (`bits`, `stream`, `scores`) hold the rows asked for and
/// nothing else, so that rows can be split over threads; the shortcut's
/// `values` are the whole tensor. Bits are written per pixel with the layout of
/// [`crate::layout::pixel_bytes`], tail bits 0.
#[derive(Debug)]
pub enum Epilogue<'a> {
    /// bit = `acc < thresholds[c]`.
    Threshold {
        /// One per output channel.
        thresholds: &'a [i32],
        /// The rows asked for.
        bits: &'a mut [u8],
    },
    /// `y = sat(mulr(sat(acc · 2^shift), multiplier[c]) + bias[c])`, then the
    /// shortcut, then the shifted PReLU. Stored as a stream, as bits, or both.
    Stream {
        /// −16..=15; negative shifts right and rounds.
        shift: i8,
        /// One per output channel, Q15, ≠ −32768.
        multiplier: &'a [i16],
        /// One per output channel.
        bias: &'a [i16],
        /// Added after scale and bias.
        shortcut: Option<Shortcut<'a>>,
        /// Applied after the shortcut.
        prelu: Option<Prelu<'a>>,
        /// The rows asked for.
        stream: Option<&'a mut [i16]>,
        /// bit = `y < thresholds[c]`.
        sign: Option<Sign<'a>>,
    },
    /// `score = acc · multiplier[c] + bias[c]`; only for a 1×1 output.
    Scores {
        /// One per output channel.
        multiplier: &'a [i16],
        /// One per output channel.
        bias: &'a [i32],
        /// One per output channel.
        scores: &'a mut [i32],
    },
}

/// A parameter-free shortcut from an earlier stream: mean over `pool × pool`
/// pixels (clipped at the border) and over the input channels `c, c + C, …` of
/// output channel `c` out of `C`; with fewer input than output channels,
/// channel `c mod C_in`. One rounded division, then the shift.
#[derive(Clone, Copy, Debug)]
pub struct Shortcut<'a> {
    /// The whole tensor, of `shape`.
    pub values: &'a [i16],
    /// Shape of `values`.
    pub shape: Shape,
    /// Pixels per side that become one, 1..=65535.
    pub pool: usize,
    /// −15..=15: left shifts saturate, right shifts round.
    pub shift: i8,
}

/// `f(y) = g(y − before[c]) + after[c]`, `g(y) = y` for `y ≥ 0`, else `mulr(y, slope[c])`.
#[derive(Clone, Copy, Debug)]
pub struct Prelu<'a> {
    /// One per output channel.
    pub before: &'a [i16],
    /// One per output channel, Q15, ≠ −32768.
    pub slope: &'a [i16],
    /// One per output channel.
    pub after: &'a [i16],
}

/// Re-binarisation of a stream: bit = `y < thresholds[c]`.
#[derive(Debug)]
pub struct Sign<'a> {
    /// One per output channel.
    pub thresholds: &'a [i16],
    /// The rows asked for.
    pub bits: &'a mut [u8],
}
