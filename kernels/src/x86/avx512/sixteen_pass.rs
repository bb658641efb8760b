//! 1×1 binary convolution with stride 1 from up to 64 channels to 16, as a network has
//! where its images are largest: a register holds the byte counters of four neighbouring
//! pixels, and half of it, widened, the values of two, which lie together in the stream.
//! For the epilogue of `pointwise_pass`, with a shortcut from 8, 16 or 32 channels.

// Fixed loops over indices are unrolled into registers; iterators over the same
// arrays often are not.
#![allow(clippy::needless_range_loop)]

use core::arch::x86_64::*;

use super::Avx512;
use super::binary_put::{Extra, FAR, Loads, NEAR, Shift, To, halves};
use super::lanes::Scale;
use crate::generic::BinaryJob;
use crate::generic::epilogue::{Parameters, Sink};
use crate::generic::lanes::{LANES, Lanes, Outline, WIDE, Work};
use crate::layout::pixel_bytes;
use crate::types::{Conv, Epilogue};

/// Registers of byte counters in a tile.
const TILE: usize = 2;

/// Pixels of a tile.
const PIXELS: usize = 4 * TILE;

/// Bytes per pixel of bits.
const PIXEL: usize = 8;

/// Whether a job that suits `pointwise_pass`, and so has a tile's pixels, is one for [`run`].
#[inline(always)]
pub(super) fn suits(job: &BinaryJob<'_>) -> bool {
    let Conv { input, output, .. } = job.conv;
    let Epilogue::Stream { shortcut: Some(taken), .. } = &job.epilogue else { return false };
    output.c == LANES && pixel_bytes(input.c) == PIXEL && matches!(taken.shape.c, 8 | 16 | 32)
}

/// The whole operation, which [`suits`].
#[inline(always)]
pub(super) fn run(isa: Avx512, job: BinaryJob<'_>, (shift, scale): (Shift, Scale)) {
    let BinaryJob { conv, input, weights, rows, epilogue, .. } = job;
    let mut sink = Sink::new(epilogue, conv.output, &rows, conv.input.c);
    let parameters = twice(isa, sink.row(rows.start).parameters(isa, 0));
    let input = &input[rows.start * conv.input.w * PIXEL..];
    let to = sink.usual_rows(rows, 1).expect("a shortcut");
    let stream = to.stream.expect("a stream");
    let pixels = to.pixels;
    assert!(pixels >= PIXELS, "as many as a tile of `pointwise_pass` has");
    let tiles = Tiles {
        isa,
        input: input[..pixels * PIXEL].as_ptr(),
        steps: weights.as_chunks().0,
        terms: isa.splat16((conv.input.c << shift.exact) as i16),
        to: To {
            isa,
            shift,
            parameters: [parameters; 2],
            there: [u32::MAX; 2],
            stream: stream[..pixels * LANES].as_mut_ptr(),
            channels: LANES,
            bits: to.bits.map(|bits| bits[..pixels * PIXEL].as_mut_ptr()),
            bytes: PIXEL,
            scale,
        },
        pixels,
    };
    let from = to.shortcut[..pixels * to.channels].as_ptr();
    match to.channels {
        8 => tiles.outline(Twice { from }),
        16 => tiles.outline(Loads { from, step: LANES, firsts: [0; 2] }),
        _ => tiles.outline(Halves { from }),
    }
}

/// Those of 16 channels, for two pixels.
#[inline(always)]
fn twice(isa: Avx512, mut of: Parameters<Avx512, WIDE>) -> Parameters<Avx512, WIDE> {
    for x in [
        &mut of.multiplier,
        &mut of.bias,
        &mut of.before,
        &mut of.slope,
        &mut of.after,
        &mut of.sign,
    ] {
        *x = both(isa, *x);
    }
    of
}

/// The lower half, twice.
#[inline(always)]
fn both(_: Avx512, x: __m512i) -> __m512i {
    // SAFETY: an `Avx512` proves AVX-512 F.
    unsafe { _mm512_shuffle_i64x2::<0b01_00_01_00>(x, x) }
}

/// Any pixels. All pointers are at the first.
#[derive(Clone, Copy)]
struct Tiles<'w> {
    isa: Avx512,
    input: *const u8,
    /// The weights of each.
    steps: &'w [[u8; LANES]],
    /// What twice the differing bits are taken from, shifted.
    terms: __m512i,
    to: To,
    pixels: usize,
}

impl Tiles<'_> {
    #[inline(always)]
    fn outline(self, extra: impl Extra) {
        let (isa, tiles) = (self.isa, self);
        match self.to.kind() {
            0 => isa.outline(Run::<_, 0> { tiles, extra }),
            FAR => isa.outline(Run::<_, FAR> { tiles, extra }),
            1 | NEAR => isa.outline(Run::<_, NEAR> { tiles, extra }),
            _ => isa.outline(Run::<_, FAR> { tiles, extra }),
        }
    }
}

/// KIND: see [`To::kind`].
struct Run<'w, X, const KIND: u32> {
    tiles: Tiles<'w>,
    extra: X,
}

impl<X: Extra, const KIND: u32> Work for Run<'_, X, KIND> {
    #[inline(always)]
    fn run(self) {
        let pixels = self.tiles.pixels;
        // The last tile may overlap the one before it: the same values are written
        // twice.
        for first in (0..pixels).step_by(PIXELS) {
            // SAFETY: `run` looked at so many pixels of everything; there are at least as
            // many as a tile has.
            unsafe { self.tile(first.min(pixels - PIXELS)) };
        }
    }
}

impl<X: Extra, const KIND: u32> Run<'_, X, KIND> {
    /// # Safety
    /// From pixel `first` on there are as many as a tile has.
    #[inline(always)]
    unsafe fn tile(&self, first: usize) {
        let Tiles { isa, input, steps, terms, ref to, .. } = self.tiles;
        let mut counts = [isa.splat16(0); TILE];
        // SAFETY: of this function; `isa` proves AVX-512 F and BW.
        unsafe {
            let mut bytes = [isa.splat16(0); TILE];
            for v in 0..TILE {
                let pixels = input.add((first + 4 * v) * PIXEL).cast();
                let places = _mm512_setr_epi64(0, 0, 1, 1, 2, 2, 3, 3);
                let pixels = _mm512_castsi256_si512(_mm256_loadu_si256(pixels));
                bytes[v] = _mm512_permutexvar_epi64(places, pixels);
            }
            for (k, weights) in steps.iter().enumerate() {
                let row = _mm512_broadcast_i32x4(_mm_loadu_si128(weights.as_ptr().cast()));
                let place = _mm512_set1_epi8(k as i8);
                for v in 0..TILE {
                    let x = _mm512_shuffle_epi8(bytes[v], place);
                    let differing = _mm512_popcnt_epi8(_mm512_xor_si512(row, x));
                    counts[v] = _mm512_add_epi8(counts[v], differing);
                }
            }
            for v in 0..TILE {
                let sums = halves(isa, counts[v]);
                for half in 0..2 {
                    let pixel = first + 4 * v + 2 * half;
                    let below =
                        to.put::<X, true, KIND, true>(&self.extra, terms, pixel, 0, sums[half]);
                    to.put_bits(pixel, below & 0xFFFF, 0);
                    to.put_bits(pixel + 1, below >> 16, 0);
                }
            }
        }
    }
}

/// A shortcut from 8 channels.
#[derive(Clone, Copy)]
struct Twice {
    from: *const i16,
}

impl Extra for Twice {
    #[inline(always)]
    unsafe fn of<const WHOLE: bool>(
        &self,
        _: Avx512,
        pixel: usize,
        _: usize,
        _: __mmask32,
    ) -> __m512i {
        // SAFETY: of this function, for two pixels; an `Avx512` proves AVX-512 F.
        unsafe {
            let pixels = _mm256_loadu_si256(self.from.add(8 * pixel).cast());
            let pixels = _mm512_broadcast_i64x4(pixels);
            _mm512_shuffle_i64x2::<0b01_01_00_00>(pixels, pixels)
        }
    }
}

/// A shortcut from 32 channels: the means of two, halves rounded up.
#[derive(Clone, Copy)]
struct Halves {
    from: *const i16,
}

impl Extra for Halves {
    #[inline(always)]
    unsafe fn of<const WHOLE: bool>(
        &self,
        isa: Avx512,
        pixel: usize,
        _: usize,
        _: __mmask32,
    ) -> __m512i {
        let sign = isa.splat16(i16::MIN);
        // SAFETY: of this function, for two pixels; `isa` proves AVX-512 F and BW. Signed
        // numbers become unsigned ones, whose mean there is an instruction for.
        unsafe {
            let from = self.from.add(2 * LANES * pixel);
            let a = _mm512_xor_si512(_mm512_loadu_si512(from.cast()), sign);
            let b = _mm512_xor_si512(_mm512_loadu_si512(from.add(2 * LANES).cast()), sign);
            let lower = _mm512_shuffle_i64x2::<0b01_00_01_00>(a, b);
            let upper = _mm512_shuffle_i64x2::<0b11_10_11_10>(a, b);
            _mm512_xor_si512(_mm512_avg_epu16(lower, upper), sign)
        }
    }
}
