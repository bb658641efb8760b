//! From a float graph to a file.
//!
//! Operator set 13, NCHW, dynamic batch, little-endian `raw_data`; the same
//! graph always gives the same bytes.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use bitat_graph::{Graph, NodeId, Op, ParamId, Precision, Shape};
use onnx_protobuf::attribute_proto::AttributeType;
use onnx_protobuf::tensor_proto::DataType;
use onnx_protobuf::tensor_shape_proto::{Dimension, dimension};
use onnx_protobuf::{
    AttributeProto, GraphProto, Message, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto, type_proto,
};

use crate::error::{Error, Fault};

/// The operator set written.
const OPSET: i64 = 13;
/// The file version that goes with it.
const IR_VERSION: i64 = 8;
/// Parameter bytes that still fit protobuf's 2 GiB with all around them.
const MOST_BYTES: usize = (1 << 31) - (1 << 24);

/// Writes a float network as ONNX: beside `path` first, then renamed, so that
/// no half-written file is ever seen there.
///
/// The output is `[N, classes]`, without softmax.
///
/// # Errors
/// If the graph holds something that is no float ONNX operation, or the file
/// cannot be written.
pub fn write(graph: &Graph, path: &Path) -> Result<(), Error> {
    let bytes = to_bytes(graph).map_err(|fault| Error::new(path, fault))?;
    replace(path, &bytes).map_err(|error| Error::new(path, Fault::Io(error)))
}

/// The bytes that [`write()`] writes.
///
/// # Errors
/// If the graph holds something that is no float ONNX operation.
pub fn to_bytes(graph: &Graph) -> Result<Vec<u8>, Fault> {
    graph.validate().map_err(|error| Fault::Model(error.to_string()))?;
    let elements: usize = graph.params.iter().map(|p| p.data.len()).sum();
    if elements > MOST_BYTES / 4 {
        return Err(Fault::Model(format!("{elements} parameters do not fit one ONNX file")));
    }
    let mut writer =
        Writer { graph, onnx: GraphProto::new(), used: HashSet::new(), values: vec![] };
    writer.onnx.name = if graph.name.is_empty() { "network".into() } else { graph.name.clone() };
    for id in 0..graph.nodes.len() {
        writer.node(id).map_err(|what| Fault::Node {
            name: graph.nodes[id].name.clone(),
            op: graph.nodes[id].op.name().into(),
            what,
        })?;
    }
    let shape = graph.nodes[graph.output].shape;
    if shape.h * shape.w != 1 {
        return Err(Fault::Model("the output is an image, not class scores".into()));
    }
    let output = writer.flat(graph.output);
    writer.onnx.output.push(value_info(&output, &[shape.c]));
    let model = ModelProto {
        ir_version: IR_VERSION,
        producer_name: "bitat".into(),
        opset_import: vec![OperatorSetIdProto { version: OPSET, ..Default::default() }],
        graph: Some(writer.onnx).into(),
        ..Default::default()
    };
    model.write_to_bytes().map_err(|error| Fault::Model(error.to_string()))
}

fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let name = path.file_name().ok_or(std::io::ErrorKind::InvalidInput)?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}.tmp", std::process::id()));
    let beside = path.with_file_name(hidden);
    let written = (|| {
        let mut file = File::create(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    })();
    if written.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_file(&beside);
    }
    written
}

/// The ONNX names of a node's value.
#[derive(Clone)]
struct Named {
    name: String,
    /// Four axes; otherwise two.
    image: bool,
    /// The value as two axes, once somebody wanted it.
    flat: Option<String>,
}

struct Writer<'a> {
    graph: &'a Graph,
    onnx: GraphProto,
    used: HashSet<String>,
    values: Vec<Named>,
}

impl Writer<'_> {
    /// A name that nothing else in the file has.
    fn unique(&mut self, name: &str) -> String {
        let mut candidate = name.to_string();
        let mut n = 0;
        while candidate.is_empty() || !self.used.insert(candidate.clone()) {
            n += 1;
            candidate = format!("{name}_{n}");
        }
        candidate
    }

    fn node(&mut self, id: NodeId) -> Result<(), String> {
        let graph = self.graph;
        let node = &graph.nodes[id];
        let shape = node.shape;
        let name = self.unique(&node.name);
        if node.op == Op::Input {
            self.onnx.input.push(value_info(&name, &[shape.c, shape.h, shape.w]));
            self.values.push(Named { name, image: true, flat: None });
            return Ok(());
        }
        let source = node.inputs[0];
        let x = self.values[source].clone();
        let mut image = x.image;
        let mut inputs = vec![x.name.clone()];
        let mut attributes = Vec::new();
        let op = match &node.op {
            Op::Input => unreachable!("above"),
            Op::Conv { weight, bias, window, groups, precision } => {
                float(*precision)?;
                inputs = vec![self.image(source)];
                inputs.push(self.conv_weight(*weight));
                inputs.extend(bias.map(|b| self.vector(b, false)));
                attributes.push(ints("dilations", &[1, 1]));
                attributes.push(int("group", *groups));
                attributes.extend(window_attributes(window));
                image = true;
                "Conv"
            }
            Op::BatchNorm { gamma, beta, mean, var, eps } => {
                inputs.extend([gamma, beta, mean, var].map(|p| self.vector(*p, false)));
                attributes.push(number("epsilon", *eps));
                "BatchNormalization"
            }
            Op::Relu => "Relu",
            Op::Clip { lo, hi } => {
                for (what, bound, open) in [("min", *lo, f32::MIN), ("max", *hi, f32::MAX)] {
                    inputs.push(if bound == open {
                        String::new()
                    } else {
                        self.initializer(&format!("{name}.{what}"), &[], &[bound])
                    });
                }
                "Clip"
            }
            Op::Prelu { slope } => {
                inputs.push(self.vector(*slope, image));
                "PRelu"
            }
            Op::Add => {
                let other = node.inputs[1];
                if image != self.values[other].image {
                    inputs = vec![self.flat(source), self.flat(other)];
                    image = false;
                } else {
                    inputs.push(self.values[other].name.clone());
                }
                "Add"
            }
            Op::AveragePool { window, include_pad } => {
                inputs = vec![self.image(source)];
                attributes.push(int("count_include_pad", usize::from(*include_pad)));
                attributes.extend(window_attributes(window));
                image = true;
                "AveragePool"
            }
            Op::GlobalAveragePool => {
                inputs = vec![self.image(source)];
                image = true;
                "GlobalAveragePool"
            }
            Op::Dense { weight, bias, precision } => {
                float(*precision)?;
                inputs = vec![self.flat(source)];
                inputs.push(self.dense_weight(*weight, graph.nodes[source].shape));
                inputs.extend(bias.map(|b| self.vector(b, false)));
                attributes.push(int("transB", 1));
                image = false;
                "Gemm"
            }
            Op::ShiftedPrelu { .. }
            | Op::Sign { .. }
            | Op::Narrow { .. }
            | Op::Shortcut { .. }
            | Op::Requantise { .. }
            | Op::FixedAveragePool { .. } => {
                return Err("has no ONNX operation; only float networks can be written".into());
            }
        };
        self.push(op, &name, inputs, attributes);
        self.values.push(Named { name, image, flat: None });
        Ok(())
    }

    fn push(&mut self, op: &str, name: &str, input: Vec<String>, attribute: Vec<AttributeProto>) {
        self.onnx.node.push(NodeProto {
            name: name.into(),
            op_type: op.into(),
            input,
            output: vec![name.into()],
            attribute,
            ..Default::default()
        });
    }

    /// The value with two axes, channels before rows and columns.
    fn flat(&mut self, id: NodeId) -> String {
        let value = self.values[id].clone();
        if !value.image {
            return value.name;
        }
        if let Some(flat) = value.flat {
            return flat;
        }
        let name = self.unique(&format!("{}.flat", value.name));
        self.push("Flatten", &name, vec![value.name], vec![int("axis", 1)]);
        self.values[id].flat = Some(name.clone());
        name
    }

    /// The value with four axes.
    fn image(&mut self, id: NodeId) -> String {
        let value = self.values[id].clone();
        if value.image {
            return value.name;
        }
        let axes = self.initializer_ints(&format!("{}.axes", value.name), &[2, 3]);
        let name = self.unique(&format!("{}.image", value.name));
        self.push("Unsqueeze", &name, vec![value.name, axes], vec![]);
        name
    }

    fn initializer(&mut self, name: &str, dims: &[usize], data: &[f32]) -> String {
        let raw = data.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.tensor(name, DataType::FLOAT, dims, raw)
    }

    fn initializer_ints(&mut self, name: &str, data: &[i64]) -> String {
        let raw = data.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.tensor(name, DataType::INT64, &[data.len()], raw)
    }

    fn tensor(&mut self, name: &str, kind: DataType, dims: &[usize], raw: Vec<u8>) -> String {
        let name = self.unique(name);
        self.onnx.initializer.push(TensorProto {
            name: name.clone(),
            data_type: kind as i32,
            dims: dims.iter().map(|d| *d as i64).collect(),
            raw_data: raw,
            ..Default::default()
        });
        name
    }

    /// A parameter of one value per channel; `[c, 1, 1]` where it is broadcast to an image.
    fn vector(&mut self, id: ParamId, broadcast: bool) -> String {
        let param = &self.graph.params[id];
        let c = param.data.len();
        let dims: &[usize] = if broadcast { &[c, 1, 1] } else { &[c] };
        self.initializer(&param.name, dims, &param.data)
    }

    /// `[o][ky][kx][i]` becomes `[o][i][ky][kx]`.
    fn conv_weight(&mut self, id: ParamId) -> String {
        let param = &self.graph.params[id];
        let &[out, kh, kw, inner] = param.shape.as_slice() else { unreachable!("validated") };
        let mut data = Vec::with_capacity(param.data.len());
        for filter in param.data.chunks(kh * kw * inner) {
            for i in 0..inner {
                data.extend((0..kh * kw).map(|tap| filter[tap * inner + i]));
            }
        }
        self.initializer(&param.name, &[out, inner, kh, kw], &data)
    }

    /// Columns in row, column, channel order become channel, row, column.
    fn dense_weight(&mut self, id: ParamId, input: Shape) -> String {
        let param = &self.graph.params[id];
        let pixels = input.h * input.w;
        let mut data = Vec::with_capacity(param.data.len());
        for row in param.data.chunks(input.len()) {
            for c in 0..input.c {
                data.extend((0..pixels).map(|pixel| row[pixel * input.c + c]));
            }
        }
        self.initializer(&param.name, &param.shape, &data)
    }
}

fn float(precision: Precision) -> Result<(), String> {
    match precision {
        Precision::Float => Ok(()),
        other => Err(format!("has {other:?} weights; only float networks can be written")),
    }
}

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto { name: name.into(), type_: kind.into(), ..Default::default() }
}

fn int(name: &str, value: usize) -> AttributeProto {
    AttributeProto { i: value as i64, ..attribute(name, AttributeType::INT) }
}

fn number(name: &str, value: f32) -> AttributeProto {
    AttributeProto { f: value, ..attribute(name, AttributeType::FLOAT) }
}

fn ints(name: &str, values: &[usize]) -> AttributeProto {
    let ints = values.iter().map(|v| *v as i64).collect();
    AttributeProto { ints, ..attribute(name, AttributeType::INTS) }
}

fn window_attributes(window: &bitat_graph::Window) -> [AttributeProto; 3] {
    [
        ints("kernel_shape", &window.kernel),
        ints("pads", &window.pads),
        ints("strides", &window.stride),
    ]
}

/// A float tensor with a dynamic batch before `dims`.
fn value_info(name: &str, dims: &[usize]) -> ValueInfoProto {
    let axis = |value| Dimension { value: Some(value), ..Default::default() };
    let mut dim = vec![axis(dimension::Value::DimParam("N".into()))];
    dim.extend(dims.iter().map(|d| axis(dimension::Value::DimValue(*d as i64))));
    let tensor = type_proto::Tensor {
        elem_type: DataType::FLOAT as i32,
        shape: Some(TensorShapeProto { dim, ..Default::default() }).into(),
        ..Default::default()
    };
    let kind =
        TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() };
    ValueInfoProto { name: name.into(), type_: Some(kind).into(), ..Default::default() }
}
