//! Typed access to a node's attributes.

use onnx_protobuf::attribute_proto::AttributeType;
use onnx_protobuf::{AttributeProto, NodeProto, TensorProto};

/// The attributes of one node.
#[derive(Clone, Copy)]
pub(crate) struct Attributes<'a>(&'a [AttributeProto]);

impl<'a> Attributes<'a> {
    pub(crate) fn of(node: &'a NodeProto) -> Attributes<'a> {
        Attributes(&node.attribute)
    }

    /// Refuses attributes other than `known`: one we do not know could change
    /// what the node means.
    pub(crate) fn allow(&self, known: &[&str]) -> Result<(), String> {
        match self.0.iter().find(|a| !known.contains(&a.name.as_str())) {
            None => Ok(()),
            Some(a) => Err(format!("attribute '{}' is not supported", a.name)),
        }
    }

    fn find(&self, name: &str, kind: AttributeType) -> Result<Option<&'a AttributeProto>, String> {
        let Some(found) = self.0.iter().find(|a| a.name == name) else { return Ok(None) };
        // Files before IR version 2 carry no type.
        match found.type_.enum_value() {
            Ok(k) if k == kind || k == AttributeType::UNDEFINED => Ok(Some(found)),
            _ => Err(format!("attribute '{name}' is not of type {kind:?}")),
        }
    }

    pub(crate) fn int(&self, name: &str) -> Result<Option<i64>, String> {
        Ok(self.find(name, AttributeType::INT)?.map(|a| a.i))
    }

    pub(crate) fn int_or(&self, name: &str, default: i64) -> Result<i64, String> {
        Ok(self.int(name)?.unwrap_or(default))
    }

    pub(crate) fn float(&self, name: &str) -> Result<Option<f32>, String> {
        Ok(self.find(name, AttributeType::FLOAT)?.map(|a| a.f))
    }

    pub(crate) fn ints(&self, name: &str) -> Result<Option<&'a [i64]>, String> {
        Ok(self.find(name, AttributeType::INTS)?.map(|a| a.ints.as_slice()))
    }

    pub(crate) fn floats(&self, name: &str) -> Result<Option<&'a [f32]>, String> {
        Ok(self.find(name, AttributeType::FLOATS)?.map(|a| a.floats.as_slice()))
    }

    pub(crate) fn string(&self, name: &str) -> Result<Option<&'a str>, String> {
        match self.find(name, AttributeType::STRING)? {
            None => Ok(None),
            Some(a) => match std::str::from_utf8(&a.s) {
                Ok(text) => Ok(Some(text)),
                Err(_) => Err(format!("attribute '{name}' is not UTF-8")),
            },
        }
    }

    pub(crate) fn tensor(&self, name: &str) -> Result<Option<&'a TensorProto>, String> {
        Ok(self.find(name, AttributeType::TENSOR)?.and_then(|a| a.t.as_ref()))
    }
}
