//! What a caller can get wrong.

use core::fmt;

/// Why a kernel refused to run. Always the caller's fault, never the data's, and
/// nothing has been written when it is returned; but for [`Misuse::Internal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misuse {
    /// A side of the input or output is 0 or above 65535, or a depthwise
    /// operation has different channel counts.
    Shape,
    /// A kernel side or stride is 0 or above 65535, or a pad is not less than
    /// its kernel side.
    Window,
    /// `groups` does not divide the channels, or input channels per group are
    /// not a multiple of 8.
    Groups,
    /// A binary accumulator could leave ±32767, or an 8-bit one ±2^30.
    Accumulator,
    /// The rows asked for are not rows of the output.
    Rows,
    /// `narrow` is above 8.
    Narrow,
    /// A shift is out of its range.
    Shift,
    /// `input` (or `pixels`, `values`) has the wrong length.
    Input,
    /// `zero` does not have one entry per input channel.
    Zero,
    /// `weights` has the wrong length.
    Weights,
    /// `scratch` is shorter than [`crate::scratch_bytes`].
    Scratch,
    /// `thresholds` does not have one entry per output channel.
    Thresholds,
    /// `multiplier` does not have one entry per output channel.
    Multiplier,
    /// `bias` does not have one entry per output channel.
    Bias,
    /// The shortcut's `values` do not fit its shape, or its shape does not
    /// cover the output.
    Shortcut,
    /// `before`, `slope` or `after` does not have one entry per output channel.
    Prelu,
    /// `stream` (or the pool's `output`) has the wrong length.
    Stream,
    /// `bits` has the wrong length.
    Bits,
    /// `scores` has the wrong length, or the output is not 1×1.
    Scores,
    /// A bug of this crate: a kernel met a slice that is shorter than was checked,
    /// and stopped. Part of the output has been written.
    Internal,
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Misuse::Shape => "a shape is empty, too large, or its channels do not match",
            Misuse::Window => "a window side or stride is empty, too large, or less than its pad",
            Misuse::Groups => "groups do not divide the channels into whole bytes",
            Misuse::Accumulator => "the window is too large for the accumulator",
            Misuse::Rows => "the rows asked for are not rows of the output",
            Misuse::Narrow => "narrow is above 8",
            Misuse::Shift => "a shift is out of range",
            Misuse::Input => "the input has the wrong length",
            Misuse::Zero => "zero has the wrong length",
            Misuse::Weights => "the weights have the wrong length",
            Misuse::Scratch => "the scratch is too short",
            Misuse::Thresholds => "the thresholds have the wrong length",
            Misuse::Multiplier => "the multiplier has the wrong length",
            Misuse::Bias => "the bias has the wrong length",
            Misuse::Shortcut => "the shortcut does not fit the output",
            Misuse::Prelu => "a PReLU parameter has the wrong length",
            Misuse::Stream => "the stream written has the wrong length",
            Misuse::Bits => "the bits written have the wrong length",
            Misuse::Scores => "the scores have the wrong length or place",
            Misuse::Internal => "a bug of the kernels: a slice is shorter than was checked",
        })
    }
}

impl core::error::Error for Misuse {}
