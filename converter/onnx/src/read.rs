//! From a file to a graph.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use bitat_graph::Graph;
use onnx_protobuf::{Message, ModelProto};

use crate::error::{Error, Fault};
use crate::guard;
use crate::import::import;
use crate::limits;

/// A network with what was left out of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// The network up to its class scores.
    pub graph: Graph,
    /// The file ended in a softmax, which was dropped: it changes no ranking,
    /// but the file's own outputs are probabilities and the graph's are not.
    pub softmax: bool,
    /// What a person may want to know about the import, one line each.
    pub notes: Vec<String>,
}

/// Reads a trained float network.
///
/// # Errors
/// If the file cannot be read, is damaged, or holds something this reader
/// does not support; the message names the file and node and says what to do.
pub fn read(path: &Path) -> Result<Graph, Error> {
    read_with_notes(path).map(|imported| imported.graph)
}

/// As [`read`], with what was left out.
///
/// # Errors
/// As [`read`].
pub fn read_with_notes(path: &Path) -> Result<Imported, Error> {
    let bytes = load(path)?;
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    from_bytes(&bytes, Some(folder)).map_err(|fault| Error::new(path, fault))
}

/// Reads a network from memory; its weights may not be in other files.
/// `name` stands in error messages.
///
/// # Errors
/// As [`read`].
pub fn parse(name: &str, bytes: &[u8]) -> Result<Imported, Error> {
    from_bytes(bytes, None).map_err(|fault| Error::new(Path::new(name), fault))
}

fn load(path: &Path) -> Result<Vec<u8>, Error> {
    let io = |error| Error::new(path, Fault::Io(error));
    let model = |what: String| Error::new(path, Fault::Model(what));
    // Metadata first: opening a pipe could block for ever.
    let found = std::fs::metadata(path).map_err(io)?;
    if !found.is_file() {
        return Err(model("not a regular file; give the path of an .onnx file".into()));
    }
    let too_large = || {
        let most = limits::FILE_BYTES >> 20;
        model(format!("larger than {most} MiB, which is more than ONNX allows in one file"))
    };
    if found.len() > limits::FILE_BYTES {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(found.len() as usize + 1);
    let file = File::open(path).map_err(io)?;
    file.take(limits::FILE_BYTES + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > limits::FILE_BYTES {
        return Err(too_large());
    }
    Ok(bytes)
}

fn from_bytes(bytes: &[u8], folder: Option<&Path>) -> Result<Imported, Fault> {
    if bytes.is_empty() {
        return Err(Fault::Model("the file is empty".into()));
    }
    guard::scan(bytes).map_err(Fault::Bytes)?;
    let model = ModelProto::parse_from_bytes(bytes).map_err(|error| {
        Fault::Model(format!("not a readable ONNX file: {error}; copy or export it again"))
    })?;
    import(model, folder)
}
