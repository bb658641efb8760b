//! One 32-byte record of the layer table (FORMAT.md, R): its fields, and the
//! rules that concern the record alone.

use crate::cursor::Cursor;
use crate::error::{Error, ErrorKind};
use crate::limits;
use crate::types::{Padding, Shortcut, TensorId, Window};

pub(crate) const BYTES: usize = 32;

/// Offsets of the fields within a record.
pub(crate) mod at {
    pub(crate) const OPERATION: usize = 0;
    pub(crate) const EPILOGUE: usize = 1;
    pub(crate) const PADDING: usize = 2;
    pub(crate) const PRELU: usize = 3;
    pub(crate) const INPUT: usize = 4;
    pub(crate) const GROUPS: usize = 6;
    pub(crate) const WINDOW: usize = 8;
    pub(crate) const NARROW: usize = 14;
    pub(crate) const SHIFT: usize = 15;
    pub(crate) const OUTPUT: usize = 16;
    pub(crate) const BITS: usize = 18;
    pub(crate) const SHORTCUT: usize = 20;
    pub(crate) const SHORTCUT_POOL: usize = 22;
    pub(crate) const SHORTCUT_SHIFT: usize = 23;
    pub(crate) const BLOBS: usize = 24;
    pub(crate) const RESERVED: usize = 28;
}

/// The operation byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Op {
    Int8Conv = 1,
    Int8Depthwise = 2,
    BinaryConv = 3,
    BinaryDepthwise = 4,
    GlobalAveragePool = 5,
}

/// The epilogue byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Tail {
    None = 0,
    Threshold = 1,
    Stream = 2,
    Scores = 3,
}

/// A record whose fields are each within their range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) op: Op,
    pub(crate) tail: Tail,
    pub(crate) padding: Padding,
    pub(crate) prelu: bool,
    pub(crate) input: TensorId,
    /// 1 where the operation has no groups; the file then holds 0.
    pub(crate) groups: u16,
    /// All zero for the pool.
    pub(crate) window: Window,
    pub(crate) narrow: u8,
    pub(crate) shift: i8,
    /// The stream or the scores written; 0 is none.
    pub(crate) output: TensorId,
    /// The bits written; 0 is none.
    pub(crate) bits: TensorId,
    pub(crate) shortcut: Option<Shortcut>,
    /// Where the first blob begins; 0 for the pool, which has none.
    pub(crate) blobs: u32,
}

impl Op {
    pub(crate) fn is_int8(self) -> bool {
        matches!(self, Op::Int8Conv | Op::Int8Depthwise)
    }

    pub(crate) fn is_binary(self) -> bool {
        matches!(self, Op::BinaryConv | Op::BinaryDepthwise)
    }

    pub(crate) fn is_depthwise(self) -> bool {
        matches!(self, Op::Int8Depthwise | Op::BinaryDepthwise)
    }

    fn from_code(code: u8) -> Option<Op> {
        Some(match code {
            1 => Op::Int8Conv,
            2 => Op::Int8Depthwise,
            3 => Op::BinaryConv,
            4 => Op::BinaryDepthwise,
            5 => Op::GlobalAveragePool,
            _ => return None,
        })
    }
}

impl Tail {
    fn from_code(code: u8) -> Option<Tail> {
        Some(match code {
            1 => Tail::Threshold,
            2 => Tail::Stream,
            3 => Tail::Scores,
            _ => return None,
        })
    }
}

impl Record {
    /// Reads the record that begins at `start`.
    pub(crate) fn read(bytes: &[u8], start: usize) -> Result<Record, Error> {
        let fail = |kind, field| Error::new(kind, start + field);
        let code = |field| fail(ErrorKind::Code, field);
        // A field that the operation does not have is zero.
        let unused = |used: bool, value: u32, field: usize| {
            if used || value == 0 { Ok(()) } else { Err(fail(ErrorKind::Reserved, field)) }
        };
        let range = |fits: bool, field: usize| {
            if fits { Ok(()) } else { Err(fail(ErrorKind::Range, field)) }
        };

        let mut cursor = Cursor::new(bytes, start);
        let op = Op::from_code(cursor.u8()?).ok_or(code(at::OPERATION))?;
        let is_pool = op == Op::GlobalAveragePool;
        let tail = match cursor.u8()? {
            0 if is_pool => Tail::None,
            _ if is_pool => return Err(fail(ErrorKind::Reserved, at::EPILOGUE)),
            other => Tail::from_code(other).ok_or(code(at::EPILOGUE))?,
        };
        let is_stream = tail == Tail::Stream;

        let padding = cursor.u8()?;
        unused(op.is_binary(), padding.into(), at::PADDING)?;
        let padding = match padding {
            0 => Padding::Zero,
            1 => Padding::One,
            _ => return Err(code(at::PADDING)),
        };
        let prelu = cursor.u8()?;
        unused(is_stream, prelu.into(), at::PRELU)?;
        if prelu > 1 {
            return Err(code(at::PRELU));
        }

        let input = cursor.u16()?;
        let groups = cursor.u16()?;
        let has_groups = op == Op::BinaryConv;
        unused(has_groups, groups.into(), at::GROUPS)?;
        range(!has_groups || groups >= 1, at::GROUPS)?;
        let window = Window {
            kernel_h: cursor.u8()?,
            kernel_w: cursor.u8()?,
            stride_h: cursor.u8()?,
            stride_w: cursor.u8()?,
            pad_top: cursor.u8()?,
            pad_left: cursor.u8()?,
        };
        for (i, (value, fits)) in [
            (window.kernel_h, window.kernel_h >= 1),
            (window.kernel_w, window.kernel_w >= 1),
            (window.stride_h, window.stride_h >= 1),
            (window.stride_w, window.stride_w >= 1),
            (window.pad_top, window.pad_top < window.kernel_h),
            (window.pad_left, window.pad_left < window.kernel_w),
        ]
        .into_iter()
        .enumerate()
        {
            unused(!is_pool, value.into(), at::WINDOW + i)?;
            range(is_pool || fits, at::WINDOW + i)?;
        }

        let narrow = cursor.u8()?;
        unused(op.is_int8(), narrow.into(), at::NARROW)?;
        range(narrow <= limits::NARROW, at::NARROW)?;
        let shift = cursor.i8()?;
        if is_stream {
            let fits = (limits::SHIFT_MIN..=limits::SHIFT_MAX).contains(&shift);
            range(fits, at::SHIFT)?;
        } else {
            unused(is_pool, shift as u8 as u32, at::SHIFT)?;
            range((0..=limits::POOL_SHIFT as i8).contains(&shift), at::SHIFT)?;
        }

        let output = cursor.u16()?;
        unused(tail != Tail::Threshold, output.into(), at::OUTPUT)?;
        let bits = cursor.u16()?;
        let has_bits = matches!(tail, Tail::Threshold | Tail::Stream);
        unused(has_bits, bits.into(), at::BITS)?;

        let tensor = cursor.u16()?;
        let pool = cursor.u8()?;
        let shortcut_shift = cursor.i8()?;
        unused(is_stream, tensor.into(), at::SHORTCUT)?;
        let shortcut = if tensor != 0 {
            range(pool >= 1, at::SHORTCUT_POOL)?;
            // Unsigned: −128 has no absolute value in i8.
            let fits = shortcut_shift.unsigned_abs() <= limits::SHORTCUT_SHIFT as u8;
            range(fits, at::SHORTCUT_SHIFT)?;
            Some(Shortcut { tensor, pool, shift: shortcut_shift })
        } else {
            unused(false, pool.into(), at::SHORTCUT_POOL)?;
            unused(false, shortcut_shift as u8 as u32, at::SHORTCUT_SHIFT)?;
            None
        };

        let blobs = cursor.u32()?;
        unused(!is_pool, blobs, at::BLOBS)?;
        unused(false, cursor.u32()?, at::RESERVED)?;
        Ok(Record {
            op,
            tail,
            padding,
            prelu: prelu == 1,
            input,
            groups: groups.max(1),
            window,
            narrow,
            shift,
            output,
            bits,
            shortcut,
            blobs,
        })
    }

    /// The bytes that [`Record::read`] reads as this record.
    #[cfg(feature = "write")]
    pub(crate) fn to_bytes(self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(at::OPERATION, &[self.op as u8, self.tail as u8]);
        put(at::PADDING, &[u8::from(self.padding == Padding::One)]);
        put(at::PRELU, &[u8::from(self.prelu)]);
        put(at::INPUT, &self.input.to_le_bytes());
        if self.op == Op::BinaryConv {
            put(at::GROUPS, &self.groups.to_le_bytes());
        }
        let w = self.window;
        let window = [w.kernel_h, w.kernel_w, w.stride_h, w.stride_w, w.pad_top, w.pad_left];
        put(at::WINDOW, &window);
        put(at::NARROW, &[self.narrow, self.shift as u8]);
        put(at::OUTPUT, &self.output.to_le_bytes());
        put(at::BITS, &self.bits.to_le_bytes());
        if let Some(shortcut) = self.shortcut {
            put(at::SHORTCUT, &shortcut.tensor.to_le_bytes());
            put(at::SHORTCUT_POOL, &[shortcut.pool, shortcut.shift as u8]);
        }
        put(at::BLOBS, &self.blobs.to_le_bytes());
        bytes
    }
}
