//! `bitat study MODEL.onnx --data DIR -o FOLDER`

use std::path::PathBuf;

use bitat_engine::loss::Distil;
use clap::ValueEnum;

use super::method::{LATENT_RATE, STAGED_PART};
use super::options::{BudgetArgs, DataArgs, PrecisionArgs, PreprocessArgs, binary_recipe, factor};
use super::{Context, network, write_whole};
use crate::Error;
use crate::bitat::Importance;
use crate::learn::recipe::{Recipe, TEMPERATURE};
use crate::pipeline::{input_fit, merge_input_affine};
use crate::qat::stages::Schedule;
use crate::report::Ladder;
use crate::study::ladder::{LADDER, Parts, Rung, rung};
use crate::study::{RESULTS, Setting, Study, Summary};
use crate::ui::{Json, human};

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Base {
    /// On a: all layers at once
    AtOnce,
    /// On b: progressive
    Progressive,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Metric {
    /// By the correlations of a layer's inputs
    Inputs,
    /// The same, each input weighed by the task's gradient
    Task,
}

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Trained float network (ONNX)
    model: PathBuf,
    /// Folder for results and report; finished runs in it are not done again
    #[arg(short, long, value_name = "FOLDER")]
    output: PathBuf,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    preprocess: PreprocessArgs,
    #[command(flatten)]
    precision: PrecisionArgs,
    /// Rungs of the ladder, separated by commas [default: all]
    #[arg(long, value_name = "RUNG,…", value_delimiter = ',')]
    rungs: Vec<String>,
    /// What rung c, and so those above it, builds on
    #[arg(long, value_enum, value_name = "BASE", default_value = "at-once")]
    schedule: Base,
    /// Runs per rung, each with a seed of its own
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1000))]
    seeds: u16,
    /// The first seed
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u32,
    /// Highest learning rates: of several, each rung takes the one that is best with the
    /// first seed on training images held out [default: 0.01]
    #[arg(long, value_name = "RATE,…", value_delimiter = ',')]
    learning_rates: Vec<f32>,
    /// Learning rate of 1-bit layers' weights, in multiples of the learning rate
    #[arg(long, value_name = "FACTOR", default_value_t = LATENT_RATE, value_parser = factor)]
    latent_rate: f32,
    /// Steps of the runs that choose a learning rate [default: as of all runs]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    tune_steps: Option<u32>,
    /// Runs at a time, each on one thread (no result depends on it) [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    jobs: Option<u16>,
    #[command(flatten, next_help_heading = "Budget of every run")]
    budget: BudgetArgs,
    #[command(flatten)]
    parts: PartArgs,
}

/// What the rungs are made of.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Parts of the method")]
struct PartArgs {
    /// b: stages, bottom to top
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(2..))]
    stages: u16,
    /// b: part of the steps for all stages but the last; b2: for the first step
    #[arg(long, value_name = "PART", default_value_t = STAGED_PART)]
    staged_part: f64,
    /// c: what the metric is read from
    #[arg(long, value_enum, value_name = "WHAT", default_value = "inputs")]
    importance: Metric,
    /// c: weight of the quantization error beside the loss
    #[arg(long, value_name = "LAMBDA", default_value_t = 0.01)]
    penalty: f32,
    /// g: share of the float network's word in the loss
    #[arg(long, value_name = "SHARE", default_value_t = 0.9)]
    distil: f32,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<(), Error> {
    let options = args.precision.options();
    let rungs = rungs(&args.rungs)?;
    let learning_rates = learning_rates(&args.learning_rates)?;
    let mut parts = args.parts.parts(args.schedule)?;

    let float = network::float(&args.model, context.console)?;
    let preprocess = args.preprocess.resolve(input_fit(&float).channels)?;
    let (float, preprocess) = merge_input_affine(&float, preprocess)?;
    let train = args.budget.train(&args.data.data)?;
    let test = args.data.test()?;
    let start = Recipe { seed: args.seed.into(), latent_rate: args.latent_rate, ..binary_recipe() };
    let budget = args.budget.recipe(train.len(), start);
    parts.distil.smoothing = budget.smoothing;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let study = Study {
        float: &float,
        preprocess: &preprocess,
        train: &train,
        test: &test,
        options: &options,
        seeds: args.seeds.into(),
        learning_rates,
        tuning_steps: args.tune_steps.map_or(budget.steps, u64::from),
        budget,
        parts,
        rungs,
        jobs: args.jobs.map_or(cores, usize::from),
    };
    let setting = Setting { folder: &args.output, console: context.console, stop: &context.stop };
    let summary = study.run(&setting)?;

    let at = |name: &str| args.output.join(name);
    let json = json(&study, &summary)
        .with("results", at(RESULTS).display().to_string())
        .with("report", at("report.html").display().to_string());
    write_whole(&at("report.html"), page(&study, &summary, args).html().as_bytes())?;
    write_whole(&at("study.json"), format!("{json}\n").as_bytes())?;
    let text = format!(
        "{}\nfloat network: {}; behind ± stands the sample standard deviation over the seeds, for \
         gains the standard error\nreport: {}\n",
        summary.table(),
        human::percent(summary.float_top1),
        at("report.html").display()
    );
    context.finish(json, &text)
}

/// The rungs of these names, in the ladder's order; all, if there are no names.
fn rungs(names: &[String]) -> Result<Vec<&'static Rung>, Error> {
    if let Some(name) = names.iter().find(|name| rung(name).is_none()) {
        let all: Vec<&str> = LADDER.iter().map(|rung| rung.name).collect();
        return Err(Error::usage(format!(
            "--rungs {name}: there is no such rung; there are {}",
            all.join(", ")
        )));
    }
    let chosen = |rung: &&Rung| names.is_empty() || names.iter().any(|name| name == rung.name);
    Ok(LADDER.iter().filter(chosen).collect())
}

fn learning_rates(given: &[f32]) -> Result<Vec<f32>, Error> {
    for (i, &rate) in given.iter().enumerate() {
        if !(rate > 0.0 && rate.is_finite()) {
            return Err(Error::usage(format!("--learning-rates {rate}: must be above 0")));
        }
        if given[..i].contains(&rate) {
            return Err(Error::usage(format!("--learning-rates {rate}: stands there twice")));
        }
    }
    Ok(if given.is_empty() { vec![binary_recipe().learning_rate] } else { given.to_vec() })
}

impl PartArgs {
    fn parts(&self, base: Base) -> Result<Parts, Error> {
        let PartArgs { stages, staged_part: part, importance, penalty, distil } = *self;
        if !(part > 0.0 && part < 1.0) {
            return Err(Error::usage(format!("--staged-part {part}: must be above 0 and below 1")));
        }
        if !(penalty > 0.0 && penalty.is_finite()) {
            return Err(Error::usage(format!("--penalty {penalty}: must be above 0")));
        }
        if !(distil > 0.0 && distil <= 1.0) {
            return Err(Error::usage(format!("--distil {distil}: must be above 0, at most 1")));
        }
        Ok(Parts {
            progression: base == Base::Progressive,
            progressive: Schedule::Progressive { stages: stages.into(), part },
            two_step: Schedule::TwoStep { part },
            importance: match importance {
                Metric::Inputs => Importance::Inputs,
                Metric::Task => Importance::Task,
            },
            penalty,
            distil: Distil { alpha: distil, temperature: TEMPERATURE, smoothing: 0.0 },
        })
    }
}

fn json(study: &Study, summary: &Summary) -> Json {
    summary
        .json()
        .with("images", study.test.len() as u64)
        .with("steps", study.budget.steps)
        .with("tuning_steps", study.tuning_steps)
        .with("batch", study.budget.batch as u64)
        .with("schedule", if study.parts.progression { "progressive" } else { "at-once" })
        .with("seeds", Json::array(study.budget.seed..study.budget.seed + study.seeds))
}

fn page(study: &Study, summary: &Summary, args: &Args) -> Ladder {
    let Recipe { steps, batch, .. } = study.budget;
    let train = study.train.len();
    let data = args.data.data.file_name().map_or("data".into(), |name| name.to_string_lossy());
    let fact = |name: &str, value: String| (name.to_owned(), value);
    Ladder {
        title: format!("{} in one bit, on {data}", study.float.name),
        budget: format!(
            "Every rung under one budget: {} steps of {batch} pictures, {:.1} passes over {} \
             training pictures; {} seeds; scored on {} test pictures.",
            human::grouped(steps),
            steps as f64 * batch as f64 / train as f64,
            human::grouped(train as u64),
            study.seeds,
            human::grouped(study.test.len() as u64)
        ),
        summary: summary.clone(),
        command: command_line(),
        facts: vec![
            fact("bitat", env!("CARGO_PKG_VERSION").into()),
            fact("processor", processor()),
            fact("runs at a time", study.jobs.to_string()),
            fact("first seed", study.budget.seed.to_string()),
            fact("c builds on", if study.parts.progression { "b" } else { "a" }.into()),
        ],
    }
}

/// This process's command line, as one would type it.
fn command_line() -> String {
    let quoted = |word: String| match word.contains(char::is_whitespace) {
        true => format!("'{word}'"),
        false => word,
    };
    std::env::args().skip(1).map(quoted).fold("bitat".to_owned(), |line, word| line + " " + &word)
}

/// The processor's name where the system tells, else its architecture.
fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|l| l.strip_prefix("model name")?.split_once(": "));
    name.map_or(std::env::consts::ARCH, |(_, name)| name.trim()).to_owned()
}
