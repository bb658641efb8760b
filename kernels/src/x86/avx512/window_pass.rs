//! Binary convolution with windows of up to 3×3 for the epilogue that most of these
//! layers have: a stream, perhaps bits and a shifted PReLU, and a shortcut of as many
//! channels, perhaps the means of 2×2 pixels. Counters and epilogue are those of
//! `pointwise_pass.rs`.
//!
//! The lines of the input that a row of the output reads are copied to where they
//! have their padding, and pixels lie end to end: a row has no edges, every tile is
//! whole, and what a kernel row reads of a line is one run of steps. Most lines serve
//! several rows, and stay. What a tap in the padding counted too much or too little is
//! in the terms that sums are taken from, which are different for the first column, the
//! last, and those between; rows of taps outside are skipped.
//!
//! A tile's loop has no bounds to check: [`Run::run`] looks at everything once per row.

// Fixed loops over indices are unrolled into registers; iterators over the same
// arrays often are not.
#![allow(clippy::needless_range_loop)]

use core::arch::x86_64::*;
use core::marker::PhantomData;
use core::ops::Range;

use super::Avx512;
use super::binary_put::{
    Extra, FAR, Loads, Means, NEAR, OfRow, SPREAD_STEPS, Shift, Spreader, To, WORDS, groups, spread,
};
use super::lanes::Scale;
use crate::generic::binary_counter::STEPS_PER_BYTE;
use crate::generic::epilogue::Sink;
use crate::generic::lanes::{Lanes, Outline, WIDE, Work};
use crate::generic::usual::line_columns;
use crate::generic::{BinaryJob, taps_inside};
use crate::layout::{BINARY_LANES, binary_steps, pixel_bytes};
use crate::types::{Conv, Epilogue, Padding, Shape, Shortcut, Window};
use crate::x86::byte_lines::{SPILL, copy};

/// Sides of the kernel, at most.
const KERNEL: usize = 3;

/// Registers of byte counters in a tile; [`LARGE`] where a row is made of those.
const TILE: usize = 4;

/// See [`TILE`]. Pictures of 224 pixels are halved down to rows of 7.
const LARGE: usize = 7;

/// Bytes of the lines that a row reads, with their padding, at most.
const LINES: usize = 12 * 1024;

/// If the job is one for [`run`]: its shift, and that of its shortcut.
#[inline(always)]
pub(super) fn suits(isa: Avx512, job: &BinaryJob<'_>) -> Option<(Shift, Scale)> {
    let Conv { window: Window { kernel_h, kernel_w, .. }, input, output, .. } = job.conv;
    let &Epilogue::Stream { shift, shortcut: Some(ref taken), .. } = &job.epilogue else {
        return None;
    };
    let steps = binary_steps(kernel_h, kernel_w, input.c);
    let last = output.c % BINARY_LANES;
    let pixels = if last == 0 { TILE } else { 2 * TILE };
    let suits = job.usual_windows(KERNEL)
        && KERNEL * (line_columns(&job.conv) * input.c.div_ceil(8) + SPILL) <= LINES
        && output.w >= pixels
        && steps > STEPS_PER_BYTE
        && output.c.is_multiple_of(WIDE)
        && (last == 0 || steps <= SPREAD_STEPS);
    if !suits {
        return None;
    }
    let bound = kernel_h * kernel_w * input.c;
    Some((Shift::new(isa, shift as u32, bound), Scale::new(isa, taken.shift)))
}

/// The whole operation, which [`suits`].
pub(super) fn run(isa: Avx512, job: BinaryJob<'_>, (shift, scale): (Shift, Scale)) {
    isa.outline(Whole { isa, job, shift, scale });
}

/// Apart from what other layers take, so that neither costs the other registers.
struct Whole<'a> {
    isa: Avx512,
    job: BinaryJob<'a>,
    shift: Shift,
    scale: Scale,
}

impl Work for Whole<'_> {
    #[inline(always)]
    fn run(self) {
        let Whole { isa, job, shift, scale } = self;
        let BinaryJob { conv, input, weights, rows, epilogue, padding, .. } = job;
        let Epilogue::Stream { shortcut: Some(Shortcut { pool, .. }), prelu, .. } = epilogue else {
            return;
        };
        let prelu = prelu.is_some();
        let channels = conv.output.c;
        let steps = binary_steps(conv.window.kernel_h, conv.window.kernel_w, conv.input.c);
        let bound = conv.window.kernel_h * conv.window.kernel_w * conv.input.c;
        let mut sink = Sink::new(epilogue, conv.output, &rows, bound);
        let mut spread_weights = [[0; BINARY_LANES]; SPREAD_STEPS];
        let last = channels / BINARY_LANES * BINARY_LANES;
        if last < channels {
            spread(weights, channels, steps, &mut spread_weights);
        }
        let mut lines = [0; LINES];
        for channel in (0..channels).step_by(BINARY_LANES) {
            let weights = match channel < last {
                true => &weights[channel * steps..][..BINARY_LANES * steps],
                false => &spread_weights.as_flattened()[..BINARY_LANES * steps],
            };
            let (rows, sink, lines) = (rows.clone(), &mut sink, &mut lines);
            let image = Image { conv, padding, input };
            let spreader = match channels - channel {
                WIDE => Spreader::new::<true>(isa),
                _ => Spreader::new::<false>(isa),
            };
            Block {
                isa,
                spreader,
                image,
                lines,
                weights,
                rows,
                sink,
                channel,
                shift,
                scale,
                pool,
                prelu,
            }
            .run();
        }
    }
}

/// What is read, and how.
#[derive(Clone, Copy)]
struct Image<'a> {
    conv: Conv,
    padding: Padding,
    input: &'a [u8],
}

/// All pixels of 64 channels, or of 32.
struct Block<'b, 'a> {
    isa: Avx512,
    spreader: Spreader,
    image: Image<'a>,
    /// For any lines of the input; what is left and right of them is 0.
    lines: &'b mut [u8; LINES],
    /// 64 bytes per step; those of 32 channels twice if there are no more ([`spread`]).
    weights: &'b [u8],
    rows: Range<usize>,
    sink: &'b mut Sink<'a>,
    channel: usize,
    shift: Shift,
    /// Of the shortcut, as `pool` is.
    scale: Scale,
    pool: usize,
    prelu: bool,
}

impl Block<'_, '_> {
    #[inline(always)]
    fn run(self) {
        match (self.pool, self.prelu) {
            (1, true) => self.with_tile::<Loads, true>(),
            (1, false) => self.with_tile::<Loads, false>(),
            (_, true) => self.with_tile::<Means, true>(),
            (_, false) => self.with_tile::<Means, false>(),
        }
    }

    #[inline(always)]
    fn with_tile<X: OfRow, const PRELU: bool>(self) {
        let Conv { output, .. } = self.image.conv;
        let large = output.w >= LARGE
            && output.w.next_multiple_of(LARGE) <= output.w.next_multiple_of(TILE);
        if output.c - self.channel == WIDE {
            self.outline::<X, TILE, true, PRELU>();
        } else if large {
            self.outline::<X, LARGE, false, PRELU>();
        } else {
            self.outline::<X, TILE, false, PRELU>();
        }
    }

    #[inline(always)]
    fn outline<X: OfRow, const P: usize, const PAIR: bool, const PRELU: bool>(self) {
        let isa = self.isa;
        if self.shift.far() || self.scale.far() {
            isa.outline(Run::<X, P, PAIR, FAR, PRELU>(self, PhantomData));
        } else {
            isa.outline(Run::<X, P, PAIR, NEAR, PRELU>(self, PhantomData));
        }
    }
}

/// P registers of counters; PAIR: two pixels of 32 channels share one; KIND: see
/// [`To::kind`]; PRELU: there is one.
struct Run<'b, 'a, X, const P: usize, const PAIR: bool, const KIND: u32, const PRELU: bool>(
    Block<'b, 'a>,
    PhantomData<X>,
);

impl<X: OfRow, const P: usize, const PAIR: bool, const KIND: u32, const PRELU: bool> Work
    for Run<'_, '_, X, P, PAIR, KIND, PRELU>
{
    #[inline(always)]
    fn run(self) {
        let Block {
            isa, spreader, image, lines, weights, rows, sink, channel, shift, scale, ..
        } = self.0;
        let Image { conv, padding, input } = image;
        let Conv { window, input: Shape { w, c, h }, output, .. } = conv;
        let firsts = [channel, if PAIR { channel } else { channel + WIDE }];
        let row = sink.row(rows.start);
        let parameters = [row.parameters(isa, firsts[0]), row.parameters(isa, firsts[1])];
        let mut to = To {
            isa,
            shift,
            parameters,
            there: [u32::MAX; 2],
            stream: core::ptr::null_mut(),
            channels: output.c,
            bits: None,
            bytes: 0,
            scale,
        };
        let (steps, columns) = (c.div_ceil(8), line_columns(&conv));
        let taps = Taps::new::<PAIR>(isa, &window, weights);
        let run = window.kernel_w * steps;
        let all = columns * steps + SPILL;
        let tile = if PAIR { 2 * P } else { P };
        assert!(output.w >= tile, "a row has a tile");
        let pixel = pixel_bytes(c);
        let (left, copied) = (window.pad_left, w.min(columns - window.pad_left));
        // The first column with a tap right of the input.
        let right = if columns > w + left { output.w - 1 } else { output.w };
        let (mut known, mut terms) = (None, [[isa.splat16(0); 2]; 3]);
        let mut held = [usize::MAX; KERNEL];
        for row in rows {
            let inside = taps_inside(row, window.stride_h, window.pad_top, window.kernel_h, h);
            let y = |ky: usize| row * window.stride_h + ky - window.pad_top;
            for y in inside.clone().map(y) {
                if held[y % KERNEL] != y {
                    let line = &mut lines[y % KERNEL * all..][..all];
                    copy(&input[y * w * pixel..][..copied * pixel], c, &mut line[left * steps..]);
                    held[y % KERNEL] = y;
                }
            }
            // After all copies: a pointer is good until the lines are written again.
            let mut of_row = [lines.as_ptr(); KERNEL];
            for (y, of_row) in inside.clone().map(y).zip(&mut of_row) {
                *of_row = lines[y % KERNEL * all..][..all].as_ptr();
            }
            let first = inside.start * window.kernel_w * steps;
            if Some(&inside) != known.as_ref() {
                terms = taps.terms(isa, &window, padding, &inside, c);
                for terms in terms.as_flattened_mut() {
                    *terms = isa.shl16(*terms, shift.exact);
                }
                known = Some(inside.clone());
            }
            let line = sink.usual_rows(row..row + 1, X::POOL).expect("a shortcut");
            let stream = line.stream.expect("a stream");
            // From the first element of the first pixel to the last's `own`th.
            let reach = |of: usize, own: usize| (output.w - 1) * of + own;
            let count = if PAIR { WIDE } else { BINARY_LANES };
            to.stream = stream[channel..][..reach(output.c, count)].as_mut_ptr();
            to.bytes = line.pixel;
            to.bits =
                line.bits.map(|bits| bits[channel / 8..][..reach(line.pixel, 8)].as_mut_ptr());
            let tiles = Tiles::<_, P, PAIR, KIND, PRELU> {
                isa,
                spreader,
                lines: &of_row,
                rows: inside.len(),
                weights: weights[first * BINARY_LANES..].as_ptr(),
                run,
                next: steps * window.stride_w,
                terms: &terms,
                left,
                right,
                to: &to,
                extra: X::new(line.shortcut, output, firsts),
            };
            for first in (0..output.w).step_by(tile) {
                // SAFETY: the lines, the stream, the bits and the shortcut have been
                // looked at for a row, which has at least as many pixels as a tile; the
                // weights are those of `rows` rows of the kernel.
                unsafe { tiles.tile(first.min(output.w - tile)) };
            }
        }
    }
}

/// For each tap how many bits of each channel are set: in how many it differs from
/// what stands in the padding.
struct Taps([[[__m512i; 2]; KERNEL]; KERNEL]);

impl Taps {
    #[inline(always)]
    fn new<const PAIR: bool>(isa: Avx512, window: &Window, weights: &[u8]) -> Taps {
        let mut found = Taps([[[isa.splat16(0); 2]; KERNEL]; KERNEL]);
        let steps = weights.len() / (window.kernel_h * window.kernel_w);
        let mut taps = weights.chunks_exact(steps);
        for ky in 0..window.kernel_h {
            for kx in 0..window.kernel_w {
                let Some(tap) = taps.next() else { return found };
                let sums = &mut found.0[ky][kx];
                for part in tap.chunks(STEPS_PER_BYTE * BINARY_LANES) {
                    let mut counts = isa.splat16(0);
                    for row in part.as_chunks::<BINARY_LANES>().0 {
                        // SAFETY: `isa` proves AVX-512 F, BW and BITALG; the array is
                        // the 64 bytes read.
                        unsafe {
                            let row = _mm512_loadu_si512(row.as_ptr().cast());
                            counts = _mm512_add_epi8(counts, _mm512_popcnt_epi8(row));
                        }
                    }
                    let [low, high] = groups::<PAIR>(isa, counts);
                    *sums = [isa.add16(sums[0], low), isa.add16(sums[1], high)];
                }
            }
        }
        found
    }

    /// What twice the sums are taken from, with these rows of the kernel inside the
    /// input: for columns all of whose taps are, for one with taps left of it, and for
    /// one with taps right of it. With `channels` of them a tap.
    #[inline(always)]
    fn terms(
        &self,
        isa: Avx512,
        window: &Window,
        padding: Padding,
        inside: &Range<usize>,
        channels: usize,
    ) -> [[__m512i; 2]; 3] {
        let Window { kernel_h, kernel_w, .. } = *window;
        let taps = |taps: usize| [isa.splat16((taps * channels) as i16); 2];
        match padding {
            // Taps in rows outside add what their +1 would.
            Padding::One => {
                let mut terms = taps(kernel_h * kernel_w);
                for ky in (0..inside.start).chain(inside.end..kernel_h) {
                    for kx in 0..kernel_w {
                        terms = self.less(isa, terms, ky, kx);
                    }
                }
                [terms; 3]
            }
            // Taps in columns outside add nothing; they have been counted.
            Padding::Zero => {
                let mut terms = [taps(inside.len() * kernel_w); 3];
                for (terms, kx) in terms[1..].iter_mut().zip([0, kernel_w - 1]) {
                    *terms = taps(inside.len() * (kernel_w - 1));
                    for ky in inside.clone() {
                        *terms = self.more(isa, *terms, ky, kx);
                    }
                }
                terms
            }
        }
    }

    #[inline(always)]
    fn less(&self, isa: Avx512, terms: [__m512i; 2], ky: usize, kx: usize) -> [__m512i; 2] {
        let [low, high] = self.0[ky][kx];
        let [low, high] = [isa.add16(low, low), isa.add16(high, high)];
        [isa.sub16(terms[0], low), isa.sub16(terms[1], high)]
    }

    #[inline(always)]
    fn more(&self, isa: Avx512, terms: [__m512i; 2], ky: usize, kx: usize) -> [__m512i; 2] {
        let [low, high] = self.0[ky][kx];
        let [low, high] = [isa.add16(low, low), isa.add16(high, high)];
        [isa.add16(terms[0], low), isa.add16(terms[1], high)]
    }
}

/// One row of the output, of 64 channels or of 32. Pointers are at the first pixel.
struct Tiles<'t, X, const P: usize, const PAIR: bool, const KIND: u32, const PRELU: bool> {
    isa: Avx512,
    spreader: Spreader,
    /// Those of the kernel's rows that are inside the input, `rows` of them.
    lines: &'t [*const u8; KERNEL],
    rows: usize,
    /// From the first of these rows on.
    weights: *const u8,
    /// Steps of one kernel row.
    run: usize,
    /// Bytes from one pixel to the next.
    next: usize,
    /// See [`Taps::terms`], shifted.
    terms: &'t [[__m512i; 2]; 3],
    /// Columns with taps left of the input, and the first with taps right of it.
    left: usize,
    right: usize,
    to: &'t To,
    extra: X,
}

impl<X: Extra, const P: usize, const PAIR: bool, const KIND: u32, const PRELU: bool>
    Tiles<'_, X, P, PAIR, KIND, PRELU>
{
    /// # Safety
    /// From column `first` on there are as many as a tile has.
    #[inline(always)]
    unsafe fn tile(&self, first: usize) {
        let Tiles { isa, spreader, run, next, to, .. } = *self;
        let zero = isa.splat16(0);
        let mut counts = [zero; P];
        let mut wide = [[zero; 2]; P];
        let mut used = 0;
        // SAFETY: of this function; `isa` proves all that is needed.
        unsafe {
            let mut weights = self.weights;
            for ky in 0..self.rows {
                let mut input = self.lines[ky].add(first * next);
                let mut left = run;
                while left > 0 {
                    let steps = left.min(WORDS);
                    if used + steps > STEPS_PER_BYTE {
                        for v in 0..P {
                            let [low, high] = groups::<PAIR>(isa, counts[v]);
                            wide[v] = [isa.add16(wide[v][0], low), isa.add16(wide[v][1], high)];
                            counts[v] = zero;
                        }
                        used = 0;
                    }
                    counts = spreader.count::<P, PAIR>(isa, counts, weights, input, next, steps);
                    weights = weights.add(steps * BINARY_LANES);
                    input = input.add(steps);
                    used += steps;
                    left -= steps;
                }
            }
            // In memory: so many epilogues are no straight line.
            let mut sums = [[zero; 2]; P];
            for v in 0..P {
                let [low, high] = groups::<PAIR>(isa, counts[v]);
                sums[v] = [isa.add16(wide[v][0], low), isa.add16(wide[v][1], high)];
            }
            for (v, sums) in sums.iter().enumerate() {
                match PAIR {
                    true => {
                        for p in 0..2 {
                            let column = first + 2 * v + p;
                            let below = self.put(column, p, sums[p]);
                            to.put_bits(column, below, 0);
                        }
                    }
                    false => {
                        let low = self.put(first + v, 0, sums[0]);
                        let high = self.put(first + v, 1, sums[1]);
                        to.put_bits(first + v, low, high);
                    }
                }
            }
        }
    }

    /// See [`To::put`].
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    unsafe fn put(&self, column: usize, g: usize, sums: __m512i) -> u32 {
        let case = usize::from(column < self.left) + 2 * usize::from(column >= self.right);
        let terms = self.terms[case][g];
        // A PAIR's two pixels are of the same channels.
        let g = if PAIR { 0 } else { g };
        // SAFETY: of this function.
        unsafe { self.to.put::<X, true, KIND, PRELU>(&self.extra, terms, column, g, sums) }
    }
}
