//! What runs on every board.

use bitat_runtime::{Arena, Embedded, Error, Network};
use semihosting::{println, process};
use static_cell::ConstStaticCell;

use crate::{Line, fashion_mnist, stack, vww};

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

    /// Units since it was at `before`, if it began again once at most.
    fn since(&self, before: u32) -> u64 {
        u64::from(self.ticks().wrapping_sub(before) & Self::MASK) * Self::UNITS_PER_TICK
    }
}

/// Pictures of which [`layers`] gives the mean: what a layer executes depends on
/// the picture, if little.
const PICTURES: usize = 5;

/// Scores every picture, prints the scores and what they took, and ends the
/// program. Lines that begin with `#` are measurements; the others are the same
/// on every machine.
pub(crate) fn run<
    C: Counter,
    const IMAGE: usize,
    const CLASSES: usize,
    const ARENA: usize,
    const TENSORS: usize,
>(
    counter: &C,
    network: impl FnOnce() -> Embedded<IMAGE, CLASSES, ARENA, TENSORS>,
    arena: &mut Arena<ARENA>,
    pictures: impl Iterator<Item = (&'static [u8; IMAGE], u8)>,
) -> ! {
    let stack = stack::Painted::new();
    let network = network();

    let (mut units, mut count) = (0, 0);
    for (picture, label) in pictures {
        let before = counter.ticks();
        let scores = score(&network, picture, arena);
        units += counter.since(before);
        let Ok(scores) = scores else {
            println!("# picture {count}: a bug of the runtime");
            process::exit(1)
        };
        println!("{}", Line { picture: count, label, scores: &scores });
        count += 1;
    }

    println!("# arena {ARENA} bytes");
    println!("# model {} bytes", network.network().view().file_bytes());
    println!("# pictures {} bytes", count * (IMAGE + 1));
    let stack = stack.peak().expect("some of the painted stack is left");
    println!("# stack {stack} bytes");
    println!("# picture {} {}", units / count as u64, C::UNIT);
    process::exit(0)
}

/// One run of the network. By itself, so that `.ci/no_panic.py` finds where it begins.
#[inline(never)]
fn score<const IMAGE: usize, const CLASSES: usize, const ARENA: usize, const TENSORS: usize>(
    network: &Embedded<IMAGE, CLASSES, ARENA, TENSORS>,
    picture: &[u8; IMAGE],
    arena: &mut Arena<ARENA>,
) -> Result<[i32; CLASSES], Error> {
    network.try_run(picture, arena)
}

/// Room for the larger network layer by layer, the smaller's being its beginning.
static WHOLE: ConstStaticCell<Arena<129_024>> = ConstStaticCell::new(Arena::new());

/// Prints what each layer of both networks takes, run as a whole, then, as that of
/// the layer `-`, what all of them do, and ends the program.
pub fn layers<C: Counter>(counter: &C) -> ! {
    let large = WHOLE.take();
    by_layer::<C, { fashion_mnist::model::LAYERS }, _, _, _, _>(
        counter,
        "fashion-mnist",
        &fashion_mnist::model::network(),
        large,
        fashion_mnist::pictures(),
    );
    by_layer::<C, { vww::model::LAYERS }, _, _, _, _>(
        counter,
        "vww",
        &vww::model::network(),
        large,
        vww::pictures(),
    );
    process::exit(0)
}

fn by_layer<
    C: Counter,
    const LAYERS: usize,
    const IMAGE: usize,
    const CLASSES: usize,
    const ARENA: usize,
    const TENSORS: usize,
>(
    counter: &C,
    name: &str,
    network: &Embedded<IMAGE, CLASSES, ARENA, TENSORS>,
    arena: &mut [u8],
    pictures: impl Iterator<Item = (&'static [u8; IMAGE], u8)>,
) {
    // The embedded network runs its first layers by rows, none of them as a whole.
    let (view, kernels) = (network.network().view(), network.network().kernels());
    let network = Network::<TENSORS>::with_capacity(view, kernels);
    let network = network.expect("the capacity is the number of tensors");
    let (mut units, mut all) = ([0; LAYERS], 0);
    let mut scores = [0; CLASSES];
    for (picture, _) in pictures.take(PICTURES) {
        let mut before = counter.ticks();
        let done = network.run_with(picture, arena, &mut scores, |step| {
            units[step.layer] += counter.since(before);
            before = counter.ticks();
        });
        assert!(done.is_ok(), "the arena is as long as the plan says");
        let before = counter.ticks();
        let done = network.run(picture, arena, &mut scores);
        all += counter.since(before);
        assert!(done.is_ok(), "it was before");
    }
    for (layer, units) in view.layers().zip(units) {
        println!("{name} {} {}", layer.name, units / PICTURES as u64);
    }
    println!("{name} - {}", all / PICTURES as u64);
}
