//! An embedded network is the file's network: the same numbers in its
//! constants, the same plan, the same scores on every instruction set.

use bitat_format::{FileBuffer, View};
use bitat_kernels::{Isa, Kernels};
use bitat_runtime::{ARENA_LINE, Network, aligned};

mod fashion {
    bitat_embed::include_model!("../../models/fashion-mnist/mobilenet_v1_0.25.bitat");
}

mod cifar {
    bitat_embed::include_model!("../../models/cifar-100/mobilenet_v1_0.5.bitat");
}

/// Every operation of the format.
mod everything {
    bitat_embed::include_model!("../format/tests/golden/everything.bitat");
}

/// The smallest network, and a path spelt as a raw string.
mod bare {
    bitat_embed::include_model!(r"../format/tests/golden/bare.bitat");
}

/// Bytes that are the same in every test run; xorshift of Marsaglia's 13, 17, 5.
fn bytes<const N: usize>(mut state: u32) -> [u8; N] {
    std::array::from_fn(|_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 24) as u8
    })
}

/// The same network, its layers whole.
mod fashion_whole {
    bitat_embed::include_model!("../../models/fashion-mnist/mobilenet_v1_0.25.bitat", whole);
}

macro_rules! same_as_the_file {
    ($name:ident, $path:literal, $arena_bytes:expr) => {
        #[test]
        fn $name() {
            let file = FileBuffer::new(include_bytes!($path));
            let view = View::parse(&file).unwrap();
            let embedded = $name::network();

            assert_eq!($name::FILE[..], file[..]);
            assert_eq!($name::FILE.as_ptr().addr() % 16, 0);
            assert_eq!($name::NAME, view.name());
            let input = view.input();
            let shape = [$name::INPUT_HEIGHT, $name::INPUT_WIDTH, $name::INPUT_CHANNELS];
            assert_eq!(shape, [input.height, input.width, input.channels]);
            assert_eq!($name::LAYERS, view.layer_count());
            assert_eq!(embedded.network().view().scores(), view.scores());
            assert_eq!(embedded.network().view().score_scale(), view.score_scale());

            let mut ran = 0;
            for kernels in Isa::ALL.into_iter().filter_map(Kernels::new) {
                let network = Network::<{ $name::TENSORS }>::with_capacity(view, kernels).unwrap();
                let embedded = embedded.clone().on(kernels);
                let mut planned = network.clone();
                planned.fit($arena_bytes);
                assert_eq!(embedded.network().plan(), planned.plan());
                assert_eq!($name::ARENA_BYTES, planned.arena_bytes());
                let mut memory = vec![0; network.arena_bytes() + ARENA_LINE - 1];
                assert_eq!(embedded.network().kernels().isa(), kernels.isa());
                for seed in 1..=10 {
                    let image = bytes::<{ $name::INPUT_BYTES }>(seed);
                    let mut arena = $name::Arena::new();
                    let mut scores = [0; $name::CLASSES];
                    network.run(&image, aligned(&mut memory), &mut scores).unwrap();
                    arena.fill(0xA5);
                    assert_eq!(embedded.run(&image, &mut arena), scores, "{kernels:?} {seed}");
                    ran += 1;
                }
            }
            assert!(ran >= 10, "the plain kernels run everywhere");
        }
    };
}

same_as_the_file!(fashion, "../../../models/fashion-mnist/mobilenet_v1_0.25.bitat", 0);
same_as_the_file!(
    fashion_whole,
    "../../../models/fashion-mnist/mobilenet_v1_0.25.bitat",
    usize::MAX
);
same_as_the_file!(cifar, "../../../models/cifar-100/mobilenet_v1_0.5.bitat", 0);
same_as_the_file!(everything, "../../format/tests/golden/everything.bitat", 0);
same_as_the_file!(bare, "../../format/tests/golden/bare.bitat", 0);

const _: () = assert!(fashion::ARENA_BYTES < fashion_whole::ARENA_BYTES);

/// Two images must not score alike, or the tests above say little.
#[test]
fn scores_depend_on_the_image() {
    let (network, mut arena) = (fashion::network(), fashion::Arena::new());
    let mut scores = |seed| network.run(&bytes(seed), &mut arena);
    assert_ne!(scores(1), scores(2));
}
