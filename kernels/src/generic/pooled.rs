//! 1×1 convolutions whose shortcut is from before a stride: the means over pixels that it
//! adds are put aside, for some pixels at a time, and then it is a shortcut from the same
//! pixels, as others have.
//!
//! Cost per 16 values put aside: a mean of four pixels 4 loads and 15 operations; one over r
//! channels as well 4·r loads and 17·r + 12 operations.

use core::ops::Range;

use super::epilogue::At;
use super::lanes::{Lanes, Work, store16_clipped};
use super::mean::{FOURS_TERMS, Mean, mean_terms};
use super::shortcut::one_by_one;
use super::{BinaryJob, cut, pointwise};
use crate::layout::pixel_bytes;
use crate::types::{Conv, Epilogue, Shape, Shortcut, Sign};

/// Values that are put aside, at most: on the stack, which a device has less of.
const VALUES: usize = if cfg!(feature = "std") { 8192 } else { 2048 };

/// Pixels for which they are, at least; else there are too many channels.
const PIXELS: usize = 8;

/// Whether the job is one for [`run`].
pub(crate) fn suits(job: &BinaryJob<'_>) -> bool {
    let Epilogue::Stream { shortcut: Some(taken), .. } = &job.epilogue else { return false };
    pointwise(&job.conv)
        && job.conv.groups == 1
        && taken.pool > 1
        && taken.shape.c.min(job.conv.output.c) <= VALUES / PIXELS
}

/// The whole operation, which [`suits`], as several of `kernel`. `wide` is for groups of N
/// channels, if each is had from as many as its first, `lanes` for those of 16.
///
/// Apart, so that other layers do not take its stack.
#[inline(never)]
pub(crate) fn run<const N: usize, W: Lanes<N>, L: Lanes>(
    wide: W,
    lanes: L,
    job: BinaryJob<'_>,
    kernel: impl Fn(BinaryJob<'_>),
) {
    let BinaryJob { conv, padding, input, weights, rows, epilogue, scratch } = job;
    let Epilogue::Stream {
        shift,
        multiplier,
        bias,
        shortcut: Some(taken),
        prelu,
        mut stream,
        mut sign,
    } = epilogue
    else {
        return;
    };
    let Shape { w: width, c: channels, .. } = conv.output;
    let (first, pixels) = (rows.start * width, rows.len() * width);
    // Fewer channels than the output's are regrouped afterwards.
    let own = taken.shape.c.min(channels);
    let bytes = [conv.input.c, channels].map(pixel_bytes);
    let mut values = [0; VALUES];
    let runs = pixels.div_ceil(cut::divisor(VALUES / cut::divisor(own)));
    for run in 0..runs {
        let range = pixels * run / cut::divisor(runs)..pixels * (run + 1) / cut::divisor(runs);
        let count = range.len();
        let all = first + range.start..first + range.end;
        let values = cut::part_mut(&mut values, ..count * own);
        let aside = Aside { taken: &taken, width, channels, pixels: all.clone(), values };
        match (0..own).step_by(N).all(|channel| aside.terms::<N>(own, channel).is_some()) {
            true => wide.outline(By { lanes: wide, aside }),
            false => lanes.outline(By { lanes, aside }),
        }
        let shape = |c| Shape { h: 1, w: count, c };
        let values = &*values;
        let part = |of: usize| range.start * of..range.end * of;
        kernel(BinaryJob {
            conv: Conv { input: shape(conv.input.c), output: shape(channels), ..conv },
            padding,
            input: cut::part(input, all.start * bytes[0]..all.end * bytes[0]),
            weights,
            rows: 0..1,
            epilogue: Epilogue::Stream {
                shift,
                multiplier,
                bias,
                shortcut: Some(Shortcut { values, shape: shape(own), pool: 1, shift: taken.shift }),
                prelu,
                stream: stream.as_deref_mut().map(|all| cut::part_mut(all, part(channels))),
                sign: sign.as_mut().map(|Sign { thresholds, bits }| Sign {
                    thresholds,
                    bits: cut::part_mut(bits, part(bytes[1])),
                }),
            },
            scratch: &mut *scratch,
        });
    }
}

/// Values of a shortcut before its shift, as many per pixel as the fewer of the shortcut's
/// channels and the output's.
struct Aside<'l, 'a> {
    taken: &'l Shortcut<'a>,
    /// Of the output.
    width: usize,
    channels: usize,
    /// Pixels of the output, row after row.
    pixels: Range<usize>,
    values: &'l mut [i16],
}

impl Aside<'_, '_> {
    /// Of how many channels those from `channel` on, of `own`, are the mean.
    #[inline(always)]
    fn terms<const N: usize>(&self, own: usize, channel: usize) -> Option<usize> {
        let at = At { column: 0, channel, count: (own - channel).min(N) };
        match self.taken.shape.c > self.channels {
            true => mean_terms(self.taken.shape.c, self.channels, at),
            false => Some(1),
        }
    }

    /// Those of some columns of a row, the `done`th pixel and those after it.
    #[inline(always)]
    fn row<L: Lanes<N>, const N: usize>(
        &mut self,
        lanes: L,
        row: usize,
        columns: Range<usize>,
        done: usize,
    ) {
        let Shortcut { shape, pool, .. } = *self.taken;
        let own = shape.c.min(self.channels);
        let rows = row * pool..(row * pool + pool).min(shape.h);
        let line = shape.w * shape.c;
        for channel in (0..own).step_by(N) {
            let terms = self.terms::<N>(own, channel);
            let count = (own - channel).min(N);
            let mut to = cut::part_mut(self.values, done * own + channel..);
            // The end of those whose windows are four pixels.
            let mut inside = columns.start;
            if let (Some(terms @ ..=FOURS_TERMS), 2, 2) = (terms, pool, rows.len()) {
                inside = columns.end.min(shape.w / 2).max(inside);
                let mean = Mean::new(lanes, terms, self.channels);
                let from = rows.start * line + 2 * columns.start * shape.c + channel;
                let mut lines = [cut::part(self.taken.values, from..), &[]];
                lines[1] = cut::part(lines[0], line..);
                for _ in columns.start..inside {
                    let value = mean.of_fours(lanes, lines, shape.c);
                    store16_clipped(lanes, value, cut::part_mut(to, ..count));
                    lines = lines.map(|line| line.get(2 * shape.c..).unwrap_or_default());
                    to = to.get_mut(own..).unwrap_or_default();
                }
            }
            for column in inside..columns.end {
                let at = At { column, channel, count };
                let columns = column * pool..(column * pool + pool).min(shape.w);
                let means = cut::part_mut(to, ..count);
                one_by_one(self.taken, self.channels, at, rows.clone(), columns, means);
                to = to.get_mut(own..).unwrap_or_default();
            }
        }
    }
}

/// N channels at a time.
struct By<'l, 'a, L, const N: usize> {
    lanes: L,
    aside: Aside<'l, 'a>,
}

impl<L: Lanes<N>, const N: usize> Work for By<'_, '_, L, N> {
    #[inline(always)]
    fn run(self) {
        let By { lanes, mut aside } = self;
        let (width, pixels) = (aside.width, aside.pixels.clone());
        // Row by row: all channels of its lines, while these are in the cache.
        let mut pixel = pixels.start;
        while pixel < pixels.end {
            let (row, first) = (pixel / cut::divisor(width), pixel % cut::divisor(width));
            let columns = first..width.min(first + pixels.end - pixel);
            aside.row(lanes, row, columns.clone(), pixel - pixels.start);
            pixel += columns.len();
        }
    }
}
