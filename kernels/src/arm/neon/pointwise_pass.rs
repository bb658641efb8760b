//! 1×1 binary convolution with stride 1 in one pass, for the epilogue that most of these
//! layers have ([`BinaryJob::usual_pointwise`]): from the loads of four pixels to their
//! stores, up to 64 channels at a time, nothing but sums of more than 31 steps is put aside.
//!
//! A tile's loop has no bounds to check: [`Block::run`] looks at everything once. The
//! parameters of 8 channels serve all pixels of a tile; those of 64 would not fit the
//! registers.

// Fixed loops over indices are unrolled into registers; iterators over the same
// arrays often are not.
#![allow(clippy::needless_range_loop)]

use core::arch::aarch64::*;
use core::arch::asm;
use core::ops::Range;

use super::Neon;
use super::memory::{vld1q_s16, vld1q_u8, vst1q_s16};
use crate::generic::binary_counter::STEPS_PER_BYTE;
use crate::generic::epilogue::{At, Parameters, Sink};
use crate::generic::lanes::{LANES, Outline, Work};
use crate::generic::mean::{Mean, mean_terms};
use crate::generic::{BinaryJob, cut};
use crate::layout::{BINARY_LANES, pixel_bytes};
use crate::types::{Conv, Epilogue};

/// Pixels of a tile: 16 of the registers hold their counters.
const TILE: usize = 4;

/// Channels in a register of 16 bits.
const EIGHT: usize = LANES / 2;

/// Weights of a block whose rows are no whole registers: they are spread out.
type Spread = [u8; STEPS_PER_BYTE * BINARY_LANES];

/// Whether the job is one for [`run`].
#[inline(always)]
pub(super) fn suits(job: &BinaryJob<'_>) -> bool {
    let whole = job.conv.output.c.is_multiple_of(LANES);
    job.usual_pointwise(TILE) && (whole || job.conv.input.c.div_ceil(8) <= STEPS_PER_BYTE)
}

/// The whole operation, which [`suits`].
pub(super) fn run(job: BinaryJob<'_>) {
    let BinaryJob { conv, input, weights, rows, epilogue, .. } = job;
    let Epilogue::Stream { shift, shortcut: Some(taken), .. } = &epilogue else { return };
    let shifts = Shifts { sums: (*shift).into(), taken: taken.shift.into() };
    let channels = conv.output.c;
    let steps = conv.input.c.div_ceil(8);
    let mut sink = Sink::new(epilogue, conv.output, &rows, conv.input.c);
    let bytes = conv.input.w * pixel_bytes(conv.input.c);
    let input = cut::part(input, rows.start * bytes..rows.end * bytes);
    let mut spread = [0; STEPS_PER_BYTE * BINARY_LANES];
    for channel in (0..channels).step_by(BINARY_LANES) {
        let stride = (channels - channel).min(BINARY_LANES);
        let weights = cut::run(weights, channel * steps, stride * steps);
        let groups = stride.div_ceil(LANES);
        let weights = match stride.is_multiple_of(LANES) {
            true => weights,
            false => spread_out(weights, stride, groups * LANES, &mut spread),
        };
        let (rows, sink) = (rows.clone(), &mut sink);
        let block = Block { conv, input, weights, rows, sink, channel, shifts };
        match groups {
            1 => block.run::<1>(),
            2 => block.run::<2>(),
            3 => block.run::<3>(),
            _ => block.run::<4>(),
        }
    }
}

/// Rows of `stride` weights as rows of `width`.
#[inline(always)]
fn spread_out<'s>(weights: &[u8], stride: usize, width: usize, to: &'s mut Spread) -> &'s [u8] {
    let rows = weights.chunks_exact(stride);
    let used = rows.len() * width;
    for (row, to) in rows.zip(to.chunks_exact_mut(width)) {
        cut::put(to, row);
    }
    cut::part(to, ..used)
}

/// To the left, of the accumulators and of the shortcut.
#[derive(Clone, Copy)]
struct Shifts {
    sums: i16,
    taken: i16,
}

/// All pixels of up to 64 channels.
struct Block<'b, 'a> {
    conv: Conv,
    /// Of these rows.
    input: &'b [u8],
    weights: &'b [u8],
    rows: Range<usize>,
    sink: &'b mut Sink<'a>,
    channel: usize,
    shifts: Shifts,
}

impl Block<'_, '_> {
    /// G groups of 16 channels, the last of 8 or 16.
    #[inline(always)]
    fn run<const G: usize>(self) {
        let Block { conv, input, weights, rows, sink, channel, shifts } = self;
        let row = sink.row(rows.start);
        let mut parameters = [row.parameters(Neon, channel); G];
        for g in 1..G {
            parameters[g] = row.parameters(Neon, channel + g * LANES);
        }
        let to = sink.usual_rows(rows, 1);
        let found = to.and_then(|to| {
            let (channels, step) = (conv.output.c, to.channels);
            let (pixel, steps) = (pixel_bytes(conv.input.c), conv.input.c.div_ceil(8));
            let own = (channels - channel).min(G * LANES);
            // From the first element of the first pixel to the last's `own`th.
            let reach = |of: usize, own: usize| (to.pixels - 1) * of + own;
            let bits = match to.bits {
                Some(bits) => {
                    let bits = bits.get_mut(channel / 8..)?.get_mut(..reach(to.pixel, 8))?;
                    Some(bits.as_mut_ptr())
                }
                None => None,
            };
            let stream = to.stream?.get_mut(channel..)?.get_mut(..reach(channels, own))?;
            let tiles = Tiles::<G> {
                input: input.get(..reach(pixel, steps))?.as_ptr(),
                pixel,
                weights: weights.get(..steps * G * LANES)?.as_ptr(),
                steps,
                terms: conv.input.c as i16,
                shifts,
                parameters: &parameters,
                stream: stream.as_mut_ptr(),
                channels,
                bits,
                bytes: to.pixel,
                eight: own < G * LANES,
                pixels: to.pixels,
            };
            Some((tiles, to.shortcut.get(..reach(step, step))?.as_ptr(), step))
        });
        let Some((tiles, from, step)) = cut::there(found) else { return };
        let channels = conv.output.c;
        if step > channels {
            let mut means = [(1, Mean::new(Neon, 1, channels)); G];
            for g in 0..G {
                let first = channel + g * LANES;
                let count = (channels - first).min(LANES);
                let terms = mean_terms(step, channels, At { column: 0, channel: first, count });
                let Some(terms) = cut::there(terms) else { return };
                means[g] = (terms, Mean::new(Neon, terms, channels));
            }
            let first = channel;
            tiles.outline::<_, true>(Means { from, step, channels, first, means: &means });
        } else {
            let mut firsts = [[0; 2]; G];
            for (eight, first) in firsts.as_flattened_mut().iter_mut().enumerate() {
                *first = (channel + eight * EIGHT) % cut::divisor(step);
            }
            let loads = Loads { from, step, firsts: &firsts };
            match shifts.taken {
                0 if G == 4 => tiles.outline::<_, false>(loads),
                _ => tiles.outline::<_, true>(loads),
            }
        }
    }
}

/// Any pixels of some channels. All pointers are at the first of both.
#[derive(Clone, Copy)]
struct Tiles<'t, const G: usize> {
    input: *const u8,
    /// Bytes per pixel of the input.
    pixel: usize,
    weights: *const u8,
    steps: usize,
    /// What twice the differing bits are taken from.
    terms: i16,
    shifts: Shifts,
    parameters: &'t [Parameters<Neon>; G],
    stream: *mut i16,
    /// Elements per pixel of the stream.
    channels: usize,
    bits: Option<*mut u8>,
    /// Bytes per pixel of bits.
    bytes: usize,
    /// Whether the last group has 8 channels.
    eight: bool,
    pixels: usize,
}

impl<const G: usize> Tiles<'_, G> {
    #[inline(always)]
    fn outline<X: Extra, const SHIFTED: bool>(self, extra: X) {
        let tiles = self;
        if tiles.steps > STEPS_PER_BYTE {
            Neon.outline(Run::<X, G, true, SHIFTED> { tiles, extra });
        } else {
            Neon.outline(Run::<X, G, false, SHIFTED> { tiles, extra });
        }
    }
}

/// LONG: more steps than a byte counter takes; SHIFTED: the shortcut is.
struct Run<'t, X, const G: usize, const LONG: bool, const SHIFTED: bool> {
    tiles: Tiles<'t, G>,
    extra: X,
}

impl<X: Extra, const G: usize, const LONG: bool, const SHIFTED: bool> Work
    for Run<'_, X, G, LONG, SHIFTED>
{
    #[inline(always)]
    fn run(self) {
        let pixels = self.tiles.pixels;
        // The last tile may overlap the one before it: the same values are written
        // twice.
        for first in (0..pixels).step_by(TILE) {
            // SAFETY: `Block::run` looked at so many pixels of everything; there are at
            // least as many as a tile has.
            unsafe { self.tile(first.min(pixels - TILE)) };
        }
    }
}

impl<X: Extra, const G: usize, const LONG: bool, const SHIFTED: bool> Run<'_, X, G, LONG, SHIFTED> {
    /// # Safety
    /// From pixel `first` on there are as many as a tile has.
    #[inline(always)]
    unsafe fn tile(&self, first: usize) {
        let Tiles { input, pixel, weights, steps, terms, .. } = self.tiles;
        // SAFETY: of this function; the target has NEON.
        unsafe {
            let input = input.add(first * pixel);
            let mut counts = [[vdupq_n_u8(0); G]; TILE];
            let mut sums = [[[vdupq_n_s16(terms); 2]; G]; TILE];
            let mut done = 0;
            while LONG && steps - done > STEPS_PER_BYTE {
                counts =
                    count(counts, input.add(done), pixel, weights, done..done + STEPS_PER_BYTE);
                done += STEPS_PER_BYTE;
                for p in 0..TILE {
                    for g in 0..G {
                        sums[p][g] = less(sums[p][g], counts[p][g]);
                        counts[p][g] = vdupq_n_u8(0);
                    }
                }
            }
            counts = count(counts, input.add(done), pixel, weights, done..steps);
            self.put(first, sums, counts);
        }
    }
}

impl<X: Extra, const G: usize, const LONG: bool, const SHIFTED: bool> Run<'_, X, G, LONG, SHIFTED> {
    /// A tile's pixels, from the `first` on, from its sums so far and what is to be taken
    /// from them twice.
    ///
    /// # Safety
    /// They are there.
    #[inline(always)]
    unsafe fn put(
        &self,
        first: usize,
        sums: [[[int16x8_t; 2]; G]; TILE],
        counts: [[uint8x16_t; G]; TILE],
    ) {
        let Tiles { terms, shifts, parameters, stream, channels, bits, bytes, .. } = self.tiles;
        let eight = self.tiles.eight;
        // SAFETY: of this function; the target has NEON.
        unsafe {
            let (shift, taken) = (vdupq_n_s16(shifts.sums), vdupq_n_s16(shifts.taken));
            let each = vmovl_u8(vcreate_u8(0x8040_2010_0804_0201));
            let each = [each, vshlq_n_u16::<8>(each)];
            // Of a group's 16 channels two bits in each lane, of those above and below.
            let mut below = [[vdupq_n_u16(0); 4]; TILE];
            for g in 0..G {
                let Parameters { multiplier, bias, before, slope, after, sign, .. } = parameters[g];
                for half in 0..2 {
                    if eight && g == G - 1 && half == 1 {
                        break;
                    }
                    // One step after the other for all pixels, which wait for nothing.
                    let extra = self.extra.of(first, g, half);
                    let mut y = [shift; TILE];
                    for p in 0..TILE {
                        let sums = if LONG { sums[p][g] } else { [vdupq_n_s16(terms); 2] };
                        y[p] = vqshlq_s16(less(sums, counts[p][g])[half], shift);
                    }
                    for p in 0..TILE {
                        y[p] = vqaddq_s16(vqrdmulhq_s16(y[p], multiplier[half]), bias[half]);
                    }
                    for p in 0..TILE {
                        let extra = if SHIFTED { vqrshlq_s16(extra[p], taken) } else { extra[p] };
                        y[p] = vqsubq_s16(vqaddq_s16(y[p], extra), before[half]);
                    }
                    for p in 0..TILE {
                        y[p] = vmaxq_s16(y[p], vqrdmulhq_s16(y[p], slope[half]));
                        y[p] = vqaddq_s16(y[p], after[half]);
                    }
                    for p in 0..TILE {
                        let at = (first + p) * channels + g * LANES + half * EIGHT;
                        vst1q_s16(stream.add(at), y[p]);
                        let found = vcltq_s16(y[p], sign[half]);
                        below[p][g] = match half {
                            0 => vandq_u16(found, each[0]),
                            _ => vbslq_u16(each[1], found, below[p][g]),
                        };
                    }
                }
            }
            let Some(bits) = bits else { return };
            for p in (0..TILE).step_by(2) {
                let words = vreinterpretq_u64_u16(added(words(below[p]), words(below[p + 1])));
                let to = bits.add((first + p) * bytes);
                to.cast::<u64>().write_unaligned(vgetq_lane_u64::<0>(words).to_le());
                to.add(bytes).cast::<u64>().write_unaligned(vgetq_lane_u64::<1>(words).to_le());
            }
        }
    }
}

/// Adds to each counter of a tile what differs in some steps.
///
/// # Safety
/// They are there, of the tile's pixels and of the weights.
#[inline(always)]
unsafe fn count<const G: usize>(
    counts: [[uint8x16_t; G]; TILE],
    input: *const u8,
    pixel: usize,
    weights: *const u8,
    steps: Range<usize>,
) -> [[uint8x16_t; G]; TILE] {
    let mut counts = counts;
    // SAFETY: of this function; the target has NEON.
    unsafe {
        let mut row = weights.add(steps.start * G * LANES);
        for k in 0..steps.len() {
            let mut weights = [vdupq_n_u8(0); G];
            for g in 0..G {
                weights[g] = vld1q_u8(row.add(g * LANES));
            }
            row = row.add(G * LANES);
            for p in 0..TILE {
                let byte = vdupq_n_u8(input.add(p * pixel + k).read());
                for g in 0..G {
                    let differ = vcntq_u8(veorq_u8(weights[g], byte));
                    counts[p][g] = vaddq_u8(counts[p][g], differ);
                }
            }
        }
    }
    counts
}

/// Takes from 16 sums twice what was counted.
#[inline(always)]
fn less(sums: [int16x8_t; 2], counts: uint8x16_t) -> [int16x8_t; 2] {
    // SAFETY: the target has NEON.
    unsafe {
        let low = vreinterpretq_s16_u16(vshll_n_u8::<1>(vget_low_u8(counts)));
        let high = vreinterpretq_s16_u16(vshll_high_n_u8::<1>(counts));
        [vsubq_s16(sums[0], low), vsubq_s16(sums[1], high)]
    }
}

/// The bits of four groups, in two lanes for each: all of those that are set are different.
#[inline(always)]
fn words([a, b, c, d]: [uint16x8_t; 4]) -> uint16x8_t {
    added(added(a, b), added(c, d))
}

/// Sums of neighbouring lanes: `vpaddq_u16`, which the compiler makes three other
/// instructions of where it knows that no bit is set twice.
#[inline(always)]
fn added(a: uint16x8_t, b: uint16x8_t) -> uint16x8_t {
    let sums;
    // SAFETY: the target has NEON; registers alone.
    unsafe {
        asm!(
            "addp {sums:v}.8h, {a:v}.8h, {b:v}.8h",
            sums = out(vreg) sums,
            a = in(vreg) a,
            b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}

/// What the shortcut adds, before its shift.
trait Extra: Copy {
    /// To the lower or the upper `half` of group `g` of a tile's pixels, from the `first`
    /// on.
    ///
    /// # Safety
    /// There are such pixels, and they have such channels.
    unsafe fn of(&self, first: usize, g: usize, half: usize) -> [int16x8_t; TILE];
}

/// One load: as many channels as the output has, or fewer, which wrap round.
#[derive(Clone, Copy)]
struct Loads<'e, const G: usize> {
    from: *const i16,
    /// Elements per pixel.
    step: usize,
    /// The first channel of each half of a group.
    firsts: &'e [[usize; 2]; G],
}

impl<const G: usize> Extra for Loads<'_, G> {
    #[inline(always)]
    unsafe fn of(&self, first: usize, g: usize, half: usize) -> [int16x8_t; TILE] {
        let Loads { from, step, firsts } = *self;
        // SAFETY: of this function; the target has NEON.
        unsafe {
            let from = from.add(first * step + firsts[g][half]);
            let mut extra = [vdupq_n_s16(0); TILE];
            for p in 0..TILE {
                extra[p] = vld1q_s16(from.add(p * step));
            }
            extra
        }
    }
}

/// Means over channels.
#[derive(Clone, Copy)]
struct Means<'e, const G: usize> {
    from: *const i16,
    /// Elements per pixel.
    step: usize,
    /// From one of a mean's terms to the next.
    channels: usize,
    /// The first channel of all.
    first: usize,
    /// Of how many terms each group's are.
    means: &'e [(usize, Mean<Neon, LANES>); G],
}

impl<const G: usize> Extra for Means<'_, G> {
    #[inline(always)]
    unsafe fn of(&self, first: usize, g: usize, half: usize) -> [int16x8_t; TILE] {
        let Means { from, step, channels, first: channel, means } = *self;
        let (terms, ref mean) = means[g];
        // SAFETY: of this function; the target has NEON; every lane has so many terms.
        unsafe {
            let mut extra = [vdupq_n_s16(0); TILE];
            for p in 0..TILE {
                let at = (first + p) * step + channel + g * LANES + half * EIGHT;
                extra[p] = vld1q_s16(from.add(at));
                if terms == 1 {
                    continue;
                }
                // Both halves are this one.
                let mut so_far = mean.first(Neon, [extra[p]; 2]);
                for term in 1..terms {
                    let x = vld1q_s16(from.add(at + term * channels));
                    so_far = mean.with(Neon, so_far, [x; 2]);
                }
                extra[p] = mean.rounded(Neon, so_far)[0];
            }
            extra
        }
    }
}
