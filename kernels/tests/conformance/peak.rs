//! The loop that measures the machine's limit does what it says it did.

use std::time::Instant;

use bitat_kernels::Arithmetic;

use crate::sets::on_every_set;

/// Multiply-accumulates per nanosecond that no core reaches: twice three
/// instructions on 512 bits every one and a half cycles at 6 GHz, and twice two
/// on 64 products a cycle.
const BEYOND: [(Arithmetic, f64); 2] = [(Arithmetic::Binary, 4096.0), (Arithmetic::Int8, 1536.0)];

/// A loop that the compiler does away with takes no time at all.
#[test]
fn the_work_takes_its_time() {
    on_every_set("peak", |kernels| {
        for (arithmetic, beyond) in BEYOND {
            let once = kernels.peak(arithmetic, 1);
            assert!(once > 0 && once.is_multiple_of(64), "{once}");
            assert_eq!(kernels.peak(arithmetic, 0), 0);
            let rounds = 1 + 4_000_000 / once;
            let start = Instant::now();
            assert_eq!(kernels.peak(arithmetic, rounds), rounds * once);
            let nanoseconds = start.elapsed().as_nanos() as f64;
            let rate = (rounds * once) as f64 / nanoseconds;
            assert!(rate < beyond, "{arithmetic:?}: {rate} in a nanosecond");
        }
        BEYOND.len()
    });
}
