//! 16 lanes in two registers of `i16`, and in four of `i32`, all in channel
//! order.

use core::arch::aarch64::*;

use super::Neon;
use super::memory::{vld1q_s8, vld1q_s16, vld1q_s32, vld1q_u8, vst1q_s16, vst1q_s32, vst1q_u8};
use crate::generic::lanes::{LANES, Lanes};

type I16 = [int16x8_t; 2];
type I32 = [int32x4_t; 4];

/// Bit `i` is the lowest bit of lane `i`; every lane is 0 or all ones.
///
/// Not by `addp` of a register with itself, which the compiler takes for three other
/// instructions.
#[inline]
#[target_feature(enable = "neon")]
fn bits_of(masks: [uint16x8_t; 2]) -> u32 {
    let low = vmovl_u8(vcreate_u8(0x8040_2010_0804_0201));
    let high = vshlq_n_u16::<8>(low);
    let bits = vorrq_u16(vandq_u16(masks[0], low), vandq_u16(masks[1], high));
    // Eight lanes of different bits add up to 16 bits.
    vaddvq_u16(bits).into()
}

impl Lanes for Neon {
    type I16 = I16;
    type I32 = I32;

    #[inline(always)]
    fn splat16(self, value: i16) -> I16 {
        // SAFETY: the target has NEON.
        unsafe { [vdupq_n_s16(value); 2] }
    }
    #[inline(always)]
    fn load16(self, from: &[i16; LANES]) -> I16 {
        // SAFETY: the target has NEON; the array is the two times 16 bytes read.
        unsafe {
            let from = from.as_ptr();
            [vld1q_s16(from), vld1q_s16(from.add(8))]
        }
    }
    #[inline(always)]
    fn store16(self, value: I16, to: &mut [i16; LANES]) {
        // SAFETY: the target has NEON; the array is the two times 16 bytes written.
        unsafe {
            let to = to.as_mut_ptr();
            vst1q_s16(to, value[0]);
            vst1q_s16(to.add(8), value[1]);
        }
    }
    #[inline(always)]
    fn store16_bytes(self, value: I16, to: &mut [[u8; 2]; LANES]) {
        // SAFETY: the target has NEON; the array is the two times 16 bytes written.
        unsafe {
            let to: *mut u8 = to.as_mut_ptr().cast();
            vst1q_u8(to, vreinterpretq_u8_s16(value[0]));
            vst1q_u8(to.add(16), vreinterpretq_u8_s16(value[1]));
        }
    }
    #[inline(always)]
    fn load_u8(self, from: &[u8; LANES]) -> I16 {
        // SAFETY: the target has NEON; the array is the 16 bytes read.
        unsafe {
            let bytes = vld1q_u8(from.as_ptr());
            [
                vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(bytes))),
                vreinterpretq_s16_u16(vmovl_high_u8(bytes)),
            ]
        }
    }
    #[inline(always)]
    fn load_i8(self, from: &[i8; LANES]) -> I16 {
        // SAFETY: the target has NEON; the array is the 16 bytes read.
        unsafe {
            let bytes = vld1q_s8(from.as_ptr());
            [vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes)]
        }
    }
    #[inline(always)]
    fn mask16(self, bits: u32) -> I16 {
        // SAFETY: the target has NEON.
        unsafe {
            // A byte's bits in rising order, in as many lanes.
            let each = vmovl_u8(vcreate_u8(0x8040_2010_0804_0201));
            let low = vtstq_u16(vdupq_n_u16(bits as u16 & 0xFF), each);
            let high = vtstq_u16(vdupq_n_u16(bits as u16 >> 8), each);
            [vreinterpretq_s16_u16(low), vreinterpretq_s16_u16(high)]
        }
    }
    #[inline(always)]
    fn select16(self, mask: I16, a: I16, b: I16) -> I16 {
        // SAFETY: the target has NEON.
        unsafe {
            [
                vbslq_s16(vreinterpretq_u16_s16(mask[0]), a[0], b[0]),
                vbslq_s16(vreinterpretq_u16_s16(mask[1]), a[1], b[1]),
            ]
        }
    }
    #[inline(always)]
    fn add16(self, a: I16, b: I16) -> I16 {
        // SAFETY: the target has NEON.
        unsafe { [vaddq_s16(a[0], b[0]), vaddq_s16(a[1], b[1])] }
    }
    #[inline(always)]
    fn sub16(self, a: I16, b: I16) -> I16 {
        // SAFETY: the target has NEON.
        unsafe { [vsubq_s16(a[0], b[0]), vsubq_s16(a[1], b[1])] }
    }
    #[inline(always)]
    fn adds16(self, a: I16, b: I16) -> I16 {
        // SAFETY: the target has NEON.
        unsafe { [vqaddq_s16(a[0], b[0]), vqaddq_s16(a[1], b[1])] }
    }
    #[inline(always)]
    fn subs16(self, a: I16, b: I16) -> I16 {
        // SAFETY: the target has NEON.
        unsafe { [vqsubq_s16(a[0], b[0]), vqsubq_s16(a[1], b[1])] }
    }
    #[inline(always)]
    fn min16(self, a: I16, b: I16) -> I16 {
        // SAFETY: the target has NEON.
        unsafe { [vminq_s16(a[0], b[0]), vminq_s16(a[1], b[1])] }
    }
    #[inline(always)]
    fn max16(self, a: I16, b: I16) -> I16 {
        // SAFETY: the target has NEON.
        unsafe { [vmaxq_s16(a[0], b[0]), vmaxq_s16(a[1], b[1])] }
    }
    #[inline(always)]
    fn mul16(self, a: I16, b: I16) -> I16 {
        // SAFETY: the target has NEON.
        unsafe { [vmulq_s16(a[0], b[0]), vmulq_s16(a[1], b[1])] }
    }
    #[inline(always)]
    fn mulr16(self, a: I16, b: I16) -> I16 {
        // SAFETY: the target has NEON.
        unsafe { [vqrdmulhq_s16(a[0], b[0]), vqrdmulhq_s16(a[1], b[1])] }
    }
    #[inline(always)]
    fn shl16(self, a: I16, count: u32) -> I16 {
        // SAFETY: the target has NEON.
        unsafe {
            let count = vdupq_n_s16(count as i16);
            [vshlq_s16(a[0], count), vshlq_s16(a[1], count)]
        }
    }
    #[inline(always)]
    fn shr16(self, a: I16, count: u32) -> I16 {
        // SAFETY: the target has NEON.
        unsafe {
            let count = vdupq_n_s16(-(count as i16));
            [vshlq_s16(a[0], count), vshlq_s16(a[1], count)]
        }
    }
    #[inline(always)]
    fn shls16(self, a: I16, count: u32) -> I16 {
        // SAFETY: the target has NEON.
        unsafe {
            let count = vdupq_n_s16(count as i16);
            [vqshlq_s16(a[0], count), vqshlq_s16(a[1], count)]
        }
    }
    #[inline(always)]
    fn less16(self, a: I16, b: I16) -> u32 {
        // SAFETY: the target has NEON.
        unsafe { bits_of([vcltq_s16(a[0], b[0]), vcltq_s16(a[1], b[1])]) }
    }

    #[inline(always)]
    fn zero32(self) -> I32 {
        // SAFETY: the target has NEON.
        unsafe { [vdupq_n_s32(0); 4] }
    }
    #[inline(always)]
    fn load32(self, from: &[i32; LANES]) -> I32 {
        // SAFETY: the target has NEON; the array is the four times 16 bytes read.
        unsafe {
            let from = from.as_ptr();
            [
                vld1q_s32(from),
                vld1q_s32(from.add(4)),
                vld1q_s32(from.add(8)),
                vld1q_s32(from.add(12)),
            ]
        }
    }
    #[inline(always)]
    fn store32(self, value: I32, to: &mut [i32; LANES]) {
        // SAFETY: the target has NEON; the array is the four times 16 bytes written.
        unsafe {
            let to = to.as_mut_ptr();
            vst1q_s32(to, value[0]);
            vst1q_s32(to.add(4), value[1]);
            vst1q_s32(to.add(8), value[2]);
            vst1q_s32(to.add(12), value[3]);
        }
    }
    #[inline(always)]
    fn widen16(self, a: I16) -> I32 {
        // SAFETY: the target has NEON.
        unsafe {
            [
                vmovl_s16(vget_low_s16(a[0])),
                vmovl_high_s16(a[0]),
                vmovl_s16(vget_low_s16(a[1])),
                vmovl_high_s16(a[1]),
            ]
        }
    }
    #[inline(always)]
    fn saturate32(self, a: I32) -> I16 {
        // SAFETY: the target has NEON.
        unsafe {
            [vqmovn_high_s32(vqmovn_s32(a[0]), a[1]), vqmovn_high_s32(vqmovn_s32(a[2]), a[3])]
        }
    }
    #[inline(always)]
    fn add32(self, a: I32, b: I32) -> I32 {
        // SAFETY: the target has NEON.
        unsafe {
            [
                vaddq_s32(a[0], b[0]),
                vaddq_s32(a[1], b[1]),
                vaddq_s32(a[2], b[2]),
                vaddq_s32(a[3], b[3]),
            ]
        }
    }
    #[inline(always)]
    fn shl32(self, a: I32, count: u32) -> I32 {
        // SAFETY: the target has NEON.
        unsafe {
            let count = vdupq_n_s32(count as i32);
            [
                vshlq_s32(a[0], count),
                vshlq_s32(a[1], count),
                vshlq_s32(a[2], count),
                vshlq_s32(a[3], count),
            ]
        }
    }
    #[inline(always)]
    fn rshr32(self, a: I32, count: u32) -> I32 {
        // SAFETY: the target has NEON.
        unsafe {
            // The sum wraps, which that of the rounding shift does not.
            let a = self.add32(a, [vdupq_n_s32(1 << (count - 1)); 4]);
            // A negative count shifts right.
            let count = vdupq_n_s32(-(count as i32));
            [
                vshlq_s32(a[0], count),
                vshlq_s32(a[1], count),
                vshlq_s32(a[2], count),
                vshlq_s32(a[3], count),
            ]
        }
    }
    #[inline(always)]
    fn less32(self, a: I32, b: I32) -> u32 {
        // SAFETY: the target has NEON.
        unsafe {
            let less = [
                vuzp1q_u16(
                    vreinterpretq_u16_u32(vcltq_s32(a[0], b[0])),
                    vreinterpretq_u16_u32(vcltq_s32(a[1], b[1])),
                ),
                vuzp1q_u16(
                    vreinterpretq_u16_u32(vcltq_s32(a[2], b[2])),
                    vreinterpretq_u16_u32(vcltq_s32(a[3], b[3])),
                ),
            ];
            bits_of(less)
        }
    }
}
