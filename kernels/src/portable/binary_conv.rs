//! Popcount of 8 bytes at once in a 64-bit word: 12 operations per 8 lanes.

use super::Portable;
use crate::generic::binary_conv::Popcount;
use crate::generic::cut;

/// The popcount of every byte (the usual halving: pairs, nibbles, bytes).
#[inline(always)]
fn popcount(word: u64) -> u64 {
    const PAIRS: u64 = 0x5555_5555_5555_5555;
    const NIBBLES: u64 = 0x3333_3333_3333_3333;
    const BYTES: u64 = 0x0F0F_0F0F_0F0F_0F0F;
    let pairs = word - (word >> 1 & PAIRS);
    let nibbles = (pairs & NIBBLES) + (pairs >> 2 & NIBBLES);
    (nibbles + (nibbles >> 4)) & BYTES
}

#[inline(always)]
fn word(from: &[u8]) -> u64 {
    u64::from_le_bytes(*cut::first(from))
}

impl Popcount for Portable {
    type L = Portable;
    type Counts = [u64; 2];
    type Weights = [u64; 2];
    type Input = u64;
    type Full = ();
    const VECTOR: usize = 16;
    const CASES: bool = false;

    #[inline(always)]
    fn lanes(self) -> Portable {
        self
    }
    #[inline(always)]
    fn zero(self) -> [u64; 2] {
        [0; 2]
    }
    #[inline(always)]
    fn weights(self, from: &[u8]) -> [u64; 2] {
        [word(from), word(cut::part(from, 8..))]
    }
    #[inline(always)]
    fn input(self, byte: u8) -> u64 {
        u64::from(byte) * 0x0101_0101_0101_0101
    }
    #[inline(always)]
    fn count(self, counts: [u64; 2], weights: [u64; 2], input: u64) -> [u64; 2] {
        [counts[0] + popcount(weights[0] ^ input), counts[1] + popcount(weights[1] ^ input)]
    }
    #[inline(always)]
    fn widen(self, counts: [u64; 2], _part: usize) -> [i16; 16] {
        let mut result = [0; 16];
        for (lanes, word) in result.chunks_exact_mut(8).zip(counts) {
            for (lane, byte) in lanes.iter_mut().zip(word.to_le_bytes()) {
                *lane = i16::from(byte);
            }
        }
        result
    }
}
