//! A network that comes at run time, and what is said about one that cannot run.

use core::fmt::Display;

use bitat_format::View;
use bitat_kernels::Kernels;
use bitat_runtime::Network;

use crate::fashion_mnist::{model, pictures};

/// Memory that a file at run time is received in.
pub type Memory = bitat_format::Aligned<[u8; model::FILE.len()]>;

/// Calls `say` with a case and what came of it, for good and bad files and
/// calls: the same on every machine.
pub fn show(
    memory: &mut Memory,
    arena: &mut model::Arena,
    mut say: impl FnMut(&str, &dyn Display),
) {
    let file = &mut memory.0;
    *file = *model::FILE;
    let picture = pictures().next().map_or(&[0; model::INPUT_BYTES], |(pixels, _)| pixels);
    let mut scores = [0; model::CLASSES];
    {
        // What a device does with a file that it received.
        let network = View::parse(file)
            .map(|view| Network::<{ model::TENSORS }>::with_capacity(view, Kernels::best()));
        let Ok(Ok(network)) = network else {
            return say("the file as it is", &"refused");
        };
        // As the embedded network, whose arena it is given.
        let network = network.by_rows();
        let mut run = |case, image: &[u8], arena: &mut [u8], scores: &mut [i32]| match network
            .run(image, arena, scores)
        {
            Ok(()) => say(case, &"runs"),
            Err(error) => say(case, &error),
        };
        run("the file as it is", picture, arena, &mut scores);
        run("a short arena", picture, &mut arena[..model::ARENA_BYTES - 16], &mut scores);
        run("an arena off its alignment", picture, &mut arena[1..], &mut scores);
        run("a short image", &picture[1..], arena, &mut scores);
        run("too few scores", picture, arena, &mut scores[1..]);
    }
    let embedded = model::network().run(picture, arena);
    say("its scores", if scores == embedded { &"the embedded network's" } else { &"others" });

    let mut parse = |case, file: &[u8]| match View::parse(file) {
        Ok(_) => say(case, &"accepted"),
        Err(error) => say(case, &error),
    };
    parse("half a file", &file[..file.len() / 2]);
    parse("a file off its alignment", &file[1..]);
    file[model::FILE.len() - 1] ^= 1;
    parse("a flipped bit", &file[..]);
    file[0] = 0;
    parse("something else", &file[..]);

    *file = *model::FILE;
    if let Ok(view) = View::parse(file)
        && let Err(error) = Network::<4>::with_capacity(view, Kernels::best())
    {
        say("a plan for 4 tensors", &error);
    }
}
