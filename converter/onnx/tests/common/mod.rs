//! Builds small ONNX models in code.

// Each test binary uses its own part of this.
#![allow(dead_code, unreachable_pub)]

pub mod features;

use onnx_protobuf::attribute_proto::AttributeType;
use onnx_protobuf::tensor_proto::DataType;
use onnx_protobuf::tensor_shape_proto::{Dimension, dimension};
use onnx_protobuf::{
    AttributeProto, Message, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TypeProto,
    ValueInfoProto, type_proto,
};

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// In −1..1.
    pub fn signed(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    pub fn floats(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.signed()).collect()
    }
}

/// An ONNX model under construction.
#[derive(Clone)]
pub struct Builder {
    pub model: ModelProto,
    seed: u64,
}

impl Builder {
    /// `dims` with 0 for the dynamic batch.
    pub fn new(opset: i64, dims: &[i64]) -> Builder {
        let mut model = ModelProto { ir_version: 8, ..Default::default() };
        model.opset_import.push(OperatorSetIdProto { version: opset, ..Default::default() });
        let graph = model.graph.mut_or_insert_default();
        graph.name = "test".into();
        graph.input.push(value_info("x", dims));
        Builder { model, seed: 1 }
    }

    pub fn node(self, op: &str, inputs: &[&str], output: &str) -> Builder {
        self.node_with(op, inputs, output, vec![])
    }

    pub fn node_with(
        mut self,
        op: &str,
        inputs: &[&str],
        output: &str,
        attribute: Vec<AttributeProto>,
    ) -> Builder {
        self.model.graph.as_mut().unwrap().node.push(NodeProto {
            name: format!("{output}_node"),
            op_type: op.into(),
            input: inputs.iter().map(|s| s.to_string()).collect(),
            output: output.split(' ').map(str::to_string).collect(),
            attribute,
            ..Default::default()
        });
        self
    }

    pub fn initializer(mut self, tensor: TensorProto) -> Builder {
        self.model.graph.as_mut().unwrap().initializer.push(tensor);
        self
    }

    /// An initialiser of seeded values in −1..1.
    pub fn weights(mut self, name: &str, dims: &[i64]) -> Builder {
        self.seed += 1;
        let data = Random(self.seed).floats(dims.iter().product::<i64>() as usize);
        self.floats(name, dims, &data)
    }

    /// Seeded values in 0.5..1.5, for variances and divisors.
    pub fn positive(mut self, name: &str, dims: &[i64]) -> Builder {
        self.seed += 1;
        let data = Random(self.seed).floats(dims.iter().product::<i64>() as usize);
        let data: Vec<f32> = data.iter().map(|v| 1.0 + v / 2.0).collect();
        self.floats(name, dims, &data)
    }

    pub fn floats(self, name: &str, dims: &[i64], data: &[f32]) -> Builder {
        self.initializer(raw_floats(name, dims, data))
    }

    pub fn ints(self, name: &str, data: &[i64]) -> Builder {
        self.initializer(raw_ints(name, &[data.len() as i64], data))
    }

    /// A batch norm behind `input` with its four parameters.
    pub fn batch_norm(self, input: &str, output: &str, c: i64) -> Builder {
        let names = ["g", "b", "m", "v"].map(|p| format!("{output}.{p}"));
        let [g, b, m, v] = names.each_ref().map(String::as_str);
        self.weights(g, &[c]).weights(b, &[c]).weights(m, &[c]).positive(v, &[c]).node_with(
            "BatchNormalization",
            &[input, g, b, m, v],
            output,
            vec![float("epsilon", 1e-3)],
        )
    }

    /// Global average, flatten and a dense layer; the usual end.
    pub fn head(self, input: &str, c: i64, classes: i64) -> Builder {
        self.node("GlobalAveragePool", &[input], "head_gap")
            .node("Flatten", &["head_gap"], "head_flat")
            .weights("head_w", &[classes, c])
            .weights("head_b", &[classes])
            .node_with("Gemm", &["head_flat", "head_w", "head_b"], "y", vec![int("transB", 1)])
            .output("y", &[0, classes])
    }

    pub fn output(mut self, name: &str, dims: &[i64]) -> Builder {
        self.model.graph.as_mut().unwrap().output.push(value_info(name, dims));
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.model.write_to_bytes().unwrap()
    }
}

pub fn value_info(name: &str, dims: &[i64]) -> ValueInfoProto {
    typed_value_info(name, dims, DataType::FLOAT)
}

pub fn typed_value_info(name: &str, dims: &[i64], kind: DataType) -> ValueInfoProto {
    let mut tensor = type_proto::Tensor { elem_type: kind as i32, ..Default::default() };
    let shape = tensor.shape.mut_or_insert_default();
    for &dim in dims {
        let value = if dim == 0 {
            dimension::Value::DimParam("N".into())
        } else {
            dimension::Value::DimValue(dim)
        };
        shape.dim.push(Dimension { value: Some(value), ..Default::default() });
    }
    let value = Some(type_proto::Value::TensorType(tensor));
    let kind = TypeProto { value, ..Default::default() };
    ValueInfoProto { name: name.into(), type_: Some(kind).into(), ..Default::default() }
}

pub fn raw_floats(name: &str, dims: &[i64], data: &[f32]) -> TensorProto {
    let raw = data.iter().flat_map(|v| v.to_le_bytes()).collect();
    raw_tensor(name, dims, DataType::FLOAT, raw)
}

pub fn raw_ints(name: &str, dims: &[i64], data: &[i64]) -> TensorProto {
    let raw = data.iter().flat_map(|v| v.to_le_bytes()).collect();
    raw_tensor(name, dims, DataType::INT64, raw)
}

pub fn raw_tensor(name: &str, dims: &[i64], kind: DataType, raw: Vec<u8>) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: dims.to_vec(),
        data_type: kind as i32,
        raw_data: raw,
        ..Default::default()
    }
}

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto { name: name.into(), type_: kind.into(), ..Default::default() }
}

pub fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { i, ..attribute(name, AttributeType::INT) }
}

pub fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { ints: values.to_vec(), ..attribute(name, AttributeType::INTS) }
}

pub fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto { f, ..attribute(name, AttributeType::FLOAT) }
}

pub fn floats(name: &str, values: &[f32]) -> AttributeProto {
    AttributeProto { floats: values.to_vec(), ..attribute(name, AttributeType::FLOATS) }
}

pub fn string(name: &str, value: &str) -> AttributeProto {
    AttributeProto { s: value.into(), ..attribute(name, AttributeType::STRING) }
}

pub fn tensor(name: &str, t: TensorProto) -> AttributeProto {
    AttributeProto { t: Some(t).into(), ..attribute(name, AttributeType::TENSOR) }
}

/// A seeded image in NHWC for a graph.
pub fn image(shape: bitat_graph::Shape, seed: u64) -> Vec<f32> {
    Random(seed ^ 0xace).floats(shape.len())
}

/// The graph's scores.
pub fn scores(graph: &bitat_graph::Graph, image: &[f32]) -> Vec<f32> {
    bitat_graph::evaluate(graph, image).swap_remove(graph.output)
}

/// The largest difference between elements, relative where they exceed 1.
pub fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "lengths");
    let one = |(a, b): (&f32, &f32)| (a - b).abs() / a.abs().max(b.abs()).max(1.0);
    a.iter().zip(b).map(one).fold(0.0, |m, d| if d > m || d.is_nan() { d } else { m })
}
