//! The shift of 16-bit accumulators, the first step of the epilogue.

use super::lanes::Lanes;

/// What a left shift of accumulators can do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// It cannot saturate.
    Within,
    /// By one bit less it cannot: a bound that is a power of two, as that of most
    /// layers, is shifted to 2^15 at most.
    Twice,
    /// Anything.
    Beyond,
}

/// The shift of 16-bit accumulators.
#[derive(Clone, Copy)]
pub(crate) struct Shift16 {
    pub(super) shift: i8,
    pub(super) reach: Reach,
}

impl Shift16 {
    /// By how much to the left, and whether then to double and saturate; `None`
    /// if that does not do.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(super) fn doubled(self) -> Option<(u32, bool)> {
        match (self.reach, self.shift) {
            (Reach::Within, 0..) => Some((self.shift as u32, false)),
            (Reach::Twice, 1..) => Some((self.shift as u32 - 1, true)),
            _ => None,
        }
    }

    #[inline(always)]
    pub(super) fn apply<L: Lanes<N>, const N: usize>(self, lanes: L, value: L::I16) -> L::I16 {
        let Shift16 { shift, reach } = self;
        if shift < 0 {
            // A right shift by 16 rounds everything to 0.
            lanes.mulr16(value, lanes.splat16(if shift == -16 { 0 } else { 1 << (15 + shift) }))
        } else if reach == Reach::Within {
            lanes.shl16(value, shift as u32)
        } else if reach == Reach::Twice && shift > 0 {
            let half = lanes.shl16(value, shift as u32 - 1);
            lanes.adds16(half, half)
        } else {
            lanes.shls16(value, shift as u32)
        }
    }
}
