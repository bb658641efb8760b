//! Binary 3×3 convolution for the epilogue that most of these layers have: a stream, perhaps
//! bits and a shifted PReLU, and a shortcut of as many channels, perhaps the means of 2×2
//! pixels.
//!
//! Counts are those of `pairs.rs`, for two neighbouring pixels of the output at
//! once. What their windows read of a line is a run of bytes of it and the same run one
//! stride further on; so each line is turned once into indices of the nibbles of both, and a
//! run of those is what a kernel row takes.
//!
//! The sums of some rows are in memory, and all of them take a part of the weights before the
//! next: the nibbles of 240 input channels, which the first-level cache holds whatever the
//! layer.
//!
//! What a tap in the padding counted too much or too little is in the terms that sums are
//! taken from, as in the AVX-512 pass.

// Fixed loops over indices are unrolled into registers; iterators over the same
// arrays often are not.
#![allow(clippy::needless_range_loop)]

use core::arch::x86_64::*;
use core::mem::MaybeUninit;
use core::ops::Range;

use super::Avx2;
use super::outputs::{OfKind, OfRow, Outputs, RowOutputs, Shifts};
use super::pairs::{
    Found, PAIR, PIECE, THREE, THREES, VECTOR, Wide, count, groups, interleave, split, widened,
    with,
};
use crate::generic::binary_conv::Popcount;
use crate::generic::binary_counter::STEPS_PER_BYTE;
use crate::generic::epilogue::Sink;
use crate::generic::lanes::{Lanes, Outline, WIDE, Work};
use crate::generic::usual::line_columns;
use crate::generic::{BinaryJob, taps_inside};
use crate::layout::{BINARY_LANES, binary_steps, pixel_bytes};
use crate::types::{Conv, Epilogue, Padding, Shape, Shortcut, Window};
use crate::x86::byte_lines::{SPILL, copy};

/// Sides of the kernel.
const KERNEL: usize = 3;

/// Pairs of pixels whose sums are in memory.
const PAIRS: usize = 64;

/// Bytes of the indices of all lines that are held.
const INDICES: usize = 16 * 1024;

/// Such lines, at most.
const HELD: usize = 32;

/// Registers of counters of 64 channels.
const MOST: usize = 2;

/// Bytes of a line, of which indices are twice as many.
const LINE: usize = INDICES / KERNEL / (2 * PIECE) * PIECE;

/// Rows of the weights, of 8 input channels each, in a part of them.
const PART: usize = THREES * THREE / 2;
const _: () = assert!(PART * 2 == THREES * THREE && PART.is_multiple_of(KERNEL));

/// The sums of two pixels, R registers of counters each.
type Sums<const R: usize> = [[Wide; R]; PAIR];

/// Whether the job is one for [`run`].
#[inline(always)]
pub(super) fn suits(job: &BinaryJob<'_>) -> bool {
    let Conv { window: Window { kernel_h, kernel_w, .. }, output, .. } = job.conv;
    (kernel_h, kernel_w) == (KERNEL, KERNEL)
        && job.usual_windows(KERNEL)
        && output.c.is_multiple_of(WIDE)
        && (PAIR..=PAIR * PAIRS).contains(&output.w)
        && line_bytes(&job.conv) <= LINE
}

/// Bytes of a line with its padding, and of what may be touched after it.
fn line_bytes(conv: &Conv) -> usize {
    (line_columns(conv) * conv.input.c.div_ceil(8) + SPILL).next_multiple_of(PIECE)
}

/// The whole operation, which [`suits`].
pub(super) fn run(isa: Avx2, job: BinaryJob<'_>) {
    isa.outline(Whole { isa, job });
}

/// Apart from what other layers take, so that neither costs the other registers.
struct Whole<'a> {
    isa: Avx2,
    job: BinaryJob<'a>,
}

impl Work for Whole<'_> {
    #[inline(always)]
    fn run(self) {
        let Whole { isa, job } = self;
        let BinaryJob { conv, input, weights, rows, epilogue, padding, .. } = job;
        let &Epilogue::Stream {
            shift,
            shortcut: Some(Shortcut { shift: taken, pool, .. }),
            prelu,
            ..
        } = &epilogue
        else {
            return;
        };
        let prelu = prelu.is_some();
        let bound = KERNEL * KERNEL * conv.input.c;
        let shifts = Shifts::new(isa, shift as u32, bound, taken);
        let channels = conv.output.c;
        let steps = binary_steps(KERNEL, KERNEL, conv.input.c);
        let mut sink = Sink::new(epilogue, conv.output, &rows, bound);
        let mut lines = Lines::new(conv, input);
        for channel in (0..channels).step_by(BINARY_LANES) {
            let stride = (channels - channel).min(BINARY_LANES);
            let weights = &weights[channel * steps..][..stride * steps];
            let (rows, sink, lines) = (rows.clone(), &mut sink, &mut lines);
            let block =
                Block { isa, padding, lines, weights, rows, sink, channel, shifts, pool, prelu };
            match stride {
                WIDE => block.run::<1, 2>(),
                _ => block.run::<2, 4>(),
            }
        }
    }
}

/// All pixels of 64 channels, or of 32.
struct Block<'b, 'a> {
    isa: Avx2,
    padding: Padding,
    lines: &'b mut Lines<'a>,
    weights: &'b [u8],
    rows: Range<usize>,
    sink: &'b mut Sink<'a>,
    channel: usize,
    shifts: Shifts,
    /// Pixels per side of the shortcut that become one.
    pool: usize,
    prelu: bool,
}

impl Block<'_, '_> {
    /// R registers of counters and G groups of 16 channels per pixel.
    #[inline(always)]
    fn run<const R: usize, const G: usize>(self) {
        let Block { isa, padding, lines, weights, rows, sink, channel, shifts, pool, prelu } = self;
        let Conv { window, input: Shape { h, c, .. }, output, .. } = lines.conv;
        let mut nowhere = [0; BINARY_LANES];
        let of = (shifts, pool, prelu);
        let to = RowOutputs::<G>::new(isa, sink, output, &rows, channel, of, &mut nowhere);
        let terms = Terms::<G>::new::<R>(isa, weights, padding, c, shifts.exact);
        let pairs = output.w.div_ceil(PAIR);
        let mut sums = [[[[isa.splat16(0); 2]; R]; PAIR]; PAIRS];
        let most = lines.rows().min(PAIRS / pairs);
        for first in rows.clone().step_by(most) {
            let band = first..rows.end.min(first + most);
            lines.hold(isa, &band);
            let sums = &mut sums[..pairs * band.len()];
            isa.outline(Count { isa, lines, weights, rows: band.clone(), sums: &mut *sums });
            for (row, sums) in band.zip(sums.chunks_exact(pairs)) {
                let inside = taps_inside(row, window.stride_h, window.pad_top, KERNEL, h);
                let terms = terms.of(&inside);
                let (conv, outputs, row) = (lines.conv, to.outputs, row - rows.start);
                to.of_kind(Row { conv, outputs, terms, row, sums });
            }
        }
    }
}

/// Lines of the input, as indices of the nibbles of pixels one stride apart.
struct Lines<'a> {
    conv: Conv,
    input: &'a [u8],
    indices: [u8; INDICES],
    /// Of how many lines there may be indices.
    count: usize,
    /// Their rows of the input.
    held: [usize; HELD],
    /// One line with its padding; around what is copied it is 0.
    line: [u8; LINE],
}

impl Lines<'_> {
    #[inline(always)]
    fn new(conv: Conv, input: &[u8]) -> Lines<'_> {
        let count = (INDICES / (2 * line_bytes(&conv))).min(HELD);
        let (indices, line) = ([0; INDICES], [0; LINE]);
        Lines { conv, input, indices, count, held: [usize::MAX; HELD], line }
    }

    /// Rows of the output, all of whose lines can be held.
    #[inline(always)]
    fn rows(&self) -> usize {
        (self.count - KERNEL) / self.conv.window.stride_h + 1
    }

    /// Lets the lines for these rows of the output be held.
    #[inline(always)]
    fn hold(&mut self, isa: Avx2, rows: &Range<usize>) {
        let Conv { window, input: Shape { h, w, c }, .. } = self.conv;
        let Window { stride_h, stride_w, pad_top, pad_left, .. } = window;
        let (steps, columns, pixel) = (c.div_ceil(8), line_columns(&self.conv), pixel_bytes(c));
        let copied = w.min(columns - pad_left) * pixel;
        let apart = stride_w * steps;
        let bytes = (columns * steps - apart).next_multiple_of(SPILL);
        let end = ((rows.end - 1) * stride_h + KERNEL - pad_top).min(h);
        for y in (rows.start * stride_h).saturating_sub(pad_top)..end {
            if self.held[y % self.count] != y {
                copy(&self.input[y * w * pixel..][..copied], c, &mut self.line[pad_left * steps..]);
                let line = self.line[..apart + bytes].as_ptr();
                let range = self.range(y);
                // SAFETY: there are so many bytes, and as many a stride further on.
                unsafe { interleave(isa, line, apart, bytes, &mut self.indices[range]) };
                self.held[y % self.count] = y;
            }
        }
    }

    /// Where the indices of a line are.
    #[inline(always)]
    fn range(&self, y: usize) -> Range<usize> {
        let bytes = 2 * line_bytes(&self.conv);
        y % self.count * bytes..(y % self.count + 1) * bytes
    }
}

/// The sums of some rows whose lines are held.
struct Count<'b, 'a, const R: usize> {
    isa: Avx2,
    lines: &'b Lines<'a>,
    weights: &'b [u8],
    rows: Range<usize>,
    sums: &'b mut [Sums<R>],
}

impl<const R: usize> Work for Count<'_, '_, R> {
    #[inline(always)]
    fn run(self) {
        let Count { isa, lines, weights, rows, sums } = self;
        let Conv { window, input: Shape { h, c, .. }, output, .. } = lines.conv;
        let Window { stride_h, stride_w, pad_top, .. } = window;
        let (stride, steps) = (R * VECTOR, c.div_ceil(8));
        let pairs = sums.len() / rows.len();
        let pixel = 2 * steps * stride_w;
        let mut nibbles = [MaybeUninit::uninit(); MOST * THREE * THREES];
        for (ky, weights) in weights.chunks_exact(KERNEL * steps * stride).enumerate() {
            for (part, weights) in weights.chunks(PART * stride).enumerate() {
                split(isa, weights, stride, 0, stride, &mut nibbles);
                let threes = 2 * weights.len() / stride / THREE;
                for (row, sums) in rows.clone().zip(sums.chunks_exact_mut(pairs)) {
                    let inside = taps_inside(row, stride_h, pad_top, KERNEL, h);
                    if !inside.contains(&ky) {
                        continue;
                    }
                    let begins = ky == inside.start && part == 0;
                    let line = lines.range(row * stride_h + ky - pad_top);
                    let indices = &lines.indices[line][part * 2 * PART..];
                    let indices = indices[..(output.w - PAIR) * pixel + THREE * threes].as_ptr();
                    for (pair, sums) in sums.iter_mut().enumerate() {
                        // The last pair may overlap the one before it.
                        let column = (pair * PAIR).min(output.w - PAIR);
                        // SAFETY: there are so many indices, and nibbles of `threes`.
                        unsafe {
                            let indices = indices.add(column * pixel);
                            let from = Found { indices, weights: nibbles.as_ptr().cast() };
                            let counts = count::<R>(isa, from, threes, isa.zero());
                            for p in 0..PAIR {
                                for r in 0..R {
                                    sums[p][r] = match begins {
                                        true => widened(isa, counts[p][r]),
                                        false => with(isa, sums[p][r], widened(isa, counts[p][r])),
                                    };
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Outputs of a row, of some whose pixels are one long run.
struct Row<'b, const R: usize, const G: usize> {
    conv: Conv,
    outputs: Outputs<G>,
    /// See [`Terms::of`].
    terms: [[__m256i; G]; 3],
    /// How many rows are before it.
    row: usize,
    sums: &'b [Sums<R>],
}

impl<X: OfRow, const R: usize, const G: usize> OfKind for (Row<'_, R, G>, X) {
    #[inline(always)]
    fn outline<const KIND: u32>(self) {
        let (row, extra) = self;
        row.outputs.isa.outline(Put::<X, R, G, KIND> { row, extra });
    }
}

/// KIND: of the shifts.
struct Put<'b, X, const R: usize, const G: usize, const KIND: u32> {
    row: Row<'b, R, G>,
    extra: X,
}

impl<X: OfRow, const R: usize, const G: usize, const KIND: u32> Work for Put<'_, X, R, G, KIND> {
    #[inline(always)]
    fn run(self) {
        let Put { row: Row { conv, outputs, terms, row, sums }, extra } = self;
        let Conv { window: Window { pad_left, .. }, input, output, .. } = conv;
        let isa = outputs.isa;
        let extra = extra.of_row(row, output.w);
        // The first column with a tap right of the input.
        let right = output.w - usize::from(line_columns(&conv) > input.w + pad_left);
        for (pair, sums) in sums.iter().enumerate() {
            let first = (pair * PAIR).min(output.w - PAIR);
            let mut place = outputs.place(&extra, row * output.w + first);
            for p in 0..PAIR {
                let column = first + p;
                let case = usize::from(column < pad_left) + 2 * usize::from(column >= right);
                let mut counts = [isa.splat16(0); G];
                for r in 0..R {
                    [counts[2 * r], counts[2 * r + 1]] = groups(isa, sums[p][r]);
                }
                // SAFETY: `Block::run` looked at so many pixels of everything.
                unsafe { outputs.put::<X, KIND>(&extra, place, &terms[case], counts) };
                place = outputs.next(&extra, place);
            }
        }
    }
}

/// What twice the sums are taken from.
struct Terms<const G: usize> {
    isa: Avx2,
    padding: Padding,
    channels: usize,
    exact: u32,
    /// For each tap that may be in the padding, in how many bits each channel differs from
    /// what stands there: how many are set.
    taps: [[[__m256i; G]; KERNEL]; KERNEL],
}

impl<const G: usize> Terms<G> {
    /// For weights of R registers a row.
    #[inline(always)]
    fn new<const R: usize>(
        isa: Avx2,
        weights: &[u8],
        padding: Padding,
        channels: usize,
        exact: u32,
    ) -> Terms<G> {
        let mut taps = [[[isa.splat16(0); G]; KERNEL]; KERNEL];
        let stride = R * VECTOR;
        for (tap, weights) in weights.chunks_exact(channels.div_ceil(8) * stride).enumerate() {
            let (ky, kx) = (tap / KERNEL, tap % KERNEL);
            let outside = if padding == Padding::One { ky } else { kx };
            if outside == 1 {
                continue;
            }
            for part in weights.chunks(STEPS_PER_BYTE * stride) {
                for r in 0..R {
                    let mut counts = isa.zero();
                    for row in part.chunks_exact(stride) {
                        counts = isa.count(counts, isa.weights(&row[r * VECTOR..]), isa.input(0));
                    }
                    for g in 0..2 {
                        let sum = &mut taps[ky][kx][2 * r + g];
                        *sum = isa.add16(*sum, isa.widen(counts, g));
                    }
                }
            }
        }
        Terms { isa, padding, channels, exact, taps }
    }

    /// With these rows of the kernel inside the input, shifted: for columns all of whose taps
    /// are, for one with taps left of it, and for one with taps right of it.
    #[inline(always)]
    fn of(&self, inside: &Range<usize>) -> [[__m256i; G]; 3] {
        let Terms { isa, padding, channels, exact, taps } = self;
        let all = |taps: usize| isa.splat16((taps * channels) as i16);
        let mut terms = [[all(KERNEL * KERNEL); G]; 3];
        match padding {
            // Taps in rows outside were not counted, and add what their +1 would.
            Padding::One => {
                for ky in (0..KERNEL).filter(|ky| !inside.contains(ky)) {
                    for kx in 0..KERNEL {
                        for g in 0..G {
                            terms[0][g] = isa.sub16(terms[0][g], doubled(*isa, taps[ky][kx][g]));
                        }
                    }
                }
                terms = [terms[0]; 3];
            }
            // Taps in columns outside add nothing; they have been counted.
            Padding::Zero => {
                terms[0] = [all(inside.len() * KERNEL); G];
                for (terms, kx) in terms[1..].iter_mut().zip([0, KERNEL - 1]) {
                    *terms = [all(inside.len() * (KERNEL - 1)); G];
                    for ky in inside.clone() {
                        for g in 0..G {
                            terms[g] = isa.add16(terms[g], doubled(*isa, taps[ky][kx][g]));
                        }
                    }
                }
            }
        }
        for terms in terms.as_flattened_mut() {
            *terms = isa.shl16(*terms, *exact);
        }
        terms
    }
}

#[inline(always)]
fn doubled(isa: Avx2, x: __m256i) -> __m256i {
    isa.add16(x, x)
}
