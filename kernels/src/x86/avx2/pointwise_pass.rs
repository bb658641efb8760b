//! 1×1 binary convolution with stride 1 for the epilogue that most of these layers have:
//! a stream, perhaps bits, a shifted PReLU, and a shortcut from the same pixels. As the
//! pixels of all rows are one long run, there are no rows.
//!
//! Counts are those of `binary_conv.rs`. A block's weights are split into nibbles once for
//! all pixels and not once per tile; between the counters and the stores nothing is in
//! memory, and nothing is asked per pixel.
//!
//! A tile's loop has no bounds to check, which would take more registers than there are:
//! [`Block::run`] looks at everything once.

// Fixed loops over indices are unrolled into registers; iterators over the same
// arrays often are not.
#![allow(clippy::needless_range_loop)]

use core::arch::x86_64::*;
use core::mem::MaybeUninit;
use core::ops::Range;

use super::Avx2;
use super::binary_conv::ROWS;
use super::shift::{Left, Taken};
use crate::generic::BinaryJob;
use crate::generic::binary_counter::STEPS_PER_BYTE;
use crate::generic::epilogue::{At, Parameters, Sink};
use crate::generic::lanes::{LANES, Lanes, Outline, Work};
use crate::generic::mean::{Mean, mean_terms};
use crate::layout::{BINARY_LANES, pixel_bytes};
use crate::passes::depthwise;
use crate::types::{Conv, Epilogue};

/// Byte counters in a register.
const VECTOR: usize = 32;

/// Registers of byte counters in a tile, of one or two per pixel.
const TILE: usize = 8;

/// Channels that the last group has, if not 16.
const EIGHT: usize = LANES / 2;

/// Steps of a block, at most: its nibbles are on the stack.
const STEPS: usize = 128;

/// Whether the job is one for [`run`].
#[inline(always)]
pub(super) fn suits(job: &BinaryJob<'_>) -> bool {
    job.usual_pointwise(TILE) && job.conv.input.c.div_ceil(8) <= STEPS
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

/// The low nibbles of 64 channels' weights of a step, or of 32 channels', then the high
/// ones.
type Nibbles = [MaybeUninit<__m256i>; 4 * STEPS];

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
        let mut nibbles = [MaybeUninit::uninit(); 4 * STEPS];
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
                    1 => block.run::<TILE, 1, 1>(),
                    2 => block.run::<TILE, 1, 2>(),
                    _ => block.run::<{ TILE / 2 }, 2, 4>(),
                }
                done += count;
            }
        }
    }
}

/// The nibbles of `count` of the `stride` channels of a block, from the `first` on.
#[inline(always)]
fn split(_: Avx2, weights: &[u8], stride: usize, first: usize, count: usize, to: &mut Nibbles) {
    let registers = count.div_ceil(VECTOR);
    let to = to.chunks_exact_mut(2 * registers);
    for (row, to) in weights.chunks_exact(stride).zip(to) {
        let mut bytes = [0; BINARY_LANES];
        bytes[..count].copy_from_slice(&row[first..first + count]);
        let (low, high) = to.split_at_mut(registers);
        for (r, (low, high)) in low.iter_mut().zip(high).enumerate() {
            // SAFETY: an `Avx2` proves AVX2; 32 bytes each are read from 0 and 32 of 64.
            unsafe {
                let bytes = _mm256_loadu_si256(bytes.as_ptr().add(r * VECTOR).cast());
                let nibble = _mm256_set1_epi8(0x0F);
                low.write(_mm256_and_si256(bytes, nibble));
                high.write(_mm256_and_si256(_mm256_srli_epi16::<4>(bytes), nibble));
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
    /// P pixels to a tile, R registers of counters and G groups of 16 channels per pixel.
    #[inline(always)]
    fn run<const P: usize, const R: usize, const G: usize>(self) {
        let Block { isa, conv, input, nibbles, rows, sink, channel, shifts } = self;
        let channels = conv.output.c;
        let row = sink.row(rows.start);
        let mut parameters = [row.parameters(isa, channel); G];
        for g in 1..G {
            parameters[g] = row.parameters(isa, channel + g * LANES);
        }
        let to = sink.usual_rows(rows, 1).expect("a shortcut");
        let stream = to.stream.expect("a stream");
        let (pixel, steps) = (pixel_bytes(conv.input.c), conv.input.c.div_ceil(8));
        // From the first element of the first pixel to the last's `own`th.
        let reach = |of: usize, own: usize| (to.pixels - 1) * of + own;
        let (byte, own) = (channel / 8, (channels - channel).min(G * LANES));
        // The first of a 64-bit word writes all of it, what comes after 32 channels the
        // rest.
        let word = channel.is_multiple_of(BINARY_LANES);
        let written = if word { 8 } else { 4 };
        let step = to.channels;
        let from = to.shortcut[..reach(step, step)].as_ptr();
        let tiles = Tiles::<P, R, G> {
            isa,
            input: input[..reach(pixel, steps)].as_ptr(),
            pixel,
            nibbles: nibbles[..2 * R * steps].as_ptr().cast(),
            steps,
            terms: isa.splat16((conv.input.c << shifts.exact) as i16),
            shifts,
            parameters,
            stream: stream[channel..][..reach(channels, own)].as_mut_ptr(),
            channels,
            bits: to.bits.map(|bits| bits[byte..][..reach(to.pixel, written)].as_mut_ptr()),
            bytes: to.pixel,
            word,
            eight: own < G * LANES,
            pixels: to.pixels,
        };
        let firsts: [usize; G] = core::array::from_fn(|g| channel + g * LANES);
        if step > channels {
            let means = firsts.map(|first| {
                let at = group(channels, first);
                let terms = mean_terms(step, channels, at).expect("as `suits` found");
                (terms, Mean::new(isa, terms, channels))
            });
            tiles.outline(Means { from, step, channels, firsts, means });
        } else if step == channels || step.is_multiple_of(LANES) {
            tiles.outline(Loads { from, step, firsts: firsts.map(|first| first % step) });
        } else {
            let firsts = firsts.map(|first| [first % step, (first + EIGHT) % step]);
            tiles.outline(Halves { from, step, firsts });
        }
    }
}

/// Any pixels of some channels. All pointers are at the first of both.
#[derive(Clone, Copy)]
struct Tiles<const P: usize, const R: usize, const G: usize> {
    isa: Avx2,
    input: *const u8,
    /// Bytes per pixel of the input.
    pixel: usize,
    nibbles: *const __m256i,
    steps: usize,
    /// What twice the differing bits are taken from, shifted.
    terms: __m256i,
    shifts: Shifts,
    parameters: [Parameters<Avx2>; G],
    stream: *mut i16,
    /// Elements per pixel of the stream.
    channels: usize,
    bits: Option<*mut u8>,
    /// Bytes per pixel of bits.
    bytes: usize,
    /// Whether they start a word of 64 channels, and write all of it.
    word: bool,
    /// Whether the last group has 8 channels.
    eight: bool,
    pixels: usize,
}

impl<const P: usize, const R: usize, const G: usize> Tiles<P, R, G> {
    #[inline(always)]
    fn outline<X: Extra>(self, extra: X) {
        // The rare ones in one way.
        let rare = G == 1 || X::RARE || self.eight;
        let kind = if rare { ANY } else { self.shifts.kind() };
        match kind {
            0 => self.outline_as::<X, 0>(extra),
            1 => self.outline_as::<X, 1>(extra),
            2 => self.outline_as::<X, 2>(extra),
            3 => self.outline_as::<X, 3>(extra),
            _ => self.outline_as::<X, ANY>(extra),
        }
    }

    #[inline(always)]
    fn outline_as<X: Extra, const KIND: u32>(self, extra: X) {
        let (isa, tiles) = (self.isa, self);
        if self.steps > STEPS_PER_BYTE {
            isa.outline(Run::<X, P, R, G, true, KIND> { tiles, extra });
        } else {
            isa.outline(Run::<X, P, R, G, false, KIND> { tiles, extra });
        }
    }
}

/// LONG: more steps than a byte counter takes; KIND: see [`Shifts::kind`].
struct Run<X, const P: usize, const R: usize, const G: usize, const LONG: bool, const KIND: u32> {
    tiles: Tiles<P, R, G>,
    extra: X,
}

impl<X: Extra, const P: usize, const R: usize, const G: usize, const LONG: bool, const KIND: u32>
    Work for Run<X, P, R, G, LONG, KIND>
{
    #[inline(always)]
    fn run(self) {
        let pixels = self.tiles.pixels;
        // The last tile may overlap the one before it: the same values are written
        // twice.
        for first in (0..pixels).step_by(P) {
            // SAFETY: `Block::run` looked at so many pixels of everything; there are at
            // least as many as a tile has.
            unsafe { self.tile(first.min(pixels - P)) };
        }
    }
}

impl<X: Extra, const P: usize, const R: usize, const G: usize, const LONG: bool, const KIND: u32>
    Run<X, P, R, G, LONG, KIND>
{
    /// # Safety
    /// From pixel `first` on there are P.
    #[inline(always)]
    unsafe fn tile(&self, first: usize) {
        let Tiles { isa, input, pixel, nibbles, steps, .. } = self.tiles;
        let zero = isa.splat16(0);
        let mut counts = [[zero; R]; P];
        let mut wide = [[[zero; 2]; R]; P];
        // SAFETY: of this function; `isa` proves AVX2.
        unsafe {
            let input = input.add(first * pixel);
            let mut done = 0;
            while done < steps {
                let end = if LONG { steps.min(done + STEPS_PER_BYTE) } else { steps };
                for k in done..end {
                    let weights = nibbles.add(2 * R * k);
                    for p in 0..P {
                        let byte = input.add(p * pixel + k).read();
                        let rows: *const __m128i = ROWS.0.as_ptr().add(byte.into()).cast();
                        let low = _mm256_broadcastsi128_si256(_mm_load_si128(rows));
                        let high = _mm256_broadcastsi128_si256(_mm_load_si128(rows.add(1)));
                        for r in 0..R {
                            let low = _mm256_shuffle_epi8(low, weights.add(r).read());
                            let high = _mm256_shuffle_epi8(high, weights.add(R + r).read());
                            counts[p][r] = _mm256_add_epi8(counts[p][r], low);
                            counts[p][r] = _mm256_add_epi8(counts[p][r], high);
                        }
                    }
                }
                if LONG {
                    for p in 0..P {
                        for r in 0..R {
                            let [low, high] = halves(isa, counts[p][r]);
                            let [a, b] = wide[p][r];
                            wide[p][r] = [isa.add16(a, low), isa.add16(b, high)];
                            counts[p][r] = zero;
                        }
                    }
                }
                done = end;
            }
            for p in 0..P {
                let mut below = 0;
                for r in 0..R {
                    let sums = if LONG { wide[p][r] } else { halves(isa, counts[p][r]) };
                    let low = self.put(first + p, 2 * r, sums[0]);
                    let high =
                        if 2 * r + 1 < G { self.put(first + p, 2 * r + 1, sums[1]) } else { zero };
                    below |= u64::from(mask(isa, low, high)) << (VECTOR * r);
                }
                self.put_bits(first + p, below);
            }
        }
    }

    /// The epilogue of the sums of group `g`; −1 where an output is below its threshold.
    ///
    /// # Safety
    /// There is such a pixel.
    #[inline(always)]
    unsafe fn put(&self, pixel: usize, g: usize, sums: __m256i) -> __m256i {
        let Tiles { isa, terms, ref shifts, ref parameters, stream, channels, eight, .. } =
            self.tiles;
        let eight = KIND == ANY && g == G - 1 && eight;
        let parameters = &parameters[g];
        // SAFETY: of this function; `isa` proves AVX2.
        unsafe {
            let mut value = isa.sub16(terms, isa.mul16(sums, shifts.twice));
            let mut extra = self.extra.of(isa, pixel, g, eight);
            if KIND == ANY {
                value = shifts.rest.apply(isa, value);
                extra = shifts.taken.apply::<{ depthwise::ANY }>(isa, extra);
            } else {
                for _ in 0..KIND {
                    value = isa.adds16(value, value);
                }
            }
            value = parameters.scale(isa, value);
            let y = parameters.prelu(isa, isa.adds16(value, extra));
            let to = stream.add(pixel * channels + g * LANES);
            if eight {
                _mm_storeu_si128(to.cast(), _mm256_castsi256_si128(y));
            } else {
                _mm256_storeu_si256(to.cast(), y);
            }
            // Lanes that are not there have parameters of 0, and so are not below.
            _mm256_cmpgt_epi16(parameters.sign, y)
        }
    }

    /// # Safety
    /// There is such a pixel.
    #[inline(always)]
    unsafe fn put_bits(&self, pixel: usize, below: u64) {
        let Tiles { bits, bytes, word, .. } = self.tiles;
        let Some(bits) = bits else { return };
        // SAFETY: of this function.
        unsafe {
            let to = bits.add(pixel * bytes);
            if R == 2 || word {
                to.cast::<u64>().write_unaligned(below.to_le());
            } else {
                to.cast::<u32>().write_unaligned((below as u32).to_le());
            }
        }
    }
}

/// Bytes, zero-extended.
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

/// A bit for each of two times 16 lanes that are 0 or −1.
#[inline(always)]
fn mask(_: Avx2, low: __m256i, high: __m256i) -> u32 {
    // SAFETY: an `Avx2` proves AVX2.
    unsafe {
        let packed = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi16(low, high));
        _mm256_movemask_epi8(packed) as u32
    }
}

/// [`Shifts::kind`]: neither that many bits of the accumulators' shift are left, which
/// are doublings, nor a shift of the shortcut.
const ANY: u32 = 4;

/// The shift of the accumulators to the left, as far as none can saturate and the rest,
/// and that of the shortcut.
#[derive(Clone, Copy)]
struct Shifts {
    exact: u32,
    /// What the differing bits are multiplied by, shifted.
    twice: __m256i,
    rest: Left,
    taken: Taken,
    /// Whether the shortcut is shifted.
    shifts_taken: bool,
}

impl Shifts {
    /// For accumulators of at most this magnitude, and a shortcut that is shifted to the
    /// left by `taken`, −15..=15.
    #[inline(always)]
    fn new(isa: Avx2, shift: u32, bound: usize, taken: i8) -> Shifts {
        let exact = shift.min((i16::MAX as usize / bound).checked_ilog2().unwrap_or(0));
        Shifts {
            exact,
            twice: isa.splat16((2 << exact) as i16),
            rest: Left::new(isa, shift - exact),
            taken: Taken::new(isa, taken),
            shifts_taken: taken != 0,
        }
    }

    /// How many bits are left of the accumulators', or [`ANY`].
    fn kind(&self) -> u32 {
        match self.shifts_taken {
            false => self.rest.count().min(ANY),
            true => ANY,
        }
    }
}

/// What the shortcut adds, before its shift.
trait Extra: Copy {
    /// Whether code for every kind of shift is not worth its size.
    const RARE: bool;

    /// To the lanes of group `g`, which are 16 or `eight`.
    ///
    /// # Safety
    /// There is such a pixel.
    unsafe fn of(&self, isa: Avx2, pixel: usize, g: usize, eight: bool) -> __m256i;
}

/// 16 elements, or `eight` and zeros.
///
/// # Safety
/// They are there.
#[inline(always)]
unsafe fn load(_: Avx2, from: *const i16, eight: bool) -> __m256i {
    // SAFETY: of this function; an `Avx2` proves AVX2.
    unsafe {
        match eight {
            true => _mm256_zextsi128_si256(_mm_loadu_si128(from.cast())),
            false => _mm256_loadu_si256(from.cast()),
        }
    }
}

/// One load.
#[derive(Clone, Copy)]
struct Loads<const G: usize> {
    from: *const i16,
    /// Elements per pixel.
    step: usize,
    /// The first channel of each group.
    firsts: [usize; G],
}

impl<const G: usize> Extra for Loads<G> {
    const RARE: bool = false;

    #[inline(always)]
    unsafe fn of(&self, isa: Avx2, pixel: usize, g: usize, eight: bool) -> __m256i {
        // SAFETY: of this function.
        unsafe { load(isa, self.from.add(pixel * self.step + self.firsts[g]), eight) }
    }
}

/// Two loads of 8 channels: those of fewer than the output has, which wrap round.
#[derive(Clone, Copy)]
struct Halves<const G: usize> {
    from: *const i16,
    /// Elements per pixel.
    step: usize,
    /// The first channel of each half of a group.
    firsts: [[usize; 2]; G],
}

impl<const G: usize> Extra for Halves<G> {
    const RARE: bool = true;

    #[inline(always)]
    unsafe fn of(&self, _: Avx2, pixel: usize, g: usize, _: bool) -> __m256i {
        // SAFETY: of this function; an `Avx2` proves AVX2.
        unsafe {
            let from = self.from.add(pixel * self.step);
            let [low, high] = self.firsts[g];
            _mm256_loadu2_m128i(from.add(high).cast(), from.add(low).cast())
        }
    }
}

/// Means over channels.
#[derive(Clone, Copy)]
struct Means<const G: usize> {
    from: *const i16,
    /// Elements per pixel.
    step: usize,
    /// From one of a mean's terms to the next.
    channels: usize,
    /// The first channel of each group.
    firsts: [usize; G],
    /// Of how many terms each group's are.
    means: [(usize, Mean<Avx2, LANES>); G],
}

impl<const G: usize> Extra for Means<G> {
    const RARE: bool = true;

    #[inline(always)]
    unsafe fn of(&self, isa: Avx2, pixel: usize, g: usize, eight: bool) -> __m256i {
        let Means { from, step, channels, firsts, ref means } = *self;
        let (terms, mean) = &means[g];
        // SAFETY: of this function; an `Avx2` proves AVX2; every lane has so many terms.
        unsafe {
            let from = from.add(pixel * step + firsts[g]);
            let first = load(isa, from, eight);
            if *terms == 1 {
                return first;
            }
            let mut so_far = mean.first(isa, first);
            for term in 1..*terms {
                so_far = mean.with(isa, so_far, load(isa, from.add(term * channels), eight));
            }
            mean.rounded(isa, so_far)
        }
    }
}
