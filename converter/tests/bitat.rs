//! The method in training: resumed, on several threads, and out of the exported file.

mod common;

use std::sync::Arc;

use bitat_converter::Fault;
use bitat_converter::bitat::{Importance, Options, method};
use bitat_converter::learn::budget::Open;
use bitat_converter::learn::fit::{Material, Point, Surroundings, fit};
use bitat_converter::learn::recipe::Recipe;
use bitat_converter::learn::state::Checkpoints;
use bitat_converter::packed::Packed;
use bitat_converter::packed::summary::layers;
use bitat_converter::pipeline::{Task, convert, input_fit};
use bitat_converter::qat::method::Method;
use bitat_converter::qat::rewrite::{self, Depthwise, INPUT_SCALE, rewrite};
use bitat_converter::qat::stages::{Schedule, binary_layers};
use bitat_converter::ui::{Console, Stop};
use bitat_data::{Dataset, Preprocess};
use bitat_engine::PlainSte;
use bitat_graph::{Graph, Op, Precision, Shape};
use bitat_models::{MobileNet, mobilenet_v1};
use common::{CLASSES, SIDE, bars, folder, quiet, recipe};

/// Every switch on; the groups are few enough to matter in a small network.
const ALL: Options =
    Options { importance: Importance::Task, signs: true, penalty: 0.1, trained: true, groups: 24 };

fn definition() -> MobileNet {
    let mut definition = MobileNet::new(0.25, Shape { h: SIDE, w: SIDE, c: 1 }, CLASSES);
    definition.strides = [2, 2, 1, 1, 1];
    definition
}

fn network(depthwise: Depthwise) -> Graph {
    let float = mobilenet_v1(&definition()).unwrap();
    let options = rewrite::Options { depthwise, keep: Vec::new() };
    rewrite(&float, &[127.5], &[127.5], &options).unwrap().graph
}

fn material<'a>(data: [&'a Arc<Dataset>; 2], method: &'a dyn Method) -> Material<'a> {
    Material {
        train: data[0],
        test: data[1],
        fit: input_fit(&network(Depthwise::Int8)),
        preprocess: Preprocess::new(vec![128.0], vec![INPUT_SCALE]).unwrap(),
        binarizer: method,
        teacher: None,
    }
}

fn staged(steps: u64, options: Options) -> Recipe {
    let schedule = Schedule::Progressive { stages: 2, part: 0.4 };
    Recipe { schedule, method: options, ..recipe(steps) }
}

fn trained(graph: &mut Graph, recipe: &Recipe) -> Vec<Point> {
    let (train, test) = (bars(96, 1), bars(32, 2));
    let method = method(recipe.method);
    fit(graph, &material([&train, &test], method.as_ref()), recipe, &quiet(&Stop::new())).unwrap()
}

#[test]
fn without_importance_it_is_plain_straight_through_estimation() {
    let (train, test) = (bars(96, 1), bars(32, 2));
    let recipe = staged(6, Options::default());
    let mut ours = network(Depthwise::Int8);
    let curve = trained(&mut ours, &recipe);
    let mut plain = network(Depthwise::Int8);
    let ste = PlainSte::default();
    let material = material([&train, &test], &ste);
    let theirs = fit(&mut plain, &material, &recipe, &quiet(&Stop::new())).unwrap();
    assert_eq!(ours, plain);
    assert_eq!(curve, theirs);
}

#[test]
fn stopping_and_resuming_changes_nothing() {
    let (train, test) = (bars(96, 1), bars(32, 2));
    // Long enough that V and s have taken steps on both sides of a stop.
    let recipe = staged(26, ALL);
    let mut whole = network(Depthwise::Binary);
    let whole_curve = trained(&mut whole, &recipe);

    let checkpoints = Checkpoints::new(folder("bitat-resume").join("state"));
    let stop = Stop::new();
    stop.request();
    let mut stops = 0;
    let (pieces, curve) = loop {
        // A stop that is always requested: one step, then the state is kept.
        let enough = Stop::new();
        let surroundings = Surroundings {
            console: Console::Quiet,
            stop: if stops < 20 { &stop } else { &enough },
            checkpoints: Some(&checkpoints),
            resume: stops > 0,
            steps: None,
        };
        let mut graph = network(Depthwise::Binary);
        let method = method(recipe.method);
        match fit(&mut graph, &material([&train, &test], method.as_ref()), &recipe, &surroundings) {
            Ok(curve) => break (graph, curve),
            Err(error) => assert_eq!(error.fault, Fault::Interrupted, "{error}"),
        }
        stops += 1;
    };
    assert_eq!(stops, 20);
    assert_eq!(pieces, whole);
    assert_eq!(curve, whole_curve);
}

#[test]
fn state_that_does_not_fit_is_refused_with_what_is_wrong() {
    let (train, test) = (bars(64, 1), bars(32, 2));
    let mut graph = network(Depthwise::Int8);
    let trained = method(ALL);
    let stop = Stop::new();
    let surroundings = quiet(&stop);
    fit(&mut graph, &material([&train, &test], trained.as_ref()), &recipe(1), &surroundings)
        .unwrap();
    let state = trained.state();
    assert!(state.iter().all(|(name, _)| name.starts_with("bitat ")));
    method(ALL).restore(&graph, &state).unwrap();

    let fresh = method(ALL);
    let refused = |state: &[(String, Vec<f32>)]| fresh.restore(&graph, state).unwrap_err();
    let layer = binary_layers(&graph)[0];
    let name = format!("bitat {layer} V");
    let at = state.iter().position(|(n, _)| *n == name).unwrap();

    let mut short = state.clone();
    short[at].1.pop();
    let text = refused(&short);
    assert!(text.contains(&format!("its '{name}' has")) && text.contains("needs"), "{text}");

    let mut missing = state.clone();
    missing.remove(at);
    assert_eq!(refused(&missing), format!("it has no '{name}'"));

    let mut other = state.clone();
    other.push(("bitat 0 V".into(), vec![1.0]));
    assert!(refused(&other).contains("'bitat 0 V' is of no 1-bit layer"));

    let mut groups = state.clone();
    let members = groups.iter_mut().find(|(n, _)| n.ends_with("members")).unwrap();
    members.1.fill(0.0);
    assert!(refused(&groups).contains("leaves a group empty"));
    // Refused means untouched: nothing of it is kept.
    assert!(fresh.state().is_empty());
}

#[test]
fn the_same_bytes_for_any_number_of_threads() {
    let network_on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut graph = network(Depthwise::Binary);
            let curve = trained(&mut graph, &staged(20, ALL));
            (graph, curve)
        })
    };
    let one = network_on(1);
    assert!(one == network_on(2));
    assert!(one == network_on(3));
}

#[test]
fn the_exported_network_has_no_operation_of_the_method() {
    let (train, test) = (bars(96, 1), bars(32, 2));
    let float = mobilenet_v1(&definition()).unwrap();
    let options = rewrite::Options { depthwise: Depthwise::Binary, keep: Vec::new() };
    let operations = |method: Options| -> Vec<(String, &'static str, u64)> {
        let task = Task {
            float: &float,
            preprocess: &Preprocess::preset("tf", 1).unwrap(),
            train: &train,
            test: &test,
            classes: None,
            options: &options,
            recipe: &Recipe { method, ..recipe(9) },
            open: Open::default(),
        };
        let made = convert(&task, &quiet(&Stop::new())).unwrap();
        let packed = Packed::new(made.file, "test".as_ref()).unwrap();
        layers(&packed.view()).into_iter().map(|l| (l.name, l.op, l.weight_bytes)).collect()
    };
    let plain = operations(Options::default());
    assert!(plain.iter().any(|l| l.1 == "conv 1-bit"));
    assert_eq!(plain, operations(ALL));
}

#[test]
fn each_switch_learns() {
    let (train, test) = (bars(192, 1), bars(96, 2));
    let base = Options { importance: Importance::Inputs, groups: 64, ..Options::default() };
    for options in [
        base,
        Options { importance: Importance::Task, signs: true, ..base },
        Options { penalty: 0.01, ..base },
        Options { trained: true, ..base },
    ] {
        let mut graph = network(Depthwise::Int8);
        let recipe = Recipe { method: options, ..recipe(40) };
        let method = method(options);
        let material = material([&train, &test], method.as_ref());
        let curve = fit(&mut graph, &material, &recipe, &quiet(&Stop::new())).unwrap();
        let top1 = curve[curve.len() - 1].top1;
        assert!(top1 > 60.0, "{options:?}: {top1:.1} %, chance is 33");
    }
}

#[test]
fn a_layers_turn_changes_its_own_weights_only() {
    let (train, test) = (bars(96, 1), bars(32, 2));
    let options = Options { trained: false, penalty: 0.0, ..ALL };
    let method = method(options);
    // No step at all: what differs is what the turns did.
    let recipe = Recipe { method: options, ..recipe(0) };
    let (before, mut after) = (network(Depthwise::Int8), network(Depthwise::Int8));
    let material = material([&train, &test], method.as_ref());
    fit(&mut after, &material, &recipe, &quiet(&Stop::new())).unwrap();
    let mut turned = 0;
    for node in &before.nodes {
        let Op::Conv { weight, precision, .. } = node.op else { continue };
        let (old, new) = (&before.params[weight].data, &after.params[weight].data);
        if precision != Precision::Binary {
            assert_eq!(old, new, "{}", node.name);
            continue;
        }
        for (old, new) in old.iter().zip(new) {
            assert!(old.abs() == new.abs() || new.abs() > old.abs() && new.abs() < 1e-3);
            turned += usize::from((*old >= 0.0) != (*new >= 0.0));
        }
    }
    assert!(turned > 0);
}
