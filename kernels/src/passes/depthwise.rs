//! 3×3 8-bit depthwise convolution in one pass, 16 channels at a time: from the loads of a
//! row to its stores, nothing is put aside. It is for the epilogue that almost all of these
//! layers have: bits, perhaps a stream, a shifted PReLU, and a shortcut that is the input,
//! or its 2×2 means where the stride is 2; or bits by thresholds of the sums, and nothing
//! else.
//!
//! Where the stride is 1 and there are registers for it, two rows of the output share the
//! four lines that they read, so that each pixel of the input is made a byte twice, not
//! three times; and what does not wait for each other stands side by side, which is how
//! cores that execute in order want it.
//!
//! A row's loop has no bounds to check, which would take more registers than there are:
//! they are checked once ([`Rows::new`]). It is a function of its own ([`Run`]), and works
//! on copies: what others might write to is loaded again at each use.

// Fixed loops over indices are unrolled into registers; iterators over the same
// arrays often are not.
#![allow(clippy::needless_range_loop)]

use core::ops::Range;

use super::depthwise_rows::Rows;
use super::lanes::{ANY, NONE, PassLanes, RIGHT};
use crate::generic::epilogue::{Parameters, Sink};
use crate::generic::int8_depthwise::{BAND_BYTES, Layer, Taps, Whole};
use crate::generic::lanes::{LANES, Lanes, Work};
use crate::generic::usual::UsualRows;
use crate::generic::{Int8DepthwiseJob, cut, taps_inside};

/// What the pass asks for beside the epilogue's vectors.
pub(crate) trait InOnePass: Taps<LANES, L = <Self as InOnePass>::V> {
    /// The epilogue's vectors, [`Taps::L`]: a bound on that one would have to be written
    /// again at each use of this trait.
    type V: PassLanes;
    /// The weights of a window.
    type Weights: Copy;
    /// Rows of the output at a time where the stride is 1, 1 or 2.
    const ROWS: usize;
    /// See [`Whole::bands`]; the output takes as much again, and both should find a place
    /// in the second-level cache.
    const BAND_BYTES: usize = BAND_BYTES;
    /// 256 if sums are 256 times as large before they are shifted, else 1.
    const SCALE: i32 = 1;

    /// Weights (of −127..=127) row by row.
    fn placed(self, taps: [<Self::V as Lanes>::I16; 9]) -> Self::Weights;
    /// All pixels of ROWS rows.
    ///
    /// # Safety
    /// All pointers reach as far as the rows say.
    unsafe fn line<const STRIDE: usize, const KIND: u8, const ROWS: usize, const HALF: bool>(
        line: Line<Self, STRIDE, HALF>,
    );
}

/// A window as three columns, which come one after another: [`Line::by_column`].
pub(crate) trait ByColumn: InOnePass {
    /// A column of the lines of the input that are read, ready to be multiplied.
    type Lines: Copy;

    /// Narrows the pixels of 4 lines, of which a row at a time has the last twice.
    fn narrowed(
        self,
        pixels: [<Self::V as Lanes>::I16; 4],
        narrow: <Self::V as PassLanes>::Narrow,
    ) -> Self::Lines;
    /// Σ w·x of a window from the left, whose first line is `row`, 0 or 1: shifted,
    /// rounded, and saturated to 16 bits.
    fn sums(
        self,
        window: [Self::Lines; 3],
        row: usize,
        weights: &Self::Weights,
        shift: <Self::V as PassLanes>::Shift,
    ) -> <Self::V as Lanes>::I16;
    /// The same plus `start`, neither shifted nor rounded: below 0 where the sums are.
    fn signs(
        self,
        window: [Self::Lines; 3],
        row: usize,
        weights: &Self::Weights,
        start: <Self::V as Lanes>::I32,
    ) -> <Self::V as Lanes>::I16;
}

/// KIND of an epilogue beside those of the usual one's shortcut ([`NONE`], [`RIGHT`],
/// [`ANY`]): thresholds of sums.
pub(crate) const SIGNS: u8 = 3;

/// The whole operation: what the pass leaves of some rows goes the general way.
#[inline(always)]
pub(crate) fn run<S: InOnePass>(isa: S, job: Int8DepthwiseJob<'_>) {
    let channels = job.conv.output.c;
    let mut whole = Whole::new(job);
    for rows in whole.bands(S::BAND_BYTES) {
        let done = pass(isa, whole.layer, &mut whole.sink, rows.clone());
        whole.run(isa, rows, done..channels);
    }
}

/// Does some rows of the channels in whole groups of 16, and mostly of 8 that are left, if
/// this is for them; how many of the channels those are.
#[inline(always)]
fn pass<'a, S: InOnePass>(
    isa: S,
    layer: Layer<'a>,
    sink: &mut Sink<'a>,
    rows: Range<usize>,
) -> usize {
    let window = layer.conv.window;
    let channels = layer.conv.input.c;
    let kernel = (window.kernel_h, window.kernel_w);
    let strides = (window.stride_h, window.stride_w);
    let signs = sink.thresholds().is_some();
    let usual = if signs { Some((0, 0)) } else { sink.usual(&rows, window.stride_w) };
    let Some((shift, left)) = usual else { return 0 };
    let suits =
        kernel == (3, 3) && matches!(strides, (1, 1) | (2, 2)) && layer.narrow >= S::V::LEAST;
    if !suits {
        return 0;
    }
    let lanes = isa.lanes();
    let (shift, taken) = (lanes.shift(shift), lanes.taken(left));
    let kind = match left {
        _ if signs => SIGNS,
        0 => NONE,
        ..0 if S::V::RIGHT => RIGHT,
        _ => ANY,
    };
    let mut channel = 0;
    while channel < channels {
        let half = channels - channel < LANES;
        // Not worth code of its own for fewer, nor for thresholds.
        if half && (channels - channel != LANES / 2 || signs) {
            break;
        }
        let mut taps = [lanes.splat16(0); 9];
        for tap in 0..9 {
            taps[tap] = layer.weight(lanes, tap, channel);
        }
        let mut start = [0; LANES];
        if signs {
            start = sink.less_thresholds(channel).map(|less: i32| less * S::SCALE);
        }
        let group = Group {
            isa,
            taps,
            start: &start,
            parameters: sink.row(rows.start).parameters(lanes, channel),
            shift,
            narrow: lanes.narrow(layer.narrow),
            taken,
        };
        let to = match signs {
            true => sink.sign_rows(rows.clone()),
            false => sink.usual_rows(rows.clone(), window.stride_w),
        };
        let Some(to) = cut::there(to) else { break };
        match window.stride_w {
            1 => group.outline::<1>(layer, to, &rows, channel, kind, half),
            _ => group.outline::<2>(layer, to, &rows, channel, kind, half),
        }
        channel = channels.min(channel + LANES);
    }
    channel
}

/// What 16 channels have in common.
struct Group<'g, S: InOnePass> {
    isa: S,
    /// Weights, row by row.
    taps: [<S::V as Lanes>::I16; 9],
    /// Of [`InOnePass::signs`].
    start: &'g [i32; LANES],
    parameters: Parameters<S::V>,
    /// Of the accumulators.
    shift: <S::V as PassLanes>::Shift,
    /// Of the input.
    narrow: <S::V as PassLanes>::Narrow,
    /// Of the shortcut.
    taken: <S::V as PassLanes>::Taken,
}

impl<S: InOnePass> Group<'_, S> {
    /// Does some rows of those from `channel` on, or of 8.
    #[inline(always)]
    fn outline<const STRIDE: usize>(
        &self,
        layer: Layer<'_>,
        to: UsualRows<'_>,
        rows: &Range<usize>,
        channel: usize,
        kind: u8,
        half: bool,
    ) {
        let (isa, group) = (self.isa, self);
        let rows = Rows::new(layer.conv, layer.all(channel), to, rows, channel);
        let Some(rows) = cut::there(rows) else { return };
        match kind {
            // In one way for all shifts.
            _ if half => isa.outline(Run::<S, STRIDE, ANY, true> { group, rows }),
            SIGNS => isa.outline(Run::<S, STRIDE, SIGNS, false> { group, rows }),
            NONE => isa.outline(Run::<S, STRIDE, NONE, false> { group, rows }),
            RIGHT if S::V::RIGHT => isa.outline(Run::<S, STRIDE, RIGHT, false> { group, rows }),
            _ => isa.outline(Run::<S, STRIDE, ANY, false> { group, rows }),
        }
    }
}

/// KIND: of the epilogue; HALF: there are 8 channels.
struct Run<'g, S: InOnePass, const STRIDE: usize, const KIND: u8, const HALF: bool> {
    group: &'g Group<'g, S>,
    rows: Rows<STRIDE, LANES>,
}

impl<S: InOnePass, const STRIDE: usize, const KIND: u8, const HALF: bool> Work
    for Run<'_, S, STRIDE, KIND, HALF>
{
    #[inline(always)]
    fn run(self) {
        // A copy, which no store can change.
        let Group { isa, taps, start, parameters, shift, narrow, taken } = *self.group;
        let Rows { range, pixels, lines, columns, channels, top, step, bytes, .. } = self.rows;
        let whole = isa.placed(taps);
        let start = match KIND {
            SIGNS => isa.lanes().load32(start),
            _ => isa.lanes().zero32(),
        };
        let (mut row, end) = range;
        while row < end {
            let inside = taps_inside(row, STRIDE, top, 3, lines);
            let mut weights = whole;
            if inside.len() < 3 {
                let mut taps = taps;
                for (tap, weight) in taps.iter_mut().enumerate() {
                    if !inside.contains(&(tap / 3)) {
                        *weight = isa.lanes().splat16(0);
                    }
                }
                weights = isa.placed(taps);
            }
            // Lines that are not there have weights of 0.
            let line = |ky: usize| {
                let y = if inside.contains(&ky) { STRIDE * row + ky - top } else { 0 };
                y * columns * channels
            };
            // Rows for which all lines are there, of two windows.
            let two = (S::ROWS, STRIDE) == (2, 1)
                && row + 1 < end
                && inside.len() == 3
                && taps_inside(row + 1, STRIDE, top, 3, lines).len() == 3;
            let last = if two { line(2) + columns * channels } else { line(2) };
            let done = row - range.0;
            // SAFETY: `Rows::new` looked at so many columns of each line, and at so many
            // pixels of everything.
            unsafe {
                let line = Line::<S, STRIDE, HALF> {
                    isa,
                    weights,
                    start,
                    parameters,
                    shift,
                    narrow,
                    taken,
                    lines: [line(0), line(1), line(2), last].map(|at| self.rows.input.add(at)),
                    shortcut: self.rows.shortcut.wrapping_add(STRIDE * done * step),
                    stream: self.rows.stream.map(|stream| stream.add(done * pixels * channels)),
                    bits: self.rows.bits.add(done * pixels * bytes),
                    rows: self.rows,
                };
                if two {
                    S::line::<STRIDE, KIND, 2, HALF>(line);
                } else {
                    S::line::<STRIDE, KIND, 1, HALF>(line);
                }
            }
            row += if two { 2 } else { 1 };
        }
    }
}

/// A row or two of the output of 16 channels, or 8; all pointers at the first of them.
pub(crate) struct Line<S: InOnePass, const STRIDE: usize, const HALF: bool> {
    pub(crate) isa: S,
    pub(crate) weights: S::Weights,
    /// What sums start at if only their signs are asked for, [`InOnePass::SCALE`] times as
    /// large as they.
    pub(crate) start: <S::V as Lanes>::I32,
    parameters: Parameters<S::V>,
    pub(crate) shift: <S::V as PassLanes>::Shift,
    pub(crate) narrow: <S::V as PassLanes>::Narrow,
    taken: <S::V as PassLanes>::Taken,
    /// Of the input; the last twice where a row has three.
    pub(crate) lines: [*const i16; 4],
    shortcut: *const i16,
    stream: Option<*mut i16>,
    bits: *mut u8,
    pub(crate) rows: Rows<STRIDE, LANES>,
}

impl<S: ByColumn, const STRIDE: usize, const HALF: bool> Line<S, STRIDE, HALF> {
    /// # Safety
    /// All pointers reach as far as the rows say.
    #[inline(always)]
    pub(crate) unsafe fn by_column<const KIND: u8, const ROWS: usize>(mut self) {
        let Rows { pixels, columns, channels, left, .. } = self.rows;
        let first = 3 - left.min(2);
        let none = self.isa.narrowed([self.isa.lanes().splat16(0); 4], self.narrow);
        // SAFETY: of this function.
        unsafe {
            let (mut a, mut b, mut c) = match first {
                3 => (self.at::<ROWS>(0, none), self.at::<ROWS>(1, none), self.at::<ROWS>(2, none)),
                2 => (none, self.at::<ROWS>(0, none), self.at::<ROWS>(1, none)),
                _ => (none, none, self.at::<ROWS>(0, none)),
            };
            // The next pixel's first new column, and how far to the next.
            let (mut column, mut at) = (first, first * channels);
            let step = STRIDE * channels;
            let mut p = 0;
            // As many at a time as it takes until a column is where it was.
            while STRIDE == 1 && p + 3 <= pixels && column + 3 <= columns {
                self.put::<KIND, ROWS>([a, b, c]);
                a = self.column::<ROWS>(at);
                self.put::<KIND, ROWS>([b, c, a]);
                b = self.column::<ROWS>(at + step);
                self.put::<KIND, ROWS>([c, a, b]);
                c = self.column::<ROWS>(at + 2 * step);
                (p, column, at) = (p + 3, column + 3, at + 3 * step);
            }
            while STRIDE == 2 && p + 2 <= pixels && column + 4 <= columns {
                self.put::<KIND, ROWS>([a, b, c]);
                b = self.column::<ROWS>(at);
                a = self.column::<ROWS>(at + channels);
                self.put::<KIND, ROWS>([c, b, a]);
                b = self.column::<ROWS>(at + step);
                c = self.column::<ROWS>(at + step + channels);
                (p, column, at) = (p + 2, column + 4, at + 2 * step);
            }
            while p < pixels {
                self.put::<KIND, ROWS>([a, b, c]);
                p += 1;
                (a, b, c) = match STRIDE {
                    1 => (b, c, self.at::<ROWS>(column, none)),
                    _ => (c, self.at::<ROWS>(column, none), self.at::<ROWS>(column + 1, none)),
                };
                column += STRIDE;
            }
        }
    }

    /// A column of the input; `none` past the last.
    ///
    /// # Safety
    /// All columns have these channels in each line.
    #[inline(always)]
    unsafe fn at<const ROWS: usize>(&self, column: usize, none: S::Lines) -> S::Lines {
        if column >= self.rows.columns {
            return none;
        }
        // SAFETY: of this function.
        unsafe { self.column::<ROWS>(column * self.rows.channels) }
    }

    /// The column so many elements from the first.
    ///
    /// # Safety
    /// It has these channels in each line.
    #[inline(always)]
    unsafe fn column<const ROWS: usize>(&self, at: usize) -> S::Lines {
        let Line { isa, lines: [first, second, third, last], narrow, .. } = *self;
        let lanes = isa.lanes();
        // SAFETY: of this function.
        let pixels = unsafe {
            let third = lanes.load::<HALF>(third.add(at));
            [
                lanes.load::<HALF>(first.add(at)),
                lanes.load::<HALF>(second.add(at)),
                third,
                if ROWS == 1 { third } else { lanes.load::<HALF>(last.add(at)) },
            ]
        };
        isa.narrowed(pixels, narrow)
    }

    /// One pixel of each of ROWS rows, and on to the next.
    ///
    /// # Safety
    /// They are there, of the shortcut too if there is one.
    #[inline(always)]
    unsafe fn put<const KIND: u8, const ROWS: usize>(&mut self, window: [S::Lines; 3]) {
        let Line { isa, ref weights, start, shift, .. } = *self;
        let mut sums = [isa.lanes().splat16(0); ROWS];
        for row in 0..ROWS {
            sums[row] = match KIND {
                SIGNS => isa.signs(window, row, weights, start),
                _ => isa.sums(window, row, weights, shift),
            };
        }
        // SAFETY: of this function.
        unsafe { self.finish::<KIND, ROWS>(sums) }
    }
}

impl<S: InOnePass, const STRIDE: usize, const HALF: bool> Line<S, STRIDE, HALF> {
    /// From the sums of one pixel of each of ROWS rows, shifted, or for [`SIGNS`] less their
    /// thresholds, to what is stored; and on to the next.
    ///
    /// # Safety
    /// They are there, of the shortcut too if there is one.
    #[inline(always)]
    pub(crate) unsafe fn finish<const KIND: u8, const ROWS: usize>(
        &mut self,
        sums: [<S::V as Lanes>::I16; ROWS],
    ) {
        let Line { isa, ref parameters, ref taken, shortcut, .. } = *self;
        let Rows { pixels, step, channels, bytes, word, .. } = self.rows;
        let lanes = isa.lanes();
        let mut y = sums;
        let below;
        if KIND == SIGNS {
            below = lanes.less_each(y, [lanes.splat16(0); ROWS]);
        } else {
            for row in 0..ROWS {
                y[row] = parameters.scale(lanes, y[row]);
            }
            for row in 0..ROWS {
                // SAFETY: of this function.
                let extra = unsafe {
                    let shortcut = shortcut.add(row * step);
                    let first = lanes.load::<HALF>(shortcut);
                    match STRIDE {
                        1 => first,
                        _ => lanes.mean_of_four([
                            first,
                            lanes.load::<HALF>(shortcut.add(channels)),
                            lanes.load::<HALF>(shortcut.add(step)),
                            lanes.load::<HALF>(shortcut.add(step + channels)),
                        ]),
                    }
                };
                y[row] = lanes.adds16(y[row], lanes.take::<KIND>(taken, extra));
            }
            // Channels that are not there have parameters of 0, and so are not below.
            for row in 0..ROWS {
                y[row] = parameters.prelu(lanes, y[row]);
            }
            below = lanes.less_each(y, [parameters.sign; ROWS]);
        }
        // SAFETY: of this function.
        unsafe {
            if let (NONE | RIGHT | ANY, Some(stream)) = (KIND, self.stream) {
                for row in 0..ROWS {
                    lanes.store::<HALF>(y[row], stream.add(row * pixels * channels));
                }
            }
            for row in 0..ROWS {
                let bits = self.bits.add(row * pixels * bytes);
                if word {
                    bits.cast::<u64>().write_unaligned(u64::from(below[row]).to_le());
                } else {
                    bits.cast::<u16>().write_unaligned((below[row] as u16).to_le());
                }
            }
        }
        // Past the last pixel no one looks.
        self.shortcut = shortcut.wrapping_add(STRIDE * channels);
        self.stream = self.stream.map(|stream| stream.wrapping_add(channels));
        self.bits = self.bits.wrapping_add(bytes);
    }
}
