//! What a binary depthwise convolution hands over: counts in bit planes become
//! 16-bit lanes.

use super::cut::{self, Found};
use super::epilogue::{At, Row};
use super::lanes::{LANES, Lanes, Work};
use crate::layout::DEPTHWISE_RUN;

/// Hands the counts of a run of pixels to the epilogue, 16 channels at a time.
pub(super) struct Expand<'e, 'r, L> {
    pub(super) lanes: L,
    pub(super) out: &'e mut Row<'r>,
    pub(super) at: At,
    /// Bytes of a plane of one pixel.
    pub(super) register: usize,
    /// Planes of a pixel.
    pub(super) planes: usize,
    /// By pixel.
    pub(super) terms: &'e [i16],
    pub(super) counts: &'e [u8],
}

impl<L: Lanes> Work for Expand<'_, '_, L> {
    #[inline(always)]
    fn run(self) {
        self.all().unwrap_or_default();
    }
}

impl<L: Lanes> Expand<'_, '_, L> {
    /// The work, which ends where something is missing.
    #[inline(always)]
    fn all(self) -> Found<()> {
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
                    let &low = cut::get(plane, 2 * group)?;
                    let &high = cut::get(plane, 2 * group + 1)?;
                    let word = u16::from_le_bytes([low, high]);
                    negative =
                        lanes.add16(lanes.add16(negative, negative), lanes.mask16(word.into()));
                }
                let negative = lanes.add16(negative, negative);
                let accumulator = lanes.add16(lanes.splat16(terms), negative);
                match shift {
                    Some(shift) => {
                        let value = parameters.scale16(lanes, accumulator, shift);
                        let to = cut::get_mut(&mut values, p)?;
                        lanes.store16(value, to);
                    }
                    None => out.emit16(lanes, &[parameters], at.pixel(p), [accumulator])?,
                }
            }
            if shift.is_some() {
                let values = cut::get_mut(&mut values, ..terms.len())?;
                out.finish(lanes, &parameters, at, values);
            }
        }
        Ok(())
    }
}
