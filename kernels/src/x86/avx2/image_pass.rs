//! 3×3 8-bit convolution of an image of one channel or three, as the first layer of a
//! network is one, from the image to the stores: 32 output channels at a time, or 16.
//!
//! The lines of the image that a row of the output reads are widened to 16 bits, with the
//! padding around them, where they stay for the rows after it. A window's row is then
//! pairs of values that a load spreads over a register; what the last one has too much is
//! multiplied by 0.

// Fixed loops over indices are unrolled into registers; iterators over the same
// arrays often are not.
#![allow(clippy::needless_range_loop)]

use core::arch::x86_64::*;
use core::ops::Range;

use super::Avx2;
use crate::generic::epilogue::{Parameters, Sink};
use crate::generic::int8_conv::Dot;
use crate::generic::lanes::{LANES, Lanes, Outline, Work};
use crate::generic::usual_image::PlainRow;
use crate::generic::{Int8Job, taps_inside};
use crate::layout::{INT8_GROUP, int8_depth};
use crate::types::{Conv, Int8Input};

/// Values of a line with its padding, at most.
const LINE: usize = 2048;

/// Values after a window's last that may be read.
const SLACK: usize = 1;

/// Pixels of a tile.
const TILE: usize = 2;

/// What [`Int8Job::usual_image`] says, if the job is one for [`run`].
#[inline(always)]
pub(super) fn suits(job: &Int8Job<'_>) -> Option<(u32, bool)> {
    let Conv { input, output, .. } = job.conv;
    let fits = output.w >= TILE
        && output.c.is_multiple_of(LANES)
        && columns(&job.conv) * input.c + SLACK <= LINE;
    job.usual_image().filter(|_| fits)
}

/// Columns of a line with its padding.
fn columns(conv: &Conv) -> usize {
    (conv.output.w - 1) * conv.window.stride_w + conv.window.kernel_w
}

/// The whole operation, which [`suits`].
pub(super) fn run(isa: Avx2, job: Int8Job<'_>, (shift, prelu): (u32, bool)) {
    let Int8Job { conv, input, weights, rows, epilogue, .. } = job;
    if let Int8Input::Image { pixels, zero } = input {
        let sink = Sink::new(epilogue, conv.output, &rows, 0);
        isa.outline(Pass { isa, conv, pixels, zero, weights, rows, sink, shift, prelu });
    }
}

/// Some rows of the output.
struct Pass<'a> {
    isa: Avx2,
    conv: Conv,
    pixels: &'a [u8],
    zero: &'a [u8],
    weights: &'a [i8],
    rows: Range<usize>,
    sink: Sink<'a>,
    shift: u32,
    prelu: bool,
}

impl Work for Pass<'_> {
    #[inline(always)]
    fn run(self) {
        match self.conv.input.c {
            1 => self.rows::<3, 2>(),
            _ => self.rows::<9, 5>(),
        }
    }
}

impl Pass<'_> {
    /// For windows of three rows of R values, which are G pairs each.
    #[inline(always)]
    fn rows<const R: usize, const G: usize>(self) {
        let Pass { isa, conv, pixels, zero, weights, rows, mut sink, shift, prelu } = self;
        let (window, input, channels) = (conv.window, conv.input, conv.output.c);
        let mut held = [usize::MAX; 3];
        let values = columns(&conv) * input.c + SLACK;
        // One line more, of what is outside the image.
        let mut lines = [[0; LINE]; 4];
        let [inside @ .., outside] = &mut lines;
        for pixel in outside[..values].chunks_mut(input.c) {
            for (value, &zero) in pixel.iter_mut().zip(zero) {
                *value = zero.into();
            }
        }
        for line in inside {
            line[..values].copy_from_slice(&outside[..values]);
        }
        let outside = 3;
        let start = window.pad_left * input.c;
        let copied = (input.w * input.c).min((values - SLACK).saturating_sub(start));
        for row in rows {
            let inside = taps_inside(row, window.stride_h, window.pad_top, 3, input.h);
            let mut places = [outside; 3];
            for ky in inside {
                let y = row * window.stride_h + ky - window.pad_top;
                places[ky] = y % 3;
                if held[y % 3] != y {
                    held[y % 3] = y;
                    let from = &pixels[y * input.w * input.c..][..copied];
                    let to = &mut lines[y % 3][start..start + copied];
                    for (to, &value) in to.iter_mut().zip(from) {
                        *to = value.into();
                    }
                }
            }
            let mut out = sink.row(row);
            let mut channel = 0;
            while channel < channels {
                let two = channels - channel >= 2 * LANES;
                let line = Line::<R, G> {
                    isa,
                    lines: places.map(|place| &lines[place][..values]),
                    outside: &lines[outside][..values],
                    step: window.stride_w * input.c,
                    weights,
                    channels,
                    channel,
                    shift,
                    parameters: [
                        out.parameters(isa, channel),
                        out.parameters(isa, if two { channel + LANES } else { channel }),
                    ],
                    width: conv.output.w,
                    out: match out.plain_from(0) {
                        Some(out) => out,
                        None => return,
                    },
                };
                match (two, prelu) {
                    (true, true) => isa.outline(Run::<R, G, 2, true>(line)),
                    (true, false) => isa.outline(Run::<R, G, 2, false>(line)),
                    (false, true) => isa.outline(Run::<R, G, 1, true>(line)),
                    (false, false) => isa.outline(Run::<R, G, 1, false>(line)),
                }
                channel += if two { 2 * LANES } else { LANES };
            }
        }
    }
}

/// A row of the output of 32 or 16 channels.
struct Line<'l, const R: usize, const G: usize> {
    isa: Avx2,
    lines: [&'l [i16]; 3],
    /// One of an image of zeros.
    outside: &'l [i16],
    /// Values from one window to the next.
    step: usize,
    weights: &'l [i8],
    channels: usize,
    channel: usize,
    /// Right shift of the accumulators.
    shift: u32,
    parameters: [Parameters<Avx2>; 2],
    width: usize,
    out: PlainRow<'l>,
}

/// Q groups of 16 channels; PRELU: there is one.
struct Run<'l, const R: usize, const G: usize, const Q: usize, const PRELU: bool>(Line<'l, R, G>);

/// Sums of Q groups, in the order of [`Lanes::I32`].
type Sums<const Q: usize> = [[__m256i; 2]; Q];

impl<const R: usize, const G: usize, const Q: usize, const PRELU: bool> Work
    for Run<'_, R, G, Q, PRELU>
{
    #[inline(always)]
    fn run(self) {
        let Run(line) = self;
        let Line { isa, lines, outside, step, channels, channel, shift, width, .. } = line;
        let PlainRow { stream, bits, pixel, .. } = line.out;
        let parameters = line.parameters;
        let weights = pairs::<R, G, Q>(isa, line.weights, channel);
        // The sums of a window of zeros are taken off each; and sums are rounded by the
        // shift.
        // SAFETY: `isa` proves AVX2.
        let (half, by) =
            unsafe { (_mm256_set1_epi32((1 << shift) >> 1), _mm256_set1_epi32(shift as i32)) };
        let none = [[[isa.splat16(0); 2]; Q]; 1];
        // SAFETY: a line has a window.
        let [zeros] = unsafe { sums::<G, Q, 1>(isa, none, &weights, [outside.as_ptr(); 3], 0) };
        let mut start = zeros;
        for start in &mut start {
            *start = isa.difference([half; 2], *start);
        }
        let word = channel.is_multiple_of(64);
        let own = Q * LANES;
        let stream = stream[channel..][..(width - 1) * channels + own].as_mut_ptr();
        let written = if word { 8 } else { own / 8 };
        let bits =
            bits.map(|bits| bits[channel / 8..][..(width - 1) * pixel + written].as_mut_ptr());
        let last = (width - 1) * step;
        let from = lines.map(|line| line[..last + R + SLACK].as_ptr());
        for first in (0..width).step_by(TILE) {
            // The last tile may overlap the one before it: the same values are written
            // twice.
            let first = first.min(width - TILE);
            // SAFETY: the lines have a window for each of the `width` pixels, whose stream
            // and bits were looked at above.
            unsafe {
                let from = from.map(|line| line.add(first * step));
                let found = sums::<G, Q, TILE>(isa, [start; TILE], &weights, from, step);
                for (p, sums) in found.into_iter().enumerate() {
                    let to = stream.add((first + p) * channels);
                    let mut below = 0;
                    for q in 0..Q {
                        let [low, high] = sums[q];
                        let shifted = [_mm256_srav_epi32(low, by), _mm256_srav_epi32(high, by)];
                        let mut y = parameters[q].scale(isa, isa.saturate32(shifted));
                        if PRELU {
                            y = parameters[q].prelu(isa, y);
                        }
                        _mm256_storeu_si256(to.add(q * LANES).cast(), y);
                        below |= isa.less16(y, parameters[q].sign) << (q * LANES);
                    }
                    if let Some(bits) = bits {
                        let to = bits.add((first + p) * pixel);
                        if word {
                            to.cast::<u64>().write_unaligned(u64::from(below).to_le());
                        } else if Q == 2 {
                            to.cast::<u32>().write_unaligned(below.to_le());
                        } else {
                            to.cast::<u16>().write_unaligned((below as u16).to_le());
                        }
                    }
                }
            }
        }
    }
}

/// The weights of Q times 16 channels, in G pairs of neighbours for each row of R.
#[inline(always)]
fn pairs<const R: usize, const G: usize, const Q: usize>(
    isa: Avx2,
    weights: &[i8],
    channel: usize,
) -> [[Sums<Q>; G]; 3] {
    let depth = int8_depth(1, 1, 3 * R);
    let mut found = [[[[isa.splat16(0); 2]; Q]; G]; 3];
    for q in 0..Q {
        let block = &weights[(channel + q * LANES) * depth..][..LANES * depth];
        let fours = block.as_chunks::<{ LANES * INT8_GROUP }>().0;
        for ky in 0..3 {
            for g in 0..G {
                found[ky][g][q] = single(isa, fours, ky * R + 2 * g);
                if 2 * g + 1 == R {
                    continue;
                }
                let second = single(isa, fours, ky * R + 2 * g + 1);
                for half in 0..2 {
                    let first = found[ky][g][q][half];
                    // SAFETY: `isa` proves AVX2.
                    found[ky][g][q][half] =
                        unsafe { _mm256_or_si256(first, _mm256_slli_epi32::<16>(second[half])) };
                }
            }
        }
    }
    found
}

/// The weights of position `k`: in the lower half of 32 bits, and nothing in the upper.
#[inline(always)]
fn single(isa: Avx2, fours: &[[i8; LANES * INT8_GROUP]], k: usize) -> [__m256i; 2] {
    let mut pair = Dot::weights(isa, &fours[k / INT8_GROUP])[k % INT8_GROUP / 2];
    for half in 0..2 {
        // SAFETY: `isa` proves AVX2.
        unsafe {
            if k.is_multiple_of(2) {
                pair[half] = _mm256_slli_epi32::<16>(pair[half]);
            }
            pair[half] = _mm256_srli_epi32::<16>(pair[half]);
        }
    }
    pair
}

/// Σ w·x over the windows of P pixels, `step` values from one to the next, and `start`.
///
/// # Safety
/// Each line has 2·G values of each window.
#[inline(always)]
unsafe fn sums<const G: usize, const Q: usize, const P: usize>(
    _: Avx2,
    start: [Sums<Q>; P],
    weights: &[[Sums<Q>; G]; 3],
    lines: [*const i16; 3],
    step: usize,
) -> [Sums<Q>; P] {
    let mut sums = start;
    // SAFETY: of this function; an `Avx2` proves AVX2.
    unsafe {
        for (weights, line) in weights.iter().zip(lines) {
            for g in 0..G {
                for p in 0..P {
                    let pair = line.add(p * step + 2 * g).cast::<i32>().read_unaligned();
                    let x = _mm256_set1_epi32(pair);
                    for q in 0..Q {
                        for half in 0..2 {
                            let products = _mm256_madd_epi16(x, weights[g][q][half]);
                            sums[p][q][half] = _mm256_add_epi32(sums[p][q][half], products);
                        }
                    }
                }
            }
        }
    }
    sums
}
