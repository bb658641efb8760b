//! Where every tensor lies in the arena.
//!
//! A tensor lives from the layer that writes it to the last that reads it. Two
//! tensors may share bytes if no layer sees both alive. The largest tensor is
//! placed first, each at the lowest place where it meets no tensor that lives
//! at the same time; then each layer's scratch goes into what is free while
//! that layer runs. The image and the scores are the caller's and take no room.
//!
//! Placing takes time quadratic in the tensors for real networks, cubic at
//! worst, and is done once.

use core::ops::Range;

use bitat_format::limits::TENSORS;
use bitat_format::{Kind, LayerView, Tensor, TensorId, View};
use bitat_kernels::{Conv, Operation, scratch_bytes};

use crate::arena::{ARENA_ALIGN, NOWHERE};
use crate::error::Error;
use crate::geometry;
#[cfg(feature = "threads")]
use crate::split::{self, Threads};

/// Offsets of tensors and scratch in one arena, for networks of at most
/// `CAPACITY` tensors. Takes 8 bytes per tensor of capacity, and 12 more of
/// stack while it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan<const CAPACITY: usize = TENSORS> {
    /// By tensor, bytes from the arena's start; 0 for the image and the scores.
    tensors: [u32; CAPACITY],
    /// By layer; there are never more layers than tensors, each writes one.
    scratch: [u32; CAPACITY],
    arena_bytes: usize,
    #[cfg(feature = "threads")]
    threads: Threads,
}

/// Bytes of arena that a network needs, a multiple of 16; `usize::MAX` if it
/// is so large that offsets do not fit 32 bits.
///
/// Takes 20 KiB of stack; where that is too much, use [`Plan::with_capacity`].
pub fn arena_bytes(view: &View<'_>) -> usize {
    Plan::new(view).arena_bytes()
}

impl Plan {
    /// Plans any network of the format.
    pub fn new(view: &View<'_>) -> Plan {
        // The format admits no more tensors than the default capacity.
        Planner::new(view).plan(view)
    }
}

impl<const CAPACITY: usize> Plan<CAPACITY> {
    /// Plans a network of at most `CAPACITY` tensors.
    ///
    /// # Errors
    /// [`Error::Capacity`] if it has more.
    pub fn with_capacity(view: &View<'_>) -> Result<Plan<CAPACITY>, Error> {
        let expected = view.tensor_count();
        if expected > CAPACITY {
            return Err(Error::Capacity { expected, found: CAPACITY });
        }
        Ok(Planner::new(view).plan(view))
    }

    /// A plan that was made before, when the program was compiled: offsets in
    /// bytes, of each tensor and of each layer's scratch, 0 where there is none.
    pub(crate) const fn made(
        tensors: [u32; CAPACITY],
        scratch: [u32; CAPACITY],
        arena_bytes: usize,
    ) -> Plan<CAPACITY> {
        Plan {
            tensors,
            scratch,
            arena_bytes,
            #[cfg(feature = "threads")]
            threads: Threads::new(1),
        }
    }

    /// The same plan for a run on several threads: each part of a layer that is
    /// cut has scratch of its own, so that a layer's scratch grows with the
    /// parts, at most `threads.count` times. It lies where tensors that are not
    /// alive do: a network whose largest layers need little, such as a
    /// MobileNet, has the same arena for any number of threads.
    #[cfg(feature = "threads")]
    #[must_use]
    pub fn for_threads(&self, view: &View<'_>, threads: Threads) -> Plan<CAPACITY> {
        let mut planner = Planner::new(view);
        planner.plan.threads = threads;
        planner.plan(view)
    }

    /// What the plan has scratch for.
    #[cfg(feature = "threads")]
    pub fn threads(&self) -> Threads {
        self.threads
    }

    /// Bytes of scratch of a layer that is this convolution, if it is one.
    #[cfg_attr(not(feature = "threads"), expect(unused_variables))]
    fn scratch_bytes(
        &self,
        view: &View<'_>,
        layer: &LayerView<'_>,
        convolution: Option<(Operation, Conv)>,
    ) -> usize {
        let Some((operation, conv)) = convolution else { return 0 };
        #[cfg(feature = "threads")]
        if self.threads.count > 1 {
            let shortcut = geometry::shortcut(view, layer);
            return split::scratch(operation, &conv, shortcut, self.threads);
        }
        scratch_bytes(operation, &conv)
    }

    /// Bytes of arena needed, a multiple of 16; `usize::MAX` if offsets do not
    /// fit 32 bits.
    pub fn arena_bytes(&self) -> usize {
        self.arena_bytes
    }

    /// Where a tensor lies in the arena; `None` for the image and the scores,
    /// which lie elsewhere, and for an id the network does not have.
    /// `view` is the network that was planned.
    pub fn tensor(&self, view: &View<'_>, id: TensorId) -> Option<Range<usize>> {
        let bytes = arena_tensor_bytes(&view.get_tensor(id)?);
        if bytes == 0 { None } else { range(&self.tensors, id.into(), bytes) }
    }

    /// Where a layer's scratch lies in the arena; `None` if the layer needs
    /// none or the network does not have it. `view` is the network that was
    /// planned.
    pub fn scratch(&self, view: &View<'_>, layer: usize) -> Option<Range<usize>> {
        let index = layer;
        let layer = view.get_layer(index)?;
        let convolution = geometry::convolution(view, &layer);
        self.scratch_range(view, index, &layer, convolution).filter(|range| !range.is_empty())
    }

    /// The same for a caller who has decoded the layer; empty if it needs none.
    pub(crate) fn scratch_range(
        &self,
        view: &View<'_>,
        index: usize,
        layer: &LayerView<'_>,
        convolution: Option<(Operation, Conv)>,
    ) -> Option<Range<usize>> {
        let bytes = self.scratch_bytes(view, layer, convolution);
        if bytes == 0 { Some(NOWHERE) } else { range(&self.scratch, index, bytes) }
    }
}

fn range(offsets: &[u32], index: usize, bytes: usize) -> Option<Range<usize>> {
    let start = *offsets.get(index)? as usize;
    Some(start..start.checked_add(bytes)?)
}

/// The plan while it is made.
struct Planner<const CAPACITY: usize> {
    /// By tensor.
    lives: [Life; CAPACITY],
    plan: Plan<CAPACITY>,
}

/// What a tensor asks of the plan.
#[derive(Clone, Copy)]
struct Life {
    /// Room in the arena: 0 for the image and the scores.
    bytes: u32,
    /// Layer that writes it.
    first: u16,
    /// Last layer that reads it, or `first`.
    last: u16,
    placed: bool,
}

impl<const CAPACITY: usize> Planner<CAPACITY> {
    fn new(view: &View<'_>) -> Planner<CAPACITY> {
        let mut lives = [Life { bytes: 0, first: 0, last: 0, placed: false }; CAPACITY];
        for (life, tensor) in lives.iter_mut().zip(view.tensors()) {
            life.bytes = arena_tensor_bytes(&tensor) as u32; // at most 2^28
        }
        for (i, layer) in (0..).zip(view.layers()) {
            for id in layer.writes() {
                if let Some(life) = lives.get_mut(usize::from(id)) {
                    (life.first, life.last) = (i, i);
                }
            }
            // Written by an earlier layer, so this is later than what is there.
            for id in layer.reads() {
                if let Some(life) = lives.get_mut(usize::from(id)) {
                    life.last = i;
                }
            }
        }
        let plan = Plan {
            tensors: [0; CAPACITY],
            scratch: [0; CAPACITY],
            arena_bytes: 0,
            #[cfg(feature = "threads")]
            threads: Threads::new(1),
        };
        Planner { lives, plan }
    }

    fn plan(mut self, view: &View<'_>) -> Plan<CAPACITY> {
        while let Some(id) = self.largest_unplaced() {
            let Life { bytes, first, last, .. } = self.lives[id];
            self.plan.tensors[id] = self.place(bytes as usize, first, last);
            self.lives[id].placed = true;
        }
        for (i, layer) in (0..).zip(view.layers()) {
            let convolution = geometry::convolution(view, &layer);
            let bytes = self.plan.scratch_bytes(view, &layer, convolution);
            if bytes > 0 {
                self.plan.scratch[usize::from(i)] = self.place(bytes, i, i);
            }
        }
        // An offset that does not fit has become the largest that does.
        if u32::try_from(self.plan.arena_bytes).is_err() {
            self.plan.arena_bytes = usize::MAX;
        }
        self.plan
    }

    /// Of equally large tensors, the first.
    fn largest_unplaced(&self) -> Option<usize> {
        let waiting = self.lives.iter().enumerate().filter(|(_, l)| !l.placed && l.bytes > 0);
        waiting.min_by_key(|(_, life)| core::cmp::Reverse(life.bytes)).map(|(id, _)| id)
    }

    /// The lowest offset at which `bytes` bytes are free from layer `first` to
    /// layer `last`; the arena grows to hold them.
    fn place(&mut self, bytes: usize, first: u16, last: u16) -> u32 {
        let mut start = 0usize;
        let mut moved = true;
        while moved {
            moved = false;
            for (life, &begin) in self.lives.iter().zip(&self.plan.tensors) {
                let begin = begin as usize;
                let end = round_up(begin.saturating_add(life.bytes as usize));
                let together = life.placed && life.first <= last && first <= life.last;
                if together && begin < start.saturating_add(bytes) && start < end {
                    start = end;
                    moved = true;
                }
            }
        }
        let end = round_up(start.saturating_add(bytes));
        self.plan.arena_bytes = self.plan.arena_bytes.max(end);
        u32::try_from(start).unwrap_or(u32::MAX)
    }
}

/// To the next multiple of the alignment; `usize::MAX` where there is none.
fn round_up(bytes: usize) -> usize {
    bytes.checked_next_multiple_of(ARENA_ALIGN).unwrap_or(usize::MAX)
}

/// Bytes of a tensor in the arena: none for the image and the scores.
fn arena_tensor_bytes(tensor: &Tensor) -> usize {
    match tensor.kind {
        Kind::Image | Kind::Scores => 0,
        Kind::Stream | Kind::Bits => tensor.bytes(),
    }
}
