//! What a run leaves behind: the values of every tensor.

use bitat_format::model::TensorId;

/// The elements of one tensor in the order row, column, channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Values {
    /// Pixels.
    Image(Vec<u8>),
    /// Fixed point.
    Stream(Vec<i16>),
    /// ±1, unpacked: no tail.
    Bits(Vec<i8>),
    /// One per class.
    Scores(Vec<i32>),
}

/// Every tensor of one run, by [`TensorId`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    pub(crate) tensors: Vec<Option<Values>>,
    pub(crate) scores: TensorId,
}

impl Trace {
    /// The values of a tensor; `None` for an id the model does not have.
    pub fn tensor(&self, id: TensorId) -> Option<&Values> {
        self.tensors.get(usize::from(id))?.as_ref()
    }

    /// The class scores.
    pub fn scores(&self) -> &[i32] {
        match self.tensor(self.scores) {
            Some(Values::Scores(scores)) => scores,
            _ => unreachable!("run() returns a trace only with scores"),
        }
    }
}
