//! Mean over all pixels, channel by channel.

use crate::generic::PoolJob;

/// `floor((2·sum + n) / 2n)`: the mean, halves rounded up. In 32 bits where that
/// is enough: a small CPU has no instruction for a longer division.
pub(super) fn rdiv(sum: i64, n: i64) -> i64 {
    let sum = sum + n / 2;
    match (i32::try_from(sum), i32::try_from(n)) {
        (Ok(sum), Ok(n)) => sum.div_euclid(n).into(),
        _ => sum.div_euclid(n),
    }
}

/// The whole operation.
pub(super) fn run(job: PoolJob<'_>) {
    let channels = job.shape.c;
    let pixels = (job.shape.h * job.shape.w) as i64;
    for (channel, mean) in job.output.iter_mut().enumerate() {
        let mut sum = 0i32;
        for &value in job.input[channel..].iter().step_by(channels) {
            sum = sum.wrapping_add(value.into());
        }
        let mean_of = rdiv(i64::from(sum) << job.shift, pixels);
        *mean = mean_of.clamp(i16::MIN.into(), i16::MAX.into()) as i16;
    }
}

#[cfg(test)]
mod tests {
    use super::rdiv;

    #[test]
    fn means_round_as_those_of_the_other_sets() {
        for n in [1, 2, 3, 4, 7, 9, 49, 65535, 1 << 31, (1 << 32) - 1] {
            for sum in (-1000..1000).chain((-9..9).map(|i| i * (1 << 28) + 5)) {
                assert_eq!(rdiv(sum, n), crate::generic::pool::rdiv(sum, n), "{sum} / {n}");
            }
        }
    }
}
