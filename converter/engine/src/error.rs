//! What can be wrong with a graph handed to the trainer.

/// Why a [`crate::Net`] cannot be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The graph has no nodes, or its first is not the input.
    NoInput,
    /// The graph's output, or a node to keep, does not exist.
    NoSuchNode(usize),
    /// `max_batch` is 0.
    EmptyBatch,
    /// A node reads one that comes later.
    Order {
        /// The node's name.
        node: String,
    },
    /// A node that is evaluated only, in a net that is to be trained.
    NotTrained {
        /// The node's name.
        node: String,
    },
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Error::NoInput => write!(f, "the graph does not begin with an input node"),
            Error::NoSuchNode(id) => write!(f, "the graph has no node {id}"),
            Error::EmptyBatch => write!(f, "a batch needs at least one image"),
            Error::Order { node } => write!(f, "node '{node}' reads a node that comes after it"),
            Error::NotTrained { node } => {
                write!(f, "node '{node}' computes on integers: it can be evaluated, not trained")
            }
        }
    }
}

impl std::error::Error for Error {}
