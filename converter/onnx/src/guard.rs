//! A bounded scan of the wire format in front of the protobuf parser.
//!
//! The parser skips *groups* (wire types 3 and 4, gone from protobuf since
//! 2008 and used by no ONNX file) by unbounded recursion, so a few hundred
//! kilobytes of nested group tags overflow the stack and abort the process
//! (CVE-2025-53605). This scan walks the same bytes first, without recursion,
//! and refuses every group tag, so the parser never meets one. Why that holds
//! for any bytes:
//!
//! 1. The parser reads tags only in message bodies. It enters a body for the
//!    whole file and for each length-delimited field that its schema calls a
//!    message; everything else with a length it copies or skips unread.
//!    `Message::child` is that schema. A test asks the parser itself, for
//!    every message and field number, whether it descends, and compares.
//! 2. Within a body both cut the bytes into the same fields. Tags and lengths
//!    are at most five bytes here and below 2³², where all of the parser's
//!    varint readers agree; lengths end inside their message.
//! 3. A group tag, unknown field or not, ends the scan with an error, and so
//!    does any wire type the parser does not know.
//!
//! The scan also bounds nesting, messages and fields, because an empty
//! message is two bytes in the file and hundreds in memory.

use crate::limits;

/// Why a file was refused, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Bytes from the start of the file.
    pub offset: usize,
    /// What is wrong there.
    pub what: String,
}

/// The messages of ONNX, as far as nesting goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    SparseTensor,
    Segment,
    ValueInfo,
    Type,
    TypeTensor,
    TypeSequence,
    TypeMap,
    TypeOptional,
    TypeSparseTensor,
    Shape,
    Dimension,
    OperatorSet,
    Entry,
    Annotation,
    Training,
    Function,
}

impl Message {
    /// The message in length-delimited field `field`, if it holds one.
    pub(crate) fn child(self, field: u32) -> Option<Message> {
        use Message::*;
        Some(match (self, field) {
            (Model, 7) => Graph,
            (Model, 8) => OperatorSet,
            (Model, 14) => Entry,
            (Model, 20) => Training,
            (Model, 25) => Function,
            (Graph, 1) => Node,
            (Graph, 5) => Tensor,
            (Graph, 11..=13) => ValueInfo,
            (Graph, 14) => Annotation,
            (Graph, 15) => SparseTensor,
            (Graph, 16) => Entry,
            (Node, 5) => Attribute,
            (Node, 9) => Entry,
            (Attribute, 5 | 10) => Tensor,
            (Attribute, 6 | 11) => Graph,
            (Attribute, 14 | 15) => Type,
            (Attribute, 22 | 23) => SparseTensor,
            (Tensor, 3) => Segment,
            (Tensor, 13 | 16) => Entry,
            (SparseTensor, 1 | 2) => Tensor,
            (ValueInfo, 2) => Type,
            (ValueInfo, 4) => Entry,
            (Type, 1) => TypeTensor,
            (Type, 4) => TypeSequence,
            (Type, 5) => TypeMap,
            (Type, 8) => TypeSparseTensor,
            (Type, 9) => TypeOptional,
            (TypeTensor | TypeSparseTensor, 2) => Shape,
            (TypeSequence | TypeOptional, 1) => Type,
            (TypeMap, 2) => Type,
            (Shape, 1) => Dimension,
            (Annotation, 2) => Entry,
            (Training, 1 | 2) => Graph,
            (Training, 3 | 4) => Entry,
            (Function, 7) => Node,
            (Function, 9) => OperatorSet,
            (Function, 11) => Attribute,
            (Function, 12) => ValueInfo,
            (Function, 14) => Entry,
            _ => return None,
        })
    }
}

/// Refuses any bytes the parser must not see. Linear in the file's fields;
/// contents of tensors are stepped over.
///
/// # Errors
/// The first fault and its offset.
pub fn scan(bytes: &[u8]) -> Result<(), Refused> {
    let mut cursor = Cursor { bytes, at: 0 };
    // The open messages, innermost last, each with its end.
    let mut open = vec![(Message::Model, bytes.len())];
    let (mut fields, mut messages) = (0, 0);
    while let Some(&(message, end)) = open.last() {
        if cursor.at == end {
            open.pop();
            continue;
        }
        let start = cursor.at;
        let refuse = |what: String| Err(Refused { offset: start, what });
        fields += 1;
        if fields > limits::FIELDS {
            return refuse(format!("more than {} fields", limits::FIELDS));
        }
        let tag = cursor.varint32(end, "a field's tag")?;
        let field = tag >> 3;
        if field == 0 {
            return refuse("field number 0; this is no ONNX file".into());
        }
        match tag & 7 {
            0 => cursor.skip_varint(end)?,
            1 => cursor.skip(8, end)?,
            5 => cursor.skip(4, end)?,
            2 => {
                let length = cursor.varint32(end, "a field's length")? as usize;
                let Some(child) = message.child(field) else {
                    cursor.skip(length, end)?;
                    continue;
                };
                let body = cursor.at;
                cursor.skip(length, end)?;
                cursor.at = body;
                messages += 1;
                if messages > limits::MESSAGES {
                    return refuse(format!("more than {} messages", limits::MESSAGES));
                }
                if open.len() >= limits::DEPTH {
                    return refuse(format!("messages nested deeper than {}", limits::DEPTH));
                }
                open.push((child, body + length));
            }
            3 | 4 => return refuse("a group, which no ONNX file has".into()),
            wire => return refuse(format!("unknown wire type {wire}; this is no ONNX file")),
        }
    }
    Ok(())
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn byte(&mut self, end: usize, what: &str) -> Result<u8, Refused> {
        if self.at == end {
            let what = format!("{what} runs past the end of its message");
            return Err(Refused { offset: self.at, what });
        }
        self.at += 1;
        Ok(self.bytes[self.at - 1])
    }

    /// At most five bytes and below 2³².
    fn varint32(&mut self, end: usize, what: &str) -> Result<u32, Refused> {
        let offset = self.at;
        let mut value = 0u64;
        for i in 0..5 {
            let byte = self.byte(end, what)?;
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                let what = format!("{what} exceeds 32 bits");
                return u32::try_from(value).map_err(|_| Refused { offset, what });
            }
        }
        Err(Refused { offset, what: format!("{what} is longer than 5 bytes") })
    }

    /// At most ten bytes and below 2⁶⁴.
    fn skip_varint(&mut self, end: usize) -> Result<(), Refused> {
        let offset = self.at;
        for i in 0..10 {
            let byte = self.byte(end, "a number")?;
            if byte < 0x80 {
                if i == 9 && byte > 1 {
                    break;
                }
                return Ok(());
            }
        }
        Err(Refused { offset, what: "a number exceeds 64 bits".into() })
    }

    fn skip(&mut self, length: usize, end: usize) -> Result<(), Refused> {
        let left = end - self.at;
        if length > left {
            let what = format!("{length} bytes wanted, but its message ends after {left}");
            return Err(Refused { offset: self.at, what });
        }
        self.at += length;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use onnx_protobuf as p;
    use onnx_protobuf::Message as _;

    type Parse = fn(&[u8]) -> bool;

    fn parses<M: p::Message>(bytes: &[u8]) -> bool {
        M::parse_from_bytes(bytes).is_ok()
    }

    /// Every message with the parser's own type for it.
    const PARSERS: [(Message, Parse); 21] = [
        (Message::Model, parses::<p::ModelProto>),
        (Message::Graph, parses::<p::GraphProto>),
        (Message::Node, parses::<p::NodeProto>),
        (Message::Attribute, parses::<p::AttributeProto>),
        (Message::Tensor, parses::<p::TensorProto>),
        (Message::SparseTensor, parses::<p::SparseTensorProto>),
        (Message::Segment, parses::<p::tensor_proto::Segment>),
        (Message::ValueInfo, parses::<p::ValueInfoProto>),
        (Message::Type, parses::<p::TypeProto>),
        (Message::TypeTensor, parses::<p::type_proto::Tensor>),
        (Message::TypeSequence, parses::<p::type_proto::Sequence>),
        (Message::TypeMap, parses::<p::type_proto::Map>),
        (Message::TypeOptional, parses::<p::type_proto::Optional>),
        (Message::TypeSparseTensor, parses::<p::type_proto::SparseTensor>),
        (Message::Shape, parses::<p::TensorShapeProto>),
        (Message::Dimension, parses::<p::tensor_shape_proto::Dimension>),
        (Message::OperatorSet, parses::<p::OperatorSetIdProto>),
        (Message::Entry, parses::<p::StringStringEntryProto>),
        (Message::Annotation, parses::<p::TensorAnnotation>),
        (Message::Training, parses::<p::TrainingInfoProto>),
        (Message::Function, parses::<p::FunctionProto>),
    ];

    fn varint(mut value: u64) -> Vec<u8> {
        let mut out = Vec::new();
        while value >= 0x80 {
            out.push(value as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
        out
    }

    /// A length-delimited field.
    fn field(number: u32, content: &[u8]) -> Vec<u8> {
        let mut out = varint(u64::from(number) << 3 | 2);
        out.extend(varint(content.len() as u64));
        out.extend(content);
        out
    }

    /// Eight 0x0b bytes are a fine string, byte array and packed array of any
    /// element, but as a message they open groups that never end: the parser
    /// fails exactly where it descends.
    #[test]
    fn the_schema_is_the_parsers_own() {
        for (message, parse) in PARSERS {
            for number in 1..=5000 {
                let descends = !parse(&field(number, &[0x0b; 8]));
                let known = message.child(number).is_some();
                assert_eq!(descends, known, "{message:?} field {number}");
            }
        }
    }

    /// What lies two levels down is read as the message that the schema says:
    /// the child's own message fields, and no others, are descended into.
    #[test]
    fn children_are_the_messages_that_the_schema_says() {
        for (message, parse) in PARSERS {
            for number in 1..=40 {
                let Some(child) = message.child(number) else { continue };
                for inner in 1..=40 {
                    let descends = !parse(&field(number, &field(inner, &[0x0b; 8])));
                    let known = child.child(inner).is_some();
                    assert_eq!(descends, known, "{message:?}.{number} is {child:?}, field {inner}");
                }
            }
        }
    }

    #[test]
    fn a_minimal_model_passes() {
        let model = p::ModelProto { ir_version: 8, ..Default::default() };
        scan(&model.write_to_bytes().unwrap()).unwrap();
        scan(&[]).unwrap();
    }

    /// CVE-2025-53605: without the scan each of these aborts the process.
    #[test]
    fn nested_groups_are_refused_wherever_they_hide() {
        let bomb = vec![0x0b; 1 << 20];
        let refused = scan(&bomb).unwrap_err();
        assert_eq!(refused.offset, 0);
        assert!(refused.what.contains("group"), "{}", refused.what);
        // An unknown field number, and the end-group tag alone.
        assert!(scan(&varint(999 << 3 | 3)).unwrap_err().what.contains("group"));
        assert!(scan(&[0x0c]).unwrap_err().what.contains("group"));
        // Inside every message that can be reached.
        let paths: [&[u32]; 5] =
            [&[7], &[7, 1, 5, 5], &[25, 7], &[7, 11, 2, 1, 2, 1], &[7, 1, 5, 6, 5, 13]];
        for path in paths {
            let file = path.iter().rev().fold(bomb.clone(), |inner, &n| field(n, &inner));
            let refused = scan(&file).unwrap_err();
            assert!(refused.what.contains("group"), "{path:?}: {}", refused.what);
            assert_eq!(refused.offset, file.len() - bomb.len(), "{path:?}");
        }
        // In raw_data, strings and unknown fields the same bytes are only bytes.
        let tensor = [field(9, &[0x0b; 99]), field(8, &[0x0b; 9]), field(77, &[0x0b; 9])].concat();
        let file = field(7, &field(5, &tensor));
        scan(&file).unwrap();
        assert!(p::ModelProto::parse_from_bytes(&file).is_ok());
    }

    #[test]
    fn refusals_name_the_place() {
        // Model and graph, then node, attribute and graph again and again.
        let level = |inner: Vec<u8>| field(1, &field(5, &field(6, &inner)));
        let deep = field(7, &(0..11).fold(vec![], |inner, _| level(inner)));
        let shallow = field(7, &(0..10).fold(vec![], |inner, _| level(inner)));
        scan(&shallow).unwrap();
        let mut many = Vec::new();
        for _ in 0..=limits::MESSAGES {
            many.extend([0x0a, 0]);
        }
        for (bytes, offset, what) in [
            (vec![0x80; 6], 0, "tag is longer than 5 bytes"),
            (vec![0xff, 0xff, 0xff, 0xff, 0x7f], 0, "tag exceeds 32 bits"),
            (vec![0x08], 1, "number runs past the end"),
            (vec![0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2], 1, "64 bits"),
            (vec![0x08; 1].into_iter().chain([0x80; 11]).collect(), 1, "64 bits"),
            (vec![0x09, 1, 2, 3], 1, "8 bytes wanted, but its message ends after 3"),
            (vec![0x0d, 1], 1, "4 bytes wanted"),
            (vec![0x12, 5, 1], 2, "5 bytes wanted, but its message ends after 1"),
            (field(7, &[0x0a, 9]), 4, "9 bytes wanted, but its message ends after 0"),
            (vec![0x02, 0], 0, "field number 0"),
            (vec![0x0f], 0, "unknown wire type 7"),
            (vec![0x0e], 0, "unknown wire type 6"),
            (deep, 62, "nested deeper than 32"),
            (field(7, &many), 4 + 2 * (limits::MESSAGES - 1), "more than 262144 messages"),
            ([0x08, 1].repeat(limits::FIELDS + 1), 2 * limits::FIELDS, "more than 1048576 fields"),
        ] {
            let refused = scan(&bytes).unwrap_err();
            assert!(refused.what.contains(what), "'{}' for '{what}'", refused.what);
            assert_eq!(refused.offset, offset, "{what}");
        }
    }
}
