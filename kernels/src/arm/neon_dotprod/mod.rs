//! AArch64 with Advanced SIMD and its dot products: 16 products of signed bytes an
//! instruction, for the 8-bit operations. The others, and the epilogue, are NEON's.
//!
//! The intrinsics of `sdot` are not stable, so it is written as assembly.

mod image_pass;
mod int8_conv;
mod int8_depthwise;
#[cfg(feature = "std")]
mod peak;

use core::arch::aarch64::*;
use core::arch::asm;

use super::neon::{self, Neon};
use crate::generic::lanes::{Outline, Work};
use crate::generic::{self, Int8DepthwiseJob, Int8Job, cut};
use crate::isa::Isa;
use crate::passes::{depthwise, image};
use crate::table::Table;

/// Proof that the CPU has FEAT_DotProd.
#[derive(Clone, Copy)]
pub(crate) struct Dotprod {
    neon: Neon,
}

impl Dotprod {
    /// The compiler lets only code that requires the feature call this safely.
    #[target_feature(enable = "dotprod")]
    fn here() -> Dotprod {
        Dotprod { neon: Neon }
    }
}

impl Outline for Dotprod {
    #[inline(always)]
    fn outline(self, work: impl Work) {
        #[inline(never)]
        #[target_feature(enable = "dotprod")]
        fn outlined(work: impl Work) {
            work.run();
        }
        // SAFETY: `self` proves the feature.
        unsafe { outlined(work) }
    }
}

static TABLE: Table = Table {
    isa: Isa::NeonDotprod,
    binary_conv: neon::binary_conv,
    binary_depthwise: neon::binary_depthwise,
    int8_conv,
    int8_depthwise,
    global_average_pool: neon::global_average_pool,
    #[cfg(feature = "std")]
    peak: peak::peak,
};

/// The functions, if the CPU can run them.
pub(crate) fn table() -> Option<&'static Table> {
    #[cfg(feature = "std")]
    let has = std::arch::is_aarch64_feature_detected!("dotprod");
    #[cfg(not(feature = "std"))]
    let has = cfg!(target_feature = "dotprod");
    has.then_some(&TABLE)
}

#[target_feature(enable = "dotprod")]
fn int8_conv(job: Int8Job<'_>) -> Option<()> {
    let isa = Dotprod::here();
    match image::suits(&job) {
        Some(how) => image::run(isa, job, how),
        None => generic::int8_conv::run::<_, 4>(isa, job),
    }
    cut::complete()
}

#[target_feature(enable = "dotprod")]
fn int8_depthwise(job: Int8DepthwiseJob<'_>) -> Option<()> {
    depthwise::run(Dotprod::here(), job);
    cut::complete()
}

/// Adds to each of 4 lanes Σ w·x of 4 bytes; `x` has the same 4 for all, those at
/// `LANE`.
#[inline]
#[target_feature(enable = "dotprod")]
fn sdot_lane<const LANE: usize>(sum: int32x4_t, w: int8x16_t, x: int8x16_t) -> int32x4_t {
    let mut sum = sum;
    // SAFETY: the function requires the instruction, which is registers alone.
    unsafe {
        asm!(
            "sdot {sum:v}.4s, {w:v}.16b, {x:v}.4b[{lane}]",
            sum = inout(vreg) sum,
            w = in(vreg) w,
            x = in(vreg) x,
            lane = const LANE,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

/// Adds to each of 4 lanes Σ w·x of its 4 bytes.
#[inline]
#[target_feature(enable = "dotprod")]
fn sdot(sum: int32x4_t, w: int8x16_t, x: int8x16_t) -> int32x4_t {
    let mut sum = sum;
    // SAFETY: the function requires the instruction, which is registers alone.
    unsafe {
        asm!(
            "sdot {sum:v}.4s, {w:v}.16b, {x:v}.16b",
            sum = inout(vreg) sum,
            w = in(vreg) w,
            x = in(vreg) x,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}
