//! The parameter-free shortcut: pool, regroup channels, shift.
//!
//! 16 neighbouring channels of a pixel (32 where the shortcut has the output's
//! channels) are had, where that is possible, by
//!
//! - one load: the output's own shape, or fewer channels in whole groups of 16;
//! - two loads and a selection: fewer channels, which wrap round within 16;
//! - a mean over four pixels or a few channels, in 16 bits and exact.
//!
//! What is left (other pools, means over both, groups that start anywhere) is
//! added up in 32 bits, or takes the scalar path, one channel at a time. 1×1 layers
//! put means over pixels aside where there is `pooled.rs`.
//!
//! Cost per 16 channels: 1 load and 1 add; a mean of four pixels 4 loads and 15
//! operations; a mean over r channels r loads and 3r + 8 operations.

use core::ops::Range;

use super::cut;
use super::epilogue::At;
use super::lanes::{LANES, Lanes, Work, load16_padded};
use super::mean::{Mean, mean_of_four, mean_terms};
use super::pool::rdiv;
use crate::types::Shortcut;

/// What one output row needs of the shortcut.
#[derive(Clone, Copy)]
pub(crate) struct RowShortcut<'a> {
    way: Way<'a>,
    taken: &'a Shortcut<'a>,
    row: usize,
}

/// How 16 neighbouring channels of a row are had.
#[derive(Clone, Copy)]
enum Way<'a> {
    /// One load from the row of the same pixels.
    Load(&'a [i16]),
    /// The mean of several loads from the row of the same pixels.
    Channels(&'a [i16]),
    /// Two loads from the row of the same pixels, where the 16 wrap round.
    Wrap(&'a [i16]),
    /// The mean of four loads from two rows of twice the pixels, and of what
    /// there is at the right border.
    MeanOfFour([&'a [i16]; 2]),
    /// Anything else.
    Other,
}

impl<'a> RowShortcut<'a> {
    /// For output row `row` of `channels` channels.
    #[inline(always)]
    pub(crate) fn new(taken: &'a Shortcut<'a>, row: usize, channels: usize) -> Self {
        let Shortcut { shape, pool, .. } = *taken;
        let elements = shape.w * shape.c;
        let line = |row: usize| cut::part(taken.values, row * elements..(row + 1) * elements);
        // 16 channels from a multiple of 16 on do not wrap then.
        let contiguous =
            shape.c == channels || (shape.c < channels && shape.c.is_multiple_of(LANES));
        // At most once within 16, whatever multiple of 16 they start from.
        let wraps_once = shape.c >= LANES || shape.c == LANES / 2;
        let way = match pool {
            1 if contiguous => Way::Load(line(row)),
            1 if shape.c > channels => Way::Channels(line(row)),
            1 if shape.c < channels && wraps_once => Way::Wrap(line(row)),
            2 if contiguous && 2 * row + 1 < shape.h => {
                Way::MeanOfFour([line(2 * row), line(2 * row + 1)])
            }
            _ => Way::Other,
        };
        RowShortcut { way, taken, row }
    }

    /// The shortcut's channel that output channel `channel` starts from.
    pub(crate) fn source(&self, channel: usize) -> usize {
        channel % cut::divisor(self.taken.shape.c)
    }

    /// What the shortcut adds to the channels at `at` (of `channels`): all of
    /// them if G is above 1. `sources` is [`RowShortcut::source`] of each group
    /// of N.
    #[inline(always)]
    pub(crate) fn values<L: Lanes<N>, const N: usize, const G: usize>(
        self,
        lanes: L,
        channels: usize,
        at: At,
        sources: [usize; G],
    ) -> [L::I16; G] {
        let mut values = [lanes.splat16(0); G];
        let shape = self.taken.shape;
        match self.way {
            Way::Load(line) if self.whole::<N>(channels, at) => {
                let pixel = cut::part(line, at.column * shape.c..);
                for (value, &source) in values.iter_mut().zip(&sources) {
                    *value = load16_padded(lanes, cut::part(pixel, source..));
                }
            }
            Way::Wrap(line) if at.column > 0 && self.whole::<N>(channels, at) => {
                for (value, &source) in values.iter_mut().zip(&sources) {
                    *value = wrapped(lanes, line, at.column, source, shape.c);
                }
            }
            Way::MeanOfFour(lines)
                if 2 * at.column + 1 < shape.w && self.whole::<N>(channels, at) =>
            {
                let pixels = lines.map(|line| cut::part(line, 2 * at.column * shape.c..));
                for (value, &source) in values.iter_mut().zip(&sources) {
                    *value = mean_of_four(lanes, pixels, source, shape.c);
                }
            }
            _ => {
                let mut means = [[0; N]; G];
                let RowShortcut { taken, row, .. } = self;
                let pooled = Pooled { lanes, taken, row, channels, at, means: &mut means };
                lanes.outline(pooled);
                for (value, means) in values.iter_mut().zip(&means) {
                    *value = lanes.load16(means);
                }
            }
        }
        let scale = self.scale(lanes);
        for value in &mut values {
            *value = scale.apply(lanes, *value);
        }
        values
    }

    /// What one load per pixel adds to the N channels at `at` and at the pixels
    /// that follow, if that is all it takes.
    #[inline(always)]
    pub(super) fn loads<L: Lanes<N>, const N: usize>(
        &self,
        lanes: L,
        channels: usize,
        at: At,
        source: usize,
    ) -> Option<Loads<'a, L, N>> {
        match self.way {
            Way::Load(line) if self.whole::<N>(channels, at) => {
                let step = self.taken.shape.c;
                let line = cut::part(line, at.column * step + source..);
                Some(Loads { line, step, scale: self.scale(lanes) })
            }
            _ => None,
        }
    }

    /// The same of means over four pixels, if there are four for `count` pixels.
    #[inline(always)]
    pub(super) fn means<L: Lanes<N>, const N: usize>(
        &self,
        lanes: L,
        channels: usize,
        at: At,
        source: usize,
        count: usize,
    ) -> Option<Means<'a, L, N>> {
        let shape = self.taken.shape;
        match self.way {
            Way::MeanOfFour(lines)
                if self.whole::<N>(channels, at) && at.column + count <= shape.w / 2 =>
            {
                let first = 2 * at.column * shape.c;
                let lines = [cut::part(lines[0], first..), cut::part(lines[1], first..)];
                Some(Means { lines, source, channels: shape.c, scale: self.scale(lanes) })
            }
            _ => None,
        }
    }

    /// Whether it is a mean over channels.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(super) fn averages(&self) -> bool {
        matches!(self.way, Way::Channels(_))
    }

    /// The same of means over channels, if all at `at` are over as many.
    #[inline(always)]
    pub(super) fn channel_means<L: Lanes<N>, const N: usize>(
        &self,
        lanes: L,
        channels: usize,
        at: At,
    ) -> Option<ChannelMeans<'a, L, N>> {
        let step = self.taken.shape.c;
        match self.way {
            Way::Channels(line) if self.whole::<N>(channels, at) => Some(ChannelMeans {
                mean: Mean::new(lanes, mean_terms(step, channels, at)?, channels),
                line: cut::part(line, at.column * step + at.channel..),
                step,
                scale: self.scale(lanes),
            }),
            _ => None,
        }
    }

    /// Adds to each pixel's values, from the one at `at` on, what the shortcut
    /// has for these N of the `channels` channels.
    #[inline(always)]
    pub(super) fn add<L: Lanes<N>, const N: usize>(
        &self,
        lanes: L,
        channels: usize,
        at: At,
        source: usize,
        values: &mut [[i16; N]],
    ) {
        let shape = self.taken.shape;
        if let Some(loads) = self.loads(lanes, channels, at, source) {
            return add_all(lanes, &loads, values);
        }
        let mut done = 0;
        if self.whole::<N>(channels, at) {
            match self.way {
                Way::Channels(_) => {
                    if let Some(means) = self.channel_means(lanes, channels, at) {
                        add_all(lanes, &means, values);
                        done = values.len();
                    }
                }
                Way::Wrap(line) => {
                    // The very first pixel has nothing before it.
                    let from = usize::from(at.column == 0);
                    if let (1, Some(first)) = (from, values.first_mut()) {
                        let [extra] = self.values::<L, N, 1>(lanes, channels, at, [source]);
                        add_to(lanes, first, extra);
                    }
                    let scale = self.scale(lanes);
                    for (p, value) in values.iter_mut().enumerate().skip(from) {
                        let both = wrapped(lanes, line, at.column + p, source, shape.c);
                        add_to(lanes, value, scale.apply(lanes, both));
                    }
                    done = values.len();
                }
                Way::MeanOfFour(_) => {
                    let inside = values.len().min((shape.w / 2).saturating_sub(at.column));
                    if let Some(means) = self.means(lanes, channels, at, source, inside) {
                        add_all(lanes, &means, cut::part_mut(values, ..inside));
                        done = inside;
                    }
                }
                Way::Load(_) | Way::Other => {}
            }
        }
        for (p, value) in values.iter_mut().enumerate().skip(done) {
            let [extra] = self.values::<L, N, 1>(lanes, channels, at.pixel(p), [source]);
            add_to(lanes, value, extra);
        }
    }

    /// Whether the way holds for the N channels at `at`: it is that of 16, and
    /// groups of a grouped convolution start anywhere.
    #[inline(always)]
    fn whole<const N: usize>(&self, channels: usize, at: At) -> bool {
        let own = self.taken.shape.c;
        own == channels || (at.channel.is_multiple_of(N) && (N == LANES || own.is_multiple_of(N)))
    }

    #[inline(always)]
    fn scale<L: Lanes<N>, const N: usize>(&self, lanes: L) -> Scale<L, N> {
        match self.taken.shift {
            0 => Scale::None,
            // A rounding right shift by r is a rounding multiplication by 2^(15−r).
            right @ ..0 => Scale::Multiply(lanes.splat16(1 << (15 + right))),
            left => Scale::Shift(left as u32),
        }
    }
}

/// What a shortcut adds to a run of pixels.
pub(super) trait Extra<L: Lanes<N>, const N: usize> {
    /// `y` and what there is for pixel `p` of the run, saturated.
    fn add(&self, lanes: L, p: usize, y: L::I16) -> L::I16;
}

/// No shortcut, or one that was added before.
pub(super) struct Nothing;

/// See [`RowShortcut::loads`].
#[derive(Clone, Copy)]
pub(super) struct Loads<'a, L: Lanes<N>, const N: usize> {
    /// From the first pixel's first channel on.
    line: &'a [i16],
    /// Elements per pixel.
    step: usize,
    scale: Scale<L, N>,
}

/// See [`RowShortcut::means`].
pub(super) struct Means<'a, L: Lanes<N>, const N: usize> {
    /// From the first pixel on.
    lines: [&'a [i16]; 2],
    source: usize,
    channels: usize,
    scale: Scale<L, N>,
}

/// See [`RowShortcut::channel_means`].
#[derive(Clone, Copy)]
pub(super) struct ChannelMeans<'a, L: Lanes<N>, const N: usize> {
    mean: Mean<L, N>,
    /// From the first pixel's first channel on.
    line: &'a [i16],
    /// Elements per pixel.
    step: usize,
    scale: Scale<L, N>,
}

impl<L: Lanes<N>, const N: usize> Extra<L, N> for Nothing {
    #[inline(always)]
    fn add(&self, _: L, _: usize, y: L::I16) -> L::I16 {
        y
    }
}

impl<L: Lanes<N>, const N: usize> Extra<L, N> for Loads<'_, L, N> {
    #[inline(always)]
    fn add(&self, lanes: L, p: usize, y: L::I16) -> L::I16 {
        let extra = load16_padded(lanes, cut::part(self.line, p * self.step..));
        lanes.adds16(y, self.scale.apply(lanes, extra))
    }
}

/// Where there is one; [`Nothing`] otherwise.
#[cfg(target_arch = "x86_64")]
impl<L: Lanes<N>, const N: usize, E: Extra<L, N>> Extra<L, N> for Option<E> {
    #[inline(always)]
    fn add(&self, lanes: L, p: usize, y: L::I16) -> L::I16 {
        match self {
            Some(extra) => extra.add(lanes, p, y),
            None => y,
        }
    }
}

impl<L: Lanes<N>, const N: usize> Extra<L, N> for Means<'_, L, N> {
    #[inline(always)]
    fn add(&self, lanes: L, p: usize, y: L::I16) -> L::I16 {
        let first = 2 * p * self.channels;
        let pixels = [cut::part(self.lines[0], first..), cut::part(self.lines[1], first..)];
        let mean = mean_of_four(lanes, pixels, self.source, self.channels);
        lanes.adds16(y, self.scale.apply(lanes, mean))
    }
}

impl<L: Lanes<N>, const N: usize> Extra<L, N> for ChannelMeans<'_, L, N> {
    #[inline(always)]
    fn add(&self, lanes: L, p: usize, y: L::I16) -> L::I16 {
        let mean = self.mean.of(lanes, cut::part(self.line, p * self.step..));
        lanes.adds16(y, self.scale.apply(lanes, mean))
    }
}

/// Adds to each pixel's values what there is for it.
#[inline(always)]
fn add_all<L: Lanes<N>, const N: usize>(
    lanes: L,
    extra: &impl Extra<L, N>,
    values: &mut [[i16; N]],
) {
    for (p, value) in values.iter_mut().enumerate() {
        lanes.store16(extra.add(lanes, p, lanes.load16(value)), value);
    }
}

/// Saturates.
#[inline(always)]
fn add_to<L: Lanes<N>, const N: usize>(lanes: L, value: &mut [i16; N], extra: L::I16) {
    lanes.store16(lanes.adds16(lanes.load16(value), extra), value);
}

/// The shift of a shortcut.
#[derive(Clone, Copy)]
enum Scale<L: Lanes<N>, const N: usize> {
    None,
    Multiply(L::I16),
    Shift(u32),
}

impl<L: Lanes<N>, const N: usize> Scale<L, N> {
    #[inline(always)]
    fn apply(self, lanes: L, value: L::I16) -> L::I16 {
        match self {
            Scale::None => value,
            Scale::Multiply(factor) => lanes.mulr16(value, factor),
            Scale::Shift(count) => lanes.shls16(value, count),
        }
    }
}

/// The 16 channels from `source` on of the pixel at `column`, above 0, where
/// the first of the `channels` follows the last, once. Lanes that start over are
/// those of a load that starts as many elements before the pixel.
#[inline(always)]
fn wrapped<L: Lanes<N>, const N: usize>(
    lanes: L,
    line: &[i16],
    column: usize,
    source: usize,
    channels: usize,
) -> L::I16 {
    let pixel = column * channels;
    let turn = channels - source;
    let first = load16_padded(lanes, cut::part(line, pixel + source..));
    if turn >= N {
        return first;
    }
    let again = load16_padded(lanes, cut::part(line, pixel - turn..));
    lanes.select16(lanes.mask16((1 << turn) - 1), first, again)
}

/// Means over pixels and channels.
struct Pooled<'l, 'a, L, const N: usize> {
    lanes: L,
    taken: &'l Shortcut<'a>,
    row: usize,
    channels: usize,
    at: At,
    /// One per group of N channels.
    means: &'l mut [[i16; N]],
}

impl<L: Lanes<N>, const N: usize> Work for Pooled<'_, '_, L, N> {
    #[inline(always)]
    fn run(self) {
        let Pooled { lanes, taken, row, channels, at, means } = self;
        let (shape, pool) = (taken.shape, taken.pool);
        let rows = row * pool..(row * pool + pool).min(shape.h);
        let columns = at.column * pool..(at.column * pool + pool).min(shape.w);
        for (group, means) in means.iter_mut().enumerate() {
            let Some(at) = at.group(group, N) else { break };
            if let (1, Some(terms)) = (pool, mean_terms(shape.c, channels, at)) {
                let pixel = (row * shape.w + at.column) * shape.c;
                let values = cut::part(taken.values, pixel + at.channel..);
                let mean = Mean::new(lanes, terms, channels);
                lanes.store16(mean.of(lanes, values), means);
                continue;
            }
            let first = at.channel % cut::divisor(shape.c);
            let (aligned, repeats) = if shape.c >= channels {
                (shape.c.is_multiple_of(channels), shape.c / cut::divisor(channels))
            } else {
                (first + at.count <= shape.c, 1)
            };
            let elements = rows.len() * columns.len() * repeats;
            if !(aligned && elements.is_power_of_two() && elements <= 1 << 15) {
                one_by_one(taken, channels, at, rows.clone(), columns.clone(), means);
                continue;
            }
            let mut sum = lanes.zero32();
            for row in rows.clone() {
                for column in columns.clone() {
                    let pixel = (row * shape.w + column) * shape.c;
                    for repeat in 0..repeats {
                        let from = pixel + first + repeat * channels;
                        let values = load16_padded(lanes, cut::part(taken.values, from..));
                        sum = lanes.add32(sum, lanes.widen16(values));
                    }
                }
            }
            if elements > 1 {
                sum = lanes.rshr32(sum, elements.trailing_zeros());
            }
            lanes.store16(lanes.saturate32(sum), means);
        }
    }
}

/// The means of up to 16 channels of one pixel, whatever the geometry.
pub(super) fn one_by_one(
    taken: &Shortcut<'_>,
    channels: usize,
    at: At,
    rows: Range<usize>,
    columns: Range<usize>,
    means: &mut [i16],
) {
    let shape = taken.shape;
    for (channel, mean) in (at.channel..).zip(cut::part_mut(means, ..at.count)) {
        // With fewer channels in than out, the first is the only one.
        let (first, step) = (channel % cut::divisor(shape.c), cut::divisor(channels));
        let (mut sum, mut elements) = (0i64, 0);
        for row in rows.clone() {
            for column in columns.clone() {
                let pixel = (row * shape.w + column) * shape.c;
                for c in (first..shape.c).step_by(step) {
                    sum += i64::from(cut::at(taken.values, pixel + c));
                    elements += 1;
                }
            }
        }
        // A mean of 16-bit values is one.
        *mean = if elements == 1 { sum as i16 } else { rdiv(sum, elements) as i16 };
    }
}
