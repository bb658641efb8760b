//! The safe door: one function table per instruction set.

use core::fmt;
use core::ops::Range;

use crate::check;
use crate::generic::{BinaryJob, Int8DepthwiseJob, Int8Job, PoolJob};
use crate::isa::{Isa, VECTORS};
use crate::misuse::Misuse;
#[cfg(feature = "std")]
use crate::types::Arithmetic;
use crate::types::{Conv, Epilogue, Int8Input, Padding, Shape};
use crate::{portable, scalar};

/// The functions of one instruction set.
///
/// # Safety of the entries
/// Each needs only that the CPU has the table's instruction set; every index
/// inside is checked.
///
/// `None`: a slice was shorter than `check` has made sure, which is a bug of this
/// crate. The scalar set says so in place of a panic, and without feature `std` so do
/// the others (`generic/cut.rs`), but for what AVX2 and AVX-512 have of their own.
pub(crate) struct Table {
    pub(crate) isa: Isa,
    pub(crate) binary_conv: for<'a> unsafe fn(BinaryJob<'a>) -> Option<()>,
    pub(crate) binary_depthwise: for<'a> unsafe fn(BinaryJob<'a>) -> Option<()>,
    pub(crate) int8_conv: for<'a> unsafe fn(Int8Job<'a>) -> Option<()>,
    pub(crate) int8_depthwise: for<'a> unsafe fn(Int8DepthwiseJob<'a>) -> Option<()>,
    pub(crate) global_average_pool: for<'a> unsafe fn(PoolJob<'a>) -> Option<()>,
    #[cfg(feature = "std")]
    pub(crate) peak: unsafe fn(Arithmetic, u64) -> u64,
}

/// The kernels of one instruction set. Holding one is the proof that this CPU
/// can run it.
#[derive(Clone, Copy)]
pub struct Kernels {
    table: &'static Table,
}

impl fmt::Debug for Kernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Kernels").field(&self.table.isa).finish()
    }
}

impl Kernels {
    /// The kernels of `isa`; `None` when this CPU cannot run them, or when,
    /// without feature `std`, the build does not require a CPU that can.
    pub fn new(isa: Isa) -> Option<Kernels> {
        let table = match isa {
            Isa::Scalar => Some(&scalar::TABLE),
            Isa::Portable if VECTORS => Some(&portable::TABLE),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => crate::x86::avx2::table(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2Vnni => crate::x86::avx2_vnni::table(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => crate::x86::avx512::table(),
            #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
            Isa::Neon => Some(&crate::arm::neon::TABLE),
            #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
            Isa::NeonDotprod => crate::arm::neon_dotprod::table(),
            _ => None,
        };
        table.map(|table| Kernels { table })
    }

    /// The best this CPU can run. Reads no environment.
    pub fn best() -> Kernels {
        Isa::ALL
            .into_iter()
            .rev()
            .find_map(Kernels::new)
            .unwrap_or(Kernels { table: &scalar::TABLE })
    }

    /// Which set this is.
    pub fn isa(&self) -> Isa {
        self.table.isa
    }

    /// Convolution of ±1 by ±1. The accumulator of output channel `c` is
    /// Σ w·x over the window, `x` outside the input being 0 or +1 as `padding`
    /// says.
    ///
    /// `input` is the whole tensor of bits; `weights` as in [`crate::layout`].
    /// Only `rows` of the output are computed and written.
    ///
    /// # Errors
    /// The argument that is wrong; nothing is written then.
    #[allow(clippy::too_many_arguments)]
    pub fn binary_conv(
        &self,
        conv: &Conv,
        padding: Padding,
        input: &[u8],
        weights: &[u8],
        rows: Range<usize>,
        epilogue: Epilogue<'_>,
        scratch: &mut [u8],
    ) -> Result<(), Misuse> {
        check::binary_conv(conv, input, weights, &rows, &epilogue, scratch)?;
        let job = BinaryJob { conv: *conv, padding, input, weights, rows, epilogue, scratch };
        // SAFETY: `self` exists, so the CPU has the instruction set of its table.
        unsafe { (self.table.binary_conv)(job.flattened()) }.ok_or(Misuse::Internal)
    }

    /// Convolution of ±1 by ±1, each channel by itself. Accumulator, slices and
    /// errors as in [`Kernels::binary_conv`]; `conv.groups` is not read.
    ///
    /// # Errors
    /// The argument that is wrong; nothing is written then.
    #[allow(clippy::too_many_arguments)]
    pub fn binary_depthwise(
        &self,
        conv: &Conv,
        padding: Padding,
        input: &[u8],
        weights: &[u8],
        rows: Range<usize>,
        epilogue: Epilogue<'_>,
        scratch: &mut [u8],
    ) -> Result<(), Misuse> {
        check::binary_depthwise(conv, input, weights, &rows, &epilogue, scratch)?;
        let job = BinaryJob { conv: *conv, padding, input, weights, rows, epilogue, scratch };
        // SAFETY: `self` exists, so the CPU has the instruction set of its table.
        unsafe { (self.table.binary_depthwise)(job) }.ok_or(Misuse::Internal)
    }

    /// 8-bit convolution over all input channels. The accumulator is Σ w·x over
    /// the taps inside the input, in 32 bits; the caller sees to it that it and
    /// its shift fit (beyond that it wraps, the same on every ISA).
    ///
    /// # Errors
    /// The argument that is wrong; nothing is written then.
    pub fn int8_conv(
        &self,
        conv: &Conv,
        input: Int8Input<'_>,
        weights: &[i8],
        rows: Range<usize>,
        epilogue: Epilogue<'_>,
        scratch: &mut [u8],
    ) -> Result<(), Misuse> {
        check::int8_conv(conv, &input, weights, &rows, &epilogue, scratch)?;
        let job = Int8Job { conv: *conv, input, weights, rows, epilogue, scratch };
        // SAFETY: `self` exists, so the CPU has the instruction set of its table.
        unsafe { (self.table.int8_conv)(job.flattened()) }.ok_or(Misuse::Internal)
    }

    /// 8-bit convolution of a stream, each channel by itself; the input enters
    /// as `clamp(rshr(x, narrow), −128, 127)`. Accumulator as in
    /// [`Kernels::int8_conv`]; `conv.groups` is not read.
    ///
    /// # Errors
    /// The argument that is wrong; nothing is written then.
    #[allow(clippy::too_many_arguments)]
    pub fn int8_depthwise(
        &self,
        conv: &Conv,
        input: &[i16],
        narrow: u8,
        weights: &[i8],
        rows: Range<usize>,
        epilogue: Epilogue<'_>,
        scratch: &mut [u8],
    ) -> Result<(), Misuse> {
        check::int8_depthwise(conv, input, narrow, weights, &rows, &epilogue, scratch)?;
        let job = Int8DepthwiseJob { conv: *conv, input, narrow, weights, rows, epilogue };
        // SAFETY: `self` exists, so the CPU has the instruction set of its table.
        unsafe { (self.table.int8_depthwise)(job) }.ok_or(Misuse::Internal)
    }

    /// Mean over all pixels, `sat(rdiv(Σ x · 2^shift, h·w))` per channel, with
    /// `shift` 0..=8; the caller sees to it that the sum fits 32 bits.
    ///
    /// # Errors
    /// The argument that is wrong; nothing is written then.
    pub fn global_average_pool(
        &self,
        shape: Shape,
        shift: u8,
        input: &[i16],
        output: &mut [i16],
    ) -> Result<(), Misuse> {
        check::global_average_pool(shape, shift, input, output)?;
        let job = PoolJob { shape, shift, input, output };
        // SAFETY: `self` exists, so the CPU has the instruction set of its table.
        unsafe { (self.table.global_average_pool)(job) }.ok_or(Misuse::Internal)
    }

    /// Does the innermost operations of the kernels on operands that stay in
    /// registers, and returns how many multiply-accumulates that were: a caller
    /// with a clock learns the rate that no kernel of this set can exceed.
    ///
    /// `rounds` is proportional to the time, less than 100 µs each. Not for
    /// devices: only with feature `std`.
    #[cfg(feature = "std")]
    pub fn peak(&self, arithmetic: Arithmetic, rounds: u64) -> u64 {
        // SAFETY: `self` exists, so the CPU has the instruction set of its table.
        unsafe { (self.table.peak)(arithmetic, rounds) }
    }
}
