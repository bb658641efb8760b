//! What a `bitat_network` holds, and the calls behind the door to C.

use core::ops::Range;

use bitat_format::View;
use bitat_runtime::{Network, top_k_as};

use crate::memory::{disjoint, span};
use crate::status::Status;
use crate::types::{BITAT_ARENA_ALIGN, BITAT_TENSORS, Info, Isa, Ranked};

/// The first word of an initialised network: `bitat` and the layout's number.
pub(crate) const TAG: u64 = u64::from_le_bytes(*b"bitat\0\0\x01");

/// The inside of a `bitat_network`. The tag comes first: it is read before it
/// is known whether the rest is there. It is 0 until the network has its plan.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct State {
    tag: u64,
    /// Addresses of the model.
    model: Range<usize>,
    /// Bytes of arena with which every layer runs whole.
    whole_arena_bytes: usize,
    network: Network<'static, BITAT_TENSORS>,
}

/// A call of `bitat_run`, as the caller made it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// Addresses of the network.
    pub(crate) network: Range<usize>,
    pub(crate) image: *const u8,
    pub(crate) image_bytes: usize,
    pub(crate) arena: *const u8,
    pub(crate) arena_bytes: usize,
    pub(crate) scores: *const i32,
    pub(crate) scores_count: usize,
}

/// What a run reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Needs {
    pub(crate) image_bytes: usize,
    pub(crate) arena_bytes: usize,
    pub(crate) scores_count: usize,
}

impl State {
    /// Validates `model` and makes a network of it for the instruction set `isa`,
    /// which [`State::fit`] has to follow.
    pub(crate) fn new(model: &'static [u8], isa: i32) -> Result<State, Status> {
        let kernels = Isa::from_code(isa).ok_or(Status::Isa)?.kernels()?;
        let network = Network::with_capacity(View::parse(model)?, kernels)?;
        let start = model.as_ptr().addr();
        let whole_arena_bytes = network.arena_bytes();
        Ok(State { tag: 0, model: start..start + model.len(), whole_arena_bytes, network })
    }

    /// Plans for an arena of `arena_bytes`; the network is initialised then.
    pub(crate) fn fit(&mut self, arena_bytes: usize) -> Result<(), Status> {
        self.network.fit(arena_bytes);
        if self.network.arena_bytes() == usize::MAX {
            return Err(Status::ModelLimit);
        }
        self.tag = TAG;
        Ok(())
    }

    /// Addresses of the model.
    pub(crate) fn model(&self) -> &Range<usize> {
        &self.model
    }

    /// The file.
    pub(crate) fn view(&self) -> View<'static> {
        self.network.view()
    }

    /// What a program must know of the network.
    pub(crate) fn info(&self) -> Info {
        let view = self.view();
        let input = view.input();
        let Needs { image_bytes, arena_bytes, scores_count } = self.needs();
        Info {
            arena_bytes,
            whole_arena_bytes: self.whole_arena_bytes,
            image_bytes,
            height: input.height,
            width: input.width,
            channels: input.channels,
            classes: scores_count,
            score_scale: view.score_scale(),
            isa: self.network.kernels().isa().into(),
        }
    }

    fn needs(&self) -> Needs {
        let view = self.view();
        Needs {
            image_bytes: view.tensor(0).bytes(),
            arena_bytes: self.network.arena_bytes(),
            scores_count: view.class_count(),
        }
    }

    /// Checks everything about a call that can be known without touching its
    /// buffers, and says how much of each is used.
    pub(crate) fn check(&self, call: &Call) -> Result<Needs, Status> {
        let needs = self.needs();
        let image = span(call.image, needs.image_bytes)?;
        let arena = span(call.arena, needs.arena_bytes)?;
        let scores = span(call.scores, needs.scores_count)?;
        if call.image_bytes != needs.image_bytes {
            return Err(Status::ImageLength);
        }
        if call.arena_bytes < needs.arena_bytes {
            return Err(Status::ArenaLength);
        }
        if call.scores_count < needs.scores_count {
            return Err(Status::ScoresLength);
        }
        if !arena.start.is_multiple_of(BITAT_ARENA_ALIGN) {
            return Err(Status::ArenaAlignment);
        }
        let read = [&call.network, &self.model, &image];
        disjoint(&arena, &read)?;
        disjoint(&scores, &read)?;
        disjoint(&scores, &[&arena])?;
        Ok(needs)
    }

    /// Scores one image with buffers that [`State::check`] has passed.
    pub(crate) fn run(
        &self,
        image: &[u8],
        arena: &mut [u8],
        scores: &mut [i32],
    ) -> Result<(), Status> {
        Ok(self.network.run(image, arena, scores)?)
    }
}

/// The best classes, the best first; how many there are.
pub(crate) fn top_k(scores: &[i32], best: &mut [Ranked]) -> usize {
    top_k_as(scores, best, |index, score| Ranked { index, score }, |ranked| ranked.score)
}
