//! Every supported feature: read, rewritten and written without changing a value.

mod common;

use bitat_graph::{Graph, Op, canonicalise, fold_batch_norm};
use bitat_onnx::{parse, to_bytes};
use common::{Builder, difference, features, image, int, ints, scores};

fn import(name: &str, model: &Builder) -> Graph {
    let imported = parse(name, &model.bytes()).unwrap_or_else(|error| panic!("{error}"));
    imported.graph.validate().unwrap_or_else(|error| panic!("{name}: {error}"));
    imported.graph
}

#[test]
fn passes_and_the_writer_keep_every_value() {
    for (seed, (name, model)) in features::all().into_iter().enumerate() {
        let graph = import(&name, &model);
        let image = image(graph.nodes[0].shape, seed as u64);
        let wanted = scores(&graph, &image);
        for (what, other, tolerance) in [
            ("canonicalise", canonicalise(&graph), 1e-5),
            ("fold_batch_norm", fold_batch_norm(&graph), 1e-5),
            ("both", fold_batch_norm(&canonicalise(&graph)), 1e-5),
            ("write and read", import(&name, &reread(&graph)), 0.0),
        ] {
            other.validate().unwrap_or_else(|error| panic!("{name}, {what}: {error}"));
            let off = difference(&wanted, &scores(&other, &image));
            assert!(off <= tolerance, "{name} (seed {seed}): {what} is off by {off}");
        }
    }
}

fn reread(graph: &Graph) -> Builder {
    let bytes = to_bytes(graph).unwrap();
    assert_eq!(bytes, to_bytes(graph).unwrap(), "the same bytes again");
    let mut builder = Builder::new(13, &[]);
    builder.model = onnx_protobuf::Message::parse_from_bytes(&bytes).unwrap();
    builder
}

#[test]
fn a_second_trip_changes_nothing() {
    for (name, model) in features::all() {
        let first = import(&name, &reread(&import(&name, &model)));
        let second = import(&name, &reread(&first));
        assert_eq!(first, second, "{name}");
    }
}

fn operations(graph: &Graph) -> Vec<&'static str> {
    graph.nodes.iter().map(|n| n.op.name()).collect()
}

#[test]
fn canonical_graphs_have_the_operations_one_expects() {
    let all = features::all();
    for (name, wanted) in [
        ("clip_nothing", "input conv global_average_pool dense"),
        ("relu_then_clip", "input conv clip global_average_pool dense"),
        ("clip_open_attributes", "input conv clip global_average_pool dense"),
        ("add_bias", "input conv global_average_pool dense"),
        ("add_bias_shared", "input conv batch_norm add global_average_pool dense"),
        ("mul_add", "input conv batch_norm relu global_average_pool dense"),
        ("norm_then_arithmetic", "input conv batch_norm global_average_pool dense"),
        ("pool_all", "input conv global_average_pool dense"),
        ("pool_identity", "input conv global_average_pool dense"),
        ("pad_then_pool", "input conv average_pool global_average_pool dense"),
        ("mean_drop", "input conv global_average_pool dense"),
        ("conv_head", "input conv global_average_pool dense"),
        ("image_output", "input conv global_average_pool"),
        ("softmax_13", "input conv global_average_pool"),
        ("channels_last_flatten", "input batch_norm conv dense"),
        ("preprocess", "input batch_norm conv global_average_pool dense"),
    ] {
        let model = &all.iter().find(|(n, _)| n == name).unwrap().1;
        let graph = canonicalise(&import(name, model));
        assert_eq!(operations(&graph).join(" "), wanted, "{name}\n{}", graph.describe());
    }
}

#[test]
fn names_shapes_and_notes_survive() {
    let all = features::all();
    let find = |name: &str| &all.iter().find(|(n, _)| n == name).unwrap().1;
    let graph = canonicalise(&import("add_bias", find("add_bias")));
    assert_eq!(graph.nodes[1].name, "c_node", "a layer keeps its name when a bias joins it");
    assert_eq!(graph.nodes[1].shape, bitat_graph::Shape { h: 9, w: 8, c: 6 });
    let imported = parse("m", &find("softmax_13").bytes()).unwrap();
    assert!(imported.softmax);
    assert!(imported.notes.iter().any(|n| n.contains("softmax")), "{:?}", imported.notes);
    assert!(!parse("m", &find("gemm").bytes()).unwrap().softmax);
}

/// Flattening C, H, W and weighting element `i` by `i` must give the same as by hand.
#[test]
fn dense_columns_follow_the_flattened_order() {
    let weights: Vec<f32> = (0..24).map(|i| i as f32).collect();
    let model = Builder::new(13, &[0, 2, 3, 4])
        .node("Flatten", &["x"], "f")
        .floats("w", &[24, 1], &weights)
        .node("MatMul", &["f", "w"], "y")
        .output("y", &[0, 1]);
    let graph = import("columns", &model);
    // NHWC image whose only pixel is row 1, column 2, channel 1: ONNX element 1·12 + 1·4 + 2.
    let mut image = vec![0.0; 24];
    image[(4 + 2) * 2 + 1] = 1.0;
    assert_eq!(scores(&graph, &image), [18.0]);
}

#[test]
fn convolution_weights_and_padding_by_hand() {
    // One output, two input channels, 1x2 kernel: weights differ in every place.
    let model = Builder::new(13, &[0, 2, 1, 2])
        .floats("w", &[1, 2, 1, 2], &[1., 10., 100., 1000.])
        .node_with(
            "Conv",
            &["x", "w"],
            "c",
            vec![common::string("auto_pad", "SAME_LOWER"), ints("kernel_shape", &[1, 2])],
        )
        .floats("one", &[2, 2], &[1., 0., 0., 1.])
        .node("Flatten", &["c"], "f")
        .node_with("Gemm", &["f", "one"], "y", vec![int("transB", 1)])
        .output("y", &[0, 2]);
    let graph = import("by hand", &model);
    let Op::Conv { weight, window, .. } = graph.nodes[1].op else { panic!("a convolution") };
    assert_eq!(graph.params[weight].data, [1., 100., 10., 1000.], "[o][ky][kx][i]");
    assert_eq!(window.pads, [0, 1, 0, 0], "the odd one is on the left");
    // Pixels (1, 2) and (3, 4): left output sees padding and pixel 0.
    assert_eq!(scores(&graph, &[1., 2., 3., 4.]), [2010., 201. + 4030.]);
}

/// The taken scale and offset, applied to the image, leave the same network.
#[test]
fn preprocessing_can_be_taken_out() {
    let all = features::all();
    let model = &all.iter().find(|(n, _)| n == "preprocess").unwrap().1;
    let graph = canonicalise(&import("preprocess", model));
    let (rest, taken) = bitat_graph::take_input_affine(&graph);
    let taken = taken.unwrap();
    assert_eq!(operations(&rest)[..2], ["input", "conv"]);
    let image = image(graph.nodes[0].shape, 5);
    let pixel = |(i, v): (usize, &f32)| v * taken.scale[i % 3] + taken.offset[i % 3];
    let prepared: Vec<f32> = image.iter().enumerate().map(pixel).collect();
    let off = difference(&scores(&graph, &image), &scores(&rest, &prepared));
    assert!(off < 1e-5, "{off}");
    assert_eq!(bitat_graph::take_input_affine(&rest), (rest.clone(), None));
}
