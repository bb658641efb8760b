//! The one source of randomness: small, seeded, the same on every machine.

/// A SplitMix64 generator (Steele, Lea, Flood, 2014): 64 bits of state, good
/// enough to shuffle and to augment, and cheap to start anew for every picture.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator that depends on every one of `keys` and on their order.
    pub fn new(keys: &[u64]) -> Random {
        let mut state = 0x243F_6A88_85A3_08D3;
        for &key in keys {
            state = mix(state ^ key).wrapping_add(0x9E37_79B9_7F4A_7C15);
        }
        Random(state)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A number in `0..bound`. The bias of the multiply-shift method is below
    /// `bound / 2^64`.
    ///
    /// # Panics
    /// If `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        assert!(bound > 0, "an empty range has no members");
        ((u128::from(self.bits()) * bound as u128) >> 64) as usize
    }

    /// Shuffles in place (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A 64-bit hash of bytes (FNV-1a, then mixed), stable for ever: the hold-out
/// split depends on it.
pub fn hash(bytes: &[u8]) -> u64 {
    let mut state = 0xCBF2_9CE4_8422_2325;
    for &byte in bytes {
        state = (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
    }
    mix(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Changing the generator would silently change every seeded run.
    #[test]
    fn the_sequence_is_fixed() {
        let mut random = Random::new(&[1, 2, 3]);
        let drawn: Vec<usize> = (0..8).map(|_| random.below(100)).collect();
        assert_eq!(drawn, GOLDEN_DRAWS);
        assert_eq!(hash(b"bitat"), GOLDEN_HASH);
    }

    const GOLDEN_DRAWS: [usize; 8] = [69, 11, 87, 34, 75, 14, 71, 52];
    const GOLDEN_HASH: u64 = 6_239_386_300_287_789_499;

    #[test]
    fn keys_and_their_order_matter() {
        let draw = |keys: &[u64]| Random::new(keys).bits();
        assert_ne!(draw(&[1, 2]), draw(&[2, 1]));
        assert_ne!(draw(&[0]), draw(&[0, 0]));
        assert_ne!(draw(&[]), draw(&[0]));
    }

    #[test]
    fn a_shuffle_is_a_permutation() {
        for n in [0, 1, 2, 3, 100] {
            let mut items: Vec<usize> = (0..n).collect();
            Random::new(&[7]).shuffle(&mut items);
            assert!(n < 50 || items.iter().enumerate().any(|(i, &x)| i != x));
            items.sort_unstable();
            assert_eq!(items, (0..n).collect::<Vec<_>>());
        }
    }

    #[test]
    fn draws_cover_their_range() {
        let mut random = Random::new(&[9]);
        let mut seen = [0; 5];
        for _ in 0..5000 {
            seen[random.below(5)] += 1;
        }
        assert!(seen.iter().all(|&n| (850..1150).contains(&n)), "{seen:?}");
    }
}
