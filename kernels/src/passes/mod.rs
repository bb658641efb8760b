//! Loops that go from the loads of a row to its stores, for layers that most networks are
//! made of, written once for all instruction sets they suit.
//!
//! They have no bounds to check, which would take more registers than there are: all that
//! a loop will touch is looked at before it begins. Otherwise as in `generic/`: nothing is
//! called but inlined functions.

pub(crate) mod depthwise;
pub(crate) mod depthwise_rows;
pub(crate) mod image;
pub(crate) mod lanes;
