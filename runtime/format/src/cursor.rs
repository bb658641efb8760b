//! The only thing that walks the bytes of a file: every step is bounded.

use bytemuck::Pod;

use crate::error::{Error, ErrorKind};
use crate::layout;

/// A position in a file.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// A cursor that stands `at` bytes after the start of the file.
    pub(crate) fn new(bytes: &'a [u8], at: usize) -> Cursor<'a> {
        Cursor { bytes, at }
    }

    /// Bytes from the start of the file.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The next `count` bytes; [`ErrorKind::Truncated`] here, or at the end if
    /// that comes first, when there are fewer.
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let rest = self.bytes.get(self.at..).unwrap_or(&[]);
        let Some(taken) = rest.get(..count) else {
            let here = self.at.min(self.bytes.len());
            return Err(Error::new(ErrorKind::Truncated, here));
        };
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let at = self.at;
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| Error::new(ErrorKind::Truncated, at))
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Error> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn i8(&mut self) -> Result<i8, Error> {
        self.array().map(i8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Error> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Error> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn f32(&mut self) -> Result<f32, Error> {
        self.array().map(f32::from_le_bytes)
    }

    /// Goes on to the next multiple of 16; what lies between must be zero.
    pub(crate) fn align(&mut self) -> Result<(), Error> {
        let at = self.at;
        let gap = self.take(layout::align_blob(at) - at)?;
        match gap.iter().position(|&byte| byte != 0) {
            Some(i) => Err(Error::new(ErrorKind::Reserved, at + i)),
            None => Ok(()),
        }
    }

    /// The blob of `count` values that starts at the next multiple of 16.
    pub(crate) fn blob<T: Pod>(&mut self, count: usize) -> Result<&'a [T], Error> {
        self.align()?;
        let at = self.at;
        let bytes =
            count.checked_mul(size_of::<T>()).ok_or(Error::new(ErrorKind::Truncated, at))?;
        let taken = self.take(bytes)?;
        bytemuck::try_cast_slice(taken).map_err(|_| Error::new(ErrorKind::Misaligned, at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_passes_the_end() {
        let bytes = [1, 2, 3];
        let mut cursor = Cursor::new(&bytes, 0);
        assert_eq!(cursor.u16(), Ok(0x0201));
        let end = Err(Error::new(ErrorKind::Truncated, 2));
        assert_eq!(cursor.u16(), end);
        assert_eq!(cursor.u8(), Ok(3), "a failed step does not move");
        assert_eq!(cursor.take(0), Ok(&[][..]));
        assert!(cursor.take(usize::MAX).is_err());
        assert!(cursor.blob::<u32>(usize::MAX).is_err());
        let end = Err(Error::new(ErrorKind::Truncated, 3));
        assert_eq!(Cursor::new(&bytes, usize::MAX).u8(), end);
    }

    #[test]
    fn gaps_are_zero() {
        let mut bytes = [0; 20];
        bytes[9] = 1;
        let error = Error::new(ErrorKind::Reserved, 9);
        assert_eq!(Cursor::new(&bytes, 3).align(), Err(error));
        let mut cursor = Cursor::new(&bytes, 10);
        assert_eq!(cursor.blob::<u8>(4), Ok(&[0; 4][..]));
        assert_eq!(cursor.at(), 20);
        assert_eq!(Cursor::new(&bytes, 20).align(), Err(Error::new(ErrorKind::Truncated, 20)));
    }
}
