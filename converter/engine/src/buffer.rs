//! Floats that begin on a cache line. A vector register is up to a line long, and
//! what the allocator returns begins 16 bytes into one: every load and store of an
//! unaligned register then touches two lines.

use std::ops::{Deref, DerefMut};

/// Bytes of a cache line, and of the widest register.
const LINE: usize = 64;

/// A fixed number of floats, the first one on a cache line.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    /// The floats and room to shift them.
    data: Vec<f32>,
    start: usize,
    len: usize,
}

impl Buffer {
    pub(crate) fn zeros(len: usize) -> Buffer {
        if len == 0 {
            return Buffer::default();
        }
        let spare = LINE / size_of::<f32>();
        let data = vec![0.0f32; len + spare];
        // The offset is in floats; where it cannot be known, any start will do.
        let start = data.as_ptr().align_offset(LINE).min(spare);
        Buffer { data, start, len }
    }

    /// Makes it exactly `len` long; what it held is lost if that is a change.
    pub(crate) fn resize(&mut self, len: usize) {
        if self.len != len {
            *self = Buffer::zeros(len);
        }
    }

    /// Makes it at least `len` long; what it held is lost if it was shorter.
    pub(crate) fn grow(&mut self, len: usize) {
        if self.len < len {
            *self = Buffer::zeros(len);
        }
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Buffer {
        let mut copy = Buffer::zeros(self.len);
        copy.copy_from_slice(self);
        copy
    }
}

impl Deref for Buffer {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.data[self.start..self.start + self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.data[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_on_a_line_and_keeps_its_length() {
        for len in [0, 1, 15, 16, 17, 1000, 100_000] {
            let mut buffer = Buffer::zeros(len);
            assert_eq!(buffer.len(), len);
            assert!(len == 0 || buffer.as_ptr().addr().is_multiple_of(LINE), "{len}");
            buffer.fill(1.5);
            let copy = buffer.clone();
            assert_eq!(*copy, *buffer);
            assert!(len == 0 || copy.as_ptr().addr().is_multiple_of(LINE), "copy of {len}");
            buffer.grow(len + 1);
            assert_eq!(buffer.len(), len + 1);
            buffer.grow(len);
            assert_eq!(buffer.len(), len + 1);
            buffer.resize(len);
            assert_eq!(buffer.len(), len);
        }
    }
}
