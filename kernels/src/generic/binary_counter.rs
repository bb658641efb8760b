//! The byte counters of a binary convolution's tile, and the innermost loop: see
//! `binary_conv.rs` for why they are as they are.

// Fixed loops over indices are unrolled into registers; iterators over the same
// arrays often are not.
#![allow(clippy::needless_range_loop)]

use super::binary_conv::{Block, Popcount};
use super::cut;
use super::lanes::{LANES, Lanes};
use crate::layout::BINARY_LANES;

/// Steps after which a byte counter must be widened.
pub(crate) const STEPS_PER_BYTE: usize = 31;

/// Groups of 16 channels in a full block.
pub(crate) const GROUPS: usize = BINARY_LANES / LANES;

/// The counters of a block, in 16 bits.
pub(crate) type Wide<S> = [<<S as Popcount>::L as Lanes>::I16; GROUPS];

/// The counters of a tile: per pixel, N registers of bytes for each of G blocks,
/// widened into 16 bits in time.
pub(crate) struct Counter<
    S: Popcount,
    const P: usize,
    const N: usize,
    const G: usize,
    const W: usize,
> {
    bytes: [[[S::Counts; N]; G]; P],
    /// None or one per pixel.
    wide: [[[Wide<S>; G]; P]; W],
    /// Steps since the last widening.
    used: usize,
}

impl<S: Popcount, const P: usize, const N: usize, const G: usize, const W: usize>
    Counter<S, P, N, G, W>
{
    #[inline(always)]
    pub(super) fn new(isa: S) -> Self {
        Counter {
            bytes: [[[isa.zero(); N]; G]; P],
            wide: [[[[isa.lanes().splat16(0); GROUPS]; G]; P]; W],
            used: 0,
        }
    }

    /// The counts of pixel `p` for block `g`.
    #[inline(always)]
    pub(super) fn sums(&self, isa: S, p: usize, g: usize) -> Wide<S> {
        let lanes = isa.lanes();
        let parts = S::VECTOR / LANES;
        let mut sums = [lanes.splat16(0); GROUPS];
        for group in 0..N * parts {
            let bytes = isa.widen(self.bytes[p][g][group / parts], group % parts);
            sums[group] =
                if W == 1 { lanes.add16(self.wide[0][p][g][group], bytes) } else { bytes };
        }
        sums
    }

    /// The same in two parts: the bytes, and what was widened before.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(crate) fn parts(&self, p: usize, g: usize) -> ([S::Counts; N], Option<Wide<S>>) {
        (self.bytes[p][g], if W == 1 { Some(self.wide[0][p][g]) } else { None })
    }

    /// How many of `left` steps may be taken at once; empties the byte counters
    /// into the wide ones where they are full.
    #[inline(always)]
    fn take(&mut self, isa: S, left: usize) -> usize {
        if W == 0 {
            return left;
        }
        if self.used == STEPS_PER_BYTE {
            for p in 0..P {
                for g in 0..G {
                    self.wide[0][p][g] = self.sums(isa, p, g);
                }
                self.bytes[p] = [[isa.zero(); N]; G];
            }
            self.used = 0;
        }
        let take = left.min(STEPS_PER_BYTE - self.used);
        self.used += take;
        take
    }

    /// Takes the block's steps from `first` on that the inputs have, which are
    /// equally long.
    #[inline(always)]
    pub(super) fn add(&mut self, isa: S, inputs: [&[u8]; P], block: &Block<'_>, first: usize) {
        let steps = inputs[0].len();
        let mut done = 0;
        while done < steps {
            let take = self.take(isa, steps - done);
            let mut part = [&[][..]; P];
            for p in 0..P {
                part[p] = cut::part(inputs[p], done..done + take);
            }
            self.bytes = count(isa, self.bytes, part, block, first + done);
            done += take;
        }
    }

    /// Takes `steps` steps that lie outside the input and read +1.
    #[inline(always)]
    pub(super) fn add_positive(&mut self, isa: S, block: &Block<'_>, first: usize, steps: usize) {
        const POSITIVE: [u8; STEPS_PER_BYTE] = [0; STEPS_PER_BYTE];
        for done in (0..steps).step_by(STEPS_PER_BYTE) {
            let inputs = [cut::part(&POSITIVE, ..(steps - done).min(STEPS_PER_BYTE)); P];
            self.add(isa, inputs, block, first + done);
        }
    }
}

/// The innermost loop: as many steps as `inputs` has bytes, at most
/// [`STEPS_PER_BYTE`] since the last widening.
#[inline(always)]
fn count<S: Popcount, const P: usize, const N: usize, const G: usize>(
    isa: S,
    bytes: [[[S::Counts; N]; G]; P],
    inputs: [&[u8]; P],
    block: &Block<'_>,
    first: usize,
) -> [[[S::Counts; N]; G]; P] {
    let mut counts = bytes;
    let stride = block.stride;
    let mut rows = [&[][..]; G];
    for g in 0..G {
        rows[g] = cut::part(block.weights, (g * block.steps + first) * stride..);
    }
    if stride == N * S::VECTOR {
        let steps = inputs[0].len();
        for g in 0..G {
            rows[g] = cut::part(rows[g], ..steps * N * S::VECTOR);
        }
        for k in 0..steps {
            let mut row = [&[][..]; G];
            for g in 0..G {
                row[g] = cut::part(rows[g], k * N * S::VECTOR..(k + 1) * N * S::VECTOR);
            }
            step(isa, &mut counts, inputs, k, row);
        }
    } else {
        for k in 0..inputs[0].len() {
            // Lanes past the block's last read what follows, and are dropped by
            // the epilogue; where nothing follows, they read 0.
            let mut row = [&[][..]; G];
            for g in 0..G {
                row[g] = cut::part(rows[g], k * stride..);
            }
            step(isa, &mut counts, inputs, k, row);
        }
    }
    counts
}

/// One step of P pixels.
#[inline(always)]
fn step<S: Popcount, const P: usize, const N: usize, const G: usize>(
    isa: S,
    counts: &mut [[[S::Counts; N]; G]; P],
    inputs: [&[u8]; P],
    k: usize,
    rows: [&[u8]; G],
) {
    let mut weights = [[isa.some_weights(&[]); N]; G];
    for g in 0..G {
        for n in 0..N {
            let from = rows[g].get(n * S::VECTOR..).unwrap_or_default();
            weights[g][n] =
                if from.len() >= S::VECTOR { isa.weights(from) } else { isa.some_weights(from) };
        }
    }
    for p in 0..P {
        let input = isa.input(cut::at(inputs[p], k));
        for g in 0..G {
            for n in 0..N {
                counts[p][g][n] = isa.count(counts[p][g][n], weights[g][n], input);
            }
        }
    }
}
