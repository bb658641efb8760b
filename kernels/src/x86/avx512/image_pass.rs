//! 3×3 8-bit convolution of an image of one channel or three, as the first layer of a
//! network is one: 32 channels at a time, from the image to the stores. Windows are read
//! where they are, four bytes of a row at a time; the last bytes of three rows of three
//! channels are put together. Only those that reach over the image's borders are laid out.

// Fixed loops over indices are unrolled into registers; iterators over the same
// arrays often are not.
#![allow(clippy::needless_range_loop)]

use core::arch::x86_64::*;
use core::ops::Range;

use super::Avx512;
use super::lanes::store;
use crate::generic::epilogue::{Parameters, Sink};
use crate::generic::lanes::{Lanes, Outline, WIDE, Work, padded};
use crate::generic::usual_image::PlainRow;
use crate::generic::{Int8Job, taps_inside, whole_columns};
use crate::layout::{INT8_GROUP, INT8_LANES, int8_depth, int8_lanes};
use crate::types::{Conv, Int8Input};

/// Room for a row of a window, and what is read after it.
const ROW: usize = 16;

/// A window whose rows are laid out apart.
type Laid = [[u8; ROW]; 3];

/// Windows that are laid out before they are multiplied, at most.
const EDGES: usize = 4;

/// The whole operation, for [`Int8Job::usual_image`].
pub(super) fn run(isa: Avx512, job: Int8Job<'_>, (shift, prelu): (u32, bool)) {
    let Int8Job { conv, input, weights, rows, epilogue, .. } = job;
    if let Int8Input::Image { pixels, zero } = input {
        let sink = Sink::new(epilogue, conv.output, &rows, 0);
        isa.outline(Pass { isa, conv, pixels, zero, weights, rows, sink, shift, prelu });
    }
}

/// Some rows of the output.
struct Pass<'a> {
    isa: Avx512,
    conv: Conv,
    pixels: &'a [u8],
    zero: &'a [u8],
    weights: &'a [i8],
    rows: Range<usize>,
    sink: Sink<'a>,
    shift: u32,
    prelu: bool,
}

impl Work for Pass<'_> {
    #[inline(always)]
    fn run(self) {
        match (self.conv.input.c, self.prelu) {
            (1, true) => self.blocks::<1, 3, true>(),
            (1, false) => self.blocks::<1, 3, false>(),
            (_, true) => self.blocks::<3, 7, true>(),
            (_, false) => self.blocks::<3, 7, false>(),
        }
    }
}

impl Pass<'_> {
    /// For an image of C channels, whose windows are G groups of four bytes.
    #[inline(always)]
    fn blocks<const C: usize, const G: usize, const PRELU: bool>(self) {
        let Pass { isa, conv, pixels, zero, weights, rows, mut sink, shift, .. } = self;
        let (window, input, channels) = (conv.window, conv.input, conv.output.c);
        let mut row_of_zeros = [0; ROW];
        for (value, &zero) in row_of_zeros.iter_mut().zip(zero.iter().cycle()) {
            *value = zero;
        }
        let (zeros, zero) = ([row_of_zeros; 3], u128::from_le_bytes(row_of_zeros));
        let columns = whole_columns(0..conv.output.w, window.stride_w, window.pad_left, 3, input.w);
        for channel in (0..channels).step_by(WIDE) {
            let weights = grouped::<C, G>(isa, weights, channels, channel);
            let none = [isa.splat32(0); 2];
            // SAFETY: all rows have as many bytes as are read.
            let [low, high] = unsafe {
                sums::<C, G>(isa, none, &weights, zeros.each_ref().map(|row| row.as_ptr()))
            };
            // The sums of a window of zeros are taken off each; and sums are rounded by
            // the shift.
            let half = isa.splat32((1 << shift) >> 1);
            let block = Block::<G> {
                isa,
                weights,
                // SAFETY: `isa` proves AVX-512 F.
                start: unsafe { [_mm512_sub_epi32(half, low), _mm512_sub_epi32(half, high)] },
                shift: isa.splat32(shift as i32),
                parameters: sink.row(rows.start).parameters(isa, channel),
                there: u32::MAX >> (WIDE - (channels - channel).min(WIDE)),
                word: channel.is_multiple_of(64),
            };
            for row in rows.clone() {
                let mut out = sink.row(row);
                let Some(PlainRow { stream, bits, channels, pixel }) = out.plain_from(0) else {
                    return;
                };
                // Those whose windows can be read where they are.
                let inside = taps_inside(row, window.stride_h, window.pad_top, 3, input.h);
                let top = (row * window.stride_h).wrapping_sub(window.pad_top);
                let mut whole = columns.clone();
                if inside.len() < 3 {
                    whole.end = whole.start;
                }
                let place = |column: usize| {
                    let x = column * window.stride_w - window.pad_left;
                    (top * input.w + x) * C
                };
                // A group of four bytes may end one byte after its row.
                let line = input.w * C;
                while C == 1
                    && !whole.is_empty()
                    && place(whole.end - 1) + 2 * line + 4 > pixels.len()
                {
                    whole.end -= 1;
                }
                let from = match whole.is_empty() {
                    true => &[],
                    false => {
                        let own = if C == 1 { 4 } else { 9 };
                        let first = place(whole.start);
                        &pixels[first..place(whole.end - 1) + 2 * line + own]
                    }
                };
                let width = conv.output.w;
                let own = (channels - channel).min(WIDE);
                let reach = (width - 1) * channels + own;
                let mut line = Line::<C, G, PRELU> {
                    block: &block,
                    edges: &[],
                    from: from.as_ptr(),
                    line,
                    step: window.stride_w * C,
                    whole: whole.clone(),
                    stream: stream[channel..][..reach].as_mut_ptr(),
                    channels,
                    bits: bits.map(|bits| bits[..width * pixel][channel / 8..].as_mut_ptr()),
                    bytes: pixel,
                };
                let mut edges = [Edge { column: 0, laid: zeros }; EDGES];
                let mut count = 0;
                for column in (0..whole.start).chain(whole.end..width) {
                    if count == EDGES {
                        isa.outline(Line { edges: &edges, whole: 0..0, ..line.clone() });
                        count = 0;
                    }
                    edges[count] = Edge { column, laid: laid(&conv, pixels, zero, row, column) };
                    count += 1;
                }
                line.edges = &edges[..count];
                isa.outline(line);
            }
        }
    }
}

/// Lays out a window; `zeros` is a row of one of an image of zeros.
#[inline(always)]
fn laid(conv: &Conv, pixels: &[u8], zeros: u128, row: usize, column: usize) -> Laid {
    let (window, input) = (conv.window, conv.input);
    let inside_y = taps_inside(row, window.stride_h, window.pad_top, 3, input.h);
    let inside_x = taps_inside(column, window.stride_w, window.pad_left, 3, input.w);
    let (before, bits) = (8 * inside_x.start * input.c, 8 * inside_x.len() * input.c);
    let inside = ((1u128 << bits) - 1) << before;
    let mut laid = [zeros; 3];
    for ky in inside_y {
        // Wraps if all columns are outside.
        let y = row * window.stride_h + ky - window.pad_top;
        let x = (column * window.stride_w + inside_x.start).wrapping_sub(window.pad_left);
        let from = pixels.get((y * input.w).wrapping_add(x).wrapping_mul(input.c)..);
        let from = u128::from_le_bytes(padded(from.unwrap_or_default()));
        laid[ky] = (from << before) & inside | zeros & !inside;
    }
    laid.map(u128::to_le_bytes)
}

/// Weights of up to 32 channels, each group in the order of [`Lanes::I32`]; 0 for those
/// that do not exist.
#[inline(always)]
fn grouped<const C: usize, const G: usize>(
    isa: Avx512,
    weights: &[i8],
    channels: usize,
    channel: usize,
) -> [[__m512i; 2]; G] {
    let depth = int8_depth(3, 3, C);
    let mut halves = [[isa.splat32(0); 2]; G];
    for (half, first) in [channel, channel + INT8_LANES].into_iter().enumerate() {
        let lanes = int8_lanes(first, channels);
        let Some(block) = weights.get(first * depth..first * depth + lanes * depth) else { break };
        if C == 1 {
            for g in 0..G {
                // SAFETY: `isa` proves AVX-512 F.
                halves[g][half] = unsafe {
                    _mm512_and_si512(four(isa, block, lanes, 3 * g), isa.splat32(0xFF_FFFF))
                };
            }
            continue;
        }
        for g in 0..G - 1 {
            halves[g][half] = four(isa, block, lanes, 9 * (g / 2) + 4 * (g % 2));
        }
        // SAFETY: `isa` proves AVX-512 F.
        halves[G - 1][half] = unsafe {
            let byte = isa.splat32(0xFF);
            let a = _mm512_and_si512(four(isa, block, lanes, 8), byte);
            let b = _mm512_and_si512(four(isa, block, lanes, 17), byte);
            let c = _mm512_and_si512(four(isa, block, lanes, 26), byte);
            let bc = _mm512_or_si512(_mm512_slli_epi32::<8>(b), _mm512_slli_epi32::<16>(c));
            _mm512_or_si512(a, bc)
        };
    }
    for g in 0..G {
        halves[g] = isa.in_order(halves[g]);
    }
    halves
}

/// Of a block of up to 16 channels' weights the four from the `k`th on; 0 past the last.
#[inline(always)]
fn four(isa: Avx512, block: &[i8], lanes: usize, k: usize) -> __m512i {
    let there = ((1u32 << lanes) - 1) as __mmask16;
    let mut found = [isa.splat32(0); 2];
    for (at, found) in found.iter_mut().enumerate() {
        let group = k / INT8_GROUP + at;
        let Some(from) = block.get(group * lanes * INT8_GROUP..(group + 1) * lanes * INT8_GROUP)
        else {
            break;
        };
        // SAFETY: `isa` proves AVX-512 F; so many lanes are there.
        *found = unsafe { _mm512_maskz_loadu_epi32(there, from.as_ptr().cast()) };
    }
    let [first, second] = found;
    let bits = 8 * (k % INT8_GROUP) as i32;
    // SAFETY: `isa` proves AVX-512 F. A shift by 32 leaves nothing.
    unsafe {
        _mm512_or_si512(
            _mm512_srlv_epi32(first, _mm512_set1_epi32(bits)),
            _mm512_sllv_epi32(second, _mm512_set1_epi32(32 - bits)),
        )
    }
}

/// What up to 32 channels have in common.
#[derive(Clone, Copy)]
struct Block<const G: usize> {
    isa: Avx512,
    weights: [[__m512i; 2]; G],
    start: [__m512i; 2],
    shift: __m512i,
    parameters: Parameters<Avx512, WIDE>,
    /// The lanes that exist.
    there: __mmask32,
    /// Whether they are the first of a word of 64 channels, and write all of it.
    word: bool,
}

/// A window that reaches over the image's borders.
#[derive(Clone, Copy)]
struct Edge {
    column: usize,
    laid: Laid,
}

/// Some columns of a row of the output of up to 32 channels.
#[derive(Clone)]
struct Line<'l, const C: usize, const G: usize, const PRELU: bool> {
    block: &'l Block<G>,
    edges: &'l [Edge],
    /// Where the first whole window is in the image, and bytes from one line to the next
    /// and from one window to the next.
    from: *const u8,
    line: usize,
    step: usize,
    /// Columns of whole windows.
    whole: Range<usize>,
    stream: *mut i16,
    channels: usize,
    bits: Option<*mut u8>,
    bytes: usize,
}

impl<const C: usize, const G: usize, const PRELU: bool> Work for Line<'_, C, G, PRELU> {
    #[inline(always)]
    fn run(self) {
        if self.block.there == u32::MAX { self.columns::<true>() } else { self.columns::<false>() }
    }
}

impl<const C: usize, const G: usize, const PRELU: bool> Line<'_, C, G, PRELU> {
    #[inline(always)]
    fn columns<const WHOLE: bool>(&self) {
        // A copy, which no store can change: it stays in registers.
        let block = *self.block;
        let Line { edges, from, line, step, ref whole, .. } = *self;
        for edge in edges {
            // SAFETY: the rows have as many bytes as are read, and `Pass::blocks` looked at
            // so many pixels of what is written.
            unsafe {
                let [upper, middle, lower] = &edge.laid;
                let y = block.values::<C>([upper.as_ptr(), middle.as_ptr(), lower.as_ptr()]);
                self.put::<WHOLE>(&block, edge.column, y);
            }
        }
        if whole.is_empty() {
            return;
        }
        // SAFETY: `Pass::blocks` looked at so many windows.
        unsafe {
            let mut at = from;
            let mut y = block.values::<C>([at, at.add(line), at.add(2 * line)]);
            // A pixel's values wait for the next before they are finished, as in
            // `depthwise_pass`.
            for column in whole.start + 1..whole.end {
                self.put::<WHOLE>(&block, column - 1, y);
                at = at.add(step);
                y = block.values::<C>([at, at.add(line), at.add(2 * line)]);
            }
            self.put::<WHOLE>(&block, whole.end - 1, y);
        }
    }

    /// The PReLU and the stores.
    ///
    /// # Safety
    /// There is such a column.
    #[inline(always)]
    unsafe fn put<const WHOLE: bool>(&self, block: &Block<G>, column: usize, mut y: __m512i) {
        let Block { isa, ref parameters, there, word, .. } = *block;
        let Line { stream, channels, bits, bytes, .. } = *self;
        if PRELU {
            y = parameters.prelu(isa, y);
        }
        // SAFETY: of this function.
        unsafe {
            store::<WHOLE>(isa, y, stream.add(column * channels), there);
            if let Some(bits) = bits {
                let below = isa.less16(y, parameters.sign) & if WHOLE { u32::MAX } else { there };
                let to = bits.add(column * bytes);
                if word {
                    to.cast::<u64>().write_unaligned(u64::from(below).to_le());
                } else {
                    to.cast::<u32>().write_unaligned(below.to_le());
                }
            }
        }
    }
}

impl<const G: usize> Block<G> {
    /// The scaled values of a window.
    ///
    /// # Safety
    /// Its rows have as many bytes as [`sums`] reads.
    #[inline(always)]
    unsafe fn values<const C: usize>(&self, rows: [*const u8; 3]) -> __m512i {
        let Block { isa, ref weights, start, shift, ref parameters, .. } = *self;
        // SAFETY: of this function; `isa` proves AVX-512 F.
        unsafe {
            let [low, high] = sums::<C, G>(isa, start, weights, rows);
            let shifted = [_mm512_srav_epi32(low, shift), _mm512_srav_epi32(high, shift)];
            parameters.scale(isa, isa.saturate32(shifted))
        }
    }
}

/// `start` and Σ w·x over a window, in the order of [`Lanes::I32`].
///
/// # Safety
/// Its rows have 9 bytes each, or 4 for one channel.
#[inline(always)]
unsafe fn sums<const C: usize, const G: usize>(
    _: Avx512,
    start: [__m512i; 2],
    weights: &[[__m512i; 2]; G],
    rows: [*const u8; 3],
) -> [__m512i; 2] {
    let [mut low, mut high] = start;
    // SAFETY: of this function; an `Avx512` proves AVX-512 F and VNNI.
    unsafe {
        for g in 0..G {
            let four = match (C, g) {
                (1, _) => rows[g].cast::<i32>().read_unaligned(),
                (_, 6) => {
                    let [a, b, c] = [*rows[0].add(8), *rows[1].add(8), *rows[2].add(8)];
                    i32::from(a) | i32::from(b) << 8 | i32::from(c) << 16
                }
                _ => rows[g / 2].add(g % 2 * 4).cast::<i32>().read_unaligned(),
            };
            let x = _mm512_set1_epi32(four);
            low = _mm512_dpbusd_epi32(low, x, weights[g][0]);
            high = _mm512_dpbusd_epi32(high, x, weights[g][1]);
        }
    }
    [low, high]
}
