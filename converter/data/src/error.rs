//! What can go wrong, sorted by who is at fault.

use std::fmt;
use std::path::{Path, PathBuf};

/// Why data could not be read. Every message names the file or the option and
/// says what to do.
#[derive(Debug)]
pub enum Error {
    /// The operating system refused a file.
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Its reason.
        source: std::io::Error,
    },
    /// A file or folder is not what its format promises.
    Data {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// What to do about it.
        advice: String,
    },
    /// An option's value makes no sense (exit code 2 on a command line).
    Usage {
        /// The option, as the user wrote it.
        option: String,
        /// What is wrong and what would be right.
        problem: String,
    },
}

impl Error {
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Error {
        Error::Io { path: path.to_owned(), source }
    }

    pub(crate) fn data(
        path: &Path,
        problem: impl Into<String>,
        advice: impl Into<String>,
    ) -> Error {
        Error::Data { path: path.to_owned(), problem: problem.into(), advice: advice.into() }
    }

    pub(crate) fn usage(option: impl Into<String>, problem: impl Into<String>) -> Error {
        Error::Usage { option: option.into(), problem: problem.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io { path, source } => {
                write!(f, "{}: {source}", path.display())?;
                match source.kind() {
                    std::io::ErrorKind::NotFound => write!(f, "; check the path"),
                    std::io::ErrorKind::PermissionDenied => write!(f, "; check its permissions"),
                    std::io::ErrorKind::NotADirectory => write!(f, "; give a folder"),
                    std::io::ErrorKind::IsADirectory => write!(f, "; give a file"),
                    _ => Ok(()),
                }
            }
            Error::Data { path, problem, advice } => {
                write!(f, "{}: {problem}; {advice}", path.display())
            }
            Error::Usage { option, problem } => write!(f, "{option}: {problem}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
