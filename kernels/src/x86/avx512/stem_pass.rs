//! 8-bit convolution without a shortcut, as the first layer of a network is one: 32
//! channels at a time, from the laid-out windows to the stores. Weights are loaded once
//! for a tile of pixels. The usual 3×3 window has a pass of its own: `image_pass`.

// Fixed loops over indices are unrolled into registers; iterators over the same
// arrays often are not.
#![allow(clippy::needless_range_loop)]

use core::arch::x86_64::*;

use super::Avx512;
use crate::generic::epilogue::{Parameters, Row, put_word};
use crate::generic::int8_conv::Laid;
use crate::generic::lanes::{Lanes, Outline, WIDE, Work};
use crate::generic::usual_image::PlainRow;
use crate::layout::{INT8_GROUP, INT8_LANES};

/// Bytes of 16 channels' weights of one group.
const GROUP_BYTES: usize = INT8_LANES * INT8_GROUP;

/// Pixels of a tile, at least.
const TILE: usize = 4;

/// Pixels of a tile where there are so many: products that add take 4 turns or 5, two
/// at a time, and each has to wait for the one before it.
const LARGE: usize = 7;

/// All channels of a run of pixels, or nothing: `false`.
#[inline(always)]
pub(super) fn run(isa: Avx512, laid: &Laid<'_>, weights: &[i8], out: &mut Row<'_>) -> bool {
    let channels = weights.len() / laid.depth;
    let pixels = laid.windows.len() / laid.stride - 1;
    if !channels.is_multiple_of(WIDE) || laid.neutral != 1 || pixels < TILE {
        return false;
    }
    let Some((shift, prelu)) = out.plain() else { return false };
    for (block, weights) in weights.chunks_exact(WIDE * laid.depth).enumerate() {
        let channel = block * WIDE;
        let block = Block { isa, laid, weights, channel, shift, out };
        match (pixels >= LARGE, prelu) {
            (true, true) => isa.outline(Tiles::<LARGE, true>(block)),
            (true, false) => isa.outline(Tiles::<LARGE, false>(block)),
            (false, true) => isa.outline(Tiles::<TILE, true>(block)),
            (false, false) => isa.outline(Tiles::<TILE, false>(block)),
        }
    }
    true
}

/// 32 channels.
struct Block<'b, 'r> {
    isa: Avx512,
    laid: &'b Laid<'b>,
    weights: &'b [i8],
    channel: usize,
    /// Right shift of the accumulators.
    shift: u32,
    out: &'b mut Row<'r>,
}

impl<'b> Block<'b, '_> {
    /// Both halves of the channels, group by group.
    #[inline(always)]
    fn halves(&self) -> [&'b [[i8; GROUP_BYTES]]; 2] {
        let (first, second) = self.weights.split_at(self.weights.len() / 2);
        [first.as_chunks().0, second.as_chunks().0]
    }

    /// What sums start from, given those of the window of zeros: that is taken off
    /// each, and they are to be rounded by the shift.
    #[inline(always)]
    fn start(&self, [low, high]: [__m512i; 2]) -> [__m512i; 2] {
        let half = self.isa.splat32((1 << self.shift) >> 1);
        // SAFETY: `isa` proves AVX-512 F.
        unsafe { [_mm512_sub_epi32(half, low), _mm512_sub_epi32(half, high)] }
    }
}

/// The sums of 32 channels, shifted and saturated to 16 bits.
#[inline(always)]
fn shifted(_: Avx512, [low, high]: [__m512i; 2], shift: u32) -> __m512i {
    // SAFETY: an `Avx512` proves AVX-512 F and BW.
    unsafe {
        let count = _mm512_set1_epi32(shift as i32);
        _mm512_packs_epi32(_mm512_srav_epi32(low, count), _mm512_srav_epi32(high, count))
    }
}

/// The epilogue of one pixel's 32 channels; PRELU: there is one.
#[inline(always)]
fn put<const PRELU: bool>(
    isa: Avx512,
    parameters: &Parameters<Avx512, WIDE>,
    channel: usize,
    to: &mut PlainRow<'_>,
    p: usize,
    shifted: __m512i,
) {
    let mut y = parameters.scale(isa, shifted);
    if PRELU {
        y = parameters.prelu(isa, y);
    }
    if let Some(to) = to.stream[p * to.channels + channel..].first_chunk_mut() {
        isa.store16(y, to);
    }
    if let Some(bits) = &mut to.bits {
        let below = isa.less16(y, parameters.sign);
        put_word::<WIDE>(&mut bits[p * to.pixel + channel / 8..], channel, below);
    }
}

/// Windows of any length, of at least a tile's P pixels.
struct Tiles<'b, 'r, const P: usize, const PRELU: bool>(Block<'b, 'r>);

impl<const P: usize, const PRELU: bool> Work for Tiles<'_, '_, P, PRELU> {
    #[inline(always)]
    fn run(self) {
        let Tiles(block) = self;
        let Block { isa, laid, channel, shift, .. } = block;
        let parameters = block.out.parameters(isa, channel);
        let weights = block.halves();
        let start = block.start(alone(isa, weights, &laid.windows[..laid.depth]));
        let windows = &laid.windows[laid.stride..];
        let pixels = windows.len() / laid.stride;
        let Some(mut to) = block.out.plain_from(laid.column) else { return };
        for first in (0..pixels).step_by(P) {
            // The last tile may overlap the one before it.
            let first = first.min(pixels - P);
            let mut inputs = [&[][..]; P];
            for p in 0..P {
                inputs[p] = &windows[(first + p) * laid.stride..][..laid.depth];
            }
            let sums = tile(isa, [start; P], weights, inputs);
            // In memory: so many epilogues are no straight line.
            let mut values = [isa.splat16(0); P];
            for p in 0..P {
                values[p] = isa.sorted(shifted(isa, sums[p], shift));
            }
            for (p, &value) in values.iter().enumerate() {
                put::<PRELU>(isa, &parameters, channel, &mut to, first + p, value);
            }
        }
    }
}

/// `starts` and Σ w·x over P windows, of 16 channels and of the next 16.
#[inline(always)]
fn tile<const P: usize>(
    _: Avx512,
    starts: [[__m512i; 2]; P],
    [first, second]: [&[[i8; GROUP_BYTES]]; 2],
    windows: [&[u8]; P],
) -> [[__m512i; 2]; P] {
    let mut sums = starts;
    let groups = first.len();
    let second = &second[..groups];
    let mut inputs = [&[][..]; P];
    for p in 0..P {
        inputs[p] = &windows[p].as_chunks::<INT8_GROUP>().0[..groups];
    }
    for k in 0..groups {
        // SAFETY: an `Avx512` proves AVX-512 F and VNNI; the arrays are the 64 bytes
        // read.
        unsafe {
            let low = _mm512_loadu_si512(first[k].as_ptr().cast());
            let high = _mm512_loadu_si512(second[k].as_ptr().cast());
            for p in 0..P {
                let x = _mm512_set1_epi32(i32::from_ne_bytes(inputs[p][k]));
                sums[p][0] = _mm512_dpbusd_epi32(sums[p][0], x, low);
                sums[p][1] = _mm512_dpbusd_epi32(sums[p][1], x, high);
            }
        }
    }
    sums
}

/// Σ w·x over one window. As a sum waits for the one before it, there are four, of
/// every fourth group.
#[inline(always)]
fn alone(isa: Avx512, [first, second]: [&[[i8; GROUP_BYTES]]; 2], window: &[u8]) -> [__m512i; 2] {
    let mut sums = [[isa.splat32(0); 2]; 4];
    let window = window.as_chunks::<INT8_GROUP>().0;
    let (whole, _) = window.as_chunks::<4>();
    for (four, window) in whole.iter().enumerate() {
        for g in 0..4 {
            let k = 4 * four + g;
            [sums[g]] = tile(isa, [sums[g]], [&first[k..=k], &second[k..=k]], [&window[g]]);
        }
    }
    for k in 4 * whole.len()..window.len() {
        [sums[0]] = tile(isa, [sums[0]], [&first[k..=k], &second[k..=k]], [&window[k]]);
    }
    let [a, b, c, d] = sums;
    isa.add32(isa.add32(a, b), isa.add32(c, d))
}
