//! Every bound on hostile or mistaken input, in one place.

/// Longest picture file read, in bytes.
pub(crate) const PICTURE_BYTES: u64 = 64 << 20;
/// Longest side of a picture, in pixels.
pub(crate) const PICTURE_SIDE: usize = 16_384;
/// Most pixels of a picture: 50 million, a good camera's, 200 MB decoded.
pub(crate) const PICTURE_PIXELS: usize = 50_000_000;
/// Most bytes of pixels an IDX or CIFAR set may unpack to: they stay in memory.
pub(crate) const RECORD_BYTES: u64 = 4 << 30;
/// Longest side of an IDX picture.
pub(crate) const RECORD_SIDE: usize = 4096;
/// Most classes.
pub(crate) const CLASSES: usize = 65_536;
/// Longest file of class names, in bytes.
pub(crate) const NAMES_BYTES: u64 = 4 << 20;
/// How deep pictures may lie below their class folder.
pub(crate) const FOLDER_DEPTH: usize = 4;
