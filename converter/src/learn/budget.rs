//! What a budget buys: how many steps fit into a given time, and the parts of the
//! recipe that its length decides.

use std::time::{Duration, Instant};

use bitat_graph::Graph;

use super::cost::{Cost, Ending};
use super::fit::{Material, Surroundings};
use super::recipe::{Choice, Recipe};
use super::state::Kept;
use crate::Error;
use crate::qat::stages::{Schedule, binary_layers};
use crate::ui::{Console, human};

/// Runs of fewer steps are over sooner than their time is measured.
const FORETOLD: u64 = 100;
/// The shortest and the longest time for which steps are timed, and the part of a
/// given time that this may be.
const SAMPLE: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(20)];
const SAMPLED: f64 = 0.02;
/// Fewer steps than these are no training, however short the time: warm-up, a tenth
/// of all, is one step of them.
const LEAST: u64 = 10;

/// A time for all that a command does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Allowance {
    /// How long.
    pub time: Duration,
    /// When it began.
    pub since: Instant,
}

/// What a recipe leaves open; the default leaves nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Open {
    /// The number of steps: as many as let the command end in time.
    pub steps: Option<Allowance>,
    /// The number of stages; all but the last share this part of the steps.
    pub stages: Option<f64>,
    /// The float network's share of the loss.
    pub distil: bool,
}

impl Open {
    fn fill(&self, recipe: &mut Recipe, choice: Choice) {
        if let Some(part) = self.stages {
            recipe.schedule = Schedule::in_stages(choice.stages, part);
        }
        if self.distil {
            recipe.set_distil(choice.distil);
        }
    }

    /// The options that make a run of `recipe` again; empty where nothing was open.
    pub fn options(&self, recipe: &Recipe) -> String {
        let mut options = Vec::new();
        if self.steps.is_some() {
            options.push(format!("--steps {}", recipe.steps));
        }
        if self.stages.is_some() {
            options.push(format!("--stages {}", recipe.schedule.stages()));
        }
        if self.distil {
            options.push(format!("--distil {}", recipe.distilled()));
        }
        options.join(" ")
    }
}

/// A run whose recipe is not settled.
pub struct Unsettled<'a> {
    /// The network that will be trained.
    pub graph: &'a Graph,
    /// Its data.
    pub material: &'a Material<'a>,
    /// Its recipe, as far as it is settled.
    pub recipe: &'a Recipe,
    /// What is open of it.
    pub open: Open,
    /// Whether the float network has something to teach.
    pub teacher: bool,
    /// What the run does after its last step.
    pub ending: Ending<'a>,
}

/// What a run is going to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// With nothing open.
    pub recipe: Recipe,
    /// The time it will take from here on, where that was measured.
    pub time: Option<Duration>,
    /// The options that settle what was open; empty where nothing was.
    pub options: String,
}

impl Unsettled<'_> {
    /// Settles what is open and says what is going to happen. A run that is resumed
    /// goes on with what was settled when it began.
    ///
    /// # Errors
    /// As [`super::fit::fit`].
    pub fn settle(&self, surroundings: &Surroundings) -> Result<Plan, Error> {
        let resumed = surroundings.checkpoints.filter(|_| surroundings.resume);
        let kept = resumed.map(|checkpoints| checkpoints.kept()).transpose()?;
        let (recipe, cost) = match (self.open.steps, &kept) {
            (Some(_), Some(kept)) => (self.as_kept(kept), None),
            (Some(allowance), None) => {
                let (recipe, cost) = self.within(allowance, surroundings)?;
                (recipe, Some(cost))
            }
            (None, _) => (self.of_length(self.recipe.steps), None),
        };
        let done = kept.map_or(0, |kept| kept.done);
        let worth = recipe.steps.saturating_sub(done) >= FORETOLD;
        let cost = match cost {
            None if worth && surroundings.console != Console::Quiet => {
                Some(self.measure(&recipe, surroundings)?)
            }
            known => known,
        };
        let plan = Plan {
            time: cost.map(|cost| cost.of(&recipe, done)),
            options: self.open.options(&recipe),
            recipe,
        };
        self.announce(&plan, surroundings);
        Ok(plan)
    }

    fn measure(&self, recipe: &Recipe, surroundings: &Surroundings) -> Result<Cost, Error> {
        let [least, most] = SAMPLE;
        let part =
            |allowance: Allowance| allowance.time.min(most.div_f64(SAMPLED)).mul_f64(SAMPLED);
        let sample = self.open.steps.map_or(least, part).max(least);
        Cost::measure(self.graph, self.material, recipe, self.ending, sample, surroundings)
    }

    fn epochs(&self, recipe: &Recipe) -> f64 {
        recipe.epochs(self.material.train.len())
    }

    fn as_kept(&self, kept: &Kept) -> Recipe {
        let mut recipe = Recipe { steps: kept.steps, ..self.recipe.clone() };
        if self.open.stages.is_some() {
            recipe.schedule = kept.schedule;
        }
        if self.open.distil {
            recipe.distil = kept.distil;
        }
        recipe
    }

    /// The recipe of so many steps.
    fn of_length(&self, steps: u64) -> Recipe {
        let mut recipe = Recipe { steps, ..self.recipe.clone() };
        let choice = Choice::for_budget(self.epochs(&recipe), self.teacher);
        self.open.fill(&mut recipe, choice);
        recipe
    }

    /// The recipe that ends in time. What a long run would have is given up if its
    /// steps, so many as fit, are those of a short one.
    fn within(
        &self,
        allowance: Allowance,
        surroundings: &Surroundings,
    ) -> Result<(Recipe, Cost), Error> {
        let longest = self.of_length(u64::MAX);
        let cost = self.measure(&Recipe { steps: LEAST, ..longest.clone() }, surroundings)?;
        let left = allowance.time.saturating_sub(allowance.since.elapsed());
        let fitting = |mut recipe: Recipe| {
            recipe.steps = cost.steps_within(left, &recipe, LEAST);
            recipe
        };
        let mut recipe = fitting(longest);
        let choice = Choice::for_budget(self.epochs(&recipe), self.teacher);
        let mut shorter = recipe.clone();
        self.open.fill(&mut shorter, choice);
        if shorter != recipe {
            recipe = fitting(shorter);
        }
        Ok((recipe, cost))
    }

    fn announce(&self, plan: &Plan, surroundings: &Surroundings) {
        let Plan { recipe, time, options } = plan;
        let say = |text: &str| surroundings.console.say(text);
        let binary = !binary_layers(self.graph).is_empty();
        if binary {
            say(&format!("recipe: {}", recipe.explain()));
        }
        let mut text = format!(
            "training: {} steps of {} images, {:.1} epochs of {}",
            human::grouped(recipe.steps),
            recipe.batch,
            self.epochs(recipe),
            human::grouped(self.material.train.len() as u64)
        );
        if let Some(time) = time {
            let proof = if binary { ", proof included" } else { "" };
            text += &format!("; about {}{proof}", human::duration(*time));
        }
        say(&text);
        let Some(allowance) = self.open.steps else { return };
        let left = allowance.time.saturating_sub(allowance.since.elapsed());
        if recipe.steps == LEAST && time.is_some_and(|time| time > left) {
            say(&format!("that is longer than --time, but fewer than {LEAST} steps train nothing"));
        }
        say(&format!("the same again: {options} in the place of --time"));
    }
}
