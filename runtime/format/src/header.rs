//! The first 48 bytes, and where the sections behind them lie (FORMAT.md, F and H).

use crate::crc32::crc32;
use crate::cursor::Cursor;
use crate::error::{Error, ErrorKind};
use crate::layout::{BUFFER_ALIGN, align_blob};
use crate::{limits, record};

/// The first bytes of every packed file.
pub const MAGIC: [u8; 8] = *b"\x89BITAT\r\n";
pub(crate) const VERSION: u16 = 1;
pub(crate) const BYTES: usize = 48;
/// Bytes of one row of the tensor table.
pub(crate) const TENSOR_BYTES: usize = 8;

/// Offsets of the header's fields.
pub(crate) mod at {
    pub(crate) const MAGIC: usize = 0;
    pub(crate) const VERSION: usize = 8;
    pub(crate) const FLAGS: usize = 10;
    pub(crate) const FILE_BYTES: usize = 12;
    pub(crate) const CHECKSUM: usize = 16;
    pub(crate) const TENSORS: usize = 20;
    pub(crate) const LAYERS: usize = 22;
    pub(crate) const CLASS_NAMES: usize = 24;
    pub(crate) const ZERO: usize = 26;
    pub(crate) const SCORE_SCALE: usize = 28;
    pub(crate) const RESERVED: usize = 32;
}

/// What the header says beyond what it checks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Header {
    pub(crate) tensors: u16,
    pub(crate) layers: u16,
    pub(crate) class_names: u16,
    pub(crate) score_scale: f32,
}

impl Header {
    /// Reads the header and checks everything that concerns the file as a
    /// whole: alignment, magic, version, length, checksum.
    pub(crate) fn read(bytes: &[u8]) -> Result<Header, Error> {
        let fail = |kind, offset| Err(Error::new(kind, offset));
        if !bytes.as_ptr().addr().is_multiple_of(BUFFER_ALIGN) {
            return fail(ErrorKind::Misaligned, 0);
        }
        let mut begin = bytes.iter().zip(&MAGIC);
        if begin.any(|(have, want)| have != want) {
            return fail(ErrorKind::Magic, at::MAGIC);
        }
        if bytes.len() < BYTES {
            return fail(ErrorKind::Truncated, bytes.len());
        }
        let mut cursor = Cursor::new(bytes, at::VERSION);
        if cursor.u16()? != VERSION {
            return fail(ErrorKind::Version, at::VERSION);
        }
        if cursor.u16()? != 0 {
            return fail(ErrorKind::Reserved, at::FLAGS);
        }
        let file_bytes = cursor.u32()?;
        if file_bytes > limits::FILE_BYTES as u32 {
            return fail(ErrorKind::Limit, at::FILE_BYTES);
        }
        if bytes.len() < file_bytes as usize {
            return fail(ErrorKind::Truncated, bytes.len());
        }
        if bytes.len() > file_bytes as usize {
            return fail(ErrorKind::Trailing, file_bytes as usize);
        }
        if cursor.u32()? != checksum(bytes) {
            return fail(ErrorKind::Checksum, at::CHECKSUM);
        }
        Header::counts(bytes)
    }

    /// Reads what stands behind the checksum. For a file that was admitted
    /// before; what concerns the file as a whole is not looked at.
    pub(crate) fn counts(bytes: &[u8]) -> Result<Header, Error> {
        let fail = |kind, offset| Err(Error::new(kind, offset));
        let mut cursor = Cursor::new(bytes, at::TENSORS);
        let header = Header {
            tensors: cursor.u16()?,
            layers: cursor.u16()?,
            class_names: cursor.u16()?,
            score_scale: {
                if cursor.u16()? != 0 {
                    return fail(ErrorKind::Reserved, at::ZERO);
                }
                cursor.f32()?
            },
        };
        for (count, limit, offset) in [
            (header.tensors, limits::TENSORS, at::TENSORS),
            (header.layers, limits::LAYERS, at::LAYERS),
        ] {
            if count == 0 {
                return fail(ErrorKind::Range, offset);
            }
            if usize::from(count) > limit {
                return fail(ErrorKind::Limit, offset);
            }
        }
        if !is_scale(header.score_scale) {
            return fail(ErrorKind::Float, at::SCORE_SCALE);
        }
        let reserved = cursor.take(BYTES - at::RESERVED)?;
        if let Some(i) = reserved.iter().position(|&byte| byte != 0) {
            return fail(ErrorKind::Reserved, at::RESERVED + i);
        }
        Ok(header)
    }

    /// Where row `id` of the tensor table begins.
    pub(crate) fn tensor_at(&self, id: u16) -> usize {
        BYTES + TENSOR_BYTES * usize::from(id)
    }

    /// Where record `index` of the layer table begins.
    pub(crate) fn layer_at(&self, index: u16) -> usize {
        align_blob(self.tensor_at(self.tensors)) + record::BYTES * usize::from(index)
    }

    /// Names in the file: the network's, one per layer, the classes'.
    pub(crate) fn names(&self) -> usize {
        1 + usize::from(self.layers) + usize::from(self.class_names)
    }

    /// Where the end of name `index` is written.
    pub(crate) fn name_end_at(&self, index: usize) -> usize {
        self.layer_at(self.layers) + 4 * index
    }

    /// Where the text of the names begins.
    pub(crate) fn text_at(&self) -> usize {
        align_blob(self.name_end_at(self.names()))
    }
}

/// The checksum of a whole file: CRC-32 of all its bytes but the four that
/// hold the checksum.
pub(crate) fn checksum(bytes: &[u8]) -> u32 {
    let before = bytes.get(..at::CHECKSUM).unwrap_or(&[]);
    let after = bytes.get(at::CHECKSUM + 4..).unwrap_or(&[]);
    crc32([before, after])
}

/// True if `value` may be a scale: finite and positive.
pub(crate) fn is_scale(value: f32) -> bool {
    value.is_finite() && value > 0.0
}

/// True if `value` may be a mean: finite, and not −0, which equals 0 but has
/// other bytes.
pub(crate) fn is_mean(value: f32) -> bool {
    value.is_finite() && value.to_bits() != (-0.0f32).to_bits()
}
