//! A program for a machine without an operating system that scores an image.
//!
//! It is linked, not run: there is no standard library and no allocator for the
//! linker to find, so that it links is the proof that none is needed. Feature
//! lists and `#![no_std]` alone prove less, for a dependency may bring either.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::hint::black_box;
use core::panic::PanicInfo;

use bitat_format::{Aligned, View};
use bitat_kernels::Kernels;
use bitat_runtime::{Arena, Network, top_k};

/// A network with every operation, as it would lie in flash.
static FILE: &Aligned<[u8]> =
    &Aligned(*include_bytes!("../../format/tests/golden/everything.bitat"));

/// Keeps [`main`] and all it calls in the program: the one symbol that the
/// linker may not drop. An entry point by name would need an attribute that
/// `forbid(unsafe_code)` refuses, and a program that is not run needs none.
#[used]
static ENTRY: fn() -> Option<usize> = main;

/// The best class of a black image; what a device's main loop would call.
fn main() -> Option<usize> {
    let view = View::parse(&black_box(FILE).0).ok()?;
    let network = Network::<32>::with_capacity(view, Kernels::best()).ok()?;
    let mut arena = Arena::<8192>::new();
    let mut scores = [0; 16];
    let image = black_box([0; 1024]);
    let pixels = view.tensor(0).bytes();
    network.run(image.get(..pixels)?, &mut arena, &mut scores).ok()?;
    let mut best = [(0, 0); 1];
    top_k(scores.get(..view.class_count())?, &mut best);
    Some(black_box(best[0].0))
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
