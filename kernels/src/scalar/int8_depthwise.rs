//! 8-bit depthwise convolution of a stream.

use super::depthwise::{self, Source};
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
    fn pixel(&self, pixel: usize, channel: usize) -> Option<i32> {
        let value = self.values.get(pixel * self.channels + channel)?;
        Some(narrow(*value, self.narrow))
    }
    #[inline(always)]
    fn pixels(&self, first: usize, channel: usize, to: &mut [i16]) -> Option<()> {
        let pixels = pixels(self.values, self.channels, first, to.len())?;
        for (to, pixel) in to.iter_mut().zip(pixels) {
            *to = narrow(*pixel.get(channel)?, self.narrow) as i16;
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
