//! The whole path on small networks: rewritten, trained, lowered, proven.

mod common;

use std::sync::Arc;

use bitat_converter::Error;
use bitat_converter::learn::budget::Open;
use bitat_converter::learn::fit::{Material, fit};
use bitat_converter::learn::recipe::Recipe;
use bitat_converter::packed::Packed;
use bitat_converter::packed::summary::{frame_bytes, layers};
use bitat_converter::pipeline::{Converted, Task, convert, input_fit};
use bitat_converter::qat::rewrite::{Depthwise, Options};
use bitat_converter::qat::stages::Schedule;
use bitat_converter::ui::Stop;
use bitat_data::{Dataset, Preprocess};
use bitat_engine::PlainSte;
use bitat_format::{EpilogueView, OperationView};
use bitat_graph::{Graph, Shape};
use bitat_models::{MobileNet, mobilenet_v1, mobilenet_v2};
use common::{CLASSES, SIDE, bars, bars_in, quiet, recipe};

fn definition(channels: usize) -> MobileNet {
    let mut definition = MobileNet::new(0.25, Shape { h: SIDE, w: SIDE, c: channels }, CLASSES);
    definition.strides = [1, 2, 2, 1, 1];
    definition
}

fn preprocess(channels: usize) -> Preprocess {
    Preprocess::preset("tf", channels).unwrap()
}

/// A float network that has seen the data for a moment.
fn trained(mut graph: Graph, train: &Arc<Dataset>, test: &Arc<Dataset>) -> Graph {
    let material = Material {
        train,
        test,
        fit: input_fit(&graph),
        preprocess: preprocess(graph.nodes[0].shape.c),
        binarizer: &PlainSte::default(),
        teacher: None,
    };
    let recipe = Recipe { learning_rate: 3e-3, ..recipe(20) };
    fit(&mut graph, &material, &recipe, &quiet(&Stop::new())).unwrap();
    graph
}

fn converted(
    float: &Graph,
    data: [&Arc<Dataset>; 2],
    options: &Options,
    recipe: &Recipe,
) -> Result<Converted, Error> {
    let task = Task {
        float,
        preprocess: &preprocess(float.nodes[0].shape.c),
        train: data[0],
        test: data[1],
        classes: None,
        options,
        recipe,
        open: Open::default(),
    };
    convert(&task, &quiet(&Stop::new()))
}

fn default_options() -> Options {
    Options { depthwise: Depthwise::Int8, keep: Vec::new() }
}

#[test]
fn a_mobilenet_v1_learns_and_the_file_scores_what_was_trained() {
    let (train, test) = (bars(384, 1), bars(96, 2));
    let float = trained(mobilenet_v1(&definition(1)).unwrap(), &train, &test);
    let made = converted(&float, [&train, &test], &default_options(), &recipe(60)).unwrap();
    assert!(made.proof.packed.top(1) > 80.0, "{:.1} %, chance is 33", made.proof.packed.top(1));
    assert!(made.proof.worst_units <= 4.0);
    assert_eq!(made.proof.oracle_images, 4);

    // Binary weights cost one bit each; the frame is what no layer owns.
    let packed = Packed::new(made.file, "test".as_ref()).unwrap();
    let layers = layers(&packed.view());
    for layer in layers.iter().filter(|l| l.bits == 1) {
        assert_eq!(layer.weight_bytes * 8, layer.weights, "layer {}", layer.name);
    }
    assert!(layers.iter().any(|l| l.bits == 1));
    assert!(frame_bytes(&packed.view(), &layers) > 0);
}

#[test]
fn each_block_keeps_of_its_depthwise_layer_what_it_says() {
    let (train, test) = (bars(64, 1), bars(32, 2));
    let float = mobilenet_v1(&definition(1)).unwrap();
    for depthwise in Depthwise::ALL {
        let options = Options { depthwise, keep: Vec::new() };
        let made = converted(&float, [&train, &test], &options, &recipe(2)).unwrap();
        let packed = Packed::new(made.file, "test".as_ref()).unwrap();
        let mut met = 0;
        for layer in packed.view().layers() {
            let (kind, epilogue) = match layer.operation {
                OperationView::Int8Depthwise { epilogue, .. } => ("8-bit", epilogue),
                OperationView::BinaryDepthwise { epilogue, .. } => ("1-bit", epilogue),
                OperationView::BinaryConv { epilogue, .. } => ("pointwise", epilogue),
                OperationView::Int8Conv { .. } | OperationView::GlobalAveragePool { .. } => {
                    continue;
                }
            };
            met += usize::from(kind != "pointwise");
            if (kind, depthwise) == ("8-bit", Depthwise::Int8Signs) {
                assert!(matches!(epilogue, EpilogueView::Threshold { .. }), "{}", layer.name);
                continue;
            }
            let wanted = match depthwise {
                Depthwise::Binary => "1-bit",
                Depthwise::Int8 | Depthwise::Int8Signs => "8-bit",
            };
            assert!(kind == "pointwise" || kind == wanted, "{}: {kind}", layer.name);
            let EpilogueView::Stream { shortcut, prelu, stream, .. } = epilogue else {
                panic!("{}: writes no stream", layer.name)
            };
            assert!(shortcut.is_some() && prelu.is_some() && stream.is_some(), "{}", layer.name);
        }
        assert_eq!(met, 13, "{depthwise:?}");
    }
}

#[test]
fn fully_binary_networks_and_kept_layers_are_proven_too() {
    let (train, test) = (bars(64, 1), bars(32, 2));
    let float = mobilenet_v1(&definition(1)).unwrap();
    let ops = |options: &Options| -> Vec<(String, &'static str)> {
        let made = converted(&float, [&train, &test], options, &recipe(3)).unwrap();
        let packed = Packed::new(made.file, "test".as_ref()).unwrap();
        layers(&packed.view()).into_iter().map(|l| (l.name, l.op)).collect()
    };
    let binary = ops(&Options { depthwise: Depthwise::Binary, keep: Vec::new() });
    assert!(binary.iter().any(|l| l.1 == "depthwise 1-bit"));
    assert!(!binary.iter().any(|l| l.1 == "depthwise 8-bit"));
    let (name, _) = binary.iter().find(|l| l.1 == "conv 1-bit").unwrap().clone();
    let kept = ops(&Options { depthwise: Depthwise::Int8, keep: vec![name.clone()] });
    assert!(kept.contains(&(name, "conv 8-bit")));
}

#[test]
fn a_mobilenet_v2_in_colour_is_converted() {
    let (train, test) = (bars_in(96, 1, 3), bars_in(32, 2, 3));
    let float = trained(mobilenet_v2(&definition(3)).unwrap(), &train, &test);
    for depthwise in Depthwise::ALL {
        let options = Options { depthwise, keep: Vec::new() };
        let made = converted(&float, [&train, &test], &options, &recipe(6)).unwrap();
        assert_eq!(made.proof.packed.images(), 32);
    }
}

#[test]
fn stages_end_in_the_same_kind_of_network() {
    let (train, test) = (bars(96, 1), bars(32, 2));
    let float = mobilenet_v1(&definition(1)).unwrap();
    let staged = Recipe { schedule: Schedule::Progressive { stages: 3, part: 0.4 }, ..recipe(12) };
    let made = converted(&float, [&train, &test], &default_options(), &staged).unwrap();
    let packed = Packed::new(made.file, "test".as_ref()).unwrap();
    assert!(layers(&packed.view()).iter().any(|l| l.op == "conv 1-bit"));
}

#[test]
fn the_same_bytes_for_any_number_of_threads() {
    let (train, test) = (bars(96, 1), bars(32, 2));
    let float = mobilenet_v1(&definition(1)).unwrap();
    let file = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            converted(&float, [&train, &test], &default_options(), &recipe(5))
                .unwrap()
                .file
                .to_vec()
        })
    };
    let one = file(1);
    assert_eq!(one, file(2));
    assert_eq!(one, file(3));
}

#[test]
fn classes_that_do_not_match_are_refused_before_any_work() {
    let data = bars(32, 1);
    let mut wrong = definition(1);
    wrong.classes = 7;
    let float = mobilenet_v1(&wrong).unwrap();
    let Err(error) = converted(&float, [&data, &data], &default_options(), &recipe(1)) else {
        panic!("7 outputs, 3 classes")
    };
    assert!(error.to_string().contains("7 outputs but the data has 3 classes"), "{error}");
}

#[test]
fn a_layer_to_keep_that_is_not_there_is_named_with_those_that_are() {
    let data = bars(32, 1);
    let float = mobilenet_v1(&definition(1)).unwrap();
    let options = Options { depthwise: Depthwise::Int8, keep: vec!["nowhere".into()] };
    let Err(error) = converted(&float, [&data, &data], &options, &recipe(1)) else {
        panic!("no layer of that name")
    };
    assert_eq!(error.exit_code(), 2);
    let text = error.to_string();
    assert!(text.contains("--keep nowhere") && text.contains(&float.nodes[1].name), "{text}");
}
