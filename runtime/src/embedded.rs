//! A network that was checked and planned when the program was compiled.

use bitat_format::View;
use bitat_kernels::Kernels;

use crate::arena::Arena;
use crate::bands::Bands;
use crate::error::Error;
use crate::execute::Network;
use crate::plan::Plan;

#[doc(hidden)]
pub use bitat_format::Aligned;

/// A network that is part of the program, with its lengths in its type:
/// `IMAGE` bytes of pixels in, `CLASSES` scores out, in `ARENA` bytes of arena.
///
/// `include_model!` of the crate `bitat-embed` makes it, in a module with these
/// numbers as constants:
///
/// ```text
/// mod model {
///     bitat_embed::include_model!("net.bitat");
/// }
///
/// let network = model::network();
/// let mut arena = model::Arena::new();
/// let scores: [i32; model::CLASSES] = network.run(&pixels, &mut arena);
/// ```
///
/// The file was validated and the tensors were placed by the compiler, so that
/// neither is done, nor carried as code, on the device. Weights are read where
/// they lie. The widest layers run by rows where that needs less memory
/// ([`Network::by_rows`]); with `include_model!("net.bitat", whole)` every layer runs
/// whole. The value itself takes 8 bytes for each of the `TENSORS` tensors.
#[derive(Clone, Debug)]
pub struct Embedded<
    const IMAGE: usize,
    const CLASSES: usize,
    const ARENA: usize,
    const TENSORS: usize,
> {
    network: Network<'static, TENSORS>,
}

impl<const IMAGE: usize, const CLASSES: usize, const ARENA: usize, const TENSORS: usize>
    Embedded<IMAGE, CLASSES, ARENA, TENSORS>
{
    /// For the expansion of `include_model!`, which has made sure of what
    /// nothing here looks at: that the file is valid and the plan is its plan.
    #[doc(hidden)]
    pub fn checked(
        file: &'static [u8],
        tensors: [u32; TENSORS],
        scratch: [u32; TENSORS],
        bands: [u16; 3],
    ) -> Embedded<IMAGE, CLASSES, ARENA, TENSORS> {
        let [first, end, count] = bands;
        let plan = Plan::made(tensors, scratch, ARENA, Bands { first, end, count });
        Embedded { network: Network::planned(View::admitted(file), Kernels::best(), plan) }
    }

    /// The same network on these kernels in place of [`Kernels::best`].
    pub fn on(self, kernels: Kernels) -> Embedded<IMAGE, CLASSES, ARENA, TENSORS> {
        let plan = self.network.plan().clone();
        Embedded { network: Network::planned(self.network.view(), kernels, plan) }
    }

    /// Scores one image: pixels 0–255 in the order row, column, channel.
    /// Preprocessing is part of the network. What the arena contains does not
    /// matter.
    ///
    /// # Panics
    /// On an error of [`Embedded::try_run`], which means a bug of this crate.
    pub fn run(&self, image: &[u8; IMAGE], arena: &mut Arena<ARENA>) -> [i32; CLASSES] {
        match self.try_run(image, arena) {
            Ok(scores) => scores,
            // Not with the error's text, which would take its place in flash.
            Err(_) => unreachable!("the lengths are those of the plan"),
        }
    }

    /// [`Embedded::run`] without a path to a panic, for a device that has something
    /// better to do with a bug than to stop.
    ///
    /// On the scalar kernels (microcontrollers), and on NEON's without feature `std`,
    /// none of the code that a release build of this calls refers to a panic:
    /// `.ci/no_panic.py` looks at every instruction of the linked examples for Cortex-M,
    /// RISC-V and AArch64. With `std` vector kernels panic, and x86's without too.
    ///
    /// # Errors
    /// [`Error::Internal`], for a reason that is a bug of this crate: never one in
    /// the file, which the compiler has checked, nor in the image. After a bug of vector
    /// kernels every later run has this error too.
    pub fn try_run(
        &self,
        image: &[u8; IMAGE],
        arena: &mut Arena<ARENA>,
    ) -> Result<[i32; CLASSES], Error> {
        let mut scores = [0; CLASSES];
        self.network.run(image, arena, &mut scores)?;
        Ok(scores)
    }

    /// The network as one whose lengths are checked in each run: to look into
    /// it, to watch those layers that do not run by rows, or to share one arena
    /// among several.
    pub fn network(&self) -> &Network<'static, TENSORS> {
        &self.network
    }
}
