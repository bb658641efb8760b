//! Seeded augmentation of one picture.

use crate::random::Random;

/// What may be done to a training picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Augment {
    /// Mirror left and right with probability 1/2.
    pub flip: bool,
    /// Shift by up to this many pixels in each direction; what comes in from
    /// outside is the per-channel zero. The same as padding by `shift` and cropping.
    pub shift: usize,
    /// Put the per-channel zero into a square with sides of this many pixels
    /// whose centre is any pixel; what lies outside the picture is cut off
    /// (DeVries and Taylor, 2017: *Cutout*).
    pub erase: usize,
}

impl Augment {
    /// True if pictures are left as they are.
    pub fn is_none(&self) -> bool {
        *self == Augment::default()
    }

    /// Augments `from` (`height · width · zero.len()` bytes, channels last)
    /// into `to`. How much it draws from `random` depends on `self` alone.
    pub(crate) fn apply(
        &self,
        random: &mut Random,
        from: &[u8],
        to: &mut [u8],
        width: usize,
        zero: &[u8],
    ) {
        let channels = zero.len();
        let height = from.len() / (width * channels);
        let flip = random.below(2) == 1 && self.flip;
        let mut offset = || random.below(2 * self.shift + 1) as isize - self.shift as isize;
        let (down, right) = (offset(), offset());
        let source = |to: usize, shift: isize, size: usize| {
            to.checked_add_signed(-shift).filter(|&from| from < size)
        };
        for (y, line) in to.chunks_exact_mut(width * channels).enumerate() {
            let row = source(y, down, height).map(|y| &from[y * width * channels..]);
            for (x, pixel) in line.chunks_exact_mut(channels).enumerate() {
                let x = if flip { width - 1 - x } else { x };
                match (row, source(x, right, width)) {
                    (Some(row), Some(x)) => pixel.copy_from_slice(&row[x * channels..][..channels]),
                    _ => pixel.copy_from_slice(zero),
                }
            }
        }
        if self.erase > 0 {
            let mut range = |size: usize| {
                let start = random.below(size) as isize - (self.erase / 2) as isize;
                let end = start.saturating_add_unsigned(self.erase).max(0) as usize;
                start.max(0) as usize..end.min(size)
            };
            let (rows, columns) = (range(height), range(width));
            for line in to.chunks_exact_mut(width * channels).take(rows.end).skip(rows.start) {
                for pixel in line.chunks_exact_mut(channels).take(columns.end).skip(columns.start) {
                    pixel.copy_from_slice(zero);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Every outcome of a 1-pixel shift with flip, built by hand.
    #[test]
    fn all_shifts_and_flips_occur_and_nothing_else() {
        let (h, w, c) = (3, 2, 2);
        let from: Vec<u8> = (1..=12).collect();
        let zero = [100, 200];
        let mut possible = BTreeSet::new();
        for flip in [false, true] {
            for (down, right) in (-1..=1).flat_map(|d| (-1..=1).map(move |r| (d, r))) {
                let mut want = Vec::new();
                for y in 0..h {
                    for x in 0..w {
                        let column = if flip { w - 1 - x } else { x };
                        let (sy, sx) = (y - down, column - right);
                        for channel in 0..c {
                            let inside = (0..h).contains(&sy) && (0..w).contains(&sx);
                            let at = ((sy * w + sx) * c + channel) as usize;
                            want.push(if inside { from[at] } else { zero[channel as usize] });
                        }
                    }
                }
                possible.insert(want);
            }
        }
        let augment = Augment { flip: true, shift: 1, erase: 0 };
        let mut seen = BTreeSet::new();
        for seed in 0..500 {
            let mut to = vec![0; 12];
            augment.apply(&mut Random::new(&[seed]), &from, &mut to, 2, &zero);
            seen.insert(to);
        }
        assert_eq!(seen, possible);
    }

    /// Squares of 2 around each pixel, the first ones cut off, built by hand.
    #[test]
    fn every_square_is_erased_once_per_centre_and_nothing_else() {
        let (h, w) = (3, 4);
        let from: Vec<u8> = (1..=12).collect();
        let mut possible = BTreeSet::new();
        for (top, left) in (-1..h - 1).flat_map(|t| (-1..w - 1).map(move |l| (t, l))) {
            let erased = |at: &i32| {
                (top..top + 2).contains(&(at / w)) && (left..left + 2).contains(&(at % w))
            };
            let want = (0..h * w).map(|at| if erased(&at) { 99 } else { at as u8 + 1 });
            possible.insert(want.collect::<Vec<_>>());
        }
        let augment = Augment { erase: 2, ..Augment::default() };
        let mut seen = BTreeSet::new();
        for seed in 0..500 {
            let mut to = vec![0; 12];
            augment.apply(&mut Random::new(&[seed]), &from, &mut to, 4, &[99]);
            seen.insert(to);
        }
        assert_eq!(seen, possible);

        let mut to = vec![0; 12];
        let all = Augment { erase: 255, ..augment };
        all.apply(&mut Random::new(&[1]), &from, &mut to, 4, &[99]);
        assert_eq!(to, [99; 12], "a square larger than the picture");
    }

    #[test]
    fn none_changes_nothing() {
        let from: Vec<u8> = (0..12).collect();
        for seed in 0..20 {
            let mut to = vec![0; 12];
            Augment::default().apply(&mut Random::new(&[seed]), &from, &mut to, 4, &[9]);
            assert_eq!(to, from);
        }
    }
}
