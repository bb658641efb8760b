//! All that decides how a run goes: what two runs must share to be one.

use bitat_data::Augment;
use bitat_engine::loss::Distil;

use crate::bitat::{self, Importance};
use crate::qat::stages::Schedule;

/// Temperature of both distributions in distillation.
pub const TEMPERATURE: f32 = 4.0;

/// The share of a float network's word in the loss where it teaches.
const TAUGHT: f32 = 0.9;
/// Epochs from which on a step with the float network's word is worth its time. At
/// 40 it was; at 20 and below it was not; this is as many doublings from the one as
/// from the other.
const TAUGHT_EPOCHS: f64 = 28.0;

/// How a network is trained.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// Optimiser steps in all.
    pub steps: u64,
    /// Images per step.
    pub batch: usize,
    /// Highest learning rate.
    pub learning_rate: f32,
    /// The learning rate of latent weights, in multiples of that of everything else.
    pub latent_rate: f32,
    /// Of float and 8-bit weights (AdamW).
    pub weight_decay: f32,
    /// Label smoothing, 0 to 1.
    pub smoothing: f32,
    /// Order of images, augmentation.
    pub seed: u64,
    /// Random changes to training images.
    pub augment: Augment,
    /// Which layers are binary at which step.
    pub schedule: Schedule,
    /// How much of the loss is the teacher's word, if any.
    pub distil: Option<Distil>,
    /// How latent weights become binary ones.
    pub method: bitat::Options,
}

/// The parts of a recipe that its budget decides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// Stages in which layers become binary, bottom to top; 1: all at once.
    pub stages: usize,
    /// The share of the float network's word in the loss, 0 to 1.
    pub distil: f32,
}

impl Choice {
    /// What measured best at a budget of `epochs` passes over the training images;
    /// `teacher`: whether the float network has something to teach.
    ///
    /// The figures are in `docs/method.md`, "The default". No number of stages was
    /// better than one at any budget measured (8 to 40 epochs).
    pub fn for_budget(epochs: f64, teacher: bool) -> Choice {
        let taught = teacher && epochs >= TAUGHT_EPOCHS;
        Choice { stages: 1, distil: if taught { TAUGHT } else { 0.0 } }
    }
}

impl Recipe {
    /// Passes over `images` training images, each of the whole batches in them.
    pub fn epochs(&self, images: usize) -> f64 {
        self.steps as f64 / (images / self.batch).max(1) as f64
    }

    /// Gives the float network this share of the loss, 0 to 1.
    pub fn set_distil(&mut self, share: f32) {
        let taught = Distil { alpha: share, temperature: TEMPERATURE, smoothing: self.smoothing };
        self.distil = (share > 0.0).then_some(taught);
    }

    /// The float network's share of the loss, 0 to 1.
    pub fn distilled(&self) -> f32 {
        self.distil.map_or(0.0, |how| how.alpha)
    }

    /// The schedule and method in words without tabs: equal for equal ones.
    pub fn describe(&self) -> String {
        let mut text = match self.schedule {
            Schedule::AtOnce => "at once".to_owned(),
            Schedule::Progressive { stages, part } => format!("{stages} stages in {part}"),
            Schedule::TwoStep { part } => format!("two steps, the first {part}"),
        };
        if self.latent_rate != 1.0 {
            text += &format!(", latent weights {} times as fast", self.latent_rate);
        }
        let method = self.method;
        let importance = match method.importance {
            Importance::None => None,
            Importance::Inputs => Some("inputs"),
            Importance::Task => Some("task"),
        };
        if let Some(importance) = importance {
            text += &format!(", importance of {importance}, groups {}", method.groups);
        }
        if method.penalty > 0.0 {
            text += &format!(", penalty {}", method.penalty);
        }
        for (given, words) in [(method.trained, "V and s trained"), (method.signs, "ordered signs")]
        {
            if given {
                text += &format!(", {words}");
            }
        }
        if let Some(Distil { alpha, temperature, smoothing }) = self.distil {
            text += &format!(", teacher {alpha} at {temperature} beside {smoothing}");
        }
        text
    }

    /// The same for people.
    pub fn explain(&self) -> String {
        let mut parts = vec![match self.schedule {
            Schedule::AtOnce => "all layers at once".to_owned(),
            Schedule::Progressive { stages, part } => {
                format!("bottom to top in {stages} stages, all but the last in {part} of the steps")
            }
            Schedule::TwoStep { part } => {
                format!("activations first, for {part} of the steps, then weights")
            }
        }];
        let method = self.method;
        let importance = match method.importance {
            Importance::None => None,
            Importance::Inputs => Some("by inputs"),
            Importance::Task => Some("by the task"),
        };
        parts.extend(importance.map(|by| format!("importance {by}")));
        let given = [
            (method.penalty > 0.0, format!("penalty {}", method.penalty)),
            (method.signs, "signs in order of importance".into()),
            (method.trained, format!("transformation trained, {} groups", method.groups)),
        ];
        parts.extend(given.into_iter().filter_map(|(given, words)| given.then_some(words)));
        parts.push(match self.distil {
            Some(how) => format!("{} of the loss from the float network", how.alpha),
            None => "the loss from the labels alone".into(),
        });
        parts.push(match self.latent_rate {
            1.0 => format!("rate {}", self.learning_rate),
            times => format!("rate {}, for 1-bit weights {times} times that", self.learning_rate),
        });
        parts.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::tests::budget;

    #[test]
    fn a_recipe_is_explained_part_by_part() {
        let mut recipe = Recipe { learning_rate: 0.01, latent_rate: 4.0, ..budget() };
        recipe.set_distil(0.9);
        assert_eq!(
            recipe.explain(),
            "all layers at once; 0.9 of the loss from the float network; rate 0.01, for 1-bit \
             weights 4 times that"
        );
        let method = bitat::Options {
            importance: Importance::Task,
            signs: true,
            penalty: 0.01,
            trained: true,
            groups: 64,
        };
        let schedule = Schedule::TwoStep { part: 0.4 };
        assert_eq!(
            Recipe { schedule, method, distil: None, latent_rate: 1.0, ..recipe }.explain(),
            "activations first, for 0.4 of the steps, then weights; importance by the task; \
             penalty 0.01; signs in order of importance; transformation trained, 64 groups; the \
             loss from the labels alone; rate 0.01"
        );
    }

    #[test]
    fn a_budget_buys_a_teacher_from_tens_of_epochs_on() {
        let chosen = |epochs, teacher| Choice::for_budget(epochs, teacher).distil;
        assert_eq!([20.0, 27.9, 28.0, 40.0].map(|e| chosen(e, true)), [0.0, 0.0, 0.9, 0.9]);
        assert_eq!([8.0, 40.0].map(|e| chosen(e, false)), [0.0, 0.0], "nothing to teach");
        assert_eq!(TAUGHT_EPOCHS, (20.0f64 * 40.0).sqrt().round());
    }
}
