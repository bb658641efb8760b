//! How a record and the tensors it names fit together (FORMAT.md, S and B):
//! kinds, shapes, and the bounds that keep every integer within 32 bits.

use crate::error::{Error, ErrorKind};
use crate::header::Header;
use crate::record::{self, Op, Record, Tail};
use crate::types::{Kind, Tensor, TensorId};
use crate::{limits, tensor_table};

/// What the sizes of a layer's blobs follow from. Only
/// [`Geometry::of`] makes one, so every product here has been bounded.
pub(crate) struct Geometry {
    pub(crate) input: Tensor,
    /// Shape of what is written (the stream's, the bits' or the scores').
    pub(crate) output: Tensor,
    /// Rows × columns of the window.
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
        let fail = |kind, field| Error::new(kind, start + field);
        let tensor = |id: TensorId, kind: Kind, field: usize| {
            if id >= header.tensors {
                return Err(fail(ErrorKind::Tensor, field));
            }
            let tensor = tensor_table::read(bytes, header, id)?;
            if tensor.kind != kind {
                return Err(fail(ErrorKind::Kind, field));
            }
            Ok(tensor)
        };

        // Tensors and their kinds.
        let input = match record.op {
            Op::Int8Conv if record.input == 0 => tensor(0, Kind::Image, record::at::INPUT)?,
            Op::Int8Conv | Op::Int8Depthwise | Op::GlobalAveragePool => {
                tensor(record.input, Kind::Stream, record::at::INPUT)?
            }
            Op::BinaryConv | Op::BinaryDepthwise => {
                tensor(record.input, Kind::Bits, record::at::INPUT)?
            }
        };
        if input.kind == Kind::Image && record.narrow != 0 {
            return Err(fail(ErrorKind::Reserved, record::at::NARROW));
        }
        let main = match record.tail {
            Tail::Threshold => None,
            Tail::Stream if record.output == 0 => None,
            Tail::Stream | Tail::None => {
                Some(tensor(record.output, Kind::Stream, record::at::OUTPUT)?)
            }
            Tail::Scores => Some(tensor(record.output, Kind::Scores, record::at::OUTPUT)?),
        };
        let has_bits = record.tail == Tail::Threshold || record.bits != 0;
        let bits = match has_bits {
            true => Some(tensor(record.bits, Kind::Bits, record::at::BITS)?),
            false => None,
        };
        let (output, output_field) = match (main, bits) {
            (Some(main), Some(bits)) if !main.same_shape(&bits) => {
                return Err(fail(ErrorKind::Shape, record::at::BITS));
            }
            (Some(main), _) => (main, record::at::OUTPUT),
            (None, Some(bits)) => (bits, record::at::BITS),
            (None, None) => return Err(fail(ErrorKind::NoOutput, record::at::OUTPUT)),
        };

        // Shapes.
        let [c_in, c_out] = [input.channels, output.channels];
        if record.op == Op::GlobalAveragePool {
            if output.pixels() != 1 || c_in != c_out {
                return Err(fail(ErrorKind::Shape, output_field));
            }
            if (input.pixels() as u64) << record.shift > limits::MEAN_ELEMENTS {
                return Err(fail(ErrorKind::Overflow, record::at::SHIFT));
            }
            return Ok(Geometry { input, output, taps: 0, acc: 0 });
        }
        if record.op.is_depthwise() && c_in != c_out {
            return Err(fail(ErrorKind::Shape, output_field));
        }
        let groups = record.groups;
        if c_in % groups != 0
            || c_out % groups != 0
            || (groups > 1 && !(c_in / groups).is_multiple_of(8))
        {
            return Err(fail(ErrorKind::Shape, record::at::GROUPS));
        }
        let w = &record.window;
        if !touches(output.height, w.stride_h, input.height, w.pad_top)
            || !touches(output.width, w.stride_w, input.width, w.pad_left)
        {
            return Err(fail(ErrorKind::Shape, output_field));
        }

        // Bounds.
        let per_tap = match record.op.is_depthwise() {
            true => 1,
            false => c_in / groups,
        };
        let k = w.taps() as u64 * u64::from(per_tap);
        let product = match input.kind {
            Kind::Image => limits::IMAGE_PRODUCT,
            Kind::Stream => limits::STREAM_PRODUCT,
            Kind::Bits | Kind::Scores => 1,
        };
        let acc = k * product;
        if acc > limits::ACC || (record.op.is_binary() && k > limits::BINARY_K) {
            return Err(fail(ErrorKind::Overflow, record::at::WINDOW));
        }
        if record.tail == Tail::Stream && acc << record.shift.max(0) > i32::MAX as u64 {
            return Err(fail(ErrorKind::Overflow, record::at::SHIFT));
        }
        if let Some(shortcut) = record.shortcut {
            let from = tensor(shortcut.tensor, Kind::Stream, record::at::SHORTCUT)?;
            if !touches(output.height, shortcut.pool, from.height, 0)
                || !touches(output.width, shortcut.pool, from.width, 0)
            {
                return Err(fail(ErrorKind::Shape, record::at::SHORTCUT));
            }
            let rows = u64::from(from.height.min(shortcut.pool.into()));
            let columns = u64::from(from.width.min(shortcut.pool.into()));
            let channels = u64::from(from.channels.div_ceil(c_out));
            if rows * columns * channels > limits::MEAN_ELEMENTS {
                return Err(fail(ErrorKind::Overflow, record::at::SHORTCUT_POOL));
            }
        }
        Ok(Geometry { input, output, taps: w.taps(), acc })
    }
}

/// True if the last of `count` windows, `stride` apart, begins before the end
/// of an input of `length` that starts `pad` after the first window.
fn touches(count: u16, stride: u8, length: u16, pad: u8) -> bool {
    (u32::from(count) - 1) * u32::from(stride) < u32::from(length) + u32::from(pad)
}
