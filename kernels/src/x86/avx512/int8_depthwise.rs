//! Three taps, one below the other, multiplied and added by `vpdpbusd`.
//!
//! That instruction adds four products of an unsigned by a signed byte in 32
//! bits, without saturating. A narrowed pixel x is handed to it as x + 128, and
//! what that adds to a sum, 128·Σw, is taken off the value it starts from. The
//! fourth byte is 128 with weight 0.

use core::arch::x86_64::*;
use core::ops::Range;

use super::Avx512;
use super::depthwise_pass::{FAR, NEAR, Pass, SIGNS};
use super::lanes::Scale;
use crate::generic::epilogue::Sink;
use crate::generic::int8_depthwise::{Layer, OnePass, Taps};
use crate::generic::lanes::{Lanes, Narrow, Outline, WIDE};
use crate::types::Window;

/// Four bytes per channel, in the order of the 32-bit lanes.
pub(super) type Fours = [__m512i; 2];

/// The weights of a 3×3 window.
#[derive(Clone, Copy)]
pub(crate) struct Nine {
    columns: [Fours; 3],
    /// −128·Σw.
    pub(super) start: Fours,
}

impl Taps<WIDE> for Avx512 {
    type L = Avx512;
    type Column = Fours;
    type Nine = Nine;

    #[inline(always)]
    fn lanes(self) -> Avx512 {
        self
    }
    #[inline(always)]
    fn column(self, pixels: [__m512i; 3], narrow: Narrow<Avx512, WIDE>) -> Fours {
        let mut column = pixels;
        for pixel in &mut column {
            *pixel = self.shift16(*pixel, narrow);
        }
        let [a, b, c] = column;
        self.bytes([a, b, c, b])
    }
    #[inline(always)]
    fn weights(self, w: [__m512i; 9]) -> Nine {
        let zero = self.splat16(0);
        let columns = [
            self.fours([w[0], w[3], w[6], zero], zero),
            self.fours([w[1], w[4], w[7], zero], zero),
            self.fours([w[2], w[5], w[8], zero], zero),
        ];
        let mut sum = self.zero32();
        for weight in w {
            sum = self.add32(sum, self.widen16(weight));
        }
        // SAFETY: `self` proves AVX-512 F and BW.
        let start = unsafe {
            [
                _mm512_sub_epi32(zero, _mm512_slli_epi32::<7>(sum[0])),
                _mm512_sub_epi32(zero, _mm512_slli_epi32::<7>(sum[1])),
            ]
        };
        Nine { columns, start }
    }
    #[inline(always)]
    fn nine(self, columns: [Fours; 3], weights: &Nine) -> [__m512i; 2] {
        let mut sum = weights.start;
        for (x, w) in columns.iter().zip(&weights.columns) {
            // SAFETY: `self` proves AVX-512 VNNI.
            unsafe {
                sum[0] = _mm512_dpbusd_epi32(sum[0], x[0], w[0]);
                sum[1] = _mm512_dpbusd_epi32(sum[1], x[1], w[1]);
            }
        }
        sum
    }
    #[inline(always)]
    fn add(self, sum: [__m512i; 2], x: __m512i, w: __m512i) -> [__m512i; 2] {
        // One of the two 16-bit factors that are multiplied and added is 0.
        // SAFETY: `self` proves AVX-512 BW and VNNI.
        unsafe {
            let zero = _mm512_setzero_si512();
            [
                _mm512_dpwssd_epi32(
                    sum[0],
                    _mm512_unpacklo_epi16(x, zero),
                    _mm512_unpacklo_epi16(w, zero),
                ),
                _mm512_dpwssd_epi32(
                    sum[1],
                    _mm512_unpackhi_epi16(x, zero),
                    _mm512_unpackhi_epi16(w, zero),
                ),
            ]
        }
    }
}

impl OnePass for Avx512 {
    #[inline(always)]
    fn pass<'a>(self, layer: Layer<'a>, sink: &mut Sink<'a>, rows: Range<usize>) -> bool {
        let Window { kernel_h, kernel_w, stride_h, stride_w, .. } = layer.conv.window;
        let signs = sink.thresholds().is_some();
        let usual = if signs { Some((0, 0)) } else { sink.usual(&rows, stride_w) };
        let Some((shift, left)) = usual else { return false };
        let scale = Scale::new(self, left);
        let kind = match scale.far() {
            _ if signs => SIGNS,
            false => NEAR,
            true => FAR,
        };
        match (kernel_h, kernel_w, (stride_h, stride_w), kind) {
            (3, 3, (1, 1), NEAR) => self.both::<1, NEAR>(layer, sink, rows, shift, scale),
            (3, 3, (1, 1), FAR) => self.both::<1, FAR>(layer, sink, rows, shift, scale),
            (3, 3, (1, 1), _) => self.both::<1, SIGNS>(layer, sink, rows, shift, scale),
            (3, 3, (2, 2), NEAR) => self.both::<2, NEAR>(layer, sink, rows, shift, scale),
            (3, 3, (2, 2), FAR) => self.both::<2, FAR>(layer, sink, rows, shift, scale),
            (3, 3, (2, 2), _) => self.both::<2, SIGNS>(layer, sink, rows, shift, scale),
            _ => return false,
        }
        true
    }
}

impl Avx512 {
    /// Whole groups of channels, and what is left.
    #[inline(always)]
    fn both<'a, const STRIDE: usize, const KIND: u8>(
        self,
        layer: Layer<'a>,
        sink: &mut Sink<'a>,
        rows: Range<usize>,
        shift: u32,
        scale: Scale,
    ) {
        let all = layer.conv.input.c;
        let most = all / WIDE * WIDE;
        let isa = self;
        if most > 0 {
            let (rows, channels) = (rows.clone(), 0..most);
            isa.outline(Pass::<STRIDE, true, KIND> {
                isa,
                layer,
                sink,
                rows,
                channels,
                shift,
                scale,
            });
        }
        if most < all {
            let channels = most..all;
            isa.outline(Pass::<STRIDE, false, KIND> {
                isa,
                layer,
                sink,
                rows,
                channels,
                shift,
                scale,
            });
        }
    }

    /// Four shifted pixels, one below the other.
    #[inline(always)]
    pub(super) fn bytes(self, pixels: [__m512i; 4]) -> Fours {
        // SAFETY: `self` proves AVX-512 F and BW.
        self.fours(pixels, unsafe { _mm512_set1_epi8(-128) })
    }

    /// The weights for four lines of the input, if the window's first is `down` below
    /// theirs; 0 for those that are not among the `lines` of it.
    #[inline(always)]
    pub(super) fn moved(self, whole: &Nine, down: isize, lines: usize) -> Nine {
        if down == 0 && lines >= 3 {
            return *whole;
        }
        let Nine { mut columns, .. } = *whole;
        let mut start = self.zero32();
        // SAFETY: `self` proves AVX-512 F and VNNI.
        unsafe {
            let there = self.splat32((u32::MAX >> (8 * (4 - lines.min(4)))) as i32);
            let later = _mm_cvtsi32_si128(8 * down.max(0) as i32);
            let sooner = _mm_cvtsi32_si128(8 * down.min(0).unsigned_abs() as i32);
            let most = _mm512_set1_epi8(-128);
            for column in &mut columns {
                for (weights, start) in column.iter_mut().zip(&mut start) {
                    let placed = _mm512_srl_epi32(_mm512_sll_epi32(*weights, later), sooner);
                    *weights = _mm512_and_si512(placed, there);
                    *start = _mm512_dpbusd_epi32(*start, most, *weights);
                }
            }
            let zero = _mm512_setzero_si512();
            let start = [_mm512_sub_epi32(zero, start[0]), _mm512_sub_epi32(zero, start[1])];
            Nine { columns, start }
        }
    }

    /// Four values per channel, saturated to signed bytes; then exclusive or with
    /// `flips`.
    #[inline(always)]
    fn fours(self, [a, b, c, d]: [__m512i; 4], flips: __m512i) -> Fours {
        // SAFETY: `self` proves AVX-512 F and BW.
        unsafe {
            // Within 128 bits: 8 channels of one value, then 8 of another.
            let ac = _mm512_xor_si512(_mm512_packs_epi16(a, c), flips);
            let bd = _mm512_xor_si512(_mm512_packs_epi16(b, d), flips);
            let (ab, cd) = (_mm512_unpacklo_epi8(ac, bd), _mm512_unpackhi_epi8(ac, bd));
            [_mm512_unpacklo_epi16(ab, cd), _mm512_unpackhi_epi16(ab, cd)]
        }
    }
}
