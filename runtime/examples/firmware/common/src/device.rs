//! What runs on every board.

use semihosting::{println, process};
use static_cell::ConstStaticCell;

use crate::refusals::{self, Memory};
use crate::{Line, model, pictures, stack};

/// In a static, so that the linker says whether it fits.
static ARENA: ConstStaticCell<model::Arena> = ConstStaticCell::new(model::Arena::new());

/// Where a file would be received. Only the program that calls [`refuse`] has it.
static RECEIVED: ConstStaticCell<Memory> =
    ConstStaticCell::new(bitat_format::Aligned([0; model::FILE.len()]));

/// A counter of executed instructions or of clock cycles.
pub trait Counter {
    /// What one tick of it is.
    const UNIT: &'static str;
    /// Units in a tick.
    const UNITS_PER_TICK: u64;
    /// Ticks after which it begins again, less one.
    const MASK: u32;

    /// Ticks so far.
    fn ticks(&self) -> u32;
}

/// Scores every picture, prints the scores and what they took, and ends the
/// program. Lines that begin with `#` are measurements; the others are the same
/// on every machine.
pub fn run<C: Counter>(counter: &C) -> ! {
    let stack = stack::Painted::new();
    let network = model::network();
    let arena = ARENA.take();

    let mut units = 0;
    for (index, (picture, label)) in pictures::all().enumerate() {
        let before = counter.ticks();
        let scores = network.run(picture, arena);
        let ticks = counter.ticks().wrapping_sub(before) & C::MASK;
        units += u64::from(ticks) * C::UNITS_PER_TICK;
        println!("{}", Line { picture: index, label, scores: &scores });
    }

    println!("# arena {} bytes", model::ARENA_BYTES);
    println!("# model {} bytes", model::FILE.len());
    println!("# pictures {} bytes", pictures::COUNT * (pictures::BYTES + 1));
    let stack = stack.peak().expect("some of the painted stack is left");
    println!("# stack {stack} bytes");
    println!("# picture {} {}", units / pictures::COUNT as u64, C::UNIT);
    process::exit(0)
}

/// Prints what is said about files and calls that are wrong, and ends the program.
pub fn refuse() -> ! {
    refusals::show(RECEIVED.take(), ARENA.take(), |case, what| println!("{case}: {what}"));
    process::exit(0)
}
