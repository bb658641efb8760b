//! Constant tensors: every way ONNX stores their elements.
//!
//! The parser package's own helper ignores `raw_data`, which is what real
//! exports use, so the elements are read here.

use std::path::Path;
use std::rc::Rc;

use half::{bf16, f16};
use onnx_protobuf::TensorProto;
use onnx_protobuf::tensor_proto::{DataLocation, DataType};

use crate::external;
use crate::limits;

/// A constant.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Array {
    /// For messages.
    pub name: String,
    /// Extents, outermost first; empty for a scalar.
    pub dims: Vec<usize>,
    /// Row-major.
    pub data: Data,
}

/// Elements, widened to one of two types.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Data {
    /// Any floating type. May hold NaN and infinities.
    Float(Vec<f32>),
    /// Any integer type or bool.
    Int(Vec<i64>),
}

impl Array {
    pub(crate) fn ints(name: impl Into<String>, dims: &[usize], data: Vec<i64>) -> Rc<Array> {
        Rc::new(Array { name: name.into(), dims: dims.to_vec(), data: Data::Int(data) })
    }

    /// Elements.
    pub(crate) fn len(&self) -> usize {
        match &self.data {
            Data::Float(v) => v.len(),
            Data::Int(v) => v.len(),
        }
    }

    /// The integers.
    pub(crate) fn as_ints(&self) -> Result<&[i64], String> {
        match &self.data {
            Data::Int(v) => Ok(v),
            Data::Float(_) => Err(format!("tensor '{}' must hold integers", self.name)),
        }
    }

    /// The floats, NaN and infinities included.
    pub(crate) fn as_floats(&self) -> Result<&[f32], String> {
        match &self.data {
            Data::Float(v) => Ok(v),
            Data::Int(_) => Err(format!("tensor '{}' must hold floats", self.name)),
        }
    }

    /// The floats, all finite, at least one.
    pub(crate) fn weights(&self) -> Result<&[f32], String> {
        let data = self.as_floats()?;
        if data.is_empty() {
            return Err(format!("tensor '{}' is empty", self.name));
        }
        match data.iter().position(|v| !v.is_finite()) {
            None => Ok(data),
            Some(i) => Err(format!(
                "tensor '{}' holds {} at element {i}; the training diverged or the file is \
                 damaged",
                self.name, data[i]
            )),
        }
    }

    /// The only element.
    pub(crate) fn scalar(&self) -> Result<f32, String> {
        match (&self.data, self.len()) {
            (Data::Float(v), 1) => Ok(v[0]),
            (Data::Int(v), 1) => Ok(v[0] as f32),
            (_, n) => Err(format!("tensor '{}' must be a single value, has {n}", self.name)),
        }
    }
}

/// Reads a tensor's elements. `folder` is where external data may lie; None
/// refuses external data.
///
/// # Errors
/// With the tensor's name.
pub(crate) fn decode(proto: &TensorProto, folder: Option<&Path>) -> Result<Array, String> {
    let fail = |what: String| Err(format!("tensor '{}': {what}", proto.name));
    let mut count = 1usize;
    if proto.dims.len() > limits::RANK {
        return fail(format!("{} axes are more than {}", proto.dims.len(), limits::RANK));
    }
    for &dim in &proto.dims {
        let dim = usize::try_from(dim).ok();
        match dim.and_then(|d| count.checked_mul(d)).filter(|n| *n <= limits::ELEMENTS) {
            Some(n) => count = n,
            None => return fail(format!("extents {:?} are negative or too large", proto.dims)),
        }
    }
    let Some(kind) = DataType::from_code(proto.data_type) else {
        return fail(format!("unknown element type {}", proto.data_type));
    };
    let Some(size) = element_bytes(kind) else {
        return fail(format!("element type {kind:?} is not supported; export float32 weights"));
    };
    let external;
    let raw: Option<&[u8]> = if proto.data_location.enum_value() == Ok(DataLocation::EXTERNAL) {
        let Some(folder) = folder else {
            return fail("its data is in another file, which needs a model on disk".into());
        };
        external = match external::load(&proto.external_data, folder, count * size) {
            Ok(bytes) => bytes,
            Err(what) => return fail(what),
        };
        Some(&external)
    } else {
        Some(&*proto.raw_data).filter(|raw| !raw.is_empty())
    };
    if let Some(raw) = raw
        && raw.len() != count * size
    {
        return fail(format!(
            "{kind:?} {:?} needs {} bytes, has {}",
            proto.dims,
            count * size,
            raw.len()
        ));
    }
    let data = match raw {
        Some(raw) => from_bytes(kind, raw),
        None => match from_fields(kind, proto) {
            Ok(data) => data,
            Err(what) => return fail(what),
        },
    };
    let dims = proto.dims.iter().map(|d| *d as usize).collect();
    let array = Array { name: proto.name.clone(), dims, data };
    if array.len() != count {
        return fail(format!("{:?} needs {count} elements, has {}", proto.dims, array.len()));
    }
    Ok(array)
}

trait FromCode: Sized {
    fn from_code(code: i32) -> Option<Self>;
}

impl FromCode for DataType {
    fn from_code(code: i32) -> Option<DataType> {
        protobuf::Enum::from_i32(code)
    }
}

/// Bytes of one element of the types read here.
fn element_bytes(kind: DataType) -> Option<usize> {
    Some(match kind {
        DataType::INT8 | DataType::UINT8 | DataType::BOOL => 1,
        DataType::FLOAT16 | DataType::BFLOAT16 | DataType::INT16 | DataType::UINT16 => 2,
        DataType::FLOAT | DataType::INT32 | DataType::UINT32 => 4,
        DataType::DOUBLE | DataType::INT64 | DataType::UINT64 => 8,
        _ => return None,
    })
}

/// Little-endian elements, as `raw_data` and external files hold them.
fn from_bytes(kind: DataType, raw: &[u8]) -> Data {
    fn each<const N: usize, T>(raw: &[u8], f: impl Fn([u8; N]) -> T) -> Vec<T> {
        raw.as_chunks::<N>().0.iter().map(|bytes| f(*bytes)).collect()
    }
    match kind {
        DataType::FLOAT => Data::Float(each(raw, f32::from_le_bytes)),
        DataType::DOUBLE => Data::Float(each(raw, |b| f64::from_le_bytes(b) as f32)),
        DataType::FLOAT16 => Data::Float(each(raw, |b| f16::from_le_bytes(b).to_f32())),
        DataType::BFLOAT16 => Data::Float(each(raw, |b| bf16::from_le_bytes(b).to_f32())),
        DataType::INT8 => Data::Int(each(raw, |b| i8::from_le_bytes(b).into())),
        DataType::UINT8 | DataType::BOOL => Data::Int(each(raw, |b| u8::from_le_bytes(b).into())),
        DataType::INT16 => Data::Int(each(raw, |b| i16::from_le_bytes(b).into())),
        DataType::UINT16 => Data::Int(each(raw, |b| u16::from_le_bytes(b).into())),
        DataType::INT32 => Data::Int(each(raw, |b| i32::from_le_bytes(b).into())),
        DataType::UINT32 => Data::Int(each(raw, |b| u32::from_le_bytes(b).into())),
        DataType::UINT64 => Data::Int(each(raw, |b| u64::from_le_bytes(b) as i64)),
        _ => Data::Int(each(raw, i64::from_le_bytes)),
    }
}

/// Elements in the typed fields; `int32_data` carries every narrow type, the
/// half floats as their bits.
fn from_fields(kind: DataType, proto: &TensorProto) -> Result<Data, String> {
    let half = |f: fn(u16) -> f32| {
        let bits = proto.int32_data.iter().map(|v| u16::try_from(*v).map(f));
        let data = bits.collect::<Result<_, _>>();
        data.map(Data::Float).map_err(|_| "int32_data holds no 16-bit patterns".to_string())
    };
    Ok(match kind {
        DataType::FLOAT => Data::Float(proto.float_data.clone()),
        DataType::DOUBLE => Data::Float(proto.double_data.iter().map(|v| *v as f32).collect()),
        DataType::FLOAT16 => half(|bits| f16::from_bits(bits).to_f32())?,
        DataType::BFLOAT16 => half(|bits| bf16::from_bits(bits).to_f32())?,
        DataType::INT64 => Data::Int(proto.int64_data.clone()),
        DataType::UINT32 | DataType::UINT64 => {
            Data::Int(proto.uint64_data.iter().map(|v| *v as i64).collect())
        }
        _ => Data::Int(proto.int32_data.iter().map(|v| i64::from(*v)).collect()),
    })
}
