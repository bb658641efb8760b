//! Popcount by `cnt`: xor, count and add, three instructions per 16 lanes and 8
//! input channels.

use core::arch::aarch64::*;

use super::Neon;
use super::memory::vld1q_u8;
use crate::generic::binary_conv::Popcount;
use crate::generic::cut;

impl Popcount for Neon {
    type L = Neon;
    type Counts = uint8x16_t;
    type Weights = uint8x16_t;
    /// The byte in all lanes.
    type Input = uint8x16_t;
    type Full = ();
    const VECTOR: usize = 16;

    #[inline(always)]
    fn lanes(self) -> Neon {
        self
    }
    #[inline(always)]
    fn zero(self) -> uint8x16_t {
        // SAFETY: the target has NEON.
        unsafe { vdupq_n_u8(0) }
    }
    #[inline(always)]
    fn weights(self, from: &[u8]) -> uint8x16_t {
        let from: &[u8; 16] = cut::first(from);
        // SAFETY: the target has NEON; the array is the 16 bytes read.
        unsafe { vld1q_u8(from.as_ptr()) }
    }
    #[inline(always)]
    fn input(self, byte: u8) -> uint8x16_t {
        // SAFETY: the target has NEON.
        unsafe { vdupq_n_u8(byte) }
    }
    #[inline(always)]
    fn count(self, counts: uint8x16_t, weights: uint8x16_t, input: uint8x16_t) -> uint8x16_t {
        // SAFETY: the target has NEON.
        unsafe { vaddq_u8(counts, vcntq_u8(veorq_u8(weights, input))) }
    }
    #[inline(always)]
    fn widen(self, counts: uint8x16_t, _part: usize) -> [int16x8_t; 2] {
        // SAFETY: the target has NEON.
        unsafe {
            [
                vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(counts))),
                vreinterpretq_s16_u16(vmovl_high_u8(counts)),
            ]
        }
    }
}
