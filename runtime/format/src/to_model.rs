//! From the borrowed view to the owned model.

use alloc::string::String;

use crate::layer::{EpilogueView, LayerView, OperationView, PreluView, SignView};
use crate::model::{Epilogue, Input, Layer, Model, Operation, Prelu, Sign};
use crate::pack;
use crate::view::View;

pub(crate) fn model(view: &View<'_>) -> Model {
    let input = view.input();
    Model {
        name: String::from(view.name()),
        input: Input {
            zero: input.zero.to_vec(),
            mean: input.mean.to_vec(),
            std: input.std.to_vec(),
        },
        classes: (0..view.class_count())
            .map_while(|i| view.class_name(i))
            .map(String::from)
            .collect(),
        tensors: view.tensors().collect(),
        layers: view.layers().map(|l| layer(view, &l)).collect(),
        score_scale: view.score_scale(),
    }
}

fn layer(view: &View<'_>, layer: &LayerView<'_>) -> Layer {
    let channels = |id| usize::from(view.tensor(id).channels);
    let c_in = channels(layer.input);
    let c_out = layer.writes().next().map_or(0, channels);
    let operation = match layer.operation {
        OperationView::Int8Conv { window, narrow, weights, epilogue } => Operation::Int8Conv {
            window,
            narrow,
            weights: pack::unpack_int8_conv(weights, window.taps() * c_in, c_out),
            epilogue: self::epilogue(&epilogue),
        },
        OperationView::Int8Depthwise { window, narrow, weights, epilogue } => {
            Operation::Int8Depthwise {
                window,
                narrow,
                weights: weights.to_vec(),
                epilogue: self::epilogue(&epilogue),
            }
        }
        OperationView::BinaryConv { window, groups, padding, weights, epilogue } => {
            let in_per_group = c_in / usize::from(groups);
            Operation::BinaryConv {
                window,
                groups,
                padding,
                weights: pack::unpack_binary_conv(
                    weights,
                    window.taps(),
                    in_per_group,
                    c_out,
                    groups.into(),
                ),
                epilogue: self::epilogue(&epilogue),
            }
        }
        OperationView::BinaryDepthwise { window, padding, weights, epilogue } => {
            Operation::BinaryDepthwise {
                window,
                padding,
                weights: pack::unpack_bits(weights, c_in),
                epilogue: self::epilogue(&epilogue),
            }
        }
        OperationView::GlobalAveragePool { shift, output } => {
            Operation::GlobalAveragePool { shift, output }
        }
    };
    Layer { name: String::from(layer.name), input: layer.input, operation }
}

fn epilogue(epilogue: &EpilogueView<'_>) -> Epilogue {
    match *epilogue {
        EpilogueView::Threshold { thresholds, bits } => {
            Epilogue::Threshold { thresholds: thresholds.to_vec(), bits }
        }
        EpilogueView::Stream { shift, multiplier, bias, shortcut, prelu, stream, sign } => {
            Epilogue::Stream {
                shift,
                multiplier: multiplier.to_vec(),
                bias: bias.to_vec(),
                shortcut,
                prelu: prelu.map(|PreluView { before, slope, after }| Prelu {
                    before: before.to_vec(),
                    slope: slope.to_vec(),
                    after: after.to_vec(),
                }),
                stream,
                sign: sign.map(|SignView { thresholds, bits }| Sign {
                    thresholds: thresholds.to_vec(),
                    bits,
                }),
            }
        }
        EpilogueView::Scores { multiplier, bias, scores } => {
            Epilogue::Scores { multiplier: multiplier.to_vec(), bias: bias.to_vec(), scores }
        }
    }
}
