//! Pictures of one size held in memory as bytes: what IDX and CIFAR files are.

/// Equal-sized pictures, decoded, in memory.
#[derive(Debug, Default)]
pub(crate) struct Records {
    /// NHWC.
    pub(crate) pixels: Vec<u8>,
    /// Rows, columns, channels of one picture.
    pub(crate) shape: [usize; 3],
}

impl Records {
    /// The bytes of picture `i`.
    pub(crate) fn picture(&self, i: usize) -> &[u8] {
        let size = self.shape.iter().product::<usize>();
        &self.pixels[i * size..(i + 1) * size]
    }
}
