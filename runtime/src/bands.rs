//! Layers that run by rows: a group of consecutive layers, of whose tensors only
//! some rows exist at a time.
//!
//! The rows of the group's last layer are cut into bands. For each band every
//! layer of the group, in order, writes those rows that the layers after it read
//! for their rows of the band; the rows that a later band reads again move to the
//! front of their tensor's room. No row is computed twice. The last band has
//! whatever is left, so that every layer has written all its rows then.
//!
//! A tensor that is read after the group, or never, lies whole in the arena.

use core::ops::Range;

use bitat_format::{EpilogueView, LayerView, TensorId, View, Window};

/// A group of layers that run by rows, see [`Network::by_rows`](crate::Network::by_rows).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bands {
    /// The group's first layer.
    pub first: u16,
    /// The first layer behind the group.
    pub end: u16,
    /// Bands that the rows of the group's last layer are cut into, at most as many
    /// as it writes rows; 1 runs layer by layer.
    pub count: u16,
}

impl Bands {
    /// No group.
    pub(crate) const NONE: Bands = Bands { first: 0, end: 0, count: 0 };

    /// The group's layers.
    pub fn layers(&self) -> Range<usize> {
        self.first.into()..self.end.into()
    }

    /// The rows of the last layer, of `height`, that are written when a band,
    /// counted from 0, is done.
    fn rows(&self, band: u16, height: u16) -> Option<u16> {
        // At most 65535 · 65536 + 65534, which fits.
        let (band, all, count) = (u32::from(band), u32::from(height), u32::from(self.count));
        let rows = (all * (band + 1) + count.checked_sub(1)?).checked_div(count)?;
        Some(rows.min(all) as u16)
    }
}

/// The rows that a layer reads of a tensor for the rows that it writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach {
    tensor: TensorId,
    /// Rows that it has.
    height: u16,
    /// Rows that the layer writes in all.
    output: u16,
    step: u8,
    kernel: u8,
    pad: u8,
}

impl Reach {
    /// The first row that the output's row `row` reads.
    fn first(&self, row: usize) -> usize {
        (row * usize::from(self.step)).saturating_sub(self.pad.into()).min(self.height.into())
    }

    /// The row behind the last that the output's rows before `end` read; behind
    /// the tensor's last, when these are all.
    fn end(&self, end: usize) -> usize {
        let height = self.height.into();
        match end.checked_sub(1) {
            None => 0,
            Some(_) if end >= self.output.into() => height,
            Some(last) => {
                let below = last * usize::from(self.step) + usize::from(self.kernel);
                below.saturating_sub(self.pad.into()).min(height)
            }
        }
    }

    /// The rows that these rows of the output read, and how many rows of padding
    /// are above them.
    pub(crate) fn rows(&self, rows: &Range<usize>) -> (Range<usize>, usize) {
        let pad = usize::from(self.pad).saturating_sub(rows.start * usize::from(self.step));
        (self.first(rows.start)..self.end(rows.end), pad)
    }
}

/// What a layer reads and writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reaches {
    pub(crate) input: Reach,
    pub(crate) shortcut: Option<Reach>,
    writes: [Option<TensorId>; 2],
}

impl Reaches {
    /// `None` for the global average pool, which reads all rows for its one.
    pub(crate) fn new(view: &View<'_>, layer: &LayerView<'_>) -> Option<Reaches> {
        let Window { kernel_h, stride_h, pad_top, .. } = layer.operation.window()?;
        let height = |id| view.get_tensor(id).map(|tensor| tensor.height);
        let mut writes = layer.writes();
        let first = writes.next()?;
        let output = height(first)?;
        let reach = |tensor, step, kernel, pad| {
            Some(Reach { tensor, height: height(tensor)?, output, step, kernel, pad })
        };
        let shortcut = match layer.operation.epilogue() {
            Some(EpilogueView::Stream { shortcut: Some(from), .. }) => {
                Some(reach(from.tensor, from.pool, from.pool, 0)?)
            }
            _ => None,
        };
        let input = reach(layer.input, stride_h, kernel_h, pad_top)?;
        Some(Reaches { input, shortcut, writes: [Some(first), writes.next()] })
    }

    /// Rows that the layer writes in all.
    pub(crate) fn output_rows(&self) -> u16 {
        self.input.output
    }

    /// The tensors written, as indices.
    pub(crate) fn writes(&self) -> impl Iterator<Item = usize> + use<> {
        self.writes.into_iter().flatten().map(usize::from)
    }
}

/// Rows of a tensor of the group in one band.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Held {
    /// The first row that lay in the arena in the band before.
    before: u16,
    /// The first that lies there now.
    first: u16,
    /// Rows before this one had been written in earlier bands.
    from: u16,
    /// Rows before this one have been when this band is done.
    end: u16,
}

impl Held {
    /// The first row in the arena.
    pub(crate) fn first(&self) -> usize {
        self.first.into()
    }

    /// Rows to write in this band.
    pub(crate) fn writes(&self) -> Range<usize> {
        self.from.into()..self.end.into()
    }

    /// Rows that need room.
    pub(crate) fn room(&self) -> u16 {
        self.end.saturating_sub(self.first)
    }

    /// Rows in the arena that a later row of the output needs no more, and those
    /// behind them that move to their place.
    pub(crate) fn moves(&self) -> Option<(usize, usize)> {
        let gone = self.first.checked_sub(self.before)?;
        let stay = self.from.checked_sub(self.first)?;
        Some((gone.into(), stay.into()))
    }
}

/// Goes on to a band: from what the tensors had in the band before to what they
/// have in this one. `held` is by tensor, and all 0 before the first band;
/// `layers` are the group's, the last first. `None` if a layer or a tensor is
/// missing.
pub(crate) fn advance(
    held: &mut [Held],
    bands: Bands,
    band: u16,
    layers: impl Iterator<Item = Option<Reaches>>,
) -> Option<()> {
    for held in held.iter_mut() {
        // Nothing is kept nor written but what a layer reads.
        *held = Held { before: held.first, first: held.end, from: held.end, end: held.end };
    }
    for (i, layer) in layers.enumerate() {
        let layer = layer?;
        let mut end = match i {
            0 => bands.rows(band, layer.output_rows())?,
            _ if band.checked_add(1)? >= bands.count => layer.output_rows(),
            _ => 0,
        };
        // Both tensors that a layer may write have the same rows.
        let mut done = 0;
        for id in layer.writes() {
            let output = held.get(id)?;
            (done, end) = (output.from, end.max(output.end));
        }
        for id in layer.writes() {
            held.get_mut(id)?.end = end;
        }
        for read in [Some(layer.input), layer.shortcut].into_iter().flatten() {
            let input = held.get_mut(usize::from(read.tensor))?;
            input.first = input.first.min(read.first(done.into()) as u16);
            input.end = input.end.max(read.end(end.into()) as u16);
        }
    }
    Some(())
}
