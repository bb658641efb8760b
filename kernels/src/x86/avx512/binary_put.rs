//! What the passes of binary convolutions share: from the counts of 32 channels of a
//! pixel to the stores, for an epilogue that writes a stream and perhaps bits, with a
//! shortcut and perhaps a shifted PReLU.

use core::arch::x86_64::*;
use core::ops::Range;

use super::Avx512;
use super::depthwise_pass::mean_of_four;
use super::lanes::{Left, Scale, load, store};
use crate::generic::epilogue::Parameters;
use crate::generic::lanes::{Lanes, WIDE};
use crate::layout::{BINARY_LANES, binary_lanes};
use crate::types::{Shape, Shortcut};

/// Steps of a block that is not full, at most: it is copied to where each has 64
/// bytes.
pub(super) const SPREAD_STEPS: usize = 128;

/// Copies the weights of the last block, which is not full, to `to`; those of 32
/// channels or fewer twice.
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
        to[..stride].copy_from_slice(from);
        if stride <= WIDE {
            to.copy_within(..WIDE, WIDE);
        }
    }
}

/// Whether [`OfRow`] does for these rows of the output: a shortcut of as many channels,
/// pixel by pixel or from 2×2 that are all there.
#[inline(always)]
pub(super) fn by_row(taken: &Shortcut<'_>, output: Shape, rows: &Range<usize>) -> bool {
    let Shape { h, w, c } = taken.shape;
    c == output.c
        && match taken.pool {
            1 => w == output.w,
            2 => 2 * rows.end <= h && 2 * output.w <= w,
            _ => false,
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
    /// Whether [`To::put`] is to be asked with FAR.
    pub(super) fn far(&self) -> bool {
        self.shift.far() || self.scale.far()
    }

    /// Whether nothing is shifted but what is exact.
    pub(super) fn plain(&self) -> bool {
        self.shift.rest.none() && self.scale.none()
    }

    /// The epilogue of the sums of group `g`, twice which, shifted, is taken from
    /// `terms`: see [`To::put_exact`].
    ///
    /// # Safety
    /// There is such a pixel.
    #[inline(always)]
    pub(super) unsafe fn put<
        X: Extra,
        const WHOLE: bool,
        const FAR: bool,
        const PLAIN: bool,
        const PRELU: bool,
    >(
        &self,
        extra: &X,
        terms: __m512i,
        pixel: usize,
        g: usize,
        sums: __m512i,
    ) -> u32 {
        let To { isa, shift, .. } = *self;
        let value = isa.sub16(terms, isa.shl16(sums, shift.exact + 1));
        // SAFETY: of this function.
        unsafe { self.put_exact::<X, WHOLE, FAR, PLAIN, PRELU>(extra, pixel, g, value) }
    }

    /// The epilogue of the accumulators of group `g`, shifted as far as that is exact;
    /// which lanes are below their thresholds. WHOLE: all lanes exist; FAR: see
    /// [`Left::apply`]; PLAIN: see [`To::plain`]; PRELU: there is one.
    ///
    /// # Safety
    /// There is such a pixel.
    #[inline(always)]
    pub(super) unsafe fn put_exact<
        X: Extra,
        const WHOLE: bool,
        const FAR: bool,
        const PLAIN: bool,
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
        if !PLAIN {
            value = shift.rest.apply::<FAR>(isa, value);
        }
        value = parameters.scale(isa, value);
        // SAFETY: of this function; `isa` proves AVX-512 F and BW.
        unsafe {
            let mut extra = extra.of::<WHOLE>(isa, pixel, g, there);
            if !PLAIN {
                extra = scale.apply::<FAR>(isa, extra);
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
            let word = u64::from(low) | u64::from(high) << 32;
            // SAFETY: of this function.
            unsafe { bits.add(pixel * self.bytes).cast::<u64>().write_unaligned(word.to_le()) };
        }
    }
}

/// A byte in the lower 32 lanes and the one `pixel` bytes further on in the others.
///
/// # Safety
/// Both are there.
#[inline(always)]
pub(super) unsafe fn both(_: Avx512, from: *const u8, pixel: usize) -> __m512i {
    // SAFETY: of this function; an `Avx512` proves AVX-512 BW.
    unsafe {
        let low = _mm512_set1_epi8(from.cast::<i8>().read());
        let high = from.add(pixel).cast::<i8>().read();
        _mm512_mask_set1_epi8(low, 0xFFFF_FFFF_0000_0000, high)
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
