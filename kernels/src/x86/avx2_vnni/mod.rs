//! x86-64 with AVX2 and AVX-VNNI: 32 products of an unsigned by a signed byte an
//! instruction, added to 32 bits without saturating, for the 8-bit operations. The others,
//! and the epilogue, are AVX2's.

mod image_pass;
mod int8_conv;
mod int8_depthwise;
#[cfg(feature = "std")]
mod peak;

use core::arch::x86_64::*;

use super::avx2::{self, Avx2};
use crate::generic::lanes::{Outline, Work};
use crate::generic::{self, Int8DepthwiseJob, Int8Job, cut};
use crate::isa::Isa;
use crate::passes::{depthwise, image};
use crate::table::Table;

/// Proof that the CPU has AVX2 and AVX-VNNI.
#[derive(Clone, Copy)]
pub(crate) struct Avx2Vnni {
    avx2: Avx2,
}

/// Four bytes per channel, in the order of AVX2's 32-bit lanes.
type Fours = [__m256i; 2];

impl Avx2Vnni {
    /// The compiler lets only code that requires the features call this safely.
    #[target_feature(enable = "avx2,avxvnni")]
    fn here() -> Avx2Vnni {
        Avx2Vnni { avx2: Avx2::here() }
    }

    /// Adds to each channel Σ x·w of its four bytes, x unsigned.
    #[inline(always)]
    fn multiply(self, sums: Fours, x: Fours, w: Fours) -> Fours {
        // SAFETY: `self` proves AVX-VNNI.
        unsafe {
            [
                _mm256_dpbusd_avx_epi32(sums[0], x[0], w[0]),
                _mm256_dpbusd_avx_epi32(sums[1], x[1], w[1]),
            ]
        }
    }
}

impl Outline for Avx2Vnni {
    #[inline(always)]
    fn outline(self, work: impl Work) {
        #[inline(never)]
        #[target_feature(enable = "avx2,avxvnni")]
        fn outlined(work: impl Work) {
            work.run();
        }
        // SAFETY: `self` proves the features.
        unsafe { outlined(work) }
    }
}

static TABLE: Table = Table {
    isa: Isa::Avx2Vnni,
    binary_conv: avx2::binary_conv,
    binary_depthwise: avx2::binary_depthwise,
    int8_conv,
    int8_depthwise,
    global_average_pool: avx2::global_average_pool,
    #[cfg(feature = "std")]
    peak: peak::peak,
};

/// The functions, if the CPU can run them.
pub(crate) fn table() -> Option<&'static Table> {
    #[cfg(feature = "std")]
    let has = std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("avxvnni");
    #[cfg(not(feature = "std"))]
    let has = cfg!(all(target_feature = "avx2", target_feature = "avxvnni"));
    has.then_some(&TABLE)
}

#[target_feature(enable = "avx2,avxvnni")]
fn int8_conv(job: Int8Job<'_>) -> Option<()> {
    let isa = Avx2Vnni::here();
    match image::suits(&job) {
        Some(how) => image::run(isa, job, how),
        None => generic::int8_conv::run::<_, 4>(isa, job),
    }
    cut::complete()
}

#[target_feature(enable = "avx2,avxvnni")]
fn int8_depthwise(job: Int8DepthwiseJob<'_>) -> Option<()> {
    depthwise::run(Avx2Vnni::here(), job);
    cut::complete()
}
