//! What the passes of binary convolutions share: from the counts of 32 channels of a
//! pixel to the stores, for an epilogue that writes a stream and perhaps bits, with a
//! shortcut and perhaps a shifted PReLU.

// Fixed loops over indices are unrolled into registers; iterators over the same
// arrays often are not.
#![allow(clippy::needless_range_loop)]

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use super::Avx512;
use super::depthwise_pass::mean_of_four;
use super::lanes::{Left, Scale, load, store};
use crate::generic::epilogue::Parameters;
use crate::generic::lanes::{Lanes, WIDE};
use crate::layout::{BINARY_LANES, binary_lanes};
use crate::types::Shape;

/// Steps of a block that is not full, at most: it is copied to where each has 64
/// bytes.
pub(super) const SPREAD_STEPS: usize = 128;

/// Copies the weights of the last block, which is not full, to `to`; those of 32
/// channels or fewer twice, each channel's side by side.
#[inline(always)]
pub(super) fn spread(
    weights: &[u8],
    channels: usize,
    steps: usize,
    to: &mut [[u8; BINARY_LANES]; SPREAD_STEPS],
) {
    let last = channels / BINARY_LANES * BINARY_LANES;
    let stride = binary_lanes(last, channels);
    for (from, to) in weights[last * steps..].chunks_exact(stride).zip(to) {
        if stride > WIDE {
            to[..stride].copy_from_slice(from);
            continue;
        }
        for (&byte, to) in from.iter().zip(to.as_chunks_mut().0) {
            *to = [byte; 2];
        }
    }
}

/// Copies the weights of a block, `stride` of each step, to `to`: those of channels 0 and
/// 32, of 1 and 33, and so on, side by side; or those of 32 channels or fewer twice. They
/// are inverted, so that what agrees with them is counted.
#[inline(always)]
pub(super) fn interleave(
    _: Avx512,
    weights: &[u8],
    stride: usize,
    to: &mut [[u8; BINARY_LANES]; SPREAD_STEPS],
) {
    let (low, high) = (stride.min(WIDE), if stride > WIDE { WIDE } else { 0 });
    let there = [low, stride - high].map(|count| u32::MAX >> (WIDE - count));
    for (from, to) in weights.chunks_exact(stride).zip(to) {
        // SAFETY: an `Avx512` proves AVX-512 F, BW and VL; bytes past the stride are masked
        // out; the array is the 64 bytes written.
        unsafe {
            let from: *const i8 = from.as_ptr().cast();
            let even = _mm256_maskz_loadu_epi8(there[0], from);
            let odd = _mm256_maskz_loadu_epi8(there[1], from.add(high));
            let odd = _mm512_slli_epi16::<8>(_mm512_cvtepu8_epi16(odd));
            let both = _mm512_or_si512(_mm512_cvtepu8_epi16(even), odd);
            let inverted = _mm512_xor_si512(both, _mm512_set1_epi8(-1));
            _mm512_storeu_si512(to.as_mut_ptr().cast(), inverted);
        }
    }
}

/// The shift of the accumulators to the left: as far as none can saturate, and the rest.
#[derive(Clone, Copy)]
pub(super) struct Shift {
    pub(super) exact: u32,
    rest: Left,
}

impl Shift {
    /// For accumulators of at most this magnitude.
    #[inline(always)]
    pub(super) fn new(isa: Avx512, shift: u32, bound: usize) -> Shift {
        let exact = shift.min((i16::MAX as usize / bound).checked_ilog2().unwrap_or(0));
        Shift { exact, rest: Left::new(isa, shift - exact) }
    }

    /// See [`Left::far`].
    pub(super) fn far(self) -> bool {
        self.rest.far()
    }
}

/// [`To::kind`]: nothing is shifted to the left by more than one bit that may saturate.
pub(super) const NEAR: u32 = 4;

/// [`To::kind`]: anything.
pub(super) const FAR: u32 = 5;

/// Where two groups of up to 32 channels go, and how. All pointers are at the first
/// pixel of the first group.
#[derive(Clone, Copy)]
pub(super) struct To {
    pub(super) isa: Avx512,
    pub(super) shift: Shift,
    pub(super) parameters: [Parameters<Avx512, WIDE>; 2],
    /// The lanes of each group that exist.
    pub(super) there: [__mmask32; 2],
    pub(super) stream: *mut i16,
    /// Elements per pixel of the stream.
    pub(super) channels: usize,
    pub(super) bits: Option<*mut u8>,
    /// Bytes per pixel of bits.
    pub(super) bytes: usize,
    /// Of the shortcut.
    pub(super) scale: Scale,
}

impl To {
    /// What [`To::put`] is to be asked with: how many bits are left of the accumulators'
    /// shift, which are doublings, if the shortcut has none; else [`NEAR`] or [`FAR`].
    pub(super) fn kind(&self) -> u32 {
        match self.shift.rest.count() {
            doublings @ 0..NEAR if self.scale.none() => doublings,
            _ if self.shift.far() || self.scale.far() => FAR,
            _ => NEAR,
        }
    }

    /// The epilogue of the sums of group `g`, twice which, shifted, is taken from
    /// `terms`: see [`To::put_exact`].
    ///
    /// # Safety
    /// There is such a pixel.
    #[inline(always)]
    pub(super) unsafe fn put<X: Extra, const WHOLE: bool, const KIND: u32, const PRELU: bool>(
        &self,
        extra: &X,
        terms: __m512i,
        pixel: usize,
        g: usize,
        sums: __m512i,
    ) -> u32 {
        let value = self.accumulators(terms, sums);
        // SAFETY: of this function.
        unsafe { self.put_exact::<X, WHOLE, KIND, PRELU>(extra, pixel, g, value) }
    }

    /// The accumulators, shifted as far as that is exact: twice the sums, shifted, are taken
    /// from `terms`.
    #[inline(always)]
    pub(super) fn accumulators(&self, terms: __m512i, sums: __m512i) -> __m512i {
        let To { isa, shift, .. } = *self;
        isa.sub16(terms, isa.shl16(sums, shift.exact + 1))
    }

    /// The epilogue of the accumulators of group `g`, shifted as far as that is exact;
    /// which lanes are below their thresholds. WHOLE: all lanes exist;
    /// KIND: see [`To::kind`]; PRELU: there is one.
    ///
    /// # Safety
    /// There is such a pixel.
    #[inline(always)]
    pub(super) unsafe fn put_exact<
        X: Extra,
        const WHOLE: bool,
        const KIND: u32,
        const PRELU: bool,
    >(
        &self,
        extra: &X,
        pixel: usize,
        g: usize,
        mut value: __m512i,
    ) -> u32 {
        let To { isa, shift, ref parameters, there, stream, channels, scale, .. } = *self;
        let (parameters, there) = (&parameters[g], there[g]);
        match KIND {
            NEAR => value = shift.rest.apply::<false>(isa, value),
            FAR => value = shift.rest.apply::<true>(isa, value),
            doublings => {
                for _ in 0..doublings {
                    value = isa.adds16(value, value);
                }
            }
        }
        value = parameters.scale(isa, value);
        // SAFETY: of this function; `isa` proves AVX-512 F and BW.
        unsafe {
            let mut extra = extra.of::<WHOLE>(isa, pixel, g, there);
            match KIND {
                NEAR => extra = scale.apply::<false>(isa, extra),
                FAR => extra = scale.apply::<true>(isa, extra),
                _ => {}
            }
            let mut y = isa.adds16(value, extra);
            if PRELU {
                y = parameters.prelu(isa, y);
            }
            store::<WHOLE>(isa, y, stream.add(pixel * channels + g * WIDE), there);
            isa.less16(y, parameters.sign) & if WHOLE { u32::MAX } else { there }
        }
    }

    /// # Safety
    /// There is such a pixel.
    #[inline(always)]
    pub(super) unsafe fn put_bits(&self, pixel: usize, low: u32, high: u32) {
        if let Some(bits) = self.bits {
            // SAFETY: of this function.
            unsafe {
                // Two stores of masks: joining them first is an instruction more.
                let to = bits.add(pixel * self.bytes).cast::<u32>();
                to.write_unaligned(low.to_le());
                to.add(1).write_unaligned(high.to_le());
            }
        }
    }
}

/// Steps that are counted from words at once, at most; a byte counter takes so many.
pub(super) const WORDS: usize = 24;

/// Words of P registers. Aligned, and so is the stack of a function that has them: where a
/// compiler finds the registers too few, it would otherwise put 64 bytes aside across two
/// cache lines.
#[repr(align(64))]
struct Words<const P: usize>([[MaybeUninit<u32>; WORDS]; P]);

/// Steps of a loop's round.
const ROUND: usize = 8;

/// Steps from which on words are worth making.
const FEW: usize = 4;

/// Bytes of the input as words that a load spreads over a register: of the same byte four
/// times or, where two pixels share a register, of a pixel's and the next one's in turn. To
/// spread a byte takes Intel's processors an instruction, on the one port that counts bits
/// there.
#[derive(Clone, Copy)]
pub(super) struct Spreader {
    /// Where the bytes of 16 steps are, or of 8 steps of two pixels, twice.
    places: __m512i,
}

impl Spreader {
    /// PAIR: for words of two pixels. In a function that no loop which uses it is part of:
    /// what the compiler knows, it replaces by more instructions.
    #[inline(always)]
    pub(super) fn new<const PAIR: bool>(_: Avx512) -> Spreader {
        let mut places = [0; 64];
        for (lane, place) in places.iter_mut().enumerate() {
            *place = match PAIR {
                true => (lane / 4 % ROUND + lane % 2 * ROUND) as u8,
                false => (lane / 4) as u8,
            };
        }
        // SAFETY: an `Avx512` proves AVX-512 F; the array is the 64 bytes read.
        Spreader { places: unsafe { _mm512_loadu_si512(places.as_ptr().cast()) } }
    }

    /// Words of the `steps` bytes at `from`, and of those at `next`.
    ///
    /// # Safety
    /// The words of 8 bytes that `steps` end in are there.
    #[inline(always)]
    unsafe fn words<const PAIR: bool>(
        self,
        from: *const u8,
        next: usize,
        steps: usize,
        to: &mut [MaybeUninit<u32>; WORDS],
    ) {
        let Spreader { places } = self;
        let to: *mut u32 = to.as_mut_ptr().cast();
        // SAFETY: of this function; a `Spreader` proves AVX-512 F, BW and VL; there is room
        // for `WORDS`, a multiple of `ROUND`.
        unsafe {
            let half = _mm512_castsi512_si256(places);
            let mut k = 0;
            if PAIR {
                while k < steps {
                    let both = _mm_set_epi64x(
                        from.add(next + k).cast::<i64>().read_unaligned(),
                        from.add(k).cast::<i64>().read_unaligned(),
                    );
                    let bytes = _mm256_broadcastsi128_si256(both);
                    _mm256_storeu_si256(to.add(k).cast(), _mm256_shuffle_epi8(bytes, half));
                    k += ROUND;
                }
                return;
            }
            while k + ROUND < steps {
                let bytes = _mm512_broadcast_i32x4(_mm_loadu_si128(from.add(k).cast()));
                _mm512_storeu_si512(to.add(k).cast(), _mm512_shuffle_epi8(bytes, places));
                k += 2 * ROUND;
            }
            if k < steps {
                let bytes = _mm256_set1_epi64x(from.add(k).cast::<i64>().read_unaligned());
                _mm256_storeu_si256(to.add(k).cast(), _mm256_shuffle_epi8(bytes, half));
            }
        }
    }

    /// Adds to the counts of P registers, of one pixel each or of two (PAIR), what `steps`
    /// steps differ in.
    ///
    /// # Safety
    /// There are at most [`WORDS`] steps; so many rows of weights; so many bytes of each
    /// pixel, and those of the 8 that they end in; the pixels are `next` bytes apart.
    #[inline(always)]
    pub(super) unsafe fn count<const P: usize, const PAIR: bool>(
        self,
        isa: Avx512,
        mut counts: [__m512i; P],
        weights: *const u8,
        input: *const u8,
        next: usize,
        steps: usize,
    ) -> [__m512i; P] {
        let mut words = Words([[MaybeUninit::uninit(); WORDS]; P]);
        // SAFETY: of this function.
        unsafe {
            if steps < FEW {
                for k in 0..steps {
                    let input = input.add(k);
                    counts = few::<P, PAIR>(isa, counts, weights, input, next, k);
                }
                return counts;
            }
            for v in 0..P {
                let pixel = if PAIR { 2 * v } else { v };
                self.words::<PAIR>(input.add(pixel * next), next, steps, &mut words.0[v]);
            }
            let mut k = 0;
            while k + ROUND <= steps {
                for i in 0..ROUND {
                    counts = step::<P>(isa, counts, weights, &words, k + i);
                }
                k += ROUND;
            }
            while k < steps {
                counts = step::<P>(isa, counts, weights, &words, k);
                k += 1;
            }
        }
        counts
    }
}

/// Step `k` of [`Spreader::count`] without words, which would take longer to make.
///
/// # Safety
/// It has weights, and bytes at `input` and where the other pixels are.
#[inline(always)]
unsafe fn few<const P: usize, const PAIR: bool>(
    _: Avx512,
    mut counts: [__m512i; P],
    weights: *const u8,
    input: *const u8,
    next: usize,
    k: usize,
) -> [__m512i; P] {
    // SAFETY: of this function; an `Avx512` proves AVX-512 F, BW and BITALG.
    unsafe {
        let row = _mm512_loadu_si512(weights.add(k * BINARY_LANES).cast());
        for v in 0..P {
            let byte = |pixel: usize| input.add(pixel * next).cast::<i8>().read();
            let x = match PAIR {
                true => {
                    let first = _mm512_set1_epi8(byte(2 * v));
                    _mm512_mask_set1_epi8(first, 0xAAAA_AAAA_AAAA_AAAA, byte(2 * v + 1))
                }
                false => _mm512_set1_epi8(byte(v)),
            };
            let differing = _mm512_popcnt_epi8(_mm512_xor_si512(row, x));
            counts[v] = _mm512_add_epi8(counts[v], differing);
        }
    }
    counts
}

/// Step `k` of [`Spreader::count`].
///
/// # Safety
/// It has weights and words.
#[inline(always)]
unsafe fn step<const P: usize>(
    _: Avx512,
    mut counts: [__m512i; P],
    weights: *const u8,
    words: &Words<P>,
    k: usize,
) -> [__m512i; P] {
    // SAFETY: of this function; an `Avx512` proves AVX-512 F, BW and BITALG.
    unsafe {
        let row = _mm512_loadu_si512(weights.add(k * BINARY_LANES).cast());
        for v in 0..P {
            let x = _mm512_set1_epi32(words.0[v].as_ptr().cast::<i32>().add(k).read());
            let differing = _mm512_popcnt_epi8(_mm512_xor_si512(row, x));
            counts[v] = _mm512_add_epi8(counts[v], differing);
        }
    }
    counts
}

/// The byte counts of 64 channels as two groups of 32 or, if two pixels share the register
/// (PAIR), those of 32 channels of each.
#[inline(always)]
pub(super) fn groups<const PAIR: bool>(isa: Avx512, counts: __m512i) -> [__m512i; 2] {
    if !PAIR {
        return halves(isa, counts);
    }
    // SAFETY: `isa` proves AVX-512 F and BW.
    unsafe {
        let even = _mm512_and_si512(counts, _mm512_set1_epi16(0xFF));
        [even, _mm512_srli_epi16::<8>(counts)]
    }
}

/// How what agrees with [`interleave`]d weights becomes accumulators, shifted to the left
/// as far as that is exact.
#[derive(Clone, Copy)]
pub(super) struct Signed {
    /// What bytes start from: half of the products, and what agrees though it is none,
    /// below 0.
    pub(super) start: __m512i,
    /// By how much even bytes are shifted to the left, and odd ones, once they are alone.
    counts: [__m512i; 2],
}

impl Signed {
    /// Whether it can be done for sums of so many products: half of them is a number, a
    /// byte takes it, and even bytes leave their 16 bits no place for odd ones.
    #[inline(always)]
    pub(super) fn suits(products: usize, exact: u32) -> bool {
        products.is_multiple_of(2) && products <= 8 * WORDS && exact >= 7
    }

    /// For those that it [`Signed::suits`].
    #[inline(always)]
    pub(super) fn new(isa: Avx512, products: usize, exact: u32) -> Signed {
        let none = products.next_multiple_of(8) - products;
        // SAFETY: `isa` proves AVX-512 F.
        let start = unsafe { _mm512_set1_epi8(((products / 2 + none) as i8).wrapping_neg()) };
        let counts = [exact + 1, exact.wrapping_sub(7)].map(|count| isa.splat16(count as i16));
        Signed { start, counts }
    }

    /// The accumulators of even bytes, and of odd ones.
    #[inline(always)]
    pub(super) fn accumulators(&self, _: Avx512, bytes: __m512i) -> [__m512i; 2] {
        // SAFETY: an `Avx512` proves AVX-512 F and BW.
        unsafe {
            let odd = _mm512_and_si512(bytes, _mm512_set1_epi16(0xFF00_u16 as i16));
            [_mm512_sllv_epi16(bytes, self.counts[0]), _mm512_sllv_epi16(odd, self.counts[1])]
        }
    }
}

/// Bytes, zero-extended.
#[inline(always)]
pub(super) fn halves(_: Avx512, bytes: __m512i) -> [__m512i; 2] {
    // SAFETY: an `Avx512` proves AVX-512 F and BW.
    unsafe {
        [
            _mm512_cvtepu8_epi16(_mm512_castsi512_si256(bytes)),
            _mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64::<1>(bytes)),
        ]
    }
}

/// What the shortcut adds, before its shift.
pub(super) trait Extra: Copy {
    /// Whether code for every kind of shift is worth its size.
    const COMMON: bool = false;

    /// To the lanes of group `g` that are `there`; all if WHOLE.
    ///
    /// # Safety
    /// There is such a pixel.
    unsafe fn of<const WHOLE: bool>(
        &self,
        isa: Avx512,
        pixel: usize,
        g: usize,
        there: __mmask32,
    ) -> __m512i;
}

/// One load.
#[derive(Clone, Copy)]
pub(super) struct Loads {
    pub(super) from: *const i16,
    /// Elements per pixel.
    pub(super) step: usize,
    /// The first channel of each group.
    pub(super) firsts: [usize; 2],
}

impl Extra for Loads {
    const COMMON: bool = true;

    #[inline(always)]
    unsafe fn of<const WHOLE: bool>(
        &self,
        isa: Avx512,
        pixel: usize,
        g: usize,
        there: __mmask32,
    ) -> __m512i {
        // SAFETY: of this function.
        unsafe { load::<WHOLE>(isa, self.from.add(pixel * self.step + self.firsts[g]), there) }
    }
}

/// What the shortcut adds to a row.
pub(super) trait OfRow: Extra {
    /// Its pixels per side that become one.
    const POOL: usize;
    /// From its `POOL` lines, `channels` each pixel; the first channel of each group.
    fn new(lines: &[i16], output: Shape, firsts: [usize; 2]) -> Self;
}

impl OfRow for Loads {
    const POOL: usize = 1;

    #[inline(always)]
    fn new(lines: &[i16], Shape { w, c, .. }: Shape, firsts: [usize; 2]) -> Loads {
        Loads { from: lines[..w * c].as_ptr(), step: c, firsts }
    }
}

/// Means of 2×2 pixels.
#[derive(Clone, Copy)]
pub(super) struct Means {
    lines: [*const i16; 2],
    channels: usize,
    /// The first channel of each group.
    firsts: [usize; 2],
}

impl OfRow for Means {
    const POOL: usize = 2;

    #[inline(always)]
    fn new(lines: &[i16], Shape { w, c, .. }: Shape, firsts: [usize; 2]) -> Means {
        let (upper, lower) = lines.split_at(lines.len() / 2);
        let lines = [upper[..2 * w * c].as_ptr(), lower[..2 * w * c].as_ptr()];
        Means { lines, channels: c, firsts }
    }
}

impl Extra for Means {
    #[inline(always)]
    unsafe fn of<const WHOLE: bool>(
        &self,
        isa: Avx512,
        pixel: usize,
        g: usize,
        there: __mmask32,
    ) -> __m512i {
        let Means { lines, channels, firsts } = *self;
        let first = 2 * pixel * channels + firsts[g];
        // SAFETY: of this function.
        unsafe { mean_of_four::<WHOLE>(isa, lines, first, channels, there) }
    }
}
