//! Operations on each value by itself, and the sum of two activations.

use bitat_graph::{Op, Role};

use super::{Call, Value};
use crate::view::{Side, View};

pub(super) fn batch_norm(call: &mut Call) -> Result<Value, String> {
    let known = ["epsilon", "momentum", "spatial", "training_mode"];
    let attributes = call.attributes(&known)?;
    if attributes.int_or("training_mode", 0)? != 0 {
        return Err("is in training mode; export the network for inference".into());
    }
    if attributes.int_or("spatial", 1)? == 0 {
        return Err("normalises every pixel by itself, which is not supported".into());
    }
    let x = call.view(0)?;
    let c = x.shape.c;
    let channels: &[Side] = if c == 1 { &[] } else { &[Side::C] };
    if x.axes.get(1).is_none_or(|axis| axis != channels) {
        return Err(format!("axis 1 of its input of shape {:?} is not the channels", x.dims()));
    }
    let eps = attributes.float("epsilon")?.unwrap_or(1e-5);
    let mut values = Vec::new();
    for i in 1..5 {
        let array = call.required(i)?;
        let data = array.weights()?;
        if data.len() != c {
            let n = data.len();
            return Err(format!("tensor '{}' has {n} values for {c} channels", array.name));
        }
        if i == 4 && data.iter().any(|v| v + eps <= 0.0 || !(v + eps).is_finite()) {
            return Err(format!("variance '{}' plus epsilon {eps} is not positive", array.name));
        }
        values.push(data.to_vec());
    }
    let [gamma, beta, mean, var] = values.try_into().expect("four");
    let gamma = call.gain("gamma", gamma)?;
    let beta = call.gain("beta", beta)?;
    let mean = call.param("mean", &[c], mean, Role::Statistic)?;
    let var = call.param("var", &[c], var, Role::Statistic)?;
    call.pointwise(Op::BatchNorm { gamma, beta, mean, var, eps }, &x)
}

pub(super) fn relu(call: &mut Call) -> Result<Value, String> {
    call.attributes(&[])?;
    let x = call.view(0)?;
    call.pointwise(Op::Relu, &x)
}

pub(super) fn clip(call: &mut Call) -> Result<Value, String> {
    let attributes = call.attributes(&["min", "max"])?;
    let x = call.view(0)?;
    let bound = |name: &str, i: usize, open: f32| -> Result<f32, String> {
        let value = match call.constant(i)? {
            Some(array) => Some(array.scalar()?),
            None => attributes.float(name)?,
        };
        let value = value.unwrap_or(open);
        if value.is_nan() {
            return Err(format!("its {name} is NaN"));
        }
        Ok(value.clamp(f32::MIN, f32::MAX))
    };
    let (lo, hi) = (bound("min", 1, f32::MIN)?, bound("max", 2, f32::MAX)?);
    if lo > hi {
        return Err(format!("its min {lo} is above its max {hi}"));
    }
    call.pointwise(Op::Clip { lo, hi }, &x)
}

pub(super) fn prelu(call: &mut Call) -> Result<Value, String> {
    call.attributes(&[])?;
    let x = call.view(0)?;
    let slope = call.required(1)?;
    let slope = x.per_channel(&slope.dims, slope.weights()?)?;
    let slope = call.gain("slope", slope)?;
    call.pointwise(Op::Prelu { slope }, &x)
}

pub(super) fn leaky_relu(call: &mut Call) -> Result<Value, String> {
    let alpha = call.attributes(&["alpha"])?.float("alpha")?.unwrap_or(0.01);
    let x = call.view(0)?;
    if !alpha.is_finite() {
        return Err(format!("its alpha is {alpha}"));
    }
    let slope = call.gain("slope", vec![alpha; x.shape.c])?;
    call.pointwise(Op::Prelu { slope }, &x)
}

/// Two activations, or an activation and a constant.
pub(super) fn add(call: &mut Call) -> Result<Value, String> {
    if call.inputs.iter().flatten().any(|v| matches!(v, Value::Constant(_))) {
        return affine(call);
    }
    call.attributes(&[])?;
    let (a, b) = (call.view(0)?, call.view(1)?);
    if a.shape != b.shape || a.axes != b.axes {
        return Err(format!(
            "adds activations of shapes {:?} and {:?}; only equal ones can be added",
            a.dims(),
            b.dims()
        ));
    }
    let node = call.importer.push(&call.name, Op::Add, &[a.node, b.node])?;
    Ok(Value::Activation(a.with(node)))
}

/// Add, Sub, Mul or Div with a constant that varies along channels at most:
/// `x·scale + offset` as a batch norm of mean 0 and variance 1, which the
/// passes fold into what stands before it where they can.
pub(super) fn affine(call: &mut Call) -> Result<Value, String> {
    call.attributes(&[])?;
    let first = matches!(call.input(0), Some(Value::Activation(_)));
    let (x, array): (View, _) = if first {
        match call.input(1) {
            Some(Value::Activation(_)) => {
                return Err("combines two activations, which only Add may; \
                            attention and gates are not supported"
                    .into());
            }
            _ => (call.view(0)?, call.required(1)?),
        }
    } else {
        (call.view(1)?, call.required(0)?)
    };
    let values = x.per_channel(&array.dims, array.weights()?)?;
    if array.dims.len() > x.axes.len() {
        return Err(format!("tensor '{}' {:?} adds axes", array.name, array.dims));
    }
    let n = values.len();
    let (scale, offset) = match (call.node.op_type.as_str(), first) {
        ("Add", _) => (vec![1.0; n], values),
        ("Sub", true) => (vec![1.0; n], values.iter().map(|v| -v).collect()),
        ("Sub", false) => (vec![-1.0; n], values),
        ("Mul", _) => (values, vec![0.0; n]),
        ("Div", true) => {
            let inverse: Vec<f32> = values.iter().map(|v| 1.0 / v).collect();
            if inverse.iter().any(|v| !v.is_finite()) {
                return Err(format!("divides by zero in tensor '{}'", array.name));
            }
            (inverse, vec![0.0; n])
        }
        _ => return Err("divides a constant by an activation, which is not supported".into()),
    };
    let gamma = call.gain("gamma", scale)?;
    let beta = call.gain("beta", offset)?;
    let mean = call.param("mean", &[n], vec![0.0; n], Role::Statistic)?;
    let var = call.param("var", &[n], vec![1.0; n], Role::Statistic)?;
    call.pointwise(Op::BatchNorm { gamma, beta, mean, var, eps: 0.0 }, &x)
}
