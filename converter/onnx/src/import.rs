//! Walks an ONNX graph once and builds ours.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::rc::Rc;

use bitat_graph::{Graph, NodeId, Op, ParamId, Role, Shape};
use onnx_protobuf::tensor_proto::DataType;
use onnx_protobuf::{GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};

use crate::error::Fault;
use crate::limits;
use crate::ops;
use crate::read::Imported;
use crate::tensor::{self, Array};
use crate::view::{NCHW, NHWC, View};

/// What an ONNX name stands for during the import.
#[derive(Clone)]
pub(crate) enum Value {
    Activation(View),
    Constant(Rc<Array>),
}

/// The graph being built and what its names mean.
pub(crate) struct Importer<'a> {
    pub graph: Graph,
    pub opset: i64,
    pub notes: Vec<String>,
    folder: Option<&'a Path>,
    values: HashMap<String, Value>,
    initializers: HashMap<String, TensorProto>,
    /// Names in use, each with the last number put behind it.
    names: HashMap<String, usize>,
    /// Parameters so far.
    elements: usize,
}

/// Imports a parsed model.
pub(crate) fn import(model: ModelProto, folder: Option<&Path>) -> Result<Imported, Fault> {
    let opset = opset(&model)?;
    let Some(mut onnx) = model.graph.into_option() else {
        return Err(Fault::Model("the file holds no graph; is it an ONNX model?".into()));
    };
    if !onnx.sparse_initializer.is_empty() {
        return Err(Fault::Model("sparse weights are not supported; export dense ones".into()));
    }
    let mut importer = Importer {
        graph: Graph { name: onnx.name.clone(), ..Graph::default() },
        opset,
        notes: Vec::new(),
        folder,
        values: HashMap::new(),
        initializers: HashMap::new(),
        names: HashMap::new(),
        elements: 0,
    };
    for tensor in std::mem::take(&mut onnx.initializer) {
        importer.initializers.insert(tensor.name.clone(), tensor);
    }
    importer.input(&onnx)?;
    let output = match onnx.output.as_slice() {
        [one] => one.name.clone(),
        [] => return Err(Fault::Model("the graph has no output".into())),
        many => {
            let names: Vec<_> = many.iter().map(|o| o.name.as_str()).collect();
            return Err(Fault::Model(format!(
                "{} outputs ({}); export the network with its class scores alone",
                many.len(),
                names.join(", ")
            )));
        }
    };
    let needed = needed(&onnx.node, &output);
    for node in onnx.node.iter().filter(|n| n.output.iter().any(|o| needed.contains(o.as_str()))) {
        importer.node(node, &needed).map_err(|what| Fault::Node {
            name: node_name(node).to_string(),
            op: node.op_type.clone(),
            what,
        })?;
    }
    importer.finish(&output)
}

fn opset(model: &ModelProto) -> Result<i64, Fault> {
    let found = model.opset_import.iter().find(|o| is_standard(&o.domain));
    let Some(opset) = found.map(|o| o.version) else {
        return Err(Fault::Model("no operator set is named; is it an ONNX model?".into()));
    };
    if limits::OPSETS.contains(&opset) {
        return Ok(opset);
    }
    let (low, high) = (limits::OPSETS.start(), limits::OPSETS.end());
    Err(Fault::Model(format!(
        "operator set {opset} is not supported; export with one of {low} to {high}, such as 17"
    )))
}

fn is_standard(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx")
}

/// A node's own name, or that of what it computes.
fn node_name(node: &NodeProto) -> &str {
    if node.name.is_empty() { node.output.first().map_or("?", |o| o) } else { &node.name }
}

/// Every name that the output depends on.
fn needed<'a>(nodes: &'a [NodeProto], output: &'a str) -> HashSet<&'a str> {
    let mut needed = HashSet::from([output]);
    for node in nodes.iter().rev() {
        if node.output.iter().any(|o| needed.contains(o.as_str())) {
            needed.extend(node.input.iter().map(String::as_str).filter(|i| !i.is_empty()));
        }
    }
    needed
}

impl Importer<'_> {
    /// Finds the image among the graph's inputs and makes it the first node.
    fn input(&mut self, onnx: &GraphProto) -> Result<(), Fault> {
        let inputs: Vec<&ValueInfoProto> =
            onnx.input.iter().filter(|i| !self.initializers.contains_key(&i.name)).collect();
        let &[input] = inputs.as_slice() else {
            let names: Vec<_> = inputs.iter().map(|i| i.name.as_str()).collect();
            return Err(Fault::Model(format!(
                "{} inputs ({}); a network with one image as input is wanted",
                inputs.len(),
                names.join(", ")
            )));
        };
        let channels_last = first_use_is_from_nhwc(&onnx.node, &input.name);
        let shape = self
            .input_shape(input, channels_last)
            .map_err(|what| Fault::Model(format!("input '{}' {what}", input.name)))?;
        let name = self.unique(&input.name);
        let node = self
            .graph
            .push(name, Op::Input, &[], Some(shape))
            .map_err(|error| Fault::Model(error.to_string()))?;
        let layout = if channels_last { NHWC } else { NCHW };
        let view = View::new(node, shape, &layout);
        self.values.insert(input.name.clone(), Value::Activation(view));
        Ok(())
    }

    fn input_shape(&mut self, input: &ValueInfoProto, last: bool) -> Result<Shape, String> {
        let kind = match &input.type_.value {
            Some(onnx_protobuf::type_proto::Value::TensorType(tensor)) => tensor,
            _ => return Err("is not a tensor".into()),
        };
        let float = [DataType::FLOAT, DataType::FLOAT16, DataType::BFLOAT16, DataType::DOUBLE];
        match protobuf::Enum::from_i32(kind.elem_type) {
            Some(DataType::FLOAT) => {}
            Some(t) if float.contains(&t) => {
                self.notes.push(format!("input is {t:?}; computed in float32"));
            }
            _ => return Err("does not hold floats; export a float network".into()),
        }
        let dims = match kind.shape.as_ref().map(|s| s.dim.as_slice()) {
            Some(dims) if dims.len() == 4 => dims,
            Some(dims) => {
                return Err(format!(
                    "has {} axes; an image of 4 (batch, channels, height, width) is wanted",
                    dims.len()
                ));
            }
            None => return Err("has no shape; export with a fixed one".into()),
        };
        let size = |axis: usize| match &dims[axis].value {
            Some(onnx_protobuf::tensor_shape_proto::dimension::Value::DimValue(v)) if *v > 0 => {
                Some(*v)
            }
            _ => None,
        };
        if let Some(batch) = size(0).filter(|n| *n != 1) {
            return Err(format!(
                "has a fixed batch of {batch}; export with batch 1 or a dynamic batch"
            ));
        }
        let side = |axis: usize, name: &str| match size(axis) {
            None => Err(format!("has dynamic {name}; export with fixed spatial size")),
            Some(v) => match usize::try_from(v).ok().filter(|v| *v <= limits::SIDE) {
                Some(v) => Ok(v),
                None => Err(format!("has {name} {v}; at most {} is supported", limits::SIDE)),
            },
        };
        let [h, w, c] = if last { [1, 2, 3] } else { [2, 3, 1] };
        let (h, w, c) = (side(h, "height")?, side(w, "width")?, side(c, "channels")?);
        let shape = Shape { h, w, c };
        bounded(shape)?;
        Ok(shape)
    }

    fn node(&mut self, node: &NodeProto, needed: &HashSet<&str>) -> Result<(), String> {
        if !is_standard(&node.domain) {
            return Err(format!(
                "operations of '{}' are not supported; export with standard ONNX operations",
                node.domain
            ));
        }
        if let Some(extra) = node.output.iter().skip(1).find(|o| needed.contains(o.as_str())) {
            return Err(format!("its extra output '{extra}' is used, which is not supported"));
        }
        let mut inputs = Vec::with_capacity(node.input.len());
        for name in &node.input {
            inputs.push(if name.is_empty() { None } else { Some(self.value(name)?) });
        }
        let name = self.unique(node_name(node));
        let value = ops::apply(&mut ops::Call { importer: self, node, name, inputs })?;
        if let Some(output) = node.output.first() {
            self.values.insert(output.clone(), value);
        }
        Ok(())
    }

    /// What a name stands for; initialisers are decoded when first read.
    fn value(&mut self, name: &str) -> Result<Value, String> {
        if let Some(value) = self.values.get(name) {
            return Ok(value.clone());
        }
        let Some(proto) = self.initializers.remove(name) else {
            return Err(format!("its input '{name}' is made by no earlier node"));
        };
        let value = Value::Constant(Rc::new(self.decode(&proto)?));
        self.values.insert(name.to_string(), value.clone());
        Ok(value)
    }

    pub(crate) fn decode(&self, proto: &TensorProto) -> Result<Array, String> {
        tensor::decode(proto, self.folder)
    }

    /// `name`, or with a number behind it where it is taken.
    fn unique(&mut self, name: &str) -> String {
        let mut candidate = name.to_string();
        while self.names.contains_key(&candidate) {
            let next = self.names.entry(name.to_string()).or_insert(0);
            *next += 1;
            candidate = format!("{name}.{next}");
        }
        self.names.insert(candidate.clone(), 0);
        candidate
    }

    /// Appends a node and checks that its shape is within bounds.
    pub(crate) fn push(&mut self, name: &str, op: Op, inputs: &[NodeId]) -> Result<NodeId, String> {
        let id = self.graph.push(name, op, inputs, None).map_err(|error| error.what)?;
        bounded(self.graph.nodes[id].shape)?;
        Ok(id)
    }

    /// Appends a parameter. `shape` and `data` agree.
    pub(crate) fn param(
        &mut self,
        name: String,
        shape: &[usize],
        data: Vec<f32>,
        role: Role,
    ) -> Result<ParamId, String> {
        self.elements += data.len();
        if self.elements > limits::ELEMENTS {
            return Err(format!("the network has more than {} parameters", limits::ELEMENTS));
        }
        Ok(self.graph.param(name, shape, data, role))
    }

    fn finish(mut self, output: &str) -> Result<Imported, Fault> {
        let view = match self.value(output) {
            Ok(Value::Activation(view)) => view,
            _ => {
                return Err(Fault::Model(format!(
                    "output '{output}' does not depend on the input"
                )));
            }
        };
        if view.shape.h * view.shape.w != 1 || view.pad != [0; 4] {
            return Err(Fault::Model(format!(
                "output '{output}' has shape {:?}; one score per class is wanted",
                view.dims()
            )));
        }
        if view.node == 0 {
            return Err(Fault::Model("the network computes nothing".into()));
        }
        self.graph.output = view.node;
        if view.softmax {
            self.notes.push("the softmax at the end was dropped; scores are logits".into());
        }
        Ok(Imported { graph: self.graph, softmax: view.softmax, notes: self.notes })
    }
}

/// Refuses activations beyond the limits.
fn bounded(shape: Shape) -> Result<(), String> {
    let Shape { h, w, c } = shape;
    let len = h.checked_mul(w).and_then(|n| n.checked_mul(c));
    let sides = [h, w, c].iter().all(|side| (1..=limits::SIDE).contains(side));
    if sides && len.is_some_and(|n| n <= limits::ACTIVATION) {
        Ok(())
    } else {
        Err(format!("makes an activation of {h}x{w}x{c}, which is out of bounds"))
    }
}

/// Follows the input through operations that keep its layout to the first that
/// tells: true for a Transpose from NHWC to NCHW.
fn first_use_is_from_nhwc(nodes: &[NodeProto], input: &str) -> bool {
    let mut name = input;
    for node in nodes {
        if !node.input.iter().any(|i| i == name) {
            continue;
        }
        match node.op_type.as_str() {
            "Transpose" => {
                let perm = node.attribute.iter().find(|a| a.name == "perm");
                return perm.is_some_and(|p| p.ints == [0, 3, 1, 2]);
            }
            "Identity" | "Cast" | "Add" | "Sub" | "Mul" | "Div" | "Pad" | "Clip" | "Relu"
            | "Dropout" => match node.output.first() {
                Some(output) => name = output,
                None => return false,
            },
            _ => return false,
        }
    }
    false
}
