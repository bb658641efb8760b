//! The ladder on small networks: what comes out does not depend on how it was run.

mod common;

use std::path::Path;
use std::process::{Command, Output};

use bitat_converter::bitat::Importance;
use bitat_converter::learn::recipe::Recipe;
use bitat_converter::qat::rewrite;
use bitat_converter::qat::stages::Schedule;
use bitat_converter::study::ladder::{Parts, rung};
use bitat_converter::study::{Measured, RESULTS, Setting, Study, Summary};
use bitat_converter::ui::{Console, Stop};
use bitat_converter::{Error, Fault};
use bitat_data::{Augment, Preprocess};
use bitat_engine::loss::Distil;
use bitat_graph::Shape;
use bitat_models::{MobileNet, mobilenet_v1};
use common::{CLASSES, SIDE, bars, folder, recipe};

/// Runs a study of rungs a and b after `change`, with its results in `folder`.
fn study(folder: &Path, stop: &Stop, change: impl FnOnce(&mut Study)) -> Result<Summary, Error> {
    let mut definition = MobileNet::new(0.25, Shape { h: SIDE, w: SIDE, c: 1 }, CLASSES);
    definition.strides = [2, 2, 1, 1, 1];
    let (train, test) = (bars(120, 1), bars(48, 2));
    let mut study = Study {
        float: &mobilenet_v1(&definition).unwrap(),
        preprocess: &Preprocess::preset("tf", 1).unwrap(),
        train: &train,
        test: &test,
        options: &rewrite::Options { depthwise: rewrite::Depthwise::Int8, keep: Vec::new() },
        budget: Recipe { augment: Augment { flip: true, shift: 1, erase: 0 }, ..recipe(6) },
        seeds: 2,
        learning_rates: vec![1e-2, 3e-2],
        tuning_steps: 4,
        parts: Parts {
            progression: false,
            progressive: Schedule::Progressive { stages: 2, part: 0.5 },
            two_step: Schedule::TwoStep { part: 0.5 },
            importance: Importance::Inputs,
            penalty: 0.01,
            distil: Distil { alpha: 0.9, temperature: 4.0, smoothing: 0.0 },
        },
        rungs: ["a", "b"].into_iter().filter_map(rung).collect(),
        jobs: 1,
    };
    change(&mut study);
    study.run(&Setting { folder, console: Console::Quiet, stop })
}

/// All of a summary that is not a time.
fn numbers(summary: &Summary) -> Vec<(&'static str, f32, Vec<f64>)> {
    let of = |r: &Measured| {
        let tuning = r.tuning.iter().map(|(_, top1)| top1.unwrap_or(-1.0));
        (r.rung.name, r.learning_rate, tuning.chain(r.top1.iter().copied()).collect())
    };
    summary.rungs.iter().map(of).collect()
}

/// The results file without the column of times.
fn results(folder: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join(RESULTS)).unwrap();
    text.lines().map(|l| l.rsplit_once('\t').map_or(l, |(rest, _)| rest).to_owned()).collect()
}

#[test]
fn the_number_of_jobs_changes_nothing() {
    let (one, two) = (folder("study-one"), folder("study-two"));
    let first = study(&one, &Stop::new(), |_| {}).unwrap();
    let second = study(&two, &Stop::new(), |s| s.jobs = 2).unwrap();
    assert_eq!(numbers(&first), numbers(&second));
    assert_eq!(results(&one), results(&two));
    assert_eq!(first.rungs.len(), 2);
    for rung in &first.rungs {
        assert_eq!((rung.tuning.len(), rung.top1.len()), (2, 2));
        assert!(rung.seconds.is_some_and(|s| s > 0.0));
        // 48 test images: the score is a whole number of them.
        assert!(rung.top1.iter().all(|t| (t * 0.48 - (t * 0.48).round()).abs() < 1e-9));
    }
    // Seeds and schedules do make a difference.
    assert_ne!(first.rungs[0].top1, first.rungs[1].top1);
}

#[test]
fn interrupted_and_resumed_is_as_uninterrupted() {
    let (whole, pieces) = (folder("study-whole"), folder("study-pieces"));
    let want = study(&whole, &Stop::new(), |_| {}).unwrap();
    // The float network is scored once and its score kept.
    study(&pieces, &Stop::new(), |s| {
        s.rungs.truncate(1);
        s.learning_rates.truncate(1);
        s.seeds = 1;
    })
    .unwrap();
    // A stop that is always requested: one step of one run each time.
    let stop = Stop::new();
    stop.request();
    for i in 0..14 {
        let error = study(&pieces, &stop, |_| {}).unwrap_err();
        assert_eq!(error.fault, Fault::Interrupted, "{error}");
        assert!(error.to_string().contains("study-pieces"), "{error}");
        let waiting = std::fs::read_dir(pieces.join("runs")).unwrap().count();
        // The checkpoint and the seconds of the run that was stopped, unless it was at its end.
        assert!(waiting == 2 || (waiting == 0 && i > 0), "{waiting} files after {i} stops");
    }
    let summary = study(&pieces, &Stop::new(), |_| {}).unwrap();
    assert_eq!(numbers(&summary), numbers(&want));
    assert_eq!(results(&pieces), results(&whole));
    assert!(summary.rungs.iter().all(|r| r.seconds.is_some()), "no time was lost");
    assert!(!pieces.join("runs").exists());
}

#[test]
fn more_seeds_and_rungs_are_added_to_what_is_there() {
    let dir = folder("study-more");
    study(&dir, &Stop::new(), |s| s.rungs.truncate(1)).unwrap();
    let before = std::fs::read_to_string(dir.join(RESULTS)).unwrap();
    let summary = study(&dir, &Stop::new(), |s| s.seeds = 3).unwrap();
    let after = std::fs::read_to_string(dir.join(RESULTS)).unwrap();
    assert!(before.lines().all(|line| after.contains(line)), "times included: not run again");
    assert_eq!(summary.rungs[0].top1.len(), 3);
    let whole = folder("study-more-whole");
    let want = study(&whole, &Stop::new(), |s| s.seeds = 3).unwrap();
    assert_eq!(numbers(&summary), numbers(&want));
}

#[test]
fn results_of_another_study_are_refused() {
    let dir = folder("study-foreign");
    study(&dir, &Stop::new(), |s| s.rungs.truncate(1)).unwrap();
    let refused = |change: fn(&mut Study)| {
        let error = study(&dir, &Stop::new(), change).unwrap_err();
        assert_eq!(error.exit_code(), 1);
        error.to_string()
    };
    let error = refused(|s| s.budget.steps = 7);
    assert!(error.contains("for steps it says '6', now there is '7'"), "{error}");
    assert!(error.contains(RESULTS) && error.contains("--output"), "{error}");
    let error = refused(|s| s.train = s.test);
    assert!(error.contains("for training images it says '120 pictures"), "{error}");
    let error = refused(|s| s.budget.augment.shift = 0);
    assert!(error.contains("for shift"), "{error}");
}

#[test]
fn a_learning_rate_that_diverges_is_not_taken() {
    let dir = folder("study-diverges");
    let with = |rates: &[f32]| {
        study(&dir, &Stop::new(), |s| {
            s.rungs.truncate(1);
            s.learning_rates = rates.to_vec();
        })
    };
    let summary = with(&[1e30, 1e-2]).unwrap();
    assert_eq!(summary.rungs[0].tuning[0], (1e30, None));
    assert_eq!(summary.rungs[0].learning_rate, 1e-2);
    let error = with(&[1e30]).unwrap_err();
    assert_eq!((error.fault, error.exit_code()), (Fault::Diverged, 1));
    assert!(error.to_string().contains("a: training diverged with seed 3"), "{error}");
}

fn bitat(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bitat")).args(args).output().expect("the command starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn the_command_says_what_it_does_and_repeats_nothing() {
    let dir = folder("study-command");
    for (name, bytes) in bitat_models::artefacts::fashion_mnist().named() {
        std::fs::write(dir.join(name), bytes).unwrap();
    }
    let path = |name: &str| dir.join(name).display().to_string();
    std::fs::write(path("float.onnx"), bitat_models::artefacts::fashion_mnist_float()).unwrap();
    let (float, data, out) = (path("float.onnx"), path(""), path("ladder"));
    let mut args = vec!["study", &float, "--data", &data, "--mean", "73", "--std", "90"];
    args.extend(["--limit", "40", "--train-limit", "128", "--batch", "32", "--steps", "2"]);
    args.extend(["--rungs", "g,a", "--seeds", "2", "--seed", "5", "--json", "-o", &out]);
    let first = bitat(&args);
    let log = text(&first.stderr);
    assert!(first.status.success(), "{log}");
    assert!(log.contains("4 runs of 2 steps of 32 images: 2 rungs with 2 seeds"), "{log}");
    assert!(log.contains("by a few steps of the first rung and of the last"), "{log}");
    assert!(log.contains("a, rate 0.01, seed 6: "), "{log}");
    let json = text(&first.stdout);
    assert_eq!(json.lines().count(), 1, "{json}");
    for field in ["float_top1", "rungs", "gap", "gain", "seconds", "report", "\"over\":\"a\""] {
        assert!(json.contains(field), "{field} is not in {json}");
    }
    assert!(json.contains("\"seeds\":[5,6]"), "{json}");
    assert_eq!(std::fs::read_to_string(dir.join("ladder/study.json")).unwrap(), json);
    let page = std::fs::read_to_string(dir.join("ladder/report.html")).unwrap();
    assert!(page.contains("distillation from the float network") && page.contains("--rungs g,a"));

    let again = bitat(&args);
    let log = text(&again.stderr);
    assert!(log.contains("4 of the 4 runs are done already"), "{log}");
    assert_eq!(text(&again.stdout), json);
}

#[test]
fn wrong_options_are_refused_by_name() {
    let refused = |more: &[&str], words: &[&str]| {
        let mut args = vec!["study", "x.onnx", "--data", "x", "-o", "x"];
        args.extend(more);
        let output = bitat(&args);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{more:?}: {error}");
        assert!(output.stdout.is_empty());
        assert!(words.iter().all(|word| error.contains(word)), "{more:?}: {error}");
    };
    refused(&["--rungs", "a,z"], &["--rungs z", "a, b, b2, c, d, e, f64, f256, full, g, e0, g0"]);
    refused(&["--seeds", "0"], &["--seeds", "0"]);
    refused(&["--learning-rates", "0.01,0"], &["--learning-rates 0", "above 0"]);
    refused(&["--learning-rates=-0.01"], &["--learning-rates -0.01", "above 0"]);
    refused(&["--learning-rates", "0.01,0.01"], &["--learning-rates 0.01", "twice"]);
    refused(&["--latent-rate", "0"], &["--latent-rate", "above 0"]);
    refused(&["--latent-rate", "inf"], &["--latent-rate", "above 0"]);
    refused(&["--jobs", "0"], &["--jobs", "0"]);
    refused(&["--steps", "0"], &["--steps", "0"]);
    refused(&["--tune-steps", "0"], &["--tune-steps", "0"]);
    refused(&["--schedule", "never"], &["--schedule", "at-once", "progressive"]);
    refused(&["--penalty", "0"], &["--penalty 0", "above 0"]);
    refused(&["--distil", "1.5"], &["--distil 1.5"]);
    refused(&["--staged-part", "1"], &["--staged-part 1"]);
    refused(&["--depthwise", "4"], &["--depthwise", "8, 8-signs, 1"]);
}
