//! One run: trained from the float network on, scored, resumable in the middle.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bitat_data::Preprocess;
use bitat_engine::PlainSte;
use bitat_graph::Graph;

use super::clock::Clock;
use super::results::Outcome;
use crate::bitat;
use crate::learn::cost::Cost;
use crate::learn::evaluate::evaluate;
use crate::learn::fit::{Material, Surroundings, fit};
use crate::learn::state::Checkpoints;
use crate::learn::teacher::Teacher;
use crate::pipeline::{Task, input_fit, untrained};
use crate::qat::method::Method;
use crate::qat::rewrite::Rewritten;
use crate::ui::{Console, Stop};
use crate::{Error, Fault};

/// For how long steps are timed.
const SAMPLE: Duration = Duration::from_secs(1);

/// Where a run keeps what it needs to go on.
pub(super) struct Place {
    /// The trainer's checkpoint.
    checkpoint: PathBuf,
    /// The seconds until that checkpoint, if the run was asked to stop. One that
    /// was killed leaves none: how long it took is then not known.
    seconds: PathBuf,
}

impl Place {
    /// In `folder`, under `name`.
    pub(super) fn new(folder: &Path, name: &str) -> Place {
        let path = |ending: &str| folder.join(format!("{name}.{ending}"));
        Place { checkpoint: path("checkpoint"), seconds: path("seconds") }
    }

    /// The seconds already spent on this run. From here on they are not known
    /// until they are kept again.
    fn take_seconds(&self) -> Option<f64> {
        if !self.checkpoint.exists() {
            return Some(0.0);
        }
        let seconds = std::fs::read_to_string(&self.seconds).ok()?.parse().ok()?;
        std::fs::remove_file(&self.seconds).ok()?;
        Some(seconds)
    }

    fn keep_seconds(&self, seconds: Option<f64>) {
        if let Some(seconds) = seconds {
            // A time that cannot be kept is a time that is not known.
            let _ = std::fs::write(&self.seconds, seconds.to_string());
        }
    }
}

/// Trains and scores: the accuracy on `task.test`, batch norm re-estimated.
/// A training that diverges is an outcome, not an error.
///
/// # Errors
/// What [`fit`] and [`evaluate`] fail at; an interruption, after the state was kept.
pub(super) fn run(
    task: &Task,
    place: &Place,
    stop: &Stop,
    steps: &AtomicU64,
) -> Result<Outcome, Error> {
    let checkpoints = Checkpoints::new(place.checkpoint.clone());
    let surroundings = Surroundings {
        console: Console::Quiet,
        stop,
        checkpoints: Some(&checkpoints),
        resume: place.checkpoint.exists(),
        steps: Some(steps),
    };
    let before = place.take_seconds();
    let clock = Clock::start();
    let trained = train(task, &surroundings);
    let seconds = before.map(|before| before + clock.seconds());
    let top1 = match trained.and_then(|trained| trained.score(task, stop)) {
        Ok(top1) => Some(top1),
        Err(error) if error.fault == Fault::Diverged => None,
        Err(error) => {
            if error.fault == Fault::Interrupted {
                place.keep_seconds(seconds);
            }
            return Err(error);
        }
    };
    checkpoints.remove();
    Ok(Outcome { top1, seconds })
}

/// What a run of `task` costs, by a few steps of it.
///
/// # Errors
/// As [`run`].
pub(super) fn cost(task: &Task, stop: &Stop) -> Result<Cost, Error> {
    let surroundings = Surroundings {
        console: Console::Quiet,
        stop,
        checkpoints: None,
        resume: false,
        steps: None,
    };
    let (Rewritten { graph, .. }, preprocess) = untrained(task)?;
    let plain = PlainSte::default();
    let teacher = Teacher { graph: task.float, preprocess: task.preprocess };
    let material = material(task, preprocess, &plain, &teacher);
    // Not the score: it is no part of a run's time here.
    Cost::measure(&graph, &material, task.recipe, &|_, _, _| Ok(()), SAMPLE, &surroundings)
}

fn material<'a>(
    task: &'a Task,
    preprocess: Preprocess,
    method: &'a dyn Method,
    teacher: &'a Teacher<'a>,
) -> Material<'a> {
    Material {
        train: task.train,
        test: task.test,
        fit: input_fit(task.float),
        preprocess,
        binarizer: method,
        teacher: Some(teacher),
    }
}

struct Trained {
    graph: Graph,
    preprocess: Preprocess,
    method: Box<dyn Method>,
}

fn train(task: &Task, surroundings: &Surroundings) -> Result<Trained, Error> {
    let (Rewritten { mut graph, .. }, preprocess) = untrained(task)?;
    let method = bitat::method(task.recipe.method);
    let teacher = Teacher { graph: task.float, preprocess: task.preprocess };
    let material = material(task, preprocess.clone(), method.as_ref(), &teacher);
    fit(&mut graph, &material, task.recipe, surroundings)?;
    Ok(Trained { graph, preprocess, method })
}

impl Trained {
    /// Percent of the test images.
    fn score(mut self, task: &Task, stop: &Stop) -> Result<f64, Error> {
        let scores = evaluate(
            &mut self.graph,
            self.method.as_ref(),
            task.test,
            input_fit(task.float),
            &self.preprocess,
            usize::MAX,
            |_| !stop.requested(),
        )?;
        Ok(scores.top(1))
    }
}
