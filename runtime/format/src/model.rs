//! The owned form of a packed network (feature `write`).
//!
//! Weights stand here unpacked, one `i8` each, in the order a reader of the
//! mathematics expects. How they are laid out in the file is the business of
//! the writer and of [`crate::View`] alone, so that the oracle, which runs on
//! this type, does not depend on any packing.

use alloc::string::String;
use alloc::vec::Vec;

pub use crate::types::{Kind, Padding, Shortcut, Tensor, TensorId, Window};

/// A whole network: integers only, from the bytes of an image to the scores.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Name of the network, for people.
    pub name: String,
    /// How pixels enter.
    pub input: Input,
    /// One name per class, in score order. Empty when the names are unknown.
    pub classes: Vec<String>,
    /// Every tensor. `tensors[0]` is the image.
    pub tensors: Vec<Tensor>,
    /// In execution order: a layer reads only tensors written before it.
    pub layers: Vec<Layer>,
    /// One score unit in the float network's logits (score × this = logit).
    /// Information for people and `--logits`; the integers decide.
    pub score_scale: f32,
}

/// Preprocessing. The network's arithmetic sees `pixel − zero[channel]`.
///
/// `mean` and `std` (0–255 scale) say which float preprocessing that stands
/// for; the division by `std` is folded into the first layer's weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// Per channel: the pixel value that counts as 0 (`mean`, rounded).
    pub zero: Vec<u8>,
    /// Per channel, 0–255 scale.
    pub mean: Vec<f32>,
    /// Per channel, 0–255 scale, > 0.
    pub std: Vec<f32>,
}

/// One step of the network.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Name, usually that of the float network's node.
    pub name: String,
    /// The tensor read.
    pub input: TensorId,
    /// What is computed.
    pub operation: Operation,
}

/// What a layer computes and what happens to the accumulators.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// 8-bit convolution over all input channels: the stem, an 8-bit pointwise
    /// layer, the classifier (a window over the whole input).
    /// The accumulator is Σ w·x over the taps inside the input.
    Int8Conv {
        /// Window.
        window: Window,
        /// Stream input only: it enters as `narrow(x)`, a rounding right shift that saturates to `i8`. 0..=8.
        narrow: u8,
        /// `[out][ky][kx][in]`, each in −127..=127.
        weights: Vec<i8>,
        /// What happens to the accumulators.
        epilogue: Epilogue,
    },
    /// 8-bit convolution of each channel by itself; input is a stream.
    Int8Depthwise {
        /// Window.
        window: Window,
        /// As in [`Operation::Int8Conv`].
        narrow: u8,
        /// `[ky][kx][channel]`, each in −127..=127.
        weights: Vec<i8>,
        /// What happens to the accumulators.
        epilogue: Epilogue,
    },
    /// Convolution of ±1 by ±1; input is bits.
    /// Input channels per group are a multiple of 8 unless `groups` is 1.
    BinaryConv {
        /// Window.
        window: Window,
        /// Groups; divides input and output channels.
        groups: u16,
        /// What a tap outside the input reads.
        padding: Padding,
        /// `[out][ky][kx][in / groups]`, each −1 or +1.
        weights: Vec<i8>,
        /// What happens to the accumulators.
        epilogue: Epilogue,
    },
    /// Convolution of ±1 by ±1 of each channel by itself; input is bits.
    BinaryDepthwise {
        /// Window.
        window: Window,
        /// What a tap outside the input reads.
        padding: Padding,
        /// `[ky][kx][channel]`, each −1 or +1.
        weights: Vec<i8>,
        /// What happens to the accumulators.
        epilogue: Epilogue,
    },
    /// Mean of a stream over all pixels: `rdiv(Σ x · 2^shift, height·width)`,
    /// saturated to `i16`.
    GlobalAveragePool {
        /// Extra fractional bits kept, 0..=8.
        shift: u8,
        /// The 1×1 stream written.
        output: TensorId,
    },
}

impl Operation {
    /// What happens to the accumulators; `None` for the pool, which has none.
    pub fn epilogue(&self) -> Option<&Epilogue> {
        match self {
            Operation::Int8Conv { epilogue, .. }
            | Operation::Int8Depthwise { epilogue, .. }
            | Operation::BinaryConv { epilogue, .. }
            | Operation::BinaryDepthwise { epilogue, .. } => Some(epilogue),
            Operation::GlobalAveragePool { .. } => None,
        }
    }
}

/// From accumulator to tensors, all rounding and saturation included.
#[derive(Clone, Debug, PartialEq)]
pub enum Epilogue {
    /// Only the sign is wanted: bit = `acc < thresholds[c]`.
    Threshold {
        /// Per output channel.
        thresholds: Vec<i32>,
        /// The bits written.
        bits: TensorId,
    },
    /// `y = sat(mulr(sat(acc · 2^shift), multiplier[c]) + bias[c])`, then the
    /// shortcut is added, then the shifted PReLU; the result is stored as a
    /// stream, or as bits, or both.
    Stream {
        /// −16..=15; negative shifts right and rounds.
        shift: i8,
        /// Q15 per output channel, ≠ −32768.
        multiplier: Vec<i16>,
        /// Per output channel, in units of the stream.
        bias: Vec<i16>,
        /// Added after scale and bias.
        shortcut: Option<Shortcut>,
        /// Applied after the shortcut.
        prelu: Option<Prelu>,
        /// The stream written.
        stream: Option<TensorId>,
        /// The bits written.
        sign: Option<Sign>,
    },
    /// `score = acc · multiplier[c] + bias[c]`; only for a 1×1 output.
    Scores {
        /// Per class.
        multiplier: Vec<i16>,
        /// Per class.
        bias: Vec<i32>,
        /// The scores written.
        scores: TensorId,
    },
}

/// `f(y) = g(y − before[c]) + after[c]`, `g(y) = y` for `y ≥ 0`, else `mulr(y, slope[c])`.
#[derive(Clone, Debug, PartialEq)]
pub struct Prelu {
    /// Subtracted first.
    pub before: Vec<i16>,
    /// Q15, ≠ −32768.
    pub slope: Vec<i16>,
    /// Added last.
    pub after: Vec<i16>,
}

/// Re-binarisation: bit = `y < thresholds[c]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Sign {
    /// Per output channel, in units of the stream.
    pub thresholds: Vec<i16>,
    /// The bits written.
    pub bits: TensorId,
}
