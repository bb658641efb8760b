//! 128 channels in a register of bits. `bsl`, which picks bits from two
//! registers by a third, makes the carry and the comparison cheap.

use core::arch::aarch64::*;
use core::arch::asm;

use super::Neon;
use super::memory::{vld1q_u8, vst1q_u8};
use crate::generic::binary_depthwise::Bits;
use crate::generic::cut;

impl Bits for Neon {
    type V = uint8x16_t;
    const BYTES: usize = 16;

    #[inline(always)]
    fn load(self, from: &[u8]) -> uint8x16_t {
        let from: &[u8; 16] = cut::first(from);
        // SAFETY: the target has NEON; the array is the 16 bytes read.
        unsafe { vld1q_u8(from.as_ptr()) }
    }
    #[inline(always)]
    fn store(self, value: uint8x16_t, to: &mut [u8]) {
        let Some(to) = cut::part_mut(to, ..16).first_chunk_mut::<16>() else { return };
        // SAFETY: the target has NEON; the array is the 16 bytes written.
        unsafe { vst1q_u8(to.as_mut_ptr(), value) }
    }
    #[inline(always)]
    fn zeros(self) -> uint8x16_t {
        // SAFETY: the target has NEON.
        unsafe { vdupq_n_u8(0) }
    }
    #[inline(always)]
    fn ones(self) -> uint8x16_t {
        // SAFETY: the target has NEON.
        unsafe { vdupq_n_u8(0xFF) }
    }
    #[inline(always)]
    fn xor(self, a: uint8x16_t, b: uint8x16_t) -> uint8x16_t {
        // SAFETY: the target has NEON.
        unsafe { veorq_u8(a, b) }
    }
    #[inline(always)]
    fn and(self, a: uint8x16_t, b: uint8x16_t) -> uint8x16_t {
        // SAFETY: the target has NEON.
        unsafe { vandq_u8(a, b) }
    }
    #[inline(always)]
    fn sum(self, a: uint8x16_t, b: uint8x16_t, c: uint8x16_t) -> uint8x16_t {
        self.xor(self.xor(a, b), c)
    }
    #[inline(always)]
    fn carry(self, a: uint8x16_t, b: uint8x16_t, c: uint8x16_t) -> uint8x16_t {
        // Where a and b differ, c decides; elsewhere either of them.
        select(self.xor(a, b), c, a)
    }
    #[inline(always)]
    fn greater(self, a: uint8x16_t, b: uint8x16_t, so_far: uint8x16_t) -> uint8x16_t {
        // Where they differ, a is the answer.
        select(self.xor(a, b), a, so_far)
    }
}

/// Bits of `a` where `mask` is set, of `b` elsewhere. Of the intrinsic, with a
/// mask that is an exclusive or, the compiler makes three instructions.
#[inline(always)]
fn select(mask: uint8x16_t, a: uint8x16_t, b: uint8x16_t) -> uint8x16_t {
    let mut selected = mask;
    // SAFETY: the target has NEON; one instruction on registers alone.
    unsafe {
        asm!(
            "bsl {selected:v}.16b, {a:v}.16b, {b:v}.16b",
            selected = inlateout(vreg) selected,
            a = in(vreg) a,
            b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    selected
}
