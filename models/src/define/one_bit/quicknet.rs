//! QuickNet: Bannink et al., *Larq Compute Engine: Design, Benchmark, and Deploy
//! State-of-the-Art Binarized Neural Networks*, 2021, as `larq_zoo.sota` builds it.
//!
//! Four sections of 3x3 1-bit convolutions with a shortcut each; between sections
//! ReLU, max-pool, blur and a full-precision 1x1 convolution.
//!
//! What stands for something else here:
//! - float convolutions are 8-bit;
//! - the max-pool of 2x2 pixels at stride 1 (3 maxima an output) is an 8-bit
//!   depthwise 3x3 at stride 1 (9 products), the blur one at stride 2, both with
//!   parameters of their own, which the published ones lack;
//! - ReLU between a 1-bit convolution and its batch norm is a shifted PReLU behind
//!   the shortcut (three parameters a channel), before a transition the ReLU that
//!   the published network has there too;
//! - signs are taken against a threshold per channel, not against 0: the same cost;
//! - a 1-bit convolution reads 0 outside the picture, not +1: the dearer of the two.

use super::layers::{Layers, Pads};
use bitat_graph::{Graph, ShapeError};

/// Sections of so many blocks with so many filters.
pub(super) fn graph(
    blocks: [usize; 4],
    filters: [usize; 4],
    side: usize,
    classes: usize,
) -> Result<Graph, ShapeError> {
    let mut net = Layers::new(side, Pads::Same)?;
    net.stem(filters[0] / 4, 3, 2)?;
    net.relu("stem")?;
    net.depthwise("stem.depthwise", 3, 2)?;
    net.pointwise("stem.pointwise", filters[0])?;
    for (section, (blocks, filters)) in (1..).zip(blocks.into_iter().zip(filters)) {
        if section > 1 {
            let name = format!("transition{}", section - 1);
            net.depthwise(&format!("{name}.pool"), 3, 1)?;
            net.depthwise(&format!("{name}.blur"), 3, 2)?;
            net.pointwise(&format!("{name}.pointwise"), filters)?;
        }
        for block in 1..=blocks {
            let name = format!("section{section}.conv{block}");
            let start = net.last;
            net.binary(&name, filters, 3, 1)?;
            net.add(&name, start, 1)?;
            if block < blocks { net.prelu(&name) } else { net.relu(&name) }?;
        }
    }
    net.classify(classes)
}
