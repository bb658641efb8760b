//! What C sees beside the functions and the status.

use core::ffi::{CStr, c_char};

use bitat_format::layout::BUFFER_ALIGN;
use bitat_kernels::Kernels;
use bitat_runtime::ARENA_ALIGN;

use crate::state::State;
use crate::status::Status;

/// Tensors that a network may have, its image included; MobileNetV2 has fewer
/// than 110. `bitat export` writes the number of yours.
pub const BITAT_TENSORS: usize = 128;

/// Size of a bitat_network in 8-byte words.
pub const BITAT_NETWORK_WORDS: usize = BITAT_TENSORS + 13;

/// The arena starts at a multiple of this many bytes; 64 makes it faster where
/// vectors have 64 bytes (AVX-512).
pub const BITAT_ARENA_ALIGN: usize = 16;

/// The model starts at a multiple of this many bytes; 16 makes it faster where
/// the processor has vectors.
pub const BITAT_MODEL_ALIGN: usize = 4;

const _: () = assert!(BITAT_ARENA_ALIGN == ARENA_ALIGN && BITAT_MODEL_ALIGN == BUFFER_ALIGN);
const _: () = assert!(size_of::<State>() <= size_of::<Storage>());
const _: () = assert!(align_of::<State>() <= align_of::<Storage>());

/// A network that is ready to run. The caller gives the memory, bitat_init
/// fills it; only the functions below know what is inside.
///
/// It holds no memory of its own and nothing has to be freed. It may be copied
/// as a whole. Make it all zero before bitat_init and a call that comes too
/// early is refused; of memory with anything else in it that cannot be told.
#[repr(C)]
#[derive(Debug)]
pub struct Storage {
    /// Not to be read or written.
    pub opaque: [u64; BITAT_NETWORK_WORDS],
}

/// What a program must know of a network to run it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Info {
    /// Bytes of arena that a run needs, as bitat_init has planned it.
    pub arena_bytes: usize,
    /// Bytes of arena with which every layer runs whole, never fewer: given to
    /// bitat_init and bitat_run they make runs fastest. SIZE_MAX if there is no
    /// such arena.
    pub whole_arena_bytes: usize,
    /// Bytes of an image: height * width * channels.
    pub image_bytes: usize,
    /// Rows of an image.
    pub height: usize,
    /// Columns of an image.
    pub width: usize,
    /// Channels of an image.
    pub channels: usize,
    /// Scores that a run gives, one per class.
    pub classes: usize,
    /// A score times this is the logit of the float network. Above 0.
    pub score_scale: f32,
    /// The instruction set whose kernels run the network; never the code for
    /// the best.
    pub isa: Isa,
}

/// A text inside the model: UTF-8 without control characters, not ended by a
/// zero. printf("%.*s", (int)text.length, text.bytes) prints it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Text {
    /// Its first byte.
    pub bytes: *const c_char,
    /// Its bytes.
    pub length: usize,
}

/// A class and its score.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ranked {
    /// Which class, from 0.
    pub index: usize,
    /// Its score.
    pub score: i32,
}

/// Instruction sets. Every name exists on every machine; bitat_init_isa says
/// whether this one can run it. All give the same scores.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// The best of this processor.
    Best = 0,
    /// Plain code over vectors of 16, where the processor has vectors of any kind.
    Portable = 1,
    /// AArch64 with Advanced SIMD.
    Neon = 2,
    /// x86-64 with AVX2.
    Avx2 = 3,
    /// x86-64 with AVX-512 F, BW, VL, VNNI and BITALG.
    Avx512 = 4,
    /// Plain code without vectors, everywhere. Small: for microcontrollers.
    Scalar = 5,
    /// AArch64 with Advanced SIMD and FEAT_DotProd.
    NeonDotprod = 6,
    /// x86-64 with AVX2 and AVX-VNNI.
    Avx2Vnni = 7,
}

impl Isa {
    /// Every code.
    pub(crate) const ALL: [Isa; 8] = [
        Isa::Best,
        Isa::Portable,
        Isa::Neon,
        Isa::Avx2,
        Isa::Avx512,
        Isa::Scalar,
        Isa::NeonDotprod,
        Isa::Avx2Vnni,
    ];

    /// The instruction set with this code.
    pub(crate) fn from_code(code: i32) -> Option<Isa> {
        Isa::ALL.into_iter().find(|&isa| isa as i32 == code)
    }

    /// The kernels of this instruction set.
    pub(crate) fn kernels(self) -> Result<Kernels, Status> {
        let isa = match self {
            Isa::Best => return Ok(Kernels::best()),
            Isa::Portable => bitat_kernels::Isa::Portable,
            Isa::Neon => bitat_kernels::Isa::Neon,
            Isa::NeonDotprod => bitat_kernels::Isa::NeonDotprod,
            Isa::Avx2 => bitat_kernels::Isa::Avx2,
            Isa::Avx2Vnni => bitat_kernels::Isa::Avx2Vnni,
            Isa::Avx512 => bitat_kernels::Isa::Avx512,
            Isa::Scalar => bitat_kernels::Isa::Scalar,
        };
        Kernels::new(isa).ok_or(Status::Isa)
    }

    /// Lower-case name.
    pub(crate) const fn name(self) -> &'static CStr {
        match self {
            Isa::Best => c"best",
            Isa::Portable => c"portable",
            Isa::Neon => c"neon",
            Isa::NeonDotprod => c"neon+dotprod",
            Isa::Avx2 => c"avx2",
            Isa::Avx2Vnni => c"avx2+vnni",
            Isa::Avx512 => c"avx512",
            Isa::Scalar => c"scalar",
        }
    }
}

impl From<bitat_kernels::Isa> for Isa {
    fn from(isa: bitat_kernels::Isa) -> Isa {
        match isa {
            bitat_kernels::Isa::Portable => Isa::Portable,
            bitat_kernels::Isa::Neon => Isa::Neon,
            bitat_kernels::Isa::NeonDotprod => Isa::NeonDotprod,
            bitat_kernels::Isa::Avx2 => Isa::Avx2,
            bitat_kernels::Isa::Avx2Vnni => Isa::Avx2Vnni,
            bitat_kernels::Isa::Avx512 => Isa::Avx512,
            bitat_kernels::Isa::Scalar => Isa::Scalar,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instruction_set_has_its_code_and_its_name() {
        for isa in bitat_kernels::Isa::ALL {
            let code = Isa::from(isa);
            assert_eq!(code.name().to_str(), Ok(isa.name()));
            assert_eq!(Isa::from_code(code as i32), Some(code));
            let kernels = code.kernels().map(|kernels| kernels.isa());
            assert_eq!(kernels.ok(), Kernels::new(isa).map(|kernels| kernels.isa()));
        }
        assert_eq!(Isa::Best.kernels().unwrap().isa(), Kernels::best().isa());
        assert_eq!((Isa::from_code(-1), Isa::from_code(8)), (None, None));
    }
}
