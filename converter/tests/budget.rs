//! What a budget settles: steps that fit into a time, the teacher, and that the
//! same run can be made again.

mod common;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bitat_converter::learn::budget::{Allowance, Open};
use bitat_converter::learn::fit::{Material, Surroundings, fit};
use bitat_converter::learn::recipe::Recipe;
use bitat_converter::learn::state::Checkpoints;
use bitat_converter::pipeline::{Converted, Task, convert, input_fit};
use bitat_converter::qat::rewrite::{Depthwise, Options};
use bitat_converter::ui::Stop;
use bitat_converter::{Error, Fault};
use bitat_data::{Dataset, Preprocess};
use bitat_engine::PlainSte;
use bitat_graph::{Graph, Shape};
use bitat_models::{MobileNet, mobilenet_v1};
use common::command::{BITAT, bitat, data, refused, stderr, stdout};
use common::{CLASSES, SIDE, bars, folder, quiet, recipe};
use serde_json::Value;

fn untrained() -> Graph {
    let mut definition = MobileNet::new(0.25, Shape { h: SIDE, w: SIDE, c: 1 }, CLASSES);
    definition.strides = [2, 2, 1, 1, 1];
    mobilenet_v1(&definition).unwrap()
}

fn tf() -> Preprocess {
    Preprocess::preset("tf", 1).unwrap()
}

/// A float network that is better than a guess.
fn trained(train: &Arc<Dataset>, test: &Arc<Dataset>) -> Graph {
    let mut graph = untrained();
    let material = Material {
        train,
        test,
        fit: input_fit(&graph),
        preprocess: tf(),
        binarizer: &PlainSte::default(),
        teacher: None,
    };
    let recipe = Recipe { learning_rate: 3e-3, ..recipe(40) };
    fit(&mut graph, &material, &recipe, &quiet(&Stop::new())).unwrap();
    graph
}

fn converted(
    float: &Graph,
    data: [&Arc<Dataset>; 2],
    recipe: &Recipe,
    open: Open,
    surroundings: &Surroundings,
) -> Result<Converted, Error> {
    let task = Task {
        float,
        preprocess: &tf(),
        train: data[0],
        test: data[1],
        classes: None,
        options: &Options { depthwise: Depthwise::Int8, keep: Vec::new() },
        recipe,
        open,
    };
    convert(&task, surroundings)
}

#[test]
fn long_runs_have_a_teacher_that_knows_something() {
    // One step an epoch.
    let (train, test) = (bars(32, 1), bars(96, 2));
    let data = [&train, &test];
    let open = Open { stages: Some(0.4), distil: true, ..Open::default() };
    let stop = Stop::new();
    let plan = |float: &Graph, steps: u64| {
        converted(float, data, &recipe(steps), open, &quiet(&stop)).unwrap().plan
    };
    let float = trained(&bars(96, 3), &test);
    let [short, long] = [27, 28].map(|steps| plan(&float, steps));
    assert_eq!((short.recipe.steps, long.recipe.steps), (27, 28));
    assert_eq!(
        (short.options.as_str(), long.options.as_str()),
        ("--stages 1 --distil 0", "--stages 1 --distil 0.9")
    );
    assert_eq!(plan(&untrained(), 28).recipe.distil, None, "nothing to teach");
}

#[test]
fn a_run_in_a_given_time_is_resumed_with_what_it_had_settled() {
    let (train, test) = (bars(96, 1), bars(96, 2));
    let (data, float) = ([&train, &test], trained(&train, &test));
    let allowance = Allowance { time: Duration::from_secs(4), since: Instant::now() };
    let open = Open { steps: Some(allowance), stages: Some(0.4), distil: true };
    let checkpoints = Checkpoints::new(folder("budget-resume").join("state"));
    let (stop, steps) = (Stop::new(), AtomicU64::new(0));
    let error = std::thread::scope(|scope| {
        scope.spawn(|| {
            while steps.load(Ordering::Relaxed) < 3 {
                std::thread::yield_now();
            }
            stop.request();
        });
        let (checkpoints, steps) = (Some(&checkpoints), Some(&steps));
        let surroundings = Surroundings { checkpoints, steps, ..quiet(&stop) };
        converted(&float, data, &recipe(0), open, &surroundings).err()
    });
    assert_eq!(error.map(|e| e.fault), Some(Fault::Interrupted));
    let kept = checkpoints.kept().unwrap();
    assert!((3..kept.steps).contains(&kept.done), "{kept:?}");

    let stop = Stop::new();
    let resumed = Surroundings { checkpoints: Some(&checkpoints), resume: true, ..quiet(&stop) };
    let resumed = converted(&float, data, &recipe(0), open, &resumed).unwrap();
    let plan = &resumed.plan;
    assert_eq!((plan.recipe.steps, plan.recipe.distil), (kept.steps, kept.distil));
    let again = Recipe { steps: kept.steps, distil: kept.distil, ..recipe(0) };
    let again = converted(&float, data, &again, Open::default(), &quiet(&stop)).unwrap();
    assert!(*resumed.file == *again.file, "as the whole run of so many steps");
    assert_eq!(again.plan.options, "");
}

/// A short conversion of the shipped float network; returns its JSON and what it said.
fn shipped(dir: &Path, more: &[&str]) -> (Value, String) {
    let net = dir.join("net.onnx").display().to_string();
    let images = dir.display().to_string();
    let fixed = ["convert", &net, "--data", &images, "--mean", "73", "--std", "90", "--json"];
    let short = ["--batch", "16", "--train-limit", "64", "--limit", "40"];
    let output = bitat(&[&fixed[..], &short, more].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    (serde_json::from_str(&stdout(&output)).unwrap(), stderr(&output))
}

#[test]
fn a_run_in_a_given_time_can_be_made_again() {
    let dir = folder("budget-again");
    data(&dir);
    let path = |name: &str| dir.join(name).display().to_string();
    std::fs::write(path("net.onnx"), bitat_models::artefacts::fashion_mnist_float()).unwrap();
    let (timed, again) = (path("timed.bitat"), path("again.bitat"));
    let (json, said) = shipped(&dir, &["--time", "4s", "-o", &timed]);
    let plan = &json["plan"];
    let options = plan["options"].as_str().unwrap();
    let steps = plan["steps"].as_u64().unwrap();
    assert!(options.starts_with(&format!("--steps {steps} --stages 1 --distil 0")), "{options}");
    assert!(plan["seconds"].as_f64() > Some(0.0) && json["seconds"].as_f64() > Some(0.0));
    for words in [
        "13 of 28 layers in 1 bit, depthwise in 8",
        "recipe: all layers at once; ",
        " steps of 16 images, ",
        " epochs of 64; about ",
        &format!("the same again: {options} in the place of --time"),
    ] {
        assert!(said.contains(words), "'{words}' is not in {said}");
    }
    assert!(said.find("the same again") < said.find("epoch  1.0"), "before it starts: {said}");

    let options: Vec<&str> = options.split(' ').chain(["-o", &again]).collect();
    let (json, _) = shipped(&dir, &options);
    assert_eq!(json["plan"]["steps"].as_u64(), Some(steps));
    assert_eq!(json["plan"]["distil"], plan["distil"]);
    assert_eq!(std::fs::read(timed).unwrap(), std::fs::read(again).unwrap());
}

#[test]
fn budgets_that_cannot_be_are_refused_by_name() {
    for command in [&["convert", "x.onnx"][..], &["train"]] {
        let refused = |more: &[&str], words: &[&str]| {
            let fixed = ["--data", "x", "-o", "x"];
            refused(&[command, &fixed, more].concat(), 2, words);
        };
        refused(&["--time", "30"], &["--time", "'30'", "1h30m"]);
        refused(&["--time", "0s"], &["--time", "'0s'", "1h30m"]);
        refused(&["--time", "30m", "--steps", "5"], &["--time", "--steps", "cannot be used"]);
        refused(&["--time", "30m", "--epochs", "5"], &["--time", "--epochs", "cannot be used"]);
    }
    let refused = |more: &[&str], words: &[&str]| {
        refused(&[&["convert", "x.onnx", "--data", "x", "-o", "x"], more].concat(), 2, words);
    };
    refused(&["--stages", "many"], &["--stages", "'many'", "1 to 255, or auto"]);
    refused(&["--stages", "2", "--two-step"], &["--stages", "--two-step", "cannot be used"]);
    refused(&["--distil", "1.5"], &["--distil", "'1.5'", "0 to 1, or auto"]);
    refused(&["--distil", "NaN"], &["--distil", "'NaN'", "0 to 1, or auto"]);
}

/// `BITAT_BLESS=1 cargo test -p bitat-converter --test budget` writes the page anew.
#[test]
fn the_help_is_as_blessed() {
    let mut command = Command::new(BITAT);
    let output = command.args(["convert", "--help"]).env_remove("COLUMNS").output().unwrap();
    let help = stdout(&output).lines().map(str::trim_end).collect::<Vec<_>>().join("\n") + "\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/convert-help.txt");
    if std::env::var_os("BITAT_BLESS").is_some() {
        std::fs::write(path, &help).unwrap();
    }
    let blessed = std::fs::read_to_string(path).unwrap();
    assert!(
        help == blessed,
        "bitat convert --help is not {path}; look at it, then bless it:\n{help}"
    );
}
