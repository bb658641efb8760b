//! 8-bit convolution of small windows, as the first layer of a network has them: 32
//! channels at a time, from the laid-out windows to the stores. The weights of a 3×3
//! window over one or three channels stay in registers.

// Fixed loops over indices are unrolled into registers; iterators over the same
// arrays often are not.
#![allow(clippy::needless_range_loop)]

use core::arch::x86_64::*;

use super::Avx512;
use crate::generic::epilogue::{PlainRow, Row, put_word};
use crate::generic::int8_conv::Laid;
use crate::generic::lanes::{Lanes, Outline, WIDE, Work};
use crate::layout::{INT8_GROUP, INT8_LANES};

/// Bytes of 16 channels' weights of one group.
const GROUP_BYTES: usize = INT8_LANES * INT8_GROUP;

/// All channels of a run of pixels, or nothing: `false`.
#[inline(always)]
pub(super) fn run(isa: Avx512, laid: &Laid<'_>, weights: &[i8], out: &mut Row<'_>) -> bool {
    let groups = laid.depth / INT8_GROUP;
    let channels = weights.len() / laid.depth;
    if !channels.is_multiple_of(WIDE) || !(groups == 3 || groups == 7) || laid.neutral != 1 {
        return false;
    }
    let Some(shift) = out.plain_shift() else { return false };
    for (block, weights) in weights.chunks_exact(WIDE * laid.depth).enumerate() {
        let channel = block * WIDE;
        match groups {
            3 => isa.outline(Block::<3> { isa, laid, weights, channel, shift, out }),
            _ => isa.outline(Block::<7> { isa, laid, weights, channel, shift, out }),
        }
    }
    true
}

/// 32 channels; windows of G groups of 4 values.
struct Block<'b, 'r, const G: usize> {
    isa: Avx512,
    laid: &'b Laid<'b>,
    weights: &'b [i8],
    channel: usize,
    /// Right shift of the accumulators.
    shift: u32,
    out: &'b mut Row<'r>,
}

impl<const G: usize> Work for Block<'_, '_, G> {
    #[inline(always)]
    fn run(self) {
        let Block { isa, laid, weights, channel, shift, out } = self;
        let Laid { windows, stride, column, .. } = *laid;
        let parameters = out.parameters(isa, channel);
        let (first, second) = weights.split_at(weights.len() / 2);
        let groups = |of: &[i8]| -> [[i8; GROUP_BYTES]; G] {
            *of.as_chunks().0.first_chunk().expect("G groups")
        };
        let (first, second) = (groups(first), groups(second));
        let mut whole = [[isa.splat16(0); 2]; G];
        for k in 0..G {
            whole[k] = isa.interleaved(&first[k], &second[k]);
        }
        let mut windows = windows.chunks_exact(stride);
        // What stands for 0 goes ahead: it is taken off every sum, which starts so
        // that it is rounded by the shift.
        let Some(zeros) = windows.next() else { return };
        let [low, high] = sums(isa, [isa.splat32(0); 2], &whole, zeros);
        let half = isa.splat32((1 << shift) >> 1);
        // SAFETY: `isa` proves AVX-512 F.
        let start = unsafe { [_mm512_sub_epi32(half, low), _mm512_sub_epi32(half, high)] };
        let Some(PlainRow { stream, bits, channels, pixel }) = out.plain(column) else { return };
        let mut bits = bits.map(|bits| bits.chunks_exact_mut(pixel));
        for (window, stream) in windows.zip(stream.chunks_exact_mut(channels)) {
            let [low, high] = sums(isa, start, &whole, window);
            // SAFETY: `isa` proves AVX-512 F and BW.
            let shifted = unsafe {
                let count = _mm_cvtsi32_si128(shift as i32);
                _mm512_packs_epi32(_mm512_sra_epi32(low, count), _mm512_sra_epi32(high, count))
            };
            let y = parameters.prelu(isa, parameters.scale(isa, shifted));
            if let Some(to) = stream[channel..].first_chunk_mut() {
                isa.store16(y, to);
            }
            if let Some(bits) = bits.as_mut().and_then(Iterator::next) {
                let below = isa.less16(y, parameters.sign);
                put_word::<WIDE>(&mut bits[channel / 8..], channel, below);
            }
        }
    }
}

/// `start` and Σ w·x over a window.
#[inline(always)]
fn sums<const G: usize>(
    _: Avx512,
    start: [__m512i; 2],
    weights: &[[__m512i; 2]; G],
    window: &[u8],
) -> [__m512i; 2] {
    // A loop of fixed length is unrolled, and the weights stay where they are.
    let window: &[_; G] = window.as_chunks::<INT8_GROUP>().0.first_chunk().expect("G groups");
    let [mut low, mut high] = start;
    for k in 0..G {
        // SAFETY: an `Avx512` proves AVX-512 F and VNNI.
        unsafe {
            let x = _mm512_set1_epi32(i32::from_ne_bytes(window[k]));
            low = _mm512_dpbusd_epi32(low, x, weights[k][0]);
            high = _mm512_dpbusd_epi32(high, x, weights[k][1]);
        }
    }
    [low, high]
}
