//! What a caller can get wrong, and that nothing is written then.

mod common;

use bitat_format::View;
use bitat_kernels::Kernels;
use bitat_runtime::{
    ARENA_ALIGN, ARENA_LINE, Arena, Error, Fault, Network, Pool, Threads, aligned,
};

use common::mobilenet;

const SIDE: u16 = 8;
const PIXELS: usize = SIDE as usize * SIDE as usize * 3;
const CLASSES: usize = 10;

#[test]
fn each_wrong_argument_has_its_error_and_touches_nothing() {
    let file = common::file(&mobilenet::v1(SIDE, 8, CLASSES as u16, false));
    let network = Network::new(View::parse(&file).unwrap(), Kernels::best());
    let needed = network.arena_bytes();
    let image = [9; PIXELS + 1];

    let mut memory = vec![0xA5; needed + ARENA_LINE + ARENA_ALIGN];
    let arena = &mut aligned(&mut memory)[..needed];
    let mut scores = [77; CLASSES];
    let refuses = |image: &[u8], arena: &mut [u8], scores: &mut [i32], expected: Error| {
        assert_eq!(network.run(image, arena, scores), Err(expected));
        assert_eq!(expected.fault(), Fault::Caller);
        assert!(arena.iter().all(|&byte| byte == 0xA5), "{expected}");
        assert!(scores.iter().all(|&score| score == 77), "{expected}");
    };

    let error = |found| Error::Image { expected: PIXELS, found };
    for length in [0, PIXELS - 1, PIXELS + 1] {
        refuses(&image[..length], arena, &mut scores, error(length));
    }
    let image = &image[..PIXELS];
    let error = |found| Error::Scores { expected: CLASSES, found };
    for length in [0, CLASSES - 1] {
        refuses(image, arena, &mut scores[..length], error(length));
    }
    let error = |found| Error::ArenaLength { expected: needed, found };
    for length in [0, needed - ARENA_ALIGN, needed - 1] {
        refuses(image, &mut arena[..length], &mut scores, error(length));
    }
    for start in 1..ARENA_ALIGN {
        refuses(image, &mut arena[start..], &mut scores, Error::ArenaAlignment);
    }
    assert_eq!(network.run(image, arena, &mut scores), Ok(()));
}

#[test]
fn a_network_larger_than_its_capacity_is_refused() {
    let file = common::file(&mobilenet::v1(SIDE, 8, 10, false));
    let view = View::parse(&file).unwrap();
    // Image, stem, 13 blocks of two tensors, pool, scores.
    let found = Network::<29>::with_capacity(view, Kernels::best()).err();
    assert_eq!(found, Some(Error::Capacity { expected: 30, found: 29 }));
    assert!(Network::<30>::with_capacity(view, Kernels::best()).is_ok());
}

#[test]
fn an_arena_on_the_stack_and_a_small_plan_give_the_same_scores() {
    let file = common::file(&mobilenet::v1(SIDE, 8, 10, true));
    let view = View::parse(&file).unwrap();
    let large = Network::new(view, Kernels::best());
    let small = Network::<64>::with_capacity(view, Kernels::best()).unwrap();
    let mut arena = Arena::<4096>::new();
    assert!(large.arena_bytes() <= arena.len(), "{}", large.arena_bytes());
    let image: Vec<u8> = (0..PIXELS).map(|i| (i * 37) as u8).collect();
    let mut scores = [[0; CLASSES]; 2];
    large.run(&image, &mut arena, &mut scores[0]).unwrap();
    arena.fill(0xFF);
    small.run(&image, &mut arena, &mut scores[1]).unwrap();
    assert_eq!(scores[0], scores[1]);
    assert_ne!(scores[0], [scores[0][0]; CLASSES], "the scores say something");
}

#[test]
fn a_run_on_threads_refuses_the_same_and_uses_no_more_than_planned() {
    assert_eq!(Pool::new(0).err(), Some(Error::Threads { asked: 0 }));
    let file = common::file(&mobilenet::v1(SIDE, 8, CLASSES as u16, false));
    let view = View::parse(&file).unwrap();
    let one = Network::new(view, Kernels::best());
    let image: Vec<u8> = (0..PIXELS).map(|i| (i * 37) as u8).collect();
    let mut memory = vec![0; 8 * one.arena_bytes()];
    let arena = aligned(&mut memory);
    let mut expected = [0; CLASSES];
    one.run(&image, arena, &mut expected).unwrap();
    let cut = Threads { count: 2, part_ns: 0 };
    for (planned, count) in [(one.clone(), 4), (one.clone().for_threads(cut), 1), (one, 1)] {
        let pool = Pool::new(count).unwrap();
        let needed = planned.arena_bytes();
        let mut scores = [0; CLASSES];
        planned.run_on(&pool, &image, &mut arena[..needed], &mut scores).unwrap();
        assert_eq!(scores, expected);
        let short = planned.run_on(&pool, &image, &mut arena[..needed - 1], &mut scores);
        assert_eq!(short, Err(Error::ArenaLength { expected: needed, found: needed - 1 }));
    }
}

#[test]
fn errors_say_what_to_do() {
    let texts = [
        (Error::Image { expected: 4, found: 3 }, "the image has 3 bytes; the network reads 4"),
        (
            Error::Scores { expected: 10, found: 3 },
            "there is room for 3 scores; the network has 10 classes",
        ),
        (
            Error::ArenaLength { expected: 32, found: 16 },
            "the arena has 16 bytes; the network needs 32",
        ),
        (Error::ArenaAlignment, "the arena must start at a multiple of 16; use Arena or aligned()"),
        (
            Error::Capacity { expected: 30, found: 29 },
            "the plan has room for 29 tensors; the network has 30",
        ),
        (Error::Threads { asked: 0 }, "a pool needs at least one thread"),
        (Error::Threads { asked: 9 }, "the system does not start 9 threads; ask for fewer"),
        (
            Error::Internal { layer: 3, misuse: None },
            "bug in the runtime, please report it: layer 3: slices",
        ),
    ];
    for (error, text) in texts {
        assert_eq!(error.to_string(), text);
    }
    assert_eq!(texts[7].0.fault(), Fault::Runtime);
}
