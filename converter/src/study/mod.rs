//! The ladder of the method: what each of its parts adds, under one budget.
//!
//! ```text
//! ladder (a table) → runs (rung × learning rate, then rung × seed) → results.tsv → summary
//! ```
//!
//! A run is a training of its own, on one thread, so that as many go on at a
//! time as there are cores; its result depends on its key alone. Two rungs with
//! the same recipe share their runs.

mod clock;
mod fingerprint;
pub mod ladder;
mod plan;
mod results;
mod run;
mod side_by_side;
mod summary;
#[cfg(test)]
pub(crate) mod tests;
mod work;

use std::path::Path;
use std::sync::Arc;

use bitat_data::{Dataset, Preprocess};
use bitat_graph::Graph;

use crate::learn::budget::Open;
use crate::learn::fit::Surroundings;
use crate::learn::recipe::Recipe;
use crate::pipeline::{Task, check_classes, input_fit, score_float};
use crate::qat::rewrite;
use crate::ui::{Console, Stop, human};
use crate::{Error, Fault};
use ladder::{Parts, Rung};
use results::{Key, Outcome, Results};
pub use summary::{Gain, Measured, Summary, mean, spread};
use work::Work;

/// The part of the training images that judges learning rates: one in this many.
const HELD_OUT: usize = 10;
/// At most so many.
const HELD_OUT_MOST: usize = 5000;
/// Seed of their choice.
const HELD_OUT_SEED: u64 = 0;
/// The file of the finished runs, in a study's folder.
pub const RESULTS: &str = "results.tsv";
/// The folder of the runs in progress, beside it.
const RUNS: &str = "runs";

/// What is measured.
pub struct Study<'a> {
    /// The trained float network.
    pub float: &'a Graph,
    /// Its preprocessing.
    pub preprocess: &'a Preprocess,
    /// Training images.
    pub train: &'a Arc<Dataset>,
    /// Test images: they score the runs and choose nothing.
    pub test: &'a Arc<Dataset>,
    /// What stays in 8 bits.
    pub options: &'a rewrite::Options,
    /// Steps, batch, decay, augmentation of every run, and the first seed. Schedule,
    /// method and learning rate are the rungs'.
    pub budget: Recipe,
    /// Seeds: from the budget's on.
    pub seeds: u64,
    /// Learning rates to choose from, per rung; at least one.
    pub learning_rates: Vec<f32>,
    /// Steps of the runs that choose.
    pub tuning_steps: u64,
    /// What the rungs are made of.
    pub parts: Parts,
    /// Which rungs, in the order of the ladder; at least one.
    pub rungs: Vec<&'static Rung>,
    /// Runs at a time.
    pub jobs: usize,
}

/// Who watches a study, who may stop it, and where it keeps its results.
pub struct Setting<'a> {
    /// Folder of the results and of the runs in progress; made if it is not there.
    pub folder: &'a Path,
    /// Progress goes here.
    pub console: Console,
    /// Raised by Ctrl-C, and by a run that fails.
    pub stop: &'a Stop,
}

impl Study<'_> {
    /// Does every run that `setting.folder` does not hold the result of.
    ///
    /// # Errors
    /// A network or data that cannot be used, results of another study, a run that
    /// fails or diverges; an interruption, after the state was kept.
    pub fn run(&self, setting: &Setting) -> Result<Summary, Error> {
        check_classes(self.float, self.train)?;
        check_classes(self.float, self.test)?;
        let state = setting.folder.join(RUNS);
        std::fs::create_dir_all(&state).map_err(|e| Error::file(&state, e))?;
        let mut results = Results::open(setting.folder.join(RESULTS), self.about()?)?;
        let float_top1 = self.score_float(setting, &mut results)?;
        let mut work = Work::new(self, setting, self.held_out()?, state, results);
        work.announce()?;
        let done = work.estimate().and_then(|()| work.all());
        done.map_err(|error| match error.fault {
            Fault::Interrupted => Error::interrupted(format!(
                "stopped; the same command goes on from {}",
                setting.folder.display()
            )),
            _ => error,
        })?;
        work.tidy();
        Ok(Summary { float_top1, rungs: work.measured()? })
    }

    fn score_float(&self, setting: &Setting, results: &mut Results) -> Result<f64, Error> {
        let known = results.find(&Key::float()).and_then(|outcome| outcome.top1);
        let top1 = match known {
            Some(top1) => top1,
            None => {
                let surroundings = Surroundings {
                    console: setting.console,
                    stop: setting.stop,
                    checkpoints: None,
                    resume: false,
                    steps: None,
                };
                let task = self.task(self.train, self.test, &self.budget);
                let top1 = score_float(&task, &surroundings)?.top(1);
                results.add(Key::float(), Outcome { top1: Some(top1), seconds: None })?;
                top1
            }
        };
        setting.console.say(&format!(
            "float network: {} of {} test images",
            human::percent(top1),
            human::grouped(self.test.len() as u64)
        ));
        Ok(top1)
    }

    /// Training images without those held out, and those; `None` if nothing is chosen by them.
    fn held_out(&self) -> Result<Option<[Arc<Dataset>; 2]>, Error> {
        if self.learning_rates.len() < 2 {
            return Ok(None);
        }
        let count = (self.train.len() / HELD_OUT).clamp(1, HELD_OUT_MOST);
        if self.train.len() <= count {
            return Err(Error::model("there are too few training images to hold some out"));
        }
        let (rest, held) = self.train.hold_out(count, HELD_OUT_SEED);
        Ok(Some([Arc::new(rest), Arc::new(held)]))
    }

    /// What results must share to stand in one table.
    fn about(&self) -> Result<Vec<(&'static str, String)>, Error> {
        let fit = input_fit(self.float);
        let Recipe { steps, batch, weight_decay, smoothing, augment, .. } = &self.budget;
        let list = |v: &[f32]| v.iter().map(f32::to_string).collect::<Vec<_>>().join(",");
        Ok(vec![
            ("bitat study", env!("CARGO_PKG_VERSION").into()),
            ("network", fingerprint::network(self.float)),
            ("mean", list(&self.preprocess.mean)),
            ("std", list(&self.preprocess.std)),
            ("training images", fingerprint::data(self.train, &fit)?),
            ("test images", fingerprint::data(self.test, &fit)?),
            ("steps", steps.to_string()),
            ("tuning steps", self.tuning_steps.to_string()),
            ("batch", batch.to_string()),
            ("weight decay", weight_decay.to_string()),
            ("smoothing", smoothing.to_string()),
            ("flip", augment.flip.to_string()),
            ("shift", augment.shift.to_string()),
            ("erase", augment.erase.to_string()),
            ("depthwise layers", self.options.depthwise.name().into()),
            ("layers kept in 8 bits", self.options.keep.join(",")),
        ])
    }

    fn task<'a>(
        &'a self,
        train: &'a Arc<Dataset>,
        test: &'a Arc<Dataset>,
        recipe: &'a Recipe,
    ) -> Task<'a> {
        Task {
            float: self.float,
            preprocess: self.preprocess,
            train,
            test,
            classes: None,
            options: self.options,
            recipe,
            open: Open::default(),
        }
    }
}
