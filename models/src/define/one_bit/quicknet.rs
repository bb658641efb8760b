//! QuickNet: Bannink et al., *Larq Compute Engine: Design, Benchmark, and Deploy
//! State-of-the-Art Binarized Neural Networks*, 2021, as `larq_zoo.sota` builds it.
//!
//! Four sections of 3x3 1-bit convolutions with a shortcut each; between sections
//! ReLU, max-pool, blur and a full-precision 1x1 convolution.

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
