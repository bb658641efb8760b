//! How a record and the tensors it names fit together (FORMAT.md, S and B):
//! kinds, shapes, and the bounds that keep every integer within 32 bits.

use core::num::NonZeroU16;

use crate::error::{Error, ErrorKind};
use crate::header::Header;
use crate::record::{self, Op, Record, Tail};
use crate::types::{Kind, Tensor, TensorId};
use crate::{limits, tensor_table};

/// What the sizes of a layer's blobs follow from. Only [`Geometry::of`] makes
/// one, so every product of these numbers has been bounded.
pub(crate) struct Geometry {
    pub(crate) input: Tensor,
    /// Shape of what is written (the stream's, the bits' or the scores').
    pub(crate) output: Tensor,
    /// Rows × columns of the window; 0 for the pool.
    pub(crate) taps: usize,
    /// Largest |accumulator|; 0 for the pool.
    pub(crate) acc: u64,
}

impl Geometry {
    /// Checks the record that begins at `start` against its tensors.
    pub(crate) fn of(
        bytes: &[u8],
        header: &Header,
        record: &Record,
        start: usize,
    ) -> Result<Geometry, Error> {
        let layer = Layer { bytes, header, record, start };
        let input = layer.input()?;
        let (output, field) = layer.output()?;
        let acc = if record.op == Op::GlobalAveragePool {
            layer.check_pool(&input, &output)?;
            0
        } else {
            layer.check_shapes(&input, &output, field)?;
            layer.accumulator(&input)?
        };
        if let Some(shortcut) = record.shortcut {
            let from = layer.tensor(shortcut.tensor, Kind::Stream, record::at::SHORTCUT)?;
            layer.check_shortcut(&from, &output, shortcut.pool)?;
        }
        Ok(Geometry { input, output, taps: record.window.taps(), acc })
    }
}

/// A record on its way to a [`Geometry`].
struct Layer<'a> {
    bytes: &'a [u8],
    header: &'a Header,
    record: &'a Record,
    start: usize,
}

impl Layer<'_> {
    fn fail<T>(&self, kind: ErrorKind, field: usize) -> Result<T, Error> {
        Err(Error::new(kind, self.start + field))
    }

    /// The tensor that `field` names (S1), which must be of a kind (S2).
    fn tensor(&self, id: TensorId, kind: Kind, field: usize) -> Result<Tensor, Error> {
        if id >= self.header.tensors {
            return self.fail(ErrorKind::Tensor, field);
        }
        let tensor = tensor_table::read(self.bytes, self.header, id)?;
        if tensor.kind != kind {
            return self.fail(ErrorKind::Kind, field);
        }
        Ok(tensor)
    }

    fn input(&self) -> Result<Tensor, Error> {
        let kind = match self.record.op {
            Op::Int8Conv if self.record.input == 0 => Kind::Image,
            Op::Int8Conv | Op::Int8Depthwise | Op::GlobalAveragePool => Kind::Stream,
            Op::BinaryConv | Op::BinaryDepthwise => Kind::Bits,
        };
        // Only a stream is narrowed.
        if kind == Kind::Image && self.record.narrow != 0 {
            return self.fail(ErrorKind::Reserved, record::at::NARROW);
        }
        self.tensor(self.record.input, kind, record::at::INPUT)
    }

    /// One of the tensors written, and the field that names it.
    fn output(&self) -> Result<(Tensor, usize), Error> {
        let Record { tail, output, bits, .. } = *self.record;
        let main = match tail {
            Tail::Threshold => None,
            Tail::Stream if output == 0 => None,
            Tail::Stream | Tail::None => Some(Kind::Stream),
            Tail::Scores => Some(Kind::Scores),
        };
        let main = match main {
            Some(kind) => Some(self.tensor(output, kind, record::at::OUTPUT)?),
            None => None,
        };
        let bits = match tail {
            Tail::Stream if bits == 0 => None,
            Tail::Threshold | Tail::Stream => {
                Some(self.tensor(bits, Kind::Bits, record::at::BITS)?)
            }
            Tail::None | Tail::Scores => None,
        };
        match (main, bits) {
            (Some(main), Some(bits)) if !main.same_shape(&bits) => {
                self.fail(ErrorKind::Shape, record::at::BITS)
            }
            (Some(main), _) => Ok((main, record::at::OUTPUT)),
            (None, Some(bits)) => Ok((bits, record::at::BITS)),
            (None, None) => self.fail(ErrorKind::NoOutput, record::at::OUTPUT),
        }
    }

    fn check_pool(&self, input: &Tensor, output: &Tensor) -> Result<(), Error> {
        if output.pixels() != 1 || input.channels != output.channels {
            return self.fail(ErrorKind::Shape, record::at::OUTPUT);
        }
        // Both factors are small enough for u64: M4 and R8.
        if (input.pixels() as u64) << self.record.shift > limits::MEAN_ELEMENTS {
            return self.fail(ErrorKind::Overflow, record::at::SHIFT);
        }
        Ok(())
    }

    /// Channels, groups and windows; `field` names the output.
    fn check_shapes(&self, input: &Tensor, output: &Tensor, field: usize) -> Result<(), Error> {
        let (c_in, c_out, groups) = (input.channels, output.channels, self.record.groups);
        if self.record.op.is_depthwise() && c_in != c_out {
            return self.fail(ErrorKind::Shape, field);
        }
        let divided = c_in.is_multiple_of(groups) && c_out.is_multiple_of(groups);
        if !divided || (groups > 1 && !(c_in / groups).is_multiple_of(8)) {
            return self.fail(ErrorKind::Shape, record::at::GROUPS);
        }
        let w = &self.record.window;
        let down = touches(output.height, w.stride_h, input.height, w.pad_top);
        let right = touches(output.width, w.stride_w, input.width, w.pad_left);
        if !down || !right {
            return self.fail(ErrorKind::Shape, field);
        }
        Ok(())
    }

    /// The largest |accumulator|, within its bounds.
    fn accumulator(&self, input: &Tensor) -> Result<u64, Error> {
        let Record { op, tail, groups, shift, window, .. } = *self.record;
        let Some(per_group) = input.channels.checked_div(groups) else {
            return self.fail(ErrorKind::Shape, record::at::GROUPS);
        };
        let per_tap = if op.is_depthwise() { 1 } else { per_group };
        let k = window.taps() as u64 * u64::from(per_tap);
        let product = match input.kind {
            Kind::Image => limits::IMAGE_PRODUCT,
            Kind::Stream => limits::STREAM_PRODUCT,
            Kind::Bits | Kind::Scores => 1,
        };
        let acc = k * product;
        if acc > limits::ACC || (op.is_binary() && k > limits::BINARY_K) {
            return self.fail(ErrorKind::Overflow, record::at::WINDOW);
        }
        if tail == Tail::Stream && acc << shift.max(0) > i32::MAX as u64 {
            return self.fail(ErrorKind::Overflow, record::at::SHIFT);
        }
        Ok(acc)
    }

    fn check_shortcut(&self, from: &Tensor, output: &Tensor, pool: u8) -> Result<(), Error> {
        let down = touches(output.height, pool, from.height, 0);
        let right = touches(output.width, pool, from.width, 0);
        if !down || !right {
            return self.fail(ErrorKind::Shape, record::at::SHORTCUT);
        }
        let rows = u64::from(from.height.min(pool.into()));
        let columns = u64::from(from.width.min(pool.into()));
        let Some(outputs) = NonZeroU16::new(output.channels) else {
            return self.fail(ErrorKind::Shape, record::at::SHORTCUT);
        };
        let channels = u64::from(from.channels.div_ceil(outputs.get()));
        if rows * columns * channels > limits::MEAN_ELEMENTS {
            return self.fail(ErrorKind::Overflow, record::at::SHORTCUT_POOL);
        }
        Ok(())
    }
}

/// True if the last of `count` windows, `stride` apart, begins before the end
/// of an input of `length` that starts `pad` after the first window does.
fn touches(count: u16, stride: u8, length: u16, pad: u8) -> bool {
    (u32::from(count) - 1) * u32::from(stride) < u32::from(length) + u32::from(pad)
}
