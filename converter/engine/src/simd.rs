//! The machine's vector instructions, chosen once at run time.
//!
//! `pulp` compiles a kernel once per instruction set and calls the best one the
//! processor has. Everything inside must be `#[inline(always)]`, or it is compiled
//! for the baseline instead.

use std::sync::OnceLock;

/// The best instruction set of this processor, or the one that the environment
/// variable `BITAT_ISA` names, if the processor has it: `portable`, `avx2`, `avx512`; as the
/// runtime's `avx2+vnni` it computes as with `avx2`.
pub(crate) fn arch() -> pulp::Arch {
    static ARCH: OnceLock<pulp::Arch> = OnceLock::new();
    *ARCH.get_or_init(|| {
        let wanted = std::env::var("BITAT_ISA").unwrap_or_default();
        named(&wanted).unwrap_or_default()
    })
}

/// The instruction set the trainer computes with: `portable`, `avx2`, `avx512` or
/// `neon`. See the crate's documentation for how to choose another.
pub fn instruction_set() -> &'static str {
    match lanes() {
        4 => "neon",
        8 => "avx2",
        16 => "avx512",
        _ => "portable",
    }
}

#[cfg(target_arch = "x86_64")]
fn named(name: &str) -> Option<pulp::Arch> {
    match name {
        "portable" => Some(pulp::Arch::Scalar),
        "avx2" | "avx2+vnni" => pulp::x86::V3::try_new().map(pulp::Arch::V3),
        _ => None,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn named(name: &str) -> Option<pulp::Arch> {
    (name == "portable").then_some(pulp::Arch::Scalar)
}

/// Defines functions whose bodies are compiled for every instruction set: `S` is the
/// set and the name in brackets its token. (A closure given to `pulp` may end up
/// called, not inlined, and then is baseline code.)
macro_rules! vectorised {
    ($($(#[$meta:meta])* fn $name:ident[$s:ident]($($arg:ident: $type:ty),* $(,)?) $body:block)+) => {$(
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        pub(crate) fn $name($($arg: $type),*) {
            struct Kernel<T>(T);
            impl pulp::WithSimd for Kernel<($($type,)*)> {
                type Output = ();
                #[inline(always)]
                fn with_simd<S: pulp::Simd>(self, $s: S) {
                    let ($($arg,)*) = self.0;
                    $body
                }
            }
            $crate::simd::arch().dispatch(Kernel(($($arg,)*)));
        }
    )+};
}
pub(crate) use vectorised;

/// Least width of a tile: enough registers to make up for starting a row.
const TILE: usize = 128;

/// Width, in elements, of the pattern that per-channel parameters are laid out
/// in: the channels repeated until a row is worth a loop.
pub(crate) fn tile(c: usize) -> usize {
    c * TILE.div_ceil(c)
}

/// Fills `out` with `values` repeated to a whole tile.
pub(crate) fn fill_tile(out: &mut [f32], values: &[f32]) {
    for chunk in out.chunks_mut(values.len()) {
        chunk.copy_from_slice(&values[..chunk.len()]);
    }
}

/// Floats of a register.
pub(crate) fn lanes() -> usize {
    struct Lanes;
    impl pulp::WithSimd for Lanes {
        type Output = usize;
        #[inline(always)]
        fn with_simd<S: pulp::Simd>(self, _: S) -> usize {
            S::F32_LANES
        }
    }
    arch().dispatch(Lanes)
}
