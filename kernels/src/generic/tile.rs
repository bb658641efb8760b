//! The epilogue of a tile: a full block of channels of some neighbouring pixels.
//!
//! What most layers want is asked once per tile and not at each pixel, and the
//! parameters stay in registers from pixel to pixel, or are read from where they
//! were put ([`Row::emit_tile`]). Anything else goes pixel by pixel to
//! [`Row::emit16`].

use super::epilogue::{At, Parameters, Row, put_word};
use super::lanes::Lanes;
use super::shortcut::{Extra, Nothing};

/// The accumulators of a tile, Q groups of N channels per pixel.
pub(crate) trait Accumulators<L: Lanes<N>, const N: usize, const Q: usize> {
    /// Those of a pixel.
    fn of(&self, lanes: L, pixel: usize) -> [L::I16; Q];
}

impl Row<'_> {
    /// Takes the accumulators of `N·Q` channels of P pixels, the first of them at
    /// `at`, if they become a stream by a shift to the left that at most just saturates,
    /// with no shortcut or one that is a load or a mean over channels. Otherwise
    /// nothing is done: `false`.
    #[inline(always)]
    pub(crate) fn emit_tile<L: Lanes<N>, const N: usize, const Q: usize, const P: usize>(
        &mut self,
        lanes: L,
        parameters: &[Parameters<L, N>; Q],
        at: At,
        accumulators: &impl Accumulators<L, N, Q>,
    ) -> bool {
        let Some(shift) = self.shift16().and_then(|shift| shift.doubled()) else { return false };
        if at.count != N * Q || !at.channel.is_multiple_of(N) {
            return false;
        }
        let tile = Tile { lanes, parameters, at, shift, accumulators };
        let Some(taken) = self.shortcut else {
            tile.put::<P>(self, [const { Nothing }; Q]);
            return true;
        };
        if taken.averages() {
            let mut means = [None; Q];
            for (group, means) in means.iter_mut().enumerate() {
                *means = taken.channel_means(lanes, self.channels, at.part(group, N));
                if means.is_none() {
                    return false;
                }
            }
            tile.put::<P>(self, means);
            return true;
        }
        let mut loads = [None; Q];
        for (group, (loads, parameters)) in loads.iter_mut().zip(parameters).enumerate() {
            *loads = taken.loads(lanes, self.channels, at.part(group, N), parameters.source);
            if loads.is_none() {
                return false;
            }
        }
        tile.put::<P>(self, loads);
        true
    }
}

/// What is the same for all pixels.
struct Tile<'t, L: Lanes<N>, A, const N: usize, const Q: usize> {
    lanes: L,
    parameters: &'t [Parameters<L, N>; Q],
    at: At,
    /// To the left, and whether the result is doubled.
    shift: (u32, bool),
    accumulators: &'t A,
}

impl<L: Lanes<N>, A: Accumulators<L, N, Q>, const N: usize, const Q: usize> Tile<'_, L, A, N, Q> {
    #[inline(always)]
    fn put<const P: usize>(&self, row: &mut Row<'_>, extra: [impl Extra<L, N>; Q]) {
        let Tile { lanes, parameters, at, shift: (shift, twice), accumulators } = *self;
        let channels = row.channels;
        let mut stream = row.stream.as_deref_mut().map(|all| {
            let first = at.column * channels + at.channel;
            &mut all[first..first + (P - 1) * channels + N * Q]
        });
        let prelu = row.sources.prelu.is_some();
        let mut bits = row.bits.as_deref_mut().map(|all| {
            let first = at.column * row.pixel + at.channel / 8;
            &mut all[first..first + (P - 1) * row.pixel + N * Q / 8]
        });
        for p in 0..P {
            let mut values = accumulators.of(lanes, p);
            for (q, value) in values.iter_mut().enumerate() {
                let parameters = &parameters[q];
                let mut shifted = lanes.shl16(*value, shift);
                if twice {
                    shifted = lanes.adds16(shifted, shifted);
                }
                *value = extra[q].add(lanes, p, parameters.scale(lanes, shifted));
                if prelu {
                    *value = parameters.prelu(lanes, *value);
                }
            }
            if let Some(stream) = &mut stream {
                let to = &mut stream[p * channels..][..N * Q];
                for (&value, to) in values.iter().zip(to.as_chunks_mut().0) {
                    lanes.store16(value, to);
                }
            }
            if let Some(bits) = &mut bits {
                let to = &mut bits[p * row.pixel..][..N * Q / 8];
                for (q, &value) in values.iter().enumerate() {
                    let below = lanes.less16(value, parameters[q].sign);
                    put_word::<N>(&mut to[q * N / 8..], at.channel + q * N, below);
                }
            }
        }
    }
}
