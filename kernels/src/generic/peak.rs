//! What an instruction set could do if nothing had to be loaded: the kernels'
//! own innermost operations on operands that stay in registers.
//!
//! A step is what a kernel does for one row of weights and P pixels: P binary
//! [`Popcount::count`]s or P [`Dot::dot`]s. The compiler is not told that a
//! step's weights are those of the step before ([`PeakBits`]), so no product can be
//! taken out of the loop, nor what they add up to be left out: it passes through
//! [`black_box`]. P is as many pixels as leave every operand in a register.

use core::hint::black_box;

use super::binary_conv::Popcount;
use super::binary_counter::STEPS_PER_BYTE;
use super::int8_conv::Dot;
use crate::layout::{INT8_GROUP, INT8_LANES};

/// Input channels in a byte of a pixel.
const CHANNELS: usize = 8;
/// Steps of 8-bit products in a round.
const INT8_STEPS: usize = 1024;

/// Keeping a value from the compiler without taking it out of its registers.
pub(crate) trait PeakBits: Popcount {
    /// The same.
    fn veiled_bits(self, weights: Self::Weights) -> Self::Weights;
}

/// As [`PeakBits`].
pub(crate) trait PeakBytes: Dot {
    /// The same.
    fn veiled_bytes(self, weights: Self::Weights) -> Self::Weights;
}

/// `rounds` times as many steps as byte counters hold; the number of
/// multiply-accumulates done.
#[inline(always)]
pub(crate) fn binary<S: PeakBits, const P: usize>(isa: S, rounds: u64) -> u64 {
    let rows = [0x5A; 64];
    let mut weights = Popcount::weights(isa, &rows[..S::VECTOR]);
    let mut inputs = [isa.input(0); P];
    for (input, byte) in inputs.iter_mut().zip(1..) {
        *input = isa.input(byte);
    }
    for _ in 0..rounds {
        let mut counts = [Popcount::zero(isa); P];
        for _ in 0..STEPS_PER_BYTE {
            weights = isa.veiled_bits(weights);
            for (counts, &input) in counts.iter_mut().zip(&inputs) {
                *counts = isa.count(*counts, weights, input);
            }
        }
        black_box(counts);
    }
    rounds * (STEPS_PER_BYTE * P * S::VECTOR * CHANNELS) as u64
}

/// As [`binary`], of 8-bit products.
#[inline(always)]
pub(crate) fn int8<S: PeakBytes, const P: usize>(isa: S, rounds: u64) -> u64 {
    let mut weights = Dot::weights(isa, &[3; INT8_LANES * INT8_GROUP]);
    let mut inputs = [[0; 2 * INT8_GROUP]; P];
    for (input, byte) in inputs.iter_mut().zip(1..) {
        *input = [byte; 2 * INT8_GROUP];
    }
    for _ in 0..rounds {
        let mut sums = [Dot::zero(isa); P];
        for _ in 0..INT8_STEPS {
            weights = isa.veiled_bytes(weights);
            for (sum, input) in sums.iter_mut().zip(&inputs) {
                *sum = isa.dot(*sum, weights, &input[..INT8_GROUP * S::BYTES]);
            }
        }
        black_box(sums);
    }
    rounds * (INT8_STEPS * P * INT8_LANES * INT8_GROUP) as u64
}
