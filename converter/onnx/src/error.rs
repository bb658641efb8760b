//! What can go wrong, sorted by where the fault lies.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::guard::Refused;

/// A file that could not be read or written, and why.
#[derive(Debug)]
pub struct Error {
    /// The file, as the caller named it.
    pub file: PathBuf,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a file.
#[derive(Debug)]
pub enum Fault {
    /// The system refused.
    Io(std::io::Error),
    /// The bytes are no ONNX file, or a damaged or hostile one.
    Bytes(Refused),
    /// The model as a whole.
    Model(String),
    /// One node.
    Node {
        /// Its name, or that of its first output.
        name: String,
        /// Its operation.
        op: String,
        /// What is wrong with it and what to do.
        what: String,
    },
}

impl Error {
    pub(crate) fn new(file: &Path, fault: Fault) -> Error {
        Error { file: file.to_path_buf(), fault }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.file.display())?;
        match &self.fault {
            Fault::Io(error) => write!(f, "{error}"),
            Fault::Bytes(Refused { offset, what }) => {
                write!(f, "not a readable ONNX file: at byte {offset}, {what}; ")?;
                f.write_str("copy or export it again")
            }
            Fault::Model(what) => f.write_str(what),
            Fault::Node { name, op, what } => write!(f, "node '{name}' ({op}): {what}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.fault {
            Fault::Io(error) => Some(error),
            _ => None,
        }
    }
}
