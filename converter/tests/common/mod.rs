//! A data set and recipes small enough to train on in a test.
#![allow(dead_code)] // Each test file uses its part.

pub(crate) mod command;

use std::path::PathBuf;
use std::sync::Arc;

use bitat_converter::bitat::Options;
use bitat_converter::learn::fit::Surroundings;
use bitat_converter::learn::recipe::Recipe;
use bitat_converter::qat::stages::Schedule;
use bitat_converter::ui::{Console, Stop};
use bitat_data::{Augment, Dataset, Random};

/// Rows and columns of the pictures.
pub(crate) const SIDE: usize = 16;
/// Classes: bars that lie, stand, or slant.
pub(crate) const CLASSES: usize = 3;

/// `count` grey pictures of a bright bar on noise; its direction is the class.
pub(crate) fn bars(count: usize, seed: u64) -> Arc<Dataset> {
    bars_in(count, seed, 1)
}

/// As [`bars`], with this many channels.
pub(crate) fn bars_in(count: usize, seed: u64, channels: usize) -> Arc<Dataset> {
    let mut random = Random::new(&[seed, 99]);
    let mut pixels = Vec::with_capacity(count * SIDE * SIDE * channels);
    let mut labels = Vec::with_capacity(count);
    for i in 0..count {
        let class = i % CLASSES;
        let at = 4 + random.below(SIDE - 8);
        for y in 0..SIDE {
            for x in 0..SIDE {
                let on = match class {
                    0 => y.abs_diff(at) < 2,
                    1 => x.abs_diff(at) < 2,
                    _ => (x + at).abs_diff(y + SIDE / 2) < 2,
                };
                for _ in 0..channels {
                    pixels.push(if on { 180 } else { 20 } + random.below(60) as u8);
                }
            }
        }
        labels.push(class as u32);
    }
    let names = ["lying", "standing", "slanting"].map(str::to_owned).to_vec();
    Arc::new(Dataset::from_memory(pixels, [SIDE, SIDE, channels], labels, names))
}

/// A recipe of a few seconds.
pub(crate) fn recipe(steps: u64) -> Recipe {
    Recipe {
        steps,
        batch: 32,
        learning_rate: 1e-2,
        latent_rate: 1.0,
        weight_decay: 1e-4,
        smoothing: 0.0,
        seed: 3,
        augment: Augment::default(),
        schedule: Schedule::AtOnce,
        distil: None,
        method: Options::default(),
    }
}

/// Nothing shown, nothing kept.
pub(crate) fn quiet(stop: &Stop) -> Surroundings<'_> {
    Surroundings { console: Console::Quiet, stop, checkpoints: None, resume: false, steps: None }
}

/// An empty folder of this test's own, below the build's.
pub(crate) fn folder(name: &str) -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).expect("a folder for the test");
    dir
}
