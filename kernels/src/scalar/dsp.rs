//! Two 16-bit values in a register, on the DSP instructions of Armv6 and Armv7E-M.
//!
//! What most layers want of an epilogue (scale, bias, a shortcut with values of
//! its own for each pixel, a shifted PReLU, a stream and perhaps its signs) for
//! two neighbouring channels at once; and the products of 8-bit layers.
//!
//! Cost of the epilogue per value: 28 instructions with shortcut, 19 without; one
//! value at a time takes 47.

use core::arch::asm;

use super::epilogue::Shift;
use crate::types::{Prelu, Sign};

/// A function of one instruction, whose operands are registers.
macro_rules! instruction {
    ($(#[$doc:meta])* $name:ident($($operand:ident),*), $text:literal) => {
        $(#[$doc])*
        #[inline(always)]
        fn $name($($operand: u32),*) -> u32 {
            let result;
            // SAFETY: the target has the instruction, as `cfg(arm_dsp)` says; it
            // reads and writes nothing but these registers.
            unsafe {
                asm!(
                    $text,
                    $($operand = in(reg) $operand,)*
                    result = lateout(reg) result,
                    options(pure, nomem, nostack, preserves_flags),
                );
            }
            result
        }
    };
}

instruction! {
    /// Saturating sums of the halves.
    qadd16(a, b), "qadd16 {result}, {a}, {b}"
}
instruction! {
    /// Saturating differences of the halves.
    qsub16(a, b), "qsub16 {result}, {a}, {b}"
}
instruction! {
    /// The product of the low halves, and `sum`.
    smlabb(a, b, sum), "smlabb {result}, {a}, {b}, {sum}"
}
instruction! {
    /// The product of low and high half, and `sum`.
    smlabt(a, b, sum), "smlabt {result}, {a}, {b}, {sum}"
}
instruction! {
    /// The product of the high halves, and `sum`.
    smlatt(a, b, sum), "smlatt {result}, {a}, {b}, {sum}"
}
instruction! {
    /// The products of low and of high halves, and `sum`.
    smlad(a, b, sum), "smlad {result}, {a}, {b}, {sum}"
}
instruction! {
    /// Bytes 0 and 2 as 16-bit values.
    sxtb16(bytes), "sxtb16 {result}, {bytes}"
}
instruction! {
    /// Bytes 1 and 3 as 16-bit values.
    sxtb16_odd(bytes), "sxtb16 {result}, {bytes}, ror #8"
}
instruction! {
    /// The low half of one, and of the other as the high half.
    pack(low, high), "pkhbt {result}, {low}, {high}, lsl #16"
}
instruction! {
    /// The low half of one, and of the other, over 2^15, as the high half.
    pack_over_2_15(low, high), "pkhbt {result}, {low}, {high}, lsl #1"
}

/// Half of 2^15: what a product is rounded by.
const HALF: u32 = 1 << 14;

/// Both values over 2^15; they fit 16 bits then.
#[inline(always)]
fn over_2_15(low: u32, high: u32) -> u32 {
    pack_over_2_15((low as i32 >> 15) as u32, high)
}

/// Of each half, `then` where `a ≥ b`, else `otherwise`.
#[inline(always)]
fn select(a: u32, b: u32, then: u32, otherwise: u32) -> u32 {
    let result;
    // SAFETY: as of the others; the flags that it sets are its own.
    unsafe {
        asm!(
            "ssub16 {difference}, {a}, {b}",
            "sel {result}, {then}, {otherwise}",
            a = in(reg) a, b = in(reg) b, then = in(reg) then, otherwise = in(reg) otherwise,
            difference = out(reg) _, result = lateout(reg) result,
            options(pure, nomem, nostack),
        );
    }
    result
}

/// Two neighbours as the halves of a register.
#[inline(always)]
fn pair(values: &[i16], at: usize) -> u32 {
    match values.get(at..at + 2) {
        Some(&[low, high]) => u32::from(low as u16) | u32::from(high as u16) << 16,
        _ => 0,
    }
}

/// What belongs to two channels; each pair in a register.
#[derive(Clone, Copy)]
pub(super) struct Two {
    shift: Shift,
    multiplier: u32,
    bias: u32,
    before: u32,
    slope: u32,
    after: u32,
}

impl Two {
    /// Of `channel`, which is even, and the next.
    pub(super) fn new(
        shift: Shift,
        multiplier: &[i16],
        bias: &[i16],
        prelu: &Prelu<'_>,
        channel: usize,
    ) -> Self {
        Two {
            shift,
            multiplier: pair(multiplier, channel),
            bias: pair(bias, channel),
            before: pair(prelu.before, channel),
            slope: pair(prelu.slope, channel),
            after: pair(prelu.after, channel),
        }
    }
}

/// Something of one pixel after the other.
pub(super) struct Pixels<T> {
    pub(super) all: T,
    /// Index of the next pixel's.
    pub(super) at: usize,
    pub(super) step: usize,
}

/// A shortcut that has values of its own for each pixel.
pub(super) struct Shortcut<'a> {
    pub(super) from: Pixels<&'a [[i16; 2]]>,
    pub(super) shift: Shift,
}

/// Signs of two channels, which share a byte.
pub(super) struct Signs<'s> {
    thresholds: u32,
    bits: Pixels<&'s mut [u8]>,
    /// In the byte, the bits of low and high half.
    masks: u32,
}

impl<'s> Signs<'s> {
    /// Of `channel`, which is even, and the next, from `pixel` on.
    pub(super) fn new(sign: &'s mut Sign<'_>, channel: usize, pixel: usize, step: usize) -> Self {
        Signs {
            thresholds: pair(sign.thresholds, channel),
            bits: Pixels { all: &mut *sign.bits, at: pixel * step + channel / 8, step },
            masks: 0x0002_0001 << (channel % 8),
        }
    }
}

/// The epilogue of a run of pixels, in a loop for each part, so that its values
/// stay in registers; what is between the loops stands in the run.
pub(super) fn put(
    two: &Two,
    run: &mut [[i32; 2]],
    shortcut: Option<Shortcut<'_>>,
    stream: Pixels<&mut [[i16; 2]]>,
    signs: Option<Signs<'_>>,
) {
    two.scale(run);
    match shortcut {
        None => {}
        Some(Shortcut { from, shift }) if shift.is_right() => {
            add(run, from, |value| shift.apply_right(value));
        }
        Some(Shortcut { from, shift }) => add(run, from, |value| shift.apply(value)),
    }
    two.activate(run, stream);
    if let Some(Signs { thresholds, bits, masks }) = signs {
        let mut at = bits.at;
        for &[y, _] in &*run {
            let below = select(y as u32, thresholds, 0, masks);
            if let Some(byte) = bits.all.get_mut(at) {
                *byte |= (below | below >> 16) as u8;
            }
            at += bits.step;
        }
    }
}

/// Adds, after a shift, two values for each pixel.
#[inline(always)]
fn add(run: &mut [[i32; 2]], from: Pixels<&[[i16; 2]]>, shift: impl Fn(i32) -> i32) {
    let mut at = from.at;
    for run in run {
        let Some(pair) = from.all.get(at) else { break };
        let [low, high] = pair.map(|value| shift(value.into()) as u32);
        run[0] = qadd16(run[0] as u32, pack(low, high)) as i32;
        at += from.step;
    }
}

impl Two {
    /// Scales the accumulators of a run and adds the bias: both results stand in
    /// the first of them.
    #[inline(always)]
    fn scale(&self, run: &mut [[i32; 2]]) {
        let Two { shift, multiplier, bias, .. } = *self;
        for run in run {
            let [low, high] = run.map(|value| shift.apply(value) as u32);
            let scaled = over_2_15(smlabb(low, multiplier, HALF), smlabt(high, multiplier, HALF));
            run[0] = qadd16(scaled, bias) as i32;
        }
    }

    /// Applies the shifted PReLU, and stores.
    #[inline(always)]
    fn activate(&self, run: &mut [[i32; 2]], stream: Pixels<&mut [[i16; 2]]>) {
        let Two { before, slope, after, .. } = *self;
        let mut at = stream.at;
        for run in run {
            let y = run[0] as u32;
            let positive = qsub16(y, before);
            let negative = over_2_15(smlabb(positive, slope, HALF), smlatt(positive, slope, HALF));
            let y = qadd16(select(y, before, positive, negative), after);
            run[0] = y as i32;
            if let Some(to) = stream.all.get_mut(at) {
                *to = [y as i16, (y >> 16) as i16];
            }
            at += stream.step;
        }
    }
}

/// The weights of a 3×3 window: of each line the first two together, and the third.
pub(super) fn weights(weights: &[[i32; 3]; 3]) -> [[u32; 2]; 3] {
    weights.map(|[a, b, c]| [u32::from(a as u16) | u32::from(b as u16) << 16, c as u32])
}

/// Σ w·x of one 3×3 window.
#[inline(always)]
pub(super) fn window(window: &[[i16; 3]; 3], weights: &[[u32; 2]; 3]) -> i32 {
    let mut sum = 0;
    for (window, weights) in window.iter().zip(weights) {
        sum = smlad(pair(window, 0), weights[0], sum);
        sum = sum.wrapping_add((weights[1] as i32).wrapping_mul(window[2].into()) as u32);
    }
    sum as i32
}

/// Σ w·x of two channels over values `x`, whose weights, 4 and 4 of them, follow
/// `stride` bytes further on for the next four values.
pub(super) fn dots(weights: &[i8], stride: usize, x: &[u8]) -> [i32; 2] {
    let mut sums = [0; 2];
    let mut at = 0;
    for &x in x.as_chunks().0 {
        let Some(&[a, b, c, d, e, f, g, h]) = weights.get(at..at + 8) else { break };
        let x = u32::from_le_bytes(x);
        let (even, odd) = (x & 0x00FF_00FF, x >> 8 & 0x00FF_00FF);
        for (sum, weights) in sums.iter_mut().zip([[a, b, c, d], [e, f, g, h]]) {
            let weights = u32::from_le_bytes(weights.map(|weight| weight as u8));
            *sum = smlad(sxtb16(weights), even, *sum);
            *sum = smlad(sxtb16_odd(weights), odd, *sum);
        }
        at += stride;
    }
    sums.map(|sum| sum as i32)
}
