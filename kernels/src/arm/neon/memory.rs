//! The loads and stores of whole registers, under the names of the intrinsics.
//!
//! A target without an operating system does not promise that memory may be
//! accessed across its alignment, and there the compiler makes an access per
//! byte of an intrinsic that needs the alignment of its elements alone. So do
//! `ld1` and `st1`, on any memory, in one instruction.

#[cfg(not(target_os = "none"))]
pub(in crate::arm) use core::arch::aarch64::{
    vld1_s16, vld1_u8, vld1q_s8, vld1q_s16, vld1q_s32, vld1q_u8, vst1q_s16, vst1q_s32, vst1q_u8,
};

#[cfg(target_os = "none")]
pub(in crate::arm) use bare::*;

#[cfg(target_os = "none")]
mod bare {
    use core::arch::aarch64::*;
    use core::arch::asm;

    macro_rules! load {
        ($name:ident, $element:ty, $register:ty, $arranged:literal) => {
            /// # Safety
            /// `from` is aligned, and as many elements as fill the register can be read.
            #[inline(always)]
            pub(in crate::arm) unsafe fn $name(from: *const $element) -> $register {
                let value;
                // SAFETY: the target has NEON; the caller answers for the memory.
                unsafe {
                    asm!(
                        concat!("ld1 {{{value:v}.", $arranged, "}}, [{from}]"),
                        value = out(vreg) value,
                        from = in(reg) from,
                        options(pure, readonly, nostack, preserves_flags),
                    );
                }
                value
            }
        };
    }

    macro_rules! store {
        ($name:ident, $element:ty, $register:ty, $arranged:literal) => {
            /// # Safety
            /// `to` is aligned, and as many elements as fill the register can be written.
            #[inline(always)]
            pub(in crate::arm) unsafe fn $name(to: *mut $element, value: $register) {
                // SAFETY: the target has NEON; the caller answers for the memory.
                unsafe {
                    asm!(
                        concat!("st1 {{{value:v}.", $arranged, "}}, [{to}]"),
                        value = in(vreg) value,
                        to = in(reg) to,
                        options(nostack, preserves_flags),
                    );
                }
            }
        };
    }

    load!(vld1_u8, u8, uint8x8_t, "8b");
    load!(vld1_s16, i16, int16x4_t, "4h");
    load!(vld1q_u8, u8, uint8x16_t, "16b");
    load!(vld1q_s8, i8, int8x16_t, "16b");
    load!(vld1q_s16, i16, int16x8_t, "8h");
    load!(vld1q_s32, i32, int32x4_t, "4s");
    store!(vst1q_u8, u8, uint8x16_t, "16b");
    store!(vst1q_s16, i16, int16x8_t, "8h");
    store!(vst1q_s32, i32, int32x4_t, "4s");
}
