//! 6 pixels of 8-bit sums, which are two registers each, and the weights in 16 registers;
//! with fewer sums each would wait for the one before it. Bits are AVX2's.

use super::{Avx2Vnni, Fours};
use crate::generic::peak::{self, PeakBytes};
use crate::types::Arithmetic;
use crate::x86::avx2;
use crate::x86::avx2::lanes::veiled;

#[target_feature(enable = "avx2,avxvnni")]
pub(super) fn peak(arithmetic: Arithmetic, rounds: u64) -> u64 {
    match arithmetic {
        Arithmetic::Binary => avx2::peak::peak(arithmetic, rounds),
        Arithmetic::Int8 => peak::int8::<Avx2Vnni, 6>(Avx2Vnni::here(), rounds),
    }
}

impl PeakBytes for Avx2Vnni {
    #[inline(always)]
    fn veiled_bytes(self, [a, b]: Fours) -> Fours {
        // SAFETY: `self` proves AVX2.
        unsafe { [veiled(a), veiled(b)] }
    }
}
