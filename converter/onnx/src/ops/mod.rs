//! One function per ONNX operation, sorted by kind.
//!
//! To support another one: write its function in the file of its kind, name it
//! in [`apply`], and add a model to the tests (`tests/features.rs`), which
//! compares with ONNX Runtime where that is installed.

mod constant;
mod conv;
mod dense;
mod elementwise;
mod pool;
mod shape;
mod window;

use std::rc::Rc;

use bitat_graph::{Op, ParamId, Role};
use onnx_protobuf::NodeProto;

use crate::attributes::Attributes;
use crate::import::{Importer, Value};
use crate::tensor::Array;
use crate::view::View;

const PADDED: &str = "reads the result of a Pad; only a convolution or average pool can take it in";

/// One node being imported.
pub(crate) struct Call<'c, 'i> {
    pub importer: &'c mut Importer<'i>,
    pub node: &'c NodeProto,
    /// Unique in the graph.
    pub name: String,
    pub inputs: Vec<Option<Value>>,
}

/// Imports one node and says what its first output stands for.
pub(crate) fn apply(call: &mut Call) -> Result<Value, String> {
    // Shapes computed from shapes: every input known, nothing of the image.
    let known = call.inputs.iter().flatten().all(|v| matches!(v, Value::Constant(_)));
    match call.node.op_type.as_str() {
        "Constant" => constant::constant(call),
        "Shape" => constant::shape(call),
        "Gather" => constant::gather(call),
        "Concat" => constant::concat(call),
        "Squeeze" | "Unsqueeze" if known => constant::restructure(call),
        "Cast" if known => constant::cast(call),

        "Conv" => conv::conv(call),
        "Pad" => conv::pad(call),
        "Gemm" => dense::gemm(call),
        "MatMul" => dense::matmul(call),

        "AveragePool" => pool::average(call),
        "GlobalAveragePool" => pool::global_average(call),
        "ReduceMean" => pool::reduce_mean(call),

        "BatchNormalization" => elementwise::batch_norm(call),
        "Relu" => elementwise::relu(call),
        "Clip" => elementwise::clip(call),
        "PRelu" => elementwise::prelu(call),
        "LeakyRelu" => elementwise::leaky_relu(call),
        "Add" => elementwise::add(call),
        "Sub" | "Mul" | "Div" => elementwise::affine(call),

        "Identity" => shape::identity(call),
        "Dropout" => shape::dropout(call),
        "Cast" => shape::cast(call),
        "Flatten" => shape::flatten(call),
        "Reshape" => shape::reshape(call),
        "Squeeze" => shape::squeeze(call),
        "Unsqueeze" => shape::unsqueeze(call),
        "Transpose" => shape::transpose(call),
        "Softmax" | "LogSoftmax" => shape::softmax(call),

        other => Err(unsupported(other)),
    }
}

fn unsupported(op: &str) -> String {
    let advice = match op {
        "QuantizeLinear" | "DequantizeLinear" | "QLinearConv" | "ConvInteger" => {
            "this is a quantized network; export the float one"
        }
        "MaxPool" | "GlobalMaxPool" => "average pooling or a stride is",
        "Sigmoid" | "HardSwish" | "HardSigmoid" | "Tanh" | "Gelu" | "Elu" | "Selu" => {
            "train with ReLU, ReLU6 or PReLU"
        }
        "If" | "Loop" | "Scan" => "export for inference with fixed shapes",
        _ => "the supported operations are those of MobileNetV1 and V2",
    };
    format!("this operation is not supported; {advice}")
}

impl<'c> Call<'c, '_> {
    pub(crate) fn attributes(&self, known: &[&str]) -> Result<Attributes<'c>, String> {
        let attributes = Attributes::of(self.node);
        attributes.allow(known)?;
        Ok(attributes)
    }

    /// Input `i`, if it is there at all.
    pub(crate) fn input(&self, i: usize) -> Option<&Value> {
        self.inputs.get(i).and_then(Option::as_ref)
    }

    /// Activation `i` to be computed with: no padding pending, no softmax taken.
    pub(crate) fn view(&self, i: usize) -> Result<View, String> {
        let view = self.padded(i)?;
        if view.pad == [0; 4] { Ok(view) } else { Err(PADDED.into()) }
    }

    /// As [`Call::view`], with padding that the caller takes in.
    pub(crate) fn padded(&self, i: usize) -> Result<View, String> {
        let view = self.moved(i)?;
        if view.softmax {
            return Err("computes with the result of a softmax; \
                        a softmax can only be the network's end"
                .into());
        }
        Ok(view)
    }

    /// Activation `i` for an operation that may follow a softmax, but no Pad.
    pub(crate) fn unpadded(&self, i: usize) -> Result<View, String> {
        let view = self.moved(i)?;
        if view.pad == [0; 4] { Ok(view) } else { Err(PADDED.into()) }
    }

    /// Activation `i` for an operation that only moves or renames values.
    pub(crate) fn moved(&self, i: usize) -> Result<View, String> {
        match self.input(i) {
            Some(Value::Activation(view)) => Ok(view.clone()),
            Some(Value::Constant(array)) => {
                Err(format!("input {i} ('{}') must depend on the image", array.name))
            }
            None => Err(format!("input {i} is missing")),
        }
    }

    /// Constant `i`; None where it is left out.
    pub(crate) fn constant(&self, i: usize) -> Result<Option<Rc<Array>>, String> {
        match self.input(i) {
            None => Ok(None),
            Some(Value::Constant(array)) => Ok(Some(array.clone())),
            Some(Value::Activation(_)) => {
                let name = self.node.input.get(i).map_or("?", |n| n);
                Err(format!("input {i} ('{name}') must be a constant, not computed"))
            }
        }
    }

    /// Constant `i`, which must be there.
    pub(crate) fn required(&self, i: usize) -> Result<Rc<Array>, String> {
        self.constant(i)?.ok_or_else(|| format!("input {i} is missing"))
    }

    /// A parameter named after this node.
    pub(crate) fn param(
        &mut self,
        what: &str,
        shape: &[usize],
        data: Vec<f32>,
        role: Role,
    ) -> Result<ParamId, String> {
        let name = format!("{}.{what}", self.name);
        self.importer.param(name, shape, data, role)
    }

    /// One value per channel.
    pub(crate) fn gain(&mut self, what: &str, data: Vec<f32>) -> Result<ParamId, String> {
        let shape = [data.len()];
        self.param(what, &shape, data, Role::Gain)
    }

    /// An operation on each element of `view`, layout kept.
    pub(crate) fn pointwise(&mut self, op: Op, view: &View) -> Result<Value, String> {
        let node = self.importer.push(&self.name, op, &[view.node])?;
        Ok(Value::Activation(view.with(node)))
    }
}
