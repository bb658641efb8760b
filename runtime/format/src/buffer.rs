//! Memory that starts where the reader needs it to.

/// A value at a multiple of 16, for a file in flash:
///
/// ```
/// use bitat_format::{Aligned, View};
/// static FILE: &Aligned<[u8]> = &Aligned(*include_bytes!("../tests/golden/bare.bitat"));
/// let view = View::parse(&FILE.0).unwrap();
/// # assert_eq!(view.layer_count(), 1);
/// ```
#[derive(Clone, Copy, Debug)]
#[repr(align(16))]
pub struct Aligned<T: ?Sized>(pub T);

/// The bytes of a file on the heap, aligned for [`View::parse`](crate::View::parse).
///
/// ```
/// use bitat_format::{FileBuffer, View};
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/bare.bitat");
/// let file = FileBuffer::new(&std::fs::read(path)?);
/// let view = View::parse(&file)?;
/// # assert_eq!(view.layer_count(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[cfg(feature = "write")]
#[derive(Clone, Debug)]
pub struct FileBuffer {
    blocks: alloc::vec::Vec<u128>,
    length: usize,
}

#[cfg(feature = "write")]
impl FileBuffer {
    /// Copies `bytes`.
    pub fn new(bytes: &[u8]) -> FileBuffer {
        let mut blocks = alloc::vec![0u128; bytes.len().div_ceil(size_of::<u128>())];
        bytemuck::cast_slice_mut(&mut blocks)[..bytes.len()].copy_from_slice(bytes);
        FileBuffer { blocks, length: bytes.len() }
    }
}

#[cfg(feature = "write")]
impl core::ops::Deref for FileBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.blocks)[..self.length]
    }
}

#[cfg(feature = "write")]
impl core::ops::DerefMut for FileBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.blocks)[..self.length]
    }
}
