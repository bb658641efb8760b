//! One value at a time, and four or eight bytes in a register where that is
//! possible: for a CPU without vector registers, and small.
//!
//! Nothing of `generic/` is in it but the jobs. A kernel adds up the accumulators
//! of two output channels for a run of neighbouring pixels and gives them to the
//! one epilogue of them all ([`epilogue::Sink::put`]), which is compiled once.

mod binary_conv;
mod binary_depthwise;
mod depthwise;
#[cfg(arm_dsp)]
mod dsp;
mod epilogue;
mod int8_conv;
mod int8_depthwise;
#[cfg(feature = "std")]
mod peak;
mod pool;

use crate::isa::Isa;
use crate::table::Table;

pub(crate) static TABLE: Table = Table {
    isa: Isa::Scalar,
    binary_conv: binary_conv::run,
    binary_depthwise: binary_depthwise::run,
    int8_conv: int8_conv::run,
    int8_depthwise: int8_depthwise::run,
    global_average_pool: pool::run,
    #[cfg(feature = "std")]
    peak: peak::peak,
};

/// `clamp(rshr(value, count), −128, 127)`; `count` 0..=8.
fn narrow(value: i16, count: u8) -> i32 {
    ((i32::from(value) + (1 << count >> 1)) >> count).clamp(-128, 127)
}
