//! 3×3 1-bit depthwise convolution for the epilogue that these layers have: a stream or
//! bits or both, a shifted PReLU, and a shortcut of as many channels, perhaps the means
//! of 2×2 pixels.
//!
//! The taps of 64 channels of 8 neighbouring pixels are bits of one register, and the
//! adders of `generic/binary_depthwise.rs` count those that differ in four planes. A
//! plane's bits of a pixel are a mask, under which what the plane stands for is taken
//! from the accumulators: the counts are never numbers.
//!
//! Lines are copied for that (`bit_lines.rs`), with a padding of +1 around them. What
//! taps in the padding counted is in the terms that planes are taken from.

// Fixed loops over indices are unrolled into registers; iterators over the same
// arrays often are not.
#![allow(clippy::needless_range_loop)]

use core::arch::x86_64::*;
use core::marker::PhantomData;
use core::ops::Range;

use super::Avx512;
use super::binary_put::{FAR, Loads, Means, NEAR, OfRow, Shift, To};
use super::lanes::Scale;
use crate::generic::BinaryJob;
use crate::generic::binary_depthwise::{Bits, add_nine};
use crate::generic::epilogue::Sink;
use crate::generic::lanes::{Lanes, Outline, WIDE, Work};
use crate::layout::pixel_bytes;
use crate::types::{Conv, Epilogue, Padding, Shortcut};
use crate::x86::bit_lines::{BLOCK, BitLines, COLUMNS, Image, Line, REACH};

/// Taps.
const TAPS: usize = 9;

/// Pixels of a tile, the words of a register.
const TILE: usize = REACH;

/// Planes of a count.
const PLANES: usize = 4;

/// If the job is one for [`run`]: its shift, and that of its shortcut.
#[inline(always)]
pub(super) fn suits(isa: Avx512, job: &BinaryJob<'_>) -> Option<(Shift, Scale)> {
    let &Epilogue::Stream { shift, shortcut: Some(ref taken), .. } = &job.epilogue else {
        return None;
    };
    let suits = job.usual_depthwise(COLUMNS);
    suits.then(|| (Shift::new(isa, shift as u32, TAPS), Scale::new(isa, taken.shift)))
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
        let Epilogue::Stream { shortcut: Some(Shortcut { pool, .. }), .. } = epilogue else {
            return;
        };
        let mut sink = Sink::new(epilogue, conv.output, &rows, TAPS);
        let mut lines = BitLines::new();
        let image = Image { conv, padding, input, weights };
        for channel in (0..conv.output.c).step_by(BLOCK) {
            let (rows, sink, lines) = (rows.clone(), &mut sink, &mut lines);
            lines.forget();
            let block = Block { isa, image, lines, rows, sink, channel, shift, scale };
            match pool {
                1 => block.outline::<Loads>(),
                _ => block.outline::<Means>(),
            }
        }
    }
}

/// All pixels of up to 64 channels.
struct Block<'b, 'a> {
    isa: Avx512,
    image: Image<'a>,
    lines: &'b mut BitLines,
    rows: Range<usize>,
    sink: &'b mut Sink<'a>,
    channel: usize,
    shift: Shift,
    /// Of the shortcut.
    scale: Scale,
}

impl Block<'_, '_> {
    #[inline(always)]
    fn outline<X: OfRow>(self) {
        match self.shift.far() || self.scale.far() {
            true => self.outline_as::<X, FAR>(),
            false => self.outline_as::<X, NEAR>(),
        }
    }

    #[inline(always)]
    fn outline_as<X: OfRow, const KIND: u32>(self) {
        let isa = self.isa;
        let count = self.image.conv.output.c - self.channel;
        match (count > WIDE, count >= BLOCK || count == WIDE) {
            (true, true) => isa.outline(Run::<X, true, true, KIND>(self, PhantomData)),
            (true, false) => isa.outline(Run::<X, true, false, KIND>(self, PhantomData)),
            (false, true) => isa.outline(Run::<X, false, true, KIND>(self, PhantomData)),
            (false, false) => isa.outline(Run::<X, false, false, KIND>(self, PhantomData)),
        }
    }
}

/// BOTH: more than 32 channels; WHOLE: as many as there are lanes; KIND: see
/// [`To::kind`].
struct Run<'b, 'a, X, const BOTH: bool, const WHOLE: bool, const KIND: u32>(
    Block<'b, 'a>,
    PhantomData<X>,
);

impl<X: OfRow, const BOTH: bool, const WHOLE: bool, const KIND: u32> Work
    for Run<'_, '_, X, BOTH, WHOLE, KIND>
{
    #[inline(always)]
    fn run(self) {
        let Block { isa, image, lines, rows, sink, channel, shift, scale } = self.0;
        let Conv { window, output, .. } = image.conv;
        let pixel = pixel_bytes(output.c);
        let words = image.words(channel);
        let mut taps = [isa.zeros(); TAPS];
        for tap in 0..TAPS {
            // SAFETY: `isa` proves AVX-512 F.
            taps[tap] = unsafe { _mm512_set1_epi64(words[tap] as i64) };
        }
        // What a bit of each plane takes from an accumulator.
        let mut weighs = [isa.zeros(); PLANES];
        for plane in 0..PLANES {
            weighs[plane] = isa.splat16((2 << plane << shift.exact) as i16);
        }
        let counts =
            [(output.c - channel).min(WIDE), (output.c - channel).clamp(WIDE, BLOCK) - WIDE];
        let second = channel + if BOTH { WIDE } else { 0 };
        let row = sink.row(rows.start);
        let mut to = To {
            isa,
            shift,
            parameters: [row.parameters(isa, channel), row.parameters(isa, second)],
            there: counts.map(|count| u32::MAX.checked_shr((WIDE - count) as u32).unwrap_or(0)),
            stream: core::ptr::null_mut(),
            channels: output.c,
            bits: None,
            bytes: pixel,
            scale,
        };
        let (stride, between) = (window.stride_w, image.between());
        let all_terms = Terms::new(isa, &words, image.padding, shift);
        let (mut known, mut terms) = (0..3, all_terms.of(&(0..3)));
        let mut nowhere = [0; BLOCK];
        for row in rows {
            let (of_row, inside) = lines.of_row::<false>(&image, channel, row);
            if inside != known {
                terms = all_terms.of(&inside);
                known = inside.clone();
            }
            let line = sink.usual_rows(row..row + 1, X::POOL).expect("a shortcut");
            // From the first element of the first pixel to the last's `own`th.
            let reach = |of: usize, own: usize| (output.w - 1) * of + own;
            match line.stream {
                Some(stream) => {
                    let stream = &mut stream[channel..][..reach(output.c, counts[0] + counts[1])];
                    to.stream = stream.as_mut_ptr();
                }
                // All pixels to the same place: a question at each would cost more.
                None => (to.stream, to.channels) = (nowhere.as_mut_ptr(), 0),
            }
            to.bits = line.bits.map(|bits| bits[channel / 8..][..reach(pixel, 8)].as_mut_ptr());
            let extra = X::new(line.shortcut, output, [channel, second]);
            for first in (0..output.w).step_by(TILE) {
                let planes = planes(isa, &of_row, stride, first, &taps);
                for p in 0..TILE.min(output.w - first) {
                    let column = first + p;
                    let case = usize::from(column < between.start)
                        + 2 * usize::from(column >= between.end);
                    let mut values = terms[case];
                    for plane in 0..PLANES {
                        let ([low, high], weighs) = (planes[plane][p], weighs[plane]);
                        // SAFETY: `isa` proves AVX-512 BW.
                        unsafe {
                            let value = values[0];
                            values[0] = _mm512_mask_sub_epi16(value, low, value, weighs);
                            if BOTH {
                                let value = values[1];
                                values[1] = _mm512_mask_sub_epi16(value, high, value, weighs);
                            }
                        }
                    }
                    // SAFETY: the stream, the bits and the shortcut have been looked at
                    // for a row.
                    unsafe {
                        let [low, high] = values;
                        let low = to.put_exact::<X, WHOLE, KIND, true>(&extra, column, 0, low);
                        let high = match BOTH {
                            true => to.put_exact::<X, WHOLE, KIND, true>(&extra, column, 1, high),
                            false => 0,
                        };
                        to.put_bits(column, low, high);
                    }
                }
            }
        }
    }
}

/// The planes of the counts of 8 pixels from column `first` on, by pixel in halves.
#[inline(always)]
fn planes(
    isa: Avx512,
    lines: &[&Line; 3],
    stride: usize,
    first: usize,
    weights: &[__m512i; TAPS],
) -> [[[u32; 2]; TILE]; PLANES] {
    let mut taps = [isa.zeros(); TAPS];
    for tap in 0..TAPS {
        let (line, kx) = (lines[tap / 3], tap % 3);
        let words: &[u64; TILE] =
            line[kx % stride][first + kx / stride..].first_chunk().expect("a tile");
        // SAFETY: `isa` proves AVX-512 F; the array is the 64 bytes read.
        let x = unsafe { _mm512_loadu_si512(words.as_ptr().cast()) };
        taps[tap] = isa.xor(x, weights[tap]);
    }
    let mut found = [[[0; 2]; TILE]; PLANES];
    let counts = add_nine(isa, taps);
    for plane in 0..PLANES {
        // SAFETY: `isa` proves AVX-512 F; the array is the 64 bytes written.
        unsafe { _mm512_storeu_si512(found[plane].as_mut_ptr().cast(), counts[plane]) };
    }
    found
}

/// What the planes are taken from, shifted.
struct Terms {
    isa: Avx512,
    padding: Padding,
    /// As if all taps were inside.
    all: __m512i,
    /// What each tap in the padding adds though it is nothing, as it reads +1.
    taps: [[[__m512i; 2]; 3]; 3],
}

impl Terms {
    #[inline(always)]
    fn new(isa: Avx512, words: &[u64; TAPS], padding: Padding, shift: Shift) -> Terms {
        let once = isa.splat16(1 << shift.exact);
        let twice = isa.splat16((2 << shift.exact) as i16);
        let mut taps = [[[once; 2]; 3]; 3];
        for tap in 0..TAPS {
            for half in 0..2 {
                let less = (words[tap] >> (32 * half)) as u32;
                // SAFETY: `isa` proves AVX-512 BW.
                taps[tap / 3][tap % 3][half] =
                    unsafe { _mm512_mask_sub_epi16(once, less, once, twice) };
            }
        }
        Terms { isa, padding, all: isa.splat16((TAPS << shift.exact) as i16), taps }
    }

    /// With these rows of the window inside the input: for columns all of whose taps are,
    /// for one with taps left of it, and for one with taps right of it.
    #[inline(always)]
    fn of(&self, inside: &Range<usize>) -> [[__m512i; 2]; 3] {
        let Terms { isa, padding, all, taps } = *self;
        let mut terms = [[all; 2]; 3];
        if padding == Padding::One {
            return terms;
        }
        for half in 0..2 {
            let [mut between, mut first, mut last] = [all; 3];
            for ky in 0..3 {
                let [a, b, c] = [taps[ky][0][half], taps[ky][1][half], taps[ky][2][half]];
                if inside.contains(&ky) {
                    first = isa.sub16(first, a);
                    last = isa.sub16(last, c);
                } else {
                    let row = isa.add16(isa.add16(a, b), c);
                    between = isa.sub16(between, row);
                    first = isa.sub16(first, row);
                    last = isa.sub16(last, row);
                }
            }
            [terms[0][half], terms[1][half], terms[2][half]] = [between, first, last];
        }
        terms
    }
}
