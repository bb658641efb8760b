//! What the borrowed [`View`](crate::View) and the owned model share: tensors,
//! windows, padding and shortcuts.

use crate::layout;

/// Index of a tensor. Tensor 0 is the image.
pub type TensorId = u16;

/// What the elements of a tensor are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `u8` pixels, row-major, channels last.
    Image,
    /// `i16` fixed point: value = integer × 2^−frac.
    Stream,
    /// One bit per element, 1 where the value is negative; channels padded to
    /// a multiple of 64 bits per pixel.
    Bits,
    /// `i32` class scores.
    Scores,
}

/// Shape and kind of one tensor; batch is always 1, order is row, column, channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Element kind.
    pub kind: Kind,
    /// Rows.
    pub height: u16,
    /// Columns.
    pub width: u16,
    /// Channels.
    pub channels: u16,
    /// Binary point of a [`Kind::Stream`]: value = integer × 2^−frac. 0 otherwise.
    pub frac: i8,
}

impl Tensor {
    /// Rows × columns.
    pub const fn pixels(&self) -> usize {
        (self.height as usize).saturating_mul(self.width as usize)
    }

    /// Rows × columns × channels: elements, tail bits not counted. Saturates
    /// at `usize::MAX`, which a tensor of a parsed file never reaches.
    pub const fn elements(&self) -> usize {
        self.pixels().saturating_mul(self.channels as usize)
    }

    /// Bytes of one pixel in memory.
    pub const fn pixel_bytes(&self) -> usize {
        match self.kind {
            Kind::Image => self.channels as usize,
            Kind::Stream => 2 * self.channels as usize,
            Kind::Bits => layout::bits_pixel_bytes(self.channels as usize),
            Kind::Scores => 4 * self.channels as usize,
        }
    }

    /// Bytes of the whole tensor in memory. Saturates at `usize::MAX`, which
    /// a tensor of a parsed file never reaches.
    pub const fn bytes(&self) -> usize {
        self.pixels().saturating_mul(self.pixel_bytes())
    }

    /// True if height, width and channels are those of `other`.
    pub const fn same_shape(&self, other: &Tensor) -> bool {
        self.height == other.height && self.width == other.width && self.channels == other.channels
    }
}

/// Window of a convolution. Bottom and right padding follow from the output's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Rows of the kernel, ≥ 1.
    pub kernel_h: u8,
    /// Columns of the kernel, ≥ 1.
    pub kernel_w: u8,
    /// Vertical stride, ≥ 1.
    pub stride_h: u8,
    /// Horizontal stride, ≥ 1.
    pub stride_w: u8,
    /// Rows above the input, < `kernel_h`.
    pub pad_top: u8,
    /// Columns left of the input, < `kernel_w`.
    pub pad_left: u8,
}

impl Window {
    /// Rows × columns of the kernel.
    pub const fn taps(&self) -> usize {
        self.kernel_h as usize * self.kernel_w as usize
    }
}

/// What a binary convolution reads outside its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// The tap adds nothing (what PyTorch and ONNX do).
    Zero,
    /// The tap reads +1.
    One,
}

/// A parameter-free shortcut from an earlier stream.
///
/// Channels: with `c_in ≥ c_out`, output channel `c` is the mean of the input
/// channels `c, c + c_out, c + 2·c_out, …`; with `c_in < c_out` it reads
/// channel `c mod c_in`. Pixels: the mean over `pool × pool` pixels, clipped
/// at the border. Both means are one `rdiv`; then the result is shifted to the
/// output's binary point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortcut {
    /// The stream read.
    pub tensor: TensorId,
    /// Pixels per side that become one, ≥ 1.
    pub pool: u8,
    /// −15..=15: left shifts saturate, right shifts round.
    pub shift: i8,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_in_memory() {
        let tensor =
            |kind, height, width, channels| Tensor { kind, height, width, channels, frac: 0 };
        assert_eq!(tensor(Kind::Image, 3, 5, 2).bytes(), 30);
        assert_eq!(tensor(Kind::Stream, 3, 5, 2).bytes(), 60);
        assert_eq!(tensor(Kind::Scores, 1, 1, 10).bytes(), 40);
        for (channels, bytes) in [(1, 8), (63, 8), (64, 8), (65, 16), (128, 16), (129, 24)] {
            assert_eq!(tensor(Kind::Bits, 3, 5, channels).bytes(), 15 * bytes);
            assert_eq!(tensor(Kind::Bits, 3, 5, channels).elements(), 15 * usize::from(channels));
        }
        // Beyond the limits a 32-bit size saturates instead of coming round.
        let huge = tensor(Kind::Stream, u16::MAX, u16::MAX, u16::MAX);
        let exact = 2 * u64::from(u16::MAX).pow(3);
        assert_eq!(huge.bytes() as u64, exact.min(usize::MAX as u64));
        assert_eq!(huge.elements() as u64, (exact / 2).min(usize::MAX as u64));
    }
}
