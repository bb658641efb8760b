//! A layer as the reader shows it: packed arrays borrowed from the file.

use crate::cursor::Cursor;
use crate::error::Error;
use crate::geometry::Geometry;
use crate::header::Header;
use crate::layout;
use crate::record::{Op, Record, Tail};
use crate::types::{Padding, Shortcut, TensorId, Window};

/// One step of the network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerView<'a> {
    /// Name, usually that of the float network's node.
    pub name: &'a str,
    /// The tensor read.
    pub input: TensorId,
    /// What is computed.
    pub operation: OperationView<'a>,
}

/// What a layer computes; weights are packed as [`crate::layout`] says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OperationView<'a> {
    /// 8-bit convolution over all input channels of an image or a stream.
    Int8Conv {
        /// Window.
        window: Window,
        /// Right shift of a stream on its way in, 0..=8; 0 for an image.
        narrow: u8,
        /// [`layout::int8_conv_bytes`] values in −127..=127.
        weights: &'a [i8],
        /// What happens to the accumulators.
        epilogue: EpilogueView<'a>,
    },
    /// 8-bit convolution of each channel of a stream by itself.
    Int8Depthwise {
        /// Window.
        window: Window,
        /// As in [`OperationView::Int8Conv`].
        narrow: u8,
        /// `[ky][kx][channel]`, each in −127..=127.
        weights: &'a [i8],
        /// What happens to the accumulators.
        epilogue: EpilogueView<'a>,
    },
    /// Convolution of bits by bits.
    BinaryConv {
        /// Window.
        window: Window,
        /// Groups, ≥ 1; divides input and output channels.
        groups: u16,
        /// What a tap outside the input reads.
        padding: Padding,
        /// [`layout::binary_conv_bytes`] bytes.
        weights: &'a [u8],
        /// What happens to the accumulators.
        epilogue: EpilogueView<'a>,
    },
    /// Convolution of bits by bits of each channel by itself.
    BinaryDepthwise {
        /// Window.
        window: Window,
        /// What a tap outside the input reads.
        padding: Padding,
        /// [`layout::binary_depthwise_bytes`] bytes.
        weights: &'a [u8],
        /// What happens to the accumulators.
        epilogue: EpilogueView<'a>,
    },
    /// Mean of a stream over all pixels.
    GlobalAveragePool {
        /// Extra fractional bits kept, 0..=8.
        shift: u8,
        /// The 1×1 stream written.
        output: TensorId,
    },
}

/// From accumulator to tensors. Every array has one entry per output channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum EpilogueView<'a> {
    /// Only the sign is wanted: bit = `acc < thresholds[c]`.
    Threshold {
        /// Per output channel.
        thresholds: &'a [i32],
        /// The bits written.
        bits: TensorId,
    },
    /// Scale, bias, shortcut, shifted PReLU; stored as a stream, as bits or both.
    Stream {
        /// −16..=15; negative shifts right and rounds.
        shift: i8,
        /// Q15, ≠ −32768.
        multiplier: &'a [i16],
        /// In units of the stream.
        bias: &'a [i16],
        /// Added after scale and bias.
        shortcut: Option<Shortcut>,
        /// Applied after the shortcut.
        prelu: Option<PreluView<'a>>,
        /// The stream written.
        stream: Option<TensorId>,
        /// The bits written.
        sign: Option<SignView<'a>>,
    },
    /// `score = acc · multiplier[c] + bias[c]`; the output is 1×1.
    Scores {
        /// Per class, ≠ −32768.
        multiplier: &'a [i16],
        /// Per class.
        bias: &'a [i32],
        /// The scores written.
        scores: TensorId,
    },
}

/// `f(y) = g(y − before[c]) + after[c]`, `g(y) = y` for `y ≥ 0`, else `mulr(y, slope[c])`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PreluView<'a> {
    /// Subtracted first.
    pub before: &'a [i16],
    /// Q15, ≠ −32768.
    pub slope: &'a [i16],
    /// Added last.
    pub after: &'a [i16],
}

/// Re-binarisation: bit = `y < thresholds[c]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SignView<'a> {
    /// Per output channel, in units of the stream.
    pub thresholds: &'a [i16],
    /// The bits written.
    pub bits: TensorId,
}

impl<'a> LayerView<'a> {
    /// The tensors read: the input, and the shortcut's where there is one.
    pub fn reads(&self) -> impl Iterator<Item = TensorId> + use<> {
        let shortcut = match self.operation.epilogue() {
            Some(EpilogueView::Stream { shortcut, .. }) => shortcut.map(|s| s.tensor),
            _ => None,
        };
        core::iter::once(self.input).chain(shortcut)
    }

    /// The tensors written, one or two: stream or scores first, then bits.
    /// All have the same shape.
    pub fn writes(&self) -> impl Iterator<Item = TensorId> + use<> {
        let (main, bits) = match self.operation {
            OperationView::GlobalAveragePool { output, .. } => (Some(output), None),
            OperationView::Int8Conv { epilogue, .. }
            | OperationView::Int8Depthwise { epilogue, .. }
            | OperationView::BinaryConv { epilogue, .. }
            | OperationView::BinaryDepthwise { epilogue, .. } => match epilogue {
                EpilogueView::Threshold { bits, .. } => (None, Some(bits)),
                EpilogueView::Stream { stream, sign, .. } => (stream, sign.map(|s| s.bits)),
                EpilogueView::Scores { scores, .. } => (Some(scores), None),
            },
        };
        main.into_iter().chain(bits)
    }
}

impl<'a> OperationView<'a> {
    /// The epilogue; `None` for the pool, which has none.
    pub fn epilogue(&self) -> Option<EpilogueView<'a>> {
        match *self {
            OperationView::Int8Conv { epilogue, .. }
            | OperationView::Int8Depthwise { epilogue, .. }
            | OperationView::BinaryConv { epilogue, .. }
            | OperationView::BinaryDepthwise { epilogue, .. } => Some(epilogue),
            OperationView::GlobalAveragePool { .. } => None,
        }
    }

    /// The window; `None` for the pool, which has none.
    pub fn window(&self) -> Option<Window> {
        match *self {
            OperationView::Int8Conv { window, .. }
            | OperationView::Int8Depthwise { window, .. }
            | OperationView::BinaryConv { window, .. }
            | OperationView::BinaryDepthwise { window, .. } => Some(window),
            OperationView::GlobalAveragePool { .. } => None,
        }
    }
}

/// A layer and what only the validation wants to know about it.
pub(crate) struct Decoded<'a> {
    pub(crate) operation: OperationView<'a>,
    pub(crate) record: Record,
    pub(crate) geometry: Geometry,
    /// Where the layer's last blob ends; for the pool, 0.
    pub(crate) end: usize,
}

/// Decodes layer `index`. Deterministic: what once succeeded on these bytes
/// always does.
pub(crate) fn decode<'a>(
    bytes: &'a [u8],
    header: &Header,
    index: u16,
) -> Result<Decoded<'a>, Error> {
    let start = header.layer_at(index);
    let record = Record::read(bytes, start)?;
    let geometry = Geometry::of(bytes, header, &record, start)?;
    let mut blobs = Cursor::new(bytes, record.blobs as usize);
    let operation = operation(&record, &geometry, &mut blobs)?;
    Ok(Decoded { operation, record, geometry, end: blobs.at() })
}

fn operation<'a>(
    record: &Record,
    geometry: &Geometry,
    blobs: &mut Cursor<'a>,
) -> Result<OperationView<'a>, Error> {
    let Record { window, narrow, padding, groups, .. } = *record;
    let c_in = usize::from(geometry.input.channels);
    let c_out = usize::from(geometry.output.channels);
    let taps = geometry.taps;
    Ok(match record.op {
        Op::Int8Conv => OperationView::Int8Conv {
            window,
            narrow,
            weights: blobs.blob(layout::int8_conv_bytes(taps, c_in, c_out))?,
            epilogue: epilogue(record, c_out, blobs)?,
        },
        Op::Int8Depthwise => OperationView::Int8Depthwise {
            window,
            narrow,
            weights: blobs.blob(layout::int8_depthwise_bytes(taps, c_in))?,
            epilogue: epilogue(record, c_out, blobs)?,
        },
        Op::BinaryConv => OperationView::BinaryConv {
            window,
            groups,
            padding,
            weights: blobs.blob(layout::binary_conv_bytes(taps, c_in, c_out, groups.into()))?,
            epilogue: epilogue(record, c_out, blobs)?,
        },
        Op::BinaryDepthwise => OperationView::BinaryDepthwise {
            window,
            padding,
            weights: blobs.blob(layout::binary_depthwise_bytes(taps, c_in))?,
            epilogue: epilogue(record, c_out, blobs)?,
        },
        Op::GlobalAveragePool => {
            OperationView::GlobalAveragePool { shift: record.shift as u8, output: record.output }
        }
    })
}

fn epilogue<'a>(
    record: &Record,
    channels: usize,
    blobs: &mut Cursor<'a>,
) -> Result<EpilogueView<'a>, Error> {
    Ok(match record.tail {
        // `Record::read` gives `None` to the pool alone, which comes not here.
        Tail::Threshold | Tail::None => {
            EpilogueView::Threshold { thresholds: blobs.blob(channels)?, bits: record.bits }
        }
        Tail::Stream => EpilogueView::Stream {
            shift: record.shift,
            multiplier: blobs.blob(channels)?,
            bias: blobs.blob(channels)?,
            shortcut: record.shortcut,
            prelu: match record.prelu {
                true => Some(PreluView {
                    before: blobs.blob(channels)?,
                    slope: blobs.blob(channels)?,
                    after: blobs.blob(channels)?,
                }),
                false => None,
            },
            stream: (record.output != 0).then_some(record.output),
            sign: match record.bits {
                0 => None,
                bits => Some(SignView { thresholds: blobs.blob(channels)?, bits }),
            },
        },
        Tail::Scores => EpilogueView::Scores {
            multiplier: blobs.blob(channels)?,
            bias: blobs.blob(channels)?,
            scores: record.output,
        },
    })
}
