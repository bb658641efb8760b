//! Eight byte counters in two registers, and four 8-bit sums.

use core::hint::black_box;

use super::binary_conv::{ALL, STEPS_PER_BYTE, popcounts};
use crate::types::Arithmetic;

/// Pixels that are counted together.
const PIXELS: usize = 2;
/// 8-bit sums, and steps of them in a round.
const SUMS: usize = 4;
const INT8_STEPS: usize = 1024;

pub(super) fn peak(arithmetic: Arithmetic, rounds: u64) -> u64 {
    match arithmetic {
        Arithmetic::Binary => binary(rounds),
        Arithmetic::Int8 => int8(rounds),
    }
}

fn binary(rounds: u64) -> u64 {
    let mut weights = [0x5A5A_5A5A_u32, 0xA5A5_A5A5];
    for _ in 0..rounds {
        let mut counts = [[0u32; 2]; PIXELS];
        for _ in 0..STEPS_PER_BYTE {
            weights = black_box(weights);
            for (byte, counts) in (1..).zip(&mut counts) {
                for (count, weights) in counts.iter_mut().zip(weights) {
                    *count += popcounts(weights ^ (byte * ALL));
                }
            }
        }
        black_box(counts);
    }
    rounds * (STEPS_PER_BYTE * PIXELS * 2 * 4 * 8) as u64
}

fn int8(rounds: u64) -> u64 {
    let mut weight = 3i32;
    for _ in 0..rounds {
        let mut sums = [0i32; SUMS];
        for _ in 0..INT8_STEPS {
            weight = black_box(weight);
            for (x, sum) in (1..).zip(&mut sums) {
                *sum = sum.wrapping_add(weight * x);
            }
        }
        black_box(sums);
    }
    rounds * (INT8_STEPS * SUMS) as u64
}
