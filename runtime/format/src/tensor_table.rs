//! Rows of the tensor table (FORMAT.md, T).

use crate::cursor::Cursor;
use crate::error::{Error, ErrorKind};
use crate::header::Header;
#[cfg(feature = "write")]
use crate::header::TENSOR_BYTES;
use crate::limits;
use crate::types::{Kind, Tensor, TensorId};

/// Offsets of the fields within a row.
pub(crate) mod at {
    pub(crate) const KIND: usize = 0;
    pub(crate) const FRAC: usize = 1;
    pub(crate) const HEIGHT: usize = 2;
    pub(crate) const WIDTH: usize = 4;
    pub(crate) const CHANNELS: usize = 6;
}

/// Reads row `id`; [`ErrorKind::Truncated`] if there is no such row in the file.
pub(crate) fn read(bytes: &[u8], header: &Header, id: TensorId) -> Result<Tensor, Error> {
    let start = header.tensor_at(id);
    let fail = |kind, field| Err(Error::new(kind, start + field));
    let mut cursor = Cursor::new(bytes, start);
    let kind = match cursor.u8()? {
        1 => Kind::Image,
        2 => Kind::Stream,
        3 => Kind::Bits,
        4 => Kind::Scores,
        _ => return fail(ErrorKind::Code, at::KIND),
    };
    // The image is tensor 0 and only tensor 0.
    if (kind == Kind::Image) != (id == 0) {
        return fail(ErrorKind::Kind, at::KIND);
    }
    let frac = cursor.i8()?;
    if kind == Kind::Stream {
        if frac.unsigned_abs() > limits::FRAC as u8 {
            return fail(ErrorKind::Range, at::FRAC);
        }
    } else if frac != 0 {
        return fail(ErrorKind::Reserved, at::FRAC);
    }
    let tensor =
        Tensor { kind, height: cursor.u16()?, width: cursor.u16()?, channels: cursor.u16()?, frac };
    for (extent, limit, field) in [
        (tensor.height, limits::SIDE, at::HEIGHT),
        (tensor.width, limits::SIDE, at::WIDTH),
        (tensor.channels, limits::CHANNELS, at::CHANNELS),
    ] {
        if extent == 0 {
            return fail(ErrorKind::Range, field);
        }
        if extent > limit {
            return fail(ErrorKind::Limit, field);
        }
    }
    if kind == Kind::Scores && tensor.pixels() != 1 {
        return fail(ErrorKind::Shape, at::HEIGHT);
    }
    if tensor.bytes() as u64 > limits::TENSOR_BYTES {
        return fail(ErrorKind::Limit, at::KIND);
    }
    Ok(tensor)
}

/// The bytes that [`read`] reads as this tensor.
#[cfg(feature = "write")]
pub(crate) fn to_bytes(tensor: &Tensor) -> [u8; TENSOR_BYTES] {
    let [h, w, c] = [tensor.height, tensor.width, tensor.channels].map(u16::to_le_bytes);
    let kind = match tensor.kind {
        Kind::Image => 1,
        Kind::Stream => 2,
        Kind::Bits => 3,
        Kind::Scores => 4,
    };
    [kind, tensor.frac as u8, h[0], h[1], w[0], w[1], c[0], c[1]]
}
