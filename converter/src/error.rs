//! The one error of the command line: a sentence for people and who is at fault.

use std::fmt;
use std::path::Path;

/// Whose fault an [`Error`] is; decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The command line: exit code 2.
    Usage,
    /// A file, a network, data, the machine: exit code 1.
    Input,
    /// The training's: its loss is no number any more; exit code 1.
    Diverged,
    /// The person pressed Ctrl-C; the state on disk is whole: exit code 130.
    Interrupted,
}

/// What went wrong, naming the file, node or option, and what to do.
#[derive(Debug)]
pub struct Error {
    /// Whose fault it is.
    pub fault: Fault,
    message: String,
}

impl Error {
    /// An option or argument is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Error { fault: Fault::Usage, message: message.into() }
    }

    /// A network or its data is wrong.
    pub fn model(message: impl Into<String>) -> Self {
        Error { fault: Fault::Input, message: message.into() }
    }

    /// Training went astray.
    pub fn diverged(message: impl Into<String>) -> Self {
        Error { fault: Fault::Diverged, message: message.into() }
    }

    /// `path` could not be read or written.
    pub fn file(path: &Path, cause: impl fmt::Display) -> Self {
        Error { fault: Fault::Input, message: format!("{}: {cause}", path.display()) }
    }

    /// Stopped by Ctrl-C; `how` says how to go on.
    pub fn interrupted(how: impl Into<String>) -> Self {
        Error { fault: Fault::Interrupted, message: how.into() }
    }

    /// The same error with a further thing to do.
    #[must_use]
    pub fn with_advice(mut self, advice: &str) -> Self {
        self.message.push_str("; ");
        self.message.push_str(advice);
        self
    }

    /// The process's exit code.
    pub fn exit_code(&self) -> u8 {
        match self.fault {
            Fault::Usage => 2,
            Fault::Input | Fault::Diverged => 1,
            Fault::Interrupted => 130,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<bitat_data::Error> for Error {
    fn from(error: bitat_data::Error) -> Self {
        match error {
            bitat_data::Error::Usage { .. } => Error::usage(error.to_string()),
            _ => Error::model(error.to_string()),
        }
    }
}

impl From<bitat_onnx::Error> for Error {
    fn from(error: bitat_onnx::Error) -> Self {
        Error::model(error.to_string())
    }
}

impl From<bitat_engine::Error> for Error {
    fn from(error: bitat_engine::Error) -> Self {
        Error::model(error.to_string())
    }
}
