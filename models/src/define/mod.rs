//! MobileNets as float graphs: convolutions without bias, batch norm after
//! each, 3x3 windows padded by one pixel of zeros on every side. Beside them, for
//! measuring, the 1-bit networks that others have published.

mod build;
mod one_bit;
mod random;
mod v1;
mod v2;

use bitat_graph::{Shape, ShapeError};
use std::fmt;

pub use one_bit::OneBit;
pub use v1::mobilenet_v1;
pub use v2::mobilenet_v2;

/// What a MobileNet is to be.
#[derive(Clone, Debug, PartialEq)]
pub struct MobileNet {
    /// Multiplies every layer's channels (see [`round_channels`]); above 0, up to 4.
    /// V2's last convolution keeps its 1280 channels below 1.
    pub width: f32,
    /// Shape of the preprocessed image.
    pub input: Shape,
    /// Scores at the end.
    pub classes: usize,
    /// Where the picture is halved.
    pub strides: Strides,
    /// Of the weights.
    pub seed: u64,
}

impl MobileNet {
    /// Strides that suit the input, seed 0.
    pub fn new(width: f32, input: Shape, classes: usize) -> Self {
        Self { width, input, classes, strides: strides_for(input), seed: 0 }
    }

    /// Refuses what no network can be made of.
    fn check(&self) -> Result<(), DefineError> {
        let Shape { h, w, c } = self.input;
        if !(self.width > 0.0 && self.width <= 4.0) {
            return Err(DefineError::Width(self.width));
        }
        if [h, w, c].iter().any(|extent| !(1..=4096).contains(extent)) {
            return Err(DefineError::Input(self.input));
        }
        if !(1..=32_768).contains(&self.classes) {
            return Err(DefineError::Classes(self.classes));
        }
        if self.strides.iter().any(|stride| !(1..=2).contains(stride)) {
            return Err(DefineError::Strides(self.strides));
        }
        Ok(())
    }
}

/// The five places where a MobileNet halves its picture, in order: the stem,
/// then the first block of four stages. Each is 1 or 2.
///
/// The published 224-pixel networks have `[2; 5]`, 224 pixels becoming 7.
/// Small pictures need fewer halvings: see [`strides_for`].
pub type Strides = [usize; 5];

/// Strides that suit an input: as few halvings dropped, from the stem on, as
/// leave the last activation at least 3 rows and columns.
///
/// 224x224 and 96x96 keep all five; 64x64 loses the stem's; 28x28 and 32x32
/// lose two and end at 4x4. A later halving costs more multiplies than an
/// early one and usually buys accuracy: a caller short of time sets
/// `[2, 2, 2, 1, 1]` or the like instead.
pub fn strides_for(input: Shape) -> Strides {
    let smaller = input.h.min(input.w);
    let mut strides = [2; 5];
    for dropped in 0..strides.len() {
        let halvings = strides.len() - dropped;
        if smaller.div_ceil(1 << halvings) >= 3 {
            break;
        }
        strides[dropped] = 1;
    }
    strides
}

/// `channels · width` rounded to a multiple of 8, never below 8 and never more
/// than a tenth below the exact product.
///
/// This is the published networks' own rule (`make_divisible`).
pub fn round_channels(channels: usize, width: f32) -> usize {
    let exact = channels as f64 * f64::from(width);
    let rounded = (((exact + 4.0) / 8.0) as usize * 8).max(8);
    if (rounded as f64) < 0.9 * exact { rounded + 8 } else { rounded }
}

/// A definition that makes no network: what is out of range and what is allowed.
#[derive(Clone, Debug, PartialEq)]
pub enum DefineError {
    /// The width multiplier is not in (0, 4].
    Width(f32),
    /// The input has a side of 0 or above 4096, or no channels or more than 4096.
    Input(Shape),
    /// Fewer than 1 or more than 32,768 classes, the packed format's limit.
    Classes(usize),
    /// A stride is neither 1 nor 2.
    Strides(Strides),
    /// The layers do not fit each other.
    Shape(ShapeError),
}

impl fmt::Display for DefineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Width(width) => write!(f, "width {width}: choose one above 0 and up to 4"),
            Self::Input(Shape { h, w, c }) => {
                write!(f, "input {h}x{w}x{c}: sides and channels are 1 to 4096")
            }
            Self::Classes(classes) => write!(f, "{classes} classes: choose 1 to 32768"),
            Self::Strides(strides) => write!(f, "strides {strides:?}: each is 1 or 2"),
            Self::Shape(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for DefineError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Shape(error) => Some(error),
            _ => None,
        }
    }
}

impl From<ShapeError> for DefineError {
    fn from(error: ShapeError) -> Self {
        Self::Shape(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strides_follow_the_picture() {
        let square = |side| strides_for(Shape { h: side, w: side, c: 3 });
        assert_eq!(square(224), [2, 2, 2, 2, 2]);
        assert_eq!(square(96), [2, 2, 2, 2, 2]);
        assert_eq!(square(64), [1, 2, 2, 2, 2]);
        assert_eq!(square(32), [1, 1, 2, 2, 2]);
        assert_eq!(square(28), [1, 1, 2, 2, 2]);
        assert_eq!(square(2), [1, 1, 1, 1, 1]);
        assert_eq!(strides_for(Shape { h: 49, w: 10, c: 1 }), [1, 1, 1, 2, 2]);
    }

    #[test]
    fn channels_round_as_published() {
        // V2 at width 0.35: 16, 24, 32, 64, 96 and 160 channels.
        let narrow: Vec<_> =
            [16, 24, 32, 64, 96, 160].iter().map(|&c| round_channels(c, 0.35)).collect();
        assert_eq!(narrow, [8, 8, 16, 24, 32, 56]);
        assert_eq!(round_channels(16, 1.4), 24); // 22.4
        assert_eq!(round_channels(32, 0.01), 8);
    }

    #[test]
    fn refuses_what_is_no_network() {
        let good = MobileNet::new(1.0, Shape { h: 28, w: 28, c: 1 }, 10);
        assert_eq!(good.check(), Ok(()));
        for width in [0.0, -1.0, f32::NAN, f32::INFINITY, 4.1] {
            let bad = MobileNet { width, ..good.clone() };
            assert!(matches!(bad.check(), Err(DefineError::Width(_))), "{width}");
        }
        for input in [Shape { h: 0, w: 28, c: 1 }, Shape { h: 28, w: 28, c: 5000 }] {
            let bad = MobileNet { input, ..good.clone() };
            assert_eq!(bad.check(), Err(DefineError::Input(input)));
        }
        for classes in [0, 70_000] {
            let bad = MobileNet { classes, ..good.clone() };
            assert_eq!(bad.check(), Err(DefineError::Classes(classes)));
        }
        let strides = [2, 2, 3, 2, 2];
        let bad = MobileNet { strides, ..good };
        assert_eq!(bad.check(), Err(DefineError::Strides(strides)));
    }
}
