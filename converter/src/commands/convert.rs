//! `bitat convert MODEL.onnx --data DIR -o OUT.bitat`

use std::path::PathBuf;

use super::identity::identity;
use super::method::MethodArgs;
use super::options::{
    DataArgs, PrecisionArgs, PreprocessArgs, TrainingArgs, binary_recipe, read_names,
};
use super::output::{self, write_whole};
use super::{Context, network};
use crate::Error;
use crate::learn::budget::{Open, Plan};
use crate::learn::fit::Surroundings;
use crate::learn::state::Checkpoints;
use crate::packed::Packed;
use crate::packed::summary::layers;
use crate::pipeline::{Converted, Task, check_classes, convert, input_fit, merge_input_affine};
use crate::ui::{Align, Json, Table, human};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Trained float network (ONNX)
    model: PathBuf,
    /// Packed network to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    preprocess: PreprocessArgs,
    #[command(flatten)]
    precision: PrecisionArgs,
    #[command(flatten)]
    method: MethodArgs,
    /// Class names to keep in the file, one a line [default: the data's]
    #[arg(long, value_name = "FILE")]
    names: Option<PathBuf>,
    #[command(flatten)]
    training: TrainingArgs,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<(), Error> {
    let options = args.precision.options();
    let checkpoint = args.training.checkpoint(&args.output);
    let mut inputs = vec![("MODEL", args.model.as_path())];
    inputs.extend(args.names.as_deref().map(|path| ("--names", path)));
    output::check(&[("--output", &args.output), ("--checkpoint", &checkpoint)], &inputs)?;
    args.training.start_threads()?;
    let float = network::float(&args.model, context.console)?;
    let preprocess = args.preprocess.resolve(input_fit(&float).channels)?;
    let (float, preprocess) = merge_input_affine(&float, preprocess)?;
    let train = args.training.train(&args.data.data)?;
    let test = args.data.test()?;
    check_classes(&float, &test).map_err(|e| Error::file(&args.model, e))?;
    let names = args.names.as_deref().map(|path| read_names(path, test.classes().len()));
    let names = names.transpose()?;
    let mut recipe = args.training.recipe(train.len(), binary_recipe())?;
    let open =
        Open { steps: args.training.allowance(context.since), ..args.method.apply(&mut recipe)? };
    let mut run = identity(&float, &preprocess, &train);
    let precision = format!("{:?} {:?}", options.depthwise, options.keep);
    run.push(("--depthwise or --keep", bitat_data::hash(precision.as_bytes())));
    let checkpoints = Checkpoints::new(checkpoint).of_run(run);
    let task = Task {
        float: &float,
        preprocess: &preprocess,
        train: &train,
        test: &test,
        classes: names.as_deref(),
        options: &options,
        recipe: &recipe,
        open,
    };
    let surroundings = Surroundings {
        console: context.console,
        stop: &context.stop,
        checkpoints: Some(&checkpoints),
        resume: args.training.resume,
        steps: None,
    };
    let converted =
        convert(&task, &surroundings).map_err(|e| output::resumable_if_stopped(e, &checkpoints))?;
    write_whole(&args.output, &converted.file).map_err(|e| output::resumable(e, &checkpoints))?;
    checkpoints.remove();
    let json = json(&converted).with("plan", plan(&converted, &task));
    let json = json.with("seconds", context.since.elapsed().as_secs_f64());
    context.finish(json, &text(&converted, &args.output.display().to_string())?)
}

/// The fields that `convert` and `demo` share.
pub(super) fn json(converted: &Converted) -> Json {
    let proof = &converted.proof;
    Json::object()
        .with("float_top1", converted.float.top(1))
        .with("packed_top1", proof.packed.top(1))
        .with("trained_top1", proof.trained.top(1))
        .with("same_predictions", proof.packed.agreeing(&proof.trained) as u64)
        .with("simulated_top1", proof.simulated.top(1))
        .with("simulated_same", proof.packed.agreeing(&proof.simulated) as u64)
        .with("images", proof.packed.images() as u64)
        .with("file_bytes", converted.file.len() as u64)
        .with("arena_bytes", proof.arena_bytes as u64)
        .with("whole_arena_bytes", proof.whole_arena_bytes as u64)
        .with("oracle_images", proof.oracle_images as u64)
        .with("oracle_isas", Json::array(proof.isas.iter().copied()))
}

/// What was said before the training.
fn plan(converted: &Converted, task: &Task) -> Json {
    let Plan { recipe, time, options } = &converted.plan;
    Json::object()
        .with("network", task.float.name.as_str())
        .with("depthwise", task.options.depthwise.name())
        .with("recipe", recipe.explain())
        .with("stages", recipe.schedule.stages() as u64)
        .with("distil", recipe.distilled())
        .with("steps", recipe.steps)
        .with("batch", recipe.batch as u64)
        .with("epochs", recipe.epochs(task.train.len()))
        .with("images", task.train.len() as u64)
        .with("seconds", time.map(|time| time.as_secs_f64()))
        .with("options", options.as_str())
}

fn text(converted: &Converted, output: &str) -> Result<String, Error> {
    let packed = Packed::new(converted.file.clone(), output.as_ref())?;
    let layers = layers(&packed.view());
    let bytes = |bits: u8| -> u64 {
        layers.iter().filter(|l| l.bits == bits).map(|l| l.weight_bytes).sum()
    };
    let proof = &converted.proof;
    let mut table = Table::new(&[("", Align::Left), ("", Align::Right)]);
    table.row(&["float network, top-1".into(), human::percent(converted.float.top(1))]);
    table.row(&["packed network, top-1".into(), human::percent(proof.packed.top(1))]);
    let images = proof.packed.images();
    let of_images = |same: usize| format!("{same} of {images} images");
    table.row(&["same scores as the trainer".into(), of_images(images)]);
    table.row(&[
        "same class as in the trainer's floats".into(),
        of_images(proof.packed.agreeing(&proof.simulated)),
    ]);
    table.row(&["file".into(), human::bytes(converted.file.len() as u64)]);
    table.row(&["  1-bit weights".into(), human::bytes(bytes(1))]);
    table.row(&["  8-bit weights".into(), human::bytes(bytes(8))]);
    table.row(&["arena".into(), human::bytes(proof.arena_bytes as u64)]);
    table.row(&["  for whole layers".into(), human::bytes(proof.whole_arena_bytes as u64)]);
    Ok(format!(
        "{table}\nproven against the oracle on {} images with {}; written to {output}\n",
        proof.oracle_images,
        proof.isas.join(", ")
    ))
}
