//! The training loop, the same for float networks and for 1-bit ones.
//!
//! A float network is the case without 1-bit layers: one stage, no thresholds,
//! no binary points. All that a step does follows from the recipe, the data
//! and the step's number, so a resumed run repeats what an uninterrupted one
//! would have done, bit for bit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bitat_data::{Batches, Dataset, Fit, Order, Plan, Position, Preprocess};
use bitat_engine::optimiser::{Config, Cosine, Optimiser, RoleConfig};
use bitat_engine::{Mode, Net, Purpose};
use bitat_graph::{Graph, NodeId};

use super::evaluate::{evaluate, in_order};
use super::recipe::Recipe;
use super::state::{Checkpoints, Progressed};
use super::step::Stepper;
use super::teacher::Teacher;
use crate::Error;
use crate::qat::calibrate::{self, CALIBRATION_IMAGES, Images};
use crate::qat::method::Method;
use crate::qat::stages::{Phase, Schedule, binary_layers, with_phase};
use crate::ui::{Console, Stop};

/// Steps of linear warm-up, at most a tenth of all.
const WARM_UP: u64 = 100;
/// Training batches from which batch norm is re-estimated before an evaluation.
const REESTIMATE_BATCHES: usize = 40;
/// Test images of the evaluation between epochs.
pub(super) const INTERIM_IMAGES: usize = 2000;

/// What is trained on.
pub struct Material<'a> {
    /// Training images.
    pub train: &'a Arc<Dataset>,
    /// Images that measure, never train.
    pub test: &'a Arc<Dataset>,
    /// The network's input size.
    pub fit: Fit,
    /// The network's preprocessing.
    pub preprocess: Preprocess,
    /// How latent weights become binary ones: [`Recipe::method`] at work.
    pub binarizer: &'a dyn Method,
    /// The float network, where the recipe distils.
    pub teacher: Option<&'a Teacher<'a>>,
}

/// Who watches, who may stop it, where its state is kept.
pub struct Surroundings<'a> {
    /// Progress goes here.
    pub console: Console,
    /// Raised by Ctrl-C.
    pub stop: &'a Stop,
    /// Where to keep checkpoints, if anywhere.
    pub checkpoints: Option<&'a Checkpoints>,
    /// Go on from the checkpoint.
    pub resume: bool,
    /// Told how many steps are done, for who watches from another thread.
    pub steps: Option<&'a AtomicU64>,
}

/// One point of the training curve, about one per epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Steps done.
    pub step: u64,
    /// Mean training loss since the point before.
    pub loss: f64,
    /// Percent of the first test images that were right.
    pub top1: f64,
}

/// Trains `graph` in place and leaves its batch norm re-estimated.
///
/// # Errors
/// Unreadable images, a checkpoint of another run, a full disk; Ctrl-C, after
/// the state was kept.
pub fn fit(
    graph: &mut Graph,
    material: &Material,
    recipe: &Recipe,
    surroundings: &Surroundings,
) -> Result<Vec<Point>, Error> {
    let mut run = Run::new(graph, material, recipe, surroundings)?;
    if let (Some(checkpoints), true) = (surroundings.checkpoints, surroundings.resume) {
        let method = material.binarizer;
        run.progressed = checkpoints.load(graph, &mut run.optimiser, method, recipe)?;
        let done = run.progressed.step;
        surroundings.console.say(&format!("resumed at step {done} of {}", recipe.steps));
    }
    run.tell_steps();
    for index in 0..run.phases.len() {
        let phase = run.phases[index];
        if run.progressed.step < phase.end || run.progressed.phases <= index {
            with_phase(graph, phase, |graph| run.phase(graph, index))?;
        }
    }
    run.reestimate(graph, REESTIMATE_BATCHES)?;
    Ok(run.progressed.curve)
}

/// A run of the training loop.
pub(super) struct Run<'a> {
    material: &'a Material<'a>,
    recipe: &'a Recipe,
    surroundings: &'a Surroundings<'a>,
    pub(super) optimiser: Optimiser,
    /// The 1-bit layers, bottom to top.
    order: Vec<NodeId>,
    pub(super) phases: Vec<Phase>,
    progressed: Progressed,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        graph: &Graph,
        material: &'a Material,
        recipe: &'a Recipe,
        surroundings: &'a Surroundings,
    ) -> Result<Self, Error> {
        if material.train.len() < recipe.batch {
            return Err(Error::usage(format!(
                "--batch {}: there are only {} training images",
                recipe.batch,
                material.train.len()
            )));
        }
        if recipe.distil.is_some() && material.teacher.is_none() {
            return Err(Error::usage("distillation needs the float network as its teacher"));
        }
        let order = binary_layers(graph);
        let config = Config {
            weight: RoleConfig { rate: 1.0, decay: recipe.weight_decay },
            latent: RoleConfig { rate: recipe.latent_rate, decay: 0.0 },
            ..Config::default()
        };
        Ok(Run {
            material,
            recipe,
            surroundings,
            optimiser: Optimiser::new(graph, config),
            phases: recipe.schedule.phases(order.len(), recipe.steps),
            order,
            progressed: Progressed::default(),
        })
    }

    fn tell_steps(&self) {
        if let Some(steps) = self.surroundings.steps {
            steps.store(self.progressed.step, Ordering::Relaxed);
        }
    }

    /// The learning rate of `step`: half a cosine over the whole run, or over each
    /// step of the two-step recipe.
    fn rate(&self, phase: Phase, step: u64) -> f32 {
        let (start, end) = match self.recipe.schedule {
            Schedule::TwoStep { .. } => (phase.start, phase.end),
            _ => (0, self.recipe.steps),
        };
        let steps = end - start;
        let (peak, warm_up) = (self.recipe.learning_rate, WARM_UP.min(steps / 10));
        Cosine { peak, floor: 0.0, warm_up, steps }.at(step - start)
    }

    /// Gives the layers that become binary in phase `index` their thresholds, and
    /// those whose weights do their turn with the method.
    pub(super) fn begin(&mut self, graph: &mut Graph, index: usize) -> Result<(), Error> {
        let now = self.phases[index];
        let (activations, weights) = match index.checked_sub(1).map(|i| self.phases[i]) {
            Some(before) => (before.activations, before.weights),
            None => (0, 0),
        };
        let (pixels, count) = calibration_images(self.material)?;
        let images = Images { pixels: &pixels, count };
        let method = self.material.binarizer;
        // Layer by layer: what a method makes of one moves the thresholds above it.
        for (i, layer) in self.order[..now.activations].iter().enumerate() {
            if i >= activations {
                let sign = graph.nodes[*layer].inputs[0];
                calibrate::threshold(graph, method, &images, sign)?;
            }
            if (weights..now.weights).contains(&i) {
                method.begin(graph, &[*layer], &images)?;
                if index > 0 {
                    self.optimiser.reset_node(&graph.nodes[*layer].op);
                }
            }
        }
        self.progressed.phases = index + 1;
        Ok(())
    }

    fn phase(&mut self, graph: &mut Graph, index: usize) -> Result<(), Error> {
        let (recipe, material, phase) = (self.recipe, self.material, self.phases[index]);
        let per_epoch = self.per_epoch();
        let fresh = self.progressed.phases <= index;
        if fresh {
            self.begin(graph, index)?;
        }
        let mut stepper = Stepper::new(graph, material, recipe)?;
        let title = match self.phases.len() {
            1 => "training".to_owned(),
            n => format!("stage {}/{n}", index + 1),
        };
        let (step, end) = (self.progressed.step, phase.end);
        let mut bar = self.surroundings.console.progress(&title, "steps", step, end);
        let mut batches = self.batches(step)?;
        let mut stale = fresh;
        while self.progressed.step < end {
            let step = self.progressed.step;
            if std::mem::take(&mut stale) || step.is_multiple_of(per_epoch) {
                let (pixels, count) = calibration_images(material)?;
                let images = Images { pixels: &pixels, count };
                let mode = Mode::Train { momentum: 0.0 };
                if calibrate::narrow_points(graph, material.binarizer, &images, mode)? {
                    // The executor holds the operations it was made with.
                    stepper.renew(graph)?;
                }
            }
            let Some(batch) = batches.next() else { unreachable!("shuffled batches never end") };
            let rate = self.rate(phase, step);
            let loss = stepper.step(graph, &mut self.optimiser, &batch?, rate);
            if !loss.is_finite() {
                return Err(Error::diverged(format!(
                    "training diverged at step {step} (the loss is {loss}); try a lower --learning-rate"
                )));
            }
            self.progressed.step += 1;
            self.tell_steps();
            let mean = self.progressed.add_loss(loss);
            bar.set(self.progressed.step, &format!("loss {mean:.3}"));
            if self.progressed.step.is_multiple_of(per_epoch) || self.progressed.step == end {
                self.point(graph, mean)?;
                bar.say(&self.epoch_line(per_epoch));
            }
            self.keep(graph, self.progressed.step == end)?;
        }
        bar.finish("");
        Ok(())
    }

    /// Ends an epoch: re-estimates batch norm and adds a point to the curve.
    fn point(&mut self, graph: &mut Graph, loss: f64) -> Result<(), Error> {
        self.progressed.losses = (0.0, 0);
        self.reestimate(graph, REESTIMATE_BATCHES)?;
        let material = self.material;
        let scores = evaluate(
            graph,
            material.binarizer,
            material.test,
            material.fit,
            &material.preprocess,
            INTERIM_IMAGES,
            |_| true,
        )?;
        self.progressed.curve.push(Point { step: self.progressed.step, loss, top1: scores.top(1) });
        Ok(())
    }

    fn epoch_line(&self, per_epoch: u64) -> String {
        let Some(point) = self.progressed.curve.last() else { return String::new() };
        format!(
            "epoch {:>4.1}  loss {:.4}  test {:.2} %",
            point.step as f64 / per_epoch as f64,
            point.loss,
            point.top1
        )
    }

    /// Keeps the state now and then, and ends the run when asked to.
    fn keep(&mut self, graph: &Graph, now: bool) -> Result<(), Error> {
        let Some(checkpoints) = self.surroundings.checkpoints else {
            return match self.surroundings.stop.requested() {
                true => Err(Error::interrupted("stopped; nothing was written")),
                false => Ok(()),
            };
        };
        let stop = self.surroundings.stop.requested();
        if now || stop || checkpoints.due() {
            let method = self.material.binarizer;
            checkpoints.save(graph, &self.optimiser, method, self.recipe, &self.progressed)?;
        }
        if stop {
            return Err(Error::interrupted(format!("stopped at step {}", self.progressed.step)));
        }
        Ok(())
    }

    /// Takes the statistics of batch norms from the first `batches` training batches.
    pub(super) fn reestimate(&self, graph: &mut Graph, batches: usize) -> Result<(), Error> {
        let mut net = Net::new(graph, self.recipe.batch, Purpose::Eval, &[])?;
        net.begin_reestimate();
        let images = in_order(
            self.material.train,
            self.material.fit,
            &self.material.preprocess,
            self.recipe.batch,
        )?;
        for batch in images.take(batches) {
            let batch = batch?;
            net.forward(
                graph,
                self.material.binarizer,
                &batch.inputs,
                batch.len(),
                Mode::Reestimate,
            );
        }
        net.finish_reestimate(graph);
        Ok(())
    }

    /// Steps of an epoch.
    pub(super) fn per_epoch(&self) -> u64 {
        (self.material.train.len() / self.recipe.batch) as u64
    }

    /// Training batches from which batch norm is re-estimated.
    pub(super) fn reestimated(&self) -> usize {
        REESTIMATE_BATCHES.min(self.material.train.len().div_ceil(self.recipe.batch))
    }

    /// The batches of `step` and all that follow.
    pub(super) fn batches(&self, step: u64) -> Result<Batches, Error> {
        let per_epoch = self.per_epoch();
        let plan = Plan {
            batch: self.recipe.batch,
            order: Order::Shuffled { seed: self.recipe.seed },
            fit: self.material.fit,
            preprocess: self.material.preprocess.clone(),
            augment: self.recipe.augment,
            workers: 1,
        };
        let start = Position { epoch: step / per_epoch, batch: step % per_epoch };
        Ok(Batches::new(Arc::clone(self.material.train), plan, start)?)
    }
}

/// The first training images, preprocessed: what ranges and thresholds are read from.
///
/// # Errors
/// Unreadable images.
pub fn calibration_images(material: &Material) -> Result<(Vec<f32>, usize), Error> {
    let mut batches =
        in_order(material.train, material.fit, &material.preprocess, CALIBRATION_IMAGES)?;
    match batches.next() {
        Some(batch) => {
            let batch = batch?;
            let count = batch.len();
            Ok((batch.inputs, count))
        }
        None => Err(Error::model("there are no training images")),
    }
}
