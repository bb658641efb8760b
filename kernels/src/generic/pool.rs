//! Mean over all pixels: 16 channels at a time down the pixels, then one
//! rounded division per channel. Cost: 1 load, 1 widening and 1 add per 16
//! elements; every element is read once.

use super::lanes::{LANES, Lanes, load16_padded};
use super::{PoolJob, cut};

/// `floor((2·sum + n) / 2n)`: the mean, halves rounded up.
pub(crate) fn rdiv(sum: i64, n: i64) -> i64 {
    (2 * sum + n).div_euclid(cut::divisor(2 * n))
}

/// The whole operation.
#[inline(always)]
pub(crate) fn run<L: Lanes>(lanes: L, job: PoolJob<'_>) {
    let channels = job.shape.c;
    let pixels = job.shape.h * job.shape.w;
    for (group, output) in job.output.chunks_mut(LANES).enumerate() {
        let mut sum = lanes.zero32();
        for pixel in 0..pixels {
            let values =
                load16_padded(lanes, cut::part(job.input, pixel * channels + group * LANES..));
            sum = lanes.add32(sum, lanes.widen16(values));
        }
        let mut sums = [0; LANES];
        lanes.store32(sum, &mut sums);
        for (mean, sum) in output.iter_mut().zip(sums) {
            let mean_of = rdiv(i64::from(sum) << job.shift, pixels as i64);
            *mean = mean_of.clamp(i16::MIN.into(), i16::MAX.into()) as i16;
        }
    }
}
