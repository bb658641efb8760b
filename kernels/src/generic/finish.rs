//! The epilogue of a run of pixels that were scaled and put aside
//! ([`Row::finish`]): one loop over the run, from one load to the stores. What
//! most layers want has loops of its own, one per kind of shortcut, in a function
//! with nothing else in it, so that all parameters stay in registers.

use super::cut;
use super::epilogue::{At, Parameters, Row, exist, put_some_bits, put_word};
use super::lanes::{Lanes, Work};
use super::shortcut::{Extra, Nothing, RowShortcut};

/// A run of pixels of up to N channels.
pub(super) struct Finish<'f, 'r, L: Lanes<N>, const N: usize> {
    pub(super) lanes: L,
    pub(super) row: &'f mut Row<'r>,
    pub(super) parameters: &'f Parameters<L, N>,
    pub(super) at: At,
    /// Scaled, pixel by pixel.
    pub(super) values: &'f mut [[i16; N]],
}

impl<L: Lanes<N>, const N: usize> Work for Finish<'_, '_, L, N> {
    #[inline(always)]
    fn run(self) {
        let Finish { lanes, row, parameters, at, values } = self;
        let usual = row.sources.prelu.is_some() && at.count == N && at.channel.is_multiple_of(N);
        if let (true, Some(stream)) = (usual, &mut row.stream) {
            let (channels, pixel) = (row.channels, row.pixel);
            let mut to = Usual {
                stream: cut::part_mut(stream, at.column * channels + at.channel..),
                channels,
                bits: row
                    .bits
                    .as_deref_mut()
                    .map(|bits| cut::part_mut(bits, at.column * pixel + at.channel / 8..)),
                pixel,
                channel: at.channel,
            };
            let Some(taken) = &row.shortcut else {
                return to.put(lanes, parameters, values, Nothing);
            };
            let source = parameters.source;
            if let Some(loads) = taken.loads(lanes, channels, at, source) {
                return to.put(lanes, parameters, values, loads);
            }
            if let Some(means) = taken.means(lanes, channels, at, source, values.len()) {
                return to.put(lanes, parameters, values, means);
            }
            if let Some(means) = taken.channel_means(lanes, channels, at) {
                return to.put(lanes, parameters, values, means);
            }
            let taken = *taken;
            lanes.outline(Added { lanes, taken, channels, at, source, values: &mut *values });
            return to.put(lanes, parameters, values, Nothing);
        }
        lanes.outline(Unusual(Finish { lanes, row, parameters, at, values }));
    }
}

/// Where what most layers want goes: N channels with a shifted PReLU, as stream
/// and perhaps as bits.
struct Usual<'t> {
    /// From the first element on, and elements per pixel.
    stream: &'t mut [i16],
    channels: usize,
    /// From the first byte on, and bytes per pixel.
    bits: Option<&'t mut [u8]>,
    pixel: usize,
    channel: usize,
}

impl Usual<'_> {
    #[inline(always)]
    fn put<L: Lanes<N>, const N: usize>(
        &mut self,
        lanes: L,
        parameters: &Parameters<L, N>,
        values: &[[i16; N]],
        extra: impl Extra<L, N>,
    ) {
        // A copy, so that nothing written can be thought to change it.
        let parameters = *parameters;
        let (mut element, mut byte) = (0, 0);
        for (p, value) in values.iter().enumerate() {
            let y = parameters.prelu(lanes, extra.add(lanes, p, lanes.load16(value)));
            if let Some(to) = cut::part_mut(self.stream, element..).first_chunk_mut() {
                lanes.store16(y, to);
            }
            element += self.channels;
            if let Some(bits) = &mut self.bits {
                let below = lanes.less16(y, parameters.sign);
                put_word::<N>(cut::part_mut(bits, byte..), self.channel, below);
                byte += self.pixel;
            }
        }
    }
}

/// Shortcuts that take more than one loop has registers for, added beforehand.
struct Added<'f, L: Lanes<N>, const N: usize> {
    lanes: L,
    taken: RowShortcut<'f>,
    channels: usize,
    at: At,
    source: usize,
    values: &'f mut [[i16; N]],
}

impl<L: Lanes<N>, const N: usize> Work for Added<'_, L, N> {
    #[inline(always)]
    fn run(self) {
        let Added { lanes, taken, channels, at, source, values } = self;
        taken.add(lanes, channels, at, source, values);
    }
}

/// Everything else: what does not change from pixel to pixel is asked at each.
struct Unusual<'f, 'r, L: Lanes<N>, const N: usize>(Finish<'f, 'r, L, N>);

impl<L: Lanes<N>, const N: usize> Work for Unusual<'_, '_, L, N> {
    #[inline(always)]
    fn run(self) {
        let Finish { lanes, row, parameters, at, values } = self.0;
        if let Some(taken) = row.shortcut {
            let (channels, source) = (row.channels, parameters.source);
            lanes.outline(Added { lanes, taken, channels, at, source, values: &mut *values });
        }
        let prelu = row.sources.prelu.is_some();
        let aligned = at.channel.is_multiple_of(N);
        let exist = exist(at.count);
        let (channels, pixel) = (row.channels, row.pixel);
        let mut stream =
            row.stream.as_deref_mut().map(|all| cut::part_mut(all, at.column * channels..));
        let mut bits = row.bits.as_deref_mut().map(|all| cut::part_mut(all, at.column * pixel..));
        let (mut element, mut byte) = (at.channel, 0);
        for value in values.iter() {
            let mut y = lanes.load16(value);
            if prelu {
                y = parameters.prelu(lanes, y);
            }
            if let Some(stream) = &mut stream {
                put_stream(lanes, y, cut::part_mut(stream, element..), at.count);
                element += channels;
            }
            if let Some(bits) = &mut bits {
                let below = lanes.less16(y, parameters.sign);
                if aligned {
                    let to = cut::part_mut(bits, byte + at.channel / 8..);
                    put_word::<N>(to, at.channel, below & exist);
                } else {
                    // Groups of a grouped convolution start anywhere.
                    put_some_bits(cut::part_mut(bits, byte..byte + pixel), at, below);
                }
                byte += pixel;
            }
        }
    }
}

/// Stores the first `count` lanes.
#[inline(always)]
fn put_stream<L: Lanes<N>, const N: usize>(lanes: L, y: L::I16, to: &mut [i16], count: usize) {
    if count == N {
        if let Some(to) = to.first_chunk_mut() {
            lanes.store16(y, to);
        }
        return;
    }
    let mut buffer = [0; N];
    lanes.store16(y, &mut buffer);
    // Narrow networks have 8 channels; a copy of any length is a call.
    match to.first_chunk_mut::<8>() {
        Some(to) if count == 8 => to.copy_from_slice(&buffer[..8]),
        _ => cut::put(to, cut::part(&buffer, ..count)),
    }
}
