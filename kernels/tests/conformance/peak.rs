//! The loop that measures the machine's limit does what it says it did.

use std::time::Instant;

use bitat_kernels::Arithmetic;

use crate::sets::on_every_set;

/// Work that the compiler takes out of the loop would take no time, and more of
/// it no more.
#[test]
fn twice_the_rounds_take_twice_the_time() {
    on_every_set("peak", |kernels| {
        for arithmetic in [Arithmetic::Binary, Arithmetic::Int8] {
            let once = kernels.peak(arithmetic, 1);
            assert!(once > 0 && once.is_multiple_of(64), "{once}");
            assert_eq!(kernels.peak(arithmetic, 0), 0);
            // The fastest of many: others may run too.
            let nanoseconds = |rounds| {
                let times = (0..50).map(|_| {
                    let start = Instant::now();
                    assert_eq!(kernels.peak(arithmetic, rounds), rounds * once);
                    start.elapsed().as_nanos() as f64
                });
                times.fold(f64::INFINITY, f64::min)
            };
            let rounds = 1 + 4_000_000 / once;
            let (less, more) = (nanoseconds(rounds), nanoseconds(2 * rounds));
            assert!((1.6..2.5).contains(&(more / less)), "{arithmetic:?}: {less} ns, {more} ns");
            // No machine does more in a nanosecond.
            let macs = (rounds * once) as f64;
            assert!(macs / less < 10_000.0, "{arithmetic:?}: {macs} in {less} ns");
        }
        2
    });
}
