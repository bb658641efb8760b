//! The seam between the training loop and a method of binarization.

use bitat_engine::{Binarizer, PlainSte};
use bitat_graph::{Graph, NodeId};

use super::calibrate::Images;
use crate::Error;

/// What a method does beside making binary weights from latent ones.
///
/// Plain straight-through estimation is the smallest method: it does nothing else.
pub trait Method: Binarizer {
    /// Called when 1-bit layers get their turn, before the first step in which
    /// their weights are binary. `graph` is the network of the phase that
    /// begins: all layers below are binary, `layers` too, those above as the
    /// schedule says. May rewrite the latent weights of `layers` (node ids of
    /// convolutions, bottom to top).
    ///
    /// # Errors
    /// If the graph cannot be executed.
    fn begin(&self, graph: &mut Graph, layers: &[NodeId], images: &Images) -> Result<(), Error>;

    /// Called after each optimiser step with its learning rate: trains what the
    /// method itself has to train, with the gradients of the last backward pass.
    fn step(&self, rate: f32);

    /// All that a resumed run needs beside the graph's parameters, by name.
    fn state(&self) -> Vec<(String, Vec<f32>)>;

    /// Puts back what [`Method::state`] gave; arrays of other names are not for it.
    ///
    /// # Errors
    /// What does not fit, for the user.
    fn restore(&self, graph: &Graph, arrays: &[(String, Vec<f32>)]) -> Result<(), String>;
}

impl Method for PlainSte {
    fn begin(&self, _: &mut Graph, _: &[NodeId], _: &Images) -> Result<(), Error> {
        Ok(())
    }

    fn step(&self, _: f32) {}

    fn state(&self) -> Vec<(String, Vec<f32>)> {
        Vec::new()
    }

    fn restore(&self, _: &Graph, _: &[(String, Vec<f32>)]) -> Result<(), String> {
        Ok(())
    }
}
