//! MobileNetV1 0.25 for 96x96 RGB and two classes, on pictures that show no people.

/// The network, a part of the program.
pub mod model {
    bitat_embed::include_model!("../../../../models/vww/mobilenet_v1_0.25_96.bitat");
}

/// How many pictures, as `build.rs` says too.
pub const COUNT: usize = 5;

static PIXELS: &[u8; COUNT * model::INPUT_BYTES] =
    include_bytes!(concat!(env!("OUT_DIR"), "/large"));

/// Each picture and its class.
pub fn pictures() -> impl Iterator<Item = (&'static [u8; model::INPUT_BYTES], u8)> {
    PIXELS.as_chunks().0.iter().map(|pixels| (pixels, 0))
}

#[cfg(target_os = "none")]
mod device {
    use static_cell::ConstStaticCell;

    use super::{model, pictures};
    use crate::device::{self, Counter};

    /// In a static, so that the linker says whether it fits.
    static ARENA: ConstStaticCell<model::Arena> = ConstStaticCell::new(model::Arena::new());

    /// Scores every picture, prints the scores and what they took, and ends the program.
    pub fn run<C: Counter>(counter: &C) -> ! {
        device::run(counter, model::network, ARENA.take(), pictures())
    }
}

#[cfg(target_os = "none")]
pub use device::run;
