//! Plain Rust: arrays for vectors, SWAR for popcount. For a CPU with vector
//! registers for which there is no set of its own.

mod binary_conv;
mod int8_conv;
mod int8_depthwise;
mod lanes;
#[cfg(feature = "std")]
mod peak;

use crate::generic::binary_depthwise::Word;
use crate::generic::lanes::{Outline, Work};
use crate::generic::{self, BinaryJob, Int8DepthwiseJob, Int8Job, PoolJob};
use crate::isa::Isa;
use crate::table::Table;

/// Needs nothing of the CPU by name.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl Outline for Portable {
    #[inline(never)]
    fn outline(self, work: impl Work) {
        work.run();
    }
}

pub(crate) static TABLE: Table = Table {
    isa: Isa::Portable,
    binary_conv,
    binary_depthwise,
    int8_conv,
    int8_depthwise,
    global_average_pool,
    #[cfg(feature = "std")]
    peak: peak::peak,
};

fn binary_conv(job: BinaryJob<'_>) -> Option<()> {
    generic::binary_conv::run::<Portable, 1>(Portable, job);
    Some(())
}

fn binary_depthwise(job: BinaryJob<'_>) -> Option<()> {
    generic::binary_depthwise::run(Portable, Portable, Word, Word, job);
    Some(())
}

fn int8_conv(job: Int8Job<'_>) -> Option<()> {
    generic::int8_conv::run::<_, 4>(Portable, job);
    Some(())
}

fn int8_depthwise(job: Int8DepthwiseJob<'_>) -> Option<()> {
    generic::int8_depthwise::run(Portable, job);
    Some(())
}

fn global_average_pool(job: PoolJob<'_>) -> Option<()> {
    generic::pool::run(Portable, job);
    Some(())
}
