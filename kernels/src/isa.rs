//! Instruction sets by name.

use core::fmt;
use core::str::FromStr;

/// Whether the build may use vector registers. Without them [`Isa::Portable`] is
/// several times slower than [`Isa::Scalar`] and larger, so it is left out of the
/// program. On 32-bit x86 that asks for SSE2, on WebAssembly for `simd128`, on Arm
/// for NEON, on RISC-V for V; other architectures are taken to have them.
pub(crate) const VECTORS: bool = !cfg!(any(
    all(any(target_arch = "arm", target_arch = "aarch64"), not(target_feature = "neon")),
    all(any(target_arch = "riscv32", target_arch = "riscv64"), not(target_feature = "v")),
    all(target_arch = "x86", not(target_feature = "sse2")),
    all(target_family = "wasm", not(target_feature = "simd128")),
));

/// An instruction set for which there is a set of kernels.
///
/// Every name exists on every machine; [`crate::Kernels::new`] says whether
/// this machine can run it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Isa {
    /// Plain Rust without vectors, everywhere. Small: for microcontrollers.
    Scalar,
    /// Plain Rust over vectors of 16, on any CPU with vector registers that the
    /// compiler may use.
    Portable,
    /// x86-64 with AVX2.
    Avx2,
    /// x86-64 with AVX2 and AVX-VNNI.
    Avx2Vnni,
    /// x86-64 with AVX-512 F, BW, VL, VNNI and BITALG.
    Avx512,
    /// AArch64 with Advanced SIMD.
    Neon,
    /// AArch64 with Advanced SIMD and FEAT_DotProd.
    NeonDotprod,
}

impl Isa {
    /// Every instruction set, the plain one first, better ones later.
    pub const ALL: [Isa; 7] = [
        Isa::Scalar,
        Isa::Portable,
        Isa::Neon,
        Isa::NeonDotprod,
        Isa::Avx2,
        Isa::Avx2Vnni,
        Isa::Avx512,
    ];

    /// Lower-case name, as [`FromStr`] reads it.
    pub const fn name(self) -> &'static str {
        match self {
            Isa::Scalar => "scalar",
            Isa::Portable => "portable",
            Isa::Avx2 => "avx2",
            Isa::Avx2Vnni => "avx2+vnni",
            Isa::Avx512 => "avx512",
            Isa::Neon => "neon",
            Isa::NeonDotprod => "neon+dotprod",
        }
    }

    /// What a processor must have, in words.
    pub const fn needs(self) -> &'static str {
        match self {
            Isa::Scalar => "nothing",
            Isa::Portable => "vector registers of any kind",
            Isa::Avx2 => "x86-64 with AVX2",
            Isa::Avx2Vnni => "x86-64 with AVX2 and AVX-VNNI",
            Isa::Avx512 => "x86-64 with AVX-512 F, BW, VL, VNNI and BITALG",
            Isa::Neon => "AArch64 with Advanced SIMD",
            Isa::NeonDotprod => "AArch64 with Advanced SIMD and dot products",
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The text is not the name of an [`Isa`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownIsa;

impl fmt::Display for UnknownIsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown instruction set; known are")?;
        Isa::ALL.iter().try_for_each(|isa| write!(f, " {isa}"))
    }
}

impl core::error::Error for UnknownIsa {}

impl FromStr for Isa {
    type Err = UnknownIsa;

    fn from_str(name: &str) -> Result<Isa, UnknownIsa> {
        Isa::ALL.into_iter().find(|isa| isa.name() == name).ok_or(UnknownIsa)
    }
}
