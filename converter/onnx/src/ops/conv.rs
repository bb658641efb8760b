//! Convolution, and the padding that exporters put before it.

use bitat_graph::{Op, Precision, Role};

use super::window::{pads, pair, window};
use super::{Call, Value};
use crate::view::{NCHW, View};

pub(super) fn conv(call: &mut Call) -> Result<Value, String> {
    let known = ["auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"];
    let attributes = call.attributes(&known)?;
    let x = call.padded(0)?;
    if !x.is(&NCHW) {
        return Err(format!("its input of shape {:?} is not a channels-first image", x.dims()));
    }
    let weights = call.required(1)?;
    let &[out, inner, kh, kw] = weights.dims.as_slice() else {
        return Err(format!(
            "weights '{}' of shape {:?} are not those of a 2-D convolution",
            weights.name, weights.dims
        ));
    };
    let data = weights.weights()?;
    if let Some(kernel) = attributes.ints("kernel_shape")?
        && pair("kernel_shape", kernel)? != [kh, kw]
    {
        return Err(format!("kernel_shape {kernel:?} but weights {kh}x{kw}"));
    }
    let group = attributes.int_or("group", 1)?;
    let groups = usize::try_from(group).ok().filter(|g| (1..=x.shape.c).contains(g));
    let groups = groups.ok_or_else(|| format!("group {group} for {} channels", x.shape.c))?;
    let window = window(call, attributes, [kh, kw], x.shape, x.pad)?;

    // [o][i][ky][kx] becomes [o][ky][kx][i].
    let mut ours = Vec::with_capacity(data.len());
    for filter in data.chunks(inner * kh * kw) {
        for tap in 0..kh * kw {
            ours.extend((0..inner).map(|i| filter[i * kh * kw + tap]));
        }
    }
    let weight = call.param("weight", &[out, kh, kw, inner], ours, Role::Weight)?;
    let bias = match call.constant(2)? {
        None => None,
        Some(bias) => {
            let data = bias.weights()?.to_vec();
            Some(call.gain("bias", data)?)
        }
    };
    let op = Op::Conv { weight, bias, window, groups, precision: Precision::Float };
    let node = call.importer.push(&call.name, op, &[x.node])?;
    let shape = call.importer.graph.nodes[node].shape;
    Ok(Value::Activation(View::new(node, shape, &NCHW)))
}

/// Remembered on the view until a convolution or average pool takes it in.
pub(super) fn pad(call: &mut Call) -> Result<Value, String> {
    let attributes = call.attributes(&["mode", "pads", "value"])?;
    let mut x = call.padded(0)?;
    let mode = attributes.string("mode")?.unwrap_or("constant");
    if mode != "constant" {
        return Err(format!("mode '{mode}' is not supported; pad with zeros"));
    }
    let (amounts, value) = if call.importer.opset < 11 {
        let amounts = attributes.ints("pads")?.ok_or("has no pads")?.to_vec();
        (amounts, attributes.float("value")?.unwrap_or(0.0))
    } else {
        let value = call.constant(2)?.map_or(Ok(0.0), |v| v.scalar())?;
        (call.required(1)?.as_ints()?.to_vec(), value)
    };
    let rank = x.axes.len();
    let axes = match call.constant(3)? {
        None => (0..rank).collect(),
        Some(axes) => axes.as_ints()?.iter().map(|a| x.axis(*a)).collect::<Result<Vec<_>, _>>()?,
    };
    if amounts.len() != 2 * axes.len() {
        return Err(format!("{} pads for {} axes", amounts.len(), axes.len()));
    }
    let mut all = [0; 4];
    for (i, &axis) in axes.iter().enumerate() {
        let pair = [amounts[i], amounts[i + axes.len()]];
        if pair == [0, 0] {
            continue;
        }
        // Where a side has one element its axis is known by position only.
        let at = match rank {
            4 if x.is(&NCHW) => [None, None, Some(0), Some(1)][axis],
            4 => [None, Some(0), Some(1), None][axis],
            _ => None,
        };
        let Some(at) = at else {
            return Err(format!("pads axis {axis}; only rows and columns can be padded"));
        };
        (all[at], all[at + 2]) = (pair[0], pair[1]);
    }
    let all = pads(&all)?;
    if all != [0; 4] && value != 0.0 {
        return Err(format!("pads with {value}; only zeros are supported"));
    }
    for (pad, more) in x.pad.iter_mut().zip(all) {
        *pad += more;
    }
    Ok(Value::Activation(x))
}
