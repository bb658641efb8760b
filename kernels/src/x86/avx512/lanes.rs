//! 32 lanes in one register of `i16`, and in two of `i32`.
//!
//! The two registers of `i32` are in the order that unpacking and packing
//! within 128-bit quarters gives: channels 0–3, 8–11, 16–19 and 24–27, then the
//! others. So widening, multiply-adding and saturating need no shuffles across
//! quarters; only loads and stores of `i32` do.
//!
//! Shifts by as much in every lane take a register of counts: a count in the lowest lane
//! of one is an instruction more on Intel's processors.

use core::arch::x86_64::*;

use super::Avx512;
use crate::generic::lanes::{Lanes, WIDE};

/// From two registers in memory's order, by the places of the 32-bit lanes:
/// those of the first register of [`Lanes::I32`], then of the second.
const FROM_MEMORY: [[i32; 16]; 2] = [
    [0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27],
    [4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31],
];

/// The way back.
const TO_MEMORY: [[i32; 16]; 2] = [
    [0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23],
    [8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31],
];

/// The 32-bit lanes of two registers at these places.
#[inline]
#[target_feature(enable = "avx512f")]
fn placed([a, b]: [__m512i; 2], places: &[[i32; 16]; 2]) -> [__m512i; 2] {
    // SAFETY: both arrays are the 64 bytes read.
    let [first, second] = unsafe {
        [
            _mm512_loadu_si512(places[0].as_ptr().cast()),
            _mm512_loadu_si512(places[1].as_ptr().cast()),
        ]
    };
    [_mm512_permutex2var_epi32(a, first, b), _mm512_permutex2var_epi32(a, second, b)]
}

impl Lanes<WIDE> for Avx512 {
    type I16 = __m512i;
    type I32 = [__m512i; 2];

    #[inline(always)]
    fn splat16(self, value: i16) -> __m512i {
        // SAFETY: `self` proves AVX-512 F.
        unsafe { _mm512_set1_epi16(value) }
    }
    #[inline(always)]
    fn load16(self, from: &[i16; WIDE]) -> __m512i {
        // SAFETY: `self` proves AVX-512 F; the array is the 64 bytes read.
        unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
    }
    /// A masked load: what may have been put in memory is loaded again at each use. Not
    /// of nothing, which has no address: a load that would fault but for its mask takes
    /// hundreds of turns.
    #[inline(always)]
    fn load16_some(self, from: &[i16]) -> __m512i {
        if from.is_empty() {
            return self.splat16(0);
        }
        let there = (1u64 << from.len().min(WIDE)) - 1;
        // SAFETY: `self` proves AVX-512 F and BW; so many elements are there.
        unsafe { _mm512_maskz_loadu_epi16(there as u32, from.as_ptr()) }
    }
    #[inline(always)]
    fn store16(self, value: __m512i, to: &mut [i16; WIDE]) {
        // SAFETY: `self` proves AVX-512 F; the array is the 64 bytes written.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), value) }
    }
    #[inline(always)]
    fn store16_bytes(self, value: __m512i, to: &mut [[u8; 2]; WIDE]) {
        // SAFETY: `self` proves AVX-512 F; the array is the 64 bytes written.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), value) }
    }
    #[inline(always)]
    fn load_u8(self, from: &[u8; WIDE]) -> __m512i {
        // SAFETY: `self` proves AVX-512 BW; the array is the 32 bytes read.
        unsafe { _mm512_cvtepu8_epi16(_mm256_loadu_si256(from.as_ptr().cast())) }
    }
    #[inline(always)]
    fn load_i8(self, from: &[i8; WIDE]) -> __m512i {
        // SAFETY: `self` proves AVX-512 BW; the array is the 32 bytes read.
        unsafe { _mm512_cvtepi8_epi16(_mm256_loadu_si256(from.as_ptr().cast())) }
    }
    #[inline(always)]
    fn mask16(self, bits: u32) -> __m512i {
        // SAFETY: `self` proves AVX-512 BW.
        unsafe { _mm512_movm_epi16(bits) }
    }
    #[inline(always)]
    fn select16(self, mask: __m512i, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` proves AVX-512 BW.
        unsafe { _mm512_mask_blend_epi16(_mm512_movepi16_mask(mask), b, a) }
    }
    #[inline(always)]
    fn add16(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` proves AVX-512 BW.
        unsafe { _mm512_add_epi16(a, b) }
    }
    #[inline(always)]
    fn sub16(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` proves AVX-512 BW.
        unsafe { _mm512_sub_epi16(a, b) }
    }
    #[inline(always)]
    fn adds16(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` proves AVX-512 BW.
        unsafe { _mm512_adds_epi16(a, b) }
    }
    #[inline(always)]
    fn subs16(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` proves AVX-512 BW.
        unsafe { _mm512_subs_epi16(a, b) }
    }
    #[inline(always)]
    fn min16(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` proves AVX-512 BW.
        unsafe { _mm512_min_epi16(a, b) }
    }
    #[inline(always)]
    fn max16(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` proves AVX-512 BW.
        unsafe { _mm512_max_epi16(a, b) }
    }
    #[inline(always)]
    fn mul16(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` proves AVX-512 BW.
        unsafe { _mm512_mullo_epi16(a, b) }
    }
    #[inline(always)]
    fn mulr16(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` proves AVX-512 BW.
        unsafe { _mm512_mulhrs_epi16(a, b) }
    }
    #[inline(always)]
    fn shl16(self, a: __m512i, count: u32) -> __m512i {
        // SAFETY: `self` proves AVX-512 BW.
        unsafe { _mm512_sllv_epi16(a, _mm512_set1_epi16(count as i16)) }
    }
    #[inline(always)]
    fn shr16(self, a: __m512i, count: u32) -> __m512i {
        // SAFETY: `self` proves AVX-512 BW.
        unsafe { _mm512_srav_epi16(a, _mm512_set1_epi16(count as i16)) }
    }
    #[inline(always)]
    fn shls16(self, a: __m512i, count: u32) -> __m512i {
        // In the upper half of 32 bits, a right shift by 16 − count is a left
        // shift by count that keeps every bit.
        // SAFETY: `self` proves AVX-512 F and BW.
        unsafe {
            let zero = _mm512_setzero_si512();
            let back = _mm512_set1_epi32(16 - count as i32);
            let low = _mm512_srav_epi32(_mm512_unpacklo_epi16(zero, a), back);
            let high = _mm512_srav_epi32(_mm512_unpackhi_epi16(zero, a), back);
            _mm512_packs_epi32(low, high)
        }
    }
    #[inline(always)]
    fn less16(self, a: __m512i, b: __m512i) -> u32 {
        // SAFETY: `self` proves AVX-512 BW.
        unsafe { _mm512_cmplt_epi16_mask(a, b) }
    }

    #[inline(always)]
    fn zero32(self) -> [__m512i; 2] {
        // SAFETY: `self` proves AVX-512 F.
        unsafe { [_mm512_setzero_si512(); 2] }
    }
    #[inline(always)]
    fn load32(self, from: &[i32; WIDE]) -> [__m512i; 2] {
        // SAFETY: `self` proves AVX-512 F; the array is the 128 bytes read.
        unsafe {
            let from: *const __m512i = from.as_ptr().cast();
            placed([_mm512_loadu_si512(from), _mm512_loadu_si512(from.add(1))], &FROM_MEMORY)
        }
    }
    #[inline(always)]
    fn store32(self, value: [__m512i; 2], to: &mut [i32; WIDE]) {
        // SAFETY: `self` proves AVX-512 F; the array is the 128 bytes written.
        unsafe {
            let to: *mut __m512i = to.as_mut_ptr().cast();
            let [first, second] = placed(value, &TO_MEMORY);
            _mm512_storeu_si512(to, first);
            _mm512_storeu_si512(to.add(1), second);
        }
    }
    #[inline(always)]
    fn widen16(self, a: __m512i) -> [__m512i; 2] {
        // SAFETY: `self` proves AVX-512 F and BW.
        unsafe {
            [
                _mm512_srai_epi32::<16>(_mm512_unpacklo_epi16(a, a)),
                _mm512_srai_epi32::<16>(_mm512_unpackhi_epi16(a, a)),
            ]
        }
    }
    #[inline(always)]
    fn saturate32(self, [low, high]: [__m512i; 2]) -> __m512i {
        // SAFETY: `self` proves AVX-512 BW.
        unsafe { _mm512_packs_epi32(low, high) }
    }
    #[inline(always)]
    fn add32(self, a: [__m512i; 2], b: [__m512i; 2]) -> [__m512i; 2] {
        // SAFETY: `self` proves AVX-512 F.
        unsafe { [_mm512_add_epi32(a[0], b[0]), _mm512_add_epi32(a[1], b[1])] }
    }
    #[inline(always)]
    fn shl32(self, a: [__m512i; 2], count: u32) -> [__m512i; 2] {
        // SAFETY: `self` proves AVX-512 F.
        unsafe {
            let count = _mm512_set1_epi32(count as i32);
            [_mm512_sllv_epi32(a[0], count), _mm512_sllv_epi32(a[1], count)]
        }
    }
    #[inline(always)]
    fn rshr32(self, a: [__m512i; 2], count: u32) -> [__m512i; 2] {
        // SAFETY: `self` proves AVX-512 F.
        unsafe {
            let half = _mm512_set1_epi32(1 << (count - 1));
            let count = _mm512_set1_epi32(count as i32);
            let [low, high] = self.add32(a, [half; 2]);
            [_mm512_srav_epi32(low, count), _mm512_srav_epi32(high, count)]
        }
    }
    #[inline(always)]
    fn less32(self, a: [__m512i; 2], b: [__m512i; 2]) -> u32 {
        // SAFETY: `self` proves AVX-512 F.
        let (first, second) =
            unsafe { (_mm512_cmplt_epi32_mask(a[0], b[0]), _mm512_cmplt_epi32_mask(a[1], b[1])) };
        apart(first) | apart(second) << 4
    }
}

/// Four bits each to the lower half of a byte.
#[inline(always)]
fn apart(bits: u16) -> u32 {
    let bytes = (u32::from(bits) | u32::from(bits) << 8) & 0x00FF_00FF;
    (bytes | bytes << 4) & 0x0F0F_0F0F
}

impl Avx512 {
    /// Two times 16 lanes of 32 bits in the order of [`Lanes::I32`].
    #[inline(always)]
    pub(super) fn in_order(self, halves: [__m512i; 2]) -> [__m512i; 2] {
        // SAFETY: `self` proves AVX-512 F.
        unsafe { placed(halves, &FROM_MEMORY) }
    }

    /// 16 lanes and the next 16 in their order, of what packing two registers gives.
    #[inline(always)]
    pub(super) fn sorted(self, packed: __m512i) -> __m512i {
        // SAFETY: `self` proves AVX-512 F.
        unsafe {
            let places = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
            _mm512_permutexvar_epi64(places, packed)
        }
    }

    /// All lanes the same.
    #[inline(always)]
    pub(super) fn splat32(self, value: i32) -> __m512i {
        // SAFETY: `self` proves AVX-512 F.
        unsafe { _mm512_set1_epi32(value) }
    }
}

/// The shift of a shortcut: one of the two is by 0.
#[derive(Clone, Copy)]
pub(super) struct Scale {
    right: Right,
    left: Left,
}

impl Scale {
    /// To the left by `shift`, −15..=15.
    #[inline(always)]
    pub(super) fn new(isa: Avx512, shift: i8) -> Scale {
        Scale {
            right: Right::new(isa, shift.min(0).unsigned_abs()),
            left: Left::new(isa, shift.max(0).unsigned_abs().into()),
        }
    }

    /// See [`Left::apply`].
    #[inline(always)]
    pub(super) fn apply<const FAR: bool>(self, isa: Avx512, x: __m512i) -> __m512i {
        self.left.apply::<FAR>(isa, self.right.apply(isa, x))
    }

    /// See [`Left::far`].
    pub(super) fn far(self) -> bool {
        self.left.far()
    }

    /// Whether it is by 0.
    pub(super) fn none(self) -> bool {
        self.right.any == 0 && self.left.none()
    }
}

/// A right shift that rounds: a multiplication that does.
#[derive(Clone, Copy)]
pub(super) struct Right {
    /// All, unless it is by 0.
    any: __mmask32,
    factor: __m512i,
}

impl Right {
    /// By `count`, 0..=15.
    #[inline(always)]
    pub(super) fn new(isa: Avx512, count: u8) -> Right {
        Right {
            any: if count > 0 { u32::MAX } else { 0 },
            factor: isa.splat16(1 << (15 - count.max(1))),
        }
    }

    /// A mask, not a branch: see [`Left::apply`].
    #[inline(always)]
    pub(super) fn apply(self, _: Avx512, x: __m512i) -> __m512i {
        // SAFETY: an `Avx512` proves AVX-512 BW.
        unsafe { _mm512_mask_mulhrs_epi16(x, self.any, x, self.factor) }
    }
}

/// A left shift that saturates. The last bit is a saturating addition; what comes before
/// it is a plain shift of what is clamped so that no more than the sign is lost, and so
/// far out that the addition saturates.
#[derive(Clone, Copy)]
pub(super) struct Left {
    /// All, if there is a last bit.
    last: __mmask32,
    /// Bits before it.
    before: u32,
    least: __m512i,
    most: __m512i,
}

impl Left {
    /// By `count`, 0..=15.
    #[inline(always)]
    pub(super) fn new(isa: Avx512, count: u32) -> Left {
        let before = count.saturating_sub(1);
        Left {
            last: if count > 0 { u32::MAX } else { 0 },
            before,
            least: isa.splat16(i16::MIN >> before),
            most: isa.splat16(i16::MAX >> before),
        }
    }

    /// Whether it is by 0.
    pub(super) fn none(self) -> bool {
        self.last == 0
    }

    /// See [`Left::new`].
    pub(super) fn count(self) -> u32 {
        if self.none() { 0 } else { self.before + 1 }
    }

    /// Whether it is by more than one bit.
    pub(super) fn far(self) -> bool {
        self.before > 0
    }

    /// A mask, not a branch: that would come between the instructions before and after.
    /// FAR if it may be by more than one bit.
    #[inline(always)]
    pub(super) fn apply<const FAR: bool>(self, isa: Avx512, mut x: __m512i) -> __m512i {
        if FAR {
            x = isa.max16(isa.min16(x, self.most), self.least);
            x = isa.shl16(x, self.before);
        }
        // SAFETY: `isa` proves AVX-512 BW.
        unsafe { _mm512_mask_adds_epi16(x, self.last, x, x) }
    }
}

/// The lanes that are `there`, the others 0; all if WHOLE.
///
/// # Safety
/// They are there.
#[inline(always)]
pub(super) unsafe fn load<const WHOLE: bool>(
    _: Avx512,
    from: *const i16,
    there: __mmask32,
) -> __m512i {
    // SAFETY: of this function; an `Avx512` proves AVX-512 F and BW.
    unsafe {
        match WHOLE {
            true => _mm512_loadu_si512(from.cast()),
            false => _mm512_maskz_loadu_epi16(there, from),
        }
    }
}

/// See [`load`].
///
/// # Safety
/// As there.
#[inline(always)]
pub(super) unsafe fn store<const WHOLE: bool>(
    _: Avx512,
    value: __m512i,
    to: *mut i16,
    there: __mmask32,
) {
    // SAFETY: of this function; an `Avx512` proves AVX-512 F and BW.
    unsafe {
        match WHOLE {
            true => _mm512_storeu_si512(to.cast(), value),
            false => _mm512_mask_storeu_epi16(to, there, value),
        }
    }
}
