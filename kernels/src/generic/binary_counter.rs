//! The byte counters of a binary convolution's tile, and the innermost loop: see
//! `binary_conv.rs` for why they are as they are.

// Fixed loops over indices are unrolled into registers; iterators over the same
// arrays often are not.
#![allow(clippy::needless_range_loop)]

use super::binary_conv::Popcount;
use super::lanes::{LANES, Lanes};
use crate::layout::BINARY_LANES;
use crate::types::Padding;

/// Steps after which a byte counter must be widened.
pub(super) const STEPS_PER_BYTE: usize = 31;

/// Groups of 16 channels in a full block.
pub(super) const GROUPS: usize = BINARY_LANES / LANES;

/// The counters of a tile: N registers of bytes per pixel, widened into
/// 16 bits in time.
pub(super) struct Counter<S: Popcount, const P: usize, const N: usize, const W: usize> {
    bytes: [[S::Counts; N]; P],
    /// None or one per pixel.
    wide: [[[<S::L as Lanes>::I16; GROUPS]; P]; W],
    /// Steps since the last widening.
    used: usize,
}

impl<S: Popcount, const P: usize, const N: usize, const W: usize> Counter<S, P, N, W> {
    #[inline(always)]
    pub(super) fn new(isa: S) -> Self {
        Counter {
            bytes: [[isa.zero(); N]; P],
            wide: [[[isa.lanes().splat16(0); GROUPS]; P]; W],
            used: 0,
        }
    }

    /// The counts of pixel `p`.
    #[inline(always)]
    pub(super) fn sums(&self, isa: S, p: usize) -> [<S::L as Lanes>::I16; GROUPS] {
        let lanes = isa.lanes();
        let parts = S::VECTOR / LANES;
        let mut sums = [lanes.splat16(0); GROUPS];
        for group in 0..N * parts {
            let bytes = isa.widen(self.bytes[p][group / parts], group % parts);
            sums[group] = if W == 1 { lanes.add16(self.wide[0][p][group], bytes) } else { bytes };
        }
        sums
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
                self.wide[0][p] = self.sums(isa, p);
                self.bytes[p] = [isa.zero(); N];
            }
            self.used = 0;
        }
        let take = left.min(STEPS_PER_BYTE - self.used);
        self.used += take;
        take
    }

    /// Takes steps that lie inside the input for all pixels.
    #[inline(always)]
    pub(super) fn add(&mut self, isa: S, inputs: [&[u8]; P], weights: &[u8], stride: usize) {
        let steps = inputs[0].len();
        let mut done = 0;
        while done < steps {
            let take = self.take(isa, steps - done);
            let mut part = [&[][..]; P];
            for p in 0..P {
                part[p] = &inputs[p][done..done + take];
            }
            self.bytes = count(isa, self.bytes, part, &weights[done * stride..], stride);
            done += take;
        }
    }

    /// Takes steps that lie outside the input (`None`) for some pixels. All of
    /// them use up the same number of steps.
    #[inline(always)]
    pub(super) fn add_some(
        &mut self,
        isa: S,
        inputs: [Option<&[u8]>; P],
        padding: Padding,
        weights: &[u8],
        stride: usize,
    ) {
        const OUTSIDE: [u8; STEPS_PER_BYTE] = [0; STEPS_PER_BYTE];
        let steps = weights.len() / stride;
        let mut done = 0;
        while done < steps {
            let take = self.take(isa, steps - done);
            for p in 0..P {
                let part = match inputs[p] {
                    Some(bits) => &bits[done..done + take],
                    None if padding == Padding::One => &OUTSIDE[..take],
                    None => continue,
                };
                let weights = &weights[done * stride..];
                [self.bytes[p]] = count(isa, [self.bytes[p]], [part], weights, stride);
            }
            done += take;
        }
    }
}

/// The innermost loop: as many steps as `inputs` has bytes, at most
/// [`STEPS_PER_BYTE`] since the last widening.
#[inline(always)]
fn count<S: Popcount, const P: usize, const N: usize>(
    isa: S,
    bytes: [[S::Counts; N]; P],
    inputs: [&[u8]; P],
    weights: &[u8],
    stride: usize,
) -> [[S::Counts; N]; P] {
    let mut counts = bytes;
    if stride == N * S::VECTOR {
        let rows = weights.chunks_exact(N * S::VECTOR);
        for (k, (row, _)) in rows.zip(inputs[0]).enumerate() {
            step(isa, &mut counts, inputs, k, row);
        }
    } else {
        for k in 0..inputs[0].len() {
            // Lanes past the block's last read what follows, and are dropped by
            // the epilogue; where nothing follows, they read 0.
            let row = &weights[k * stride..];
            let mut buffer = [0; BINARY_LANES];
            let row = match row.get(..N * S::VECTOR) {
                Some(row) => row,
                None => {
                    buffer[..row.len()].copy_from_slice(row);
                    &buffer[..N * S::VECTOR]
                }
            };
            step(isa, &mut counts, inputs, k, row);
        }
    }
    counts
}

/// One step of P pixels.
#[inline(always)]
fn step<S: Popcount, const P: usize, const N: usize>(
    isa: S,
    counts: &mut [[S::Counts; N]; P],
    inputs: [&[u8]; P],
    k: usize,
    row: &[u8],
) {
    let mut weights = [isa.weights(row); N];
    for n in 1..N {
        weights[n] = isa.weights(&row[n * S::VECTOR..]);
    }
    for p in 0..P {
        let input = isa.input(inputs[p][k]);
        for n in 0..N {
            counts[p][n] = isa.count(counts[p][n], weights[n], input);
        }
    }
}
