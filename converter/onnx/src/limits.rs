//! Every bound on what a file may ask for, in one place.
//!
//! They are far above any network this tool is for, and low enough that a
//! hostile file costs a bounded amount of memory and time.

/// Bytes of a model file; protobuf itself allows no more.
pub(crate) const FILE_BYTES: u64 = (1 << 31) - 1;
/// Messages inside messages. Real models need 8, each subgraph level 3 more.
pub(crate) const DEPTH: usize = 32;
/// Messages in a file; one costs up to half a kilobyte once parsed.
pub(crate) const MESSAGES: usize = 1 << 18;
/// Fields in a file, over all messages; elements of packed fields do not count.
pub(crate) const FIELDS: usize = 1 << 20;
/// Elements of one tensor, and parameters of a whole network.
pub(crate) const ELEMENTS: usize = 1 << 27;
/// Elements of a constant shape computation.
pub(crate) const SHAPE_ELEMENTS: usize = 64;
/// Axes of a tensor.
pub(crate) const RANK: usize = 8;
/// Rows, columns or channels of an activation; kernel sides, strides and pads.
pub(crate) const SIDE: usize = 1 << 16;
/// Elements of one image's activation.
pub(crate) const ACTIVATION: usize = 1 << 27;
/// Operator sets this reader knows.
pub(crate) const OPSETS: std::ops::RangeInclusive<i64> = 7..=22;
