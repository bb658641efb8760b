//! A run that was stopped and resumed ends where an uninterrupted one does, bit for bit.

mod common;

use bitat_converter::Fault;
use bitat_converter::learn::fit::{Material, Surroundings, fit};
use bitat_converter::learn::recipe::Recipe;
use bitat_converter::learn::state::Checkpoints;
use bitat_converter::pipeline::input_fit;
use bitat_converter::qat::rewrite::{Depthwise, INPUT_SCALE, Options, rewrite};
use bitat_converter::qat::stages::Schedule;
use bitat_converter::ui::{Console, Stop};
use bitat_data::{Augment, Preprocess};
use bitat_engine::PlainSte;
use bitat_graph::{Graph, Shape};
use bitat_models::{MobileNet, mobilenet_v1};
use common::{CLASSES, SIDE, bars, folder, quiet, recipe};

fn network() -> Graph {
    let mut definition = MobileNet::new(0.25, Shape { h: SIDE, w: SIDE, c: 1 }, CLASSES);
    definition.strides = [2, 2, 1, 1, 1];
    let float = mobilenet_v1(&definition).unwrap();
    let options = Options { depthwise: Depthwise::Int8, keep: Vec::new() };
    rewrite(&float, &[127.5], &[127.5], &options).unwrap().graph
}

#[test]
fn stopping_and_resuming_changes_nothing() {
    let (train, test) = (bars(96, 1), bars(32, 2));
    let material = Material {
        train: &train,
        test: &test,
        fit: input_fit(&network()),
        preprocess: Preprocess::new(vec![128.0], vec![INPUT_SCALE]).unwrap(),
        binarizer: &PlainSte::default(),
        teacher: None,
    };
    // Three steps an epoch: the run is cut within an epoch and within a stage.
    let schedule = Schedule::Progressive { stages: 2, part: 0.4 };
    let augment = Augment { flip: true, shift: 1, erase: 3 };
    let recipe = Recipe { schedule, augment, ..recipe(11) };
    let mut whole = network();
    let whole_curve = fit(&mut whole, &material, &recipe, &quiet(&Stop::new())).unwrap();

    let checkpoints = Checkpoints::new(folder("resume").join("state"));
    let stop = Stop::new();
    stop.request();
    let mut stops = 0;
    let (pieces, curve) = loop {
        // A stop that is always requested: one step, then the state is kept.
        let enough = Stop::new();
        let surroundings = Surroundings {
            console: Console::Quiet,
            stop: if stops < 8 { &stop } else { &enough },
            checkpoints: Some(&checkpoints),
            resume: stops > 0,
            steps: None,
        };
        let mut graph = network();
        match fit(&mut graph, &material, &recipe, &surroundings) {
            Ok(curve) => break (graph, curve),
            Err(error) => assert_eq!(error.fault, Fault::Interrupted, "{error}"),
        }
        stops += 1;
    };
    assert_eq!(stops, 8);
    assert_eq!(pieces, whole);
    assert_eq!(curve, whole_curve);
}

#[test]
fn a_checkpoint_of_another_run_is_refused() {
    let (train, test) = (bars(64, 1), bars(32, 2));
    let mut graph = network();
    let material = Material {
        train: &train,
        test: &test,
        fit: input_fit(&graph),
        preprocess: Preprocess::new(vec![128.0], vec![INPUT_SCALE]).unwrap(),
        binarizer: &PlainSte::default(),
        teacher: None,
    };
    let checkpoints = Checkpoints::new(folder("resume-other").join("state"));
    let stop = Stop::new();
    let mut surroundings = Surroundings {
        console: Console::Quiet,
        stop: &stop,
        checkpoints: Some(&checkpoints),
        resume: false,
        steps: None,
    };
    fit(&mut graph, &material, &recipe(2), &surroundings).unwrap();
    surroundings.resume = true;
    let other = Recipe { seed: 4, ..recipe(2) };
    let error = fit(&mut graph, &material, &other, &surroundings).unwrap_err();
    assert!(error.to_string().contains("another seed"), "{error}");
}
