//! MobileNetV2: Sandler et al., *MobileNetV2: Inverted Residuals and Linear
//! Bottlenecks*, 2018, table 2.

use super::build::{Activation, Builder, Conv};
use super::{DefineError, MobileNet, round_channels};
use bitat_graph::Graph;

/// One stage: `repeats` blocks that widen their input `expansion` times and
/// narrow it to `channels`. The first block halves the picture where the stage
/// has a place in [`super::Strides`].
struct Stage {
    expansion: usize,
    channels: usize,
    repeats: usize,
    halving: Option<usize>,
}

const fn stage(expansion: usize, channels: usize, repeats: usize, halving: Option<usize>) -> Stage {
    Stage { expansion, channels, repeats, halving }
}

const STAGES: [Stage; 7] = [
    stage(1, 16, 1, None),
    stage(6, 24, 2, Some(1)),
    stage(6, 32, 3, Some(2)),
    stage(6, 64, 4, Some(3)),
    stage(6, 96, 3, None),
    stage(6, 160, 3, Some(4)),
    stage(6, 320, 1, None),
];

/// A float MobileNetV2 with fresh weights: stem, 17 inverted residual blocks,
/// a last pointwise convolution, mean over the picture, classifier. Batch norm
/// after every convolution, ReLU6 after all but the narrowing ones.
///
/// # Errors
/// If a value of the definition is out of its range.
pub fn mobilenet_v2(definition: &MobileNet) -> Result<Graph, DefineError> {
    let &MobileNet { width, classes, strides, .. } = definition;
    let mut net = Builder::new("mobilenet_v2", definition)?;
    let stem = Conv { out: round_channels(32, width), kernel: 3, stride: strides[0], groups: 1 };
    net.conv("stem", stem, Activation::Relu6)?;
    let mut index = 0;
    for stage in STAGES {
        for repeat in 0..stage.repeats {
            index += 1;
            let first = repeat == 0;
            let stride = stage.halving.filter(|_| first).map_or(1, |place| strides[place]);
            let out = round_channels(stage.channels, width);
            residual(&mut net, &format!("block{index}"), stage.expansion, out, stride)?;
        }
    }
    net.pointwise("last", round_channels(1280, width.max(1.0)), Activation::Relu6)?;
    net.classify(classes)
}

/// Widen, depthwise 3x3, narrow; the input is added where shapes allow.
fn residual(
    net: &mut Builder,
    block: &str,
    expansion: usize,
    out: usize,
    stride: usize,
) -> Result<(), DefineError> {
    let (start, channels) = (net.last, net.channels());
    if expansion != 1 {
        net.pointwise(&format!("{block}.expand"), channels * expansion, Activation::Relu6)?;
    }
    net.depthwise(&format!("{block}.depthwise"), stride, Activation::Relu6)?;
    net.pointwise(&format!("{block}.project"), out, Activation::None)?;
    if stride == 1 && out == channels {
        net.add(format!("{block}.add"), start)?;
    }
    Ok(())
}
