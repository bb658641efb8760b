//! 16 lanes as arrays; the compiler finds what registers there are.

use super::Portable;
use crate::generic::lanes::{LANES, Lanes};

type I16 = [i16; LANES];
type I32 = [i32; LANES];

/// Loops, and not the array's own `map`: that is not always inlined.
#[inline(always)]
fn each<A: Copy, B: Copy + Default>(a: [A; LANES], f: impl Fn(A) -> B) -> [B; LANES] {
    let mut result = [B::default(); LANES];
    for i in 0..LANES {
        result[i] = f(a[i]);
    }
    result
}

#[inline(always)]
fn both<T: Copy + Default>(a: [T; LANES], b: [T; LANES], f: impl Fn(T, T) -> T) -> [T; LANES] {
    let mut result = [T::default(); LANES];
    for i in 0..LANES {
        result[i] = f(a[i], b[i]);
    }
    result
}

#[inline(always)]
fn saturate(value: i32) -> i16 {
    value.clamp(i16::MIN.into(), i16::MAX.into()) as i16
}

#[inline(always)]
fn bits(f: impl Fn(usize) -> bool) -> u32 {
    let mut bits = 0;
    for i in 0..LANES {
        bits |= u32::from(f(i)) << i;
    }
    bits
}

impl Lanes for Portable {
    type I16 = I16;
    type I32 = I32;

    #[inline(always)]
    fn splat16(self, value: i16) -> I16 {
        [value; LANES]
    }
    #[inline(always)]
    fn load16(self, from: &I16) -> I16 {
        *from
    }
    #[inline(always)]
    fn store16(self, value: I16, to: &mut I16) {
        *to = value;
    }
    #[inline(always)]
    fn store16_bytes(self, value: I16, to: &mut [[u8; 2]; LANES]) {
        for (two, element) in to.iter_mut().zip(value) {
            *two = element.to_ne_bytes();
        }
    }
    #[inline(always)]
    fn load_u8(self, from: &[u8; LANES]) -> I16 {
        each(*from, i16::from)
    }
    #[inline(always)]
    fn load_i8(self, from: &[i8; LANES]) -> I16 {
        each(*from, i16::from)
    }
    #[inline(always)]
    fn mask16(self, bits: u32) -> I16 {
        let mut result = [0; LANES];
        for (i, lane) in result.iter_mut().enumerate() {
            *lane = -((bits >> i & 1) as i16);
        }
        result
    }
    #[inline(always)]
    fn select16(self, mask: I16, a: I16, b: I16) -> I16 {
        let mut result = b;
        for i in 0..LANES {
            result[i] = (a[i] & mask[i]) | (b[i] & !mask[i]);
        }
        result
    }
    #[inline(always)]
    fn add16(self, a: I16, b: I16) -> I16 {
        both(a, b, i16::wrapping_add)
    }
    #[inline(always)]
    fn sub16(self, a: I16, b: I16) -> I16 {
        both(a, b, i16::wrapping_sub)
    }
    #[inline(always)]
    fn adds16(self, a: I16, b: I16) -> I16 {
        both(a, b, i16::saturating_add)
    }
    #[inline(always)]
    fn subs16(self, a: I16, b: I16) -> I16 {
        both(a, b, i16::saturating_sub)
    }
    #[inline(always)]
    fn min16(self, a: I16, b: I16) -> I16 {
        both(a, b, i16::min)
    }
    #[inline(always)]
    fn max16(self, a: I16, b: I16) -> I16 {
        both(a, b, i16::max)
    }
    #[inline(always)]
    fn mul16(self, a: I16, b: I16) -> I16 {
        both(a, b, i16::wrapping_mul)
    }
    #[inline(always)]
    fn mulr16(self, a: I16, b: I16) -> I16 {
        both(a, b, |a, b| ((i32::from(a) * i32::from(b) + (1 << 14)) >> 15) as i16)
    }
    #[inline(always)]
    fn shl16(self, a: I16, count: u32) -> I16 {
        each(a, |a| a << count)
    }
    #[inline(always)]
    fn shr16(self, a: I16, count: u32) -> I16 {
        each(a, |a| a >> count)
    }
    #[inline(always)]
    fn shls16(self, a: I16, count: u32) -> I16 {
        each(a, |a| saturate(i32::from(a) << count))
    }
    #[inline(always)]
    fn less16(self, a: I16, b: I16) -> u32 {
        bits(|i| a[i] < b[i])
    }

    #[inline(always)]
    fn zero32(self) -> I32 {
        [0; LANES]
    }
    #[inline(always)]
    fn load32(self, from: &I32) -> I32 {
        *from
    }
    #[inline(always)]
    fn store32(self, value: I32, to: &mut I32) {
        *to = value;
    }
    #[inline(always)]
    fn widen16(self, a: I16) -> I32 {
        each(a, i32::from)
    }
    #[inline(always)]
    fn saturate32(self, a: I32) -> I16 {
        each(a, saturate)
    }
    #[inline(always)]
    fn add32(self, a: I32, b: I32) -> I32 {
        both(a, b, i32::wrapping_add)
    }
    #[inline(always)]
    fn shl32(self, a: I32, count: u32) -> I32 {
        each(a, |a| a << count)
    }
    #[inline(always)]
    fn rshr32(self, a: I32, count: u32) -> I32 {
        each(a, |a| a.wrapping_add(1 << (count - 1)) >> count)
    }
    #[inline(always)]
    fn less32(self, a: I32, b: I32) -> u32 {
        bits(|i| a[i] < b[i])
    }
}
