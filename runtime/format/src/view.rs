//! The borrowed form of a packed network: validated once, then read in place.

use crate::cursor::Cursor;
use crate::error::Error;
use crate::header::Header;
use crate::layer::{self, LayerView};
use crate::types::{Tensor, TensorId};
use crate::{check, names, tensor_table};

/// A packed network in the bytes of its file.
///
/// Copying is cheap. Every method is a handful of reads from the file: nothing
/// is cached, nothing allocated. After [`View::parse`] nothing can fail for a
/// reason in the file.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    bytes: &'a [u8],
    header: Header,
    scores: TensorId,
}

/// How pixels enter: the network sees `pixel − zero[channel]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InputView<'a> {
    /// Rows of the image.
    pub height: usize,
    /// Columns of the image.
    pub width: usize,
    /// Channels of the image.
    pub channels: usize,
    /// Per channel: the pixel value that counts as 0.
    pub zero: &'a [u8],
    /// Per channel, 0–255 scale: the mean of the float preprocessing.
    pub mean: &'a [f32],
    /// Per channel, 0–255 scale, > 0: its divisor.
    pub std: &'a [f32],
}

impl<'a> View<'a> {
    /// Validates a whole file and borrows it.
    ///
    /// `bytes` must be exactly the file and start at a multiple of 4 in memory
    /// ([`Aligned`](crate::Aligned) gives that to a constant,
    /// `FileBuffer`, of feature `write`, to bytes read at run time).
    /// Time is linear in the length, stack use is constant.
    ///
    /// # Errors
    /// The first rule of FORMAT.md that the bytes break, and where.
    pub fn parse(bytes: &'a [u8]) -> Result<View<'a>, Error> {
        let header = Header::read(bytes)?;
        let scores = check::file(bytes, &header)?;
        Ok(View { bytes, header, scores })
    }

    /// Borrows a file that [`View::parse`] admitted elsewhere: on the machine
    /// that compiled the program which holds these bytes. Takes a few reads.
    ///
    /// `bytes` must be that file, at a multiple of 4 in memory. Of other bytes
    /// this function and all of the view's methods may panic and their answers
    /// mean nothing; no memory but `bytes` is ever read.
    ///
    /// # Panics
    /// If the bytes are not such a file and that shows in the header.
    pub fn admitted(bytes: &'a [u8]) -> View<'a> {
        let header = parsed(Header::counts(bytes));
        let last = parsed(layer::decode(bytes, &header, header.layers - 1));
        View { bytes, header, scores: last.record.output }
    }

    /// Name of the network, for people.
    pub fn name(&self) -> &'a str {
        parsed(names::read(self.bytes, &self.header, 0))
    }

    /// Score × this = logit of the float network. Finite, > 0. For people; the
    /// integers decide.
    pub fn score_scale(&self) -> f32 {
        self.header.score_scale
    }

    /// Shape and preprocessing of the image.
    pub fn input(&self) -> InputView<'a> {
        parsed(input(self.bytes, &self.header)).0
    }

    /// [`View::input`] without a path to a panic: `None` would be a bug of this crate.
    pub fn get_input(&self) -> Option<InputView<'a>> {
        input(self.bytes, &self.header).ok().map(|(input, _)| input)
    }

    /// Scores of the network.
    pub fn class_count(&self) -> usize {
        usize::from(self.tensor(self.scores).channels)
    }

    /// Name of class `i`; `None` if the file has no class names or no such class.
    pub fn class_name(&self, i: usize) -> Option<&'a str> {
        (i < usize::from(self.header.class_names)).then(|| {
            let first = 1 + self.layer_count();
            parsed(names::read(self.bytes, &self.header, first + i))
        })
    }

    /// Tensors, the image (tensor 0) included.
    pub fn tensor_count(&self) -> usize {
        self.header.tensors.into()
    }

    /// Shape and kind of a tensor.
    ///
    /// # Panics
    /// If `id` is not below [`View::tensor_count`]. Every id that the view
    /// hands out is.
    pub fn tensor(&self, id: TensorId) -> Tensor {
        match self.get_tensor(id) {
            Some(tensor) => tensor,
            None => panic!("no tensor {id}"),
        }
    }

    /// [`View::tensor`] without a path to a panic: `None` if there is no such tensor.
    pub fn get_tensor(&self, id: TensorId) -> Option<Tensor> {
        if id >= self.header.tensors {
            return None;
        }
        tensor_table::read(self.bytes, &self.header, id).ok()
    }

    /// All tensors, by id.
    pub fn tensors(self) -> impl Iterator<Item = Tensor> + use<'a> {
        (0..self.header.tensors).map(move |id| self.tensor(id))
    }

    /// The scores tensor, which the last layer writes.
    pub fn scores(&self) -> TensorId {
        self.scores
    }

    /// Layers, ≥ 1.
    pub fn layer_count(&self) -> usize {
        self.header.layers.into()
    }

    /// Layer `i` in execution order.
    ///
    /// # Panics
    /// If `i` is not below [`View::layer_count`].
    pub fn layer(&self, i: usize) -> LayerView<'a> {
        match self.get_layer(i) {
            Some(layer) => layer,
            None => panic!("no layer {i}"),
        }
    }

    /// [`View::layer`] without a path to a panic: `None` if there is no such layer.
    pub fn get_layer(&self, i: usize) -> Option<LayerView<'a>> {
        if i >= self.layer_count() {
            return None;
        }
        let decoded = layer::decode(self.bytes, &self.header, i as u16).ok()?;
        Some(LayerView {
            name: names::read(self.bytes, &self.header, 1 + i).ok()?,
            input: decoded.record.input,
            operation: decoded.operation,
        })
    }

    /// All layers in execution order.
    pub fn layers(self) -> impl Iterator<Item = LayerView<'a>> + use<'a> {
        (0..self.layer_count()).map(move |i| self.layer(i))
    }

    /// Bytes of the file.
    pub fn file_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The owned, unpacked form: [`write`](crate::write()) gives the same file back.
    #[cfg(feature = "write")]
    pub fn to_model(&self) -> crate::model::Model {
        crate::to_model::model(self)
    }
}

/// The input's arrays, and where they end.
pub(crate) fn input<'a>(bytes: &'a [u8], header: &Header) -> Result<(InputView<'a>, usize), Error> {
    let image = tensor_table::read(bytes, header, 0)?;
    let channels = usize::from(image.channels);
    let mut cursor = Cursor::new(bytes, names::end(bytes, header)?);
    let view = InputView {
        height: image.height.into(),
        width: image.width.into(),
        channels,
        zero: cursor.blob(channels)?,
        mean: cursor.blob(channels)?,
        std: cursor.blob(channels)?,
    };
    Ok((view, cursor.at()))
}

/// A value that [`View::parse`] has read before, from the same bytes with the
/// same function; so reading it again succeeds.
fn parsed<T>(read: Result<T, Error>) -> T {
    match read {
        Ok(value) => value,
        Err(_) => unreachable!("parse admitted these bytes"),
    }
}
