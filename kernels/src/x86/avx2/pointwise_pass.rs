//! 1×1 binary convolution with stride 1 for the epilogue that most of these layers have:
//! a stream, perhaps bits, a shifted PReLU, and a shortcut from the same pixels. As the
//! pixels of all rows are one long run, there are no rows.
//!
//! Counts are looked up by nibbles as in `binary_conv.rs`; where sums are long enough, for
//! two pixels at once, as in `pairs.rs`.
//!
//! A block's weights are split into nibbles once for all pixels; between the counters and
//! the stores nothing is in memory, and nothing is asked per pixel.
//!
//! The counts of a register's first 16 channels are its even bytes, those of the others its
//! odd ones: to tell them apart takes nothing across halves. Of up to 240 inputs they start
//! at half of the products below 0, and a product by a power of two, of which 16 bits are
//! left, makes accumulators of even bytes as they are.
//!
//! The shortest sums take turns with the epilogue of the pixel before. A tile's loop has no
//! bounds to check, which would take more registers than there are: [`Block::run`] looks at
//! everything once.

// Fixed loops over indices are unrolled into registers; iterators over the same
// arrays often are not.
#![allow(clippy::needless_range_loop)]

use core::arch::x86_64::*;
use core::mem::MaybeUninit;
use core::ops::Range;

use super::Avx2;
use super::binary_conv;
use super::outputs::{ANY, EIGHT, Extra, Halves, Loads, Means, OfKind, Outputs, Place, Shifts};
use super::pairs::{
    Found, PAIR, PIECE, THREE, THREES, VECTOR, count, groups, interleave, split, widened, with,
};
use crate::generic::BinaryJob;
use crate::generic::epilogue::{At, Sink};
use crate::generic::lanes::{LANES, Lanes, Outline, Work};
use crate::generic::mean::{Mean, mean_terms};
use crate::layout::{BINARY_LANES, pixel_bytes};
use crate::types::{Conv, Epilogue};

/// Pixels of a tile of short sums.
const TILE: usize = 4;

/// Lengths of sums. Up to 64 input channels, one pixel at a time is no slower.
const SHORTEST: u8 = 0;
const SHORT: u8 = 1;
const MIDDLE: u8 = 2;
/// More than counters of bytes take, or, of more than 16 channels, what [`Signed`] does not
/// suit.
const LONG: u8 = 3;

/// Bytes of the input in a short sum, at most.
const FEW: usize = 8;

/// The same in a sum for which the next pixel's counts, which are ready at once, are worth
/// more between the steps of an epilogue, which wait for each other, than weights that a
/// tile shares.
const FEWEST: usize = 4;

/// Steps of a block, at most, a multiple of three: its nibbles are on the stack.
const STEPS: usize = 258;

/// Bytes for the nibbles of two pixels each that rows are found by.
const INDICES: usize = 4096;

/// Whether the job is one for [`run`].
#[inline(always)]
pub(super) fn suits(job: &BinaryJob<'_>) -> bool {
    job.usual_pointwise(TILE) && job.conv.input.c.div_ceil(8) <= STEPS / 2
}

/// The 16 channels from `channel` on, or 8 if there are no more.
fn group(channels: usize, channel: usize) -> At {
    At { column: 0, channel, count: (channels - channel).min(LANES) }
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

/// The nibbles of 64 channels' weights of a step, or of 32 channels'.
type Nibbles = [MaybeUninit<__m256i>; 2 * STEPS];

impl Work for Whole<'_> {
    #[inline(always)]
    fn run(self) {
        let Whole { isa, job } = self;
        let BinaryJob { conv, input, weights, rows, epilogue, .. } = job;
        let Epilogue::Stream { shift, shortcut: Some(taken), .. } = &epilogue else { return };
        let shifts = Shifts::new(isa, *shift as u32, conv.input.c, taken.shift);
        let channels = conv.output.c;
        let steps = conv.input.c.div_ceil(8);
        let mut sink = Sink::new(epilogue, conv.output, &rows, conv.input.c);
        let mut nibbles = [MaybeUninit::uninit(); 2 * STEPS];
        let bytes = conv.input.w * pixel_bytes(conv.input.c);
        let input = &input[rows.start * bytes..rows.end * bytes];
        for first in (0..channels).step_by(BINARY_LANES) {
            let stride = (channels - first).min(BINARY_LANES);
            let weights = &weights[first * steps..][..stride * steps];
            let mut done = 0;
            while done < stride {
                let count = match stride {
                    BINARY_LANES => BINARY_LANES,
                    _ => (stride - done).min(VECTOR),
                };
                split(isa, weights, stride, done, count, &mut nibbles);
                let (rows, sink, nibbles) = (rows.clone(), &mut sink, &nibbles);
                let channel = first + done;
                let block = Block { isa, conv, input, nibbles, rows, sink, channel, shifts };
                match count.div_ceil(LANES) {
                    1 => block.run::<1, 1>(),
                    2 => block.run::<1, 2>(),
                    _ => block.run::<2, 4>(),
                }
                done += count;
            }
        }
    }
}

/// All pixels of 64 channels, or of up to 32.
struct Block<'b, 'a> {
    isa: Avx2,
    conv: Conv,
    /// Of these rows.
    input: &'b [u8],
    nibbles: &'b Nibbles,
    rows: Range<usize>,
    sink: &'b mut Sink<'a>,
    channel: usize,
    shifts: Shifts,
}

impl Block<'_, '_> {
    /// R registers of counters and G groups of 16 channels per pixel.
    #[inline(always)]
    fn run<const R: usize, const G: usize>(self) {
        let Block { isa, conv, input, nibbles, rows, sink, channel, shifts } = self;
        let channels = conv.output.c;
        let row = sink.row(rows.start);
        let mut parameters = [row.parameters(isa, channel); G];
        for g in 1..G {
            parameters[g] = row.parameters(isa, channel + g * LANES);
        }
        let to = sink.usual_rows(rows, 1).expect("a shortcut");
        let stream = to.stream.expect("a stream");
        let pixel = pixel_bytes(conv.input.c);
        let bytes = conv.input.c.div_ceil(8);
        let threes = (2 * bytes).div_ceil(THREE);
        // From the first element of the first pixel to the last's `own`th.
        let reach = |of: usize, own: usize| (to.pixels - 1) * of + own;
        let (byte, own) = (channel / 8, (channels - channel).min(G * LANES));
        // The first of a 64-bit word writes all of it, what comes after 32 channels the
        // rest.
        let word = channel.is_multiple_of(BINARY_LANES);
        let written = if word { 8 } else { 4 };
        let step = to.channels;
        let from = to.shortcut[..reach(step, step)].as_ptr();
        let outputs = Outputs::<G> {
            isa,
            shifts,
            parameters,
            stream: stream[channel..][..reach(channels, own)].as_mut_ptr(),
            channels,
            bits: to.bits.map(|bits| bits[byte..][..reach(to.pixel, written)].as_mut_ptr()),
            bytes: to.pixel,
            word,
            prelu: true,
            eight: own < G * LANES,
        };
        let tiles = Tiles::<R, G> {
            isa,
            input: input[..reach(pixel, pixel)].as_ptr(),
            pixel,
            nibbles: nibbles[..R * THREE * threes].as_ptr().cast(),
            steps: bytes,
            threes,
            terms: isa.splat16((conv.input.c << shifts.exact) as i16),
            short: Signed::suits(conv.input.c, shifts.exact),
            signed: Signed::new(isa, conv.input.c, shifts.exact),
            outputs,
            pixels: to.pixels,
        };
        let firsts: [usize; G] = core::array::from_fn(|g| channel + g * LANES);
        if step > channels {
            let terms = firsts.map(|first| {
                let at = group(channels, first);
                mean_terms(step, channels, at).expect("as `suits` found")
            });
            let mut means = [(terms[0], Mean::new(isa, terms[0], channels)); G];
            for g in 1..G {
                means[g] = (terms[g], Mean::new(isa, terms[g], channels));
            }
            (tiles, Means { from, step, channels, firsts, means }).outline::<ANY>();
        } else if step == channels || step.is_multiple_of(LANES) {
            outputs
                .of_kind((tiles, Loads { from, step, firsts: firsts.map(|first| first % step) }));
        } else {
            let firsts = firsts.map(|first| [first % step, (first + EIGHT) % step]);
            (tiles, Halves { from, step, firsts }).outline::<ANY>();
        }
    }
}

/// Any pixels of some channels. All pointers are at the first of both.
#[derive(Clone, Copy)]
struct Tiles<const R: usize, const G: usize> {
    isa: Avx2,
    input: *const u8,
    /// Bytes per pixel of the input.
    pixel: usize,
    nibbles: *const __m256i,
    /// Bytes of a sum, and threes of nibbles.
    steps: usize,
    threes: usize,
    /// What twice the differing bits are taken from, shifted.
    terms: __m256i,
    /// See [`Signed::suits`].
    short: bool,
    signed: Signed,
    outputs: Outputs<G>,
    pixels: usize,
}

/// How counts that start below 0 become accumulators, shifted to the left as far as that is
/// exact.
#[derive(Clone, Copy)]
struct Signed {
    /// What bytes start from: half of the products, below 0.
    start: __m256i,
    /// What even bytes are multiplied by, and odd ones, once they are alone.
    by: [__m256i; 2],
}

impl Signed {
    /// Whether it can be done for sums of so many products: half of them is a number, a
    /// byte takes it, and even bytes leave their 16 bits no place for odd ones.
    #[inline(always)]
    fn suits(products: usize, exact: u32) -> bool {
        products.is_multiple_of(2) && products <= 4 * THREE * THREES && exact >= 7
    }

    /// For those that it [`Signed::suits`].
    #[inline(always)]
    fn new(isa: Avx2, products: usize, exact: u32) -> Signed {
        // SAFETY: `isa` proves AVX2.
        let start = unsafe { _mm256_set1_epi8(((products / 2) as i8).wrapping_neg()) };
        let by = [exact + 1, exact.saturating_sub(7)].map(|shift| isa.splat16(-1 << shift));
        Signed { start, by }
    }

    /// The accumulators of even bytes, and of odd ones.
    #[inline(always)]
    fn accumulators(&self, isa: Avx2, bytes: __m256i) -> [__m256i; 2] {
        // SAFETY: `isa` proves AVX2.
        let odd = unsafe { _mm256_and_si256(bytes, _mm256_set1_epi16(0xFF00_u16 as i16)) };
        [isa.mul16(bytes, self.by[0]), isa.mul16(odd, self.by[1])]
    }
}

impl<X: Extra, const R: usize, const G: usize> OfKind for (Tiles<R, G>, X) {
    #[inline(always)]
    fn outline<const KIND: u32>(self) {
        let (tiles, extra) = self;
        let isa = tiles.isa;
        let short = tiles.short || G == 1;
        if G > 1 && short && tiles.steps <= FEWEST {
            isa.outline(Run::<X, R, G, SHORTEST, KIND> { tiles, extra });
        } else if short && tiles.steps <= FEW {
            isa.outline(Run::<X, R, G, SHORT, KIND> { tiles, extra });
        } else if short && tiles.threes <= THREES {
            isa.outline(Run::<X, R, G, MIDDLE, KIND> { tiles, extra });
        } else {
            isa.outline(Run::<X, R, G, LONG, KIND> { tiles, extra });
        }
    }
    #[inline(always)]
    fn outline_doubled<const KIND: u32>(self) {
        self.outline::<KIND>();
    }
    #[inline(always)]
    fn outline_far<const KIND: u32>(self) {
        let (tiles, extra) = self;
        if tiles.threes <= THREES {
            return (tiles, extra).outline::<ANY>();
        }
        tiles.isa.outline(Run::<X, R, G, LONG, KIND> { tiles, extra });
    }
}

/// LENGTH: [`SHORTEST`] (of more than one group), [`SHORT`], [`MIDDLE`] or [`LONG`]; KIND: see
/// [`Shifts::kind`].
struct Run<X, const R: usize, const G: usize, const LENGTH: u8, const KIND: u32> {
    tiles: Tiles<R, G>,
    extra: X,
}

impl<X: Extra, const R: usize, const G: usize, const LENGTH: u8, const KIND: u32> Work
    for Run<X, R, G, LENGTH, KIND>
{
    #[inline(always)]
    fn run(self) {
        let Tiles { isa, input, pixel, pixels, .. } = self.tiles;
        if LENGTH == SHORTEST {
            // SAFETY: `Block::run` looked at so many pixels of everything.
            return unsafe { self.one_by_one() };
        }
        if LENGTH == SHORT {
            // The last tile may overlap the one before it: the same values are written
            // twice.
            for first in (0..pixels).step_by(TILE) {
                // SAFETY: `Block::run` looked at so many pixels of everything; there are
                // at least as many as a tile has.
                unsafe { self.four(first.min(pixels - TILE)) };
            }
            return;
        }
        // What comes after a pair's last piece stays 0.
        let stride = 2 * pixel.next_multiple_of(PIECE) + 2 * PIECE;
        let mut indices = [0; INDICES];
        for first in (0..pixels).step_by(PAIR * (INDICES / stride)) {
            // The last pair may overlap the one before it.
            let pairs = (first..pixels).step_by(PAIR).map(|first| first.min(pixels - PAIR));
            for (first, to) in pairs.clone().zip(indices.chunks_exact_mut(stride)) {
                // SAFETY: `Block::run` looked at so many pixels; there are two.
                unsafe { interleave(isa, input.add(first * pixel), pixel, pixel, to) };
            }
            for (first, indices) in pairs.zip(indices.chunks_exact(stride)) {
                // SAFETY: `Block::run` looked at so many pixels of everything.
                unsafe { self.pair(first, indices.as_ptr()) };
            }
        }
    }
}

impl<X: Extra, const R: usize, const G: usize, const LENGTH: u8, const KIND: u32>
    Run<X, R, G, LENGTH, KIND>
{
    /// Whether counts start below 0.
    const SIGNED: bool = G > 1 && LENGTH != LONG;

    /// What counts start from.
    #[inline(always)]
    fn start(&self) -> __m256i {
        let Tiles { isa, signed, .. } = self.tiles;
        if Self::SIGNED { signed.start } else { isa.splat16(0) }
    }

    /// All pixels, the counts of each before the epilogue of the one before it.
    ///
    /// # Safety
    /// There are so many.
    #[inline(always)]
    unsafe fn one_by_one(&self) {
        let Tiles { pixels, ref outputs, .. } = self.tiles;
        let mut place = outputs.place(&self.extra, 0);
        // SAFETY: of this function.
        unsafe {
            let mut next = self.one(0);
            for p in 0..pixels {
                let counts = next;
                next = self.one((p + 1).min(pixels - 1));
                self.finish_signed(place, counts);
                place = outputs.next(&self.extra, place);
            }
        }
    }

    /// The counts of a pixel.
    ///
    /// # Safety
    /// There is such a pixel.
    #[inline(always)]
    unsafe fn one(&self, p: usize) -> [__m256i; R] {
        let Tiles { isa, input, pixel, nibbles, steps, .. } = self.tiles;
        let mut counts = [self.start(); R];
        // SAFETY: of this function; `isa` proves AVX2.
        unsafe {
            for k in 0..steps {
                let row = row(input.add(p * pixel + k));
                let low = _mm256_broadcastsi128_si256(_mm_load_si128(row));
                let high = _mm256_broadcastsi128_si256(_mm_load_si128(row.add(1)));
                counts = with_step(isa, counts, [low, high], nibbles.add(2 * R * k));
            }
        }
        counts
    }

    /// # Safety
    /// From pixel `first` on there are four.
    #[inline(always)]
    unsafe fn four(&self, first: usize) {
        let Tiles { isa, input, pixel, nibbles, steps, ref outputs, .. } = self.tiles;
        let mut counts = [[self.start(); R]; TILE];
        // Pixels whose counts are in a register.
        let each = if G == 1 { 2 } else { 1 };
        // SAFETY: of this function; `isa` proves AVX2.
        unsafe {
            let mut inputs = [input.add(first * pixel); TILE];
            for p in 1..TILE {
                inputs[p] = inputs[p - 1].add(pixel);
            }
            for k in 0..steps {
                let weights = nibbles.add(2 * R * k);
                for p in (0..TILE).step_by(each) {
                    // Of two pixels in either half, or of one in both.
                    let (a, b) = (row(inputs[p].add(k)), row(inputs[p + each - 1].add(k)));
                    let low = _mm256_set_m128i(_mm_load_si128(b), _mm_load_si128(a));
                    let high = _mm256_set_m128i(_mm_load_si128(b.add(1)), _mm_load_si128(a.add(1)));
                    counts[p] = with_step(isa, counts[p], [low, high], weights);
                }
            }
            let mut place = outputs.place(&self.extra, first);
            for p in (0..TILE).step_by(each) {
                if G == 1 {
                    let [one, other] = halves(isa, counts[p][0]);
                    self.finish(place, [one; G]);
                    place = outputs.next(&self.extra, place);
                    self.finish(place, [other; G]);
                } else {
                    self.finish_signed(place, counts[p]);
                }
                place = outputs.next(&self.extra, place);
            }
        }
    }

    /// # Safety
    /// From pixel `first` on there are two, and theirs are the indices.
    #[inline(always)]
    unsafe fn pair(&self, first: usize, indices: *const u8) {
        let Tiles { isa, nibbles, threes, ref outputs, .. } = self.tiles;
        let mut place = outputs.place(&self.extra, first);
        // SAFETY: of this function; there are so many indices and nibbles.
        unsafe {
            if LENGTH != LONG {
                let from = Found { indices, weights: nibbles };
                let bytes = count::<R>(isa, from, threes, self.start());
                for p in 0..PAIR {
                    if G == 1 {
                        let [one, _] = halves(isa, bytes[p][0]);
                        self.finish(place, [one; G]);
                    } else {
                        self.finish_signed(place, bytes[p]);
                    }
                    place = outputs.next(&self.extra, place);
                }
                return;
            }
            let mut sums = [[[isa.splat16(0); 2]; R]; PAIR];
            let mut done = 0;
            while done < threes {
                let end = threes.min(done + THREES);
                let from = Found {
                    indices: indices.add(THREE * done),
                    weights: nibbles.add(THREE * R * done),
                };
                let bytes = count::<R>(isa, from, end - done, self.start());
                for p in 0..PAIR {
                    for r in 0..R {
                        let wide = match G {
                            1 => halves(isa, bytes[p][r]),
                            _ => widened(isa, bytes[p][r]),
                        };
                        sums[p][r] = with(isa, sums[p][r], wide);
                    }
                }
                done = end;
            }
            for p in 0..PAIR {
                let mut counts = [isa.splat16(0); G];
                for g in 0..G {
                    counts[g] = match G {
                        1 => sums[p][0][0],
                        _ => groups(isa, sums[p][g / 2])[g % 2],
                    };
                }
                self.finish(place, counts);
                place = outputs.next(&self.extra, place);
            }
        }
    }

    /// The epilogue of a pixel's counts.
    ///
    /// # Safety
    /// There is such a pixel.
    #[inline(always)]
    unsafe fn finish(&self, place: Place, counts: [__m256i; G]) {
        let Tiles { terms, ref outputs, .. } = self.tiles;
        // SAFETY: of this function.
        unsafe { outputs.put::<X, KIND>(&self.extra, place, &[terms; G], counts) };
    }

    /// The same of counts that started below 0.
    ///
    /// # Safety
    /// There is such a pixel.
    #[inline(always)]
    unsafe fn finish_signed(&self, place: Place, counts: [__m256i; R]) {
        let Tiles { isa, signed, ref outputs, .. } = self.tiles;
        let mut values = [isa.splat16(0); G];
        for g in 0..G {
            values[g] = signed.accumulators(isa, counts[g / 2])[g % 2];
        }
        // SAFETY: of this function.
        unsafe { outputs.put_exact::<X, KIND>(&self.extra, place, values) };
    }
}

/// In how many bits a byte's low nibble differs from any, and then its high one.
///
/// # Safety
/// There is a byte.
#[inline(always)]
unsafe fn row(byte: *const u8) -> *const __m128i {
    // SAFETY: of this function; there is a row for every byte.
    unsafe { binary_conv::ROWS.0.as_ptr().add(byte.read().into()).cast() }
}

/// Counts and those of a byte, whose rows are looked up.
///
/// # Safety
/// There are weights of 32·R channels.
#[inline(always)]
unsafe fn with_step<const R: usize>(
    _: Avx2,
    mut counts: [__m256i; R],
    [low, high]: [__m256i; 2],
    weights: *const __m256i,
) -> [__m256i; R] {
    // SAFETY: of this function; an `Avx2` proves AVX2.
    unsafe {
        for r in 0..R {
            let low = _mm256_shuffle_epi8(low, weights.add(r).read());
            let high = _mm256_shuffle_epi8(high, weights.add(R + r).read());
            counts[r] = _mm256_add_epi8(counts[r], low);
            counts[r] = _mm256_add_epi8(counts[r], high);
        }
    }
    counts
}

/// The bytes of either half, zero-extended.
#[inline(always)]
fn halves(_: Avx2, bytes: __m256i) -> [__m256i; 2] {
    // SAFETY: an `Avx2` proves AVX2.
    unsafe {
        [
            _mm256_cvtepu8_epi16(_mm256_castsi256_si128(bytes)),
            _mm256_cvtepu8_epi16(_mm256_extracti128_si256::<1>(bytes)),
        ]
    }
}
