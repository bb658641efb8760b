//! 3×3 8-bit convolution of an image of one channel or three, as the first layer of a
//! network is one, from the image to the stores: 32 output channels at a time, or 16, or 8
//! of two pixels.
//!
//! The lines of the image that a row of the output reads are copied, widened to 16 bits
//! where that is how they are multiplied, with the padding around them; there they stay for
//! the rows after it.

// Fixed loops over indices are unrolled into registers; iterators over the same
// arrays often are not.
#![allow(clippy::needless_range_loop)]

use core::ops::Range;

use super::lanes::PassLanes;
use crate::generic::epilogue::{Parameters, Sink};
use crate::generic::int8_depthwise::Taps;
use crate::generic::lanes::{LANES, Lanes, Work};
use crate::generic::usual_image::PlainRow;
use crate::generic::{Int8Job, cut, taps_inside};
use crate::layout::{INT8_GROUP, int8_depth};
use crate::types::{Conv, Int8Input};

/// Weights of 4 positions of a window and 16 channels, as they are stored.
pub(crate) type Fours = [i8; LANES * INT8_GROUP];

/// What the pass asks for beside vectors.
pub(crate) trait Images: Taps<LANES, L = <Self as Images>::V> {
    /// The epilogue's vectors, [`Taps::L`]: a bound on that one would have to be written
    /// again at each use of this trait.
    type V: PassLanes;
    /// What a pixel's value becomes.
    type Value: Copy + Default + From<u8>;
    /// The weights of Q times 16 channels, in G pieces for each row of a window.
    type Held<const G: usize, const Q: usize>: Copy;
    /// Values of a row that a piece takes: 1, 2 or 4.
    const VALUES: usize;
    /// Whether the first two rows of a window are one of pairs.
    const JOINED: bool = false;

    /// Those of R values a row, from the first position on.
    fn held<const R: usize, const G: usize, const Q: usize>(
        self,
        fours: [&[Fours]; Q],
    ) -> Self::Held<G, Q>;

    /// Σ w·x over the windows of P pixels, `step` values from one to the next, and `start`.
    /// With EIGHT of P pairs of pixels, the first's in the lower 8 of 16 lanes. If JOINED
    /// the first of the lines is the first two, a value of either in turn, and the second is
    /// not read.
    ///
    /// # Safety
    /// Each line has a window's values for each, and [`SLACK`] more, or twice as many.
    unsafe fn windows<const G: usize, const Q: usize, const P: usize, const EIGHT: bool>(
        self,
        start: [[<Self::V as Lanes>::I32; Q]; P],
        weights: &Self::Held<G, Q>,
        lines: [*const Self::Value; 3],
        step: usize,
    ) -> [[<Self::V as Lanes>::I32; Q]; P];
}

/// The weights of 4 values of row `ky` of a window, from the `4·g`th of its R on; what is
/// past them is 0.
#[inline(always)]
pub(crate) fn piece<const R: usize>(fours: &[Fours], ky: usize, g: usize) -> Fours {
    let mut found = [0; LANES * INT8_GROUP];
    for value in 0..INT8_GROUP.min(R - INT8_GROUP * g) {
        let k = ky * R + INT8_GROUP * g + value;
        let Some(from) = cut::there(fours.get(k / INT8_GROUP)) else { return found };
        for lane in 0..LANES {
            found[INT8_GROUP * lane + value] = from[INT8_GROUP * lane + k % INT8_GROUP];
        }
    }
    found
}

/// Values of a line with its padding, at most: four are on the stack, which a device has
/// less of.
const LINE: usize = if cfg!(feature = "std") { 2048 } else { 512 };

/// Values after a window's last that may be read.
pub(crate) const SLACK: usize = 3;

/// Pixels of a tile, or pairs of pixels.
const TILE: usize = 2;

/// Channels of which two pixels share vectors.
const HALF: usize = LANES / 2;

/// Weights of 4 positions in a window, at most.
const FOURS: usize = int8_depth(3, 3, 3) / INT8_GROUP;

/// What [`Int8Job::usual_image`] says, if the job is one for [`run`].
#[inline(always)]
pub(crate) fn suits(job: &Int8Job<'_>) -> Option<(u32, bool)> {
    let Conv { input, output, .. } = job.conv;
    let tile = if output.c.is_multiple_of(LANES) { TILE } else { 2 * TILE };
    let fits = output.w >= tile
        && output.c.is_multiple_of(HALF)
        && columns(&job.conv) * input.c + SLACK <= LINE;
    job.usual_image().filter(|_| fits)
}

/// Columns of a line with its padding.
fn columns(conv: &Conv) -> usize {
    (conv.output.w - 1) * conv.window.stride_w + conv.window.kernel_w
}

/// The whole operation, which [`suits`].
pub(crate) fn run<S: Images>(isa: S, job: Int8Job<'_>, (shift, prelu): (u32, bool)) {
    let Int8Job { conv, input, weights, rows, epilogue, .. } = job;
    if let Int8Input::Image { pixels, zero } = input {
        let sink = Sink::new(epilogue, conv.output, &rows, 0);
        isa.outline(Pass { isa, conv, pixels, zero, weights, rows, sink, shift, prelu });
    }
}

/// Some rows of the output.
struct Pass<'a, S> {
    isa: S,
    conv: Conv,
    pixels: &'a [u8],
    zero: &'a [u8],
    weights: &'a [i8],
    rows: Range<usize>,
    sink: Sink<'a>,
    shift: u32,
    prelu: bool,
}

impl<S: Images> Work for Pass<'_, S> {
    #[inline(always)]
    fn run(self) {
        match (self.conv.input.c, S::VALUES) {
            (1, 4) => self.groups::<3, 1>(),
            (1, 2) => self.groups::<3, 2>(),
            (1, _) => self.groups::<3, 3>(),
            (_, 4) => self.groups::<9, 3>(),
            (_, 2) => self.groups::<9, 5>(),
            (_, _) => self.groups::<9, 9>(),
        }
    }
}

impl<S: Images> Pass<'_, S> {
    /// For windows of three rows of R values, which are G pieces each. Most first layers
    /// have one group of channels, whose weights are made ready once; where there are more,
    /// each reads the image for itself.
    #[inline(always)]
    fn groups<const R: usize, const G: usize>(mut self) {
        let channels = self.conv.output.c;
        let mut channel = 0;
        while channel < channels {
            let left = channels - channel;
            channel += if left >= 2 * LANES {
                self.outline::<R, G, 2, false>(channel);
                2 * LANES
            } else if left >= LANES {
                self.outline::<R, G, 1, false>(channel);
                LANES
            } else {
                self.outline::<R, G, 1, true>(channel);
                HALF
            };
        }
    }

    #[inline(always)]
    fn outline<const R: usize, const G: usize, const Q: usize, const EIGHT: bool>(
        &mut self,
        channel: usize,
    ) {
        let isa = self.isa;
        match self.prelu {
            true => isa.outline(Run::<S, R, G, Q, EIGHT, true> { pass: self, channel }),
            false => isa.outline(Run::<S, R, G, Q, EIGHT, false> { pass: self, channel }),
        }
    }
}

/// Q groups of 16 channels, or with EIGHT one of 8; PRELU: there is one.
struct Run<
    'r,
    'a,
    S,
    const R: usize,
    const G: usize,
    const Q: usize,
    const EIGHT: bool,
    const PRELU: bool,
> {
    pass: &'r mut Pass<'a, S>,
    channel: usize,
}

impl<
    S: Images,
    const R: usize,
    const G: usize,
    const Q: usize,
    const EIGHT: bool,
    const PRELU: bool,
> Work for Run<'_, '_, S, R, G, Q, EIGHT, PRELU>
{
    #[inline(always)]
    fn run(self) {
        let Run { pass, channel } = self;
        let Pass { isa, conv, pixels, zero, weights, shift, .. } = *pass;
        let Conv { window, input, .. } = conv;
        let depth = int8_depth(1, 1, 3 * R);
        let mut twice = [[0; LANES * INT8_GROUP]; FOURS];
        let mut fours = [&[][..]; Q];
        if EIGHT {
            let block = cut::run(weights, channel * depth, HALF * depth);
            for (to, from) in twice.iter_mut().zip(block.as_chunks().0) {
                to.as_chunks_mut::<{ HALF * INT8_GROUP }>().0.fill(*from);
            }
            fours = [&twice; Q];
        } else {
            for q in 0..Q {
                let block = cut::run(weights, (channel + q * LANES) * depth, LANES * depth);
                fours[q] = block.as_chunks().0;
            }
        }
        let lanes = isa.lanes();
        let weights = isa.held::<R, G, Q>(fours);
        let first = pass.sink.row(pass.rows.start);
        let mut parameters = [first.parameters(lanes, channel); Q];
        for q in 1..Q {
            parameters[q] = first.parameters(lanes, channel + q * LANES);
        }
        if EIGHT {
            parameters[0] = parameters[0].twice(lanes);
        }
        let mut held = [usize::MAX; 3];
        let values = columns(&conv) * input.c + SLACK;
        // One line more, of what is outside the image.
        let mut outside = [S::Value::default(); LINE];
        for pixel in cut::part_mut(&mut outside, ..values).chunks_mut(cut::divisor(input.c)) {
            for (value, &zero) in pixel.iter_mut().zip(zero) {
                *value = zero.into();
            }
        }
        let outside = &outside;
        let mut copies = [*outside; 3];
        let shift = lanes.shift(shift);
        let mut joined = [S::Value::default(); 2 * LINE];
        // The sums of a window of zeros are taken off each.
        let none = [[lanes.zero32(); Q]; 1];
        let Some(zeros) = cut::there(outside.get(..R + SLACK)) else { return };
        let mut lines = [zeros.as_ptr(); 3];
        if S::JOINED {
            join(&mut joined, zeros, zeros);
            lines[0] = joined.as_ptr();
        }
        // SAFETY: each has a window, and as many values more.
        let [zeros] = unsafe { isa.windows::<G, Q, 1, EIGHT>(none, &weights, lines, 0) };
        let mut start = zeros;
        for q in 0..Q {
            start[q] = lanes.minus32(lanes.start(shift), start[q]);
        }
        let left = window.pad_left * input.c;
        let copied = (input.w * input.c).min((values - SLACK).saturating_sub(left));
        for row in pass.rows.clone() {
            let inside = taps_inside(row, window.stride_h, window.pad_top, 3, input.h);
            for ky in inside.clone() {
                let y = row * window.stride_h + ky - window.pad_top;
                let [first, second, third] = &mut copies;
                let (line, held) = match y % 3 {
                    0 => (first, &mut held[0]),
                    1 => (second, &mut held[1]),
                    _ => (third, &mut held[2]),
                };
                if *held != y {
                    *held = y;
                    let from = cut::run(pixels, y * input.w * input.c, copied);
                    for (to, &value) in cut::run_mut(line, left, copied).iter_mut().zip(from) {
                        *to = value.into();
                    }
                }
            }
            let line = |ky: usize| {
                let [first, second, third] = &copies;
                let from = match inside.contains(&ky) {
                    false => outside,
                    true => match (row * window.stride_h + ky - window.pad_top) % 3 {
                        0 => first,
                        1 => second,
                        _ => third,
                    },
                };
                cut::part(from, ..values)
            };
            let mut lines = [line(0), line(1), line(2)];
            if S::JOINED {
                join(&mut joined, lines[0], lines[1]);
                lines[0] = &joined;
            }
            let mut out = pass.sink.row(row);
            let Some(out) = out.plain_from(0) else { return };
            Line::<S, R, G, Q> {
                isa,
                lines,
                step: window.stride_w * input.c,
                weights: &weights,
                channel,
                start,
                shift,
                parameters,
                width: conv.output.w,
                out,
            }
            .run::<EIGHT, PRELU>();
        }
    }
}

/// Writes a value of either line in turn.
#[inline(always)]
fn join<T: Copy>(to: &mut [T], first: &[T], second: &[T]) {
    for (to, (&first, &second)) in to.as_chunks_mut().0.iter_mut().zip(first.iter().zip(second)) {
        *to = [first, second];
    }
}

/// A row of the output of 32, 16 or 8 channels.
struct Line<'l, S: Images, const R: usize, const G: usize, const Q: usize> {
    isa: S,
    lines: [&'l [S::Value]; 3],
    /// Values from one window to the next.
    step: usize,
    weights: &'l S::Held<G, Q>,
    channel: usize,
    /// Of the sums.
    start: [<S::V as Lanes>::I32; Q],
    /// Right shift of the accumulators.
    shift: <S::V as PassLanes>::Shift,
    parameters: [Parameters<S::V>; Q],
    width: usize,
    out: PlainRow<'l>,
}

impl<S: Images, const R: usize, const G: usize, const Q: usize> Line<'_, S, R, G, Q> {
    #[inline(always)]
    fn run<const EIGHT: bool, const PRELU: bool>(self) {
        let Line { isa, lines, step, weights, channel, start, shift, width, .. } = self;
        let PlainRow { stream, bits, channels, pixel } = self.out;
        let parameters = self.parameters;
        let mut signs = [parameters[0].sign; Q];
        for q in 1..Q {
            signs[q] = parameters[q].sign;
        }
        let word = channel.is_multiple_of(64);
        let lanes = isa.lanes();
        let own = if EIGHT { HALF } else { Q * LANES };
        let written = if word { 8 } else { own / 8 };
        let each = if EIGHT { 2 } else { 1 };
        let last = (width - 1) * step + R + SLACK;
        // Values of the first line for one of the others.
        let far = if S::JOINED { 2 } else { 1 };
        let found = reach(stream, channel, (width - 1) * channels + own).and_then(|stream| {
            let bits = match bits {
                Some(bits) => Some(reach(bits, channel / 8, (width - 1) * pixel + written)?),
                None => None,
            };
            let [first, second, third] = lines;
            let lines = [first.get(..far * last)?, second.get(..last)?, third.get(..last)?];
            Some((stream, bits, lines.map(<[S::Value]>::as_ptr)))
        });
        let Some((stream, bits, from)) = cut::there(found) else { return };
        for first in (0..width).step_by(TILE * each) {
            // The last tile may overlap the one before it: the same values are written
            // twice.
            let first = first.min(width - TILE * each);
            // SAFETY: the lines have a window for each of the `width` pixels, whose stream
            // and bits were looked at above.
            unsafe {
                let at = first * step;
                let from = [from[0].add(far * at), from[1].add(at), from[2].add(at)];
                let found = isa.windows::<G, Q, TILE, EIGHT>([start; TILE], weights, from, step);
                for p in 0..TILE {
                    let column = first + p * each;
                    let to = stream.add(column * channels);
                    let mut y = [lanes.splat16(0); Q];
                    for q in 0..Q {
                        y[q] = parameters[q].scale(lanes, lanes.shifted(found[p][q], shift));
                        if PRELU {
                            y[q] = parameters[q].prelu(lanes, y[q]);
                        }
                        match EIGHT {
                            true => lanes.store_apart(y[q], to, to.add(channels)),
                            false => lanes.store::<false>(y[q], to.add(q * LANES)),
                        }
                    }
                    let found = lanes.less_each(y, signs);
                    let mut below = 0;
                    for q in 0..Q {
                        below |= found[q] << (q * LANES);
                    }
                    if let Some(bits) = bits {
                        let to = bits.add(column * pixel);
                        if EIGHT {
                            put_bits(to, below & 0xFF, written);
                            put_bits(to.add(pixel), below >> HALF, written);
                        } else {
                            put_bits(to, below, written);
                        }
                    }
                }
            }
        }
    }
}

/// Writes so many bytes: 8, 4, 2 or 1.
///
/// # Safety
/// They have a place there.
#[inline(always)]
unsafe fn put_bits(to: *mut u8, below: u32, bytes: usize) {
    // SAFETY: of this function.
    unsafe {
        match bytes {
            8 => to.cast::<u64>().write_unaligned(u64::from(below).to_le()),
            4 => to.cast::<u32>().write_unaligned(below.to_le()),
            2 => to.cast::<u16>().write_unaligned((below as u16).to_le()),
            _ => to.write(below as u8),
        }
    }
}

/// The `count` elements from the `first` on, if they are there.
fn reach<T>(of: &mut [T], first: usize, count: usize) -> Option<*mut T> {
    Some(of.get_mut(first..)?.get_mut(..count)?.as_mut_ptr())
}
