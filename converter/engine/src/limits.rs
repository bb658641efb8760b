//! What this machine can do at most, to compare a pass with: measured with the
//! trainer's own instruction set, on all threads of the current pool at once.

use crate::buffer::Buffer;
use crate::ops::sweep::map;
use crate::simd::{lanes, vectorised};
use std::time::{Duration, Instant};

/// Independent sums: more than a multiply-add takes cycles, twice over, and few enough
/// for 16 registers.
const SUMS: usize = 12;

/// How often a measurement is taken; the best counts.
const ROUNDS: usize = 7;

vectorised! {
    fn multiply_add[s](count: usize, out: &mut [f32]) {
        let (x, y) = (s.splat_f32s(0.5), s.splat_f32s(out[0]));
        let mut sums = [y; SUMS];
        for _ in 0..count {
            for sum in &mut sums {
                *sum = s.mul_add_e_f32s(*sum, x, y);
            }
        }
        for sum in sums {
            s.partial_store_f32s(out, sum);
        }
    }

    fn copy[s](from: &[f32], to: &mut [f32]) {
        map(s, [from], to, [], #[inline(always)] |[x], []| x);
    }
}

/// Multiply-adds of f32 per second, operands in registers.
pub fn multiply_adds_per_second() -> f64 {
    let count = 200_000;
    let time = slowest(|| || multiply_add(count, &mut [1.0; 64]));
    (count * SUMS * lanes() * rayon::current_num_threads()) as f64 / time.as_secs_f64()
}

/// Bytes per second, read and written ones added up, of copying back and forth within
/// `bytes` bytes, each thread in its share of them.
pub fn copied_bytes_per_second(bytes: usize) -> f64 {
    let threads = rayon::current_num_threads();
    let len = (bytes / threads / 8).max(1024);
    // Some hundred microseconds at least, for waking the threads not to count.
    let turns = (1 << 23) / len + 1;
    let turn = || {
        let [mut a, mut b] = [0, 1].map(|_| Buffer::zeros(len));
        move || {
            for _ in 0..turns {
                copy(&a, &mut b);
                copy(&b, &mut a);
            }
        }
    };
    let time = slowest(turn);
    (turns * 2 * 8 * len * threads) as f64 / time.as_secs_f64()
}

/// All threads do what `make` makes for them, again and again: the best time of the
/// thread whose best is longest.
fn slowest<F: FnMut()>(make: impl Fn() -> F + Sync) -> Duration {
    let times = rayon::broadcast(|_| {
        let mut work = make();
        // The first turn brings the memory in.
        let time = |_| {
            let start = Instant::now();
            work();
            start.elapsed()
        };
        (0..=ROUNDS).map(time).min()
    });
    times.into_iter().flatten().max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_positive_and_finite() {
        for limit in [multiply_adds_per_second(), copied_bytes_per_second(1 << 16)] {
            assert!(limit > 1e6 && limit.is_finite(), "{limit}");
        }
    }
}
