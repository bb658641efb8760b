//! Two 16-bit values in a register, on the DSP instructions of Armv6 and Armv7E-M.
//!
//! What most layers want of an epilogue (scale, bias, a shortcut with values of
//! its own for each pixel, a shifted PReLU, a stream and perhaps its signs) for
//! two neighbouring channels at once; and the products of 8-bit layers.
//!
//! Cost of the epilogue per value: 21 instructions with shortcut, 15 without; one
//! value at a time takes 36. Signs take 6 more.

use core::arch::asm;
use core::slice::{ChunksExact, ChunksExactMut};

use crate::types::Prelu;

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
    multiplier: u32,
    bias: u32,
    before: u32,
    slope: u32,
    after: u32,
}

impl Two {
    /// Of `channel`, which is even, and the next.
    pub(super) fn new(multiplier: &[i16], bias: &[i16], prelu: &Prelu<'_>, channel: usize) -> Self {
        Two {
            multiplier: pair(multiplier, channel),
            bias: pair(bias, channel),
            before: pair(prelu.before, channel),
            slope: pair(prelu.slope, channel),
            after: pair(prelu.after, channel),
        }
    }
}

/// Adds to what stands first in each of a run two values, shifted; the pixel's pair of
/// the index `pair`.
#[inline(always)]
pub(super) fn add(
    run: &mut [[i32; 2]],
    pixels: ChunksExact<'_, [i16; 2]>,
    pair: usize,
    shift: impl Fn(i32) -> i32,
) -> Option<()> {
    for (run, pixel) in run.iter_mut().zip(pixels) {
        run[0] = plus(run[0], pixel.get(pair)?.map(|value| shift(value.into())));
    }
    Some(())
}

/// The saturated sums of a pair and two values.
#[inline(always)]
pub(super) fn plus(pair: i32, values: [i32; 2]) -> i32 {
    let [low, high] = values.map(|value| value as u32);
    qadd16(pair as u32, pack(low, high)) as i32
}

/// Sets the bits of two channels, from `channel` on, which is even, where what stands
/// first in the run is below the thresholds.
#[inline(always)]
pub(super) fn sign(
    run: &[[i32; 2]],
    thresholds: &[i16],
    channel: usize,
    pixels: ChunksExactMut<'_, u8>,
) -> Option<()> {
    let thresholds = pair(thresholds, channel);
    // In the byte, the bits of low and high half.
    let masks = 0x0002_0001 << (channel % 8);
    for (&[y, _], pixel) in run.iter().zip(pixels) {
        let below = select(y as u32, thresholds, 0, masks);
        *pixel.get_mut(channel / 8)? |= (below | below >> 16) as u8;
    }
    Some(())
}

impl Two {
    /// Scales the accumulators of a run and adds the bias: both results stand in
    /// the first of them.
    #[inline(always)]
    pub(super) fn scale(&self, run: &mut [[i32; 2]], shift: impl Fn(i32) -> i32) {
        let Two { multiplier, bias, .. } = *self;
        for run in run {
            let [low, high] = run.map(|value| shift(value) as u32);
            let scaled = over_2_15(smlabb(low, multiplier, HALF), smlabt(high, multiplier, HALF));
            run[0] = qadd16(scaled, bias) as i32;
        }
    }

    /// Applies the shifted PReLU, and stores as the pixels' pair of the index `pair`.
    #[inline(always)]
    pub(super) fn activate(
        &self,
        run: &mut [[i32; 2]],
        pixels: ChunksExactMut<'_, [i16; 2]>,
        pair: usize,
    ) -> Option<()> {
        let Two { before, slope, after, .. } = *self;
        for (run, pixel) in run.iter_mut().zip(pixels) {
            let y = run[0] as u32;
            let positive = qsub16(y, before);
            let negative = over_2_15(smlabb(positive, slope, HALF), smlatt(positive, slope, HALF));
            let y = qadd16(select(y, before, positive, negative), after);
            run[0] = y as i32;
            *pixel.get_mut(pair)? = [y as i16, (y >> 16) as i16];
        }
        Some(())
    }
}

/// Those of one line of a 3×3 window: the first two together, and the last two.
#[derive(Clone, Copy)]
pub(super) struct Weights([u32; 2]);

impl Weights {
    pub(super) fn new([a, b, c]: [i32; 3]) -> Weights {
        let [a, b, c] = [a as u32, b as u32, c as u32];
        Weights([pack(a, b), pack(b, c)])
    }

    /// Adds the products.
    #[inline(always)]
    pub(super) fn add(&self, x: [i16; 3], sum: i32) -> i32 {
        let [two, last] = self.0;
        let sum = smlad(pair(&x, 0), two, sum as u32);
        smlabt(x[2] as u32, last, sum) as i32
    }
}

/// Σ w·x of two 3×3 windows side by side, whose lines are LINE values from each other: the
/// first line of the first window is where `window` is, and one value more is read of each.
/// In one piece, whose values are as few as the registers that are left by the weights.
///
/// # Safety
/// So many values are there, at a multiple of 4 bytes; LINE is even.
#[inline(always)]
pub(super) unsafe fn two_windows<const LINE: usize>(
    weights: &[Weights; 3],
    window: *const i16,
) -> [i32; 2] {
    let [Weights([a, b]), Weights([c, d]), Weights([e, f])] = *weights;
    let (first, second): (u32, u32);
    // SAFETY: the target has the instructions, as `cfg(arm_dsp)` says; it reads what this
    // function says, and writes nothing but these registers.
    unsafe {
        asm!(
            "ldr {left}, [{window}]",
            "ldr {right}, [{window}, #4]",
            "smuad {first}, {left}, {a}",
            "smulbt {second}, {a}, {left}",
            "smlabt {first}, {right}, {b}, {first}",
            "smlad {second}, {right}, {b}, {second}",
            "ldr {left}, [{window}, #{two}]",
            "ldr {right}, [{window}, #{two} + 4]",
            "smlad {first}, {left}, {c}, {first}",
            "smlabt {second}, {c}, {left}, {second}",
            "smlabt {first}, {right}, {d}, {first}",
            "smlad {second}, {right}, {d}, {second}",
            "ldr {left}, [{window}, #{three}]",
            "ldr {right}, [{window}, #{three} + 4]",
            "smlad {first}, {left}, {e}, {first}",
            "smlabt {second}, {e}, {left}, {second}",
            "smlabt {first}, {right}, {f}, {first}",
            "smlad {second}, {right}, {f}, {second}",
            window = in(reg) window,
            a = in(reg) a, b = in(reg) b, c = in(reg) c,
            d = in(reg) d, e = in(reg) e, f = in(reg) f,
            left = out(reg) _, right = out(reg) _,
            first = out(reg) first, second = out(reg) second,
            two = const 2 * LINE, three = const 4 * LINE,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    [first as i32, second as i32]
}

/// Four weights: the even ones, and the odd ones.
pub(super) struct Four([u32; 2]);

/// Four values: the even ones, and the odd ones.
pub(super) struct Values([u32; 2]);

impl Values {
    #[inline(always)]
    pub(super) fn new(x: &[u8; 4]) -> Values {
        let x = u32::from_le_bytes(*x);
        Values([x & 0x00FF_00FF, x >> 8 & 0x00FF_00FF])
    }
}

impl Four {
    #[inline(always)]
    pub(super) fn new(weights: &[i8; 4]) -> Four {
        let weights = u32::from_le_bytes(weights.map(|weight| weight as u8));
        Four([sxtb16(weights), sxtb16_odd(weights)])
    }

    /// Adds the products.
    #[inline(always)]
    pub(super) fn add(&self, x: &Values, sum: i32) -> i32 {
        smlad(self.0[1], x.0[1], smlad(self.0[0], x.0[0], sum as u32)) as i32
    }
}
