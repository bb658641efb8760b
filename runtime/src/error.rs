//! Why a run was refused, and whose doing it is.

use core::fmt;

use bitat_kernels::Misuse;

/// Why a run, or a plan, was refused. What is wrong with a file,
/// [`View::parse`](bitat_format::View::parse) has said before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The image has the wrong length.
    Image {
        /// Bytes that the network reads: rows × columns × channels.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
    /// The slice for the scores is too short.
    Scores {
        /// Classes of the network.
        expected: usize,
        /// Scores that fit.
        found: usize,
    },
    /// The arena is too short.
    ArenaLength {
        /// Bytes needed; `usize::MAX` for a network that no arena can hold.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
    /// The arena does not start at a multiple of [`ARENA_ALIGN`](crate::ARENA_ALIGN).
    ArenaAlignment,
    /// The network has more tensors than the capacity chosen for the plan.
    Capacity {
        /// Tensors of the network.
        expected: usize,
        /// The capacity.
        found: usize,
    },
    /// A pool (feature `threads`) of no threads, or of more than the system
    /// starts.
    Threads {
        /// Threads asked for.
        asked: usize,
    },
    /// Plan and kernels disagree: a bug in this crate.
    Internal {
        /// The layer concerned.
        layer: usize,
        /// What a kernel refused; `None` if the slices could not be cut.
        misuse: Option<Misuse>,
    },
}

/// Whose doing an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The call is wrong.
    Caller,
    /// This crate is.
    Runtime,
}

impl Error {
    /// Whose doing this is.
    pub const fn fault(&self) -> Fault {
        match self {
            Error::Internal { .. } => Fault::Runtime,
            _ => Fault::Caller,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Error::Image { expected, found } => {
                write!(f, "the image has {found} bytes; the network reads {expected}")
            }
            Error::Scores { expected, found } => {
                write!(f, "there is room for {found} scores; the network has {expected} classes")
            }
            Error::ArenaLength { expected, found } => {
                write!(f, "the arena has {found} bytes; the network needs {expected}")
            }
            Error::ArenaAlignment => {
                let align = crate::ARENA_ALIGN;
                write!(f, "the arena must start at a multiple of {align}; use Arena or aligned()")
            }
            Error::Capacity { expected, found } => {
                write!(f, "the plan has room for {found} tensors; the network has {expected}")
            }
            Error::Threads { asked: 0 } => f.write_str("a pool needs at least one thread"),
            Error::Threads { asked } => {
                write!(f, "the system does not start {asked} threads; ask for fewer")
            }
            Error::Internal { layer, misuse: Some(misuse) } => {
                write!(f, "bug in the runtime, please report it: layer {layer}: {misuse}")
            }
            Error::Internal { layer, misuse: None } => {
                write!(f, "bug in the runtime, please report it: layer {layer}: slices")
            }
        }
    }
}

impl core::error::Error for Error {}
