//! Bi-Real Net: Liu et al., *Bi-Real Net: Enhancing the Performance of 1-bit CNNs
//! With Improved Representational Capability and Advanced Training Algorithm*, 2018,
//! with 18 layers.
//!
//! ResNet-18 whose 3x3 convolutions are 1-bit, with one shortcut per convolution;
//! where the picture halves, the shortcut is an average pool of 2x2 pixels and a
//! full-precision 1x1 convolution.

use super::layers::{Layers, Pads};
use bitat_graph::{Graph, ShapeError};

/// Channels of the four stages.
const STAGES: [usize; 4] = [64, 128, 256, 512];

/// 1-bit convolutions of each stage.
const CONVOLUTIONS: usize = 4;

pub(super) fn graph(side: usize, classes: usize) -> Result<Graph, ShapeError> {
    let mut net = Layers::new(side, Pads::Around)?;
    net.stem(STAGES[0], 7, 2)?;
    net.depthwise("stem.pool", 3, 2)?;
    for (stage, channels) in (1..).zip(STAGES) {
        for index in 1..=CONVOLUTIONS {
            let name = format!("stage{stage}.conv{index}");
            let start = net.last;
            let (mut shortcut, mut stride) = (start, 1);
            if channels != net.channels() {
                net.halve(&format!("{name}.shortcut.pool"))?;
                net.pointwise(&format!("{name}.shortcut.pointwise"), channels)?;
                (shortcut, stride) = (net.last, 2);
                net.last = start;
            }
            net.binary(&name, channels, 3, stride)?;
            net.add(&name, shortcut, 1)?;
        }
    }
    net.classify(classes)
}
