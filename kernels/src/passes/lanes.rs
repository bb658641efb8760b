//! What passes ask of vectors beside [`Lanes`]: shifts that are made ready once for a layer,
//! and loads and stores without a length.

// Fixed loops over indices are unrolled into registers; iterators over the same
// arrays often are not.
#![allow(clippy::needless_range_loop)]

use crate::generic::epilogue::Parameters;
use crate::generic::lanes::Lanes;

/// 16 channels, as passes handle them.
pub(crate) trait PassLanes: Lanes {
    /// A right shift of sums.
    type Shift: Copy;
    /// A right shift of the input.
    type Narrow: Copy;
    /// A shift of the shortcut, in one direction or none.
    type Taken: Copy;
    /// Whether a shift of the shortcut to the right is worth code of its own.
    const RIGHT: bool;
    /// Least shift of the input.
    const LEAST: u8 = 0;

    /// By `count`, 0..=16.
    fn shift(self, count: u32) -> Self::Shift;
    /// What sums start at, so that [`PassLanes::shifted`] rounds.
    fn start(self, shift: Self::Shift) -> Self::I32;
    /// Sums that started so, shifted, rounded, and saturated to 16 bits.
    fn shifted(self, sums: Self::I32, shift: Self::Shift) -> Self::I16;
    /// By `count`, [`PassLanes::LEAST`]..=8.
    fn narrow(self, count: u8) -> Self::Narrow;
    /// To the left by `shift`, −15..=15, rounded or saturated.
    fn taken(self, shift: i8) -> Self::Taken;
    /// Shifts, as KIND says: [`NONE`], [`RIGHT`] or [`ANY`].
    fn take<const KIND: u8>(self, taken: &Self::Taken, x: Self::I16) -> Self::I16;
    /// 16 channels, or with HALF 8 and zeros.
    ///
    /// # Safety
    /// They are there.
    unsafe fn load<const HALF: bool>(self, from: *const i16) -> Self::I16;
    /// All 16, or with HALF the first 8.
    ///
    /// # Safety
    /// They have a place there.
    unsafe fn store<const HALF: bool>(self, value: Self::I16, to: *mut i16);
    /// The first 8 lanes, in place of the others too.
    fn twice(self, value: Self::I16) -> Self::I16;
    /// The first 8 lanes to one place, the others to another.
    ///
    /// # Safety
    /// Either have a place there.
    unsafe fn store_apart(self, value: Self::I16, first: *mut i16, second: *mut i16);
    /// Bit `i` of each is `a < b` in lane `i`.
    #[inline(always)]
    fn less_each<const M: usize>(self, a: [Self::I16; M], b: [Self::I16; M]) -> [u32; M] {
        let mut below = [0; M];
        for i in 0..M {
            below[i] = self.less16(a[i], b[i]);
        }
        below
    }
    /// `a − b`, wrapping.
    fn minus32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// `rdiv(a + b + c + d, 4)`.
    fn mean_of_four(self, x: [Self::I16; 4]) -> Self::I16;
}

impl<L: PassLanes> Parameters<L> {
    /// Those of the first 8 channels, in place of the others too, but for what accumulators
    /// in 32 bits need.
    #[inline(always)]
    pub(crate) fn twice(self, lanes: L) -> Parameters<L> {
        let mut found = self;
        found.multiplier = lanes.twice(self.multiplier);
        found.bias = lanes.twice(self.bias);
        found.before = lanes.twice(self.before);
        found.slope = lanes.twice(self.slope);
        found.after = lanes.twice(self.after);
        found.sign = lanes.twice(self.sign);
        found
    }
}

/// KIND of a shift of the shortcut: by 0.
pub(crate) const NONE: u8 = 0;
/// To the right.
pub(crate) const RIGHT: u8 = 1;
/// All that there are.
pub(crate) const ANY: u8 = 2;
