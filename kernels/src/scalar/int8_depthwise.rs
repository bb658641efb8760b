//! 8-bit depthwise convolution of a stream.

use super::depthwise::{self, Source, TAPS};
use super::{narrow, pixels};
use crate::generic::Int8DepthwiseJob;

struct Stream<'a> {
    channels: usize,
    values: &'a [i16],
    narrow: u8,
    weights: &'a [i8],
}

impl Source for Stream<'_> {
    #[inline(always)]
    fn weight(&self, tap: usize, channel: usize) -> Option<i32> {
        self.weights.get(tap * self.channels + channel).map(|&weight| weight.into())
    }
    #[inline(always)]
    fn weights(&self, channel: usize) -> Option<[i32; TAPS * TAPS]> {
        let mut found = [0; TAPS * TAPS];
        let taps = pixels(self.weights, self.channels, 0, TAPS * TAPS)?;
        for (found, tap) in found.iter_mut().zip(taps) {
            *found = (*tap.get(channel)?).into();
        }
        Some(found)
    }
    #[inline(always)]
    fn pixel(&self, pixel: usize, channel: usize) -> Option<i32> {
        let value = self.values.get(pixel * self.channels + channel)?;
        Some(narrow(*value, self.narrow))
    }
    #[inline(always)]
    fn pixels(&self, first: usize, channel: usize, to: &mut [i16]) -> Option<()> {
        let values = self.values.get(first * self.channels..)?;
        let (pairs, single) = to.as_chunks_mut();
        let (step, second) = (2 * self.channels, channel + self.channels);
        let count = pairs.len();
        for (to, two) in pairs.iter_mut().zip(pixels(values, step, 0, count)?) {
            let both = [*two.get(channel)?, *two.get(second)?];
            *to = both.map(|value| narrow(value, self.narrow) as i16);
        }
        if let [to] = single {
            *to = narrow(*values.get(count * step + channel)?, self.narrow) as i16;
        }
        Some(())
    }
    #[inline(always)]
    fn outside(&self) -> i32 {
        0
    }
}

/// The whole operation.
pub(super) fn run(job: Int8DepthwiseJob<'_>) -> Option<()> {
    let Int8DepthwiseJob { conv, input: values, narrow, weights, rows, epilogue } = job;
    let source = Stream { channels: conv.input.c, values, narrow, weights };
    depthwise::run(&source, &conv, rows, epilogue)
}
