//! What a binary convolution hands over of a block that is not full.

use super::binary_conv::Block;
use super::binary_counter::GROUPS;
use super::cut;
use super::epilogue::{At, Parameters, Row};
use super::lanes::{LANES, Lanes};
use super::shift::Shift16;

/// Pixels of a block that is not full that go to the epilogue together, at most.
const RUN: usize = 16;

/// Pixels of a block that is not full, on their way to the epilogue.
pub(super) struct Waiting {
    pub(super) shift: Shift16,
    /// By group of 16 channels, pixel by pixel.
    values: [[[i16; LANES]; RUN]; GROUPS],
    /// The first pixel's column.
    pub(super) column: usize,
    pub(super) pixels: usize,
}

impl Waiting {
    #[inline(always)]
    pub(super) fn new(shift: Shift16) -> Self {
        Waiting { shift, values: [[[0; LANES]; RUN]; GROUPS], column: 0, pixels: 0 }
    }

    /// Whether the `count` pixels from `column` on follow those that wait, and
    /// there is room for them.
    #[inline(always)]
    pub(super) fn takes(&self, column: usize, count: usize) -> bool {
        column == self.column + self.pixels && self.pixels + count <= RUN
    }

    /// A group of the next pixel.
    #[inline(always)]
    pub(super) fn put<L: Lanes>(&mut self, lanes: L, group: usize, scaled: L::I16) {
        if let Some(to) =
            cut::at_mut(&mut self.values, group).and_then(|run| cut::at_mut(run, self.pixels))
        {
            lanes.store16(scaled, to);
        }
    }

    /// Hands over what there is.
    #[inline(always)]
    pub(super) fn finish<L: Lanes>(
        &mut self,
        lanes: L,
        out: &mut Row<'_>,
        parameters: &[Parameters<L>; GROUPS],
        block: &Block<'_>,
    ) {
        if self.pixels == 0 {
            return;
        }
        let at = At { column: self.column, channel: block.channel, count: block.count };
        for (group, (values, parameters)) in self.values.iter_mut().zip(parameters).enumerate() {
            if let Some(at) = at.group(group, LANES) {
                out.finish(lanes, parameters, at, cut::part_mut(values, ..self.pixels));
            }
        }
        self.pixels = 0;
    }
}
