//! Shapes and windows (rules S1, S9, S10, S13).

/// Rows, columns and channels of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Channels.
    pub channels: usize,
}

/// Window of a convolution (S9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Rows of the kernel, ≥ 1.
    pub kernel_h: usize,
    /// Columns of the kernel, ≥ 1.
    pub kernel_w: usize,
    /// Rows from one output to the next, ≥ 1.
    pub stride_h: usize,
    /// Columns from one output to the next, ≥ 1.
    pub stride_w: usize,
    /// Rows above the input that the first window covers.
    pub pad_top: usize,
    /// Columns left of the input that the first window covers.
    pub pad_left: usize,
}

/// What a binary convolution reads outside its input (S10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// The tap adds nothing.
    Zero,
    /// The tap reads +1.
    One,
}

/// The geometry of one convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv {
    /// Shape read.
    pub input: Shape,
    /// Shape written.
    pub output: Shape,
    /// Window.
    pub window: Window,
    /// Divides the channels of input and output (S13). 1 for a depthwise
    /// convolution, which has a function of its own.
    pub groups: usize,
}

impl Shape {
    /// Elements.
    pub fn elements(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Place of an element in the slice (S1).
    pub fn index(&self, row: usize, column: usize, channel: usize) -> usize {
        (row * self.width + column) * self.channels + channel
    }
}

impl Window {
    /// Rows × columns of the kernel.
    pub fn taps(&self) -> usize {
        self.kernel_h * self.kernel_w
    }

    /// Input row and column that a tap of an output reads, `None` outside (S9, S10).
    pub fn source(
        &self,
        input: Shape,
        (oy, ox): (usize, usize),
        (ky, kx): (usize, usize),
    ) -> Option<(usize, usize)> {
        let row = (oy * self.stride_h + ky).checked_sub(self.pad_top)?;
        let column = (ox * self.stride_w + kx).checked_sub(self.pad_left)?;
        (row < input.height && column < input.width).then_some((row, column))
    }
}

impl Conv {
    /// Input channels of a group.
    pub fn in_per_group(&self) -> usize {
        self.input.channels / self.groups
    }

    /// Output channels of a group.
    pub fn out_per_group(&self) -> usize {
        self.output.channels / self.groups
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tap_knows_where_it_reads() {
        let input = Shape { height: 3, width: 4, channels: 2 };
        let window =
            Window { kernel_h: 2, kernel_w: 4, stride_h: 2, stride_w: 3, pad_top: 1, pad_left: 2 };
        assert_eq!(window.source(input, (0, 0), (0, 2)), None);
        assert_eq!(window.source(input, (0, 0), (1, 1)), None);
        assert_eq!(window.source(input, (0, 0), (1, 2)), Some((0, 0)));
        assert_eq!(window.source(input, (1, 1), (1, 2)), Some((2, 3)));
        assert_eq!(window.source(input, (1, 1), (1, 3)), None);
        assert_eq!(window.source(input, (9, 9), (0, 0)), None);
        assert_eq!(input.index(1, 2, 1), 13);
        assert_eq!(window.taps(), 8);
    }
}
