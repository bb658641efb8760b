//! Constants, and the arithmetic on shapes that exporters leave in the file.
//!
//! PyTorch writes `x.view(x.size(0), -1)` as Shape, Gather, Unsqueeze, Concat
//! and Reshape. At batch 1 all of that is known now.

use std::rc::Rc;

use onnx_protobuf::tensor_proto::DataType;

use super::{Call, Value};
use crate::limits;
use crate::tensor::{Array, Data};

pub(super) fn constant(call: &mut Call) -> Result<Value, String> {
    let known = ["value", "value_float", "value_floats", "value_int", "value_ints"];
    let attributes = call.attributes(&known)?;
    let scalar = |data| Array { name: call.name.clone(), dims: vec![], data };
    let list = |n: usize, data| Array { name: call.name.clone(), dims: vec![n], data };
    let array = if let Some(tensor) = attributes.tensor("value")? {
        let mut array = call.importer.decode(tensor)?;
        if array.name.is_empty() {
            array.name.clone_from(&call.name);
        }
        array
    } else if let Some(value) = attributes.float("value_float")? {
        scalar(Data::Float(vec![value]))
    } else if let Some(value) = attributes.int("value_int")? {
        scalar(Data::Int(vec![value]))
    } else if let Some(values) = attributes.floats("value_floats")? {
        list(values.len(), Data::Float(values.to_vec()))
    } else if let Some(values) = attributes.ints("value_ints")? {
        list(values.len(), Data::Int(values.to_vec()))
    } else {
        return Err("has no value".into());
    };
    Ok(Value::Constant(Rc::new(array)))
}

pub(super) fn shape(call: &mut Call) -> Result<Value, String> {
    let attributes = call.attributes(&["start", "end"])?;
    let dims = match call.input(0) {
        Some(Value::Constant(array)) => array.dims.clone(),
        _ => call.unpadded(0)?.dims(),
    };
    let rank = dims.len() as i64;
    let clamp = |v: i64| (if v < 0 { v.saturating_add(rank) } else { v }).clamp(0, rank) as usize;
    let start = clamp(attributes.int_or("start", 0)?);
    let end = clamp(attributes.int_or("end", rank)?).max(start);
    let ints: Vec<i64> = dims[start..end].iter().map(|d| *d as i64).collect();
    Ok(Value::Constant(Array::ints(call.name.clone(), &[ints.len()], ints)))
}

pub(super) fn gather(call: &mut Call) -> Result<Value, String> {
    let axis = call.attributes(&["axis"])?.int_or("axis", 0)?;
    let (data, indices) = (call.required(0)?, call.required(1)?);
    let (values, picks) = (data.as_ints()?, indices.as_ints()?);
    if data.dims.len() != 1 || indices.dims.len() > 1 || !(-1..1).contains(&axis) {
        return Err("only picks from a list of sizes are supported".into());
    }
    small(picks.len())?;
    let mut ints = Vec::with_capacity(picks.len());
    for &pick in picks {
        let at = if pick < 0 { pick.saturating_add(values.len() as i64) } else { pick };
        match usize::try_from(at).ok().and_then(|at| values.get(at)) {
            Some(value) => ints.push(*value),
            None => return Err(format!("picks element {pick} of {}", values.len())),
        }
    }
    Ok(Value::Constant(Array::ints(call.name.clone(), &indices.dims, ints)))
}

pub(super) fn concat(call: &mut Call) -> Result<Value, String> {
    let axis = call.attributes(&["axis"])?.int_or("axis", 0)?;
    if call.inputs.iter().flatten().any(|v| matches!(v, Value::Activation(_))) {
        return Err("joins activations, which is not supported; \
                    the supported operations are those of MobileNetV1 and V2"
            .into());
    }
    let mut ints = Vec::new();
    for i in 0..call.inputs.len() {
        let part = call.required(i)?;
        if part.dims.len() != 1 || !(-1..1).contains(&axis) {
            return Err("only lists of sizes can be joined".into());
        }
        small(ints.len() + part.len())?;
        ints.extend_from_slice(part.as_ints()?);
    }
    Ok(Value::Constant(Array::ints(call.name.clone(), &[ints.len()], ints)))
}

/// Squeeze and Unsqueeze of a single number or a list of one.
pub(super) fn restructure(call: &mut Call) -> Result<Value, String> {
    call.attributes(&["axes"])?;
    let array = call.required(0)?;
    if array.len() != 1 || array.dims.len() > 1 {
        return Err(format!("of tensor '{}' {:?} is not supported", array.name, array.dims));
    }
    let dims = if call.node.op_type == "Unsqueeze" { vec![1] } else { vec![] };
    let array = Array { name: call.name.clone(), dims, data: array.data.clone() };
    Ok(Value::Constant(Rc::new(array)))
}

pub(super) fn cast(call: &mut Call) -> Result<Value, String> {
    let to = call.attributes(&["to", "saturate"])?.int("to")?.unwrap_or(0);
    let array = call.required(0)?;
    use DataType::*;
    let data = match (i32::try_from(to).ok().and_then(protobuf::Enum::from_i32), &array.data) {
        (Some(FLOAT | FLOAT16 | BFLOAT16 | DOUBLE), Data::Int(v)) => {
            small(v.len())?;
            Data::Float(v.iter().map(|v| *v as f32).collect())
        }
        (Some(INT32 | INT64), Data::Float(v)) => {
            small(v.len())?;
            Data::Int(v.iter().map(|v| *v as i64).collect())
        }
        (Some(FLOAT | FLOAT16 | BFLOAT16 | DOUBLE), Data::Float(_))
        | (Some(INT32 | INT64), Data::Int(_)) => return Ok(Value::Constant(array)),
        _ => return Err(format!("casts a constant to type {to}, which is not supported")),
    };
    let array = Array { name: array.name.clone(), dims: array.dims.clone(), data };
    Ok(Value::Constant(Rc::new(array)))
}

fn small(n: usize) -> Result<(), String> {
    if n <= limits::SHAPE_ELEMENTS {
        Ok(())
    } else {
        Err(format!("computes a constant of {n} elements; only shapes can be computed"))
    }
}
