//! ReActNet-A: Liu et al., *ReActNet: Towards Precise Binary Neural Network with
//! Generalized Activation Functions*, 2020.
//!
//! MobileNetV1 whose depthwise convolutions are 3x3 1-bit ones over all channels
//! and whose 1x1 convolutions are 1-bit, each with signs against a threshold per
//! channel (RSign), a shortcut (an average pool of 2x2 pixels where the picture
//! halves) and a shifted PReLU (RPReLU). Where channels double, two 1x1
//! convolutions side by side read the same signs and add the same shortcut: that is
//! one with twice the outputs, whose shortcut repeats its channels.

use super::super::v1::BLOCKS;
use super::layers::{Layers, Pads};
use bitat_graph::{Graph, ShapeError};

/// Channels of the stem.
const STEM: usize = 32;

pub(super) fn graph(side: usize, classes: usize) -> Result<Graph, ShapeError> {
    let mut net = Layers::new(side, Pads::Around)?;
    net.stem(STEM, 3, 2)?;
    for (block, (out, halving)) in (1..).zip(BLOCKS) {
        let stride = if halving.is_some() { 2 } else { 1 };
        let name = format!("block{block}.conv");
        let start = net.last;
        net.binary(&name, net.channels(), 3, stride)?;
        net.add(&name, start, stride)?;
        net.prelu(&name)?;
        let name = format!("block{block}.pointwise");
        let start = net.last;
        net.binary(&name, out, 1, 1)?;
        net.add(&name, start, 1)?;
        net.prelu(&name)?;
    }
    net.classify(classes)
}
