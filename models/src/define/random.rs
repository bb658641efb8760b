//! Fresh weights, the same on every machine for a seed.

/// Vigna's SplitMix64.
pub(super) struct SplitMix64(u64);

impl SplitMix64 {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Mean 0, variance 1, within ±6: twelve uniforms added up.
    ///
    /// Exact arithmetic only, where logarithm and cosine would differ between
    /// machines in the last bit.
    fn normal(&mut self) -> f64 {
        let sum: u64 = (0..12).map(|_| self.next() >> 32).sum();
        // Each uniform stands for the middle of its step of 2^-32.
        (sum as f64 + 6.0) / 4_294_967_296.0 - 6.0
    }

    /// `len` draws of the given standard deviation.
    pub(super) fn normals(&mut self, len: usize, deviation: f64) -> Vec<f32> {
        (0..len).map(|_| (self.normal() * deviation) as f32).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::SplitMix64;

    #[test]
    fn splitmix_gives_the_published_sequence() {
        let mut random = SplitMix64::new(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn normals_have_the_moments_asked_for() {
        let seed = 7;
        let draws = SplitMix64::new(seed).normals(100_000, 0.5);
        let n = draws.len() as f64;
        let mean = draws.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
        let var = draws.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n;
        // Four standard errors of each estimate.
        assert!(mean.abs() < 4.0 * 0.5 / n.sqrt(), "seed {seed}: mean {mean}");
        assert!((var - 0.25).abs() < 4.0 * 0.25 * (2.0 / n).sqrt(), "seed {seed}: variance {var}");
    }
}
