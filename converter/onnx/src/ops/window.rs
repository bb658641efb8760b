//! Kernel, strides and padding as Conv and the pools state them.

use bitat_graph::{Shape, Window};

use super::Call;
use crate::attributes::Attributes;
use crate::limits;

/// Two extents, each in 1..=SIDE.
pub(super) fn pair(name: &str, values: &[i64]) -> Result<[usize; 2], String> {
    let ok = |v: &i64| usize::try_from(*v).ok().filter(|v| (1..=limits::SIDE).contains(v));
    match values.iter().map(ok).collect::<Option<Vec<_>>>().as_deref() {
        Some(&[a, b]) => Ok([a, b]),
        _ => Err(format!("{name} {values:?} is not two positive sizes; only 2-D is supported")),
    }
}

/// Extents that may be 0.
pub(super) fn pads(values: &[i64]) -> Result<[usize; 4], String> {
    let ok = |v: &i64| usize::try_from(*v).ok().filter(|v| *v <= limits::SIDE);
    match values.iter().map(ok).collect::<Option<Vec<_>>>().as_deref() {
        Some(&[top, left, bottom, right]) => Ok([top, left, bottom, right]),
        _ => Err(format!("pads {values:?} are not four sizes from 0; cropping is not supported")),
    }
}

/// The window over an image of `shape` to which `before` zeros were added.
/// The result's pads include them.
pub(super) fn window(
    call: &Call,
    attributes: Attributes,
    kernel: [usize; 2],
    shape: Shape,
    before: [usize; 4],
) -> Result<Window, String> {
    let stride = match attributes.ints("strides")? {
        Some(strides) => pair("strides", strides)?,
        None => [1, 1],
    };
    if let Some(dilations) = attributes.ints("dilations")?
        && pair("dilations", dilations)? != [1, 1]
    {
        return Err(format!("dilations {dilations:?} are not supported; only 1 is"));
    }
    let explicit = attributes.ints("pads")?;
    let auto = attributes.string("auto_pad")?.unwrap_or("NOTSET");
    let own = match (auto, explicit) {
        ("NOTSET", Some(values)) => pads(values)?,
        ("NOTSET" | "VALID", None) => [0; 4],
        ("VALID", Some(values)) if values.iter().all(|v| *v == 0) => [0; 4],
        ("SAME_UPPER" | "SAME_LOWER", _) => {
            let mut own = [0; 4];
            let sides = [shape.h + before[0] + before[2], shape.w + before[1] + before[3]];
            for (axis, side) in sides.into_iter().enumerate() {
                let reach = (side.div_ceil(stride[axis]) - 1) * stride[axis] + kernel[axis];
                let total = reach.saturating_sub(side);
                let (less, more) = (total / 2, total - total / 2);
                let upper = auto == "SAME_UPPER";
                own[axis] = if upper { less } else { more };
                own[axis + 2] = if upper { more } else { less };
            }
            own
        }
        _ => return Err(format!("auto_pad '{auto}' of {} is not known", call.node.op_type)),
    };
    let mut pads = before;
    for (pad, own) in pads.iter_mut().zip(own) {
        *pad += own;
        if *pad > limits::SIDE {
            return Err(format!("pads of {pad} are out of bounds"));
        }
    }
    Ok(Window { kernel, stride, pads })
}
