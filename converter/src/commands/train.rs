//! `bitat train --data DIR -o OUT.onnx`

use std::path::PathBuf;

use bitat_data::Preprocess;
use bitat_engine::PlainSte;
use bitat_graph::{Graph, Shape};
use bitat_models::{MobileNet, mobilenet_v1, mobilenet_v2};
use clap::ValueEnum;

use super::Context;
use super::identity::identity;
use super::options::{DataArgs, PreprocessArgs, TrainingArgs, float_recipe};
use super::output;
use crate::Error;
use crate::learn::budget::{Open, Unsettled};
use crate::learn::evaluate::evaluate;
use crate::learn::fit::{Material, Surroundings, fit};
use crate::learn::state::Checkpoints;
use crate::pipeline::input_fit;
use crate::ui::{Json, human};

/// The networks there are.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Architecture {
    /// MobileNetV1
    MobilenetV1,
    /// MobileNetV2
    MobilenetV2,
}

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Network
    #[arg(long, value_enum, default_value = "mobilenet-v1")]
    network: Architecture,
    /// Width multiplier
    #[arg(long, value_name = "W", default_value_t = 1.0)]
    width: f32,
    /// Input size as HxW [default: the data's, or 224x224]
    #[arg(long, value_name = "HxW")]
    size: Option<String>,
    /// Strides of stem and stages, five of 1 or 2 [default: what suits the size]
    #[arg(long, value_name = "S,S,S,S,S", value_delimiter = ',')]
    strides: Option<Vec<usize>>,
    /// Float network to write (ONNX)
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    preprocess: PreprocessArgs,
    #[command(flatten)]
    training: TrainingArgs,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<(), Error> {
    let checkpoint = args.training.checkpoint(&args.output);
    output::check(&[("--output", &args.output), ("--checkpoint", &checkpoint)], &[])?;
    args.training.start_threads()?;
    let train = args.training.train(&args.data.data)?;
    let test = args.data.test()?;
    let [height, width, channels] = train.shape().unwrap_or([224, 224, 3]);
    let [h, w] = match &args.size {
        Some(size) => parse_size(size)?,
        None => [height, width],
    };
    let mut definition =
        MobileNet::new(args.width, Shape { h, w, c: channels }, train.classes().len());
    definition.seed = args.training.seed;
    if let Some(strides) = &args.strides {
        definition.strides = strides.as_slice().try_into().map_err(|_| {
            Error::usage(format!("--strides: five numbers are needed, not {}", strides.len()))
        })?;
    }
    let mut graph = match args.network {
        Architecture::MobilenetV1 => mobilenet_v1(&definition),
        Architecture::MobilenetV2 => mobilenet_v2(&definition),
    }
    .map_err(|e| Error::usage(e.to_string()))?;

    let preprocess = match args.preprocess.given(channels)? {
        Some(preprocess) => preprocess,
        None => Preprocess::preset("tf", channels)?,
    };
    let recipe = args.training.recipe(train.len(), float_recipe())?;
    let run = identity(&graph, &preprocess, &train);
    let checkpoints = Checkpoints::new(checkpoint).of_run(run);
    let surroundings = Surroundings {
        console: context.console,
        stop: &context.stop,
        checkpoints: Some(&checkpoints),
        resume: args.training.resume,
        steps: None,
    };
    let material = Material {
        train: &train,
        test: &test,
        fit: input_fit(&graph),
        preprocess: preprocess.clone(),
        binarizer: &PlainSte::default(),
        teacher: None,
    };
    let score = |graph: &mut Graph, material: &Material| {
        let Material { binarizer, test, fit, ref preprocess, .. } = *material;
        let going = |_| !context.stop.requested();
        evaluate(graph, binarizer, test, fit, preprocess, usize::MAX, going)
    };
    let plan = Unsettled {
        graph: &graph,
        material: &material,
        recipe: &recipe,
        open: Open { steps: args.training.allowance(context.since), ..Open::default() },
        teacher: false,
        ending: &|graph, material, _| score(graph, material).map(drop),
    }
    .settle(&surroundings)?;
    let recipe = plan.recipe;
    let stopped = |e| output::resumable_if_stopped(e, &checkpoints);
    let curve = fit(&mut graph, &material, &recipe, &surroundings).map_err(stopped)?;
    let scores = score(&mut graph, &material).map_err(stopped)?;
    bitat_onnx::write(&graph, &args.output)
        .map_err(|e| output::resumable(e.into(), &checkpoints))?;
    let file_bytes =
        std::fs::metadata(&args.output).map_err(|e| Error::file(&args.output, e))?.len();
    checkpoints.remove();
    let json = Json::object()
        .with("float_top1", scores.top(1))
        .with("float_top5", scores.top(5))
        .with("images", scores.images() as u64)
        .with("file_bytes", file_bytes)
        .with("steps", recipe.steps)
        .with("loss", curve.last().map_or(f64::NAN, |p| p.loss))
        .with("mean", Json::array(preprocess.mean.iter().map(|m| f64::from(*m))))
        .with("std", Json::array(preprocess.std.iter().map(|s| f64::from(*s))));
    let list =
        |values: &[f32]| values.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let text = format!(
        "{}: top-1 {} of {} images, {}; written to {}\nits preprocessing: --mean {} --std {}\n",
        graph.name,
        human::percent(scores.top(1)),
        scores.images(),
        human::bytes(file_bytes),
        args.output.display(),
        list(&preprocess.mean),
        list(&preprocess.std),
    );
    context.finish(json, &text)
}

fn parse_size(text: &str) -> Result<[usize; 2], Error> {
    let sides: Option<Vec<usize>> = text.split('x').map(|s| s.parse().ok()).collect();
    match sides.as_deref() {
        Some(&[h, w]) => Ok([h, w]),
        _ => Err(Error::usage(format!("--size {text}: give rows and columns as 96x96"))),
    }
}
