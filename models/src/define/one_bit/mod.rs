//! Published 1-bit networks, in the form in which they are packed: 1-bit
//! convolutions, 8-bit ones where the published network has float ones.
//!
//! Shapes, strides, channels and shortcuts are the published ones, and so is the
//! number of binary multiply-accumulates. Where the packed format lacks an
//! operation, one of at least the same cost stands in its place; each network's
//! page says which. They are for measuring: their weights are random, and no
//! accuracy is claimed for them.

mod birealnet;
mod layers;
mod quicknet;
mod reactnet;

use super::DefineError;
use bitat_graph::{Graph, Shape};

/// A published 1-bit network for ImageNet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OneBit {
    /// QuickNetSmall of Larq Zoo: 1.16 G binary multiply-accumulates at 224 pixels.
    QuickNetSmall,
    /// QuickNet of Larq Zoo: 1.85 G.
    QuickNet,
    /// QuickNetLarge of Larq Zoo: 3.70 G.
    QuickNetLarge,
    /// Bi-Real Net with 18 layers: 1.68 G.
    BiRealNet18,
    /// ReActNet-A: 4.82 G.
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
