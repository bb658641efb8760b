//! 3×3 1-bit depthwise convolution for the epilogue that these layers have: a stream or
//! bits or both, a shifted PReLU, and a shortcut of as many channels, perhaps the means
//! of 2×2 pixels.
//!
//! The taps of 64 channels of 4 neighbouring pixels, or of 32 of 8, are bits of one register
//! (`bit_lines.rs`), and the adders of `generic/binary_depthwise.rs` count those that
//! differ in four planes. Pairs of planes change places bit by bit, then two by two, so
//! that a nibble is a count; bytes of every eighth channel are unpacked into the order of
//! channels. That is 60 operations for 256 counts, where each plane on its own took 5 for
//! 16.
//!
//! What taps in the padding counted is in the terms that counts are taken from.

// Fixed loops over indices are unrolled into registers; iterators over the same
// arrays often are not.
#![allow(clippy::needless_range_loop)]

use core::arch::x86_64::*;
use core::mem::MaybeUninit;
use core::ops::Range;

use super::Avx2;
use super::outputs::{OfKind, OfRow, Outputs, RowOutputs, Shifts};
use crate::generic::BinaryJob;
use crate::generic::binary_depthwise::{Bits, add_nine};
use crate::generic::epilogue::Sink;
use crate::generic::lanes::{LANES, Lanes, Outline, Work};
use crate::types::{Conv, Epilogue, Padding, Shortcut};
use crate::x86::bit_lines::{APART, BLOCK, BitLines, COLUMNS, Image, Line};

/// Taps.
const TAPS: usize = 9;

/// Pixels of a tile, the words of a register.
const TILE: usize = 4;

const _: () = assert!(TILE == APART);

/// Groups of 16 channels in a block.
const GROUPS: usize = BLOCK / LANES;

/// Whether the job is one for [`run`].
#[inline(always)]
pub(super) fn suits(job: &BinaryJob<'_>) -> bool {
    job.conv.output.c.is_multiple_of(8) && job.usual_depthwise(COLUMNS)
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
            shift, shortcut: Some(Shortcut { shift: taken, pool, .. }), ..
        } = &epilogue
        else {
            return;
        };
        let shifts = Shifts::new(isa, shift as u32, TAPS, taken);
        let mut sink = Sink::new(epilogue, conv.output, &rows, TAPS);
        let mut lines = BitLines::new();
        let image = Image { conv, padding, input, weights };
        for channel in (0..conv.output.c).step_by(BLOCK) {
            lines.forget();
            let (rows, sink, lines) = (rows.clone(), &mut sink, &mut lines);
            let block = Block { isa, image, lines, rows, sink, channel, shifts, pool };
            match (conv.output.c - channel).min(BLOCK).div_ceil(LANES) {
                1 => block.run::<1>(),
                2 => block.run::<2>(),
                3 => block.run::<3>(),
                _ => block.run::<GROUPS>(),
            }
        }
    }
}

/// All pixels of up to 64 channels.
struct Block<'b, 'a> {
    isa: Avx2,
    image: Image<'a>,
    lines: &'b mut BitLines,
    rows: Range<usize>,
    sink: &'b mut Sink<'a>,
    channel: usize,
    shifts: Shifts,
    /// Pixels per side of the shortcut that become one.
    pool: usize,
}

impl Block<'_, '_> {
    /// G groups of channels.
    #[inline(always)]
    fn run<const G: usize>(self) {
        let Block { isa, image, lines, rows, sink, channel, shifts, pool } = self;
        let Conv { output, .. } = image.conv;
        let mut nowhere = [0; BLOCK];
        let of = (shifts, pool, true);
        let to = RowOutputs::<G>::new(isa, sink, output, &rows, channel, of, &mut nowhere);
        to.of_kind(Pixels { image, lines, rows, channel, outputs: to.outputs });
    }
}

/// See [`Block`].
struct Pixels<'b, 'a, const G: usize> {
    image: Image<'a>,
    lines: &'b mut BitLines,
    rows: Range<usize>,
    channel: usize,
    outputs: Outputs<G>,
}

impl<X: OfRow, const G: usize> OfKind for (Pixels<'_, '_, G>, X) {
    #[inline(always)]
    fn outline<const KIND: u32>(self) {
        let (pixels, extra) = self;
        pixels.outputs.isa.outline(Run::<X, G, KIND> { pixels, extra });
    }
}

/// KIND: of the shifts.
struct Run<'b, 'a, X, const G: usize, const KIND: u32> {
    pixels: Pixels<'b, 'a, G>,
    extra: X,
}

impl<X: OfRow, const G: usize, const KIND: u32> Work for Run<'_, '_, X, G, KIND> {
    #[inline(always)]
    fn run(self) {
        let Run { pixels: Pixels { image, lines, rows, channel, outputs }, extra } = self;
        let Conv { window, output, .. } = image.conv;
        let isa = outputs.isa;
        // Up to 32 channels, and those of another pixel above them.
        let half = G <= GROUPS / 2;
        let tile = if half { TILE + APART } else { TILE };
        let words = image.words(channel);
        let mut taps = [isa.zeros(); TAPS];
        for tap in 0..TAPS {
            let upper = if half { words[tap] << 32 } else { 0 };
            // SAFETY: `isa` proves AVX2.
            taps[tap] = unsafe { _mm256_set1_epi64x((words[tap] | upper) as i64) };
        }
        let all_terms = Terms::<G>::new(isa, &words, image.padding, outputs.shifts.exact);
        let (mut known, mut terms) = (0..3, all_terms.of(&(0..3)));
        let between = image.between();
        let first_row = rows.start;
        for row in rows {
            let (of_row, inside) = match half {
                true => lines.of_row::<true>(&image, channel, row),
                false => lines.of_row::<false>(&image, channel, row),
            };
            if inside != known {
                terms = all_terms.of(&inside);
                known = inside;
            }
            let done = (row - first_row) * output.w;
            let extra = extra.of_row(row - first_row, output.w);
            for first in (0..output.w).step_by(tile) {
                let planes = planes(isa, &of_row, window.stride_w, first, &taps);
                let mut counts = Counts([MaybeUninit::uninit(); TILE * BLOCK]);
                let counts = counts_of(isa, planes, &mut counts);
                let mut place = outputs.place(&extra, done + first);
                for p in 0..tile.min(output.w - first) {
                    let column = first + p;
                    let case = usize::from(column < between.start)
                        + 2 * usize::from(column >= between.end);
                    let mut found = [isa.splat16(0); G];
                    for g in 0..G {
                        let at = p % TILE * BLOCK + p / TILE * (BLOCK / 2) + g * LANES;
                        let counts = &counts[at..];
                        found[g] = isa.load_u8(counts.first_chunk().expect("a group"));
                    }
                    // SAFETY: `Block::run` looked at so many pixels of everything.
                    unsafe { outputs.put::<X, KIND>(&extra, place, &terms[case], found) };
                    place = outputs.next(&extra, place);
                }
            }
        }
    }
}

/// The counts of a tile, by pixel.
#[repr(align(32))]
struct Counts([MaybeUninit<u8>; TILE * BLOCK]);

/// The planes of the counts of 4 pixels from column `first` on.
#[inline(always)]
fn planes(
    isa: Avx2,
    lines: &[&Line; 3],
    stride: usize,
    first: usize,
    weights: &[__m256i; TAPS],
) -> [__m256i; 4] {
    let mut taps = [isa.zeros(); TAPS];
    for tap in 0..TAPS {
        let (line, kx) = (lines[tap / 3], tap % 3);
        let words: &[u64; TILE] =
            line[kx % stride][first + kx / stride..].first_chunk().expect("a tile");
        // SAFETY: `isa` proves AVX2; the array is the 32 bytes read.
        let x = unsafe { _mm256_loadu_si256(words.as_ptr().cast()) };
        taps[tap] = isa.xor(x, weights[tap]);
    }
    add_nine(isa, taps)
}

/// Lets those bits of `b` that `MASK` has and those `BITS` higher of `a` change places.
#[inline(always)]
fn exchanged<const BITS: i32, const MASK: i8>(
    _: Avx2,
    a: __m256i,
    b: __m256i,
) -> (__m256i, __m256i) {
    // SAFETY: an `Avx2` proves AVX2.
    unsafe {
        let differ = _mm256_xor_si256(_mm256_srli_epi64::<BITS>(a), b);
        let differ = _mm256_and_si256(differ, _mm256_set1_epi8(MASK));
        (_mm256_xor_si256(a, _mm256_slli_epi64::<BITS>(differ)), _mm256_xor_si256(b, differ))
    }
}

/// Counts from their planes, as bytes in the order of channels, pixel by pixel.
#[inline(always)]
fn counts_of(isa: Avx2, [a, b, c, d]: [__m256i; 4], to: &mut Counts) -> &[u8; TILE * BLOCK] {
    // Of even and of odd channels two bits each.
    let (even, odd) = exchanged::<1, 0x55>(isa, a, b);
    let (even_high, odd_high) = exchanged::<1, 0x55>(isa, c, d);
    // Of every fourth channel, from 0, 1, 2 and 3 on, four bits.
    let (zero, two) = exchanged::<2, 0x33>(isa, even, even_high);
    let (one, three) = exchanged::<2, 0x33>(isa, odd, odd_high);
    // Of every eighth channel, from 0 and 4 on, 1 and 5, and so on.
    let (zero, one) = (nibbles(isa, zero), nibbles(isa, one));
    let (two, three) = (nibbles(isa, two), nibbles(isa, three));
    let pairs = [[zero[0], one[0]], [two[0], three[0]], [zero[1], one[1]], [two[1], three[1]]];
    // SAFETY: `isa` proves AVX2; all of the array is written, 16 bytes at a time.
    unsafe {
        let place: *mut u8 = to.0.as_mut_ptr().cast();
        // Of pixels 0 and 2, then of 1 and 3.
        for odd in 0..2 {
            let mut twos = [isa.zeros(); 4];
            for (two, [a, b]) in twos.iter_mut().zip(pairs) {
                *two = match odd {
                    0 => _mm256_unpacklo_epi8(a, b),
                    _ => _mm256_unpackhi_epi8(a, b),
                };
            }
            let [a, b, c, d] = twos;
            let fours = [
                [_mm256_unpacklo_epi16(a, b), _mm256_unpacklo_epi16(c, d)],
                [_mm256_unpackhi_epi16(a, b), _mm256_unpackhi_epi16(c, d)],
            ];
            for (half, [a, b]) in fours.into_iter().enumerate() {
                let eights = [_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b)];
                for (group, eight) in eights.into_iter().enumerate() {
                    let at = odd * BLOCK + (2 * half + group) * LANES;
                    let (first, second) = (place.add(at), place.add(at + 2 * BLOCK));
                    _mm256_storeu2_m128i(second.cast(), first.cast(), eight);
                }
            }
        }
        &*place.cast()
    }
}

/// Low and high nibbles as bytes.
#[inline(always)]
fn nibbles(_: Avx2, x: __m256i) -> [__m256i; 2] {
    // SAFETY: an `Avx2` proves AVX2.
    unsafe {
        let nibble = _mm256_set1_epi8(15);
        [_mm256_and_si256(x, nibble), _mm256_and_si256(_mm256_srli_epi16::<4>(x), nibble)]
    }
}

/// What twice the counts are taken from, shifted.
struct Terms<const G: usize> {
    isa: Avx2,
    padding: Padding,
    /// As if all taps were inside.
    all: __m256i,
    /// What each tap in the padding adds though it is nothing, as it reads +1.
    taps: [[[__m256i; G]; 3]; 3],
}

impl<const G: usize> Terms<G> {
    #[inline(always)]
    fn new(isa: Avx2, words: &[u64; TAPS], padding: Padding, exact: u32) -> Terms<G> {
        let (once, less) = (isa.splat16(1 << exact), isa.splat16(-1 << exact));
        let mut taps = [[[once; G]; 3]; 3];
        for tap in 0..TAPS {
            for g in 0..G {
                let bits = (words[tap] >> (g * LANES)) as u16;
                taps[tap / 3][tap % 3][g] = isa.select16(isa.mask16(bits.into()), less, once);
            }
        }
        Terms { isa, padding, all: isa.splat16((TAPS << exact) as i16), taps }
    }

    /// With these rows of the window inside the input: for columns all of whose taps are,
    /// for one with taps left of it, for one with taps right of it, and for one with both.
    #[inline(always)]
    fn of(&self, inside: &Range<usize>) -> [[__m256i; G]; 4] {
        let Terms { isa, padding, all, taps } = self;
        let mut terms = [[*all; G]; 4];
        if *padding == Padding::One {
            return terms;
        }
        for g in 0..G {
            for ky in 0..3 {
                for kx in 0..3 {
                    for (case, terms) in terms.iter_mut().enumerate() {
                        let outside = !inside.contains(&ky)
                            || kx == 0 && case % 2 == 1
                            || kx == 2 && case / 2 == 1;
                        if outside {
                            terms[g] = isa.sub16(terms[g], taps[ky][kx][g]);
                        }
                    }
                }
            }
        }
        terms
    }
}
