//! One file per kind of operation, forward and backward side by side, on blocks
//! of pixels small enough for the cache.

pub(crate) mod depthwise;
pub(crate) mod elementwise;
pub(crate) mod fixed;
pub(crate) mod fused;
pub(crate) mod norm;
pub(crate) mod pool;
pub(crate) mod shortcut;
pub(crate) mod sweep;
pub(crate) mod window;
