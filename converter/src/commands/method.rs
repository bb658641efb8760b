//! Options of the method of binarization.

use clap::{Args, ValueEnum};

use super::options::factor;
use crate::Error;
use crate::bitat;
use crate::learn::budget::Open;
use crate::learn::recipe::Recipe;
use crate::qat::stages::Schedule;

/// Part of the steps that all stages but the last share, and that the first of two
/// steps takes.
pub(super) const STAGED_PART: f64 = 0.4;

/// How much faster than all else the weights behind the signs learn: they must cross
/// zero to change anything, the rest of the network is fine-tuned to them.
pub(super) const LATENT_RATE: f32 = 4.0;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Importance {
    /// All weights count the same
    None,
    /// By the correlations of a layer's inputs
    Inputs,
    /// The same, each input weighed by the task's gradient
    Task,
}

/// A value that an option gives, or leaves to the budget.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Setting<T> {
    /// To the budget.
    Auto,
    /// This one.
    Given(T),
}

impl<T> Setting<T> {
    fn parse(
        text: &str,
        given: impl FnOnce(&str) -> Option<T>,
        wrong: &str,
    ) -> Result<Self, String> {
        match text {
            "auto" => Ok(Setting::Auto),
            _ => given(text).map(Setting::Given).ok_or_else(|| wrong.into()),
        }
    }
}

fn stages(text: &str) -> Result<Setting<u8>, String> {
    let given = |text: &str| text.parse().ok().filter(|n| *n > 0);
    Setting::parse(text, given, "give a number from 1 to 255, or auto")
}

fn distil(text: &str) -> Result<Setting<f32>, String> {
    let given = |text: &str| text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    Setting::parse(text, given, "give a number from 0 to 1, or auto")
}

/// How the network becomes binary.
#[derive(Args, Clone, Debug)]
pub(super) struct MethodArgs {
    /// Learning rate of 1-bit layers' weights, in multiples of --learning-rate
    #[arg(long, value_name = "FACTOR", default_value_t = LATENT_RATE, value_parser = factor)]
    latent_rate: f32,
    /// Make layers binary in N stages, bottom to top; 1: all at once; auto: what measured
    /// best at the budget
    #[arg(long, value_name = "N", default_value = "auto", value_parser = stages)]
    stages: Setting<u8>,
    /// Make all activations binary first, then the weights
    #[arg(long, conflicts_with = "stages")]
    two_step: bool,
    /// Part of the steps for all stages but the last, above 0 and below 1
    #[arg(long, value_name = "PART", default_value_t = STAGED_PART)]
    staged_part: f64,
    /// Share of the float network's word in the loss, 0 to 1; auto: what measured best at the
    /// budget, 0 where it is short
    #[arg(long, value_name = "SHARE", default_value = "auto", value_parser = distil)]
    distil: Setting<f32>,
    /// What the importance of weights is read from
    #[arg(long, value_enum, value_name = "WHAT", default_value = "none")]
    importance: Importance,
    /// Choose signs in order of importance, with compensation and descent
    #[arg(long)]
    ordered_signs: bool,
    /// Weight of the quantization error, measured by importance, beside the loss
    #[arg(long, value_name = "LAMBDA", default_value_t = 0.0)]
    penalty: f32,
    /// Train the transformation: latent weights live in its coordinates
    #[arg(long)]
    train_transformation: bool,
    /// Aggregate a layer's inputs into K groups where it has more; 0: never
    #[arg(long, value_name = "K", default_value_t = 256)]
    groups: usize,
}

impl MethodArgs {
    /// Puts the options into `recipe`; returns what they leave to the budget.
    pub(super) fn apply(&self, recipe: &mut Recipe) -> Result<Open, Error> {
        recipe.latent_rate = self.latent_rate;
        let part = self.staged_part;
        if !(part > 0.0 && part < 1.0) {
            return Err(Error::usage(format!("--staged-part {part}: must be above 0 and below 1")));
        }
        let mut open = Open::default();
        recipe.schedule = match (self.two_step, self.stages) {
            (true, _) => Schedule::TwoStep { part },
            (false, Setting::Given(stages)) => Schedule::in_stages(stages.into(), part),
            (false, Setting::Auto) => {
                open.stages = Some(part);
                Schedule::AtOnce
            }
        };
        match self.distil {
            Setting::Given(share) => recipe.set_distil(share),
            Setting::Auto => open.distil = true,
        }
        if !(self.penalty >= 0.0 && self.penalty.is_finite()) {
            return Err(Error::usage(format!("--penalty {}: must be 0 or more", self.penalty)));
        }
        let importance = match self.importance {
            Importance::None => bitat::Importance::None,
            Importance::Inputs => bitat::Importance::Inputs,
            Importance::Task => bitat::Importance::Task,
        };
        let parts = [
            (self.ordered_signs, "--ordered-signs"),
            (self.penalty > 0.0, "--penalty"),
            (self.train_transformation, "--train-transformation"),
        ];
        if importance == bitat::Importance::None
            && let Some((_, option)) = parts.iter().find(|(given, _)| *given)
        {
            return Err(Error::usage(format!("{option} needs --importance inputs or task")));
        }
        recipe.method = bitat::Options {
            importance,
            signs: self.ordered_signs,
            penalty: self.penalty,
            trained: self.train_transformation,
            groups: self.groups,
        };
        Ok(open)
    }
}
