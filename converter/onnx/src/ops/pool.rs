//! Averages over pixels.

use bitat_graph::Op;

use super::window::{pair, window};
use super::{Call, Value};
use crate::view::{NCHW, Side, View};

pub(super) fn average(call: &mut Call) -> Result<Value, String> {
    let known = [
        "auto_pad",
        "ceil_mode",
        "count_include_pad",
        "dilations",
        "kernel_shape",
        "pads",
        "strides",
    ];
    let attributes = call.attributes(&known)?;
    let x = call.padded(0)?;
    if !x.is(&NCHW) {
        return Err(format!("its input of shape {:?} is not a channels-first image", x.dims()));
    }
    let kernel = pair("kernel_shape", attributes.ints("kernel_shape")?.ok_or("has no kernel")?)?;
    let window = window(call, attributes, kernel, x.shape, x.pad)?;
    let counted = attributes.int_or("count_include_pad", 0)? != 0;
    let all_pad_before = window.pads == x.pad;
    if x.pad != [0; 4] && !counted && !all_pad_before {
        return Err("follows a Pad and pads once more without counting it; pad once".into());
    }
    // Zeros of a Pad are pixels like any other, so they count.
    let include_pad = counted || x.pad != [0; 4];
    if attributes.int_or("ceil_mode", 0)? != 0 {
        let [h, w] = [x.shape.h, x.shape.w];
        let left = |side: usize, axis: usize| {
            let padded = side + window.pads[axis] + window.pads[axis + 2];
            padded.saturating_sub(window.kernel[axis]) % window.stride[axis]
        };
        if left(h, 0) != 0 || left(w, 1) != 0 {
            return Err("ceil_mode makes a part window at the border, which is not supported; \
                        export with ceil_mode=0"
                .into());
        }
    }
    // A window with nothing but uncounted padding under it would divide by 0.
    let [kh, kw] = window.kernel;
    let [top, left, bottom, right] = window.pads;
    if !include_pad && (top.max(bottom) >= kh || left.max(right) >= kw) {
        return Err(format!("pads {:?} are not smaller than the {kh}x{kw} kernel", window.pads));
    }
    let op = Op::AveragePool { window, include_pad };
    let node = call.importer.push(&call.name, op, &[x.node])?;
    let shape = call.importer.graph.nodes[node].shape;
    Ok(Value::Activation(View::new(node, shape, &NCHW)))
}

pub(super) fn global_average(call: &mut Call) -> Result<Value, String> {
    call.attributes(&[])?;
    let x = call.view(0)?;
    if !x.is(&NCHW) {
        return Err(format!("its input of shape {:?} is not a channels-first image", x.dims()));
    }
    let node = call.importer.push(&call.name, Op::GlobalAveragePool, &[x.node])?;
    let shape = call.importer.graph.nodes[node].shape;
    Ok(Value::Activation(View::new(node, shape, &NCHW)))
}

pub(super) fn reduce_mean(call: &mut Call) -> Result<Value, String> {
    let attributes = call.attributes(&["axes", "keepdims", "noop_with_empty_axes"])?;
    let x = call.view(0)?;
    let given = match call.constant(1)? {
        Some(axes) => Some(axes.as_ints()?.to_vec()),
        None => attributes.ints("axes")?.map(<[i64]>::to_vec),
    };
    let noop = attributes.int_or("noop_with_empty_axes", 0)? != 0;
    let axes = match given.filter(|axes| !axes.is_empty()) {
        Some(axes) => axes.iter().map(|a| x.axis(*a)).collect::<Result<Vec<_>, _>>()?,
        None if noop => return Ok(Value::Activation(x)),
        None => (0..x.axes.len()).collect(),
    };
    let reduced: Vec<Side> = axes.iter().flat_map(|a| x.axes[*a].clone()).collect();
    let spatial = [Side::H, Side::W].iter().filter(|s| s.extent(x.shape) != 1).count();
    if reduced.contains(&Side::C) || (reduced.len() != spatial && !reduced.is_empty()) {
        return Err(format!(
            "averages axes {axes:?} of {:?}; only all pixels together can be averaged",
            x.dims()
        ));
    }
    let keep = attributes.int_or("keepdims", 1)? != 0;
    let mut result = x.clone();
    if !reduced.is_empty() {
        result.node = call.importer.push(&call.name, Op::GlobalAveragePool, &[x.node])?;
        result.shape = call.importer.graph.nodes[result.node].shape;
    }
    let kept = (0..x.axes.len()).filter(|a| keep || !axes.contains(a));
    let side = |s: &Side| s.extent(result.shape) != 1;
    result.axes = kept.map(|a| x.axes[a].iter().copied().filter(side).collect()).collect();
    Ok(Value::Activation(result))
}
