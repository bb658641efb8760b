//! MobileNetV1 0.25 on the first test pictures of the shipped slice of Fashion-MNIST.

/// The network, a part of the program.
pub mod model {
    bitat_embed::include_model!("../../../../models/fashion-mnist/mobilenet_v1_0.25.bitat");
}

/// How many pictures, as `build.rs` says too.
pub const COUNT: usize = 100;

static PIXELS: &[u8; COUNT * model::INPUT_BYTES] =
    include_bytes!(concat!(env!("OUT_DIR"), "/images-idx3"));
static LABELS: &[u8; COUNT] = include_bytes!(concat!(env!("OUT_DIR"), "/labels-idx1"));

/// Each picture and its class.
pub fn pictures() -> impl Iterator<Item = (&'static [u8; model::INPUT_BYTES], u8)> {
    PIXELS.as_chunks().0.iter().zip(LABELS.iter().copied())
}

#[cfg(target_os = "none")]
mod device {
    use static_cell::ConstStaticCell;

    use super::{model, pictures};
    use crate::device::{self, Counter};
    use crate::refusals::{self, Memory};

    /// In a static, so that the linker says whether it fits.
    static ARENA: ConstStaticCell<model::Arena> = ConstStaticCell::new(model::Arena::new());

    /// Where a file would be received. Only the program that calls [`refuse`] has it.
    static RECEIVED: ConstStaticCell<Memory> =
        ConstStaticCell::new(bitat_format::Aligned([0; model::FILE.len()]));

    /// Scores every picture, prints the scores and what they took, and ends the program.
    pub fn run<C: Counter>(counter: &C) -> ! {
        device::run(counter, model::network, ARENA.take(), pictures())
    }

    /// Prints what is said about files and calls that are wrong, and ends the program.
    pub fn refuse() -> ! {
        refusals::show(RECEIVED.take(), ARENA.take(), |case, what| {
            semihosting::println!("{case}: {what}");
        });
        semihosting::process::exit(0)
    }
}

#[cfg(target_os = "none")]
pub use device::{refuse, run};
