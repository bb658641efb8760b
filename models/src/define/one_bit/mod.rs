//! Published 1-bit networks, in the form in which they are packed: 1-bit
//! convolutions, 8-bit ones where the published network has float ones.
//!
//! Binary layers with their shortcuts are the published ones. Where the packed
//! format lacks an operation, one of at least the same cost stands in its place;
//! [`OneBit`] says which.

mod birealnet;
mod layers;
mod quicknet;
mod reactnet;

use super::DefineError;
use bitat_graph::{Graph, Shape};

/// A published 1-bit network for ImageNet, to be measured: its weights are random,
/// and no accuracy is claimed for it.
///
/// Shapes, strides, channels, shortcuts and the number of binary multiply-accumulates
/// (given for 224 pixels) are the published ones. In all of them float convolutions
/// are 8-bit, and signs are taken against a threshold per channel, which costs what a
/// comparison with 0 does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OneBit {
    /// QuickNetSmall of Larq Zoo, 1.16 G; what [`OneBit::QuickNet`] says holds for it.
    QuickNetSmall,
    /// QuickNet of Larq Zoo, 1.85 G: four sections of 3x3 1-bit convolutions with a
    /// shortcut each. In place of
    ///
    /// - the max-pool of 2x2 pixels at stride 1 between sections (3 maxima an output):
    ///   an 8-bit depthwise 3x3 at stride 1 (9 products);
    /// - the blur behind it: an 8-bit depthwise 3x3 at stride 2 whose channels differ;
    /// - ReLU between a 1-bit convolution and its batch norm: a shifted PReLU behind
    ///   the shortcut (three parameters a channel) or, before a transition and the
    ///   classifier, the ReLU that the published network has there too.
    QuickNet,
    /// QuickNetLarge of Larq Zoo, 3.70 G; what [`OneBit::QuickNet`] says holds for it.
    QuickNetLarge,
    /// Bi-Real Net with 18 layers, 1.68 G: ResNet-18 whose 3x3 convolutions are 1-bit,
    /// with one shortcut each. In place of
    ///
    /// - the max-pool of 3x3 pixels behind the stem (8 maxima an output): an 8-bit
    ///   depthwise 3x3 of the same stride (9 products);
    /// - the average pool of 2x2 pixels in a shortcut: an 8-bit depthwise 2x2 of equal
    ///   weights.
    BiRealNet18,
    /// ReActNet-A, 4.82 G: MobileNetV1 of 3x3 and 1x1 1-bit convolutions with signs
    /// against thresholds (RSign), a shortcut each, and shifted PReLUs (RPReLU).
    /// Where channels double, two 1x1 convolutions side by side are one with twice the
    /// outputs, whose shortcut repeats its channels: the same integers.
    ReActNetA,
}

impl OneBit {
    /// All of them.
    pub const ALL: [OneBit; 5] = [
        OneBit::QuickNetSmall,
        OneBit::QuickNet,
        OneBit::QuickNetLarge,
        OneBit::BiRealNet18,
        OneBit::ReActNetA,
    ];

    /// Lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            OneBit::QuickNetSmall => "quicknet-small",
            OneBit::QuickNet => "quicknet",
            OneBit::QuickNetLarge => "quicknet-large",
            OneBit::BiRealNet18 => "bi-real-net-18",
            OneBit::ReActNetA => "reactnet-a",
        }
    }

    /// Whether a 1-bit convolution reads +1 outside the picture, as Larq Zoo's QuickNets
    /// do. The graph says 0 all the same: a trainer's convolution knows nothing else.
    pub const fn one_outside(self) -> bool {
        matches!(self, OneBit::QuickNetSmall | OneBit::QuickNet | OneBit::QuickNetLarge)
    }

    /// The network for a square RGB image of `side` pixels; 224 is the published
    /// size, and any multiple of 32 fits. Its input is the image less its mean;
    /// its weights are random, the same every time.
    ///
    /// # Errors
    /// For a side or a number of classes out of range, and for sides whose halves
    /// do not meet again at a shortcut.
    pub fn graph(self, side: usize, classes: usize) -> Result<Graph, DefineError> {
        if !(1..=4096).contains(&side) {
            return Err(DefineError::Input(Shape { h: side, w: side, c: 3 }));
        }
        if !(1..=32_768).contains(&classes) {
            return Err(DefineError::Classes(classes));
        }
        let graph = match self {
            OneBit::QuickNetSmall => {
                quicknet::graph([4, 4, 4, 4], [32, 64, 256, 512], side, classes)
            }
            OneBit::QuickNet => quicknet::graph([4, 4, 4, 4], [64, 128, 256, 512], side, classes),
            OneBit::QuickNetLarge => {
                quicknet::graph([6, 8, 12, 6], [64, 128, 256, 512], side, classes)
            }
            OneBit::BiRealNet18 => birealnet::graph(side, classes),
            OneBit::ReActNetA => reactnet::graph(side, classes),
        }?;
        Ok(Graph { name: self.name().to_owned(), ..graph })
    }
}
