//! The first test pictures of the shipped slice of Fashion-MNIST.

/// How many, as `build.rs` says too.
pub const COUNT: usize = 100;
/// Bytes of one: 28x28, grey.
pub const BYTES: usize = 28 * 28;

static PIXELS: &[u8; COUNT * BYTES] = include_bytes!(concat!(env!("OUT_DIR"), "/images-idx3"));
static LABELS: &[u8; COUNT] = include_bytes!(concat!(env!("OUT_DIR"), "/labels-idx1"));

/// Each picture and its class.
pub fn all() -> impl Iterator<Item = (&'static [u8; BYTES], u8)> {
    PIXELS.as_chunks().0.iter().zip(LABELS.iter().copied())
}
