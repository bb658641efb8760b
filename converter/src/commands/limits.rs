//! What this machine could do at most, measured where it is compared.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bitat_kernels::{Arithmetic, Kernels};

/// Times that something is measured: the fastest counts, for others run too.
const TRIES: usize = 60;
/// How long each takes at least.
const TRY: Duration = Duration::from_micros(50);
/// Operations of a round of the clock's chain.
const CHAIN: u64 = 1000;

/// The limits of one thread.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Cycles per microsecond.
    pub(super) clock: f64,
    /// 1-bit multiply-accumulates per cycle.
    pub(super) binary: f64,
    /// 8-bit multiply-accumulates per cycle.
    pub(super) int8: f64,
}

impl Limits {
    /// Measures them, in a hundredth of a second or two.
    pub(super) fn measure(kernels: Kernels) -> Limits {
        let clock = rate(chain);
        let of = |arithmetic| rate(|rounds| kernels.peak(arithmetic, rounds)) / clock;
        Limits { clock, binary: of(Arithmetic::Binary), int8: of(Arithmetic::Int8) }
    }

    /// Multiply-accumulates per cycle with weights of so many bits.
    pub(super) fn of_bits(&self, bits: u8) -> f64 {
        if bits == 1 { self.binary } else { self.int8 }
    }

    /// Microseconds that one thread needs for so many of them at least.
    pub(super) fn least_us(&self, bits: u8, mac: u64) -> f64 {
        mac as f64 / self.of_bits(bits) / self.clock
    }
}

/// Cycles that `rounds` rounds take: additions that wait for an exclusive or,
/// which waits for the addition before, a cycle each on any processor.
fn chain(rounds: u64) -> u64 {
    let (a, b) = black_box((0x9e37_79b9_7f4a_7c15_u64, 0x5851_f42d_4c95_7f2d));
    let mut x = black_box(1u64);
    for _ in 0..rounds * CHAIN / 2 {
        x = x.wrapping_add(a) ^ b;
    }
    black_box(x);
    rounds * CHAIN
}

/// How many per microsecond, of what `work` returns the number of; it is told
/// how many rounds of it to do.
fn rate(work: impl Fn(u64) -> u64) -> f64 {
    let time = |rounds| {
        let start = Instant::now();
        let done = work(rounds);
        (done as f64, start.elapsed())
    };
    let mut rounds = 1;
    while time(rounds).1 < TRY {
        rounds *= 2;
    }
    let tries = (0..TRIES).map(|_| time(rounds));
    tries.map(|(done, took)| done / took.as_secs_f64() / 1e6).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use bitat_kernels::Isa;

    use super::*;
    use crate::packed::available;

    #[test]
    fn limits_are_those_of_a_processor() {
        for kernels in available() {
            let limits = Limits::measure(kernels);
            let Limits { clock, binary, int8 } = limits;
            assert!((100.0..10_000.0).contains(&clock), "{limits:?}: MHz");
            // No register has 4,096 bits.
            assert!(int8 > 0.05 && binary > 0.05 && binary < 4096.0, "{limits:?}");
            // Bits are cheaper than bytes; the kernels for microcontrollers, which
            // multiply more than one byte a cycle only here, are left out.
            if kernels.isa() != Isa::Scalar {
                assert!(binary > 2.0 * int8, "{}: {limits:?}", kernels.isa());
            }
            let us = limits.least_us(1, 1_000_000) * binary * clock;
            assert!((us - 1e6).abs() < 1.0, "{us}");
        }
    }
}
