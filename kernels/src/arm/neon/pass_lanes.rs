//! What passes ask of vectors beside `lanes.rs`.

use core::arch::aarch64::*;

use super::Neon;
use super::memory::{vld1q_s16, vst1q_s16};
use crate::generic::int8_conv::Dot;
use crate::generic::lanes::Lanes;
use crate::passes::lanes::{NONE, PassLanes};

impl PassLanes for Neon {
    /// Negative, so that it is to the right.
    type Shift = int32x4_t;
    /// Negative too.
    type Narrow = int16x8_t;
    type Taken = int16x8_t;
    /// One instruction shifts either way.
    const RIGHT: bool = false;

    #[inline(always)]
    fn shift(self, count: u32) -> int32x4_t {
        // SAFETY: the target has NEON.
        unsafe { vdupq_n_s32(-(count as i32)) }
    }
    #[inline(always)]
    fn start(self, _: int32x4_t) -> [int32x4_t; 4] {
        self.zero32()
    }
    #[inline(always)]
    fn shifted(self, [a, b, c, d]: [int32x4_t; 4], count: int32x4_t) -> [int16x8_t; 2] {
        // SAFETY: the target has NEON.
        self.saturate32(unsafe {
            [vrshlq_s32(a, count), vrshlq_s32(b, count), vrshlq_s32(c, count), vrshlq_s32(d, count)]
        })
    }
    #[inline(always)]
    fn narrow(self, count: u8) -> int16x8_t {
        // SAFETY: the target has NEON.
        unsafe { vdupq_n_s16(-i16::from(count)) }
    }
    #[inline(always)]
    fn taken(self, shift: i8) -> int16x8_t {
        // SAFETY: the target has NEON.
        unsafe { vdupq_n_s16(shift.into()) }
    }
    #[inline(always)]
    fn take<const KIND: u8>(self, &taken: &int16x8_t, x: [int16x8_t; 2]) -> [int16x8_t; 2] {
        match KIND {
            NONE => x,
            // SAFETY: the target has NEON.
            _ => unsafe { [vqrshlq_s16(x[0], taken), vqrshlq_s16(x[1], taken)] },
        }
    }
    #[inline(always)]
    unsafe fn load<const HALF: bool>(self, from: *const i16) -> [int16x8_t; 2] {
        // SAFETY: of this function; the target has NEON.
        unsafe {
            match HALF {
                true => [vld1q_s16(from), vdupq_n_s16(0)],
                false => [vld1q_s16(from), vld1q_s16(from.add(8))],
            }
        }
    }
    #[inline(always)]
    unsafe fn store<const HALF: bool>(self, [low, high]: [int16x8_t; 2], to: *mut i16) {
        // SAFETY: of this function; the target has NEON.
        unsafe {
            vst1q_s16(to, low);
            if !HALF {
                vst1q_s16(to.add(8), high);
            }
        }
    }
    #[inline(always)]
    fn twice(self, [low, _]: [int16x8_t; 2]) -> [int16x8_t; 2] {
        [low; 2]
    }
    #[inline(always)]
    unsafe fn store_apart(self, [low, high]: [int16x8_t; 2], first: *mut i16, second: *mut i16) {
        // SAFETY: of this function; the target has NEON.
        unsafe {
            vst1q_s16(first, low);
            vst1q_s16(second, high);
        }
    }
    #[inline(always)]
    fn minus32(self, a: [int32x4_t; 4], b: [int32x4_t; 4]) -> [int32x4_t; 4] {
        Dot::difference(self, a, b)
    }
    #[inline(always)]
    fn mean_of_four(self, [a, b, c, d]: [[int16x8_t; 2]; 4]) -> [int16x8_t; 2] {
        // SAFETY: the target has NEON.
        unsafe { [mean_of_four(a[0], b[0], c[0], d[0]), mean_of_four(a[1], b[1], c[1], d[1])] }
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn mean_of_four(a: int16x8_t, b: int16x8_t, c: int16x8_t, d: int16x8_t) -> int16x8_t {
    let low = vaddq_s32(
        vaddl_s16(vget_low_s16(a), vget_low_s16(b)),
        vaddl_s16(vget_low_s16(c), vget_low_s16(d)),
    );
    let high = vaddq_s32(vaddl_high_s16(a, b), vaddl_high_s16(c, d));
    vrshrn_high_n_s32::<2>(vrshrn_n_s32::<2>(low), high)
}
