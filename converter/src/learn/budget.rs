//! How long a run takes, and how long a run fits into a given time.

use std::time::{Duration, Instant};

use bitat_graph::Graph;

use super::evaluate::evaluate;
use super::fit::{INTERIM_IMAGES, Material, Run, Surroundings};
use super::recipe::Recipe;
use super::step::Stepper;
use crate::Error;
use crate::bitat;
use crate::qat::stages::binary_layers;
use crate::ui::{Console, human};

/// Steps that warm caches and grow scratch memory; not counted.
const WARM: usize = 2;
/// Steps that are timed, unless they take longer than [`ENOUGH`].
const TIMED: usize = 12;
/// No further step is timed after this.
const ENOUGH: Duration = Duration::from_secs(3);

/// Runs of fewer steps are over sooner than their time is measured.
const FORETOLD: u64 = 100;

/// Settles how many steps `recipe` takes, and says what is going to happen.
///
/// With a `time`, as many as fit into it, by a few steps taken on a copy of `graph`;
/// where a run is resumed, as many as it had.
///
/// # Errors
/// As [`super::fit::fit`].
pub fn settle(
    graph: &Graph,
    material: &Material,
    recipe: &Recipe,
    time: Option<Duration>,
    surroundings: &Surroundings,
) -> Result<Recipe, Error> {
    let mut recipe = recipe.clone();
    let resumed = surroundings.checkpoints.filter(|_| surroundings.resume);
    let mut cost = None;
    match (time, resumed) {
        (Some(_), Some(checkpoints)) => recipe.steps = checkpoints.steps()?,
        (Some(time), None) => {
            let measured = Cost::measure(graph, material, &recipe, surroundings)?;
            recipe.steps = measured.steps_within(time);
            cost = Some(measured);
        }
        (None, _) if recipe.steps >= FORETOLD && surroundings.console != Console::Quiet => {
            cost = Some(Cost::measure(graph, material, &recipe, surroundings)?);
        }
        (None, _) => {}
    }
    let epochs = recipe.steps as f64 * recipe.batch as f64 / material.train.len() as f64;
    let mut plan = format!(
        "training: {} steps of {} images, {epochs:.1} epochs",
        human::grouped(recipe.steps),
        recipe.batch
    );
    if !binary_layers(graph).is_empty() {
        plan += &format!("; {}", recipe.describe());
    }
    if let Some(cost) = cost {
        plan += &format!("; about {}", human::duration(cost.of(recipe.steps)));
    }
    surroundings.console.say(&plan);
    Ok(recipe)
}

/// What a run costs, measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// One step, the reading of its images included.
    step: f64,
    /// What ends an epoch: batch norm anew, an evaluation.
    epoch: f64,
    /// Every layer's turn with the method.
    begin: f64,
    /// Steps of an epoch.
    per_epoch: u64,
}

impl Cost {
    /// Takes a few steps on a copy of `graph` and times them.
    ///
    /// # Errors
    /// As [`super::fit::fit`].
    pub fn measure(
        graph: &Graph,
        material: &Material,
        recipe: &Recipe,
        surroundings: &Surroundings,
    ) -> Result<Cost, Error> {
        let mut graph = graph.clone();
        let method = bitat::method(recipe.method);
        let material = &Material {
            preprocess: material.preprocess.clone(),
            binarizer: method.as_ref(),
            ..*material
        };
        let mut run = Run::new(&graph, material, recipe, surroundings)?;
        let start = Instant::now();
        for phase in 0..run.phases.len() {
            run.begin(&mut graph, phase)?;
        }
        let begin = start.elapsed().as_secs_f64();

        let per_epoch = run.per_epoch();
        let mut stepper = Stepper::new(&graph, material, recipe)?;
        let mut times = Vec::new();
        let mut batches = run.batches(0)?;
        let start = Instant::now();
        for taken in 0..WARM + TIMED {
            let before = Instant::now();
            let Some(batch) = batches.next() else { unreachable!("shuffled batches never end") };
            stepper.step(&mut graph, &mut run.optimiser, &batch?, 0.0);
            if taken >= WARM {
                times.push(before.elapsed());
            }
            if !times.is_empty() && start.elapsed() > ENOUGH {
                break;
            }
        }
        times.sort();
        let step = times[times.len() / 2].as_secs_f64();

        let few = recipe.batch.min(INTERIM_IMAGES);
        let start = Instant::now();
        let Material { binarizer, test, fit, ref preprocess, .. } = *material;
        let scored = evaluate(&mut graph, binarizer, test, fit, preprocess, few, |_| true)?;
        let per_image = start.elapsed().as_secs_f64() / scored.images().max(1) as f64;
        let images = run.reestimated() + INTERIM_IMAGES.min(test.len());
        Ok(Cost { step, epoch: per_image * images as f64, begin, per_epoch })
    }

    /// The time that `steps` steps take.
    pub fn of(&self, steps: u64) -> Duration {
        let epochs = steps.div_ceil(self.per_epoch);
        Duration::from_secs_f64(self.begin + self.step * steps as f64 + self.epoch * epochs as f64)
    }

    /// The steps that fit into `time`, at least one.
    pub fn steps_within(&self, time: Duration) -> u64 {
        let left = time.as_secs_f64() - self.begin;
        ((left / (self.step + self.epoch / self.per_epoch as f64)) as u64).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_and_time_are_each_others_inverse() {
        let cost = Cost { step: 0.05, epoch: 2.0, begin: 3.0, per_epoch: 400 };
        assert_eq!(cost.of(400), Duration::from_secs_f64(25.0));
        for steps in [400, 4000, 8000] {
            let back = cost.steps_within(cost.of(steps));
            assert!(back.abs_diff(steps) <= 1, "{steps} {back}");
        }
        assert_eq!(cost.steps_within(Duration::ZERO), 1);
    }
}
