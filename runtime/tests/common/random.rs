//! Repeatable random numbers (SplitMix64).

use std::ops::RangeInclusive;

pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn within(&mut self, range: RangeInclusive<i64>) -> i64 {
        let count = (range.end() - range.start() + 1) as u64;
        range.start() + (self.next() % count) as i64
    }

    pub(crate) fn index(&mut self, length: usize) -> usize {
        (self.next() % length as u64) as usize
    }

    pub(crate) fn pick<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.index(values.len())]
    }

    /// True in `percent` of 100 calls.
    pub(crate) fn chance(&mut self, percent: i64) -> bool {
        self.within(0..=99) < percent
    }

    /// Of −`typical`..=`typical`, with a few values from the rim of `limits`.
    pub(crate) fn spread(&mut self, typical: i64, limits: RangeInclusive<i64>) -> i64 {
        let (low, high) = (*limits.start(), *limits.end());
        match self.within(0..=39) {
            0 => low,
            1 => high,
            2 => 0.clamp(low, high),
            _ => self.within(-typical..=typical).clamp(low, high),
        }
    }
}
