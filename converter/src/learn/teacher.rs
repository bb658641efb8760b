//! The float network as the teacher of the 1-bit one.

use bitat_data::Preprocess;
use bitat_engine::{Mode, Net, PlainSte, Purpose};
use bitat_graph::Graph;

use crate::Error;

/// A trained float network with its own preprocessing.
pub struct Teacher<'a> {
    /// The network; its running statistics are used.
    pub graph: &'a Graph,
    /// From pixels to its input.
    pub preprocess: &'a Preprocess,
}

impl Teacher<'_> {
    /// Prepares for batches of up to `batch` images.
    ///
    /// # Errors
    /// If the graph cannot be executed.
    pub fn lessons(&self, batch: usize) -> Result<Lessons<'_>, Error> {
        Ok(Lessons {
            net: Net::new(self.graph, batch, Purpose::Eval, &[])?,
            graph: self.graph.clone(),
            preprocess: self.preprocess,
            inputs: Vec::new(),
        })
    }
}

/// A teacher at work.
pub struct Lessons<'a> {
    net: Net,
    graph: Graph,
    preprocess: &'a Preprocess,
    inputs: Vec<f32>,
}

impl Lessons<'_> {
    /// The teacher's logits `[n][classes]` for `n` images of `pixels`, NHWC.
    pub fn logits(&mut self, pixels: &[u8], n: usize) -> &[f32] {
        self.inputs.resize(pixels.len(), 0.0);
        self.preprocess.apply(pixels, &mut self.inputs);
        // A float network has no 1-bit weights: the method is never asked.
        self.net.forward(&mut self.graph, &PlainSte::default(), &self.inputs, n, Mode::Eval)
    }
}
