//! The vector every epilogue works on: 16 channels, whatever the registers, or
//! 32 where a register holds so many and they are there.
//!
//! An implementor is a zero-sized proof that the CPU has an instruction set; it
//! can only be made where that is known. All methods mean the same integers on
//! every set.

use super::cut;

/// Channels in a vector of [`Lanes`], unless said otherwise.
pub(crate) const LANES: usize = 16;

/// Channels in the widest vectors.
#[cfg(target_arch = "x86_64")]
pub(crate) const WIDE: usize = 32;

/// A piece of work that becomes a function of its own, see [`Outline`].
pub(crate) trait Work {
    /// Does it. Implementations are `#[inline(always)]`.
    fn run(self);
}

/// Compiling a piece of work with an instruction set's instructions, apart from
/// its caller: loops that do not share a function do not compete for registers.
pub(crate) trait Outline: Copy {
    /// Calls [`Work::run`].
    fn outline(self, work: impl Work);
}

/// N lanes of `i16` and of `i32`; N is 16 or 32.
pub(crate) trait Lanes<const N: usize = LANES>: Outline {
    /// N lanes of 16 bits, in channel order.
    type I16: Copy;
    /// N lanes of 32 bits, in an order of the implementor's own choosing:
    /// only [`Lanes::load32`] and [`Lanes::store32`] say which lane is which.
    type I32: Copy;

    /// All lanes the same.
    fn splat16(self, value: i16) -> Self::I16;
    /// From memory of any alignment.
    fn load16(self, from: &[i16; N]) -> Self::I16;
    /// To memory of any alignment.
    fn store16(self, value: Self::I16, to: &mut [i16; N]);
    /// Fewer than N, and zeros.
    #[inline(always)]
    fn load16_some(self, from: &[i16]) -> Self::I16 {
        self.load16(&completed(from))
    }
    /// As native `i16`, to bytes of any alignment.
    fn store16_bytes(self, value: Self::I16, to: &mut [[u8; 2]; N]);
    /// Bytes, zero-extended.
    fn load_u8(self, from: &[u8; N]) -> Self::I16;
    /// Bytes, sign-extended.
    fn load_i8(self, from: &[i8; N]) -> Self::I16;
    /// Lane `i` is −1 where bit `i` is set, else 0.
    fn mask16(self, bits: u32) -> Self::I16;
    /// `a` in the lanes where `mask` is −1, `b` where it is 0.
    fn select16(self, mask: Self::I16, a: Self::I16, b: Self::I16) -> Self::I16;
    /// Wrapping.
    fn add16(self, a: Self::I16, b: Self::I16) -> Self::I16;
    /// Wrapping.
    fn sub16(self, a: Self::I16, b: Self::I16) -> Self::I16;
    /// Saturating.
    fn adds16(self, a: Self::I16, b: Self::I16) -> Self::I16;
    /// Saturating.
    fn subs16(self, a: Self::I16, b: Self::I16) -> Self::I16;
    /// Signed.
    fn min16(self, a: Self::I16, b: Self::I16) -> Self::I16;
    /// Signed.
    fn max16(self, a: Self::I16, b: Self::I16) -> Self::I16;
    /// `a·b`, wrapping.
    fn mul16(self, a: Self::I16, b: Self::I16) -> Self::I16;
    /// `(a·b + 2^14) >> 15`; `b` is not −32768.
    fn mulr16(self, a: Self::I16, b: Self::I16) -> Self::I16;
    /// `a << count` that wraps; `count` 0..=15.
    fn shl16(self, a: Self::I16, count: u32) -> Self::I16;
    /// `a >> count`, the sign extended; `count` 0..=15.
    fn shr16(self, a: Self::I16, count: u32) -> Self::I16;
    /// `a << count` that saturates; `count` 0..=15.
    fn shls16(self, a: Self::I16, count: u32) -> Self::I16;
    /// Bit `i` is `a < b` in lane `i`.
    fn less16(self, a: Self::I16, b: Self::I16) -> u32;

    /// All lanes 0.
    fn zero32(self) -> Self::I32;
    /// From memory of any alignment.
    fn load32(self, from: &[i32; N]) -> Self::I32;
    /// To memory of any alignment.
    fn store32(self, value: Self::I32, to: &mut [i32; N]);
    /// Sign-extended.
    fn widen16(self, a: Self::I16) -> Self::I32;
    /// Saturated to 16 bits.
    fn saturate32(self, a: Self::I32) -> Self::I16;
    /// Wrapping.
    fn add32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// `a << count` that wraps; `count` 0..=15.
    fn shl32(self, a: Self::I32, count: u32) -> Self::I32;
    /// `(a + 2^(count−1)) >> count`, the sum wrapping; `count` 1..=16.
    fn rshr32(self, a: Self::I32, count: u32) -> Self::I32;
    /// Bit `i` is `a < b` in lane `i`.
    fn less32(self, a: Self::I32, b: Self::I32) -> u32;

    /// `a · 2^shift`, rounded (right) or wrapping (left), saturated to 16 bits;
    /// `shift` −16..=15.
    #[inline(always)]
    fn shift_to_16(self, a: Self::I32, shift: i8) -> Self::I16 {
        self.saturate32(if shift < 0 {
            self.rshr32(a, u32::from(shift.unsigned_abs()))
        } else {
            self.shl32(a, shift as u32)
        })
    }

    /// `a` where it is not negative, else `mulr(a, slope)`: the larger of the two, since
    /// a slope is below 1. (`mulr(a, slope) − a` is at most 0 for positive `a` and at least
    /// 0 for negative.)
    #[inline(always)]
    fn leaky16(self, a: Self::I16, slope: Self::I16) -> Self::I16 {
        self.max16(a, self.mulr16(a, slope))
    }

    /// `clamp(rshr(a, count), −128, 127)`; `count` 0..=8. A rounding right
    /// shift by r ≥ 1 is a rounding multiplication by 2^(15−r).
    #[inline(always)]
    fn narrow16(self, a: Self::I16, narrow: Narrow<Self, N>) -> Self::I16 {
        let shifted = self.shift16(a, narrow);
        self.max16(self.min16(shifted, narrow.most), narrow.least)
    }

    /// [`Lanes::narrow16`] without the clamp.
    #[inline(always)]
    fn shift16(self, a: Self::I16, narrow: Narrow<Self, N>) -> Self::I16 {
        match narrow.factor {
            Some(factor) => self.mulr16(a, factor),
            None => a,
        }
    }

    /// The constants of [`Lanes::narrow16`].
    #[inline(always)]
    fn narrow_by(self, count: u8) -> Narrow<Self, N> {
        Narrow {
            factor: (count > 0).then(|| self.splat16(1 << (15 - count))),
            least: self.splat16(-128),
            most: self.splat16(127),
        }
    }
}

/// Constants of [`Lanes::narrow16`].
#[derive(Clone, Copy)]
pub(crate) struct Narrow<L: Lanes<N>, const N: usize = LANES> {
    factor: Option<L::I16>,
    least: L::I16,
    most: L::I16,
}

/// The N elements at the start of `from`; what is missing reads as 0.
#[inline(always)]
pub(crate) fn padded<T: Copy + Default, const N: usize>(from: &[T]) -> [T; N] {
    match from.first_chunk() {
        Some(whole) => *whole,
        None => completed(from),
    }
}

/// Fewer than N elements, and zeros.
#[cold]
#[inline(never)]
fn completed<T: Copy + Default, const N: usize>(from: &[T]) -> [T; N] {
    let mut buffer = [T::default(); N];
    cut::put(&mut buffer, from);
    buffer
}

/// [`Lanes::load16`] that reads 0 past the end of the slice.
#[inline(always)]
pub(crate) fn load16_padded<L: Lanes<N>, const N: usize>(lanes: L, from: &[i16]) -> L::I16 {
    match from.first_chunk() {
        Some(whole) => lanes.load16(whole),
        None => lanes.load16_some(from),
    }
}

/// [`Lanes::load32`] that reads 0 past the end of the slice.
#[inline(always)]
pub(crate) fn load32_padded<L: Lanes<N>, const N: usize>(lanes: L, from: &[i32]) -> L::I32 {
    match from.first_chunk() {
        Some(whole) => lanes.load32(whole),
        None => lanes.load32(&completed(from)),
    }
}

/// Stores as many lanes as the slice has elements, 16 at most.
#[inline(always)]
pub(crate) fn store16_clipped<L: Lanes<N>, const N: usize>(
    lanes: L,
    value: L::I16,
    to: &mut [i16],
) {
    match to.first_chunk_mut() {
        Some(whole) => lanes.store16(value, whole),
        None => {
            let mut buffer = [0; N];
            lanes.store16(value, &mut buffer);
            cut::put(to, cut::part(&buffer, ..to.len()));
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_prelu_is_the_larger_of_two() {
        let mulr = |a: i16, b: i16| ((i32::from(a) * i32::from(b) + (1 << 14)) >> 15) as i16;
        let slopes = (-32767..=32767).step_by(257).chain([-1, 0, 1, 32766]);
        for slope in slopes {
            for a in i16::MIN..=i16::MAX {
                let scaled = mulr(a, slope);
                assert_eq!(if a < 0 { scaled } else { a }, a.max(scaled), "{a}, {slope}");
            }
        }
    }
}
