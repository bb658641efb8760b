//! The shift of 16-bit accumulators, the first step of the epilogue.

use super::lanes::Lanes;

/// Multiplies by a power of two.
#[derive(Clone, Copy)]
pub(crate) struct Shift16 {
    shift: i8,
    /// If it is to the left.
    left: Left,
}

/// What a shift to the left takes.
#[derive(Clone, Copy)]
enum Left {
    /// No accumulator saturates.
    Exact,
    /// None does one bit before: the bound of most layers is a power of two, and is
    /// shifted to 2^15.
    Doubled,
    /// Any may.
    Saturating,
}

impl Shift16 {
    /// Of accumulators of at most this magnitude; `shift` −16..=15.
    pub(super) fn new(shift: i8, bound: usize) -> Shift16 {
        let left = match bound << shift.max(0) {
            0..0x8000 => Left::Exact,
            0x8000..0x1_0000 if shift > 0 => Left::Doubled,
            _ => Left::Saturating,
        };
        Shift16 { shift, left }
    }

    /// See [`Shift16::new`].
    #[inline(always)]
    pub(super) fn count(self) -> i8 {
        self.shift
    }

    /// By how much to the left, and whether then to double and saturate; `None`
    /// if that does not do.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(super) fn doubled(self) -> Option<(u32, bool)> {
        match (self.left, self.shift) {
            (Left::Exact, left @ 0..) => Some((left as u32, false)),
            (Left::Doubled, left @ 1..) => Some((left as u32 - 1, true)),
            _ => None,
        }
    }

    #[inline(always)]
    pub(super) fn apply<L: Lanes<N>, const N: usize>(self, lanes: L, value: L::I16) -> L::I16 {
        let Shift16 { shift, left } = self;
        if shift < 0 {
            // A right shift by 16 rounds everything to 0.
            lanes.mulr16(value, lanes.splat16(if shift == -16 { 0 } else { 1 << (15 + shift) }))
        } else {
            match left {
                Left::Exact => lanes.shl16(value, shift as u32),
                Left::Doubled => {
                    let half = lanes.shl16(value, shift as u32 - 1);
                    lanes.adds16(half, half)
                }
                Left::Saturating => lanes.shls16(value, shift as u32),
            }
        }
    }
}
