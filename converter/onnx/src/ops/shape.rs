//! Operations that move or rename values and compute nothing.

use onnx_protobuf::tensor_proto::DataType;

use super::{Call, Value};
use crate::view::View;

pub(super) fn identity(call: &mut Call) -> Result<Value, String> {
    call.attributes(&[])?;
    call.input(0).cloned().ok_or_else(|| "input 0 is missing".into())
}

pub(super) fn dropout(call: &mut Call) -> Result<Value, String> {
    call.attributes(&["ratio", "seed"])?;
    if let Some(training) = call.constant(2)?
        && training.scalar()? != 0.0
    {
        return Err("is in training mode; export the network for inference".into());
    }
    call.moved(0).map(Value::Activation)
}

/// Between float types: the graph computes in `f32` throughout.
pub(super) fn cast(call: &mut Call) -> Result<Value, String> {
    let attributes = call.attributes(&["to", "saturate"])?;
    let x = call.moved(0)?;
    let to = attributes.int("to")?.unwrap_or(0);
    match i32::try_from(to).ok().and_then(protobuf::Enum::from_i32) {
        Some(DataType::FLOAT) => {}
        Some(kind @ (DataType::FLOAT16 | DataType::BFLOAT16 | DataType::DOUBLE)) => {
            let note = format!("node '{}' casts to {kind:?}; computed in float32", call.name);
            call.importer.notes.push(note);
        }
        _ => return Err(format!("casts to type {to}, which holds no activations")),
    }
    Ok(Value::Activation(x))
}

pub(super) fn flatten(call: &mut Call) -> Result<Value, String> {
    let axis = call.attributes(&["axis"])?.int_or("axis", 1)?;
    let x = call.unpadded(0)?;
    let rank = x.axes.len();
    let axis = if axis == rank as i64 { rank } else { x.axis(axis)? };
    let axes = vec![x.axes[..axis].concat(), x.axes[axis..].concat()];
    Ok(Value::Activation(View { axes, ..x }))
}

pub(super) fn reshape(call: &mut Call) -> Result<Value, String> {
    let attributes = call.attributes(&["allowzero", "shape"])?;
    let x = call.unpadded(0)?;
    let shape = call.required(1)?;
    let target = shape.as_ints()?;
    let zero_is_zero = attributes.int_or("allowzero", 0)? != 0;
    if target.len() > crate::limits::RANK {
        return Err(format!("reshapes to {} axes", target.len()));
    }
    let current = x.dims();
    let mut dims = Vec::with_capacity(target.len());
    for (i, &t) in target.iter().enumerate() {
        dims.push(match (t, usize::try_from(t)) {
            (0, _) if !zero_is_zero => *current.get(i).ok_or("copies an axis that is not there")?,
            (_, Ok(t)) => t,
            // Found below: the one that makes the sizes agree.
            (-1, _) => 0,
            _ => return Err(format!("reshapes to {target:?}")),
        });
    }
    if let [only] = target.iter().enumerate().filter(|(_, t)| **t == -1).collect::<Vec<_>>()[..] {
        let others = dims.iter().enumerate().filter(|(i, _)| *i != only.0);
        let known = others.map(|(_, d)| *d).try_fold(1usize, usize::checked_mul);
        let whole = x.shape.len();
        match known.filter(|n| *n > 0 && whole.is_multiple_of(*n)) {
            Some(known) => dims[only.0] = whole / known,
            None => return Err(format!("reshapes {current:?} to {target:?}")),
        }
    }
    x.reshape(&dims).map(Value::Activation)
}

/// Axes named by input 1 (operator set 13) or the attribute.
fn axes(call: &Call) -> Result<Option<Vec<i64>>, String> {
    let attributes = call.attributes(&["axes"])?;
    Ok(match call.constant(1)? {
        Some(axes) => Some(axes.as_ints()?.to_vec()),
        None => attributes.ints("axes")?.map(<[i64]>::to_vec),
    })
}

pub(super) fn squeeze(call: &mut Call) -> Result<Value, String> {
    let x = call.unpadded(0)?;
    let drop: Vec<usize> = match axes(call)? {
        Some(axes) => axes.iter().map(|a| x.axis(*a)).collect::<Result<_, _>>()?,
        None => (0..x.axes.len()).filter(|a| x.axes[*a].is_empty()).collect(),
    };
    if let Some(axis) = drop.iter().find(|a| !x.axes[**a].is_empty()) {
        return Err(format!("squeezes axis {axis} of {:?}, which is not 1", x.dims()));
    }
    let kept = (0..x.axes.len()).filter(|a| !drop.contains(a));
    let axes = kept.map(|a| x.axes[a].clone()).collect();
    Ok(Value::Activation(View { axes, ..x }))
}

pub(super) fn unsqueeze(call: &mut Call) -> Result<Value, String> {
    let x = call.unpadded(0)?;
    let new = axes(call)?.ok_or("has no axes")?;
    let rank = x.axes.len() + new.len();
    if rank > crate::limits::RANK {
        return Err(format!("makes {rank} axes"));
    }
    let mut result: Vec<Option<_>> = vec![None; rank];
    for axis in new {
        let at = if axis < 0 { axis + rank as i64 } else { axis };
        match usize::try_from(at).ok().filter(|a| *a < rank && result[*a].is_none()) {
            Some(at) => result[at] = Some(Vec::new()),
            None => return Err(format!("axis {axis} of {rank} axes")),
        }
    }
    let mut old = x.axes.iter().cloned();
    let axes = result.into_iter().map(|a| a.or_else(|| old.next()).expect("counted")).collect();
    Ok(Value::Activation(View { axes, ..x }))
}

pub(super) fn transpose(call: &mut Call) -> Result<Value, String> {
    let attributes = call.attributes(&["perm"])?;
    let x = call.unpadded(0)?;
    let rank = x.axes.len();
    let perm = match attributes.ints("perm")? {
        Some(perm) => perm.to_vec(),
        None => (0..rank as i64).rev().collect(),
    };
    let mut sorted = perm.clone();
    sorted.sort_unstable();
    if sorted != (0..rank as i64).collect::<Vec<_>>() {
        return Err(format!("perm {perm:?} is no permutation of {rank} axes"));
    }
    let axes = perm.iter().map(|p| x.axes[*p as usize].clone()).collect();
    Ok(Value::Activation(View { axes, ..x }))
}

/// Dropped where it is the network's end: it changes no ranking of classes.
pub(super) fn softmax(call: &mut Call) -> Result<Value, String> {
    let attributes = call.attributes(&["axis"])?;
    let mut x = call.view(0)?;
    // Before operator set 13 all axes from `axis` on were one.
    let old = call.importer.opset < 13;
    let axis = x.axis(attributes.int_or("axis", if old { 1 } else { -1 })?)?;
    let over = if old { x.axes[axis..].concat() } else { x.axes[axis].clone() };
    if over.len() != x.order().len() {
        return Err(format!("runs over axis {axis} of {:?}, not over the classes", x.dims()));
    }
    x.softmax = true;
    Ok(Value::Activation(x))
}
