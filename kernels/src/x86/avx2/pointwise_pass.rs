//! 1×1 binary convolution with stride 1 for the epilogue that most of these layers have:
//! a stream, perhaps bits, a shifted PReLU, and a shortcut from the same pixels. As the
//! pixels of all rows are one long run, there are no rows.
//!
//! Counts are looked up by nibbles as in `binary_conv.rs`. Where sums are long enough, it
//! is done for two pixels at once: a byte of a row holds what one pixel's nibble differs by
//! in its low half, the other's in its high half. Three steps, of up to 4 bits each, fit
//! into a half. A sum of bytes that wraps takes them all; the high halves are kept apart as
//! well, by averages, which halve what they add and so never overflow; from both come the
//! low ones. For 32 channels, 12 steps of two pixels are 33 operations, where one pixel at
//! a time takes 48.
//!
//! A block's weights are split into nibbles once for all pixels; between the counters and
//! the stores nothing is in memory, and nothing is asked per pixel.
//!
//! The counts of a register's first 16 channels are its even bytes, those of the others its
//! odd ones: to tell them apart takes nothing across halves. Of up to 240 inputs they start
//! at half of the products below 0, and a product by a power of two, of which 16 bits are
//! left, makes accumulators of even bytes as they are.
//!
//! A tile's loop has no bounds to check, which would take more registers than there are:
//! [`Block::run`] looks at everything once.

// Fixed loops over indices are unrolled into registers; iterators over the same
// arrays often are not.
#![allow(clippy::needless_range_loop)]

use core::arch::asm;
use core::arch::x86_64::*;
use core::mem::MaybeUninit;
use core::ops::Range;

use super::Avx2;
use super::binary_conv;
use super::outputs::{ANY, EIGHT, Extra, Halves, Loads, Means, OfKind, Outputs, Place, Shifts};
use crate::generic::BinaryJob;
use crate::generic::epilogue::{At, Sink};
use crate::generic::lanes::{LANES, Lanes, Outline, Work};
use crate::generic::mean::{Mean, mean_terms};
use crate::layout::{BINARY_LANES, pixel_bytes};
use crate::types::{Conv, Epilogue};

/// Byte counters in a register.
pub(super) const VECTOR: usize = 32;

/// Pixels whose counts share bytes.
pub(super) const PAIR: usize = 2;

/// Pixels of a tile of short sums.
const TILE: usize = 4;

/// Lengths of sums. Up to 64 input channels, one pixel at a time is no slower.
const SHORT: u8 = 0;
const MIDDLE: u8 = 1;
/// More than counters of bytes take, or, of more than 16 channels, what [`Signed`] does not
/// suit.
const LONG: u8 = 2;

/// Bytes of the input in a short sum, at most.
const FEW: usize = 8;

/// Steps (4 input channels each) whose counts are added before halves are taken apart.
pub(super) const THREE: usize = 3;

/// Such threes whose high halves are averaged.
const FOUR: usize = 4;

/// Threes after which counters of bytes must be widened, a multiple of [`FOUR`]: a step
/// adds at most 4.
pub(super) const THREES: usize = 20;
const _: () = assert!(THREES * THREE * 4 <= 255 && THREES.is_multiple_of(FOUR));

/// Steps of a block, at most, a multiple of three: its nibbles are on the stack.
const STEPS: usize = 258;

/// Bytes of a pixel that become indices at a time.
pub(super) const PIECE: usize = 16;

/// Bytes for the nibbles of two pixels each that rows are found by.
const INDICES: usize = 4096;

/// For a nibble of each of two pixels, the first in the low half of the index: in how many
/// bits it differs from any nibble, the first's in the low half of a byte.
#[repr(align(64))]
struct Rows([[u8; 16]; 256]);

static ROWS: Rows = {
    let mut rows = [[0; 16]; 256];
    let mut x = 0usize;
    while x < 256 {
        let mut w = 0;
        while w < 16 {
            let (first, second) = (((x & 15) ^ w).count_ones(), (x >> 4 ^ w).count_ones());
            rows[x][w] = (first | second << 4) as u8;
            w += 1;
        }
        x += 1;
    }
    Rows(rows)
};

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

/// The nibbles of `count` of the `stride` channels of a block, from the `first` on: in each
/// register those of 16 channels and of 16 more in turn, or those of 16 or fewer in both
/// halves; zeros up to a multiple of three steps.
#[inline(always)]
pub(super) fn split(
    isa: Avx2,
    weights: &[u8],
    stride: usize,
    first: usize,
    count: usize,
    to: &mut [MaybeUninit<__m256i>],
) {
    let registers = count.div_ceil(VECTOR);
    let (split, rest) = to.split_at_mut(weights.len() / stride * 2 * registers);
    let to = split.chunks_exact_mut(2 * registers);
    for (row, to) in weights.chunks_exact(stride).zip(to) {
        let mut bytes = [0; BINARY_LANES];
        bytes[..count].copy_from_slice(&row[first..first + count]);
        if count <= LANES {
            bytes.copy_within(..LANES, LANES);
        }
        let (low, high) = to.split_at_mut(registers);
        for (r, (low, high)) in low.iter_mut().zip(high).enumerate() {
            // SAFETY: an `Avx2` proves AVX2; 32 bytes each are read from 0 and 32 of 64.
            unsafe {
                let mut bytes = _mm256_loadu_si256(bytes.as_ptr().add(r * VECTOR).cast());
                if count > LANES {
                    bytes = _mm256_permute4x64_epi64::<0b11_01_10_00>(bytes);
                    bytes = _mm256_unpacklo_epi8(bytes, _mm256_srli_si256::<8>(bytes));
                }
                let nibble = _mm256_set1_epi8(0x0F);
                low.write(_mm256_and_si256(bytes, nibble));
                high.write(_mm256_and_si256(_mm256_srli_epi16::<4>(bytes), nibble));
            }
        }
    }
    for to in rest.iter_mut().take((THREE - 1) * registers) {
        to.write(isa.splat16(0));
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
        if short && tiles.steps <= FEW {
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

/// LENGTH: [`SHORT`], [`MIDDLE`] or [`LONG`]; KIND: see [`Shifts::kind`].
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
            let rows = |p: usize, k: usize| -> *const __m128i {
                let byte = inputs[p].add(k).read();
                binary_conv::ROWS.0.as_ptr().add(byte.into()).cast()
            };
            for k in 0..steps {
                let weights = nibbles.add(2 * R * k);
                for p in (0..TILE).step_by(each) {
                    // Of two pixels in either half, or of one in both.
                    let (a, b) = (rows(p, k), rows(p + each - 1, k));
                    let low = _mm256_set_m128i(_mm_load_si128(b), _mm_load_si128(a));
                    let high = _mm256_set_m128i(_mm_load_si128(b.add(1)), _mm_load_si128(a.add(1)));
                    for r in 0..R {
                        let low = _mm256_shuffle_epi8(low, weights.add(r).read());
                        let high = _mm256_shuffle_epi8(high, weights.add(R + r).read());
                        counts[p][r] = _mm256_add_epi8(counts[p][r], low);
                        counts[p][r] = _mm256_add_epi8(counts[p][r], high);
                    }
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

/// The indices of two runs of so many bytes, a multiple of 8, the second `apart` from the
/// first; and zeros up to a whole piece.
///
/// # Safety
/// There are so many bytes of each.
#[inline(always)]
pub(super) unsafe fn interleave(
    _: Avx2,
    pixels: *const u8,
    apart: usize,
    bytes: usize,
    indices: &mut [u8],
) {
    for (at, to) in (0..bytes).step_by(PIECE).zip(indices.as_chunks_mut::<{ 2 * PIECE }>().0) {
        // SAFETY: of this function; an `Avx2` proves AVX2; `to` is the 32 bytes written.
        unsafe {
            let from = pixels.add(at);
            let (a, b) = if at + PIECE <= bytes {
                (_mm_loadu_si128(from.cast()), _mm_loadu_si128(from.add(apart).cast()))
            } else {
                (_mm_loadl_epi64(from.cast()), _mm_loadl_epi64(from.add(apart).cast()))
            };
            // What the high nibbles of `a` and the low ones of `b` differ by is in both
            // when they change places.
            let other = _mm_and_si128(_mm_xor_si128(_mm_srli_epi16::<4>(a), b), _mm_set1_epi8(15));
            let low = _mm_xor_si128(a, _mm_slli_epi16::<4>(other));
            let high = _mm_xor_si128(b, other);
            let to: *mut __m128i = to.as_mut_ptr().cast();
            _mm_storeu_si128(to, _mm_unpacklo_epi8(low, high));
            _mm_storeu_si128(to.add(1), _mm_unpackhi_epi8(low, high));
        }
    }
}

/// Threes of steps of two pixels and 32·R channels: what each adds, the first pixel's in
/// the low nibbles.
pub(super) trait Threes<const R: usize> {
    /// # Safety
    /// There are so many.
    unsafe fn three(&self, isa: Avx2, at: usize) -> [__m256i; R];
}

/// Those of a tile.
pub(super) struct Found {
    pub(super) indices: *const u8,
    pub(super) weights: *const __m256i,
}

impl<const R: usize> Threes<R> for Found {
    #[inline(always)]
    unsafe fn three(&self, isa: Avx2, at: usize) -> [__m256i; R] {
        let mut sums = [isa.splat16(0); R];
        for step in 0..THREE {
            // SAFETY: of this function; `isa` proves AVX2.
            unsafe {
                let index = self.indices.add(THREE * at + step).read();
                let row = _mm_load_si128(ROWS.0.as_ptr().add(index.into()).cast());
                let row = _mm256_broadcastsi128_si256(row);
                let weights = self.weights.add((THREE * at + step) * R);
                for r in 0..R {
                    let found = _mm256_shuffle_epi8(row, weights.add(r).read());
                    sums[r] = if step == 0 { found } else { _mm256_add_epi8(sums[r], found) };
                }
            }
        }
        sums
    }
}

/// In how many bits either pixel differs from each channel in so many threes, up to
/// [`THREES`]; and what that starts from.
///
/// # Safety
/// There are so many.
#[inline(always)]
pub(super) unsafe fn count<const R: usize>(
    isa: Avx2,
    from: impl Threes<R>,
    threes: usize,
    start: __m256i,
) -> [[__m256i; R]; PAIR] {
    let zero = isa.splat16(0);
    let mut all = [start; R];
    let mut second = [zero; R];
    let mut done = 0;
    // SAFETY: of this function; `isa` proves AVX2.
    unsafe {
        while done + FOUR <= threes {
            let (a, b) = (from.three(isa, done), from.three(isa, done + 1));
            let mut half = [zero; R];
            for r in 0..R {
                all[r] = _mm256_add_epi8(_mm256_add_epi8(all[r], a[r]), b[r]);
                half[r] = average(high(isa, a[r]), high(isa, b[r]));
            }
            let (a, b) = (from.three(isa, done + 2), from.three(isa, done + 3));
            for r in 0..R {
                all[r] = _mm256_add_epi8(_mm256_add_epi8(all[r], a[r]), b[r]);
                let other_half = average(high(isa, a[r]), high(isa, b[r]));
                // A quarter of 16 times the sum: a shift leaves nothing of a neighbour.
                let quarter = average(half[r], other_half);
                second[r] = _mm256_add_epi8(second[r], _mm256_srli_epi16::<2>(quarter));
            }
            done += FOUR;
        }
        while done < threes {
            let a = from.three(isa, done);
            for r in 0..R {
                all[r] = _mm256_add_epi8(all[r], a[r]);
                let once = _mm256_srli_epi16::<4>(high(isa, a[r]));
                second[r] = _mm256_add_epi8(second[r], once);
            }
            done += 1;
        }
        let mut first = [zero; R];
        for r in 0..R {
            // Without what neighbours would shift into each other.
            let low = _mm256_and_si256(second[r], _mm256_set1_epi8(15));
            first[r] = _mm256_sub_epi8(all[r], _mm256_slli_epi16::<4>(low));
            second[r] = _mm256_add_epi8(second[r], start);
        }
        [first, second]
    }
}

/// Half of the sum of bytes, rounded up. The compiler, which sees that there is nothing to
/// round, would take it apart.
#[inline]
#[target_feature(enable = "avx2")]
fn average(a: __m256i, b: __m256i) -> __m256i {
    let average;
    // SAFETY: it reads and writes these registers.
    unsafe {
        asm!(
            "vpavgb {}, {}, {}", out(ymm_reg) average, in(ymm_reg) a, in(ymm_reg) b,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    average
}

/// The high nibbles, where they are.
#[inline(always)]
fn high(_: Avx2, bytes: __m256i) -> __m256i {
    // SAFETY: an `Avx2` proves AVX2.
    unsafe { _mm256_and_si256(bytes, _mm256_set1_epi8(-16)) }
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

/// Sums of 16 bits that 32 counters become: what even and odd ones are, 256 times as much,
/// together, and what odd ones are.
pub(super) type Wide = [__m256i; 2];

#[inline(always)]
pub(super) fn widened(_: Avx2, bytes: __m256i) -> Wide {
    // SAFETY: an `Avx2` proves AVX2.
    [bytes, unsafe { _mm256_srli_epi16::<8>(bytes) }]
}

#[inline(always)]
pub(super) fn with(isa: Avx2, a: Wide, b: Wide) -> Wide {
    [isa.add16(a[0], b[0]), isa.add16(a[1], b[1])]
}

/// The sums of the first 16 channels and of the others.
#[inline(always)]
pub(super) fn groups(isa: Avx2, [all, odd]: Wide) -> [__m256i; 2] {
    // SAFETY: an `Avx2` proves AVX2.
    [isa.sub16(all, unsafe { _mm256_slli_epi16::<8>(odd) }), odd]
}
