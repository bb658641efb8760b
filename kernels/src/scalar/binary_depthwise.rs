//! Depthwise convolution of ±1 by ±1: bits become numbers as they are read.

use super::depthwise::{self, Source, TAPS};
use super::pixels;
use crate::generic::BinaryJob;
use crate::layout::pixel_bytes;
use crate::types::Padding;

struct Signs<'a> {
    /// Bytes per pixel.
    pixel: usize,
    bits: &'a [u8],
    weights: &'a [u8],
    padding: Padding,
}

/// The sign of a channel in its byte.
#[inline(always)]
fn sign(byte: u8, channel: usize) -> i32 {
    1 - 2 * i32::from(byte >> (channel % 8) & 1)
}

impl Signs<'_> {
    #[inline(always)]
    fn sign(&self, bits: &[u8], pixel: usize, channel: usize) -> Option<i32> {
        let byte = bits.get(pixel * self.pixel + channel / 8)?;
        Some(sign(*byte, channel))
    }
}

impl Source for Signs<'_> {
    #[inline(always)]
    fn weight(&self, tap: usize, channel: usize) -> Option<i32> {
        self.sign(self.weights, tap, channel)
    }
    #[inline(always)]
    fn weights(&self, channel: usize) -> Option<[i32; TAPS * TAPS]> {
        let mut found = [0; TAPS * TAPS];
        for (found, tap) in found.iter_mut().zip(pixels(self.weights, self.pixel, 0, TAPS * TAPS)?)
        {
            *found = sign(*tap.get(channel / 8)?, channel);
        }
        Some(found)
    }
    #[inline(always)]
    fn pixel(&self, pixel: usize, channel: usize) -> Option<i32> {
        self.sign(self.bits, pixel, channel)
    }
    #[inline(always)]
    fn pixels(&self, first: usize, channel: usize, to: &mut [i16]) -> Option<()> {
        let pixels = pixels(self.bits, self.pixel, first, to.len())?;
        for (to, pixel) in to.iter_mut().zip(pixels) {
            *to = sign(*pixel.get(channel / 8)?, channel) as i16;
        }
        Some(())
    }
    #[inline(always)]
    fn outside(&self) -> i32 {
        match self.padding {
            Padding::Zero => 0,
            Padding::One => 1,
        }
    }
}

/// The whole operation.
pub(super) fn run(job: BinaryJob<'_>) -> Option<()> {
    let BinaryJob { conv, padding, input: bits, weights, rows, epilogue, .. } = job;
    let source = Signs { pixel: pixel_bytes(conv.input.c), bits, weights, padding };
    depthwise::run(&source, &conv, rows, epilogue)
}
