//! Options that several commands share.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bitat_data::{Augment, Dataset, Options, Preprocess, Split};
use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};

use super::method::LATENT_RATE;
use crate::Error;
use crate::bitat;
use crate::learn::budget::Allowance;
use crate::learn::recipe::Recipe;
use crate::qat::rewrite::{self, Depthwise};
use crate::qat::stages::Schedule;

/// How pixels enter a float network.
#[derive(Args, Clone, Debug)]
pub(super) struct PreprocessArgs {
    /// What the float network expects of its pixels: tf (x/127.5−1), torch (ImageNet mean and
    /// deviation), unit (x/255), raw (0..255)
    #[arg(long, value_name = "NAME")]
    preprocess: Option<String>,
    /// Per-channel mean on the 0–255 scale, separated by commas (with --std)
    #[arg(long, value_name = "M,…")]
    mean: Option<String>,
    /// Per-channel standard deviation on the 0–255 scale, separated by commas (with --mean)
    #[arg(long, value_name = "S,…")]
    std: Option<String>,
}

impl PreprocessArgs {
    /// The preprocessing for `channels` channels, if the options say one.
    pub(super) fn given(&self, channels: usize) -> Result<Option<Preprocess>, Error> {
        let PreprocessArgs { preprocess, mean, std } = self;
        Ok(Preprocess::from_options(
            preprocess.as_deref(),
            mean.as_deref(),
            std.as_deref(),
            channels,
        )?)
    }

    /// The preprocessing for `channels` channels.
    pub(super) fn resolve(&self, channels: usize) -> Result<Preprocess, Error> {
        self.given(channels)?.ok_or_else(|| {
            Error::usage(
                "a float network needs its preprocessing: give --preprocess tf|torch|unit|raw, \
                 or --mean and --std on the 0–255 scale",
            )
        })
    }

    /// Refuses the options where they would be ignored.
    pub(super) fn refuse(&self, why: &str) -> Result<(), Error> {
        if self.preprocess.is_some() || self.mean.is_some() || self.std.is_some() {
            return Err(Error::usage(format!(
                "--preprocess, --mean, --std: {why}; leave them out"
            )));
        }
        Ok(())
    }
}

/// Where images come from.
#[derive(Args, Clone, Debug)]
pub(super) struct DataArgs {
    /// Images: a folder of IDX or CIFAR files, or of pictures by class
    #[arg(long, value_name = "DIR")]
    pub(super) data: PathBuf,
    /// Test with N images only, drawn by a fixed seed
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<usize>,
}

impl DataArgs {
    /// The test images.
    pub(super) fn test(&self) -> Result<Arc<Dataset>, Error> {
        open(&self.data, Split::Test, self.limit)
    }
}

/// Opens one split of a data set, cut to `limit` images.
pub(super) fn open(dir: &Path, split: Split, limit: Option<usize>) -> Result<Arc<Dataset>, Error> {
    let mut data = Dataset::open(dir, split, &Options::default())?;
    match limit {
        Some(0) => return Err(Error::usage("a limit of 0 images leaves nothing to work on")),
        Some(count) => data.limit(count, 0),
        None => {}
    }
    Ok(Arc::new(data))
}

/// The class names in a file of one a line, which must be `count`.
pub(super) fn read_names(path: &Path, count: usize) -> Result<Vec<String>, Error> {
    let names = bitat_data::read_names(path)?;
    if names.len() != count {
        let problem = format!("has {} names, but there are {count} classes", names.len());
        return Err(Error::file(path, problem));
    }
    Ok(names)
}

/// What stays in 8 bits.
#[derive(Args, Clone, Debug)]
pub(super) struct PrecisionArgs {
    /// Bits of depthwise layers
    #[arg(long, value_name = "BITS", value_enum, default_value = "8")]
    depthwise: DepthwiseArg,
    /// Keep this layer in 8 bits (repeat for more)
    #[arg(long, value_name = "LAYER")]
    keep: Vec<String>,
}

/// A kind of depthwise layer by its name.
#[derive(Clone, Copy, Debug)]
pub(super) struct DepthwiseArg(pub(super) Depthwise);

impl ValueEnum for DepthwiseArg {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [DepthwiseArg; 3] = {
            let [a, b, c] = Depthwise::ALL;
            [DepthwiseArg(a), DepthwiseArg(b), DepthwiseArg(c)]
        };
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self.0 {
            Depthwise::Int8 => {
                "8-bit, with a shortcut of their own: most accurate in narrow networks"
            }
            Depthwise::Int8Signs => {
                "8-bit, of which only the signs are kept: fastest in MobileNetV1 without AVX-512"
            }
            Depthwise::Binary => "1-bit, with a shortcut of their own: smallest",
        };
        Some(PossibleValue::new(self.0.name()).help(help))
    }
}

impl PrecisionArgs {
    /// The same for the rewriting of the network.
    pub(super) fn options(&self) -> rewrite::Options {
        rewrite::Options { depthwise: self.depthwise.0, keep: self.keep.clone() }
    }
}

/// What a run may spend, and on what.
#[derive(Args, Clone, Debug)]
pub(super) struct BudgetArgs {
    /// Passes over the training images
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    epochs: u32,
    /// Optimiser steps, instead of --epochs
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    steps: Option<u32>,
    /// Images per step
    #[arg(long, value_name = "N", default_value_t = 128,
          value_parser = clap::value_parser!(u16).range(2..=4096))]
    batch: u16,
    /// Weight decay of float and 8-bit weights, times the learning rate (AdamW)
    #[arg(long, value_name = "DECAY", value_parser = decay)]
    weight_decay: Option<f32>,
    /// Label smoothing: this share of each label goes to all classes, 0 to 1
    #[arg(long, value_name = "SHARE", value_parser = share)]
    smoothing: Option<f32>,
    /// Mirror training images at random
    #[arg(long)]
    flip: bool,
    /// Shift training images at random by up to N pixels
    #[arg(long, value_name = "N", default_value_t = 0)]
    shift: u8,
    /// Blank a square of N by N pixels at random in each training image
    #[arg(long, value_name = "N", default_value_t = 0)]
    erase: u8,
    /// Train with N images only, drawn by a fixed seed
    #[arg(long, value_name = "N")]
    train_limit: Option<usize>,
}

impl BudgetArgs {
    /// The training images.
    pub(super) fn train(&self, dir: &Path) -> Result<Arc<Dataset>, Error> {
        open(dir, Split::Train, self.train_limit)
    }

    /// `start` within this budget, for `images` training images.
    pub(super) fn recipe(&self, images: usize, start: Recipe) -> Recipe {
        let batch = usize::from(self.batch).min(images.max(2));
        let per_epoch = (images / batch).max(1) as u64;
        Recipe {
            steps: self.steps.map_or(u64::from(self.epochs) * per_epoch, u64::from),
            batch,
            weight_decay: self.weight_decay.unwrap_or(start.weight_decay),
            smoothing: self.smoothing.unwrap_or(start.smoothing),
            augment: Augment {
                flip: self.flip,
                shift: self.shift.into(),
                erase: self.erase.into(),
            },
            ..start
        }
    }
}

/// How long and how to train.
#[derive(Args, Clone, Debug)]
pub(super) struct TrainingArgs {
    #[command(flatten)]
    budget: BudgetArgs,
    /// Take about this long in all on this machine, instead of --epochs: 90s, 30m, 1h30m
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with_all = ["steps", "epochs"])]
    time: Option<Duration>,
    /// Highest learning rate (cosine decay after a short warm-up)
    #[arg(long, value_name = "RATE")]
    learning_rate: Option<f32>,
    /// Seed of everything random
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) seed: u64,
    /// Threads (the result does not depend on it) [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Where the state is kept while training [default: the output with .checkpoint]
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Go on from the checkpoint
    #[arg(long)]
    pub(super) resume: bool,
}

impl TrainingArgs {
    /// The training images.
    pub(super) fn train(&self, dir: &Path) -> Result<Arc<Dataset>, Error> {
        self.budget.train(dir)
    }

    /// The recipe for `images` training images.
    pub(super) fn recipe(&self, images: usize, start: Recipe) -> Result<Recipe, Error> {
        let learning_rate = self.learning_rate.unwrap_or(start.learning_rate);
        if !(learning_rate > 0.0 && learning_rate.is_finite()) {
            return Err(Error::usage(format!("--learning-rate {learning_rate}: must be above 0")));
        }
        let start = Recipe { learning_rate, seed: self.seed, ..start };
        Ok(self.budget.recipe(images, start))
    }

    /// The time that the command may take, begun at `since`.
    pub(super) fn allowance(&self, since: Instant) -> Option<Allowance> {
        self.time.map(|time| Allowance { time, since })
    }

    /// Where the state is kept for an output of this name.
    pub(super) fn checkpoint(&self, output: &Path) -> PathBuf {
        self.checkpoint.clone().unwrap_or_else(|| {
            let mut name = output.as_os_str().to_owned();
            name.push(".checkpoint");
            name.into()
        })
    }

    /// Starts the thread pool.
    pub(super) fn start_threads(&self) -> Result<(), Error> {
        let Some(threads) = self.threads else { return Ok(()) };
        if threads == 0 {
            return Err(Error::usage("--threads 0: give 1 or more"));
        }
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build_global()
            .map_err(|e| Error::model(format!("cannot start {threads} threads: {e}")))
    }
}

/// A weight decay.
fn decay(text: &str) -> Result<f32, String> {
    let decay = text.parse().ok().filter(|d: &f32| *d >= 0.0 && d.is_finite());
    decay.ok_or_else(|| "give a number, 0 or more".into())
}

/// A part of a whole that leaves something over.
fn share(text: &str) -> Result<f32, String> {
    let share = text.parse().ok().filter(|s| (0.0..1.0).contains(s));
    share.ok_or_else(|| "give a number from 0 to below 1".into())
}

/// A factor of something that must not become 0.
pub(super) fn factor(text: &str) -> Result<f32, String> {
    let factor = text.parse().ok().filter(|f: &f32| *f > 0.0 && f.is_finite());
    factor.ok_or_else(|| "give a number above 0".into())
}

/// A time, numbers with units from hours to seconds: `90s`, `1.5h`, `1h30m`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "give numbers with their units, as 90s, 30m, 2h or 1h30m".to_owned();
    let (mut seconds, mut rest) = (0.0, text);
    for (unit, worth) in [('h', 3600.0), ('m', 60.0), ('s', 1.0)] {
        if let Some((number, after)) = rest.split_once(unit) {
            if !number.starts_with(|first: char| first.is_ascii_digit()) {
                return Err(wrong());
            }
            seconds += number.parse::<f64>().map_err(|_| wrong())? * worth;
            rest = after;
        }
    }
    match Duration::try_from_secs_f64(seconds) {
        Ok(time) if rest.is_empty() && !time.is_zero() => Ok(time),
        _ => Err(wrong()),
    }
}

/// What a float network is trained with unless the options say otherwise.
pub(super) fn float_recipe() -> Recipe {
    Recipe {
        steps: 0,
        batch: 128,
        learning_rate: 3e-3,
        latent_rate: 1.0,
        weight_decay: 5e-3,
        smoothing: 0.0,
        seed: 1,
        augment: Augment::default(),
        schedule: Schedule::AtOnce,
        distil: None,
        method: bitat::Options::default(),
    }
}

/// What a 1-bit network is trained with unless the options say otherwise.
pub(super) fn binary_recipe() -> Recipe {
    Recipe { learning_rate: 1e-2, latent_rate: LATENT_RATE, weight_decay: 1e-4, ..float_recipe() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_needs_a_number_and_a_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("30m"), Ok(Duration::from_secs(1800)));
        for same in ["1.5h", "1h30m", "1h29m60s", "90m"] {
            assert_eq!(duration(same), Ok(Duration::from_secs(5400)), "{same}");
        }
        for wrong in ["", "s", "30", "-1m", "0s", "0h0m", "1e99h", "nanm", "infs", "3µ", "1h30"]
            .into_iter()
            .chain(["30m1h", "1h1h", "1h-5m", "1h 30m", " 1h", "1d"])
        {
            assert!(duration(wrong).unwrap_err().contains("30m"), "{wrong}");
        }
    }
}
