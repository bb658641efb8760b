//! AArch64 with Advanced SIMD: 16 byte lanes, 8 lanes of `i16`.
//!
//! The instruction set is part of the target, so nothing is detected, and no
//! function needs an attribute: where a build may not use it, this module is
//! not compiled.

mod binary_conv;
mod binary_depthwise;
mod image_pass;
mod int8_conv;
mod int8_depthwise;
mod lanes;
pub(super) mod memory;
mod pass_lanes;
#[cfg(feature = "std")]
pub(super) mod peak;
mod pointwise_pass;

use crate::generic::binary_depthwise::Word;
use crate::generic::lanes::{LANES, Outline, Work};
use crate::generic::{self, BinaryJob, Int8DepthwiseJob, Int8Job, PoolJob, cut};
use crate::isa::Isa;
use crate::passes::{depthwise, image};
use crate::table::Table;

/// Every CPU of the target has NEON.
#[derive(Clone, Copy)]
pub(crate) struct Neon;

impl Outline for Neon {
    #[inline(never)]
    fn outline(self, work: impl Work) {
        work.run();
    }
}

pub(crate) static TABLE: Table = Table {
    isa: Isa::Neon,
    binary_conv,
    binary_depthwise,
    int8_conv,
    int8_depthwise,
    global_average_pool,
    #[cfg(feature = "std")]
    peak: peak::peak,
};

pub(super) fn binary_conv(job: BinaryJob<'_>) -> Option<()> {
    match generic::pooled::suits(&job) {
        true => generic::pooled::run::<LANES, _, _>(Neon, Neon, job, binary_conv_unpooled),
        false => binary_conv_unpooled(job),
    }
    cut::complete()
}

#[inline(never)]
fn binary_conv_unpooled(job: BinaryJob<'_>) {
    match pointwise_pass::suits(&job) {
        true => pointwise_pass::run(job),
        // 16 of 32 registers hold the counters, and 4 divides most widths.
        false => generic::binary_conv::run::<Neon, 4>(Neon, job),
    }
}

pub(super) fn binary_depthwise(job: BinaryJob<'_>) -> Option<()> {
    generic::binary_depthwise::run(Neon, Neon, Neon, Word, job);
    cut::complete()
}

fn int8_conv(job: Int8Job<'_>) -> Option<()> {
    match image::suits(&job) {
        Some(how) => image::run(Neon, job, how),
        None => generic::int8_conv::run::<_, 4>(Neon, job),
    }
    cut::complete()
}

fn int8_depthwise(job: Int8DepthwiseJob<'_>) -> Option<()> {
    depthwise::run(Neon, job);
    cut::complete()
}

pub(super) fn global_average_pool(job: PoolJob<'_>) -> Option<()> {
    generic::pool::run(Neon, job);
    cut::complete()
}
