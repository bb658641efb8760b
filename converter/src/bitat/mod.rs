//! BiTAT: binarization with a task-dependent aggregated transformation (Park, Yoon,
//! Zhang, Zhang, Hwang, Eldar, 2022), as a method behind [`crate::qat::method`].
//!
//! When a 1-bit layer gets its turn, bottom to top, the correlation of its inputs is
//! measured on the network below it as it then is (`correlation`) and, where the
//! layer is wide, aggregated (`aggregate`). From then on it is the metric in which
//! the layer's quantization error counts (`metric`): for the scale, for the choice
//! of signs (`signs`), for the penalty, and as the start of the coordinates in which
//! its latent weights are trained (`coordinates`). Nothing of it is exported but the
//! signs that `forward` gives.

mod aggregate;
mod coordinates;
mod correlation;
mod layer;
mod metric;
mod saved;
mod signs;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use bitat_engine::{Binarizer, PlainSte};
use bitat_graph::{Graph, NodeId, Op};
use rayon::prelude::*;

use crate::Error;
use crate::qat::calibrate::Images;
use crate::qat::method::Method;
use layer::{Layer, Rows};
use metric::Correlation;

/// What each patch of a layer's input counts for in its correlation matrix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Importance {
    /// There is no matrix: all weights count the same, `M = I`.
    #[default]
    None,
    /// `S = E[x xᵀ]`: every patch counts the same.
    Inputs,
    /// `S = E[‖g‖² x xᵀ]`, `g` the task's gradient at the layer's pre-activation.
    Task,
}

/// The parts of the method, each a switch. The default is plain
/// straight-through estimation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Options {
    /// Where the metric comes from. The other parts need one.
    pub importance: Importance,
    /// Choose the signs in order of importance, with error compensation and
    /// coordinate descent, when a layer gets its turn.
    pub signs: bool,
    /// Weight λ of the quantization error in the metric beside the task's loss, ≥ 0.
    pub penalty: f32,
    /// Train V and s: latent weights live in the coordinates `T = V diag(s) Vᵀ`.
    pub trained: bool,
    /// Above this many input dimensions they are aggregated into as many groups;
    /// 0: never.
    pub groups: usize,
}

/// The method that `options` describe; without a metric it is plain
/// straight-through estimation, whatever the other options say.
pub fn method(options: Options) -> Box<dyn Method> {
    match options.importance {
        Importance::None => Box::new(PlainSte::default()),
        _ => Box::new(Bitat { options, layers: RwLock::default() }),
    }
}

/// The method at work.
struct Bitat {
    options: Options,
    /// The layers that have had their turn; the others are plain. A lock of its own
    /// for each: the engine prepares different layers at the same time.
    layers: RwLock<BTreeMap<NodeId, Mutex<Layer>>>,
}

impl Bitat {
    /// Does `work` on the state of a layer that has had its turn.
    fn with<T>(&self, node: NodeId, work: impl FnOnce(&mut Layer) -> T) -> Option<T> {
        let layers = self.layers.read().unwrap_or_else(PoisonError::into_inner);
        layers.get(&node).map(|layer| work(&mut lock(layer)))
    }

    fn insert(&self, node: NodeId, layer: Layer) {
        let mut layers = self.layers.write().unwrap_or_else(PoisonError::into_inner);
        layers.insert(node, Mutex::new(layer));
    }
}

fn lock(layer: &Mutex<Layer>) -> MutexGuard<'_, Layer> {
    layer.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Binarizer for Bitat {
    fn forward(&self, graph: &Graph, node: NodeId, latent: &[f32], out: &mut [f32]) {
        let done = self.with(node, |layer| layer.forward(latent, out));
        if done.is_none() {
            PlainSte::default().forward(graph, node, latent, out);
        }
    }

    fn backward(
        &self,
        graph: &Graph,
        node: NodeId,
        latent: &[f32],
        d_out: &[f32],
        d_latent: &mut [f32],
    ) {
        let done = self.with(node, |layer| layer.backward(latent, d_out, d_latent));
        if done.is_none() {
            PlainSte::default().backward(graph, node, latent, d_out, d_latent);
        }
    }
}

impl Method for Bitat {
    fn begin(&self, graph: &mut Graph, layers: &[NodeId], images: &Images) -> Result<(), Error> {
        let task = self.options.importance == Importance::Task;
        for &node in layers {
            let measured = correlation::measure(graph, self, node, images, task)?;
            let limit = self.options.groups;
            let correlations = measured.into_iter().map(|s| Correlation::new(s, limit));
            let rows = Rows::of(graph, node);
            let Op::Conv { weight, .. } = graph.nodes[node].op else { continue };
            let latent = &mut graph.params[weight].data;
            self.insert(node, Layer::begin(rows, correlations, latent, &self.options));
        }
        Ok(())
    }

    fn step(&self, rate: f32) {
        if self.options.trained {
            let layers = self.layers.read().unwrap_or_else(PoisonError::into_inner);
            let layers: Vec<&Mutex<Layer>> = layers.values().collect();
            layers.into_par_iter().for_each(|layer| lock(layer).step(rate));
        }
    }

    fn state(&self) -> Vec<(String, Vec<f32>)> {
        let layers = self.layers.read().unwrap_or_else(PoisonError::into_inner);
        layers.iter().flat_map(|(node, layer)| saved::save(*node, &mut lock(layer))).collect()
    }

    fn restore(&self, graph: &Graph, arrays: &[(String, Vec<f32>)]) -> Result<(), String> {
        for (node, layer) in saved::restore(graph, arrays, &self.options)? {
            self.insert(node, layer);
        }
        Ok(())
    }
}
