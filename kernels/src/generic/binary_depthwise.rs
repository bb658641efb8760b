//! Depthwise convolution of ±1 by ±1 with bit-sliced adders.
//!
//! Bits are packed over channels, so one xor compares one tap of as many
//! channels as a register has bits. The results of the taps, one bit per
//! channel each, are added in bit planes: plane b of the sum holds bit b of
//! every channel's count of differing taps. For a 3×3 window that is 5 full and
//! 2 half adders for 4 planes; other windows feed a ripple counter with two
//! taps per full adder.
//!
//! Where only a threshold decides, it is compared in planes too, and the result
//! is already packed: with n taps inside the input, acc = n − 2·m, and
//!
//! acc < t  ⇔  m ≥ ⌊(n − t) / 2⌋ + 1.
//!
//! n differs at the border. With q = ⌊n/2⌋ and r = n mod 2, the right side is
//! q + ⌊(r − t)/2⌋ + 1; adding Q − q to both sides, where Q = ⌊T/2⌋ of the whole
//! window's T taps, leaves m + (Q − q) ≥ Q + ⌊(r − t)/2⌋ + 1, which depends on n
//! only through its parity. Q − q never exceeds the number of taps outside, so
//! that many of them are fed to the adders as "differs" and the others as
//! "agrees": a border pixel costs what any pixel costs, and two sets of
//! threshold planes, made once per call in the scratch, serve all pixels.
//!
//! Cost per pixel and register of channels, 3×3: 9 loads, 9 xor, 5 full adders
//! and 2 half adders, 4 compare steps, 1 store.
//!
//! Where a stream is wanted, the planes of a run of pixels wait in the scratch
//! and are then expanded to 16-bit lanes, 16 channels of all pixels at a time: 5
//! operations per plane.

// Fixed loops over indices are unrolled into registers.
#![allow(clippy::needless_range_loop)]

use core::ops::Range;

use super::cut;
use super::epilogue::{At, Row, Sink};
use super::lanes::{LANES, Lanes, Outline, Work};
use super::{BinaryJob, taps_inside};
use crate::layout::{DEPTHWISE_RUN, count_planes, pixel_bytes};
use crate::types::{Conv, Padding};

/// Planes enough for every count that fits 16 bits.
const PLANES: usize = 16;

/// A register of bits, one channel each.
pub(crate) trait Bits: Copy {
    /// The register.
    type V: Copy;
    /// Its size; a multiple of 8.
    const BYTES: usize;

    /// The first [`Bits::BYTES`] bytes of the slice, which has them.
    fn load(self, from: &[u8]) -> Self::V;
    /// Into the first [`Bits::BYTES`] bytes of the slice, which has them.
    fn store(self, value: Self::V, to: &mut [u8]);
    /// All bits 0.
    fn zeros(self) -> Self::V;
    /// All bits 1.
    fn ones(self) -> Self::V;
    /// Exclusive or.
    fn xor(self, a: Self::V, b: Self::V) -> Self::V;
    /// And.
    fn and(self, a: Self::V, b: Self::V) -> Self::V;
    /// Bit of least weight of a + b + c.
    fn sum(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// Bit of most weight of a + b + c.
    fn carry(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// One step of a comparison from the least plane up: where `a` and `b`
    /// differ, whether a > b; elsewhere `so_far`.
    fn greater(self, a: Self::V, b: Self::V, so_far: Self::V) -> Self::V;
}

/// 64 channels in a plain register: every instruction set's last few words.
#[derive(Clone, Copy)]
pub(crate) struct Word;

impl Bits for Word {
    type V = u64;
    const BYTES: usize = 8;

    #[inline(always)]
    fn load(self, from: &[u8]) -> u64 {
        u64::from_le_bytes(*cut::first(from))
    }
    #[inline(always)]
    fn store(self, value: u64, to: &mut [u8]) {
        cut::put(to, &value.to_le_bytes());
    }
    #[inline(always)]
    fn zeros(self) -> u64 {
        0
    }
    #[inline(always)]
    fn ones(self) -> u64 {
        !0
    }
    #[inline(always)]
    fn xor(self, a: u64, b: u64) -> u64 {
        a ^ b
    }
    #[inline(always)]
    fn and(self, a: u64, b: u64) -> u64 {
        a & b
    }
    #[inline(always)]
    fn sum(self, a: u64, b: u64, c: u64) -> u64 {
        a ^ b ^ c
    }
    #[inline(always)]
    fn carry(self, a: u64, b: u64, c: u64) -> u64 {
        (a & b) | (c & (a ^ b))
    }
    #[inline(always)]
    fn greater(self, a: u64, b: u64, so_far: u64) -> u64 {
        // Where they differ, a is the answer.
        so_far ^ ((a ^ b) & (a ^ so_far))
    }
}

/// What stays the same for all of a layer.
#[derive(Clone, Copy)]
struct Layer<'a> {
    conv: Conv,
    padding: Padding,
    input: &'a [u8],
    weights: &'a [u8],
    /// Threshold planes, even tap counts first; empty when a stream is wanted.
    thresholds: &'a [u8],
    /// Planes of a count, and of a threshold.
    planes: usize,
    /// Bytes per pixel.
    pixel: usize,
}

impl Layer<'_> {
    /// The planes of the thresholds for counts over `terms` taps.
    #[inline(always)]
    fn load_thresholds<B: Bits>(&self, bits: B, terms: usize, byte: usize, to: &mut [B::V]) {
        let first = (terms % 2) * self.planes * self.pixel + byte;
        for (plane, to) in to.iter_mut().enumerate() {
            *to = bits.load(cut::part(self.thresholds, first + plane * self.pixel..));
        }
    }
}

/// The whole operation: `wide` for as much of a pixel as fills its registers,
/// then `narrow`, then 64 channels at a time.
#[inline(always)]
pub(crate) fn run<S: Outline, L: Lanes, B: Bits, C: Bits>(
    isa: S,
    lanes: L,
    wide: B,
    narrow: C,
    job: BinaryJob<'_>,
) {
    let conv = job.conv;
    let taps = conv.window.kernel_h * conv.window.kernel_w;
    let planes = count_planes(taps);
    let pixel = pixel_bytes(conv.input.c);
    let mut sink = Sink::new(job.epilogue, conv.output, &job.rows, taps);
    let (thresholds, scratch): (&[u8], _) = match sink.thresholds() {
        Some(thresholds) => {
            let (made, rest) = cut::split_mut(job.scratch, 2 * planes * pixel);
            threshold_planes(thresholds, taps, planes, made);
            (made, rest)
        }
        None => (&[], job.scratch),
    };
    let layer = Layer {
        conv,
        padding: job.padding,
        input: job.input,
        weights: job.weights,
        thresholds,
        planes,
        pixel,
    };
    let nine = (conv.window.kernel_h, conv.window.kernel_w) == (3, 3);
    let (layer, sink) = (&layer, &mut sink);
    for row in job.rows {
        let mut byte = 0;
        while byte + B::BYTES <= pixel {
            line(isa, Line { lanes, bits: wide, layer, sink, scratch, row, byte }, nine);
            byte += B::BYTES;
        }
        while byte + C::BYTES <= pixel {
            line(isa, Line { lanes, bits: narrow, layer, sink, scratch, row, byte }, nine);
            byte += C::BYTES;
        }
        while byte < pixel {
            line(isa, Line { lanes, bits: Word, layer, sink, scratch, row, byte }, nine);
            byte += Word::BYTES;
        }
    }
}

/// Writes, for r = 0 and 1, the planes of clamp(Q + ⌊(r − t)/2⌋ + 1, 0, T + 1);
/// T + 1 for channels that do not exist.
fn threshold_planes(thresholds: &[i32], taps: usize, planes: usize, made: &mut [u8]) {
    let pixel = made.len() / cut::divisor(2 * planes);
    let never = taps as i32 + 1;
    for (parity, set) in (0..).zip(made.chunks_exact_mut(cut::divisor(planes * pixel))) {
        for (word, thresholds) in thresholds.chunks(64).enumerate() {
            let mut bits = [0u64; PLANES];
            for c in 0..64 {
                let least = match thresholds.get(c) {
                    // Saturated or not, it is clamped; `clamp` would ask for its ends' order.
                    Some(&t) => {
                        let half = i32::saturating_sub(parity, t) >> 1;
                        half.saturating_add(taps as i32 / 2 + 1).min(never).max(0)
                    }
                    None => never,
                };
                for (plane, bits) in cut::part_mut(&mut bits, ..planes).iter_mut().enumerate() {
                    *bits |= u64::from(least as u32 >> plane & 1) << c;
                }
            }
            for (plane, bits) in cut::part(&bits, ..planes).iter().enumerate() {
                Word.store(*bits, cut::part_mut(set, plane * pixel + word * 8..));
            }
        }
    }
}

/// One row of the channels that start at `byte` and fill a register.
struct Line<'l, 'a, L, B> {
    lanes: L,
    bits: B,
    layer: &'l Layer<'a>,
    sink: &'l mut Sink<'a>,
    /// Where counts wait.
    scratch: &'l mut [u8],
    row: usize,
    byte: usize,
}

/// A [`Line`] under a 3×3 window.
struct NineTaps<'l, 'a, L, B>(Line<'l, 'a, L, B>);

/// A [`Line`] under any window.
struct AnyTaps<'l, 'a, L, B>(Line<'l, 'a, L, B>);

#[inline(always)]
fn line<S: Outline, L: Lanes, B: Bits>(isa: S, line: Line<'_, '_, L, B>, nine: bool) {
    if nine {
        isa.outline(NineTaps(line));
    } else {
        isa.outline(AnyTaps(line));
    }
}

impl<L: Lanes, B: Bits> Work for NineTaps<'_, '_, L, B> {
    #[inline(always)]
    fn run(self) {
        let Line { lanes, bits, layer, sink, scratch, row, byte } = self.0;
        let layer = *layer;
        let mut weights = [bits.zeros(); 9];
        for (tap, weight) in weights.iter_mut().enumerate() {
            *weight = bits.load(cut::part(layer.weights, tap * layer.pixel + byte..));
        }
        let mut outputs = Outputs::new(lanes, bits, layer, byte, sink.row(row), scratch);
        let mut place = Place::new(&layer, row, byte);
        let decided = !layer.thresholds.is_empty();
        // Those of the pixels whose 9 taps are all inside.
        let mut thresholds = [bits.zeros(); 4];
        if decided {
            layer.load_thresholds(bits, 9, byte, &mut thresholds);
        }
        for column in 0..layer.conv.output.w {
            let mut taps = [bits.zeros(); 9];
            if place.moves_to(&layer, column) {
                for tap in 0..9 {
                    taps[tap] = place.inside(bits, &layer, tap / 3, tap % 3, weights[tap]);
                }
                let count = add_nine(bits, taps);
                if decided {
                    outputs.decide(column, &count, &thresholds);
                } else {
                    outputs.put(column, 9, &count);
                }
            } else {
                for (tap, (result, &weight)) in taps.iter_mut().zip(&weights).enumerate() {
                    *result = place.compare(bits, &layer, tap / 3, tap % 3, weight);
                }
                outputs.put(column, place.terms, &add_nine(bits, taps));
            }
        }
        outputs.flush();
    }
}

impl<L: Lanes, B: Bits> Work for AnyTaps<'_, '_, L, B> {
    #[inline(always)]
    fn run(self) {
        let Line { lanes, bits, layer, sink, scratch, row, byte } = self.0;
        let layer = *layer;
        let window = layer.conv.window;
        let mut outputs = Outputs::new(lanes, bits, layer, byte, sink.row(row), scratch);
        let mut place = Place::new(&layer, row, byte);
        for column in 0..layer.conv.output.w {
            place.moves_to(&layer, column);
            let mut planes = [bits.zeros(); PLANES];
            let count = cut::part_mut(&mut planes, ..layer.planes);
            let mut pending = None;
            for ky in 0..window.kernel_h {
                for kx in 0..window.kernel_w {
                    let tap = ky * window.kernel_w + kx;
                    let weight = bits.load(cut::part(layer.weights, tap * layer.pixel + byte..));
                    let result = place.compare(bits, &layer, ky, kx, weight);
                    match pending.take() {
                        None => pending = Some(result),
                        Some(other) => add_two(bits, count, result, other),
                    }
                }
            }
            if let Some(last) = pending {
                add_two(bits, count, last, bits.zeros());
            }
            outputs.put(column, place.terms, count);
        }
        outputs.flush();
    }
}

/// What becomes of a row's counts.
struct Outputs<'r, 'a, L, B> {
    lanes: L,
    bits: B,
    layer: Layer<'a>,
    byte: usize,
    out: Row<'r>,
    /// Counts on their way to a stream: pixel by pixel, plane by plane.
    waiting: &'r mut [u8],
    /// Their numbers of taps.
    terms: [i16; DEPTHWISE_RUN],
    /// Their pixels, and the first's column.
    pixels: usize,
    first: usize,
}

impl<'r, 'a, L: Lanes, B: Bits> Outputs<'r, 'a, L, B> {
    #[inline(always)]
    fn new(
        lanes: L,
        bits: B,
        layer: Layer<'a>,
        byte: usize,
        out: Row<'r>,
        waiting: &'r mut [u8],
    ) -> Self {
        let terms = [0; DEPTHWISE_RUN];
        Outputs { lanes, bits, layer, byte, out, waiting, terms, pixels: 0, first: 0 }
    }

    /// Takes the counts of one pixel over `terms` taps; pixel by pixel.
    #[inline(always)]
    fn put(&mut self, column: usize, terms: usize, count: &[B::V]) {
        let Outputs { bits, layer, byte, .. } = *self;
        if layer.thresholds.is_empty() {
            if self.pixels == DEPTHWISE_RUN {
                self.flush();
            }
            if self.pixels == 0 {
                self.first = column;
            }
            let place = self.pixels * layer.planes * B::BYTES;
            let planes = cut::part_mut(self.waiting, place..).chunks_exact_mut(B::BYTES);
            for (&value, to) in count.iter().zip(planes) {
                bits.store(value, to);
            }
            if let Some(to) = cut::at_mut(&mut self.terms, self.pixels) {
                *to = terms as i16;
            }
            self.pixels += 1;
        } else {
            let mut thresholds = [bits.zeros(); PLANES];
            let thresholds = cut::part_mut(&mut thresholds, ..count.len());
            layer.load_thresholds(bits, terms, byte, thresholds);
            self.decide(column, count, thresholds);
        }
    }

    /// Hands over the counts that wait.
    #[inline(always)]
    fn flush(&mut self) {
        if self.pixels == 0 {
            return;
        }
        let Outputs { lanes, layer, byte, pixels, first, .. } = *self;
        let channel = byte * 8;
        let count = (layer.conv.output.c - channel).min(B::BYTES * 8);
        lanes.outline(Expand {
            lanes,
            out: &mut self.out,
            at: At { column: first, channel, count },
            register: B::BYTES,
            planes: layer.planes,
            terms: cut::part(&self.terms, ..pixels),
            counts: self.waiting,
        });
        self.pixels = 0;
    }

    /// Stores whether each count reaches its threshold, plane by plane.
    #[inline(always)]
    fn decide(&mut self, column: usize, count: &[B::V], thresholds: &[B::V]) {
        let mut below = self.bits.ones();
        for (&count, &threshold) in count.iter().zip(thresholds) {
            below = self.bits.greater(count, threshold, below);
        }
        let to = cut::part_mut(self.out.pixel_bits(column), self.byte..);
        self.bits.store(below, to);
    }
}

/// Where a window lies.
struct Place {
    /// First byte of the channels in a pixel.
    byte: usize,
    /// Input row and column of tap (0, 0); wrapped where they are outside.
    y: usize,
    x: usize,
    /// The taps inside the input.
    inside_y: Range<usize>,
    inside_x: Range<usize>,
    /// Products.
    terms: usize,
    /// Taps outside still to be fed as "differs", see the top of the file.
    differing: usize,
}

impl Place {
    /// For row `row`, no column yet.
    #[inline(always)]
    fn new(layer: &Layer<'_>, row: usize, byte: usize) -> Self {
        let Conv { input, window, .. } = layer.conv;
        Place {
            byte,
            y: (row * window.stride_h).wrapping_sub(window.pad_top),
            x: 0,
            inside_y: taps_inside(row, window.stride_h, window.pad_top, window.kernel_h, input.h),
            inside_x: 0..0,
            terms: 0,
            differing: 0,
        }
    }

    /// Moves to output column `column` and says whether all taps are inside.
    #[inline(always)]
    fn moves_to(&mut self, layer: &Layer<'_>, column: usize) -> bool {
        let Conv { input, window, .. } = layer.conv;
        let taps = window.kernel_h * window.kernel_w;
        self.x = (column * window.stride_w).wrapping_sub(window.pad_left);
        let last = self.x.wrapping_add(window.kernel_w - 1);
        if self.inside_y.len() == window.kernel_h && self.x < input.w && last < input.w {
            self.terms = taps;
            self.inside_x = 0..window.kernel_w;
            self.differing = 0;
            return true;
        }
        self.inside_x =
            taps_inside(column, window.stride_w, window.pad_left, window.kernel_w, input.w);
        self.terms = match layer.padding {
            Padding::Zero => self.inside_y.len() * self.inside_x.len(),
            Padding::One => taps,
        };
        self.differing = if layer.thresholds.is_empty() { 0 } else { taps / 2 - self.terms / 2 };
        false
    }

    /// The differing bits of a tap inside the input.
    #[inline(always)]
    fn inside<B: Bits>(
        &self,
        bits: B,
        layer: &Layer<'_>,
        ky: usize,
        kx: usize,
        weight: B::V,
    ) -> B::V {
        let y = self.y.wrapping_add(ky);
        let x = self.x.wrapping_add(kx);
        let first = (y * layer.conv.input.w + x) * layer.pixel + self.byte;
        bits.xor(bits.load(cut::part(layer.input, first..)), weight)
    }

    /// The differing bits of any tap.
    #[inline(always)]
    fn compare<B: Bits>(
        &mut self,
        bits: B,
        layer: &Layer<'_>,
        ky: usize,
        kx: usize,
        weight: B::V,
    ) -> B::V {
        if self.inside_y.contains(&ky) && self.inside_x.contains(&kx) {
            self.inside(bits, layer, ky, kx, weight)
        } else if layer.padding == Padding::One {
            weight
        } else if self.differing > 0 {
            self.differing -= 1;
            bits.ones()
        } else {
            bits.zeros()
        }
    }
}

/// The two bits of a + b + c.
#[inline(always)]
fn triple<B: Bits>(bits: B, [a, b, c]: [B::V; 3]) -> (B::V, B::V) {
    (bits.sum(a, b, c), bits.carry(a, b, c))
}

/// The two bits of a + b.
#[inline(always)]
fn pair<B: Bits>(bits: B, a: B::V, b: B::V) -> (B::V, B::V) {
    (bits.xor(a, b), bits.and(a, b))
}

/// Nine bits per channel into a count of four planes.
#[inline(always)]
pub(crate) fn add_nine<B: Bits>(bits: B, t: [B::V; 9]) -> [B::V; 4] {
    let (ones_a, twos_a) = triple(bits, [t[0], t[1], t[2]]);
    let (ones_b, twos_b) = triple(bits, [t[3], t[4], t[5]]);
    let (ones_c, twos_c) = triple(bits, [t[6], t[7], t[8]]);
    let (ones, twos_d) = triple(bits, [ones_a, ones_b, ones_c]);
    let (twos_e, fours_a) = triple(bits, [twos_a, twos_b, twos_c]);
    let (twos, fours_b) = pair(bits, twos_d, twos_e);
    let (fours, eights) = pair(bits, fours_a, fours_b);
    [ones, twos, fours, eights]
}

/// Adds two bits per channel to a count.
#[inline(always)]
fn add_two<B: Bits>(bits: B, count: &mut [B::V], a: B::V, b: B::V) {
    let Some((ones, higher)) = count.split_first_mut() else {
        return;
    };
    let mut carry = bits.carry(*ones, a, b);
    *ones = bits.sum(*ones, a, b);
    for plane in higher {
        (*plane, carry) = (bits.xor(*plane, carry), bits.and(*plane, carry));
    }
}

/// Hands the counts of a run of pixels to the epilogue, 16 channels at a time.
struct Expand<'e, 'r, L> {
    lanes: L,
    out: &'e mut Row<'r>,
    at: At,
    /// Bytes of a plane of one pixel.
    register: usize,
    /// Planes of a pixel.
    planes: usize,
    /// By pixel.
    terms: &'e [i16],
    counts: &'e [u8],
}

impl<L: Lanes> Work for Expand<'_, '_, L> {
    #[inline(always)]
    fn run(self) {
        let Expand { lanes, out, at, register, planes, terms, counts } = self;
        let mut values = [[0; LANES]; DEPTHWISE_RUN];
        for group in 0..register * 8 / LANES {
            let Some(at) = at.group(group, LANES) else { break };
            let parameters = out.parameters(lanes, at.channel);
            let shift = out.shift16();
            let pixels = counts.chunks_exact(cut::divisor(planes * register));
            for (p, (pixel, &terms)) in pixels.zip(terms).enumerate() {
                // −count, from the plane of most weight down.
                let mut negative = lanes.splat16(0);
                for plane in pixel.chunks_exact(cut::divisor(register)).rev() {
                    let word = u16::from_le_bytes(*cut::first(cut::part(plane, 2 * group..)));
                    negative =
                        lanes.add16(lanes.add16(negative, negative), lanes.mask16(word.into()));
                }
                let negative = lanes.add16(negative, negative);
                let accumulator = lanes.add16(lanes.splat16(terms), negative);
                match shift {
                    Some(shift) => {
                        let value = parameters.scale16(lanes, accumulator, shift);
                        if let Some(to) = cut::at_mut(&mut values, p) {
                            lanes.store16(value, to);
                        }
                    }
                    None => out.emit16(lanes, &[parameters], at.pixel(p), [accumulator]),
                }
            }
            if shift.is_some() {
                out.finish(lanes, &parameters, at, cut::part_mut(&mut values, ..terms.len()));
            }
        }
    }
}
