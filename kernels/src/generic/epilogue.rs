//! From accumulators to tensors: the same for every kernel.
//!
//! Accumulators are scaled, the shortcut is added, the shifted PReLU applied, and
//! the stream and the next layer's bits are written. A kernel takes a [`Row`] of
//! the outputs and hands over its accumulators in groups of N channels (16, or 32
//! where a register holds as many), in one of two ways:
//!
//! - [`Row::emit16`]: a full block of one pixel, in registers, in one go. That
//!   is for kernels with registers to spare.
//! - [`Row::finish`]: up to N channels of a run of pixels that were scaled and
//!   put aside. That costs a load and a store in the first-level cache, asks every
//!   question once for all pixels, and leaves the registers to the kernel.
//!
//! What is no stream ([`Row::emit32`]) goes out as it comes. The parameters of
//! the channels are fetched once per row ([`Row::parameters`]) and serve all its
//! pixels.
//!
//! Cost per pixel and 16 channels on a machine with 16-lane registers: scale
//! and bias 3 operations (shift, rounding multiply, add), shortcut 1 load and
//! add, PReLU 6, sign 4; bytes moved: 2 per element of the stream read and
//! written, 1/8 for the bits. A shift that cannot saturate, known from the
//! accumulator's bound, is one operation instead of five.

use core::ops::Range;

use super::cut;
use super::finish::Finish;
use super::lanes::{LANES, Lanes, Work, load16_padded, load32_padded, store16_clipped};
use super::shift::Shift16;
use super::shortcut::RowShortcut;
use crate::layout::pixel_bytes;
use crate::types::{Epilogue, Prelu, Shape};

/// Where in a row accumulators belong.
#[derive(Clone, Copy)]
pub(crate) struct At {
    /// Output column.
    pub(crate) column: usize,
    /// First channel. Per pixel, calls come in rising order of it.
    pub(crate) channel: usize,
    /// Channels that exist, at least 1.
    pub(crate) count: usize,
}

impl At {
    /// The `lanes` channels of group `group`, if any of them exist.
    #[inline(always)]
    pub(crate) fn group(self, group: usize, lanes: usize) -> Option<At> {
        let count = self.count.checked_sub(group * lanes).filter(|&count| count > 0)?;
        Some(At { channel: self.channel + group * lanes, count: count.min(lanes), ..self })
    }

    /// The `lanes` channels of group `group`, all of which exist.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(super) fn part(self, group: usize, lanes: usize) -> At {
        At { channel: self.channel + group * lanes, count: lanes, ..self }
    }

    /// The same channels of the pixel `p` columns further on.
    #[inline(always)]
    pub(crate) fn pixel(self, p: usize) -> At {
        At { column: self.column + p, ..self }
    }
}

/// The parameters of N channels; those that an epilogue lacks are 0.
#[derive(Clone, Copy)]
pub(crate) struct Parameters<L: Lanes<N>, const N: usize = LANES> {
    threshold: L::I32,
    pub(crate) multiplier: L::I16,
    pub(crate) bias: L::I16,
    pub(crate) before: L::I16,
    pub(crate) slope: L::I16,
    pub(crate) after: L::I16,
    pub(crate) sign: L::I16,
    /// The shortcut's channel that belongs to the first of them.
    pub(super) source: usize,
}

/// The tensors written, and how.
pub(crate) struct Sink<'a> {
    pub(super) epilogue: Epilogue<'a>,
    pub(super) shape: Shape,
    pub(super) first_row: usize,
    /// That of a stream.
    pub(super) shift: Shift16,
}

impl<'a> Sink<'a> {
    /// `bound` is the largest magnitude of a 16-bit accumulator (kernels with
    /// 32-bit accumulators pass anything).
    pub(crate) fn new(
        epilogue: Epilogue<'a>,
        shape: Shape,
        rows: &Range<usize>,
        bound: usize,
    ) -> Self {
        let shift = match epilogue {
            Epilogue::Stream { shift, .. } => shift,
            Epilogue::Threshold { .. } | Epilogue::Scores { .. } => 0,
        };
        let shift = Shift16::new(shift, bound);
        Sink { epilogue, shape, first_row: rows.start, shift }
    }

    /// Whether only bits against a threshold are wanted, and which thresholds.
    pub(crate) fn thresholds(&self) -> Option<&'a [i32]> {
        match &self.epilogue {
            Epilogue::Threshold { thresholds, .. } => Some(thresholds),
            _ => None,
        }
    }

    /// One row of the outputs.
    #[inline(always)]
    pub(crate) fn row(&mut self, row: usize) -> Row<'_> {
        let Shape { w, c, .. } = self.shape;
        let pixel = pixel_bytes(c);
        let (bytes, elements) = (w * pixel, w * c);
        let at = row - self.first_row;
        let mut found = Row {
            kind: Kind::Threshold,
            sources: Sources::default(),
            channels: c,
            pixel,
            bits: None,
            stream: None,
            shortcut: None,
        };
        match &mut self.epilogue {
            Epilogue::Threshold { thresholds, bits } => {
                found.sources.thresholds = thresholds;
                found.bits = Some(cut::part_mut(bits, at * bytes..(at + 1) * bytes));
            }
            Epilogue::Stream { multiplier, bias, shortcut, prelu, stream, sign, .. } => {
                found.kind = Kind::Stream { shift: self.shift };
                found.sources = Sources { multiplier, bias, prelu: *prelu, ..Sources::default() };
                if let Some(stream) = stream {
                    found.stream = Some(cut::part_mut(stream, at * elements..(at + 1) * elements));
                }
                if let Some(sign) = sign {
                    found.sources.sign = sign.thresholds;
                    found.bits = Some(cut::part_mut(sign.bits, at * bytes..(at + 1) * bytes));
                }
                found.shortcut = shortcut.as_ref().map(|taken| RowShortcut::new(taken, row, c));
            }
            Epilogue::Scores { multiplier, bias, scores } => {
                found.kind = Kind::Scores { multiplier, bias, scores };
            }
        }
        found
    }
}

/// One row of the outputs. Its fields are meant to live in registers, so that a
/// reference to it must not leave the function; what is outlined is given
/// [`Row::reborrow`].
pub(crate) struct Row<'r> {
    kind: Kind<'r>,
    pub(super) sources: Sources<'r>,
    pub(super) channels: usize,
    /// Bytes per pixel of bits.
    pub(super) pixel: usize,
    pub(super) bits: Option<&'r mut [u8]>,
    pub(super) stream: Option<&'r mut [i16]>,
    pub(super) shortcut: Option<RowShortcut<'r>>,
}

/// Where the parameters come from; what an epilogue lacks is empty.
#[derive(Clone, Copy, Default)]
pub(super) struct Sources<'r> {
    thresholds: &'r [i32],
    multiplier: &'r [i16],
    bias: &'r [i16],
    pub(super) prelu: Option<Prelu<'r>>,
    sign: &'r [i16],
}

enum Kind<'r> {
    Threshold,
    Stream { shift: Shift16 },
    Scores { multiplier: &'r [i16], bias: &'r [i32], scores: &'r mut [i32] },
}

impl Row<'_> {
    /// What [`Row::emit16`] and [`Row::emit32`] need for the channels from
    /// `channel` on.
    #[inline(always)]
    pub(crate) fn parameters<L: Lanes<N>, const N: usize>(
        &self,
        lanes: L,
        channel: usize,
    ) -> Parameters<L, N> {
        let Sources { thresholds, multiplier, bias, prelu, sign } = self.sources;
        let none = lanes.splat16(0);
        let mut found = Parameters {
            threshold: lanes.zero32(),
            multiplier: none,
            bias: none,
            before: none,
            slope: none,
            after: none,
            sign: none,
            source: self.shortcut.map_or(0, |taken| taken.source(channel)),
        };
        if let Some(thresholds) = thresholds.get(channel..) {
            found.threshold = load32_padded(lanes, thresholds);
        }
        if let (Some(multiplier), Some(bias)) = (multiplier.get(channel..), bias.get(channel..)) {
            found.multiplier = load16_padded(lanes, multiplier);
            found.bias = load16_padded(lanes, bias);
        }
        if let Some(Prelu { before, slope, after }) = prelu {
            found.before = load16_padded(lanes, cut::part(before, channel..));
            found.slope = load16_padded(lanes, cut::part(slope, channel..));
            found.after = load16_padded(lanes, cut::part(after, channel..));
        }
        if let Some(sign) = sign.get(channel..) {
            found.sign = load16_padded(lanes, sign);
        }
        found
    }

    /// For a function that is not inlined.
    #[inline(always)]
    pub(crate) fn reborrow(&mut self) -> Row<'_> {
        Row {
            kind: match &mut self.kind {
                Kind::Threshold => Kind::Threshold,
                &mut Kind::Stream { shift } => Kind::Stream { shift },
                Kind::Scores { multiplier, bias, scores } => {
                    Kind::Scores { multiplier, bias, scores }
                }
            },
            bits: self.bits.as_deref_mut(),
            stream: self.stream.as_deref_mut(),
            ..*self
        }
    }

    /// The bits of one pixel.
    #[inline(always)]
    pub(crate) fn pixel_bits(&mut self, column: usize) -> &mut [u8] {
        match &mut self.bits {
            Some(bits) => cut::part_mut(bits, column * self.pixel..(column + 1) * self.pixel),
            None => &mut [],
        }
    }

    /// Takes the 16-bit accumulators of up to `N·G` channels.
    #[inline(always)]
    pub(crate) fn emit16<L: Lanes<N>, const N: usize, const G: usize>(
        &mut self,
        lanes: L,
        parameters: &[Parameters<L, N>; G],
        at: At,
        accumulators: [L::I16; G],
    ) {
        let Some(shift) = self.shift16() else {
            let row = self.reborrow();
            return lanes.outline(Decide { lanes, row, parameters, at, accumulators });
        };
        let mut values = accumulators;
        for value in &mut values {
            *value = shift.apply(lanes, *value);
        }
        self.stream(lanes, parameters, at, values);
    }

    /// Whether only bits against a threshold are wanted ([`Row::put_run`]).
    #[inline(always)]
    pub(crate) fn decides(&self) -> bool {
        matches!(self.kind, Kind::Threshold)
    }

    /// Writes the bits of up to N channels of neighbouring pixels, the first of
    /// them at `at` ([`Parameters::decide`]).
    #[inline(always)]
    pub(crate) fn put_run<const N: usize>(&mut self, at: At, below: &[u32]) {
        for (p, &below) in below.iter().enumerate() {
            self.put_bits::<N>(at.pixel(p), below);
        }
    }

    /// The shift before everything else, if the accumulators become a stream
    /// ([`Row::finish`] then takes them, otherwise [`Row::emit32`]).
    #[inline(always)]
    pub(crate) fn shift(&self) -> Option<i8> {
        match self.kind {
            Kind::Stream { shift } => Some(shift.count()),
            _ => None,
        }
    }

    /// The same for 16-bit accumulators.
    #[inline(always)]
    pub(crate) fn shift16(&self) -> Option<Shift16> {
        match self.kind {
            Kind::Stream { shift } => Some(shift),
            _ => None,
        }
    }

    /// Takes the scaled accumulators ([`Parameters::scale16`],
    /// [`Parameters::scale32`]) of up to N channels of neighbouring pixels, the
    /// first of them at `at`.
    #[inline(always)]
    pub(crate) fn finish<L: Lanes<N>, const N: usize>(
        &mut self,
        lanes: L,
        parameters: &Parameters<L, N>,
        at: At,
        values: &mut [[i16; N]],
    ) {
        lanes.outline(Finish { lanes, row: self, parameters, at, values });
    }

    /// Takes the 32-bit accumulators of up to N channels that become no stream:
    /// thresholds and scores need the whole accumulator.
    #[inline(always)]
    pub(crate) fn emit32<L: Lanes<N>, const N: usize>(
        &mut self,
        lanes: L,
        parameters: &Parameters<L, N>,
        at: At,
        accumulator: L::I32,
    ) {
        match &mut self.kind {
            Kind::Threshold => {
                self.put_bits::<N>(at, parameters.decide(lanes, accumulator));
            }
            Kind::Scores { multiplier, bias, scores } => {
                let mut values = [0; N];
                lanes.store32(accumulator, &mut values);
                put_scores(multiplier, bias, scores, at, &values);
            }
            Kind::Stream { .. } => {}
        }
    }

    /// Everything after the accumulator's shift.
    #[inline(always)]
    fn stream<L: Lanes<N>, const N: usize, const G: usize>(
        &mut self,
        lanes: L,
        parameters: &[Parameters<L, N>; G],
        at: At,
        values: [L::I16; G],
    ) {
        if at.count == G * N {
            self.full_stream(lanes, parameters, at, values);
        } else {
            let row = self.reborrow();
            lanes.outline(Partial { lanes, row, parameters, at, values });
        }
    }

    /// [`Row::stream`] of `N·G` channels. Apart from it, because a loop over
    /// however many channels there are would put the values in memory.
    #[inline(always)]
    fn full_stream<L: Lanes<N>, const N: usize, const G: usize>(
        &mut self,
        lanes: L,
        parameters: &[Parameters<L, N>; G],
        at: At,
        mut values: [L::I16; G],
    ) {
        for (value, parameters) in values.iter_mut().zip(parameters) {
            *value = parameters.scale(lanes, *value);
        }
        if let Some(taken) = self.shortcut {
            let mut sources = [0; G];
            for (source, parameters) in sources.iter_mut().zip(parameters) {
                *source = parameters.source;
            }
            let extra = taken.values::<L, N, G>(lanes, self.channels, at, sources);
            for (value, &extra) in values.iter_mut().zip(&extra) {
                *value = lanes.adds16(*value, extra);
            }
        }
        if self.sources.prelu.is_some() {
            for (value, parameters) in values.iter_mut().zip(parameters) {
                *value = parameters.prelu(lanes, *value);
            }
        }
        if let Some(stream) = &mut self.stream {
            let to = cut::run_mut(stream, at.column * self.channels + at.channel, G * N);
            if let Some(to) = to.as_chunks_mut().0.first_chunk_mut::<G>() {
                for (&value, to) in values.iter().zip(to) {
                    lanes.store16(value, to);
                }
            }
        }
        if self.bits.is_some() {
            for (group, (&value, parameters)) in values.iter().zip(parameters).enumerate() {
                let channel = at.channel + group * N;
                let below = lanes.less16(value, parameters.sign);
                self.put_bits::<N>(At { channel, count: N, ..at }, below);
            }
        }
    }

    /// Writes the bits of up to N channels of one pixel. Channels come in rising
    /// order, so the first of a 64-bit word may write all of it, and the others
    /// find a zero tail: that leaves every pixel whole.
    #[inline(always)]
    fn put_bits<const N: usize>(&mut self, at: At, below: u32) {
        let Some(bits) = &mut self.bits else { return };
        let pixel = cut::run_mut(bits, at.column * self.pixel, self.pixel);
        if !at.channel.is_multiple_of(N) {
            return put_some_bits(pixel, at, below);
        }
        let to = cut::part_mut(pixel, at.channel / 8..);
        put_word::<N>(to, at.channel, below & exist(at.count));
    }
}

impl<L: Lanes<N>, const N: usize> Parameters<L, N> {
    /// Which accumulators are below their thresholds.
    #[inline(always)]
    pub(crate) fn decide(&self, lanes: L, accumulator: L::I32) -> u32 {
        lanes.less32(accumulator, self.threshold)
    }

    /// The shift, multiplier and bias.
    #[inline(always)]
    pub(crate) fn scale32(&self, lanes: L, accumulator: L::I32, shift: i8) -> L::I16 {
        self.scale(lanes, lanes.shift_to_16(accumulator, shift))
    }

    /// The same of 16-bit accumulators.
    #[inline(always)]
    pub(crate) fn scale16(&self, lanes: L, accumulator: L::I16, shift: Shift16) -> L::I16 {
        self.scale(lanes, shift.apply(lanes, accumulator))
    }

    /// Multiplier and bias.
    #[inline(always)]
    pub(crate) fn scale(&self, lanes: L, value: L::I16) -> L::I16 {
        lanes.adds16(lanes.mulr16(value, self.multiplier), self.bias)
    }

    /// The shifted PReLU.
    #[inline(always)]
    pub(crate) fn prelu(&self, lanes: L, value: L::I16) -> L::I16 {
        let y = lanes.subs16(value, self.before);
        lanes.adds16(lanes.leaky16(y, self.slope), self.after)
    }
}

/// [`Row::emit16`] for what is not a stream, apart from it because it is rare
/// after a binary convolution.
struct Decide<'r, L: Lanes<N>, const N: usize, const G: usize> {
    lanes: L,
    row: Row<'r>,
    parameters: &'r [Parameters<L, N>; G],
    at: At,
    accumulators: [L::I16; G],
}

impl<L: Lanes<N>, const N: usize, const G: usize> Work for Decide<'_, L, N, G> {
    #[inline(always)]
    fn run(mut self) {
        let groups = self.accumulators.iter().zip(self.parameters);
        for (group, (&accumulator, parameters)) in groups.enumerate() {
            if let Some(at) = self.at.group(group, N) {
                let wide = self.lanes.widen16(accumulator);
                self.row.emit32(self.lanes, parameters, at, wide);
            }
        }
    }
}

/// [`Row::stream`] of any number of channels.
struct Partial<'r, L: Lanes<N>, const N: usize, const G: usize> {
    lanes: L,
    row: Row<'r>,
    parameters: &'r [Parameters<L, N>; G],
    at: At,
    values: [L::I16; G],
}

impl<L: Lanes<N>, const N: usize, const G: usize> Work for Partial<'_, L, N, G> {
    #[inline(always)]
    fn run(self) {
        let Partial { lanes, mut row, parameters, at, values } = self;
        for (group, (&value, parameters)) in values.iter().zip(parameters).enumerate() {
            let Some(at) = at.group(group, N) else { break };
            let mut value = parameters.scale(lanes, value);
            if let Some(taken) = row.shortcut {
                let [extra] = taken.values::<L, N, 1>(lanes, row.channels, at, [parameters.source]);
                value = lanes.adds16(value, extra);
            }
            if row.sources.prelu.is_some() {
                value = parameters.prelu(lanes, value);
            }
            if let Some(stream) = &mut row.stream {
                let first = at.column * row.channels + at.channel;
                let to = cut::run_mut(stream, first, at.count);
                store16_clipped(lanes, value, to);
            }
            if row.bits.is_some() {
                row.put_bits::<N>(at, lanes.less16(value, parameters.sign));
            }
        }
    }
}

/// Scores are computed once per network: no vectors needed.
#[inline(never)]
fn put_scores(multiplier: &[i16], bias: &[i32], scores: &mut [i32], at: At, values: &[i32]) {
    for (c, &value) in (at.channel..).zip(cut::part(values, ..at.count)) {
        let (multiplier, bias) = (cut::at(multiplier, c), cut::at(bias, c));
        let score = i64::from(value) * i64::from(multiplier) + i64::from(bias);
        if let Some(to) = cut::at_mut(scores, c) {
            *to = score.clamp(i32::MIN.into(), i32::MAX.into()) as i32;
        }
    }
}

/// The lowest `count` bits; `count` 1..=32.
#[inline(always)]
pub(super) fn exist(count: usize) -> u32 {
    u32::MAX >> (32 - count)
}

/// Writes the bits of N channels from `channel` on, a multiple of N, to the
/// start of `to`. The first of a 64-bit word writes all of it, so that its tail
/// is 0.
#[inline(always)]
pub(crate) fn put_word<const N: usize>(to: &mut [u8], channel: usize, below: u32) {
    if channel.is_multiple_of(64) {
        if let Some(to) = to.first_chunk_mut() {
            *to = u64::from(below).to_le_bytes();
        }
    } else if N == 16 {
        if let Some(to) = to.first_chunk_mut() {
            *to = (below as u16).to_le_bytes();
        }
    } else if let Some(to) = to.first_chunk_mut() {
        *to = below.to_le_bytes();
    }
}

/// [`Row::put_bits`] of a group that starts anywhere: zeroes what follows it in
/// the last word touched.
#[inline(never)]
pub(super) fn put_some_bits(pixel: &mut [u8], at: At, below: u32) {
    let (byte, bit) = (at.channel / 8, at.channel % 8);
    let below = u64::from(below & exist(at.count));
    let kept = u64::from(cut::at(pixel, byte)) & ((1 << bit) - 1);
    let end = byte + (bit + at.count).div_ceil(8);
    let bytes = (kept | below << bit).to_le_bytes();
    cut::put(cut::part_mut(pixel, byte..), cut::part(&bytes, ..end - byte));
    cut::part_mut(pixel, end..end.next_multiple_of(8)).fill(0);
}

#[cfg(test)]
mod tests {
    use super::{At, put_some_bits};

    #[test]
    fn bits_land_where_they_belong_and_leave_a_zero_tail() {
        // Groups of 11 channels: starts within a byte, and a last one that
        // spans two bytes.
        let mut pixel = [0xAA; 8];
        let groups = [0b101_0101_0101, 0b111_1111_1111, 0b100_0000_0001];
        for (group, below) in groups.into_iter().enumerate() {
            let at = At { column: 0, channel: group * 11, count: 11 };
            put_some_bits(&mut pixel, at, below | 0x8000);
        }
        let expected = 0b101_0101_0101u64 | 0b111_1111_1111 << 11 | 0b100_0000_0001 << 22;
        assert_eq!(u64::from_le_bytes(pixel), expected);
    }
}
