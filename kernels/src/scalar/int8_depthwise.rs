//! 8-bit depthwise convolution of a stream.

use super::depthwise::{self, Source};
use super::narrow;
use crate::generic::Int8DepthwiseJob;

struct Stream<'a> {
    channels: usize,
    values: &'a [i16],
    narrow: u8,
    weights: &'a [i8],
}

impl Source for Stream<'_> {
    #[inline(always)]
    fn weight(&self, tap: usize, channel: usize) -> i32 {
        self.weights[tap * self.channels + channel].into()
    }
    #[inline(always)]
    fn pixel(&self, pixel: usize, channel: usize) -> i32 {
        narrow(self.values[pixel * self.channels + channel], self.narrow)
    }
    #[inline(always)]
    fn outside(&self) -> i32 {
        0
    }
}

/// The whole operation.
pub(super) fn run(job: Int8DepthwiseJob<'_>) {
    let Int8DepthwiseJob { conv, input: values, narrow, weights, rows, epilogue } = job;
    let source = Stream { channels: conv.input.c, values, narrow, weights };
    depthwise::run(&source, &conv, rows, epilogue);
}
