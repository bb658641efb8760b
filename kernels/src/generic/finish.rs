//! The epilogue of a run of pixels that were scaled and put aside
//! ([`Row::finish`]): each step a loop over the run.

use super::epilogue::{At, Parameters, Row, put_some_bits};
use super::lanes::{LANES, Lanes, Work};

/// A run of pixels of up to 16 channels.
pub(super) struct Finish<'f, 'r, L: Lanes> {
    pub(super) lanes: L,
    pub(super) row: &'f mut Row<'r>,
    pub(super) parameters: &'f Parameters<L>,
    pub(super) at: At,
    /// Scaled, pixel by pixel.
    pub(super) values: &'f mut [[i16; LANES]],
}

impl<L: Lanes> Work for Finish<'_, '_, L> {
    #[inline(always)]
    fn run(self) {
        let Finish { lanes, row, parameters, at, values } = self;
        let channels = row.channels;
        if let Some(taken) = &row.shortcut {
            taken.add(lanes, channels, at, parameters.source, values);
        }
        let prelu = row.sources.prelu.is_some();
        match &mut row.stream {
            Some(stream) if prelu && at.count == LANES => {
                let pixels = stream[at.column * channels + at.channel..].chunks_mut(channels);
                for (value, pixel) in values.iter_mut().zip(pixels) {
                    let y = parameters.prelu(lanes, lanes.load16(value));
                    if let Some(to) = pixel.first_chunk_mut() {
                        lanes.store16(y, to);
                    }
                    lanes.store16(y, value);
                }
            }
            stream => {
                if prelu {
                    for value in &mut *values {
                        lanes.store16(parameters.prelu(lanes, lanes.load16(value)), value);
                    }
                }
                if let Some(stream) = stream {
                    let pixels = stream[at.column * channels + at.channel..].chunks_mut(channels);
                    for (value, pixel) in values.iter().zip(pixels) {
                        // Narrow networks have 8 channels; a copy of any length is
                        // a call.
                        match pixel.first_chunk_mut::<{ LANES / 2 }>() {
                            Some(to) if at.count == LANES / 2 => {
                                to.copy_from_slice(&value[..LANES / 2]);
                            }
                            _ => pixel[..at.count].copy_from_slice(&value[..at.count]),
                        }
                    }
                }
            }
        }
        let Some(bits) = &mut row.bits else { return };
        let byte = at.channel / 8;
        let pixels = bits[at.column * row.pixel..].chunks_exact_mut(row.pixel);
        if !at.channel.is_multiple_of(LANES) {
            // Groups of a grouped convolution start anywhere.
            for (value, pixel) in values.iter().zip(pixels) {
                put_some_bits(pixel, at, lanes.less16(lanes.load16(value), parameters.sign));
            }
        } else if at.channel.is_multiple_of(64) {
            // The first of a word writes all of it, so that its tail is 0.
            let exist = u64::MAX >> (64 - at.count);
            for (value, pixel) in values.iter().zip(pixels) {
                let below = u64::from(lanes.less16(lanes.load16(value), parameters.sign)) & exist;
                if let Some(to) = pixel[byte..].first_chunk_mut() {
                    *to = below.to_le_bytes();
                }
            }
        } else {
            let exist = u16::MAX >> (LANES - at.count);
            for (value, pixel) in values.iter().zip(pixels) {
                let below = lanes.less16(lanes.load16(value), parameters.sign) & exist;
                if let Some(to) = pixel[byte..].first_chunk_mut() {
                    *to = below.to_le_bytes();
                }
            }
        }
    }
}
