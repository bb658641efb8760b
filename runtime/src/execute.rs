//! Runs the layers, one after the other, each as one call of a kernel.

use core::ops::Range;

use bitat_format::limits::TENSORS;
use bitat_format::{EpilogueView, Kind, LayerView, OperationView, TensorId, View};
use bitat_kernels::{
    Conv, Epilogue, Int8Input, Kernels, Misuse, Prelu, Shortcut, Sign, scratch_bytes,
};
use bytemuck::{try_cast_slice, try_cast_slice_mut};

use crate::arena::{ARENA_ALIGN, NOWHERE, cut};
use crate::error::Error;
use crate::geometry;
use crate::plan::Plan;

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
        mut observer: impl FnMut(Step<'_>),
    ) -> Result<(), Error> {
        let (arena, scores) = self.check(image, arena, scores)?;
        for (index, layer) in self.view.layers().enumerate() {
            let internal = |misuse| Error::Internal { layer: index, misuse };
            self.layer(index, &layer, image, arena, scores).map_err(internal)?;
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
        let expected = self.view.tensor(0).bytes();
        if image.len() != expected {
            return Err(Error::Image { expected, found: image.len() });
        }
        let (expected, found) = (self.view.class_count(), scores.len());
        let scores = scores.get_mut(..expected).ok_or(Error::Scores { expected, found })?;
        if !arena.as_ptr().addr().is_multiple_of(ARENA_ALIGN) {
            return Err(Error::ArenaAlignment);
        }
        let (expected, found) = (self.arena_bytes(), arena.len());
        let arena = arena.get_mut(..expected).ok_or(Error::ArenaLength { expected, found })?;
        Ok((arena, scores))
    }

    /// Runs one layer. Every error is a bug here or in the plan: `None` where
    /// slices cannot be cut or cast, else what the kernel refused.
    fn layer(
        &self,
        index: usize,
        layer: &LayerView<'a>,
        image: &[u8],
        arena: &mut [u8],
        scores: &mut [i32],
    ) -> Result<(), Option<Misuse>> {
        let convolution = geometry::convolution(&self.view, layer);
        let scratch = convolution.map_or(0, |(operation, conv)| scratch_bytes(operation, &conv));
        let slices = self.slices(index, layer, scratch, arena).ok_or(None)?;
        let Slices { input, shortcut, stream, bits, scratch } = slices;
        let Some((_, conv)) = convolution else {
            return self.pool(layer, input, stream);
        };
        let outputs = Outputs { stream, bits, scores };
        let done = match layer.operation {
            OperationView::Int8Conv { narrow, weights, epilogue, .. } => {
                let input = match layer.input {
                    0 => Int8Input::Image { pixels: image, zero: self.view.input().zero },
                    _ => Int8Input::Stream { values: cast(input)?, narrow },
                };
                let epilogue = self.epilogue(epilogue, shortcut, outputs)?;
                self.kernels.int8_conv(&conv, input, weights, rows(&conv), epilogue, scratch)
            }
            OperationView::Int8Depthwise { narrow, weights, epilogue, .. } => {
                let input = cast(input)?;
                let epilogue = self.epilogue(epilogue, shortcut, outputs)?;
                let rows = rows(&conv);
                self.kernels.int8_depthwise(&conv, input, narrow, weights, rows, epilogue, scratch)
            }
            OperationView::BinaryConv { padding, weights, epilogue, .. } => {
                let padding = geometry::padding(padding);
                let epilogue = self.epilogue(epilogue, shortcut, outputs)?;
                let rows = rows(&conv);
                self.kernels.binary_conv(&conv, padding, input, weights, rows, epilogue, scratch)
            }
            OperationView::BinaryDepthwise { padding, weights, epilogue, .. } => {
                let padding = geometry::padding(padding);
                let epilogue = self.epilogue(epilogue, shortcut, outputs)?;
                let (k, rows) = (self.kernels, rows(&conv));
                k.binary_depthwise(&conv, padding, input, weights, rows, epilogue, scratch)
            }
            OperationView::GlobalAveragePool { .. } => return Err(None),
        };
        done.map_err(Some)
    }

    fn pool(
        &self,
        layer: &LayerView<'a>,
        input: &[u8],
        output: &mut [u8],
    ) -> Result<(), Option<Misuse>> {
        let OperationView::GlobalAveragePool { shift, .. } = layer.operation else {
            return Err(None);
        };
        let shape = geometry::shape(&self.view.tensor(layer.input));
        let done = self.kernels.global_average_pool(shape, shift, cast(input)?, cast_mut(output)?);
        done.map_err(Some)
    }

    /// One layer's slices of the arena, those it does not have being empty.
    fn slices<'s>(
        &self,
        index: usize,
        layer: &LayerView<'a>,
        scratch_bytes: usize,
        arena: &'s mut [u8],
    ) -> Option<Slices<'s>> {
        let place = |id| self.plan.tensor(&self.view, id).unwrap_or(NOWHERE);
        let of_kind = |kind| {
            let mut writes = layer.writes();
            writes.find(|&id| self.view.tensor(id).kind == kind).map_or(NOWHERE, place)
        };
        // A shortcut may start from the input; it then needs no slice of its own.
        let input = place(layer.input);
        let from = layer.reads().nth(1);
        let shares = from == Some(layer.input);
        let shortcut = from.filter(|_| !shares).map_or(NOWHERE, place);
        let scratch = self.plan.scratch_range(index, scratch_bytes)?;
        let ranges = [input, shortcut, of_kind(Kind::Stream), of_kind(Kind::Bits), scratch];
        let [input, shortcut, stream, bits, scratch] = cut(arena, ranges)?;
        let input: &[u8] = input;
        let shortcut = if shares { input } else { shortcut };
        Some(Slices { input, shortcut, stream, bits, scratch })
    }

    fn epilogue<'s>(
        &self,
        epilogue: EpilogueView<'s>,
        shortcut: &'s [u8],
        outputs: Outputs<'s>,
    ) -> Result<Epilogue<'s>, Option<Misuse>> {
        Ok(match epilogue {
            EpilogueView::Threshold { thresholds, .. } => {
                Epilogue::Threshold { thresholds, bits: outputs.bits }
            }
            EpilogueView::Stream {
                shift,
                multiplier,
                bias,
                shortcut: from,
                prelu,
                stream,
                sign,
            } => {
                let shortcut = match from {
                    Some(from) => Some(Shortcut {
                        values: cast(shortcut)?,
                        shape: geometry::shape(&self.view.tensor(from.tensor)),
                        pool: from.pool.into(),
                        shift: from.shift,
                    }),
                    None => None,
                };
                let prelu =
                    prelu.map(|p| Prelu { before: p.before, slope: p.slope, after: p.after });
                let stream = match stream {
                    Some(_) => Some(cast_mut(outputs.stream)?),
                    None => None,
                };
                let sign = sign.map(|s| Sign { thresholds: s.thresholds, bits: outputs.bits });
                Epilogue::Stream { shift, multiplier, bias, shortcut, prelu, stream, sign }
            }
            EpilogueView::Scores { multiplier, bias, .. } => {
                Epilogue::Scores { multiplier, bias, scores: outputs.scores }
            }
        })
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
            let values = match self.view.tensor(id).kind {
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

/// Where a layer may write; each epilogue takes what it needs.
struct Outputs<'s> {
    stream: &'s mut [u8],
    bits: &'s mut [u8],
    scores: &'s mut [i32],
}

/// All rows of the output.
fn rows(conv: &Conv) -> Range<usize> {
    0..conv.output.h
}

fn cast(bytes: &[u8]) -> Result<&[i16], Option<Misuse>> {
    try_cast_slice(bytes).map_err(|_| None)
}

fn cast_mut(bytes: &mut [u8]) -> Result<&mut [i16], Option<Misuse>> {
    try_cast_slice_mut(bytes).map_err(|_| None)
}
