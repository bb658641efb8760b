//! Checkpoints of a training run: parameters, moments, and how far it has come.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bitat_engine::checkpoint::State;
use bitat_engine::loss::Distil;
use bitat_engine::optimiser::Optimiser;
use bitat_graph::{Graph, Op};

use super::fit::Point;
use super::recipe::Recipe;
use crate::Error;
use crate::bitat;
use crate::qat::method::Method;
use crate::qat::stages::Schedule;

/// Time between two checkpoints within a stage.
const EVERY: Duration = Duration::from_secs(120);

/// Names of what a state says of its run.
const STEPS: &str = "number of steps";
const DONE: &str = "step";
const SCHEDULE: &str = "schedule";
const STAGES: &str = "number of stages";
const PART: &str = "part of the stages";
const DISTIL: [&str; 3] =
    ["share of the teacher", "temperature of the teacher", "smoothing beside the teacher"];

/// What a run that is resumed had settled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kept {
    /// Optimiser steps in all.
    pub steps: u64,
    /// Those that are done.
    pub done: u64,
    /// Which layers are binary at which step.
    pub schedule: Schedule,
    /// How much of the loss is the teacher's word, if any.
    pub distil: Option<Distil>,
}

/// How far a run has come.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progressed {
    /// Steps done.
    pub step: u64,
    /// Phases that have begun: their layers have had their turn.
    pub phases: usize,
    /// Sum and count of losses since the last point of the curve.
    pub losses: (f64, u64),
    /// The training curve.
    pub curve: Vec<Point>,
}

impl Progressed {
    /// Adds a step's loss and returns the mean since the last point.
    pub(super) fn add_loss(&mut self, loss: f64) -> f64 {
        self.losses.0 += loss;
        self.losses.1 += 1;
        self.losses.0 / self.losses.1 as f64
    }
}

/// Where a run's state is kept.
pub struct Checkpoints {
    path: PathBuf,
    run: Vec<(&'static str, u64)>,
    last: Cell<Instant>,
}

impl Checkpoints {
    /// Keeps the state in `path`.
    pub fn new(path: PathBuf) -> Self {
        Checkpoints { path, run: Vec::new(), last: Cell::new(Instant::now()) }
    }

    /// Marks checkpoints as those of a run with these inputs, named for people
    /// and hashed; one with others is not resumed.
    #[must_use]
    pub fn of_run(self, inputs: Vec<(&'static str, u64)>) -> Self {
        Checkpoints { run: inputs, ..self }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// True if the last checkpoint is a while ago.
    pub(super) fn due(&self) -> bool {
        self.last.get().elapsed() >= EVERY
    }

    /// Keeps the state; the file is replaced as a whole.
    pub(super) fn save(
        &self,
        graph: &Graph,
        optimiser: &Optimiser,
        method: &dyn Method,
        recipe: &Recipe,
        progressed: &Progressed,
    ) -> Result<(), Error> {
        let mut state = State::of(graph, Some(optimiser));
        for (name, value) in self.signature(recipe) {
            state.set_counter(name, value);
        }
        state.set_counter(DONE, progressed.step);
        state.set_counter("phases", progressed.phases as u64);
        state.set_counter("loss sum", progressed.losses.0.to_bits());
        state.set_counter("loss count", progressed.losses.1);
        for (i, point) in progressed.curve.iter().enumerate() {
            state.set_counter(&format!("point {i} step"), point.step);
            state.set_counter(&format!("point {i} loss"), point.loss.to_bits());
            state.set_counter(&format!("point {i} top1"), point.top1.to_bits());
        }
        let points = narrow_points(graph).map(|frac| frac as f32).collect();
        state.arrays.push(("narrow".into(), points));
        state.arrays.extend(method.state());
        state.save(&self.path).map_err(|e| {
            Error::model(format!("{e}; make room, or keep it elsewhere with --checkpoint"))
        })?;
        self.last.set(Instant::now());
        Ok(())
    }

    /// What the run whose state is kept had settled, and how far it has come.
    ///
    /// # Errors
    /// If there is no state, or it cannot be read.
    pub fn kept(&self) -> Result<Kept, Error> {
        let state = self.read()?;
        let counter = |name: &str| {
            let said = state.counter(name);
            said.ok_or_else(|| Error::file(&self.path, format!("does not say its {name}")))
        };
        let float = |name| counter(name).map(|bits| f32::from_bits(bits as u32));
        let part = f64::from_bits(counter(PART)?);
        let [alpha, temperature, smoothing] = DISTIL.map(float);
        let how = Distil { alpha: alpha?, temperature: temperature?, smoothing: smoothing? };
        Ok(Kept {
            steps: counter(STEPS)?,
            done: counter(DONE)?,
            schedule: match counter(SCHEDULE)? {
                0 => Schedule::AtOnce,
                1 => Schedule::Progressive { stages: counter(STAGES)? as usize, part },
                _ => Schedule::TwoStep { part },
            },
            distil: (how.alpha > 0.0).then_some(how),
        })
    }

    fn read(&self) -> Result<State, Error> {
        State::load(&self.path)
            .map_err(|e| Error::model(format!("--resume: {e}; leave --resume out to start anew")))
    }

    /// Puts the state back.
    pub(super) fn load(
        &self,
        graph: &mut Graph,
        optimiser: &mut Optimiser,
        method: &dyn Method,
        recipe: &Recipe,
    ) -> Result<Progressed, Error> {
        let refuse =
            |what: String| Error::file(&self.path, format!("cannot go on from it: {what}"));
        let state = self.read()?;
        for (name, value) in self.signature(recipe) {
            if state.counter(name) != Some(value) {
                return Err(refuse(format!(
                    "it was made with another {name}; give the options of that run, or leave --resume out"
                )));
            }
        }
        let points =
            state.arrays.iter().find(|(name, _)| name == "narrow").map(|(_, a)| a.as_slice());
        let points = points.filter(|p| p.len() == narrow_points(graph).count());
        let points = points.ok_or_else(|| refuse("it is of another network".into()))?.to_vec();
        state.restore(graph, Some(optimiser)).map_err(|e| refuse(e.to_string()))?;
        method.restore(graph, &state.arrays).map_err(refuse)?;
        let readings = graph.nodes.iter_mut().filter_map(|node| match &mut node.op {
            Op::Narrow { frac } => Some(frac),
            _ => None,
        });
        for (frac, point) in readings.zip(points) {
            *frac = point as i32;
        }
        let counter = |name: &str| {
            state.counter(name).ok_or_else(|| refuse(format!("it does not say its {name}")))
        };
        let mut curve = Vec::new();
        while let Some(step) = state.counter(&format!("point {} step", curve.len())) {
            let i = curve.len();
            curve.push(Point {
                step,
                loss: f64::from_bits(counter(&format!("point {i} loss"))?),
                top1: f64::from_bits(counter(&format!("point {i} top1"))?),
            });
        }
        Ok(Progressed {
            step: counter(DONE)?,
            phases: counter("phases")? as usize,
            losses: (f64::from_bits(counter("loss sum")?), counter("loss count")?),
            curve,
        })
    }

    /// What two runs must share for one to go on where the other stopped.
    fn signature(&self, recipe: &Recipe) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        signature(recipe).into_iter().chain(self.run.iter().copied())
    }

    /// Removes the file of a run that has ended.
    pub fn remove(&self) {
        // One that cannot be removed is in nobody's way.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// What two runs must share for one to go on where the other stopped.
fn signature(recipe: &Recipe) -> Vec<(&'static str, u64)> {
    let schedule = match recipe.schedule {
        Schedule::AtOnce => [0, 0, 0],
        Schedule::Progressive { stages, part } => [1, stages as u64, part.to_bits()],
        Schedule::TwoStep { part } => [2, 0, part.to_bits()],
    };
    let distil = recipe
        .distil
        .map_or([0; 3], |d| [d.alpha, d.temperature, d.smoothing].map(|v| u64::from(v.to_bits())));
    let bitat::Options { importance, signs, penalty, trained, groups } = recipe.method;
    vec![
        (STEPS, recipe.steps),
        ("batch", recipe.batch as u64),
        ("learning rate", recipe.learning_rate.to_bits().into()),
        ("learning rate of latent weights", recipe.latent_rate.to_bits().into()),
        ("weight decay", recipe.weight_decay.to_bits().into()),
        ("smoothing", recipe.smoothing.to_bits().into()),
        ("seed", recipe.seed),
        ("flip", recipe.augment.flip.into()),
        ("shift", recipe.augment.shift as u64),
        ("erase", recipe.augment.erase as u64),
        (SCHEDULE, schedule[0]),
        (STAGES, schedule[1]),
        (PART, schedule[2]),
        (DISTIL[0], distil[0]),
        (DISTIL[1], distil[1]),
        (DISTIL[2], distil[2]),
        ("importance", importance as u64),
        ("choice of signs", signs.into()),
        ("penalty", penalty.to_bits().into()),
        ("training of V and s", trained.into()),
        ("number of groups", groups as u64),
    ]
}

fn narrow_points(graph: &Graph) -> impl Iterator<Item = i32> + '_ {
    graph.nodes.iter().filter_map(|node| match node.op {
        Op::Narrow { frac } => Some(frac),
        _ => None,
    })
}
