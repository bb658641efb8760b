//! A layer, or some of its output, as one call of a kernel.

use core::ops::Range;

use bitat_format::{EpilogueView, OperationView};
use bitat_kernels::{Conv, Epilogue, Int8Input, Kernels, Misuse, Prelu, Shortcut, Sign};
use bytemuck::try_cast_slice;

use crate::geometry;

/// What a kernel reads and where it writes. The slices written hold `rows` of
/// the output and nothing else; a slice that the layer has no use for is empty.
pub(crate) struct Part<'s> {
    /// A convolution of any kind: the pool is no part.
    pub(crate) operation: OperationView<'s>,
    pub(crate) conv: Conv,
    pub(crate) rows: Range<usize>,
    pub(crate) input: Input<'s>,
    pub(crate) shortcut: Option<Shortcut<'s>>,
    pub(crate) stream: &'s mut [i16],
    pub(crate) bits: &'s mut [u8],
    pub(crate) scores: &'s mut [i32],
    pub(crate) scratch: &'s mut [u8],
}

/// What a layer reads.
#[derive(Clone, Copy)]
pub(crate) enum Input<'s> {
    /// The caller's.
    Image { pixels: &'s [u8], zero: &'s [u8] },
    /// Bits, or a stream, in the arena.
    Arena(&'s [u8]),
}

/// Does a part, or has others do some of it. Every error is a bug of this
/// crate: `None` where slices cannot be cut or cast, else what a kernel refused.
pub(crate) trait Crew {
    fn compute(&self, kernels: Kernels, part: Part<'_>) -> Result<(), Option<Misuse>>;
}

/// The calling thread.
pub(crate) struct Alone;

impl Crew for Alone {
    fn compute(&self, kernels: Kernels, part: Part<'_>) -> Result<(), Option<Misuse>> {
        part.compute(kernels)
    }
}

impl Part<'_> {
    /// Calls the kernel; errors as for [`Crew::compute`].
    pub(crate) fn compute(self, kernels: Kernels) -> Result<(), Option<Misuse>> {
        let Part { operation, conv, rows, input, shortcut, stream, bits, scores, scratch } = self;
        let outputs = Outputs { shortcut, stream, bits, scores };
        let done = match operation {
            OperationView::Int8Conv { narrow, weights, epilogue, .. } => {
                let input = match input {
                    Input::Image { pixels, zero } => Int8Input::Image { pixels, zero },
                    Input::Arena(input) => Int8Input::Stream { values: cast(input)?, narrow },
                };
                kernels.int8_conv(&conv, input, weights, rows, outputs.epilogue(epilogue), scratch)
            }
            OperationView::Int8Depthwise { narrow, weights, epilogue, .. } => {
                let (input, epilogue) = (cast(input.bytes()?)?, outputs.epilogue(epilogue));
                kernels.int8_depthwise(&conv, input, narrow, weights, rows, epilogue, scratch)
            }
            OperationView::BinaryConv { padding, weights, epilogue, .. } => {
                let (padding, input) = (geometry::padding(padding), input.bytes()?);
                let epilogue = outputs.epilogue(epilogue);
                kernels.binary_conv(&conv, padding, input, weights, rows, epilogue, scratch)
            }
            OperationView::BinaryDepthwise { padding, weights, epilogue, .. } => {
                let (padding, input) = (geometry::padding(padding), input.bytes()?);
                let epilogue = outputs.epilogue(epilogue);
                kernels.binary_depthwise(&conv, padding, input, weights, rows, epilogue, scratch)
            }
            OperationView::GlobalAveragePool { .. } => return Err(None),
        };
        done.map_err(Some)
    }
}

impl<'s> Input<'s> {
    /// The bytes in the arena: only an 8-bit convolution reads an image.
    fn bytes(self) -> Result<&'s [u8], Option<Misuse>> {
        match self {
            Input::Arena(bytes) => Ok(bytes),
            Input::Image { .. } => Err(None),
        }
    }
}

/// Where a layer may write, and the shortcut; each epilogue takes what it needs.
struct Outputs<'s> {
    shortcut: Option<Shortcut<'s>>,
    stream: &'s mut [i16],
    bits: &'s mut [u8],
    scores: &'s mut [i32],
}

impl<'s> Outputs<'s> {
    fn epilogue(self, epilogue: EpilogueView<'s>) -> Epilogue<'s> {
        let Outputs { shortcut, bits, scores, .. } = self;
        match epilogue {
            EpilogueView::Threshold { thresholds, .. } => Epilogue::Threshold { thresholds, bits },
            EpilogueView::Stream { shift, multiplier, bias, prelu, stream, sign, .. } => {
                let prelu =
                    prelu.map(|p| Prelu { before: p.before, slope: p.slope, after: p.after });
                let stream = stream.map(|_| self.stream);
                let sign = sign.map(|s| Sign { thresholds: s.thresholds, bits });
                Epilogue::Stream { shift, multiplier, bias, shortcut, prelu, stream, sign }
            }
            EpilogueView::Scores { multiplier, bias, .. } => {
                Epilogue::Scores { multiplier, bias, scores }
            }
        }
    }
}

pub(crate) fn cast(bytes: &[u8]) -> Result<&[i16], Option<Misuse>> {
    try_cast_slice(bytes).map_err(|_| None)
}
