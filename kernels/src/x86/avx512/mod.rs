//! x86-64 with AVX-512: 64 byte lanes with their own popcount, 512 channels in
//! a register of bits, products that add. The epilogue is that of AVX2, which
//! every such CPU has.

mod binary_conv;
mod binary_depthwise;
mod binary_depthwise_pass;
mod binary_put;
mod depthwise_pass;
mod image_pass;
mod int8_conv;
mod int8_depthwise;
mod lanes;
#[cfg(feature = "std")]
mod peak;
mod pointwise_pass;
mod sixteen_pass;
mod stem_pass;
mod window_pass;

use super::avx2::Avx2;
use crate::generic::lanes::{Outline, WIDE, Work};
use crate::generic::{self, BinaryJob, Int8DepthwiseJob, Int8Job, PoolJob, cut};
use crate::isa::Isa;
use crate::table::Table;

/// Proof that the CPU has AVX-512 F, BW, VL, VNNI and BITALG.
#[derive(Clone, Copy)]
pub(crate) struct Avx512 {
    avx2: Avx2,
}

impl Avx512 {
    /// The compiler lets only code that requires the features call this safely.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512bitalg")]
    fn here() -> Avx512 {
        Avx512 { avx2: Avx2::here() }
    }
}

impl Outline for Avx512 {
    #[inline(always)]
    fn outline(self, work: impl Work) {
        #[inline(never)]
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512bitalg")]
        fn outlined(work: impl Work) {
            work.run();
        }
        // SAFETY: `self` proves the features.
        unsafe { outlined(work) }
    }
}

static TABLE: Table = Table {
    isa: Isa::Avx512,
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
    let has = std::arch::is_x86_feature_detected!("avx512f")
        && std::arch::is_x86_feature_detected!("avx512bw")
        && std::arch::is_x86_feature_detected!("avx512vl")
        && std::arch::is_x86_feature_detected!("avx512vnni")
        && std::arch::is_x86_feature_detected!("avx512bitalg");
    #[cfg(not(feature = "std"))]
    let has = cfg!(all(
        target_feature = "avx512f",
        target_feature = "avx512bw",
        target_feature = "avx512vl",
        target_feature = "avx512vnni",
        target_feature = "avx512bitalg"
    ));
    has.then_some(&TABLE)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512bitalg")]
fn binary_conv(job: BinaryJob<'_>) -> Option<()> {
    let isa = Avx512::here();
    match generic::pooled::suits(&job) {
        true => {
            let kernel = |job: BinaryJob<'_>| binary_conv_unpooled(isa, job);
            generic::pooled::run::<WIDE, _, _>(isa, isa.avx2, job, kernel);
        }
        false => binary_conv_unpooled(isa, job),
    }
    cut::complete()
}

#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512bitalg")]
fn binary_conv_unpooled(isa: Avx512, job: BinaryJob<'_>) {
    if let Some(shifts) = pointwise_pass::suits(isa, &job) {
        match sixteen_pass::suits(&job) {
            true => sixteen_pass::run(isa, job, shifts),
            false => pointwise_pass::run(isa, job, shifts),
        }
    } else if let Some(shifts) = window_pass::suits(isa, &job) {
        window_pass::run(isa, job, shifts);
    } else {
        generic::binary_conv::run::<Avx512, 4>(isa, job);
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512bitalg")]
fn binary_depthwise(job: BinaryJob<'_>) -> Option<()> {
    let isa = Avx512::here();
    match binary_depthwise_pass::suits(isa, &job) {
        Some(shifts) => binary_depthwise_pass::run(isa, job, shifts),
        None => generic::binary_depthwise::run(isa, isa.avx2, isa, isa.avx2, job),
    }
    cut::complete()
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512bitalg")]
fn int8_conv(job: Int8Job<'_>) -> Option<()> {
    let isa = Avx512::here();
    match job.usual_image() {
        Some(how) => image_pass::run(isa, job, how),
        None => generic::int8_conv::run::<_, 8>(isa, job),
    }
    cut::complete()
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512bitalg")]
fn int8_depthwise(job: Int8DepthwiseJob<'_>) -> Option<()> {
    let avx512 = Avx512::here();
    generic::int8_depthwise::run_wide(avx512, avx512.avx2, job);
    cut::complete()
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512bitalg")]
fn global_average_pool(job: PoolJob<'_>) -> Option<()> {
    generic::pool::run(Avx512::here().avx2, job);
    cut::complete()
}
