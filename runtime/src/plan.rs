//! Where every tensor lies in the arena.
//!
//! A tensor lives from the layer that writes it to the last that reads it. Two
//! tensors may share bytes if no layer sees both alive. The largest tensor is
//! placed first, each at the lowest place where it meets no tensor that lives
//! at the same time; then each layer's scratch goes into what is free while
//! that layer runs. The image and the scores are the caller's and take no room.
//!
//! Placing takes time quadratic in the tensors for real networks, cubic at
//! worst, and is done once. A plan is made where it stays; what that and the choice
//! of a group take beside it are two functions that are not inlined, so that a
//! device's stack never holds both.

use core::ops::Range;

use bitat_format::limits::TENSORS;
use bitat_format::{Kind, LayerView, Tensor, TensorId, View};
use bitat_kernels::{Conv, Operation, scratch_bytes};

use crate::arena::{ARENA_ALIGN, ARENA_LINE, NOWHERE};
use crate::bands::{Bands, Held, Reaches, advance};
use crate::choose;
use crate::error::Error;
use crate::geometry;
#[cfg(feature = "threads")]
use crate::homes::{self, Neighbour};
#[cfg(feature = "threads")]
use crate::split::{self, Threads};

/// Offsets of tensors and scratch in one arena, for networks of at most
/// `CAPACITY` tensors. Takes 8 bytes per tensor of capacity, and 12 more of
/// stack while it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan<const CAPACITY: usize = TENSORS> {
    /// By tensor, bytes from the arena's start, plus [`HELD`] if only rows of it
    /// lie there; 0 for the image and the scores.
    tensors: [u32; CAPACITY],
    /// By layer; there are never more layers than tensors, each writes one.
    scratch: [u32; CAPACITY],
    arena_bytes: usize,
    /// [`Bands::NONE`] for a plan layer by layer.
    bands: Bands,
    #[cfg(feature = "threads")]
    threads: Threads,
}

/// Tensors of more bytes than this are followed by [`APART`] bytes that are free.
const LARGE: u32 = 96 << 10;

/// Large tensors are often multiples of 4096 bytes, and one right after the other would
/// have a layer read and write the same lines of a cache, of which only a few fit at a
/// time.
const APART: usize = 5 * ARENA_LINE;

/// A tensor's mark, in a bit that no offset has.
const HELD: u32 = 1;
const _: () = assert!(ARENA_ALIGN > HELD as usize);

/// Bytes of arena that a network needs layer by layer, a multiple of 16;
/// `usize::MAX` if it is so large that offsets do not fit 32 bits.
///
/// Takes 20 KiB of stack; where that is too much, use [`Plan::with_capacity`].
pub fn arena_bytes(view: &View<'_>) -> usize {
    Plan::new(view).arena_bytes()
}

impl Plan {
    /// Plans any network of the format.
    pub fn new(view: &View<'_>) -> Plan {
        // The format admits no more tensors than the default capacity.
        Plan::whole(view)
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
        Ok(Plan::whole(view))
    }

    /// Layer by layer, for a network of at most `CAPACITY` tensors.
    fn whole(view: &View<'_>) -> Plan<CAPACITY> {
        let mut plan = Plan::made([0; CAPACITY], [0; CAPACITY], 0, Bands::NONE);
        plan.make(view, Bands::NONE, usize::MAX);
        plan
    }

    /// A plan that was made before, when the program was compiled: offsets in
    /// bytes, of each tensor ([`Plan::marked`]) and of each layer's scratch, 0 where
    /// there is none.
    pub(crate) const fn made(
        tensors: [u32; CAPACITY],
        scratch: [u32; CAPACITY],
        arena_bytes: usize,
        bands: Bands,
    ) -> Plan<CAPACITY> {
        Plan {
            tensors,
            scratch,
            arena_bytes,
            bands,
            #[cfg(feature = "threads")]
            threads: Threads::new(1),
        }
    }

    /// The same plan for a run on several threads: each part of a layer that is
    /// cut has scratch of its own, so that a layer's scratch grows with the
    /// parts, at most `threads.count` times. It lies where tensors that are not
    /// alive do, so that this rarely needs a larger arena. Tensors lie where each
    /// thread finds in its own core's cache what it wrote before, unless the network
    /// runs by rows; for that the arena grows by a quarter at most, and by nothing
    /// for two threads and the MobileNets at 224x224.
    #[cfg(feature = "threads")]
    #[must_use]
    pub fn for_threads(&self, view: &View<'_>, threads: Threads) -> Plan<CAPACITY> {
        let mut plan = Plan { threads, ..self.clone() };
        // The group is one of this network: it was before.
        plan.make(view, self.bands, usize::MAX);
        plan
    }

    /// The plan by rows with the smallest arena found, see
    /// [`Network::by_rows`](crate::Network::by_rows); the plan layer by layer if none
    /// needs less.
    ///
    /// Tries groups of at most 32 layers, in bands of 1, 2, 4, … rows, 128 bands at
    /// most. Takes up to 40 bytes of stack per tensor of capacity, and 3 KiB, beside
    /// the plan.
    #[must_use]
    pub fn by_rows(&self, view: &View<'_>) -> Plan<CAPACITY> {
        let mut plan = self.clone();
        plan.fit(view, 0);
        plan
    }

    /// Plans anew, in place: layer by layer if `arena_bytes` are enough for that, by
    /// rows ([`Plan::by_rows`]) if they are not. `view` is the network that was
    /// planned.
    pub fn fit(&mut self, view: &View<'_>, arena_bytes: usize) {
        self.make(view, Bands::NONE, arena_bytes);
        let whole = self.arena_bytes;
        if whole <= arena_bytes {
            return;
        }
        let Some(bands) = choose::bands(view, self) else { return };
        if self.make(view, bands, arena_bytes).is_none() || self.arena_bytes >= whole {
            self.make(view, Bands::NONE, arena_bytes);
        }
    }

    /// The plan for this group of layers by rows, whatever it needs. `None` if the
    /// network has no such layers, if the global average pool is one of them, or if
    /// there are no bands or more than rows.
    pub fn in_bands(&self, view: &View<'_>, bands: Bands) -> Option<Plan<CAPACITY>> {
        let mut plan = self.clone();
        // No bands is a mistake here, though it is how a plan by layers is kept.
        Some(bands).filter(|bands| bands.count > 0)?;
        plan.make(view, bands, usize::MAX)?;
        Some(plan)
    }

    /// Places everything. `None`, and nothing is changed, if the network has no such
    /// group; there is always [`Bands::NONE`]. For the sake of speed alone the arena does
    /// not grow beyond `most_bytes`.
    #[inline(never)]
    #[cfg_attr(not(feature = "threads"), expect(unused_variables))]
    fn make(&mut self, view: &View<'_>, bands: Bands, most_bytes: usize) -> Option<()> {
        let mut lives = Lives::<CAPACITY>::new(view);
        if bands != Bands::NONE {
            lives.group(view, bands)?;
        }
        self.bands = bands;
        self.place_all(view, &mut lives, 1);
        #[cfg(feature = "threads")]
        if self.threads.count > 1 && bands == Bands::NONE {
            let smallest = self.arena_bytes;
            let most_bytes = most_bytes.min(smallest.saturating_add(smallest / 4));
            for threads in [self.threads.count, 1] {
                lives.0.iter_mut().for_each(|life| life.placed = false);
                self.place_all(view, &mut lives, threads);
                if self.arena_bytes <= smallest.max(most_bytes) {
                    break;
                }
            }
        }
        Some(())
    }

    /// Places everything, tensors for so many threads.
    #[cfg_attr(not(feature = "threads"), expect(unused_variables))]
    fn place_all(&mut self, view: &View<'_>, lives: &mut Lives<CAPACITY>, threads: usize) {
        self.tensors.fill(0);
        self.scratch.fill(0);
        self.arena_bytes = 0;
        while let Some(id) = lives.largest_unplaced() {
            let Life { bytes, first, last, .. } = lives.0[id];
            #[cfg(feature = "threads")]
            let before = self.arena_bytes;
            self.tensors[id] = self.lowest(lives, bytes as usize, first, last);
            #[cfg(feature = "threads")]
            if threads > 1 {
                let start = self.home(lives, id, threads);
                self.tensors[id] = start as u32;
                self.arena_bytes = round_up(start.saturating_add(bytes as usize)).max(before);
            }
            lives.0[id].placed = true;
        }
        let Bands { first, end, .. } = self.bands;
        for (i, layer) in (0..).zip(view.layers()) {
            let convolution = geometry::convolution(view, &layer);
            let bytes = self.scratch_bytes(view, i.into(), &layer, convolution);
            if bytes > 0 {
                let (first, last) =
                    if (first..end).contains(&i) { (first, end - 1) } else { (i, i) };
                self.scratch[usize::from(i)] = self.lowest(lives, bytes, first, last);
            }
        }
        // An offset that does not fit has become the largest that does.
        if u32::try_from(self.arena_bytes).is_err() {
            self.arena_bytes = usize::MAX;
        }
        for (place, life) in self.tensors.iter_mut().zip(&lives.0) {
            *place = *place & !HELD | if life.held { HELD } else { 0 };
        }
    }

    /// The lowest offset at which `bytes` bytes are free from layer `first` to
    /// layer `last`; the arena grows to hold them.
    fn lowest(&mut self, lives: &Lives<CAPACITY>, bytes: usize, first: u16, last: u16) -> u32 {
        let mut start = 0usize;
        let mut moved = true;
        while moved {
            moved = false;
            for (life, &begin) in lives.0.iter().zip(&self.tensors) {
                let begin = begin as usize;
                let apart = if life.bytes > LARGE { APART } else { 0 };
                let end = round_up(begin.saturating_add(life.bytes as usize)).saturating_add(apart);
                let together = life.placed && life.first <= last && first <= life.last;
                if together && begin < start.saturating_add(bytes) && start < end {
                    start = end;
                    moved = true;
                }
            }
        }
        let end = round_up(start.saturating_add(bytes));
        self.arena_bytes = self.arena_bytes.max(end);
        u32::try_from(start).unwrap_or(u32::MAX)
    }

    /// Where a tensor that is placed at its lowest lies best for so many threads: 32 bits
    /// reach it, since it is the lowest or within the arena.
    #[cfg(feature = "threads")]
    fn home(&self, lives: &Lives<CAPACITY>, id: usize, threads: usize) -> usize {
        let Life { bytes, first, last, .. } = lives.0[id];
        let placed = lives.0.iter().zip(&self.tensors).filter(|(life, _)| life.placed);
        let neighbours = placed.map(|(life, &start)| Neighbour {
            start: start as usize,
            bytes: life.bytes as usize,
            apart: if bytes.max(life.bytes) > LARGE { APART } else { 0 },
            distance: life.first.saturating_sub(last).max(first.saturating_sub(life.last)),
        });
        let lowest = self.tensors[id] as usize;
        homes::home(lowest, bytes as usize, self.arena_bytes, threads, neighbours)
    }

    /// The group of layers that run by rows; `None` if the plan is layer by layer.
    pub fn bands(&self) -> Option<Bands> {
        Some(self.bands).filter(|bands| *bands != Bands::NONE)
    }

    /// What the plan has scratch for.
    #[cfg(feature = "threads")]
    pub fn threads(&self) -> Threads {
        self.threads
    }

    /// Bytes of scratch of a layer that is this convolution, if it is one.
    #[cfg_attr(not(feature = "threads"), expect(unused_variables))]
    pub(crate) fn scratch_bytes(
        &self,
        view: &View<'_>,
        index: usize,
        layer: &LayerView<'_>,
        convolution: Option<(Operation, Conv)>,
    ) -> usize {
        let Some((operation, conv)) = convolution else { return 0 };
        #[cfg(feature = "threads")]
        if self.threads.count > 1 && !self.bands.layers().contains(&index) {
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
    /// which lie elsewhere, for a tensor of which only rows ever lie there, and for
    /// an id the network does not have. `view` is the network that was planned.
    pub fn tensor(&self, view: &View<'_>, id: TensorId) -> Option<Range<usize>> {
        let bytes = arena_tensor_bytes(&view.get_tensor(id)?);
        match self.place(id)? {
            (_, true) => None,
            _ if bytes == 0 => None,
            (start, false) => Some(start..start.checked_add(bytes)?),
        }
    }

    /// Where a tensor begins in the arena, and whether only rows of it lie there.
    pub(crate) fn place(&self, id: TensorId) -> Option<(usize, bool)> {
        let marked = *self.tensors.get(usize::from(id))?;
        Some(((marked & !HELD) as usize, marked & HELD != 0))
    }

    /// What [`Plan::made`] wants to know of a tensor.
    #[doc(hidden)]
    pub fn marked(&self, id: TensorId) -> u32 {
        self.tensors.get(usize::from(id)).copied().unwrap_or(0)
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
        let bytes = self.scratch_bytes(view, index, layer, convolution);
        if bytes == 0 {
            return Some(NOWHERE);
        }
        let start = *self.scratch.get(index)? as usize;
        Some(start..start.checked_add(bytes)?)
    }
}

/// What every tensor asks of the plan, while it is made.
pub(crate) struct Lives<const CAPACITY: usize>(pub(crate) [Life; CAPACITY]);

/// What a tensor asks of the plan.
#[derive(Clone, Copy)]
pub(crate) struct Life {
    /// Room in the arena: 0 for the image and the scores.
    pub(crate) bytes: u32,
    /// Layer that writes it.
    pub(crate) first: u16,
    /// Last layer that reads it, or `first`.
    pub(crate) last: u16,
    placed: bool,
    held: bool,
}

impl Life {
    /// Whether the tensor is needed in these layers.
    pub(crate) fn meets(&self, layers: &Range<usize>) -> bool {
        usize::from(self.first) < layers.end && usize::from(self.last) >= layers.start
    }

    /// Whether rows of it are enough where these layers run by rows: they write it,
    /// they alone read it, and it lies in the arena.
    pub(crate) fn is_held(&self, layers: &Range<usize>) -> bool {
        let [first, last] = [self.first, self.last].map(usize::from);
        self.bytes > 0 && first >= layers.start && last < layers.end && first < last
    }
}

/// Most rows of each tensor that lie in the arena while `bands` run, into `rooms`;
/// `layers` are the group's, in order. `None` if a layer is missing.
pub(crate) fn rooms<const CAPACITY: usize>(
    bands: Bands,
    layers: impl DoubleEndedIterator<Item = Option<Reaches>> + Clone,
    rooms: &mut [u16; CAPACITY],
) -> Option<()> {
    let mut held = [Held::default(); CAPACITY];
    rooms.fill(0);
    for band in 0..bands.count {
        advance(&mut held, bands, band, layers.clone().rev())?;
        for (room, held) in rooms.iter_mut().zip(&held) {
            *room = held.room().max(*room);
        }
    }
    Some(())
}

impl<const CAPACITY: usize> Lives<CAPACITY> {
    pub(crate) fn new(view: &View<'_>) -> Lives<CAPACITY> {
        let life = Life { bytes: 0, first: 0, last: 0, placed: false, held: false };
        let mut lives = [life; CAPACITY];
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
        Lives(lives)
    }

    /// Has a group of layers run by rows. `None`, and nothing is changed, if the
    /// network has no such group.
    fn group(&mut self, view: &View<'_>, bands: Bands) -> Option<()> {
        let layers = bands.layers();
        let reaches = layers.clone().map(|i| Reaches::new(view, &view.get_layer(i)?));
        let last = reaches.clone().next_back()??;
        if !(1..=last.output_rows()).contains(&bands.count) {
            return None;
        }
        let mut of = [0; CAPACITY];
        rooms(bands, reaches, &mut of)?;
        for ((life, room), tensor) in self.0.iter_mut().zip(of).zip(view.tensors()) {
            if life.is_held(&layers) {
                life.held = true;
                life.bytes = life.bytes / u32::from(tensor.height) * u32::from(room);
            }
            // The layers run in turn: what one needs, it needs until all are done.
            if life.meets(&layers) {
                life.first = life.first.min(bands.first);
                life.last = life.last.max(bands.end - 1);
            }
        }
        Some(())
    }

    /// Of equally large tensors, the first.
    fn largest_unplaced(&self) -> Option<usize> {
        let waiting = self.0.iter().enumerate().filter(|(_, l)| !l.placed && l.bytes > 0);
        waiting.min_by_key(|(_, life)| core::cmp::Reverse(life.bytes)).map(|(id, _)| id)
    }
}

/// To the next multiple of the alignment; `usize::MAX` where there is none.
pub(crate) fn round_up(bytes: usize) -> usize {
    bytes.checked_next_multiple_of(ARENA_ALIGN).unwrap_or(usize::MAX)
}

/// Bytes of a tensor in the arena: none for the image and the scores.
fn arena_tensor_bytes(tensor: &Tensor) -> usize {
    match tensor.kind {
        Kind::Image | Kind::Scores => 0,
        Kind::Stream | Kind::Bits => tensor.bytes(),
    }
}
