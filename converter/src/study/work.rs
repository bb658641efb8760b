//! A study at work: what is done, what is left, and doing it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bitat_data::Dataset;

use super::ladder::Rung;
use super::plan::{Variant, variants};
use super::results::{Key, Outcome, Purpose, Results};
use super::run::{self, Place};
use super::side_by_side::side_by_side;
use super::{Measured, Setting, Study, mean};
use crate::Error;
use crate::learn::recipe::Recipe;
use crate::ui::{Console, Progress, human};

/// A study at work.
pub(super) struct Work<'a> {
    study: &'a Study<'a>,
    setting: &'a Setting<'a>,
    variants: Vec<Variant>,
    held_out: Option<[Arc<Dataset>; 2]>,
    /// Folder of the runs in progress.
    state: PathBuf,
    results: Results,
}

#[derive(Clone)]
struct Run {
    /// Its variant.
    at: usize,
    key: Key,
}

impl<'a> Work<'a> {
    /// `held_out`: training images without those held out, and those. `state`: the
    /// folder of the runs in progress.
    pub(super) fn new(
        study: &'a Study<'a>,
        setting: &'a Setting<'a>,
        held_out: Option<[Arc<Dataset>; 2]>,
        state: PathBuf,
        results: Results,
    ) -> Work<'a> {
        Work { study, setting, variants: variants(study), held_out, state, results }
    }

    /// The runs that choose learning rates.
    fn tuning(&self) -> Vec<Run> {
        let of = |(at, variant): (usize, &Variant)| {
            variant.tuning(self.study).into_iter().map(move |key| Run { at, key })
        };
        self.variants.iter().enumerate().flat_map(of).collect()
    }

    /// The runs that score, of the variants whose learning rate is chosen by now.
    fn scoring(&self) -> Result<Vec<Run>, Error> {
        let mut runs = Vec::new();
        for (at, variant) in self.variants.iter().enumerate() {
            if let Some(rate) = variant.learning_rate(self.study, &self.results)? {
                let keys = variant.scoring(self.study, rate);
                runs.extend(keys.into_iter().map(|key| Run { at, key }));
            }
        }
        Ok(runs)
    }

    fn undone(&self, mut runs: Vec<Run>) -> Vec<Run> {
        runs.retain(|run| self.results.find(&run.key).is_none());
        runs
    }

    fn recipe(&self, run: &Run) -> Recipe {
        self.variants[run.at].recipe(self.study, &run.key)
    }

    /// Number of all runs: of those that choose and those that score.
    fn counts(&self) -> [u64; 2] {
        let scoring = self.variants.len() as u64 * self.study.seeds;
        [self.tuning().len() as u64, scoring]
    }

    /// Steps of all runs.
    fn steps(&self) -> u64 {
        let [tuning, scoring] = self.counts();
        tuning * self.study.tuning_steps + scoring * self.study.budget.steps
    }

    /// Runs that are done, and their steps.
    fn done(&self) -> Result<[u64; 2], Error> {
        let runs = [self.tuning(), self.scoring()?].concat();
        let done = runs.iter().filter(|run| self.results.find(&run.key).is_some());
        Ok(done.fold([0, 0], |[runs, steps], run| [runs + 1, steps + self.recipe(run).steps]))
    }

    pub(super) fn announce(&self) -> Result<(), Error> {
        let study = self.study;
        let say = |text: String| self.setting.console.say(&text);
        let [tuning, scoring] = self.counts();
        if let Some([rest, held]) = &self.held_out {
            let rates: Vec<String> = study.learning_rates.iter().map(f32::to_string).collect();
            say(format!(
                "{tuning} runs of {} steps choose learning rates from {}: on {} training images, \
                 judged by {} held out",
                study.tuning_steps,
                rates.join(", "),
                human::grouped(rest.len() as u64),
                human::grouped(held.len() as u64)
            ));
        }
        let rungs = study.rungs.len();
        let shared = match self.variants.len() {
            n if n < rungs => ", equal ones once",
            _ => "",
        };
        say(format!(
            "{scoring} runs of {} steps of {} images: {rungs} rungs with {} seeds{shared}",
            study.budget.steps, study.budget.batch, study.seeds
        ));
        let [done, _] = self.done()?;
        if done > 0 {
            say(format!("{done} of the {} runs are done already", tuning + scoring));
        }
        Ok(())
    }

    /// Times a few steps of the first rung and of the last, and says what that comes to.
    pub(super) fn estimate(&self) -> Result<(), Error> {
        let study = self.study;
        let [done, done_steps] = self.done()?;
        let undone = self.counts().iter().sum::<u64>() - done;
        if self.setting.console == Console::Quiet || undone == 0 {
            return Ok(());
        }
        let mut ends = vec![&self.variants[0]];
        ends.extend(self.variants.last().filter(|_| self.variants.len() > 1));
        let mut wholes = vec![0.0; ends.len()];
        let at_a_time = undone.min(study.jobs as u64);
        let runs_left = (self.steps() - done_steps) as f64 / study.budget.steps as f64;
        side_by_side(
            ends.len(),
            study.jobs,
            self.setting.stop,
            |i, _| {
                let recipe = Recipe { steps: study.budget.steps, ..ends[i].start.clone() };
                let task = study.task(study.train, study.test, &recipe);
                Ok(run::cost(&task, self.setting.stop)?.of(&recipe, 0))
            },
            |_, piece| {
                if let Some((i, whole)) = piece {
                    wholes[i] = whole.as_secs_f64() * runs_left / at_a_time as f64;
                }
                Ok(())
            },
        )?;
        wholes.sort_by(f64::total_cmp);
        let text = |s: f64| human::duration(Duration::from_secs_f64(s));
        let (least, most) = (text(wholes[0]), text(wholes[wholes.len() - 1]));
        let range = if least == most { least } else { format!("{least} to {most}") };
        self.setting.console.say(&format!(
            "about {range} for what is left, {at_a_time} at a time, by a few steps of the first \
             rung and of the last"
        ));
        Ok(())
    }

    /// Does what is not done.
    pub(super) fn all(&mut self) -> Result<(), Error> {
        let [_, done] = self.done()?;
        let mut bar = self.setting.console.progress("ladder", "steps", done, self.steps());
        self.some(&self.undone(self.tuning()), &mut bar)?;
        self.some(&self.undone(self.scoring()?), &mut bar)?;
        bar.finish("");
        Ok(())
    }

    fn some(&mut self, runs: &[Run], bar: &mut Progress) -> Result<(), Error> {
        let [_, before] = self.done()?;
        let recipes: Vec<Recipe> = runs.iter().map(|run| self.recipe(run)).collect();
        let (study, stop) = (self.study, self.setting.stop);
        let sets = runs.iter().map(|run| match (run.key.purpose, &self.held_out) {
            (Purpose::Tune, Some([rest, held])) => [Arc::clone(rest), Arc::clone(held)],
            _ => [Arc::clone(study.train), Arc::clone(study.test)],
        });
        let sets: Vec<[Arc<Dataset>; 2]> = sets.collect();
        let places: Vec<Place> = runs
            .iter()
            .map(|run| Place::new(&self.state, &self.results.fingerprint(&run.key)))
            .collect();
        let work = |i: usize, steps: &AtomicU64| {
            let [train, test] = &sets[i];
            run::run(&study.task(train, test, &recipes[i]), &places[i], stop, steps)
        };
        side_by_side(runs.len(), study.jobs, stop, work, |steps, finished| {
            if let Some((i, outcome)) = finished {
                bar.say(&self.sentence(&runs[i], outcome));
                self.take(&runs[i], outcome)?;
            }
            bar.set(before + steps, "");
            Ok(())
        })
    }

    /// Keeps the outcome of a run.
    fn take(&mut self, run: &Run, outcome: Outcome) -> Result<(), Error> {
        if run.key.purpose == Purpose::Score && outcome.top1.is_none() {
            return Err(Error::diverged(format!(
                "{}: training diverged with seed {} at learning rate {}; give --learning-rates \
                 without it",
                self.variants[run.at], run.key.seed, run.key.learning_rate
            )));
        }
        self.results.add(run.key.clone(), outcome)
    }

    fn sentence(&self, run: &Run, outcome: Outcome) -> String {
        let key = &run.key;
        let result = outcome.top1.map_or("diverged".to_owned(), human::percent);
        let of = if key.purpose == Purpose::Tune { " of the held-out images" } else { "" };
        let variant = &self.variants[run.at];
        format!("{variant}, rate {}, seed {}: {result}{of}", key.learning_rate, key.seed)
    }

    /// Removes the folder of the runs in progress, unless runs of other options wait in it.
    pub(super) fn tidy(&self) {
        let _ = std::fs::remove_dir(&self.state);
    }

    /// The rungs in order, all runs done.
    pub(super) fn measured(&self) -> Result<Vec<Measured>, Error> {
        self.study.rungs.iter().map(|rung| self.rung(rung)).collect()
    }

    fn rung(&self, rung: &'static Rung) -> Result<Measured, Error> {
        let study = self.study;
        let text = rung.recipe(&study.budget, &study.parts).describe();
        let undone = || Error::model(format!("rung {}: not all of its runs are done", rung.name));
        let variant = self.variants.iter().find(|v| v.text == text).ok_or_else(undone)?;
        let rate = variant.learning_rate(study, &self.results)?.ok_or_else(undone)?;
        let outcomes: Option<Vec<Outcome>> =
            variant.scoring(study, rate).iter().map(|key| self.results.find(key)).collect();
        let outcomes = outcomes.ok_or_else(undone)?;
        let seconds: Option<Vec<f64>> = outcomes.iter().map(|o| o.seconds).collect();
        let tuning = variant.tuning(study);
        let chosen = |name| study.rungs.iter().any(|r| r.name == name);
        let below = std::iter::successors(rung.below(&study.parts), |r| r.below(&study.parts));
        Ok(Measured {
            rung,
            over: below.map(|r| r.name).find(|name| chosen(*name)),
            learning_rate: rate,
            tuning: tuning
                .iter()
                .map(|key| (key.learning_rate, self.results.find(key).and_then(|o| o.top1)))
                .collect(),
            top1: outcomes.iter().filter_map(|o| o.top1).collect(),
            seconds: seconds.map(|s| mean(&s)),
        })
    }
}
