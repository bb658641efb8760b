//! How long a run takes, measured by a few steps and an end on a copy of its network.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bitat_graph::Graph;

use super::evaluate::evaluate;
use super::fit::{INTERIM_IMAGES, Material, Run, Surroundings, calibration_images};
use super::recipe::Recipe;
use super::step::Stepper;
use crate::Error;
use crate::bitat;
use crate::qat::calibrate::{self, Images};
use crate::qat::stages::{Phase, binary_layers, with_phase};
use crate::ui::Console;
use bitat_engine::Mode;

/// Steps that warm caches and grow scratch memory; not counted.
const WARM: usize = 2;
/// Batches from which batch norm is re-estimated, at most.
const REESTIMATED: usize = 4;
/// Test images of the two ends that are timed; their difference is an image's cost.
const ENDS: [usize; 2] = [32, 96];

/// What a run does after its last step: scoring, lowering, proof. It is tried on a
/// network of no training, which it may refuse; only its time is asked for.
pub type Ending<'a> = &'a dyn Fn(&mut Graph, &Material, &Surroundings) -> Result<(), Error>;

/// What a run costs, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// One step with all layers binary, the reading of its images included.
    step: f64,
    /// One step of the schedule's first phase.
    first_step: f64,
    /// The float network's word on one batch.
    lesson: f64,
    /// What an epoch is begun and ended with: binary points, batch norm, an evaluation.
    epoch: f64,
    /// Every layer's turn with the method.
    begin: f64,
    /// What ends the run.
    end: f64,
    /// Steps of an epoch.
    per_epoch: u64,
    /// 1-bit layers.
    layers: usize,
}

impl Cost {
    /// Takes steps for `sample` and more, at least one, and `ending`, on a copy of
    /// `graph` and times them.
    ///
    /// # Errors
    /// As [`super::fit::fit`].
    pub fn measure(
        graph: &Graph,
        material: &Material,
        recipe: &Recipe,
        ending: Ending,
        sample: Duration,
        surroundings: &Surroundings,
    ) -> Result<Cost, Error> {
        let mut graph = graph.clone();
        let method = bitat::method(recipe.method);
        let material = &Material {
            preprocess: material.preprocess.clone(),
            binarizer: method.as_ref(),
            ..*material
        };
        let surroundings = &Surroundings {
            console: Console::Quiet,
            checkpoints: None,
            resume: false,
            steps: None,
            ..*surroundings
        };
        let mut run = Run::new(&graph, material, recipe, surroundings)?;
        let start = Instant::now();
        for phase in 0..run.phases.len() {
            run.begin(&mut graph, phase)?;
        }
        let (pixels, count) = calibration_images(material)?;
        let images = Images { pixels: &pixels, count };
        let mode = Mode::Train { momentum: 0.0 };
        let turns = start.elapsed().as_secs_f64();
        calibrate::narrow_points(&mut graph, material.binarizer, &images, mode)?;
        let begin = start.elapsed().as_secs_f64();

        let (first, last) = (run.phases[0], run.phases[run.phases.len() - 1]);
        let step = time_steps(&mut run, &mut graph, material, recipe, last, sample)?;
        let first_step =
            match (first.weights, first.activations) == (last.weights, last.activations) {
                true => step,
                false => time_steps(&mut run, &mut graph, material, recipe, first, sample)?,
            };
        let lesson = time_lesson(&run, material, recipe, sample)?;

        let few = recipe.batch.min(INTERIM_IMAGES);
        let start = Instant::now();
        let Material { binarizer, test, fit, ref preprocess, .. } = *material;
        let scored = evaluate(&mut graph, binarizer, test, fit, preprocess, few, |_| true)?;
        let per_image = start.elapsed().as_secs_f64() / scored.images().max(1) as f64;
        let interim = per_image * INTERIM_IMAGES.min(test.len()) as f64;
        let start = Instant::now();
        let batches = run.reestimated().min(REESTIMATED);
        run.reestimate(&mut graph, batches)?;
        let per_batch = start.elapsed().as_secs_f64() / batches as f64;
        let reestimate = per_batch * run.reestimated() as f64;
        Ok(Cost {
            step,
            first_step,
            lesson,
            epoch: (begin - turns) + reestimate + interim,
            begin,
            end: reestimate + time_end(&mut graph, material, ending, surroundings)?,
            per_epoch: run.per_epoch(),
            layers: binary_layers(&graph).len(),
        })
    }

    /// The time of a run of `recipe` that has done `done` of its steps.
    pub fn of(&self, recipe: &Recipe, done: u64) -> Duration {
        let epochs = recipe.steps.div_ceil(self.per_epoch).saturating_sub(done / self.per_epoch);
        let mut seconds = self.begin + self.end + self.epoch * epochs as f64;
        if recipe.distil.is_some() {
            seconds += self.lesson * recipe.steps.saturating_sub(done) as f64;
        }
        let phases = recipe.schedule.phases(self.layers, recipe.steps);
        for phase in &phases {
            let steps = phase.end.saturating_sub(phase.start.max(done)) as f64;
            seconds += steps * self.step_of(*phase, phases[0]);
        }
        Duration::from_secs_f64(seconds)
    }

    /// One step of `phase`: between that of the `first` phase and that of the whole
    /// binary network as its layers are.
    fn step_of(&self, phase: Phase, first: Phase) -> f64 {
        let float = |phase: Phase| (2 * self.layers - phase.weights - phase.activations) as f64;
        match float(first) {
            0.0 => self.step,
            most => self.step + (self.first_step - self.step) * float(phase) / most,
        }
    }

    /// The steps of `recipe` that fit into `time`, at least `least`.
    pub fn steps_within(&self, time: Duration, recipe: &Recipe, least: u64) -> u64 {
        let fits = |steps| self.of(&Recipe { steps, ..recipe.clone() }, 0) <= time;
        let mut most = least;
        while fits(most) && most < u64::from(u32::MAX) {
            most *= 2;
        }
        let mut least = least;
        while least + 1 < most {
            let middle = least.midpoint(most);
            *if fits(middle) { &mut least } else { &mut most } = middle;
        }
        least.min(u64::from(u32::MAX))
    }
}

/// Seconds of a step in `phase`: the mean over a `sample`, as pauses count too.
fn time_steps(
    run: &mut Run,
    graph: &mut Graph,
    material: &Material,
    recipe: &Recipe,
    phase: Phase,
    sample: Duration,
) -> Result<f64, Error> {
    let plain = &Recipe { distil: None, ..recipe.clone() };
    with_phase(graph, phase, |graph| {
        let mut stepper = Stepper::new(graph, material, plain)?;
        let mut batches = run.batches(0)?;
        let mut step = || -> Result<(), Error> {
            let Some(batch) = batches.next() else { unreachable!("shuffled batches never end") };
            stepper.step(graph, &mut run.optimiser, &batch?, 0.0);
            Ok(())
        };
        (0..WARM).try_for_each(|_| step())?;
        mean_time(sample, step)
    })
}

/// Seconds that the float network takes for its word on a batch; none where it has none.
fn time_lesson(
    run: &Run,
    material: &Material,
    recipe: &Recipe,
    sample: Duration,
) -> Result<f64, Error> {
    let Some(teacher) = material.teacher.filter(|_| recipe.distil.is_some()) else {
        return Ok(0.0);
    };
    let mut lessons = teacher.lessons(recipe.batch)?;
    let Some(batch) = run.batches(0)?.next() else { unreachable!("shuffled batches never end") };
    let batch = batch?;
    lessons.logits(&batch.pixels, batch.len());
    mean_time(sample, || {
        lessons.logits(&batch.pixels, batch.len());
        Ok(())
    })
}

/// Seconds of one call of `work`: the mean over as many as take at least `sample`.
fn mean_time(sample: Duration, mut work: impl FnMut() -> Result<(), Error>) -> Result<f64, Error> {
    let start = Instant::now();
    let mut calls = 0;
    while calls == 0 || start.elapsed() < sample {
        work()?;
        calls += 1;
    }
    Ok(start.elapsed().as_secs_f64() / f64::from(calls))
}

/// Seconds of the run's end, by two on few test images.
fn time_end(
    graph: &mut Graph,
    material: &Material,
    ending: Ending,
    surroundings: &Surroundings,
) -> Result<f64, Error> {
    let all = material.test.len();
    let mut seconds = [0.0; 2];
    for (seconds, images) in seconds.iter_mut().zip(ENDS) {
        let test = match images < all {
            true => &Arc::new(material.test.hold_out(images, 0).1),
            false => material.test,
        };
        let few = Material { test, preprocess: material.preprocess.clone(), ..*material };
        let start = Instant::now();
        // What a network of no training is refused for is no matter.
        let _ = ending(graph, &few, surroundings);
        *seconds = start.elapsed().as_secs_f64();
    }
    let [few, more] = ENDS;
    let per_image = ((seconds[1] - seconds[0]) / (more - few) as f64).max(0.0);
    Ok(seconds[1] + per_image * all.saturating_sub(more) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qat::stages::Schedule;
    use crate::study::tests::budget;

    const COST: Cost = Cost {
        step: 0.05,
        first_step: 0.08,
        lesson: 0.02,
        epoch: 2.0,
        begin: 3.0,
        end: 7.0,
        per_epoch: 400,
        layers: 4,
    };

    fn seconds(recipe: &Recipe, done: u64) -> f64 {
        COST.of(recipe, done).as_secs_f64()
    }

    #[test]
    fn everything_a_run_does_counts() {
        let recipe = |steps| Recipe { steps, ..budget() };
        assert!((seconds(&recipe(400), 0) - 32.0).abs() < 1e-9);
        assert!((seconds(&recipe(401), 0) - 34.05).abs() < 1e-9, "an epoch more");
        assert!((seconds(&recipe(800), 400) - 32.0).abs() < 1e-9, "half of it done");
        let mut taught = recipe(400);
        taught.set_distil(0.9);
        assert!((seconds(&taught, 0) - 40.0).abs() < 1e-9);
        // Two stages of two layers each: 200 steps as the first's, 200 as the last's.
        let schedule = Schedule::Progressive { stages: 2, part: 0.5 };
        let staged = Recipe { schedule, ..recipe(400) };
        assert!((seconds(&staged, 0) - 38.0).abs() < 1e-9);
    }

    #[test]
    fn steps_and_time_are_each_others_inverse() {
        for steps in [10, 399, 400, 401, 4000, 8000] {
            let recipe = Recipe { steps, ..budget() };
            let time = COST.of(&recipe, 0);
            assert_eq!(COST.steps_within(time, &recipe, 10), steps);
            assert_eq!(
                COST.steps_within(time - Duration::from_millis(1), &recipe, 10),
                steps.max(11) - 1
            );
        }
        assert_eq!(COST.steps_within(Duration::ZERO, &budget(), 10), 10);
    }
}
