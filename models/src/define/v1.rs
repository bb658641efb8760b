//! MobileNetV1: Howard et al., *MobileNets: Efficient Convolutional Neural
//! Networks for Mobile Vision Applications*, 2017, table 1.

use super::build::{Activation, Builder, Conv};
use super::{DefineError, MobileNet, round_channels};
use bitat_graph::Graph;

/// Output channels of the 13 blocks at width 1, and the place in [`super::Strides`]
/// of those that halve the picture.
pub(super) const BLOCKS: [(usize, Option<usize>); 13] = [
    (64, None),
    (128, Some(1)),
    (128, None),
    (256, Some(2)),
    (256, None),
    (512, Some(3)),
    (512, None),
    (512, None),
    (512, None),
    (512, None),
    (512, None),
    (1024, Some(4)),
    (1024, None),
];

/// A float MobileNetV1 with fresh weights: stem, 13 blocks of a depthwise 3x3
/// and a pointwise convolution with batch norm and ReLU after each, mean over
/// the picture, classifier.
///
/// # Errors
/// If a value of the definition is out of its range.
pub fn mobilenet_v1(definition: &MobileNet) -> Result<Graph, DefineError> {
    let &MobileNet { width, classes, strides, .. } = definition;
    let mut net = Builder::new("mobilenet_v1", definition)?;
    let stem = Conv { out: round_channels(32, width), kernel: 3, stride: strides[0], groups: 1 };
    net.conv("stem", stem, Activation::Relu)?;
    for (index, (channels, halving)) in BLOCKS.into_iter().enumerate() {
        let block = format!("block{}", index + 1);
        let stride = halving.map_or(1, |place| strides[place]);
        net.depthwise(&format!("{block}.depthwise"), stride, Activation::Relu)?;
        let out = round_channels(channels, width);
        net.pointwise(&format!("{block}.pointwise"), out, Activation::Relu)?;
    }
    net.classify(classes)
}
