//! The typed network graph, from import to lowering.
//!
//! One graph serves the whole converter: the importer makes it, passes rewrite
//! it, the engine trains its parameters, the lowering reads it. Activations
//! are NHWC `f32`; a node's shape is that of one image (no batch).

#![forbid(unsafe_code)]

mod describe;
mod eval;
mod fixed;
mod passes;
mod shape;

pub use eval::{evaluate, evaluate_watched, evaluate_with};
pub use passes::{InputAffine, canonicalise, fold_batch_norm, prune, take_input_affine};
pub use shape::{ShapeError, conv_output};

/// Index of a node in [`Graph::nodes`].
pub type NodeId = usize;
/// Index of a parameter in [`Graph::params`].
pub type ParamId = usize;

/// A network: nodes in topological order and the parameters they name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    /// Name of the network, for people.
    pub name: String,
    /// In topological order; `nodes[0]` is [`Op::Input`].
    pub nodes: Vec<Node>,
    /// Every parameter, trainable or not.
    pub params: Vec<Param>,
    /// The node whose value is the class scores (before any softmax).
    pub output: NodeId,
}

/// One operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Unique within the graph; the ONNX node's name where there was one.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// The nodes read; all have smaller ids.
    pub inputs: Vec<NodeId>,
    /// Shape of the result for one image.
    pub shape: Shape,
}

/// Rows, columns, channels of one image's activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows.
    pub h: usize,
    /// Columns.
    pub w: usize,
    /// Channels.
    pub c: usize,
}

impl Shape {
    /// Elements of one image's activation.
    pub fn len(&self) -> usize {
        self.h * self.w * self.c
    }

    /// True if any side is 0.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A named array of `f32`.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    /// Unique within the graph.
    pub name: String,
    /// Extents, outermost first.
    pub shape: Vec<usize>,
    /// Row-major.
    pub data: Vec<f32>,
    /// What the optimiser may do with it.
    pub role: Role,
}

/// What a parameter is to the optimiser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A float or 8-bit weight: decayed.
    Weight,
    /// The latent weight of a binary layer: clipped, own learning-rate factor.
    Latent,
    /// Bias, batch-norm scale and shift, thresholds, PReLU: never decayed.
    Gain,
    /// Batch-norm running mean or variance: not trained by gradient.
    Statistic,
}

/// How the weights of a convolution enter the arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// As they are.
    Float,
    /// As they are, the sums of products taken in `f64` and rounded once: exact
    /// for integers whose sums may outgrow the 24 bits of `f32` on the way.
    /// Evaluated, not trained.
    Double,
    /// Rounded to 255 levels, −127..=127 times a scale of their own per output
    /// channel (max |w| / 127, halves away from zero); gradients pass straight
    /// through.
    Int8,
    /// As [`Precision::Int8`] with one scale for the whole tensor, so that the
    /// accumulators of different outputs compare as integers (the classifier).
    Int8PerTensor,
    /// `sign(w)`, `sign(0) = +1`, times a scale that batch norm absorbs; mean
    /// |w| of the output channel unless a method says otherwise.
    Binary,
}

/// Window of a convolution or pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Kernel rows and columns.
    pub kernel: [usize; 2],
    /// Vertical and horizontal stride.
    pub stride: [usize; 2],
    /// Top, left, bottom, right.
    pub pads: [usize; 4],
}

/// What [`Op::Requantise`] adds from its second input, a stream: its mean over
/// `pool × pool` pixels and the channels as in [`Op::Shortcut`], rounded (rules
/// S25 and S26), then shifted (S27).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedShortcut {
    /// Pixels per side that become one.
    pub pool: usize,
    /// To the left, −15..=15.
    pub shift: i32,
}

/// The PReLU of [`Op::Requantise`] (rule S23).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedPrelu {
    /// `[c]`, subtracted first.
    pub before: ParamId,
    /// `[c]`, Q15, for negative values.
    pub slope: ParamId,
    /// `[c]`, added last.
    pub after: ParamId,
}

/// What a node computes.
///
/// The last two are the arithmetic of a packed network, on integers that `f32`
/// holds; they name the rules they follow in `SEMANTICS.md` of the oracle, and
/// are evaluated, not trained.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// The preprocessed image.
    Input,
    /// Convolution, zero padding. Weights `[out][ky][kx][in / groups]`.
    Conv {
        /// Weights.
        weight: ParamId,
        /// `[out]`.
        bias: Option<ParamId>,
        /// Window.
        window: Window,
        /// 1, or the number of channels (depthwise), or between.
        groups: usize,
        /// How the weights enter.
        precision: Precision,
    },
    /// `gamma·(x − mean)/sqrt(var + eps) + beta` per channel.
    BatchNorm {
        /// `[c]`.
        gamma: ParamId,
        /// `[c]`.
        beta: ParamId,
        /// `[c]`, running.
        mean: ParamId,
        /// `[c]`, running.
        var: ParamId,
        /// Added to the variance.
        eps: f32,
    },
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, lo), hi)`; ReLU6 is `lo = 0, hi = 6`.
    Clip {
        /// Lower bound.
        lo: f32,
        /// Upper bound.
        hi: f32,
    },
    /// `x` for `x ≥ 0`, else `slope[c]·x`.
    Prelu {
        /// `[c]`.
        slope: ParamId,
    },
    /// `prelu(x − before[c]) + after[c]`, slopes kept in (−1, 1).
    ShiftedPrelu {
        /// `[c]`.
        before: ParamId,
        /// `[c]`.
        slope: ParamId,
        /// `[c]`.
        after: ParamId,
    },
    /// `sign(x − threshold[c])`, `sign(0) = +1`.
    Sign {
        /// `[c]`.
        threshold: ParamId,
    },
    /// `clamp(round(x·2^frac), −128, 127)·2^−frac`: the 8-bit reading of a stream;
    /// halves round up, as the integer shift does.
    Narrow {
        /// Binary point.
        frac: i32,
    },
    /// Sum of two nodes of the same shape.
    Add,
    /// Parameter-free shortcut: mean over `pool × pool` pixels (clipped at the
    /// border), channels repeated (`c mod c_in`) where they grow, averaged
    /// (`c, c + c_out, …`) where they shrink; the node's shape says to what.
    Shortcut {
        /// Pixels per side that become one.
        pool: usize,
    },
    /// Mean over a window; padding counts only where `include_pad`.
    AveragePool {
        /// Window.
        window: Window,
        /// Divide by the whole window at the border too.
        include_pad: bool,
    },
    /// Mean over all pixels.
    GlobalAveragePool,
    /// Fully connected over the flattened input. Weights `[out][h][w][c]`.
    Dense {
        /// Weights `[out][in]`, inputs in row, column, channel order.
        weight: ParamId,
        /// `[out]`.
        bias: Option<ParamId>,
        /// How the weights enter.
        precision: Precision,
    },
    /// From accumulators (first input) to a stream, rules S21 to S23:
    /// `sat16(mulr(shift(acc), multiplier[c]) + bias[c])`, then the shortcut,
    /// then the PReLU; every sum saturates to 16 bits. The parameters are
    /// integers of −32767..=32767.
    Requantise {
        /// To the left, −16..=15 (S8).
        shift: i32,
        /// `[c]`, Q15.
        multiplier: ParamId,
        /// `[c]`, in units of the stream.
        bias: ParamId,
        /// Read from the second input, which is there only with it.
        shortcut: Option<FixedShortcut>,
        /// None: the sum is the result.
        prelu: Option<FixedPrelu>,
    },
    /// Mean of a stream over all pixels, rule S19: `sat16(rdiv(Σ x·2^shift, h·w))`.
    FixedAveragePool {
        /// 0..=8.
        shift: i32,
    },
}
