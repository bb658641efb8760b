//! What a packed network is made of, layer by layer.

use bitat_format::{EpilogueView, Kind, LayerView, OperationView, Tensor, View};

/// One layer of a packed network.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerSummary {
    /// Its name.
    pub name: String,
    /// What it computes, in the field's words.
    pub op: &'static str,
    /// Window as `3x3/2`, empty where there is none.
    pub window: String,
    /// Shape read, rows × columns × channels.
    pub input: [usize; 3],
    /// Shape written.
    pub output: [usize; 3],
    /// Bits of a weight: 1, 8, or 0 where there are none.
    pub bits: u8,
    /// Weights.
    pub weights: u64,
    /// Bytes of the weights in the file, tail lanes included.
    pub weight_bytes: u64,
    /// Bytes of thresholds, multipliers, biases and PReLU.
    pub epilogue_bytes: u64,
    /// Multiply-accumulates for one image (bit pairs, for 1-bit layers).
    pub mac: u64,
}

/// The layers of `view`, in execution order.
pub fn layers(view: &View) -> Vec<LayerSummary> {
    view.layers().map(|layer| summary(view, &layer)).collect()
}

/// Bytes of the file that belong to no layer's arrays: header, tables, names,
/// preprocessing, alignment.
pub fn frame_bytes(view: &View, layers: &[LayerSummary]) -> u64 {
    let arrays: u64 = layers.iter().map(|l| l.weight_bytes + l.epilogue_bytes).sum();
    view.file_bytes() as u64 - arrays
}

fn summary(view: &View, layer: &LayerView) -> LayerSummary {
    let input = view.tensor(layer.input);
    let output = layer.writes().next().map_or(input, |id| view.tensor(id));
    let (bits, weight_bytes, per_output) = match layer.operation {
        OperationView::Int8Conv { window, weights, .. } => {
            (8, weights.len(), window.taps() * usize::from(input.channels))
        }
        OperationView::Int8Depthwise { window, weights, .. } => (8, weights.len(), window.taps()),
        OperationView::BinaryConv { window, groups, weights, .. } => {
            (1, weights.len(), window.taps() * usize::from(input.channels / groups))
        }
        OperationView::BinaryDepthwise { window, weights, .. } => (1, weights.len(), window.taps()),
        OperationView::GlobalAveragePool { .. } => (0, 0, 0),
    };
    LayerSummary {
        name: layer.name.to_owned(),
        op: op_name(layer, &input, &output),
        window: layer.operation.window().map_or(String::new(), |w| {
            let kernel = format!("{}x{}", w.kernel_h, w.kernel_w);
            match w.stride_h {
                1 => kernel,
                stride => format!("{kernel}/{stride}"),
            }
        }),
        input: shape(&input),
        output: shape(&output),
        bits,
        weights: (usize::from(output.channels) * per_output) as u64,
        weight_bytes: weight_bytes as u64,
        epilogue_bytes: layer.operation.epilogue().map_or(0, |e| epilogue_bytes(&e)) as u64,
        mac: (output.elements() * per_output) as u64,
    }
}

fn op_name(layer: &LayerView, input: &Tensor, output: &Tensor) -> &'static str {
    let dense = output.kind == Kind::Scores;
    match layer.operation {
        OperationView::Int8Conv { .. } if dense => "dense 8-bit",
        OperationView::Int8Conv { .. } if input.kind == Kind::Image => "stem 8-bit",
        OperationView::Int8Conv { .. } => "conv 8-bit",
        OperationView::Int8Depthwise { .. } => "depthwise 8-bit",
        OperationView::BinaryConv { .. } if dense => "dense 1-bit",
        OperationView::BinaryConv { .. } => "conv 1-bit",
        OperationView::BinaryDepthwise { .. } => "depthwise 1-bit",
        OperationView::GlobalAveragePool { .. } => "global average pool",
    }
}

fn shape(tensor: &Tensor) -> [usize; 3] {
    [tensor.height.into(), tensor.width.into(), tensor.channels.into()]
}

fn epilogue_bytes(epilogue: &EpilogueView) -> usize {
    match epilogue {
        EpilogueView::Threshold { thresholds, .. } => size_of_val(*thresholds),
        EpilogueView::Stream { multiplier, bias, prelu, sign, .. } => {
            let prelu = prelu.map_or(0, |p| 3 * size_of_val(p.slope));
            let sign = sign.map_or(0, |s| size_of_val(s.thresholds));
            size_of_val(*multiplier) + size_of_val(*bias) + prelu + sign
        }
        EpilogueView::Scores { multiplier, bias, .. } => {
            size_of_val(*multiplier) + size_of_val(*bias)
        }
    }
}
