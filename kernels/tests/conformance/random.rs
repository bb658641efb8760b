//! Seeded inputs.

/// SplitMix64 (Steele, Lea and Flood, 2014): small, and the same everywhere.
pub(crate) struct Random(u64);

/// The seed of the whole run: `BITAT_SEED`, or a fixed one.
pub(crate) fn seed() -> u64 {
    match std::env::var("BITAT_SEED") {
        Ok(text) => text.parse().expect("BITAT_SEED is a number"),
        Err(_) => 20_240_607,
    }
}

/// One in so many cases is computed: `BITAT_EVERY`, for emulators, which take a hundred
/// times as long; or all.
pub(crate) fn every() -> usize {
    match std::env::var("BITAT_EVERY") {
        Ok(text) => text.parse().expect("BITAT_EVERY is a number"),
        Err(_) => 1,
    }
}

impl Random {
    /// A stream of its own for each case.
    pub(crate) fn new(seed: u64, case: u64) -> Random {
        Random(seed ^ case.wrapping_mul(0xD6E8_FEB8_6659_FD93))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// `low..=high`.
    pub(crate) fn between(&mut self, low: i64, high: i64) -> i64 {
        low + (self.next() % (high - low + 1) as u64) as i64
    }

    /// `low..=high`.
    pub(crate) fn size(&mut self, low: usize, high: usize) -> usize {
        self.between(low as i64, high as i64) as usize
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.size(0, from.len() - 1)]
    }

    pub(crate) fn chance(&mut self, one_in: u64) -> bool {
        self.next().is_multiple_of(one_in)
    }

    pub(crate) fn signs(&mut self, count: usize) -> Vec<i8> {
        (0..count).map(|_| if self.chance(2) { -1 } else { 1 }).collect()
    }

    /// Values of a range, or nothing but its ends.
    pub(crate) fn values<T: TryFrom<i64>>(
        &mut self,
        count: usize,
        low: i64,
        high: i64,
        extreme: bool,
    ) -> Vec<T> {
        let mut one = || match extreme {
            true => self.pick(&[low, high]),
            false => self.between(low, high),
        };
        (0..count).map(|_| T::try_from(one()).ok().expect("a range of the type")).collect()
    }
}
