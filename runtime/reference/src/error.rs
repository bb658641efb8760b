//! Why a model does not run.

use std::fmt;

/// Why a model does not run, by who is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The caller's image has the wrong number of bytes.
    Image {
        /// Rows × columns × channels of tensor 0.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
    /// The model contradicts itself.
    Model {
        /// The layer concerned; `None` where it is not one layer's fault.
        layer: Option<usize>,
        /// What does not fit.
        what: &'static str,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Image { expected, found } => {
                write!(f, "the image has {found} bytes, the network reads {expected}")
            }
            Error::Model { layer: Some(layer), what } => write!(f, "layer {layer}: {what}"),
            Error::Model { layer: None, what } => write!(f, "model: {what}"),
        }
    }
}

impl std::error::Error for Error {}
