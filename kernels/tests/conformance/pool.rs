//! The global average pool.

use bitat_kernels::Shape;
use bitat_reference::ops;

use crate::buffers::Guarded;
use crate::geometry::{CHANNELS, oracle_shape};
use crate::random::{Random, seed};
use crate::sets::on_every_set;

#[test]
fn global_average_pool() {
    let seed = seed();
    let mut cases = Vec::new();
    for (i, c) in CHANNELS.into_iter().cycle().take(5 * CHANNELS.len()).enumerate() {
        let random = &mut Random::new(seed, i as u64 + (8 << 32));
        let shape = Shape { h: random.size(1, 9), w: random.size(1, 9), c };
        let shift = random.size(0, 8) as u8;
        let values: Vec<i16> = random.values(shape.h * shape.w * c, -32768, 32767, i % 5 == 0);
        let expected = ops::global_average_pool(&values, oracle_shape(shape), shift);
        cases.push((i, shape, shift, values.into_boxed_slice(), expected));
    }
    on_every_set("global average pool", |kernels| {
        for (i, shape, shift, values, expected) in &cases {
            let mut output = Guarded::new(shape.c, 0x5555, 0x1234);
            kernels
                .global_average_pool(*shape, *shift, values, output.part())
                .expect("a sound call");
            let output = output.checked("pool");
            assert_eq!(
                &output,
                expected,
                "{} BITAT_SEED={seed}, case {i}, {shape:?}",
                kernels.isa()
            );
        }
        cases.len()
    });
}
