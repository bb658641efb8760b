//! Runs the layers, one after the other, each as one call of a kernel.

use bitat_format::limits::TENSORS;
use bitat_format::{EpilogueView, Kind, LayerView, OperationView, TensorId, View};
use bitat_kernels::{Conv, Kernels, Misuse, Operation, Shortcut};
use bytemuck::{try_cast_slice, try_cast_slice_mut};

use crate::arena::{ARENA_ALIGN, NOWHERE, cut};
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
    /// One or two tensors, the stream before the bits. The slices are only
    /// valid now: later layers write over them.
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

    /// As [`Network::run`]; calls `observer` right after each layer.
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

    /// Plans for a run on several threads. Only the scratch grows, see
    /// [`Plan::for_threads`], and with it perhaps [`Network::arena_bytes`].
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
    /// Nothing of the network is allocated; the pool allocates some bytes for
    /// each part of a layer that it is handed.
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
        for index in 0..self.view.layer_count() {
            let internal = |misuse| Error::Internal { layer: index, misuse };
            let layer = self.view.get_layer(index).ok_or(internal(None))?;
            self.layer(index, &layer, image, arena, scores, crew).map_err(internal)?;
            self.observe(index, &layer, arena, scores, &mut observer).ok_or(internal(None))?;
        }
        Ok(())
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

    /// Runs one layer; errors as for [`Crew::compute`].
    fn layer(
        &self,
        index: usize,
        layer: &LayerView<'_>,
        image: &[u8],
        arena: &mut [u8],
        scores: &mut [i32],
        crew: &impl Crew,
    ) -> Result<(), Option<Misuse>> {
        let convolution = geometry::convolution(&self.view, layer);
        let slices = self.slices(index, layer, convolution, arena).ok_or(None)?;
        let Slices { input, shortcut, stream, bits, scratch } = slices;
        let stream = cast_mut(stream)?;
        let Some((_, conv)) = convolution else {
            return self.pool(layer, input, stream);
        };
        let shortcut = match layer.operation.epilogue() {
            Some(EpilogueView::Stream { shortcut: Some(from), .. }) => Some(Shortcut {
                values: cast(shortcut)?,
                shape: geometry::shape(&self.view.get_tensor(from.tensor).ok_or(None)?),
                pool: from.pool.into(),
                shift: from.shift,
            }),
            _ => None,
        };
        let input = match layer.input {
            0 => Input::Image { pixels: image, zero: self.view.get_input().ok_or(None)?.zero },
            _ => Input::Arena(input),
        };
        let (operation, rows) = (layer.operation, 0..conv.output.h);
        let part = Part { operation, conv, rows, input, shortcut, stream, bits, scores, scratch };
        crew.compute(self.kernels, part)
    }

    fn pool(
        &self,
        layer: &LayerView<'a>,
        input: &[u8],
        output: &mut [i16],
    ) -> Result<(), Option<Misuse>> {
        let OperationView::GlobalAveragePool { shift, .. } = layer.operation else {
            return Err(None);
        };
        let shape = geometry::shape(&self.view.get_tensor(layer.input).ok_or(None)?);
        let done = self.kernels.global_average_pool(shape, shift, cast(input)?, output);
        done.map_err(Some)
    }

    /// One layer's slices of the arena, those it does not have being empty.
    fn slices<'s>(
        &self,
        index: usize,
        layer: &LayerView<'_>,
        convolution: Option<(Operation, Conv)>,
        arena: &'s mut [u8],
    ) -> Option<Slices<'s>> {
        let place = |id| self.plan.tensor(&self.view, id).unwrap_or(NOWHERE);
        let of_kind = |kind| {
            let mut writes = layer.writes();
            let is_of = |id| self.view.get_tensor(id).is_some_and(|tensor| tensor.kind == kind);
            writes.find(|&id| is_of(id)).map_or(NOWHERE, place)
        };
        // A shortcut may start from the input; it then needs no slice of its own.
        let input = place(layer.input);
        let from = layer.reads().nth(1);
        let shares = from == Some(layer.input);
        let shortcut = from.filter(|_| !shares).map_or(NOWHERE, place);
        let scratch = self.plan.scratch_range(&self.view, index, layer, convolution)?;
        let ranges = [input, shortcut, of_kind(Kind::Stream), of_kind(Kind::Bits), scratch];
        let [input, shortcut, stream, bits, scratch] = cut(arena, ranges)?;
        let input: &[u8] = input;
        let shortcut = if shares { input } else { shortcut };
        Some(Slices { input, shortcut, stream, bits, scratch })
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
        for (output, id) in outputs.iter_mut().zip(layer.writes()) {
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
