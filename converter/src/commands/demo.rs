//! `bitat demo`: the main job on shipped data, in a few minutes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use bitat_data::{Dataset, Split};
use bitat_format::FileBuffer;
use bitat_models::artefacts::{self, FASHION_MNIST_CLASSES};

use super::bench::{Timing, time};
use super::options::{binary_recipe, open};
use super::output::{self, write_whole};
use super::{Context, convert};
use crate::Error;
use crate::learn::budget::Open;
use crate::learn::evaluate::Scores;
use crate::learn::fit::Surroundings;
use crate::learn::recipe::Recipe;
use crate::packed::summary::{frame_bytes, layers};
use crate::packed::{Packed, available, kernels};
use crate::pipeline::{Converted, Task};
use crate::qat::rewrite;
use crate::report::{self, Report};
use crate::ui::{Align, Json, Table, human};

/// Where Debian's package `dataset-fashion-mnist` puts the full set.
const FULL_SET: &str = "/usr/share/datasets/fashion-mnist";
/// The preprocessing that the shipped float network was trained with.
const MEAN: f32 = 73.0;
const STD: f32 = 90.0;
/// Test pictures shown in the report.
const PICTURES: usize = 24;
/// Runs timed per instruction set.
const RUNS: usize = 100;

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Folder for what the demo makes: data, networks, report
    #[arg(short, long, value_name = "DIR", default_value = "bitat-demo")]
    output: PathBuf,
    /// Full Fashion-MNIST (IDX files) [default: Debian's package if installed, else the shipped slice]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Optimiser steps of the short conversion
    #[arg(long, value_name = "N", default_value_t = 800)]
    steps: u32,
    /// Test with N images only
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<(), Error> {
    let start = Instant::now();
    if args.steps == 0 {
        return Err(Error::usage("--steps 0: give 1 or more"));
    }
    let at = |name: &str| args.output.join(name);
    let made = ["float.onnx", "short.bitat", "shipped.bitat", "report.html"].map(at);
    std::fs::create_dir_all(&args.output).map_err(|e| Error::file(&args.output, e))?;
    output::check(&made.each_ref().map(|path| ("--output", path.as_path())), &[])?;
    let [float_path, short_path, shipped_path, report_path] = &made;
    let folder = data_folder(args)?;
    let train = open(&folder, Split::Train, None)?;
    let test = open(&folder, Split::Test, args.limit)?;
    context.console.say(&format!(
        "Fashion-MNIST in {}: {} training and {} test images",
        folder.display(),
        train.len(),
        test.len()
    ));

    let float_file = artefacts::fashion_mnist_float();
    let float = bitat_onnx::parse("the shipped float network", float_file)?.graph;
    let preprocess = bitat_data::Preprocess::new(vec![MEAN], vec![STD])?;
    let names = FASHION_MNIST_CLASSES.map(str::to_owned);
    let recipe = Recipe { steps: args.steps.into(), ..binary_recipe() };
    let task = Task {
        float: &float,
        preprocess: &preprocess,
        train: &train,
        test: &test,
        classes: Some(&names),
        options: &rewrite::Options { depthwise: rewrite::Depthwise::Int8, keep: Vec::new() },
        recipe: &recipe,
        open: Open::default(),
    };
    let surroundings = Surroundings {
        console: context.console,
        stop: &context.stop,
        checkpoints: None,
        resume: false,
        steps: None,
    };
    let converted = crate::pipeline::convert(&task, &surroundings)?;

    let shipped_file = FileBuffer::new(artefacts::fashion_mnist_packed());
    let shipped = Packed::new(shipped_file.clone(), "the shipped packed network".as_ref())?;
    let shipped_scores = shipped.score(&test, kernels()?, |_| !context.stop.requested())?;
    let packed = Packed::new(converted.file.clone(), "the packed network".as_ref())?;
    let timings: Vec<Timing> = available()
        .into_iter()
        .map(|k| time(&packed, &mut packed.runner(k)?, RUNS, &context.stop))
        .collect::<Result<_, _>>()?;

    let report = Made { converted: &converted, shipped: &shipped_scores, timings: &timings };
    let page = page(&report, &packed, float_file.len(), &test, &recipe, train.len())?;
    write_whole(float_path, float_file)?;
    write_whole(short_path, &converted.file)?;
    write_whole(shipped_path, &shipped_file)?;
    write_whole(report_path, page.html().as_bytes())?;

    let json = convert::json(&converted)
        .with("shipped_top1", shipped_scores.top(1))
        .with("shipped_file_bytes", shipped_file.len() as u64)
        .with("float_file_bytes", float_file.len() as u64)
        .with("seconds", start.elapsed().as_secs_f64())
        .with("report", report_path.display().to_string())
        .with(
            "latency",
            Json::array(timings.iter().map(|t| {
                Json::object()
                    .with("isa", t.isa)
                    .with("threads", 1u64)
                    .with("median_us", t.median_us)
                    .with("min_us", t.min_us)
            })),
        );
    let text = table(&report, &packed, &shipped_file, float_file.len())
        + &format!(
            "\nthe demo took {}; everything is in {}, the report in {}\n",
            human::duration(start.elapsed()),
            args.output.display(),
            report_path.display()
        );
    context.finish(json, &text)
}

/// What the demo made, for table and page.
struct Made<'a> {
    converted: &'a Converted,
    shipped: &'a Scores,
    timings: &'a [Timing],
}

/// The folder with the data. The shipped slice is unpacked into the output
/// folder, where other commands can use it too.
fn data_folder(args: &Args) -> Result<PathBuf, Error> {
    if let Some(dir) = &args.data {
        return Ok(dir.clone());
    }
    if Path::new(FULL_SET).is_dir() {
        return Ok(FULL_SET.into());
    }
    let folder = args.output.join("fashion-mnist");
    std::fs::create_dir_all(&folder).map_err(|e| Error::file(&folder, e))?;
    for (name, bytes) in artefacts::fashion_mnist().named() {
        write_whole(&folder.join(name), bytes)?;
    }
    write_whole(&folder.join("classes.txt"), FASHION_MNIST_CLASSES.join("\n").as_bytes())?;
    Ok(folder)
}

fn table(made: &Made, packed: &Packed, shipped: &FileBuffer, float_bytes: usize) -> String {
    let proof = &made.converted.proof;
    let mut table = Table::new(&[
        ("network", Align::Left),
        ("top-1", Align::Right),
        ("file", Align::Right),
        ("arena", Align::Right),
    ]);
    let bytes = |n: usize| human::bytes(n as u64);
    table.row(&[
        "float".to_owned(),
        human::percent(made.converted.float.top(1)),
        bytes(float_bytes),
        String::new(),
    ]);
    table.row(&[
        "1-bit, this short conversion".to_owned(),
        human::percent(proof.packed.top(1)),
        bytes(packed.view().file_bytes()),
        bytes(packed.arena_bytes()),
    ]);
    table.row(&[
        "1-bit, shipped".to_owned(),
        human::percent(made.shipped.top(1)),
        bytes(shipped.len()),
        bytes(packed.arena_bytes()),
    ]);
    let mut times = Table::new(&[
        ("kernels", Align::Left),
        ("median per image", Align::Right),
        ("minimum", Align::Right),
    ]);
    for t in made.timings {
        times.row(&[t.isa.to_owned(), human::latency(t.median_us), human::latency(t.min_us)]);
    }
    format!(
        "{table}\n{times}\n{} test images; the short conversion gives all of them the scores that \
         the trainer gives; {} images compared with the oracle tensor by tensor on {}\n",
        proof.packed.images(),
        proof.oracle_images,
        proof.isas.join(", ")
    )
}

fn page(
    made: &Made,
    packed: &Packed,
    float_bytes: usize,
    test: &Arc<Dataset>,
    recipe: &Recipe,
    training_images: usize,
) -> Result<Report, Error> {
    let view = packed.view();
    let proof = &made.converted.proof;
    let layers = layers(&view);
    let network = |name: &str, packed, top1, file_bytes: usize| report::Network {
        name: name.to_owned(),
        packed,
        top1,
        file_bytes: file_bytes as u64,
    };
    let per_epoch = (training_images / recipe.batch).max(1) as f64;
    let confusion = proof.packed.confusion();
    Ok(Report {
        title: "MobileNetV1 in one bit, on Fashion-MNIST".into(),
        summary: "A trained float network, turned into 1-bit weights and activations in a few \
                  minutes on this machine, and the shipped one that a longer budget gave."
            .into(),
        networks: vec![
            network("float", false, made.converted.float.top(1), float_bytes),
            network("1-bit, this run", true, proof.packed.top(1), view.file_bytes()),
            network(
                "1-bit, shipped",
                true,
                made.shipped.top(1),
                artefacts::fashion_mnist_packed().len(),
            ),
        ],
        test_images: proof.packed.images() as u64,
        arena_bytes: proof.arena_bytes as u64,
        latencies: made
            .timings
            .iter()
            .map(|t| report::Latency {
                isa: t.isa.to_owned(),
                threads: 1,
                median_us: t.median_us,
                min_us: t.min_us,
            })
            .collect(),
        other_bytes: frame_bytes(&view, &layers),
        layers: layers
            .iter()
            .map(|l| report::Layer {
                name: l.name.clone(),
                operation: format!("{} {}", l.op, l.window).trim_end().to_owned(),
                binary_bytes: if l.bits == 1 { l.weight_bytes } else { 0 },
                int8_bytes: if l.bits == 8 { l.weight_bytes } else { 0 },
                scale_bytes: l.epilogue_bytes,
                other_bytes: 0,
                mac: l.mac,
            })
            .collect(),
        weights: Vec::new(),
        curve: made
            .converted
            .curve
            .iter()
            .map(|p| report::Point {
                epoch: p.step as f64 / per_epoch,
                loss: Some(p.loss),
                accuracy: Some(p.top1),
                stage: String::new(),
            })
            .collect(),
        classes: FASHION_MNIST_CLASSES.map(str::to_owned).to_vec(),
        confusion: confusion
            .chunks(proof.packed.classes)
            .map(|row| row.iter().map(|&n| n.into()).collect())
            .collect(),
        pictures: pictures(packed, test)?,
        command: "cargo run --release -- demo".into(),
        facts: vec![
            ("bitat".into(), env!("CARGO_PKG_VERSION").into()),
            ("training".into(), format!("{} steps of {} images", recipe.steps, recipe.batch)),
            ("seed".into(), recipe.seed.to_string()),
        ],
    })
}

/// The first test pictures with the packed network's answers.
fn pictures(packed: &Packed, test: &Arc<Dataset>) -> Result<Vec<report::Picture>, Error> {
    let mut runner = packed.runner(kernels()?)?;
    let fit = packed.fit();
    let scale = f64::from(packed.view().score_scale());
    let mut pixels = vec![0; fit.bytes()];
    (0..test.len().min(PICTURES))
        .map(|i| {
            test.read(i, &fit, &mut pixels)?;
            let scores = runner.run(&pixels)?;
            let best = crate::learn::evaluate::top(scores, 3);
            let exp = |s: i32| ((f64::from(s) - f64::from(scores[best[0]])) * scale).exp();
            let sum: f64 = scores.iter().map(|&s| exp(s)).sum();
            Ok(report::Picture {
                image: test.image(i)?,
                truth: Some(test.label(i)),
                top: best.iter().map(|&c| (c, exp(scores[c]) / sum)).collect(),
            })
        })
        .collect()
}
