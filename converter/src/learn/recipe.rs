//! How a network is trained, as plain values: what two runs must share to be one.

use bitat_data::Augment;
use bitat_engine::loss::Distil;

use crate::bitat::{self, Importance};
use crate::qat::stages::Schedule;

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

impl Recipe {
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
}
