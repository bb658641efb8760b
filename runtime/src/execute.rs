//! Runs the layers, one after the other, each as one call of a kernel; those of a
//! group that runs by rows (`bands.rs`) in turn, each as one call for each band.

use core::ops::Range;

use bitat_format::limits::TENSORS;
use bitat_format::{EpilogueView, Kind, LayerView, OperationView, Tensor, TensorId, View};
use bitat_kernels::{Kernels, Misuse, Shape, Shortcut};
use bytemuck::{try_cast_slice, try_cast_slice_mut};

use crate::arena::{ARENA_ALIGN, NOWHERE, cut};
use crate::bands::{Bands, Held, Reaches, advance};
use crate::error::Error;
use crate::geometry;
use crate::part::{Alone, Crew, Input, Part, cast};
use crate::plan::Plan;
#[cfg(feature = "threads")]
use crate::pool::{Gang, Pool};
#[cfg(feature = "threads")]
use crate::split::Threads;

/// A planned network and the kernels that run it.
///
/// Holds nothing but the borrowed file, the kernels and the [`Plan`]: 8 bytes
/// per tensor of `CAPACITY`, which is 8 KiB by default. On a small device, say
/// `Network::<64>::with_capacity(view, kernels)?` and place it in a static or
/// on the stack. It can be shared; each run needs an arena of its own.
#[derive(Clone, Debug)]
pub struct Network<'a, const CAPACITY: usize = TENSORS> {
    view: View<'a>,
    kernels: Kernels,
    plan: Plan<CAPACITY>,
}

/// A layer that has just run, and what it wrote.
#[derive(Clone, Copy, Debug)]
pub struct Step<'s> {
    /// Index of the layer.
    pub layer: usize,
    /// One or two tensors, the stream before the bits; fewer where a group of layers
    /// held only rows of one. The slices are only valid now: later layers write over
    /// them.
    pub outputs: &'s [(TensorId, Values<'s>)],
}

/// The elements of a tensor, as they lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values<'s> {
    /// Row, column, channel.
    Stream(&'s [i16]),
    /// Row, column, channel; a pixel takes whole 8-byte words, channel `c` is
    /// bit `c % 8` of byte `c / 8`, the tail is 0.
    Bits(&'s [u8]),
    /// One per class.
    Scores(&'s [i32]),
}

impl<'a> Network<'a> {
    /// Plans any network of the format.
    pub fn new(view: View<'a>, kernels: Kernels) -> Network<'a> {
        Network { view, kernels, plan: Plan::new(&view) }
    }
}

impl<'a, const CAPACITY: usize> Network<'a, CAPACITY> {
    /// Plans a network of at most `CAPACITY` tensors.
    ///
    /// # Errors
    /// [`Error::Capacity`] if it has more.
    pub fn with_capacity(view: View<'a>, kernels: Kernels) -> Result<Network<'a, CAPACITY>, Error> {
        Ok(Network { view, kernels, plan: Plan::with_capacity(&view)? })
    }

    /// A network whose file was admitted and whose plan was made before.
    pub(crate) fn planned(view: View<'a>, kernels: Kernels, plan: Plan<CAPACITY>) -> Self {
        Network { view, kernels, plan }
    }

    /// The file.
    pub fn view(&self) -> View<'a> {
        self.view
    }

    /// The kernels.
    pub fn kernels(&self) -> Kernels {
        self.kernels
    }

    /// Where the tensors lie.
    pub fn plan(&self) -> &Plan<CAPACITY> {
        &self.plan
    }

    /// Bytes of arena that a run needs.
    pub fn arena_bytes(&self) -> usize {
        self.plan.arena_bytes()
    }

    /// Scores one image.
    ///
    /// - `image`: pixels 0–255 in the order row, column, channel, exactly one
    ///   image. Preprocessing is part of the network.
    /// - `arena`: at least [`Network::arena_bytes`] bytes, at a multiple of
    ///   [`ARENA_ALIGN`] in memory. What it contains does not matter; bytes past
    ///   those needed stay as they are.
    /// - `scores`: room for at least one score per class; more stay as they are.
    ///
    /// # Errors
    /// The argument that does not fit; nothing has been written then.
    pub fn run(&self, image: &[u8], arena: &mut [u8], scores: &mut [i32]) -> Result<(), Error> {
        self.run_with(image, arena, scores, |_| {})
    }

    /// As [`Network::run`]; calls `observer` right after each layer; of a group that
    /// runs by rows ([`Network::by_rows`]), after its last.
    ///
    /// There is no clock in here: who wants times reads one before the run and
    /// in the observer.
    ///
    /// # Errors
    /// As [`Network::run`].
    pub fn run_with(
        &self,
        image: &[u8],
        arena: &mut [u8],
        scores: &mut [i32],
        observer: impl FnMut(Step<'_>),
    ) -> Result<(), Error> {
        self.run_by(&Alone, image, arena, scores, observer)
    }

    /// Plans for the smallest arena found, with the widest layers run by rows: a
    /// group of layers is run in turn for some rows of its last layer's output, so
    /// that of the tensors between them only rows exist at a time. The same scores,
    /// in [`Plan::by_rows`]'s arena, which is the same where nothing is gained.
    ///
    /// Costs a call of a kernel for each layer of the group and each band of rows.
    /// An observer ([`Network::run_with`]) sees the group's layers after its last,
    /// with those outputs that lie whole in the arena; in a run on several threads
    /// the group stays on the calling one. A run takes 8 bytes of stack more per
    /// tensor of capacity.
    #[must_use]
    pub fn by_rows(mut self) -> Network<'a, CAPACITY> {
        self.fit(0);
        self
    }

    /// Plans anew for an arena of `arena_bytes`, in place: the layers run whole, which
    /// is fastest, if these are enough for it, and by rows ([`Network::by_rows`]) if
    /// they are not. What is needed then, [`Network::arena_bytes`] says; it may be more
    /// than `arena_bytes`, if not even a run by rows needs so little.
    pub fn fit(&mut self, arena_bytes: usize) {
        self.plan.fit(&self.view, arena_bytes);
    }

    /// The same for a given group of layers; `None` as for [`Plan::in_bands`].
    pub fn in_bands(mut self, bands: Bands) -> Option<Network<'a, CAPACITY>> {
        self.plan = self.plan.in_bands(&self.view, bands)?;
        Some(self)
    }

    /// Plans for a run on several threads: with scratch for each, and tensors where each
    /// thread finds what it wrote ([`Plan::for_threads`]). [`Network::arena_bytes`] may grow.
    #[cfg(feature = "threads")]
    #[must_use]
    pub fn for_threads(mut self, threads: Threads) -> Network<'a, CAPACITY> {
        self.plan = self.plan.for_threads(&self.view, threads);
        self
    }

    /// As [`Network::run`], on several threads: the same integers for any number
    /// of them. Each layer that is large enough to gain is shared by as many of
    /// the pool's threads as the network was planned for
    /// ([`Network::for_threads`]); the others stay on the calling thread.
    ///
    /// Nothing is allocated.
    ///
    /// # Errors
    /// As [`Network::run`].
    #[cfg(feature = "threads")]
    pub fn run_on(
        &self,
        pool: &Pool,
        image: &[u8],
        arena: &mut [u8],
        scores: &mut [i32],
    ) -> Result<(), Error> {
        self.run_on_with(pool, image, arena, scores, |_| {})
    }

    /// As [`Network::run_on`]; calls `observer`, on the calling thread, right
    /// after each layer.
    ///
    /// # Errors
    /// As [`Network::run`].
    #[cfg(feature = "threads")]
    pub fn run_on_with(
        &self,
        pool: &Pool,
        image: &[u8],
        arena: &mut [u8],
        scores: &mut [i32],
        observer: impl FnMut(Step<'_>),
    ) -> Result<(), Error> {
        let gang = Gang { pool, planned: self.plan.threads() };
        self.run_by(&gang, image, arena, scores, observer)
    }

    fn run_by(
        &self,
        crew: &impl Crew,
        image: &[u8],
        arena: &mut [u8],
        scores: &mut [i32],
        mut observer: impl FnMut(Step<'_>),
    ) -> Result<(), Error> {
        let (arena, scores) = self.check(image, arena, scores)?;
        let bands = self.plan.bands().unwrap_or(Bands::NONE);
        for index in 0..self.view.layer_count() {
            let internal = |misuse| Error::Internal { layer: index, misuse };
            let layer = self.view.get_layer(index).ok_or(internal(None))?;
            let mut run = Run { image, arena, scores };
            if !bands.layers().contains(&index) {
                self.layer(index, &layer, None, &[], &mut run, crew).map_err(internal)?;
            } else if index == bands.layers().start {
                self.group(bands, &mut run).map_err(internal)?;
            }
            self.observe(index, &layer, arena, scores, &mut observer).ok_or(internal(None))?;
        }
        Ok(())
    }

    /// Runs a group of layers by rows, on the calling thread; errors as for
    /// [`Crew::compute`].
    #[inline(never)]
    fn group(&self, bands: Bands, run: &mut Run<'_>) -> Result<(), Option<Misuse>> {
        let mut held = [Held::default(); CAPACITY];
        for band in 0..bands.count {
            let layers = bands.layers().rev();
            let reaches = layers.map(|i| Reaches::new(&self.view, &self.view.get_layer(i)?));
            advance(&mut held, bands, band, reaches).ok_or(None)?;
            for index in bands.layers() {
                let layer = self.view.get_layer(index).ok_or(None)?;
                let mut rows = 0..0;
                for id in layer.writes() {
                    let output = held.get(usize::from(id)).ok_or(None)?;
                    self.keep(id, output, run.arena).ok_or(None)?;
                    rows = output.writes();
                }
                if !rows.is_empty() {
                    self.layer(index, &layer, Some(rows), &held, run, &Alone)?;
                }
            }
        }
        Ok(())
    }

    /// Moves the rows of a tensor that are read again to the front of its room.
    fn keep(&self, id: TensorId, held: &Held, arena: &mut [u8]) -> Option<()> {
        let (start, true) = self.plan.place(id)? else { return Some(()) };
        let (gone, stay) = held.moves()?;
        let row = row_bytes(&self.view.get_tensor(id)?);
        let room = arena.get_mut(start..)?;
        // Row by row, since where they go may reach to where they come from. By
        // copy_within the device's code would have a panic.
        for to in 0..if gone > 0 { stay } else { 0 } {
            let (front, back) = room.split_at_mut_checked((to + gone) * row)?;
            let front = front.get_mut(to * row..)?.get_mut(..row)?;
            front.copy_from_slice(back.get(..row)?);
        }
        Some(())
    }

    /// The arena and the scores, cut to what is needed.
    fn check<'s>(
        &self,
        image: &[u8],
        arena: &'s mut [u8],
        scores: &'s mut [i32],
    ) -> Result<(&'s mut [u8], &'s mut [i32]), Error> {
        let internal = Error::Internal { layer: 0, misuse: None };
        let tensor = |id| self.view.get_tensor(id).ok_or(internal);
        let expected = tensor(0)?.bytes();
        if image.len() != expected {
            return Err(Error::Image { expected, found: image.len() });
        }
        let classes = tensor(self.view.scores())?.channels;
        let (expected, found) = (usize::from(classes), scores.len());
        let scores = scores.get_mut(..expected).ok_or(Error::Scores { expected, found })?;
        if !arena.as_ptr().addr().is_multiple_of(ARENA_ALIGN) {
            return Err(Error::ArenaAlignment);
        }
        let (expected, found) = (self.arena_bytes(), arena.len());
        let arena = arena.get_mut(..expected).ok_or(Error::ArenaLength { expected, found })?;
        Ok((arena, scores))
    }

    /// Runs one layer, or some rows of its output while a group runs by rows, when
    /// `held` says what there is of the group's tensors. Errors as for
    /// [`Crew::compute`].
    fn layer(
        &self,
        index: usize,
        layer: &LayerView<'_>,
        rows: Option<Range<usize>>,
        held: &[Held],
        run: &mut Run<'_>,
        crew: &impl Crew,
    ) -> Result<(), Option<Misuse>> {
        let Some((operation, mut conv)) = geometry::convolution(&self.view, layer) else {
            return self.pool(layer, run.arena);
        };
        // As much scratch as all rows need, which is enough for some.
        let scratch = Some((operation, conv));
        let scratch = self.plan.scratch_range(&self.view, index, layer, scratch).ok_or(None)?;
        let reaches = Reaches::new(&self.view, layer).ok_or(None)?;
        let rows = rows.unwrap_or(0..conv.output.h);
        let (read, pad_top) = reaches.input.rows(&rows);
        let added = reaches.shortcut.map(|reach| reach.rows(&rows).0);
        let reads = Reads { input: &read, shortcut: added.as_ref() };
        let slices = self.slices(layer, reads, &rows, scratch, held, run.arena).ok_or(None)?;
        let Slices { input, shortcut, stream, bits, scratch } = slices;

        (conv.input.h, conv.output.h, conv.window.pad_top) = (read.len(), rows.len(), pad_top);
        let shortcut = match (layer.operation.epilogue(), added) {
            (Some(EpilogueView::Stream { shortcut: Some(from), .. }), Some(added)) => {
                let shape = geometry::shape(&self.view.get_tensor(from.tensor).ok_or(None)?);
                Some(Shortcut {
                    values: cast(shortcut)?,
                    shape: Shape { h: added.len(), ..shape },
                    pool: from.pool.into(),
                    shift: from.shift,
                })
            }
            _ => None,
        };
        let input = match layer.input {
            0 => Input::Image {
                pixels: self.lines(0, &read, held).and_then(|at| run.image.get(at)).ok_or(None)?,
                zero: self.view.get_input().ok_or(None)?.zero,
            },
            _ => Input::Arena(input),
        };
        let (operation, rows) = (layer.operation, 0..conv.output.h);
        let (stream, scores) = (cast_mut(stream)?, &mut *run.scores);
        let part = Part { operation, conv, rows, input, shortcut, stream, bits, scores, scratch };
        crew.compute(self.kernels, part)
    }

    fn pool(&self, layer: &LayerView<'_>, arena: &mut [u8]) -> Result<(), Option<Misuse>> {
        let OperationView::GlobalAveragePool { shift, output } = layer.operation else {
            return Err(None);
        };
        let shape = geometry::shape(&self.view.get_tensor(layer.input).ok_or(None)?);
        let ranges = [(layer.input, 0..shape.h), (output, 0..1)]
            .map(|(id, rows)| self.lines(id, &rows, &[]).unwrap_or(NOWHERE));
        let [input, output] = cut(arena, ranges).ok_or(None)?;
        let done = self.kernels.global_average_pool(shape, shift, cast(input)?, cast_mut(output)?);
        done.map_err(Some)
    }

    /// One layer's slices of the arena, those it does not have being empty.
    fn slices<'s>(
        &self,
        layer: &LayerView<'_>,
        reads: Reads<'_>,
        rows: &Range<usize>,
        scratch: Range<usize>,
        held: &[Held],
        arena: &'s mut [u8],
    ) -> Option<Slices<'s>> {
        let of_kind = |kind| {
            let mut writes = layer.writes();
            let is_of = |id| self.view.get_tensor(id).is_some_and(|tensor| tensor.kind == kind);
            writes.find(|&id| is_of(id)).map_or(Some(NOWHERE), |id| self.lines(id, rows, held))
        };
        let of_arena = |id, rows| if id == 0 { Some(NOWHERE) } else { self.lines(id, rows, held) };
        let input = of_arena(layer.input, reads.input)?;
        let shortcut = match (layer.reads().nth(1), reads.shortcut) {
            (Some(id), Some(rows)) => of_arena(id, rows)?,
            _ => NOWHERE,
        };
        // A shortcut may start from the input: one slice then has the rows of both.
        let shares = layer.reads().nth(1) == Some(layer.input);
        let (all, other) = match shares {
            true => (input.start.min(shortcut.start)..input.end.max(shortcut.end), NOWHERE),
            false => (input.clone(), shortcut.clone()),
        };
        let from = all.start;
        let part = |range: Range<usize>| range.start - from..range.end - from;
        let ranges = [all, other, of_kind(Kind::Stream)?, of_kind(Kind::Bits)?, scratch];
        let [all, other, stream, bits, scratch] = cut(arena, ranges)?;
        let (all, other): (&[u8], &[u8]) = (all, other);
        let shortcut = if shares { all.get(part(shortcut))? } else { other };
        Some(Slices { input: all.get(part(input))?, shortcut, stream, bits, scratch })
    }

    /// Where rows of a tensor lie: in the arena, or in the image. Those of a tensor
    /// that a group holds in rows begin at the first that there is.
    fn lines(&self, id: TensorId, rows: &Range<usize>, held: &[Held]) -> Option<Range<usize>> {
        let row = row_bytes(&self.view.get_tensor(id)?);
        let (start, is_held) = self.plan.place(id)?;
        let first = if is_held { held.get(usize::from(id))?.first() } else { 0 };
        let at = |row_index: usize| Some(start + row_index.checked_sub(first)?.checked_mul(row)?);
        Some(at(rows.start)?..at(rows.end)?)
    }

    /// Shows the observer what a layer wrote.
    fn observe(
        &self,
        index: usize,
        layer: &LayerView<'a>,
        arena: &[u8],
        scores: &[i32],
        observer: &mut dyn FnMut(Step<'_>),
    ) -> Option<()> {
        let mut outputs = [(0, Values::Bits(&[])); 2];
        let mut count = 0;
        let whole = layer.writes().filter(|&id| !self.plan.place(id).is_some_and(|(_, held)| held));
        for (output, id) in outputs.iter_mut().zip(whole) {
            let bytes = || arena.get(self.plan.tensor(&self.view, id)?);
            let values = match self.view.get_tensor(id)?.kind {
                Kind::Stream => Values::Stream(try_cast_slice(bytes()?).ok()?),
                Kind::Bits => Values::Bits(bytes()?),
                Kind::Scores => Values::Scores(scores),
                Kind::Image => return None,
            };
            *output = (id, values);
            count += 1;
        }
        observer(Step { layer: index, outputs: outputs.get(..count)? });
        Some(())
    }
}

/// What a run is given, the arena and the scores cut to what is needed.
struct Run<'s> {
    image: &'s [u8],
    arena: &'s mut [u8],
    scores: &'s mut [i32],
}

/// The rows that a layer reads.
struct Reads<'r> {
    input: &'r Range<usize>,
    shortcut: Option<&'r Range<usize>>,
}

/// One layer's part of the arena.
struct Slices<'s> {
    input: &'s [u8],
    shortcut: &'s [u8],
    stream: &'s mut [u8],
    bits: &'s mut [u8],
    scratch: &'s mut [u8],
}

fn cast_mut(bytes: &mut [u8]) -> Result<&mut [i16], Option<Misuse>> {
    try_cast_slice_mut(bytes).map_err(|_| None)
}

fn row_bytes(tensor: &Tensor) -> usize {
    Tensor { height: 1, ..*tensor }.bytes()
}
