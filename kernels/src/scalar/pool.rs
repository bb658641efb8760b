//! Mean over all pixels, channel by channel.

use super::positive;
use crate::generic::PoolJob;

/// `floor((2·sum + n) / 2n)`: the mean, halves rounded up. In 32 bits where that
/// is enough: a small CPU has no instruction for a longer division. `None` for no
/// number of elements.
pub(super) fn rdiv(sum: i64, n: i64) -> Option<i64> {
    let sum = sum + n / 2;
    match (i32::try_from(sum), i32::try_from(n)) {
        (Ok(sum), Ok(n)) => sum.checked_div_euclid(n).map(i64::from),
        _ => sum.checked_div_euclid(n),
    }
}

/// The whole operation.
pub(super) fn run(job: PoolJob<'_>) -> Option<()> {
    let channels = positive(job.shape.c)?;
    let pixels = (job.shape.h * job.shape.w) as i64;
    for (channel, mean) in job.output.iter_mut().enumerate() {
        let mut sum = 0i32;
        for &value in job.input.get(channel..)?.iter().step_by(channels) {
            sum = sum.wrapping_add(value.into());
        }
        let mean_of = rdiv(i64::from(sum) << job.shift, pixels)?;
        *mean = mean_of.clamp(i16::MIN.into(), i16::MAX.into()) as i16;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::rdiv;

    #[test]
    fn means_round_as_those_of_the_other_sets() {
        for n in [1, 2, 3, 4, 7, 9, 49, 65535, 1 << 31, (1 << 32) - 1] {
            for sum in (-1000..1000).chain((-9..9).map(|i| i * (1 << 28) + 5)) {
                let other = crate::generic::pool::rdiv(sum, n);
                assert_eq!(rdiv(sum, n), Some(other), "{sum} / {n}");
            }
        }
    }
}
