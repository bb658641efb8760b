//! x86-64 with AVX2: 32 byte lanes, 16 lanes of `i16`.

mod binary_conv;
mod binary_depthwise;
mod binary_depthwise_pass;
mod depthwise_pass;
pub(in crate::x86) mod image_pass;
mod int8_conv;
mod int8_depthwise;
pub(in crate::x86) mod lanes;
mod outputs;
mod pairs;
mod pass_lanes;
#[cfg(feature = "std")]
pub(in crate::x86) mod peak;
mod pointwise_pass;
mod shift;
mod window_pass;

use crate::generic::binary_depthwise::Word;
use crate::generic::lanes::{LANES, Outline, Work};
use crate::generic::{self, BinaryJob, Int8DepthwiseJob, Int8Job, PoolJob, cut};
use crate::isa::Isa;
use crate::passes::{depthwise, image};
use crate::table::Table;

/// Proof that the CPU has AVX2.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// The compiler lets only code that requires AVX2 call this safely.
    #[target_feature(enable = "avx2")]
    pub(in crate::x86) fn here() -> Avx2 {
        Avx2(())
    }
}

impl Outline for Avx2 {
    #[inline(always)]
    fn outline(self, work: impl Work) {
        #[inline(never)]
        #[target_feature(enable = "avx2")]
        fn outlined(work: impl Work) {
            work.run();
        }
        // SAFETY: `self` proves AVX2.
        unsafe { outlined(work) }
    }
}

static TABLE: Table = Table {
    isa: Isa::Avx2,
    binary_conv,
    binary_depthwise,
    int8_conv,
    int8_depthwise,
    global_average_pool,
    #[cfg(feature = "std")]
    peak: peak::peak,
};

/// The functions, if the CPU can run them.
pub(crate) fn table() -> Option<&'static Table> {
    #[cfg(feature = "std")]
    let has = std::arch::is_x86_feature_detected!("avx2");
    #[cfg(not(feature = "std"))]
    let has = cfg!(target_feature = "avx2");
    has.then_some(&TABLE)
}

#[target_feature(enable = "avx2")]
pub(in crate::x86) fn binary_conv(job: BinaryJob<'_>) -> Option<()> {
    let isa = Avx2::here();
    match generic::pooled::suits(&job) {
        true => {
            generic::pooled::run::<LANES, _, _>(isa, isa, job, |job| binary_conv_unpooled(isa, job))
        }
        false => binary_conv_unpooled(isa, job),
    }
    cut::complete()
}

#[inline(never)]
#[target_feature(enable = "avx2")]
fn binary_conv_unpooled(isa: Avx2, job: BinaryJob<'_>) {
    if pointwise_pass::suits(&job) {
        pointwise_pass::run(isa, job);
    } else if window_pass::suits(&job) {
        window_pass::run(isa, job);
    } else {
        generic::binary_conv::run::<Avx2, 3>(isa, job);
    }
}

#[target_feature(enable = "avx2")]
pub(in crate::x86) fn binary_depthwise(job: BinaryJob<'_>) -> Option<()> {
    let isa = Avx2::here();
    match binary_depthwise_pass::suits(&job) {
        true => binary_depthwise_pass::run(isa, job),
        false => generic::binary_depthwise::run(isa, isa, isa, Word, job),
    }
    cut::complete()
}

#[target_feature(enable = "avx2")]
fn int8_conv(job: Int8Job<'_>) -> Option<()> {
    let isa = Avx2::here();
    match image::suits(&job) {
        Some(how) => image::run(isa, job, how),
        None => generic::int8_conv::run::<_, 3>(isa, job),
    }
    cut::complete()
}

#[target_feature(enable = "avx2")]
fn int8_depthwise(job: Int8DepthwiseJob<'_>) -> Option<()> {
    let isa = Avx2::here();
    depthwise::run(isa, job);
    cut::complete()
}

#[target_feature(enable = "avx2")]
pub(in crate::x86) fn global_average_pool(job: PoolJob<'_>) -> Option<()> {
    generic::pool::run(Avx2::here(), job);
    cut::complete()
}
