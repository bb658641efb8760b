//! What becomes of counts of differing bits in the passes: a stream and perhaps bits, by a
//! shift, a multiplier, a bias, a shortcut and a shifted PReLU, 16 channels at a time.
//! Between the counts and the stores nothing is in memory, and nothing is asked per pixel.

// Fixed loops over indices are unrolled into registers; iterators over the same
// arrays often are not.
#![allow(clippy::needless_range_loop)]

use core::arch::x86_64::*;
use core::ops::Range;

use super::Avx2;
use super::shift::{Left, Taken};
use crate::generic::epilogue::{Parameters, Sink};
use crate::generic::lanes::{LANES, Lanes};
use crate::generic::mean::Mean;
use crate::layout::BINARY_LANES;
use crate::passes::lanes::{self, PassLanes};
use crate::types::Shape;

/// Channels that the last group has, if not 16.
pub(super) const EIGHT: usize = LANES / 2;

/// Bits of the outputs of two groups.
const BITS: usize = 2 * LANES;

/// Outputs of G groups of 16 channels, or of one of 8 at the end. All pointers are at the
/// first pixel and the first channel.
#[derive(Clone, Copy)]
pub(super) struct Outputs<const G: usize> {
    pub(super) isa: Avx2,
    pub(super) shifts: Shifts,
    pub(super) parameters: [Parameters<Avx2>; G],
    pub(super) stream: *mut i16,
    /// Elements per pixel of the stream.
    pub(super) channels: usize,
    pub(super) bits: Option<*mut u8>,
    /// Bytes per pixel of bits.
    pub(super) bytes: usize,
    /// Whether they start a word of 64 channels, and write all of it.
    pub(super) word: bool,
    /// Whether there is a shifted PReLU.
    pub(super) prelu: bool,
    /// Whether the last group has 8 channels.
    pub(super) eight: bool,
}

/// Where the outputs of a pixel go, and where its shortcut is: elements from the first
/// pixel's, and bytes. From one pixel to the next these are sums, as a product takes a turn
/// of one of the two ports that the epilogue keeps busy.
#[derive(Clone, Copy)]
pub(super) struct Place {
    stream: usize,
    extra: usize,
    bits: usize,
}

/// Work that has code for kinds of shifts ([`Shifts::kind`]): for those that it may have,
/// and for the others in one way, as more code would not pay for them.
pub(super) trait OfKind: Sized {
    /// Becomes a function of its own.
    fn outline<const KIND: u32>(self);

    /// The same for sums that are doubled once, or shortcuts that are more than once.
    #[inline(always)]
    fn outline_doubled<const KIND: u32>(self) {
        self.outline::<ANY>();
    }

    /// The same for sums that are doubled more than once.
    #[inline(always)]
    fn outline_far<const KIND: u32>(self) {
        self.outline::<ANY>();
    }
}

impl<const G: usize> Outputs<G> {
    /// The work with the kind of these shifts; with 8 channels at the end, or without a
    /// PReLU, that is [`ANY`].
    #[inline(always)]
    pub(super) fn of_kind(&self, work: impl OfKind) {
        match if self.eight || !self.prelu { ANY } else { self.shifts.kind } {
            0 => work.outline::<0>(),
            4 => work.outline::<4>(),
            RIGHT => work.outline::<RIGHT>(),
            1 => work.outline_doubled::<1>(),
            5 => work.outline_doubled::<5>(),
            8 => work.outline_doubled::<8>(),
            12 => work.outline_doubled::<12>(),
            2 => work.outline_far::<2>(),
            3 => work.outline_far::<3>(),
            6 => work.outline_far::<6>(),
            7 => work.outline_far::<7>(),
            _ => work.outline::<ANY>(),
        }
    }

    /// Where a pixel is.
    #[inline(always)]
    pub(super) fn place<X: Extra>(&self, extra: &X, pixel: usize) -> Place {
        let Outputs { channels, bytes, .. } = *self;
        Place { stream: pixel * channels, extra: pixel * extra.step(), bits: pixel * bytes }
    }

    /// Where the next one is.
    #[inline(always)]
    pub(super) fn next<X: Extra>(&self, extra: &X, place: Place) -> Place {
        Place {
            stream: place.stream + self.channels,
            extra: place.extra + extra.step(),
            bits: place.bits + self.bytes,
        }
    }

    /// The outputs of a pixel: from `terms`, shifted, as much is taken as twice the counts;
    /// see [`Outputs::put_exact`].
    ///
    /// # Safety
    /// There is such a pixel.
    #[inline(always)]
    pub(super) unsafe fn put<X: Extra, const KIND: u32>(
        &self,
        extra: &X,
        place: Place,
        terms: &[__m256i; G],
        counts: [__m256i; G],
    ) {
        let Outputs { isa, ref shifts, .. } = *self;
        let mut values = *terms;
        for g in 0..G {
            values[g] = isa.sub16(terms[g], isa.mul16(counts[g], shifts.twice));
        }
        // SAFETY: of this function.
        unsafe { self.put_exact::<X, KIND>(extra, place, values) };
    }

    /// The outputs of a pixel's accumulators, shifted as far as that is exact.
    ///
    /// # Safety
    /// There is such a pixel.
    #[inline(always)]
    pub(super) unsafe fn put_exact<X: Extra, const KIND: u32>(
        &self,
        extra: &X,
        place: Place,
        values: [__m256i; G],
    ) {
        let mut below = 0;
        for g in (0..G).step_by(2) {
            // SAFETY: of this function.
            unsafe {
                let low = self.group::<X, KIND>(extra, place, g, values[g]);
                let high = match g + 1 < G {
                    true => self.group::<X, KIND>(extra, place, g + 1, values[g + 1]),
                    false => self.isa.splat16(0),
                };
                below |= u64::from(mask(self.isa, low, high)) << (g / 2 * BITS);
            }
        }
        // SAFETY: of this function.
        unsafe { self.put_bits(place, below) };
    }

    /// Those of group `g`; −1 where one is below its threshold.
    ///
    /// # Safety
    /// There is such a pixel.
    #[inline(always)]
    unsafe fn group<X: Extra, const KIND: u32>(
        &self,
        extra: &X,
        place: Place,
        g: usize,
        mut value: __m256i,
    ) -> __m256i {
        let Outputs { isa, ref shifts, ref parameters, stream, eight, .. } = *self;
        let eight = KIND == ANY && g == G - 1 && eight;
        let parameters = &parameters[g];
        // SAFETY: of this function; `isa` proves AVX2.
        unsafe {
            let mut extra = extra.of(isa, place.extra, g, eight);
            if KIND == ANY {
                value = shifts.rest.apply(isa, value);
                extra = shifts.taken.apply::<{ lanes::ANY }>(isa, extra);
            } else if KIND == RIGHT {
                extra = shifts.taken.apply::<{ lanes::RIGHT }>(isa, extra);
            } else {
                for _ in 0..KIND % DOUBLINGS {
                    value = isa.adds16(value, value);
                }
                for _ in 0..KIND / DOUBLINGS {
                    extra = isa.adds16(extra, extra);
                }
            }
            value = parameters.scale(isa, value);
            let mut y = isa.adds16(value, extra);
            if KIND != ANY || self.prelu {
                y = parameters.prelu(isa, y);
            }
            let to = stream.add(place.stream + g * LANES);
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
    unsafe fn put_bits(&self, place: Place, below: u64) {
        let Outputs { bits, word, .. } = *self;
        let Some(bits) = bits else { return };
        // SAFETY: of this function.
        unsafe {
            let to = bits.add(place.bits);
            if G > 2 || word {
                to.cast::<u64>().write_unaligned(below.to_le());
            } else {
                to.cast::<u32>().write_unaligned((below as u32).to_le());
            }
        }
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

/// Doublings from which on they are done in another way.
const DOUBLINGS: u32 = 4;

/// [`Shifts::kind`]: shifts that are not a few doublings.
pub(super) const ANY: u32 = DOUBLINGS * DOUBLINGS;

/// [`Shifts::kind`]: of the shortcut only, to the right.
const RIGHT: u32 = ANY + 1;

/// The shift of the accumulators to the left, as far as none can saturate and the rest,
/// and that of the shortcut.
#[derive(Clone, Copy)]
pub(super) struct Shifts {
    pub(super) exact: u32,
    /// What the differing bits are multiplied by, shifted.
    twice: __m256i,
    rest: Left,
    taken: Taken,
    /// Doublings of the accumulators, and 4 times those of the shortcut; or [`ANY`], or
    /// [`RIGHT`].
    kind: u32,
}

impl Shifts {
    /// For accumulators of at most this magnitude, and a shortcut that is shifted to the
    /// left by `taken`, −15..=15.
    #[inline(always)]
    pub(super) fn new(isa: Avx2, shift: u32, bound: usize, taken: i8) -> Shifts {
        let exact = shift.min((i16::MAX as usize / bound).checked_ilog2().unwrap_or(0));
        let (rest, doublings) = (shift - exact, u32::try_from(taken).unwrap_or(DOUBLINGS));
        let few = rest.max(doublings) < DOUBLINGS;
        Shifts {
            exact,
            twice: isa.splat16((2 << exact) as i16),
            rest: Left::new(isa, rest),
            taken: Taken::new(isa, taken),
            kind: match (rest, taken) {
                (0, ..0) => RIGHT,
                _ if few => rest + DOUBLINGS * doublings,
                _ => ANY,
            },
        }
    }
}

/// What the shortcut adds, before its shift.
pub(super) trait Extra: Copy {
    /// Elements from a pixel's to the next one's.
    fn step(&self) -> usize;

    /// To the lanes of group `g`, which are 16 or `eight`, of the pixel so many elements
    /// after the first.
    ///
    /// # Safety
    /// There is such a pixel.
    unsafe fn of(&self, isa: Avx2, at: usize, g: usize, eight: bool) -> __m256i;
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
pub(super) struct Loads<const G: usize> {
    pub(super) from: *const i16,
    /// Elements per pixel.
    pub(super) step: usize,
    /// The first channel of each group.
    pub(super) firsts: [usize; G],
}

impl<const G: usize> Extra for Loads<G> {
    #[inline(always)]
    fn step(&self) -> usize {
        self.step
    }

    #[inline(always)]
    unsafe fn of(&self, isa: Avx2, at: usize, g: usize, eight: bool) -> __m256i {
        // SAFETY: of this function.
        unsafe { load(isa, self.from.add(at + self.firsts[g]), eight) }
    }
}

/// Two loads of 8 channels: those of fewer than the output has, which wrap round.
#[derive(Clone, Copy)]
pub(super) struct Halves<const G: usize> {
    pub(super) from: *const i16,
    /// Elements per pixel.
    pub(super) step: usize,
    /// The first channel of each half of a group.
    pub(super) firsts: [[usize; 2]; G],
}

impl<const G: usize> Extra for Halves<G> {
    #[inline(always)]
    fn step(&self) -> usize {
        self.step
    }

    #[inline(always)]
    unsafe fn of(&self, _: Avx2, at: usize, g: usize, _: bool) -> __m256i {
        // SAFETY: of this function; an `Avx2` proves AVX2.
        unsafe {
            let from = self.from.add(at);
            let [low, high] = self.firsts[g];
            _mm256_loadu2_m128i(from.add(high).cast(), from.add(low).cast())
        }
    }
}

/// Means over channels.
#[derive(Clone, Copy)]
pub(super) struct Means<const G: usize> {
    pub(super) from: *const i16,
    /// Elements per pixel.
    pub(super) step: usize,
    /// From one of a mean's terms to the next.
    pub(super) channels: usize,
    /// The first channel of each group.
    pub(super) firsts: [usize; G],
    /// Of how many terms each group's are.
    pub(super) means: [(usize, Mean<Avx2, LANES>); G],
}

impl<const G: usize> Extra for Means<G> {
    #[inline(always)]
    fn step(&self) -> usize {
        self.step
    }

    #[inline(always)]
    unsafe fn of(&self, isa: Avx2, at: usize, g: usize, eight: bool) -> __m256i {
        let Means { from, channels, firsts, ref means, .. } = *self;
        let (terms, mean) = &means[g];
        // SAFETY: of this function; an `Avx2` proves AVX2; every lane has so many terms.
        unsafe {
            let from = from.add(at + firsts[g]);
            let first = load(isa, from, eight);
            if *terms == 1 {
                return first;
            }
            let second = load(isa, from.add(channels), eight);
            if *terms == 2 {
                return isa.mean_of_two(first, second);
            }
            if *terms == 4 {
                let third = load(isa, from.add(2 * channels), eight);
                let fourth = load(isa, from.add(3 * channels), eight);
                return isa.mean_of_four([first, second, third, fourth]);
            }
            let mut so_far = mean.with(isa, mean.first(isa, first), second);
            for term in 2..*terms {
                so_far = mean.with(isa, so_far, load(isa, from.add(term * channels), eight));
            }
            mean.rounded(isa, so_far)
        }
    }
}

/// Means of 2×2 pixels of a row.
#[derive(Clone, Copy)]
pub(super) struct Squares<const G: usize> {
    /// The first line, as if its pixels were at twice the outputs' numbers.
    pub(super) from: *const i16,
    /// Elements to the second.
    pub(super) line: usize,
    /// Elements per pixel.
    pub(super) step: usize,
    /// The first channel of each group.
    pub(super) firsts: [usize; G],
}

impl<const G: usize> Extra for Squares<G> {
    #[inline(always)]
    fn step(&self) -> usize {
        2 * self.step
    }

    #[inline(always)]
    unsafe fn of(&self, isa: Avx2, at: usize, g: usize, eight: bool) -> __m256i {
        let Squares { from, line, step, firsts } = *self;
        // SAFETY: of this function.
        unsafe {
            let upper = from.wrapping_add(at + firsts[g]);
            let lower = upper.add(line);
            isa.mean_of_four([
                load(isa, upper, eight),
                load(isa, upper.add(step), eight),
                load(isa, lower, eight),
                load(isa, lower.add(step), eight),
            ])
        }
    }
}

/// What the shortcut adds to the pixels of a row.
pub(super) trait OfRow: Extra {
    /// For row `row` of some whose pixels, `w` each, are one long run.
    fn of_row(&self, row: usize, w: usize) -> Self;
}

impl<const G: usize> OfRow for Loads<G> {
    #[inline(always)]
    fn of_row(&self, _: usize, _: usize) -> Loads<G> {
        *self
    }
}

impl<const G: usize> OfRow for Squares<G> {
    #[inline(always)]
    fn of_row(&self, row: usize, w: usize) -> Squares<G> {
        let Squares { from, line, step, .. } = *self;
        let from = from.wrapping_add(2 * row * line).wrapping_sub(2 * row * w * step);
        Squares { from, ..*self }
    }
}

/// Outputs of rows whose pixels are one long run, and where their shortcut is.
#[derive(Clone, Copy)]
pub(super) struct RowOutputs<const G: usize> {
    pub(super) outputs: Outputs<G>,
    pool: usize,
    loads: Loads<G>,
    /// Elements from a line of the shortcut to the next.
    line: usize,
}

impl<const G: usize> RowOutputs<G> {
    /// Of up to `16·G` channels from `channel` on; the stream, if there is none, goes to
    /// `nowhere`, all pixels to the same place: a question at each would cost more.
    #[inline(always)]
    pub(super) fn new(
        isa: Avx2,
        sink: &mut Sink<'_>,
        output: Shape,
        rows: &Range<usize>,
        channel: usize,
        (shifts, pool, prelu): (Shifts, usize, bool),
        nowhere: &mut [i16; BINARY_LANES],
    ) -> RowOutputs<G> {
        let channels = output.c;
        let row = sink.row(rows.start);
        let mut parameters = [row.parameters(isa, channel); G];
        for g in 1..G {
            parameters[g] = row.parameters(isa, channel + g * LANES);
        }
        let to = sink.usual_rows(rows.clone(), pool).expect("a shortcut");
        // From the first element of the first pixel to the last's `own`th.
        let reach = |pixels: usize, of: usize, own: usize| (pixels - 1) * of + own;
        let own = (channels - channel).min(G * LANES);
        let line = to.shortcut.len() / (pool * rows.len());
        let shortcuts =
            (pool * rows.len() - 1) * line + reach(pool * output.w, channels, channel + own);
        let from = to.shortcut[..shortcuts].as_ptr();
        let (stream, step) = match to.stream {
            Some(stream) => {
                let stream = &mut stream[channel..][..reach(to.pixels, channels, own)];
                (stream.as_mut_ptr(), channels)
            }
            None => (nowhere.as_mut_ptr(), 0),
        };
        let bits =
            to.bits.map(|bits| bits[channel / 8..][..reach(to.pixels, to.pixel, 8)].as_mut_ptr());
        let outputs = Outputs {
            isa,
            shifts,
            parameters,
            stream,
            channels: step,
            bits,
            bytes: to.pixel,
            word: true,
            prelu,
            eight: own < G * LANES,
        };
        let firsts = core::array::from_fn(|g| channel + g * LANES);
        RowOutputs { outputs, pool, loads: Loads { from, step: channels, firsts }, line }
    }

    /// The work with what the shortcut adds, and the kind of the shifts.
    #[inline(always)]
    pub(super) fn of_kind<W>(&self, work: W)
    where
        (W, Loads<G>): OfKind,
        (W, Squares<G>): OfKind,
    {
        let RowOutputs { ref outputs, pool, loads, line } = *self;
        let Loads { from, step, firsts } = loads;
        match pool {
            1 => outputs.of_kind((work, loads)),
            _ => outputs.of_kind((work, Squares { from, line, step, firsts })),
        }
    }
}
