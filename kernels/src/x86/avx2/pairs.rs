//! Counts of differing bits, looked up by nibbles for two pixels at once: a byte of a row
//! holds what one pixel's nibble differs by in its low half, the other's in its high half.
//! Three steps, of up to 4 bits each, fit into a half. A sum of bytes that wraps takes them
//! all; the high halves are kept apart as well, by averages, which halve what they add and
//! so never overflow; from both come the low ones. For 32 channels, 12 steps of two pixels
//! are 33 operations, where one pixel at a time takes 48.

// Fixed loops over indices are unrolled into registers; iterators over the same
// arrays often are not.
#![allow(clippy::needless_range_loop)]

use core::arch::asm;
use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use super::Avx2;
use crate::generic::lanes::{LANES, Lanes};
use crate::layout::BINARY_LANES;

/// Byte counters in a register.
pub(super) const VECTOR: usize = 32;

/// Pixels whose counts share bytes.
pub(super) const PAIR: usize = 2;

/// Steps (4 input channels each) whose counts are added before halves are taken apart.
pub(super) const THREE: usize = 3;

/// Such threes whose high halves are averaged.
const FOUR: usize = 4;

/// Threes after which counters of bytes must be widened, a multiple of [`FOUR`]: a step
/// adds at most 4.
pub(super) const THREES: usize = 20;
const _: () = assert!(THREES * THREE * 4 <= 255 && THREES.is_multiple_of(FOUR));

/// Bytes of a pixel that become indices at a time.
pub(super) const PIECE: usize = 16;

/// For a nibble of each of two pixels, the first in the low half of the index: in how many
/// bits it differs from any nibble, the first's in the low half of a byte.
#[repr(align(64))]
struct Rows([[u8; 16]; 256]);

static ROWS: Rows = {
    let mut rows = [[0; 16]; 256];
    let mut x = 0usize;
    while x < 256 {
        let mut w = 0;
        while w < 16 {
            let (first, second) = (((x & 15) ^ w).count_ones(), (x >> 4 ^ w).count_ones());
            rows[x][w] = (first | second << 4) as u8;
            w += 1;
        }
        x += 1;
    }
    Rows(rows)
};

/// The nibbles of `count` of the `stride` channels of a block, from the `first` on: in each
/// register those of 16 channels and of 16 more in turn, or those of 16 or fewer in both
/// halves; zeros up to a multiple of three steps.
#[inline(always)]
pub(super) fn split(
    isa: Avx2,
    weights: &[u8],
    stride: usize,
    first: usize,
    count: usize,
    to: &mut [MaybeUninit<__m256i>],
) {
    let registers = count.div_ceil(VECTOR);
    let (split, rest) = to.split_at_mut(weights.len() / stride * 2 * registers);
    let to = split.chunks_exact_mut(2 * registers);
    for (row, to) in weights.chunks_exact(stride).zip(to) {
        let mut bytes = [0; BINARY_LANES];
        bytes[..count].copy_from_slice(&row[first..first + count]);
        if count <= LANES {
            bytes.copy_within(..LANES, LANES);
        }
        let (low, high) = to.split_at_mut(registers);
        for (r, (low, high)) in low.iter_mut().zip(high).enumerate() {
            // SAFETY: an `Avx2` proves AVX2; 32 bytes each are read from 0 and 32 of 64.
            unsafe {
                let mut bytes = _mm256_loadu_si256(bytes.as_ptr().add(r * VECTOR).cast());
                if count > LANES {
                    bytes = _mm256_permute4x64_epi64::<0b11_01_10_00>(bytes);
                    bytes = _mm256_unpacklo_epi8(bytes, _mm256_srli_si256::<8>(bytes));
                }
                let nibble = _mm256_set1_epi8(0x0F);
                low.write(_mm256_and_si256(bytes, nibble));
                high.write(_mm256_and_si256(_mm256_srli_epi16::<4>(bytes), nibble));
            }
        }
    }
    for to in rest.iter_mut().take((THREE - 1) * registers) {
        to.write(isa.splat16(0));
    }
}

/// The indices of two runs of so many bytes, a multiple of 8, the second `apart` from the
/// first; and zeros up to a whole piece.
///
/// # Safety
/// There are so many bytes of each.
#[inline(always)]
pub(super) unsafe fn interleave(
    _: Avx2,
    pixels: *const u8,
    apart: usize,
    bytes: usize,
    indices: &mut [u8],
) {
    for (at, to) in (0..bytes).step_by(PIECE).zip(indices.as_chunks_mut::<{ 2 * PIECE }>().0) {
        // SAFETY: of this function; an `Avx2` proves AVX2; `to` is the 32 bytes written.
        unsafe {
            let from = pixels.add(at);
            let (a, b) = if at + PIECE <= bytes {
                (_mm_loadu_si128(from.cast()), _mm_loadu_si128(from.add(apart).cast()))
            } else {
                (_mm_loadl_epi64(from.cast()), _mm_loadl_epi64(from.add(apart).cast()))
            };
            // What the high nibbles of `a` and the low ones of `b` differ by is in both
            // when they change places.
            let other = _mm_and_si128(_mm_xor_si128(_mm_srli_epi16::<4>(a), b), _mm_set1_epi8(15));
            let low = _mm_xor_si128(a, _mm_slli_epi16::<4>(other));
            let high = _mm_xor_si128(b, other);
            let to: *mut __m128i = to.as_mut_ptr().cast();
            _mm_storeu_si128(to, _mm_unpacklo_epi8(low, high));
            _mm_storeu_si128(to.add(1), _mm_unpackhi_epi8(low, high));
        }
    }
}

/// Threes of steps of two pixels and 32·R channels: what each adds, the first pixel's in
/// the low nibbles.
pub(super) trait Threes<const R: usize> {
    /// # Safety
    /// There are so many.
    unsafe fn three(&self, isa: Avx2, at: usize) -> [__m256i; R];
}

/// Those of a tile.
pub(super) struct Found {
    pub(super) indices: *const u8,
    pub(super) weights: *const __m256i,
}

impl<const R: usize> Threes<R> for Found {
    #[inline(always)]
    unsafe fn three(&self, isa: Avx2, at: usize) -> [__m256i; R] {
        let mut sums = [isa.splat16(0); R];
        for step in 0..THREE {
            // SAFETY: of this function; `isa` proves AVX2.
            unsafe {
                let index = self.indices.add(THREE * at + step).read();
                let row = _mm_load_si128(ROWS.0.as_ptr().add(index.into()).cast());
                let row = _mm256_broadcastsi128_si256(row);
                let weights = self.weights.add((THREE * at + step) * R);
                for r in 0..R {
                    let found = _mm256_shuffle_epi8(row, weights.add(r).read());
                    sums[r] = if step == 0 { found } else { _mm256_add_epi8(sums[r], found) };
                }
            }
        }
        sums
    }
}

/// In how many bits either pixel differs from each channel in so many threes, up to
/// [`THREES`]; and what that starts from.
///
/// # Safety
/// There are so many.
#[inline(always)]
pub(super) unsafe fn count<const R: usize>(
    isa: Avx2,
    from: impl Threes<R>,
    threes: usize,
    start: __m256i,
) -> [[__m256i; R]; PAIR] {
    let zero = isa.splat16(0);
    let mut all = [start; R];
    let mut second = [zero; R];
    let mut done = 0;
    // SAFETY: of this function; `isa` proves AVX2.
    unsafe {
        while done + FOUR <= threes {
            let (a, b) = (from.three(isa, done), from.three(isa, done + 1));
            let mut half = [zero; R];
            for r in 0..R {
                all[r] = _mm256_add_epi8(_mm256_add_epi8(all[r], a[r]), b[r]);
                half[r] = average(high(isa, a[r]), high(isa, b[r]));
            }
            let (a, b) = (from.three(isa, done + 2), from.three(isa, done + 3));
            for r in 0..R {
                all[r] = _mm256_add_epi8(_mm256_add_epi8(all[r], a[r]), b[r]);
                let other_half = average(high(isa, a[r]), high(isa, b[r]));
                // A quarter of 16 times the sum: a shift leaves nothing of a neighbour.
                let quarter = average(half[r], other_half);
                second[r] = _mm256_add_epi8(second[r], _mm256_srli_epi16::<2>(quarter));
            }
            done += FOUR;
        }
        while done < threes {
            let a = from.three(isa, done);
            for r in 0..R {
                all[r] = _mm256_add_epi8(all[r], a[r]);
                let once = _mm256_srli_epi16::<4>(high(isa, a[r]));
                second[r] = _mm256_add_epi8(second[r], once);
            }
            done += 1;
        }
        let mut first = [zero; R];
        for r in 0..R {
            // Without what neighbours would shift into each other.
            let low = _mm256_and_si256(second[r], _mm256_set1_epi8(15));
            first[r] = _mm256_sub_epi8(all[r], _mm256_slli_epi16::<4>(low));
            second[r] = _mm256_add_epi8(second[r], start);
        }
        [first, second]
    }
}

/// Half of the sum of bytes, rounded up. The compiler, which sees that there is nothing to
/// round, would take it apart.
#[inline]
#[target_feature(enable = "avx2")]
fn average(a: __m256i, b: __m256i) -> __m256i {
    let average;
    // SAFETY: it reads and writes these registers.
    unsafe {
        asm!(
            "vpavgb {}, {}, {}", out(ymm_reg) average, in(ymm_reg) a, in(ymm_reg) b,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    average
}

/// The high nibbles, where they are.
#[inline(always)]
fn high(_: Avx2, bytes: __m256i) -> __m256i {
    // SAFETY: an `Avx2` proves AVX2.
    unsafe { _mm256_and_si256(bytes, _mm256_set1_epi8(-16)) }
}

/// Sums of 16 bits that 32 counters become: what even and odd ones are, 256 times as much,
/// together, and what odd ones are.
pub(super) type Wide = [__m256i; 2];

#[inline(always)]
pub(super) fn widened(_: Avx2, bytes: __m256i) -> Wide {
    // SAFETY: an `Avx2` proves AVX2.
    [bytes, unsafe { _mm256_srli_epi16::<8>(bytes) }]
}

#[inline(always)]
pub(super) fn with(isa: Avx2, a: Wide, b: Wide) -> Wide {
    [isa.add16(a[0], b[0]), isa.add16(a[1], b[1])]
}

/// The sums of the first 16 channels and of the others.
#[inline(always)]
pub(super) fn groups(isa: Avx2, [all, odd]: Wide) -> [__m256i; 2] {
    // SAFETY: an `Avx2` proves AVX2.
    [isa.sub16(all, unsafe { _mm256_slli_epi16::<8>(odd) }), odd]
}
