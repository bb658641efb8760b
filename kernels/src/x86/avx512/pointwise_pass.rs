//! 1×1 binary convolution with stride 1 for the epilogue that most of these layers
//! have: a stream, perhaps bits, a shifted PReLU, and a shortcut from the same
//! pixels. Between the counters and the stores nothing is in memory, and as the
//! pixels of all rows are one long run, there are no rows.
//!
//! Byte counters as in the general way: one register for 64 channels of a pixel or,
//! where no more than 32 are left, for those of two neighbouring pixels, so that no
//! lane is idle. Either way it holds two groups of 32 lanes, each of which goes
//! through the epilogue in one register.
//!
//! Of up to 192 inputs the weights are copied to where the groups' channels take turns,
//! and the counts start below 0: two or three instructions then make accumulators of a
//! register's counts, where widening, shifting and subtracting would be seven.
//!
//! The counts of the next pixels come before the epilogue of these. A tile's loop has no
//! bounds to check, which would take more registers than there are: [`Block::run`] looks at
//! everything once.

// Fixed loops over indices are unrolled into registers; iterators over the same
// arrays often are not.
#![allow(clippy::needless_range_loop)]

use core::arch::x86_64::*;
use core::ops::Range;

use super::Avx512;
use super::binary_put::{
    Extra, FAR, Loads, NEAR, SPREAD_STEPS, Shift, Signed, Spreader, To, WORDS, groups, interleave,
    spread,
};
use super::lanes::{Scale, load};
use crate::generic::BinaryJob;
use crate::generic::epilogue::Sink;
use crate::generic::lanes::{LANES, Lanes, Outline, WIDE, Work};
use crate::generic::mean::{MEAN_TERMS, Mean};
use crate::layout::{BINARY_LANES, binary_lanes, pixel_bytes};
use crate::types::{Conv, Epilogue};

/// Registers of byte counters in a tile.
const TILE: usize = 4;

/// The same of short sums.
const TURN: usize = 2;

/// If the job is one for [`run`]: its shift, and that of its shortcut.
#[inline(always)]
pub(super) fn suits(isa: Avx512, job: &BinaryJob<'_>) -> Option<(Shift, Scale)> {
    let Conv { window, input, output, groups } = job.conv;
    let one = [window.kernel_h, window.kernel_w, window.stride_h, window.stride_w, groups];
    let pads = [window.pad_top, window.pad_left];
    let &Epilogue::Stream { shift, shortcut: Some(taken), prelu: Some(_), stream: Some(_), .. } =
        &job.epilogue
    else {
        return None;
    };
    // Means are over few channels, and if not over one, then over none alone.
    let from = taken.shape.c;
    let means = from <= output.c
        || (0..output.c).step_by(WIDE).all(|channel| {
            let [most, least] = terms(from, output.c, channel);
            most <= MEAN_TERMS && (most == least || least > 1)
        });
    let last = output.c % BINARY_LANES;
    let tile = if (1..=WIDE).contains(&last) { 2 * TILE } else { TILE };
    let suits = one == [1; 5]
        && pads == [0; 2]
        && input.w == output.w
        && job.rows.len() * output.w >= tile
        && (last == 0 || input.c.div_ceil(8) <= SPREAD_STEPS)
        && (taken.pool, taken.shape.w) == (1, output.w)
        && shift >= 0
        && means;
    if !suits {
        return None;
    }
    Some((Shift::new(isa, shift as u32, input.c), Scale::new(isa, taken.shift)))
}

/// Of how many of `from` channels the first of the 32 `channels` from `channel` on, and
/// the last, are the mean.
#[inline(always)]
fn terms(from: usize, channels: usize, channel: usize) -> [usize; 2] {
    let last = (channel + WIDE).min(channels) - 1;
    [channel, last].map(|channel| (from - channel).div_ceil(channels))
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
        let BinaryJob { conv, input, weights, rows, epilogue, .. } = job;
        let channels = conv.output.c;
        let steps = conv.input.c.div_ceil(8);
        let mut sink = Sink::new(epilogue, conv.output, &rows, conv.input.c);
        let mut spread_weights = [[0; BINARY_LANES]; SPREAD_STEPS];
        let last = channels / BINARY_LANES * BINARY_LANES;
        let short = Signed::suits(conv.input.c, shift.exact);
        if last < channels && !short {
            spread(weights, channels, steps, &mut spread_weights);
        }
        let bytes = conv.input.w * pixel_bytes(conv.input.c);
        let input = &input[rows.start * bytes..rows.end * bytes];
        for channel in (0..channels).step_by(BINARY_LANES) {
            if short {
                let stride = binary_lanes(channel, channels);
                let weights = &weights[channel * steps..][..stride * steps];
                interleave(isa, weights, stride, &mut spread_weights);
            }
            let weights = match channel < last && !short {
                true => &weights[channel * steps..][..BINARY_LANES * steps],
                false => &spread_weights.as_flattened()[..BINARY_LANES * steps],
            };
            let (rows, sink) = (rows.clone(), &mut sink);
            Block { isa, conv, input, weights, rows, sink, channel, shift, short, scale }.run();
        }
    }
}

/// All pixels of up to 64 channels.
struct Block<'b, 'a> {
    isa: Avx512,
    conv: Conv,
    /// Of these rows.
    input: &'b [u8],
    /// 64 bytes per step: those of `short` sums [`interleave`]d, of others those of 32
    /// channels twice if there are no more ([`spread`]).
    weights: &'b [u8],
    rows: Range<usize>,
    sink: &'b mut Sink<'a>,
    channel: usize,
    shift: Shift,
    /// See [`Signed::suits`].
    short: bool,
    /// Of the shortcut.
    scale: Scale,
}

impl Block<'_, '_> {
    #[inline(always)]
    fn run(self) {
        let Block { isa, conv, input, weights, rows, sink, channel, shift, short, scale } = self;
        let channels = conv.output.c;
        let pair = channels - channel <= WIDE;
        let firsts = [channel, if pair { channel } else { channel + WIDE }];
        let row = sink.row(rows.start);
        let parameters = [row.parameters(isa, firsts[0]), row.parameters(isa, firsts[1])];
        let to = sink.usual_rows(rows, 1).expect("a shortcut");
        let stream = to.stream.expect("a stream");
        let counts = [(channels - firsts[0]).min(WIDE), (channels - firsts[1]).min(WIDE)];
        let (pixel, steps) = (pixel_bytes(conv.input.c), weights.len() / BINARY_LANES);
        let count = (channels - channel).min(BINARY_LANES);
        // From the first element of the first pixel to the last's `own`th.
        let reach = |of: usize, own: usize| (to.pixels - 1) * of + own;
        let tiles = Tiles {
            isa,
            spreader: match pair {
                true => Spreader::new::<true>(isa),
                false => Spreader::new::<false>(isa),
            },
            input: input[..reach(pixel, pixel)].as_ptr(),
            pixel,
            weights: weights.as_ptr(),
            steps,
            terms: isa.splat16((conv.input.c << shift.exact) as i16),
            signed: Signed::new(isa, conv.input.c, shift.exact),
            short,
            to: To {
                isa,
                shift,
                parameters,
                there: [u32::MAX >> (WIDE - counts[0]), u32::MAX >> (WIDE - counts[1])],
                stream: stream[channel..][..reach(channels, count)].as_mut_ptr(),
                channels,
                bits: to.bits.map(|bits| bits[channel / 8..][..reach(to.pixel, 8)].as_mut_ptr()),
                bytes: to.pixel,
                scale,
            },
            pixels: to.pixels,
        };
        let step = to.channels;
        let from = to.shortcut[..reach(step, step)].as_ptr();
        if step > channels {
            let mut extra = Means {
                from,
                step,
                firsts,
                terms: [1; 2],
                last: tiles.to.there,
                channels,
                means: [Mean::new(isa, 2, channels); 2],
            };
            for g in 0..2 {
                let [most, least] = terms(step, channels, firsts[g]);
                extra.terms[g] = most;
                extra.means[g] = Mean::new(isa, most, channels);
                if most > least {
                    // Lanes before the channel from which on there is a term fewer.
                    let have = ((1u64 << ((step - firsts[g]) % channels)) - 1) as u32;
                    extra.last[g] &= have;
                    let other = Mean::new(isa, least, channels);
                    extra.means[g] = extra.means[g].or(isa, isa.mask16(have), other);
                }
            }
            tiles.outline(extra, pair);
        } else {
            let firsts = [firsts[0] % step, firsts[1] % step];
            if step == channels || step.is_multiple_of(WIDE) {
                tiles.outline(Loads { from, step, firsts }, pair);
            } else if step == LANES {
                tiles.outline(Twice { from }, pair);
            } else {
                tiles.outline(Wraps::new(isa, from, step, firsts), pair);
            }
        }
    }
}

/// Any pixels of up to 64 channels. All pointers are at the first of both.
#[derive(Clone, Copy)]
struct Tiles {
    isa: Avx512,
    spreader: Spreader,
    input: *const u8,
    /// Bytes per pixel of the input.
    pixel: usize,
    weights: *const u8,
    steps: usize,
    /// What twice the differing bits are taken from, shifted.
    terms: __m512i,
    signed: Signed,
    /// See [`Signed::suits`].
    short: bool,
    to: To,
    pixels: usize,
}

impl Tiles {
    /// `pair`: two pixels of up to 32 channels share a register.
    #[inline(always)]
    fn outline<X: Extra>(self, extra: X, pair: bool) {
        let common = X::COMMON && !pair && self.to.there == [u32::MAX; 2];
        match self.to.kind() {
            0 => self.outline_as::<_, 0>(extra, pair),
            1 if common => self.outline_common::<_, 1>(extra),
            1 | NEAR => self.outline_as::<_, NEAR>(extra, pair),
            2 if common => self.outline_common::<_, 2>(extra),
            3 if common => self.outline_common::<_, 3>(extra),
            _ => self.outline_as::<_, FAR>(extra, pair),
        }
    }

    /// [`Tiles::outline`] of two groups that are whole, for an [`Extra::COMMON`].
    #[inline(always)]
    fn outline_common<X: Extra, const KIND: u32>(self, extra: X) {
        let (isa, tiles) = (self.isa, self);
        if const { !X::COMMON } {
            return;
        }
        if self.short {
            isa.outline(Run::<X, false, true, false, KIND> { tiles, extra });
        } else {
            isa.outline(Run::<X, false, true, true, KIND> { tiles, extra });
        }
    }

    #[inline(always)]
    fn outline_as<X: Extra, const KIND: u32>(self, extra: X, pair: bool) {
        let (isa, tiles) = (self.isa, self);
        let whole = self.to.there == [u32::MAX; 2];
        match (pair, whole, !self.short) {
            (false, true, false) => {
                isa.outline(Run::<X, false, true, false, KIND> { tiles, extra })
            }
            (false, true, true) => isa.outline(Run::<X, false, true, true, KIND> { tiles, extra }),
            (false, false, false) => {
                isa.outline(Run::<X, false, false, false, KIND> { tiles, extra })
            }
            (false, false, true) => {
                isa.outline(Run::<X, false, false, true, KIND> { tiles, extra })
            }
            (true, true, false) => isa.outline(Run::<X, true, true, false, KIND> { tiles, extra }),
            (true, true, true) => isa.outline(Run::<X, true, true, true, KIND> { tiles, extra }),
            (true, false, false) => {
                isa.outline(Run::<X, true, false, false, KIND> { tiles, extra })
            }
            (true, false, true) => isa.outline(Run::<X, true, false, true, KIND> { tiles, extra }),
        }
    }
}

/// PAIR: see [`Tiles::outline`]; WHOLE: all lanes exist; LONG: sums that [`Signed`] does not
/// suit; KIND: see [`To::kind`].
struct Run<X, const PAIR: bool, const WHOLE: bool, const LONG: bool, const KIND: u32> {
    tiles: Tiles,
    extra: X,
}

impl<X: Extra, const PAIR: bool, const WHOLE: bool, const LONG: bool, const KIND: u32> Work
    for Run<X, PAIR, WHOLE, LONG, KIND>
{
    #[inline(always)]
    fn run(self) {
        // SAFETY: `Block::run` looked at so many pixels of everything.
        unsafe {
            match (LONG, PAIR) {
                (false, false) => self.in_turns::<TURN>(),
                _ => self.in_turns::<TILE>(),
            }
        }
    }
}

impl<X: Extra, const PAIR: bool, const WHOLE: bool, const LONG: bool, const KIND: u32>
    Run<X, PAIR, WHOLE, LONG, KIND>
{
    /// All pixels, P registers of counters at a time, and those of the next before the
    /// epilogue: they are ready at once, and its steps wait for each other.
    ///
    /// # Safety
    /// There are so many, and no fewer than that is.
    #[inline(always)]
    unsafe fn in_turns<const P: usize>(&self) {
        let tile = if PAIR { 2 * P } else { P };
        // The last tile may overlap the one before it: the same values are written
        // twice.
        let last = self.tiles.pixels - tile;
        // SAFETY: of this function.
        unsafe {
            let mut next = self.counts::<P>(0);
            for first in (0..self.tiles.pixels).step_by(tile) {
                let counts = next;
                // Short sums are sooner counted once more than it is asked.
                if !LONG || first + tile < self.tiles.pixels {
                    next = self.counts::<P>((first + tile).min(last));
                }
                self.finish(first.min(last), counts);
            }
        }
    }

    /// What differs in either group of channels, or for short sums in both, and nothing.
    ///
    /// # Safety
    /// From pixel `first` on there are as many as P registers count.
    #[inline(always)]
    unsafe fn counts<const P: usize>(&self, first: usize) -> [[__m512i; 2]; P] {
        let Tiles { isa, spreader, input, pixel, weights, steps, signed, .. } = self.tiles;
        let zero = isa.splat16(0);
        let mut counts = [if LONG { zero } else { signed.start }; P];
        let mut found = [[zero; 2]; P];
        // SAFETY: of this function.
        unsafe {
            let input = input.add(first * pixel);
            let mut done = 0;
            while done < steps {
                let some = if LONG { WORDS.min(steps - done) } else { steps };
                let (weights, input) = (weights.add(done * BINARY_LANES), input.add(done));
                counts = spreader.count::<P, PAIR>(isa, counts, weights, input, pixel, some);
                for v in 0..P {
                    if LONG {
                        let [low, high] = groups::<PAIR>(isa, counts[v]);
                        found[v] = [isa.add16(found[v][0], low), isa.add16(found[v][1], high)];
                        counts[v] = zero;
                    } else {
                        found[v][0] = counts[v];
                    }
                }
                done += some;
            }
        }
        found
    }

    /// The epilogue of what [`Run::counts`] found.
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    unsafe fn finish<const P: usize>(&self, first: usize, counts: [[__m512i; 2]; P]) {
        let Tiles { isa, terms, signed, ref to, .. } = self.tiles;
        let extra = &self.extra;
        for v in 0..P {
            let values = match LONG {
                true => {
                    [to.accumulators(terms, counts[v][0]), to.accumulators(terms, counts[v][1])]
                }
                false => signed.accumulators(isa, counts[v][0]),
            };
            let mut below = [0; 2];
            for half in 0..2 {
                // Of another pixel, or of other channels.
                let (pixel, g) = if PAIR { (first + 2 * v + half, 0) } else { (first + v, half) };
                // SAFETY: of this function; `isa` proves all that is needed.
                unsafe {
                    below[half] =
                        to.put_exact::<X, WHOLE, KIND, true>(extra, pixel, g, values[half]);
                    if PAIR {
                        to.put_bits(pixel, below[half], 0);
                    }
                }
            }
            if !PAIR {
                // SAFETY: of this function.
                unsafe { to.put_bits(first + v, below[0], below[1]) };
            }
        }
    }
}

/// Fewer channels, which wrap round within 32: those from the group's first on, and
/// those from the start.
#[derive(Clone, Copy)]
struct Wraps {
    from: *const i16,
    /// Elements per pixel.
    step: usize,
    firsts: [usize; 2],
    /// The lanes that the two loads have.
    there: [[__mmask32; 2]; 2],
    /// Where the lanes of the result are in both loads, one after the other.
    places: [__m512i; 2],
}

impl Wraps {
    #[inline(always)]
    fn new(isa: Avx512, from: *const i16, step: usize, firsts: [usize; 2]) -> Wraps {
        let some = |count: usize| u32::MAX >> (WIDE - count.min(WIDE));
        let mut places = [[0; WIDE]; 2];
        for (places, &first) in places.iter_mut().zip(&firsts) {
            for (lane, place) in places.iter_mut().enumerate() {
                let channel = (first + lane) % step;
                let in_first = channel.checked_sub(first).filter(|&at| at < WIDE);
                *place = in_first.unwrap_or(WIDE + channel) as i16;
            }
        }
        Wraps {
            from,
            step,
            firsts,
            there: [[some(step - firsts[0]), some(step)], [some(step - firsts[1]), some(step)]],
            places: [isa.load16(&places[0]), isa.load16(&places[1])],
        }
    }
}

impl Extra for Wraps {
    #[inline(always)]
    unsafe fn of<const WHOLE: bool>(
        &self,
        _: Avx512,
        pixel: usize,
        g: usize,
        _: __mmask32,
    ) -> __m512i {
        let Wraps { from, step, firsts, there, places } = *self;
        // SAFETY: of this function; an `Avx512` proves AVX-512 F and BW.
        unsafe {
            let pixel = from.add(pixel * step);
            let first = _mm512_maskz_loadu_epi16(there[g][0], pixel.add(firsts[g]));
            let again = _mm512_maskz_loadu_epi16(there[g][1], pixel);
            _mm512_permutex2var_epi16(first, places[g], again)
        }
    }
}

/// A shortcut from 16 channels.
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
        // SAFETY: of this function; an `Avx512` proves AVX-512 F.
        unsafe {
            let pixel = self.from.add(LANES * pixel);
            _mm512_broadcast_i64x4(_mm256_loadu_si256(pixel.cast()))
        }
    }
}

/// Means over channels.
#[derive(Clone, Copy)]
struct Means {
    from: *const i16,
    /// Elements per pixel.
    step: usize,
    firsts: [usize; 2],
    /// Of the first lane; the last may have one fewer.
    terms: [usize; 2],
    /// The lanes that have the last term.
    last: [__mmask32; 2],
    /// From one of a mean's terms to the next.
    channels: usize,
    means: [Mean<Avx512, WIDE>; 2],
}

impl Extra for Means {
    #[inline(always)]
    unsafe fn of<const WHOLE: bool>(
        &self,
        isa: Avx512,
        pixel: usize,
        g: usize,
        there: __mmask32,
    ) -> __m512i {
        let Means { from, step, firsts, terms, last, channels, ref means } = *self;
        // SAFETY: of this function; every lane that is there has so many terms, or one
        // fewer; `isa` proves AVX-512 BW.
        unsafe {
            let from = from.add(pixel * step + firsts[g]);
            let first = load::<WHOLE>(isa, from, there);
            if terms[g] == 1 {
                return first;
            }
            let mut so_far = means[g].first(isa, first);
            for term in 1..terms[g] - 1 {
                let x = load::<WHOLE>(isa, from.add(term * channels), there);
                so_far = means[g].with(isa, so_far, x);
            }
            let x = _mm512_maskz_loadu_epi16(last[g], from.add((terms[g] - 1) * channels));
            so_far = means[g].with(isa, so_far, x);
            means[g].rounded(isa, so_far)
        }
    }
}
