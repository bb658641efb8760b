//! Exact means over a few channels, in 16 bits.

use super::cut;
use super::epilogue::At;
use super::lanes::{Lanes, load16_padded};

/// A mean over so many channels, at most [`MEAN_TERMS`], `step` from one to the
/// next; and its constants.
#[derive(Clone, Copy)]
pub(crate) struct Mean<L: Lanes<N>, const N: usize> {
    terms: usize,
    step: usize,
    /// 2^15 / r, rounded.
    factor: L::I16,
    r: L::I16,
    least: L::I16,
    reciprocal: L::I16,
}

/// As many as [`Mean::of`] is exact for.
pub(crate) const MEAN_TERMS: usize = 7;

/// As many as [`Mean::of_fours`] is exact for.
#[cfg(any(test, target_arch = "x86_64", target_arch = "aarch64"))]
pub(crate) const FOURS_TERMS: usize = 6;

/// The mean over some of a shortcut's `from` channels that all channels at `at`,
/// of fewer `channels`, have in common, if it is the same number for all of them
/// and not too large.
#[inline(always)]
pub(crate) fn mean_terms(from: usize, channels: usize, at: At) -> Option<usize> {
    if from <= channels {
        return None;
    }
    let terms = |channel: usize| (from - channel).div_ceil(cut::divisor(channels));
    let count = terms(at.channel);
    (count == terms(at.channel + at.count - 1) && count <= MEAN_TERMS).then_some(count)
}

impl<L: Lanes<N>, const N: usize> Mean<L, N> {
    /// Divides, so once for many pixels.
    #[inline(always)]
    pub(crate) fn new(lanes: L, terms: usize, step: usize) -> Self {
        let terms = cut::divisor(terms);
        let factor = ((1 << 15) + terms / 2) / terms;
        let least = terms + 2 * terms * terms;
        Mean {
            terms,
            step,
            factor: lanes.splat16(factor as i16),
            r: lanes.splat16(terms as i16),
            least: lanes.splat16(least as i16),
            reciprocal: lanes.splat16(1024usize.div_ceil(terms) as i16),
        }
    }

    /// Of `self` in the lanes where `mask` is −1, of `other` elsewhere; both over several.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(crate) fn or(self, lanes: L, mask: L::I16, other: Self) -> Self {
        Mean {
            factor: lanes.select16(mask, self.factor, other.factor),
            r: lanes.select16(mask, self.r, other.r),
            least: lanes.select16(mask, self.least, other.least),
            reciprocal: lanes.select16(mask, self.reciprocal, other.reciprocal),
            ..self
        }
    }

    /// `rdiv(Σ x, r)` over the r channels `0, step, 2·step, …` of a pixel, for 16
    /// of them; all in 16 bits that wrap.
    ///
    /// First q ≈ Σ x/r: every term is off by less than 1 (1/2 for the factor, 1/2
    /// for rounding), so the rest Σ x − r·q is within ±r². What is left is
    /// rdiv(rest, r) = ⌊u / 2r⌋ − r with u = 2·rest + r + 2r² from r to 4r² + r:
    /// a multiplication by ⌈2^10 / r⌉, which fits 16 bits, and a shift by 11.
    /// Rounding that factor up adds too little to reach the next integer, at
    /// most 0.99/2r (r = 7); a test goes through every u.
    #[inline(always)]
    pub(crate) fn of(&self, lanes: L, pixel: &[i16]) -> L::I16 {
        let sum = load16_padded(lanes, pixel);
        if self.terms == 1 {
            return sum;
        }
        let mut so_far = self.first(lanes, sum);
        for term in 1..self.terms {
            let x = load16_padded(lanes, cut::part(pixel, term * self.step..));
            so_far = self.with(lanes, so_far, x);
        }
        self.rounded(lanes, so_far)
    }

    /// Σ x and q of the first of several terms.
    #[inline(always)]
    pub(crate) fn first(&self, lanes: L, x: L::I16) -> [L::I16; 2] {
        [x, lanes.mulr16(x, self.factor)]
    }

    /// The same with another term.
    #[inline(always)]
    pub(crate) fn with(&self, lanes: L, [sum, q]: [L::I16; 2], x: L::I16) -> [L::I16; 2] {
        [lanes.add16(sum, x), lanes.add16(q, lanes.mulr16(x, self.factor))]
    }

    /// The mean.
    #[inline(always)]
    pub(crate) fn rounded(&self, lanes: L, [sum, q]: [L::I16; 2]) -> L::I16 {
        self.rounded_from(lanes, [sum, q], self.least)
    }

    /// ⌊(Σ x + t) / r⌋, where `least` is 2·(t + r²), and t is r/2 for the mean.
    #[inline(always)]
    fn rounded_from(&self, lanes: L, [sum, q]: [L::I16; 2], least: L::I16) -> L::I16 {
        let Mean { r, reciprocal, .. } = *self;
        let rest = lanes.sub16(sum, lanes.mul16(q, r));
        let u = lanes.add16(lanes.add16(rest, rest), least);
        let quotient = lanes.sub16(q, r);
        lanes.add16(quotient, lanes.shr16(lanes.mul16(u, reciprocal), 11))
    }

    /// `rdiv(Σ x, 4·r)` over the same r channels, at most [`FOURS_TERMS`], of two pixels
    /// and of those below them, `pixel` apart.
    ///
    /// With [`fours`] of each channel, Σ x is 4·Σ q + Σ lost, and so the mean is
    /// ⌊(Σ q + t) / r⌋ with t = ⌊(Σ lost + 2·r) / 4⌋, at most 7/2·r.
    #[cfg(any(test, target_arch = "x86_64", target_arch = "aarch64"))]
    #[inline(always)]
    pub(crate) fn of_fours(&self, lanes: L, lines: [&[i16]; 2], pixel: usize) -> L::I16 {
        if self.terms == 1 {
            return mean_of_four(lanes, lines, 0, pixel);
        }
        let [quarters, mut lost] = fours(lanes, lines, 0, pixel);
        let mut so_far = self.first(lanes, quarters);
        for term in 1..self.terms {
            let [quarters, more] = fours(lanes, lines, term * self.step, pixel);
            so_far = self.with(lanes, so_far, quarters);
            lost = lanes.add16(lost, more);
        }
        let Mean { r, least, .. } = *self;
        let t = lanes.shr16(lanes.add16(lost, lanes.add16(r, r)), 2);
        let least = lanes.add16(lanes.sub16(least, r), lanes.add16(t, t));
        self.rounded_from(lanes, so_far, least)
    }
}

/// Of four 16-bit values the sum of the quarters, rounded down, and what that lost, 0 to
/// 12: the difference of two sums that both wrap. They are those from `from` on in two
/// pixels, and in those below them, `pixel` apart.
#[inline(always)]
fn fours<L: Lanes<N>, const N: usize>(
    lanes: L,
    [upper, lower]: [&[i16]; 2],
    from: usize,
    pixel: usize,
) -> [L::I16; 2] {
    let a = load16_padded(lanes, cut::part(upper, from..));
    let b = load16_padded(lanes, cut::part(upper, from + pixel..));
    let c = load16_padded(lanes, cut::part(lower, from..));
    let d = load16_padded(lanes, cut::part(lower, from + pixel..));
    let sum = lanes.add16(lanes.add16(a, b), lanes.add16(c, d));
    let quarters = lanes.add16(
        lanes.add16(lanes.shr16(a, 2), lanes.shr16(b, 2)),
        lanes.add16(lanes.shr16(c, 2), lanes.shr16(d, 2)),
    );
    [quarters, lanes.sub16(sum, lanes.shl16(quarters, 2))]
}

/// `rdiv(a + b + c + d, 4)` of the same, exact in 16 bits.
#[inline(always)]
pub(super) fn mean_of_four<L: Lanes<N>, const N: usize>(
    lanes: L,
    lines: [&[i16]; 2],
    from: usize,
    pixel: usize,
) -> L::I16 {
    let [quarters, lost] = fours(lanes, lines, from, pixel);
    lanes.add16(quarters, lanes.shr16(lanes.add16(lost, lanes.splat16(2)), 2))
}

#[cfg(test)]
mod tests {
    use super::{FOURS_TERMS, MEAN_TERMS, Mean};
    use crate::generic::lanes::LANES;
    use crate::generic::pool::rdiv;
    use crate::portable::Portable;

    #[test]
    fn means_over_channels_are_exact() {
        for terms in 1..=MEAN_TERMS {
            for u in terms..=4 * terms * terms + terms {
                let product = i16::try_from(u * 1024usize.div_ceil(terms)).expect("fits 16 bits");
                assert_eq!(product as usize >> 11, u / (2 * terms), "{u} of {terms} terms");
            }
            let ends =
                [i16::MIN, i16::MIN + 1, -12345, -1, 0, 1, 77, 23456, i16::MAX - 1, i16::MAX];
            for first in ends {
                for others in ends {
                    for last in -200..200i16 {
                        let mut pixel = [others; LANES * MEAN_TERMS];
                        pixel[..LANES].fill(first);
                        pixel[LANES * (terms - 1)..].fill(others.saturating_add(last));
                        let sum: i64 = (0..terms).map(|term| i64::from(pixel[term * LANES])).sum();
                        let found = Mean::new(Portable, terms, LANES).of(Portable, &pixel);
                        assert_eq!(
                            i64::from(found[0]),
                            rdiv(sum, terms as i64),
                            "{terms} terms: {first}, {others}, {last}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn means_over_four_pixels_and_channels_are_exact() {
        const PIXEL: usize = LANES * FOURS_TERMS;
        for terms in 1..=FOURS_TERMS {
            for u in 0..=4 * terms * terms + 7 * terms {
                let product = i16::try_from(u * 1024usize.div_ceil(terms)).expect("fits 16 bits");
                assert_eq!(product as usize >> 11, u / (2 * terms), "{u} of {terms} terms");
            }
            let ends =
                [i16::MIN, i16::MIN + 3, -12345, -2, 0, 1, 77, 23454, i16::MAX - 1, i16::MAX];
            for first in ends {
                for others in ends {
                    for last in -100..100i16 {
                        let mut pixels = [[others; 2 * PIXEL]; 2];
                        pixels[0][..LANES].fill(first);
                        pixels[1][PIXEL + LANES * (terms - 1)..].fill(others.saturating_add(last));
                        let channels = || (0..terms).map(|term| term * LANES);
                        let sum: i64 = pixels
                            .iter()
                            .flat_map(|line| channels().map(|at| [line[at], line[PIXEL + at]]))
                            .flatten()
                            .map(i64::from)
                            .sum();
                        let lines = [&pixels[0][..], &pixels[1][..]];
                        let mean = Mean::new(Portable, terms, LANES);
                        let found = mean.of_fours(Portable, lines, PIXEL);
                        assert_eq!(
                            i64::from(found[0]),
                            rdiv(sum, 4 * terms as i64),
                            "{terms} terms: {first}, {others}, {last}"
                        );
                    }
                }
            }
        }
    }
}
