//! Shifts of the passes: what does not change from output to output is asked once.

use core::arch::x86_64::*;

use super::Avx2;
use crate::generic::lanes::Lanes;
use crate::passes::lanes::{NONE, RIGHT};

/// A left shift that saturates: its last bit is a saturating addition, what comes before
/// it a plain shift of what is clamped so that no more than the sign is lost, and so far
/// out that the addition saturates.
#[derive(Clone, Copy)]
pub(super) struct Left {
    least: __m256i,
    most: __m256i,
    /// The shift before the last bit.
    factor: __m256i,
    /// −1 if there is a last bit.
    last: __m256i,
}

impl Left {
    /// By `count`, 0..=15.
    #[inline(always)]
    pub(super) fn new(isa: Avx2, count: u32) -> Left {
        let before = count.saturating_sub(1);
        Left {
            least: isa.splat16(i16::MIN >> before),
            most: isa.splat16(i16::MAX >> before),
            factor: isa.splat16(1 << before),
            last: isa.splat16(-i16::from(count > 0)),
        }
    }

    #[inline(always)]
    pub(super) fn apply(&self, isa: Avx2, x: __m256i) -> __m256i {
        let clamped = isa.max16(isa.min16(x, self.most), self.least);
        let x = isa.mul16(clamped, self.factor);
        // SAFETY: `isa` proves AVX2.
        isa.adds16(x, unsafe { _mm256_and_si256(x, self.last) })
    }
}

/// The shift of a shortcut, in one direction or none.
#[derive(Clone, Copy)]
pub(crate) struct Taken {
    /// To the right, if so: a multiplication that rounds.
    right: __m256i,
    /// −1 if it is to the right.
    any: __m256i,
    left: Left,
}

impl Taken {
    /// To the left by `shift`, −15..=15.
    #[inline(always)]
    pub(super) fn new(isa: Avx2, shift: i8) -> Taken {
        let right = shift.min(0).unsigned_abs();
        Taken {
            right: isa.splat16(1 << (15 - right.max(1))),
            any: isa.splat16(-i16::from(right > 0)),
            left: Left::new(isa, shift.max(0).unsigned_abs().into()),
        }
    }

    #[inline(always)]
    pub(super) fn apply<const KIND: u8>(&self, isa: Avx2, x: __m256i) -> __m256i {
        match KIND {
            NONE => x,
            RIGHT => isa.mulr16(x, self.right),
            _ => {
                let x = isa.select16(self.any, isa.mulr16(x, self.right), x);
                self.left.apply(isa, x)
            }
        }
    }
}
