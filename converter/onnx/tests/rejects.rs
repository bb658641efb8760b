//! Bad input: each with the message a person gets.

mod common;

use std::path::{Path, PathBuf};

use bitat_graph::{Graph, Op, Precision, Role, Shape};
use bitat_onnx::{parse, read, read_with_notes, write};
use common::*;
use onnx_protobuf::tensor_proto::{DataLocation, DataType};
use onnx_protobuf::{Message, StringStringEntryProto, TensorProto};

/// The message for a model that must be refused.
fn refusal(model: &Builder) -> String {
    match parse("net.onnx", &model.bytes()) {
        Ok(imported) => panic!("accepted:\n{}", imported.graph.describe()),
        Err(error) => error.to_string(),
    }
}

fn net() -> Builder {
    net_at(13)
}

fn net_at(opset: i64) -> Builder {
    Builder::new(opset, &[0, 3, 8, 8]).weights("w", &[4, 3, 3, 3])
}

/// `net` with a convolution of these attributes.
fn conv(attributes: Vec<onnx_protobuf::AttributeProto>) -> Builder {
    net().node_with("Conv", &["x", "w"], "c", attributes).head("c", 4, 5)
}

/// One operation on the image, then the usual end over `c` channels.
fn one(op: &str, inputs: &[&str], attributes: Vec<onnx_protobuf::AttributeProto>) -> Builder {
    net().node_with(op, inputs, "o", attributes).head("o", 3, 5)
}

#[test]
fn models_that_cannot_be_read_say_why() {
    let plain = || net().node("Conv", &["x", "w"], "c").head("c", 4, 5);
    let input = |dims: &[i64]| Builder::new(13, dims).head("x", 3, 5);
    let mut cases: Vec<(Builder, &str)> = vec![
        // The model.
        (net_at(6).head("x", 3, 5), "operator set 6 is not supported; export with one of 7 to 22"),
        (net_at(23).head("x", 3, 5), "operator set 23 is not supported"),
        (plain().output("c", &[0]), "2 outputs (y, c); export the network with its class scores"),
        (net().node("Conv", &["x", "w"], "c"), "the graph has no output"),
        (
            net().output("x", &[0, 3, 8, 8]),
            "output 'x' has shape [1, 3, 8, 8]; one score per class",
        ),
        (net().output("w", &[4]), "output 'w' does not depend on the input"),
        (net().output("nowhere", &[4]), "output 'nowhere' does not depend on the input"),
        (Builder::new(13, &[0, 5, 1, 1]).output("x", &[0, 5]), "the network computes nothing"),
        // The input.
        (input(&[0, 3, 0, 8]), "input 'x' has dynamic height; export with fixed spatial size"),
        (input(&[0, 3, 8, 0]), "input 'x' has dynamic width; export with fixed spatial size"),
        (input(&[0, 0, 8, 8]), "input 'x' has dynamic channels; export with fixed spatial size"),
        (input(&[0, 3, -8, 8]), "dynamic height"),
        (
            input(&[8, 3, 8, 8]),
            "input 'x' has a fixed batch of 8; export with batch 1 or a dynamic",
        ),
        (input(&[0, 3, 8]), "input 'x' has 3 axes; an image of 4 (batch, channels, height, width)"),
        (input(&[0, 3, 1 << 40, 8]), "input 'x' has height 1099511627776; at most 65536"),
        (input(&[0, 3, 65536, 65536]), "an activation of 65536x65536x3, which is out of bounds"),
        // Nodes in general.
        (
            one("MaxPool", &["x"], vec![]),
            "node 'o_node' (MaxPool): this operation is not supported",
        ),
        (
            one("QuantizeLinear", &["x"], vec![]),
            "this is a quantized network; export the float one",
        ),
        (one("Sigmoid", &["x"], vec![]), "train with ReLU, ReLU6 or PReLU"),
        (one("Frobnicate", &["x"], vec![]), "the supported operations are those of MobileNet"),
        (one("Relu", &["later"], vec![]), "its input 'later' is made by no earlier node"),
        (one("Relu", &[], vec![]), "input 0 is missing"),
        (one("Relu", &["w"], vec![]), "input 0 ('w') must depend on the image"),
        (one("Relu", &["x"], vec![int("turbo", 1)]), "attribute 'turbo' is not supported"),
        (one("LeakyRelu", &["x"], vec![int("alpha", 1)]), "attribute 'alpha' is not of type FLOAT"),
        // Convolutions.
        (conv(vec![ints("dilations", &[2, 2])]), "dilations [2, 2] are not supported; only 1 is"),
        (conv(vec![ints("kernel_shape", &[5, 5])]), "kernel_shape [5, 5] but weights 3x3"),
        (conv(vec![ints("strides", &[0, 1])]), "strides [0, 1] is not two positive sizes"),
        (conv(vec![ints("strides", &[1])]), "strides [1] is not two positive sizes; only 2-D"),
        (conv(vec![ints("pads", &[-1, 0, 0, 0])]), "pads [-1, 0, 0, 0] are not four sizes from 0"),
        (conv(vec![ints("pads", &[1 << 60, 0, 0, 0])]), "are not four sizes from 0"),
        (conv(vec![string("auto_pad", "SAME")]), "auto_pad 'SAME' of Conv is not known"),
        (conv(vec![int("group", 0)]), "group 0 for 3 channels"),
        (conv(vec![int("group", 3)]), "3 channels in, 4 out do not fit 3 groups of 3"),
        (conv(vec![int("group", i64::MAX)]), "group 9223372036854775807 for 3 channels"),
        (
            net().weights("v", &[4, 3, 9, 9]).node("Conv", &["x", "v"], "c").head("c", 4, 5),
            "does not fit 8x8",
        ),
        (
            net().weights("v", &[4, 3, 3]).node("Conv", &["x", "v"], "c").head("c", 4, 5),
            "weights 'v' of shape [4, 3, 3] are not those of a 2-D convolution",
        ),
        (
            net().node("Relu", &["x"], "v").node("Conv", &["x", "v"], "c").head("c", 4, 5),
            "input 1 ('v') must be a constant, not computed",
        ),
        (
            net().weights("b", &[3]).node("Conv", &["x", "w", "b"], "c").head("c", 4, 5),
            "bias has 3 values",
        ),
        // Pointwise.
        (
            net()
                .floats("lo", &[], &[2.0])
                .floats("hi", &[], &[1.0])
                .node("Clip", &["x", "lo", "hi"], "o")
                .head("o", 3, 5),
            "its min 2 is above its max 1",
        ),
        (
            net().floats("lo", &[], &[f32::NAN]).node("Clip", &["x", "lo"], "o").head("o", 3, 5),
            "its min is NaN",
        ),
        (
            net().floats("lo", &[2], &[0.0; 2]).node("Clip", &["x", "lo"], "o").head("o", 3, 5),
            "tensor 'lo' must be a single value, has 2",
        ),
        (
            net().weights("s", &[3, 8, 8]).node("PRelu", &["x", "s"], "o").head("o", 3, 5),
            "varies along more than the channels",
        ),
        (
            net().node("Mul", &["x", "x"], "o").head("o", 3, 5),
            "which only Add may; attention and gates are not supported",
        ),
        (
            net().floats("z", &[1], &[0.0]).node("Div", &["x", "z"], "o").head("o", 3, 5),
            "divides by zero in tensor 'z'",
        ),
        (
            net().floats("z", &[1], &[1.0]).node("Div", &["z", "x"], "o").head("o", 3, 5),
            "divides a constant by an activation",
        ),
        (
            net()
                .node("GlobalAveragePool", &["x"], "g")
                .node("Add", &["x", "g"], "o")
                .head("o", 3, 5),
            "adds activations of shapes [1, 3, 8, 8] and [1, 3, 1, 1]; only equal ones",
        ),
        (
            net()
                .floats("p", &[3], &[1.0; 3])
                .floats("v", &[3], &[1.0, -1.0, 1.0])
                .node("BatchNormalization", &["x", "p", "p", "p", "v"], "o")
                .head("o", 3, 5),
            "variance 'v' plus epsilon 0.00001 is not positive",
        ),
        (
            net()
                .floats("p", &[2], &[1.0; 2])
                .node("BatchNormalization", &["x", "p", "p", "p", "p"], "o")
                .head("o", 3, 5),
            "tensor 'p' has 2 values for 3 channels",
        ),
        (
            net()
                .floats("p", &[3], &[1.0; 3])
                .node_with(
                    "BatchNormalization",
                    &["x", "p", "p", "p", "p"],
                    "o",
                    vec![int("training_mode", 1)],
                )
                .head("o", 3, 5),
            "is in training mode; export the network for inference",
        ),
        // Padding and pools.
        (
            net()
                .ints("p", &[0, 0, 1, 1, 0, 0, 1, 1])
                .node("Pad", &["x", "p"], "q")
                .node("Relu", &["q"], "o")
                .head("o", 3, 5),
            "node 'o_node' (Relu): reads the result of a Pad; only a convolution or average pool",
        ),
        (
            net()
                .ints("p", &[0, 1, 0, 0, 0, 0, 0, 0])
                .node("Pad", &["x", "p"], "q")
                .head("q", 3, 5),
            "pads axis 1; only rows and columns",
        ),
        (
            net()
                .ints("p", &[0, 0, -1, 0, 0, 0, 0, 0])
                .node("Pad", &["x", "p"], "q")
                .head("q", 3, 5),
            "cropping is not supported",
        ),
        (
            net()
                .ints("p", &[0, 0, 1, 0, 0, 0, 0, 0])
                .floats("v", &[], &[1.5])
                .node("Pad", &["x", "p", "v"], "q")
                .head("q", 3, 5),
            "pads with 1.5; only zeros",
        ),
        (
            net()
                .ints("p", &[0; 8])
                .node_with("Pad", &["x", "p"], "q", vec![string("mode", "reflect")])
                .head("q", 3, 5),
            "mode 'reflect' is not supported; pad with zeros",
        ),
        (one("AveragePool", &["x"], vec![]), "has no kernel"),
        (
            one(
                "AveragePool",
                &["x"],
                vec![ints("kernel_shape", &[2, 2]), ints("pads", &[2, 0, 0, 0])],
            ),
            "are not smaller than the 2x2 kernel",
        ),
        (
            one(
                "AveragePool",
                &["x"],
                vec![ints("kernel_shape", &[3, 3]), ints("strides", &[2, 2]), int("ceil_mode", 1)],
            ),
            "export with ceil_mode=0",
        ),
        (
            one("ReduceMean", &["x"], vec![ints("axes", &[1])]),
            "averages axes [1] of [1, 3, 8, 8]; only all pixels together",
        ),
        (one("ReduceMean", &["x"], vec![ints("axes", &[2])]), "only all pixels together"),
        (one("ReduceMean", &["x"], vec![ints("axes", &[9])]), "axis 9 of a tensor with 4 axes"),
        // Shapes.
        (
            one("Transpose", &["x"], vec![ints("perm", &[0, 2, 3, 1])]),
            "is not a channels-first image",
        ),
        (
            one("Transpose", &["x"], vec![ints("perm", &[0, 0, 1, 2])]),
            "is no permutation of 4 axes",
        ),
        (
            net().ints("s", &[0, 3, 4, 16]).node("Reshape", &["x", "s"], "o").head("o", 3, 5),
            "reshapes [1, 3, 8, 8] to [1, 3, 4, 16]; only flattening is supported",
        ),
        (
            net().ints("s", &[-1, 7]).node("Reshape", &["x", "s"], "o").head("o", 3, 5),
            "reshapes [1, 3, 8, 8] to [-1, 7]",
        ),
        (
            net().node("Concat", &["x", "x"], "o").head("o", 6, 5),
            "joins activations, which is not supported",
        ),
        (
            net().node("Softmax", &["x"], "s").node("Relu", &["s"], "o").head("o", 3, 5),
            "runs over axis 3 of [1, 3, 8, 8], not over the classes",
        ),
        (
            net()
                .node("GlobalAveragePool", &["x"], "g")
                .node_with("Softmax", &["g"], "s", vec![int("axis", 1)])
                .node("Relu", &["s"], "o")
                .head("o", 3, 5),
            "computes with the result of a softmax; a softmax can only be the network's end",
        ),
        // Dense layers.
        (
            net().weights("d", &[192, 5]).node("MatMul", &["x", "d"], "y").output("y", &[0, 5]),
            "is neither flat nor a channels-last image",
        ),
        (
            net()
                .node("Flatten", &["x"], "f")
                .weights("d", &[9, 5])
                .node("MatMul", &["f", "d"], "y")
                .output("y", &[0, 5]),
            "weights for 9 inputs, but there are 192",
        ),
        (
            net()
                .node("Flatten", &["x"], "f")
                .weights("d", &[192])
                .node("Gemm", &["f", "d"], "y")
                .output("y", &[0, 5]),
            "weights 'd' [192] are not a matrix",
        ),
        (
            net()
                .node("Flatten", &["x"], "f")
                .weights("d", &[192, 5])
                .weights("b", &[4])
                .node("Gemm", &["f", "d", "b"], "y")
                .output("y", &[0, 5]),
            "bias 'b' [4] does not fit 5 outputs",
        ),
    ];
    // Weights.
    let weights = |tensor: TensorProto| {
        let model = Builder::new(13, &[0, 3, 8, 8]).initializer(tensor);
        model.node("Conv", &["x", "w"], "c").head("c", 4, 5)
    };
    let floats = |i: usize, value: f32| {
        let mut data = vec![0.5; 12];
        data[i] = value;
        weights(raw_floats("w", &[4, 3, 1, 1], &data))
    };
    let typed = |kind: DataType, tensor: TensorProto| {
        weights(TensorProto {
            name: "w".into(),
            dims: vec![4, 3, 1, 1],
            data_type: kind as i32,
            ..tensor
        })
    };
    let empty = TensorProto::default;
    cases.extend([
        (floats(7, f32::NAN), "tensor 'w' holds NaN at element 7; the training diverged"),
        (floats(0, f32::INFINITY), "tensor 'w' holds inf at element 0"),
        (weights(raw_floats("w", &[4, 3, 1, 1], &[0.5; 11])), "needs 48 bytes, has 44"),
        (weights(raw_floats("w", &[4, 3, -1, 1], &[0.5; 12])), "[4, 3, -1, 1] are negative or too"),
        (weights(raw_floats("w", &[1 << 40, 1 << 40], &[])), "are negative or too large"),
        (weights(raw_floats("w", &[1; 9], &[0.5])), "9 axes are more than 8"),
        (weights(raw_floats("w", &[0, 3, 1, 1], &[])), "tensor 'w' is empty"),
        (
            typed(DataType::FLOAT, TensorProto { float_data: vec![0.5; 3], ..empty() }),
            "needs 12 elements, has 3",
        ),
        (
            typed(DataType::INT64, TensorProto { int64_data: vec![5; 12], ..empty() }),
            "tensor 'w' must hold floats",
        ),
        (typed(DataType::STRING, empty()), "element type STRING is not supported; export float32"),
        (
            typed(DataType::FLOAT16, TensorProto { int32_data: vec![1 << 20; 12], ..empty() }),
            "int32_data holds no 16-bit patterns",
        ),
        (
            weights(TensorProto { data_type: 99, ..raw_floats("w", &[1], &[0.0]) }),
            "tensor 'w': unknown element type 99",
        ),
        (
            typed(
                DataType::FLOAT,
                TensorProto { data_location: DataLocation::EXTERNAL.into(), ..empty() },
            ),
            "its data is in another file, which needs a model on disk",
        ),
    ]);
    // What the builder has no door for.
    let mut domain = plain();
    domain.model.graph.as_mut().unwrap().node[0].domain = "com.microsoft".into();
    cases.push((domain, "operations of 'com.microsoft' are not supported"));
    let mut opsets = plain();
    opsets.model.opset_import.clear();
    cases.push((opsets, "no operator set is named"));
    let mut empty_graph = plain();
    empty_graph.model.graph.take();
    cases.push((empty_graph, "the file holds no graph"));
    let mut two = plain();
    two.model.graph.as_mut().unwrap().input.push(value_info("z", &[0]));
    cases.push((two, "2 inputs (x, z); a network with one image as input is wanted"));
    let mut bytes_in = plain();
    bytes_in.model.graph.as_mut().unwrap().input[0] =
        typed_value_info("x", &[0, 3, 8, 8], DataType::INT64);
    cases.push((bytes_in, "input 'x' does not hold floats"));
    let mut second =
        net().node("Dropout", &["x"], "d mask").node("Relu", &["mask"], "o").head("o", 3, 5);
    second.model.graph.as_mut().unwrap().name.clear();
    cases.push((second, "its extra output 'mask' is used"));

    for (model, wanted) in cases {
        let message = refusal(&model);
        assert!(message.starts_with("net.onnx: "), "names the file: {message}");
        assert!(message.contains(wanted), "wanted '{wanted}', got '{message}'");
    }
}

#[test]
fn bytes_that_are_no_model_say_where() {
    let model = net().node("Conv", &["x", "w"], "c").head("c", 4, 5).bytes();
    let message = |bytes: &[u8]| parse("net.onnx", bytes).unwrap_err().to_string();
    assert!(message(&[]).contains("the file is empty"));
    assert!(message(b"hello, world").contains("not a readable ONNX file: at byte"));
    assert!(message(&[0x0b; 4096]).contains("at byte 0, a group"));
    assert!(message(&model[..model.len() / 2]).contains("wanted, but its message ends after"));
    // A string that is no UTF-8 reaches the parser.
    assert!(message(&[0x12, 1, 0xff]).contains("not a readable ONNX file"));
    for cut in 0..model.len() {
        assert!(parse("net.onnx", &model[..cut]).is_err(), "cut at {cut}");
    }
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("bitat-{name}-{}", std::process::id()));
        std::fs::create_dir_all(path.join("inside")).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A leftover in the temporary folder is no reason to fail.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A model whose convolution weights lie elsewhere.
fn external(entries: &[(&str, &str)]) -> Builder {
    let entry = |(key, value): &(&str, &str)| StringStringEntryProto {
        key: key.to_string(),
        value: value.to_string(),
        ..Default::default()
    };
    let weights = TensorProto {
        name: "w".into(),
        dims: vec![4, 3, 1, 1],
        data_type: DataType::FLOAT as i32,
        data_location: DataLocation::EXTERNAL.into(),
        external_data: entries.iter().map(entry).collect(),
        ..Default::default()
    };
    let model = Builder::new(13, &[0, 3, 8, 8]).initializer(weights);
    model.node("Conv", &["x", "w"], "c").head("c", 4, 5)
}

#[test]
fn external_data_is_read_from_the_models_folder_alone() {
    let folder = Folder::new("external");
    let home = folder.0.join("inside");
    let data: Vec<u8> = (0..13).flat_map(|i| (i as f32).to_le_bytes()).collect();
    std::fs::write(home.join("w.bin"), &data).unwrap();
    std::fs::write(folder.0.join("outside.bin"), &data).unwrap();
    let path = home.join("net.onnx");
    let load = |entries: &[(&str, &str)]| {
        std::fs::write(&path, external(entries).bytes()).unwrap();
        read(&path)
    };
    let graph = load(&[("location", "w.bin"), ("offset", "4"), ("length", "48")]).unwrap();
    let wanted: Vec<f32> = (1..13).map(|i| i as f32).collect();
    assert_eq!(graph.params[0].data, wanted);
    load(&[("location", "./w.bin")]).unwrap();

    let absolute = folder.0.join("outside.bin").display().to_string();
    #[cfg(unix)]
    std::os::unix::fs::symlink(&absolute, home.join("link.bin")).unwrap();
    for (entries, wanted) in [
        (vec![("location", "../outside.bin")], "'../outside.bin' is not inside the model's folder"),
        (vec![("location", "a/../../outside.bin")], "is not inside the model's folder"),
        (vec![("location", absolute.as_str())], "is not inside the model's folder"),
        (vec![("location", "..\\outside.bin")], "is not inside the model's folder"),
        (vec![("location", "a\0b")], "is not inside the model's folder"),
        (vec![("location", "")], "is not inside the model's folder"),
        (vec![], "is not inside the model's folder"),
        #[cfg(unix)]
        (vec![("location", "link.bin")], "'link.bin' links out of the model's folder"),
        (vec![("location", "none.bin")], "it must lie beside the model"),
        (vec![("location", ".")], "not a regular file"),
        (vec![("location", "w.bin"), ("offset", "8")], "48 bytes at 8 wanted, the file has 52"),
        (
            vec![("location", "w.bin"), ("offset", "18446744073709551615")],
            "wanted, the file has 52",
        ),
        (vec![("location", "w.bin"), ("offset", "-4")], "offset '-4' is no number"),
        (vec![("location", "w.bin"), ("length", "52")], "length 52, but the tensor needs 48 bytes"),
    ] {
        let message = load(&entries).unwrap_err().to_string();
        assert!(message.contains(wanted), "{entries:?}: wanted '{wanted}', got '{message}'");
        assert!(message.contains("node 'c_node' (Conv): tensor 'w'"), "{message}");
    }
}

#[test]
fn files_that_cannot_be_opened() {
    let folder = Folder::new("open");
    let message = |path: &Path| read_with_notes(path).unwrap_err().to_string();
    let missing = message(&folder.0.join("missing.onnx"));
    assert!(missing.contains("missing.onnx: "), "{missing}");
    assert!(message(&folder.0).contains("not a regular file; give the path of an .onnx file"));
}

/// Input and one dense layer.
fn dense(precision: Precision) -> Graph {
    let mut graph = Graph { name: "net".into(), ..Graph::default() };
    let x = graph.push("x", Op::Input, &[], Some(Shape { h: 2, w: 1, c: 2 })).unwrap();
    let weight = graph.param("y.weight", &[3, 4], vec![0.5; 12], Role::Weight);
    let op = Op::Dense { weight, bias: None, precision };
    graph.output = graph.push("y", op, &[x], None).unwrap();
    graph
}

#[test]
fn writing_refuses_what_other_tools_could_not_open() {
    let folder = Folder::new("write");
    let path = folder.0.join("net.onnx");
    let mut binary = dense(Precision::Binary);
    assert!(write(&binary, &path).unwrap_err().to_string().contains(
        "net.onnx: node 'y' (dense): has Binary weights; only float networks can be written"
    ));
    binary = dense(Precision::Float);
    binary.output = binary.push("n", Op::Narrow { frac: 2 }, &[1], None).unwrap();
    let message = write(&binary, &path).unwrap_err().to_string();
    assert!(message.contains("node 'n' (narrow): has no ONNX operation"), "{message}");
    let mut broken = dense(Precision::Float);
    broken.params[0].data[3] = f32::NAN;
    assert!(write(&broken, &path).unwrap_err().to_string().contains("'y.weight' holds NaN"));
    let mut image = dense(Precision::Float);
    image.output = 0;
    assert!(write(&image, &path).unwrap_err().to_string().contains("not class scores"));
    assert!(!path.exists());
}

#[test]
fn writing_leaves_no_half_file() {
    let folder = Folder::new("whole");
    let path = folder.0.join("net.onnx");
    let graph = dense(Precision::Float);
    write(&graph, &path).unwrap();
    let first = std::fs::read(&path).unwrap();
    assert_eq!(read(&path).unwrap(), graph);
    write(&graph, &path).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), first, "the same bytes again");
    // The target is a folder: the rename fails and the file beside it goes away.
    let taken = folder.0.join("inside");
    assert!(write(&graph, &taken).unwrap_err().to_string().contains("inside: "));
    assert!(write(&graph, &folder.0.join("no/where.onnx")).is_err());
    let mut left: Vec<_> =
        std::fs::read_dir(&folder.0).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["inside", "net.onnx"]);
    // What other tools see.
    let model = onnx_protobuf::ModelProto::parse_from_bytes(&first).unwrap();
    assert_eq!((model.ir_version, model.opset_import[0].version), (8, 13));
}
