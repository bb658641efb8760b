//! What the 1-bit network takes from data rather than from gradients:
//! thresholds, binary points, and the scale of folded batch norms.

use bitat_engine::{Binarizer, Mode, Net, Purpose};
use bitat_graph::{Graph, NodeId, Op};

use super::rewrite::LayerNote;
use crate::Error;
use crate::lower::binary_point;

/// Images of one calibration pass: enough for per-channel means to a few percent.
pub const CALIBRATION_IMAGES: usize = 256;

/// A batch of preprocessed images, NHWC.
pub struct Images<'a> {
    /// `count` images.
    pub pixels: &'a [f32],
    /// How many.
    pub count: usize,
}

/// Sets the threshold of the node `sign` to the channel mean of its input in the
/// network as it stands: to be called bottom to top, so that each layer sees the
/// binary layers below it.
///
/// A threshold directly behind a batch norm stays 0: that mean is 0 already.
///
/// # Errors
/// If the graph cannot be executed.
pub fn threshold(
    graph: &mut Graph,
    binarizer: &dyn Binarizer,
    images: &Images,
    sign: NodeId,
) -> Result<(), Error> {
    let Op::Sign { threshold } = graph.nodes[sign].op else { return Ok(()) };
    let input = graph.nodes[sign].inputs[0];
    if matches!(graph.nodes[input].op, Op::BatchNorm { .. }) {
        return Ok(());
    }
    let mut net = Net::new(graph, images.count, Purpose::Eval, &[input])?;
    net.forward(graph, binarizer, images.pixels, images.count, Mode::Train { momentum: 0.0 });
    let means = channel_moments(net.activation(input), graph.nodes[input].shape.c);
    graph.params[threshold].data = means.iter().map(|m| m.0 as f32).collect();
    Ok(())
}

/// Gives batch norms that were folded away the float layer's own scale and
/// shift: the deviation and mean of its outputs.
///
/// # Errors
/// If the float graph cannot be executed.
pub fn unfold_norms(
    graph: &mut Graph,
    layers: &[LayerNote],
    float: &mut Graph,
    binarizer: &dyn Binarizer,
    images: &Images,
) -> Result<(), Error> {
    let folded: Vec<(NodeId, NodeId)> =
        layers.iter().filter_map(|l| Some((l.folded_norm?, l.float_node))).collect();
    if folded.is_empty() {
        return Ok(());
    }
    let keep: Vec<NodeId> = folded.iter().map(|f| f.1).collect();
    let mut net = Net::new(float, images.count, Purpose::Eval, &keep)?;
    net.forward(float, binarizer, images.pixels, images.count, Mode::Eval);
    for (norm, node) in folded {
        let Op::BatchNorm { gamma, beta, .. } = graph.nodes[norm].op else { continue };
        let moments = channel_moments(net.activation(node), float.nodes[node].shape.c);
        graph.params[gamma].data = moments.iter().map(|m| m.1.sqrt().max(1e-3) as f32).collect();
        graph.params[beta].data = moments.iter().map(|m| m.0 as f32).collect();
    }
    Ok(())
}

/// Per node and channel, the largest absolute value over the images, with the
/// batch norms of `mode`.
///
/// # Errors
/// If the graph cannot be executed.
pub fn ranges(
    graph: &mut Graph,
    binarizer: &dyn Binarizer,
    images: &Images,
    mode: Mode,
) -> Result<Vec<Vec<f32>>, Error> {
    const BATCH: usize = 32;
    let mut net = Net::new(graph, images.count.min(BATCH), Purpose::Inspect, &[])?;
    let per_image = images.pixels.len() / images.count;
    let mut ranges: Vec<Vec<f32>> =
        graph.nodes.iter().map(|node| vec![0.0; node.shape.c]).collect();
    for chunk in images.pixels.chunks(BATCH * per_image) {
        net.forward(graph, binarizer, chunk, chunk.len() / per_image, mode);
        for (id, range) in ranges.iter_mut().enumerate() {
            for pixel in net.activation(id).chunks_exact(range.len()) {
                for (largest, v) in range.iter_mut().zip(pixel) {
                    *largest = largest.max(v.abs());
                }
            }
        }
    }
    Ok(ranges)
}

/// Part of the values that an 8-bit reading may clip: a few outliers would
/// otherwise cost all others a bit or two.
const CLIPPED: f64 = 5e-4;

/// Sets the binary point of every 8-bit reading: the finest that clips next to
/// nothing. True if one changed.
///
/// # Errors
/// If the graph cannot be executed.
pub fn narrow_points(
    graph: &mut Graph,
    binarizer: &dyn Binarizer,
    images: &Images,
    mode: Mode,
) -> Result<bool, Error> {
    let readings: Vec<NodeId> = (0..graph.nodes.len())
        .filter(|&id| matches!(graph.nodes[id].op, Op::Narrow { .. }))
        .collect();
    if readings.is_empty() {
        return Ok(false);
    }
    let inputs: Vec<NodeId> = readings.iter().map(|&id| graph.nodes[id].inputs[0]).collect();
    let mut net = Net::new(graph, images.count, Purpose::Eval, &inputs)?;
    net.forward(graph, binarizer, images.pixels, images.count, mode);
    let points: Vec<i32> = inputs.iter().map(|&id| narrow_point(net.activation(id))).collect();
    let mut changed = false;
    for (id, frac) in readings.into_iter().zip(points) {
        let op = Op::Narrow { frac };
        changed |= graph.nodes[id].op != op;
        graph.nodes[id].op = op;
    }
    Ok(changed)
}

/// The finest binary point, −8 to 12, at which at most [`CLIPPED`] of the values
/// lie beyond ±127.
fn narrow_point(values: &[f32]) -> i32 {
    let allowed = (values.len() as f64 * CLIPPED) as usize;
    let mut sizes: Vec<f32> = values.iter().map(|v| v.abs()).collect();
    let at = sizes.len() - 1 - allowed.min(sizes.len() - 1);
    let (_, &mut size, _) = sizes.select_nth_unstable_by(at, f32::total_cmp);
    binary_point(f64::from(size), 127.0).min(12)
}

/// Mean and variance of each channel.
fn channel_moments(values: &[f32], channels: usize) -> Vec<(f64, f64)> {
    let count = (values.len() / channels) as f64;
    let mut sums = vec![(0.0f64, 0.0f64); channels];
    for pixel in values.chunks_exact(channels) {
        for (sum, v) in sums.iter_mut().zip(pixel) {
            let v = f64::from(*v);
            sum.0 += v;
            sum.1 += v * v;
        }
    }
    sums.iter()
        .map(|(s, q)| (s / count, (q / count - (s / count) * (s / count)).max(0.0)))
        .collect()
}
