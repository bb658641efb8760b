//! One optimiser step: forward, loss, backward, update.

use bitat_data::Batch;
use bitat_engine::loss::{cross_entropy, distil};
use bitat_engine::optimiser::Optimiser;
use bitat_engine::{Mode, Net, Purpose};
use bitat_graph::Graph;

use super::fit::Material;
use super::recipe::Recipe;
use super::teacher::Lessons;
use crate::Error;

/// Part of the running batch-norm statistics that one batch replaces.
const MOMENTUM: f32 = 0.1;

/// Takes steps on one network; its operations must stay as they are.
pub(super) struct Stepper<'a> {
    material: &'a Material<'a>,
    recipe: &'a Recipe,
    net: Net,
    lessons: Option<Lessons<'a>>,
    gradient: Vec<f32>,
}

impl<'a> Stepper<'a> {
    pub(super) fn new(
        graph: &Graph,
        material: &'a Material<'a>,
        recipe: &'a Recipe,
    ) -> Result<Self, Error> {
        let teacher = material.teacher.filter(|_| recipe.distil.is_some());
        Ok(Stepper {
            material,
            recipe,
            net: Net::new(graph, recipe.batch, Purpose::Train, &[])?,
            lessons: teacher.map(|t| t.lessons(recipe.batch)).transpose()?,
            gradient: vec![0.0; recipe.batch * graph.nodes[graph.output].shape.c],
        })
    }

    /// Takes the graph's operations over after they changed.
    pub(super) fn renew(&mut self, graph: &Graph) -> Result<(), Error> {
        self.net = Net::new(graph, self.recipe.batch, Purpose::Train, &[])?;
        Ok(())
    }

    /// Takes a step of learning rate `rate` and returns the loss before it, which
    /// is not finite where training has diverged; then nothing was changed but
    /// running statistics.
    pub(super) fn step(
        &mut self,
        graph: &mut Graph,
        optimiser: &mut Optimiser,
        batch: &Batch,
        rate: f32,
    ) -> f64 {
        let (method, recipe) = (self.material.binarizer, self.recipe);
        let mode = Mode::Train { momentum: MOMENTUM };
        let logits = self.net.forward(graph, method, &batch.inputs, batch.len(), mode);
        let (labels, gradient) = (&batch.labels, &mut self.gradient);
        let classes = logits.len() / labels.len();
        let loss = match (&mut self.lessons, recipe.distil) {
            (Some(lessons), Some(how)) => {
                let taught = lessons.logits(&batch.pixels, batch.len());
                distil(logits, taught, labels, classes, how, gradient)
            }
            _ => cross_entropy(logits, labels, classes, recipe.smoothing, gradient),
        };
        if loss.is_finite() {
            self.net.backward(graph, method, &[(graph.output, gradient)]);
            optimiser.step(graph, &self.net, rate);
            method.step(rate * recipe.latent_rate);
        }
        loss
    }
}
