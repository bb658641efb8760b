//! What the tests of several files need: a budget, parts, a study, a summary.

use std::sync::Arc;

use bitat_data::{Augment, Dataset, Preprocess};
use bitat_engine::loss::Distil;
use bitat_graph::Graph;

use super::ladder::{Parts, rung};
use super::{Measured, Study, Summary};
use crate::bitat::{Importance, Options};
use crate::learn::recipe::Recipe;
use crate::qat::rewrite;
use crate::qat::stages::Schedule;

pub(crate) fn budget() -> Recipe {
    Recipe {
        steps: 10,
        batch: 32,
        learning_rate: 1e-2,
        latent_rate: 1.0,
        weight_decay: 1e-4,
        smoothing: 0.0,
        seed: 1,
        augment: Augment::default(),
        schedule: Schedule::AtOnce,
        distil: None,
        method: Options::default(),
    }
}

pub(crate) fn parts() -> Parts {
    Parts {
        progression: false,
        progressive: Schedule::Progressive { stages: 4, part: 0.4 },
        two_step: Schedule::TwoStep { part: 0.3 },
        importance: Importance::Task,
        penalty: 0.5,
        distil: Distil { alpha: 0.9, temperature: 4.0, smoothing: 0.0 },
    }
}

/// Hands over a study of rung a that is never run.
pub(crate) fn with_study(use_it: impl FnOnce(&mut Study)) {
    let data = Arc::new(Dataset::from_memory(vec![0; 4], [2, 2, 1], vec![0], vec!["a".into()]));
    let mut study = Study {
        float: &Graph::default(),
        preprocess: &Preprocess::new(vec![0.0], vec![1.0]).unwrap(),
        train: &data,
        test: &data,
        options: &rewrite::Options { depthwise: rewrite::Depthwise::Int8, keep: Vec::new() },
        budget: budget(),
        seeds: 3,
        learning_rates: vec![1e-2],
        tuning_steps: 10,
        parts: parts(),
        rungs: rung("a").into_iter().collect(),
        jobs: 1,
    };
    use_it(&mut study);
}

/// Three rungs of three seeds, with numbers to reckon by hand.
pub(crate) fn sample() -> Summary {
    let measured = |name, over, learning_rate, top1: [f64; 3], seconds| Measured {
        rung: rung(name).unwrap(),
        over,
        learning_rate,
        tuning: vec![(0.01, Some(78.0)), (0.02, Some(79.5)), (0.04, None)],
        top1: top1.to_vec(),
        seconds,
    };
    Summary {
        float_top1: 91.5,
        rungs: vec![
            measured("a", None, 0.01, [79.0, 80.0, 81.0], Some(75.0)),
            measured("c", Some("a"), 0.02, [80.0, 82.0, 84.0], Some(90.0)),
            measured("g", Some("c"), 0.01, [80.5, 81.5, 82.5], None),
        ],
    }
}
