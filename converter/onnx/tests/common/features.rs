//! One small model for each thing the reader supports. `tests/features.rs`
//! checks them by themselves, `tests/ort.rs` against ONNX Runtime.

use half::{bf16, f16};
use onnx_protobuf::TensorProto;
use onnx_protobuf::tensor_proto::DataType;

use super::*;

/// A 3-channel image of 9x8.
const X: [i64; 4] = [0, 3, 9, 8];

fn net(opset: i64) -> Builder {
    Builder::new(opset, &X)
}

/// `x` through a 3x3 convolution to 6 channels, `c`.
fn conv(opset: i64) -> Builder {
    net(opset).weights("w", &[6, 3, 3, 3]).node_with(
        "Conv",
        &["x", "w"],
        "c",
        vec![ints("pads", &[1; 4])],
    )
}

/// Every model with its name.
pub fn all() -> Vec<(String, Builder)> {
    let mut all: Vec<(String, Builder)> = Vec::new();
    let mut add = |name: &str, model: Builder| all.push((name.to_string(), model));
    convolutions(&mut add);
    pointwise(&mut add);
    arithmetic(&mut add);
    pools(&mut add);
    heads(&mut add);
    layouts(&mut add);
    storage(&mut add);
    for opset in 7..=22 {
        add(
            &format!("opset_{opset}"),
            conv(opset).batch_norm("c", "n", 6).node("Relu", &["n"], "r").head("r", 6, 5),
        );
    }
    for seed in 1..=6 {
        add(&format!("random_v1_{seed}"), mobilenet(seed, false));
        add(&format!("random_v2_{seed}"), mobilenet(seed, true));
    }
    all
}

type Add<'a> = &'a mut dyn FnMut(&str, Builder);

fn convolutions(add: Add) {
    for (name, weights, attributes) in [
        ("conv_valid", [6, 3, 3, 2], vec![string("auto_pad", "VALID")]),
        ("conv_plain", [6, 3, 2, 4], vec![]),
        ("conv_pads", [6, 3, 3, 3], vec![ints("pads", &[0, 2, 1, 1]), ints("strides", &[2, 1])]),
        (
            "conv_upper_2",
            [6, 3, 3, 3],
            vec![string("auto_pad", "SAME_UPPER"), ints("strides", &[2, 2])],
        ),
        (
            "conv_lower_2",
            [6, 3, 3, 3],
            vec![string("auto_pad", "SAME_LOWER"), ints("strides", &[2, 2])],
        ),
        (
            "conv_upper_even",
            [6, 3, 4, 2],
            vec![string("auto_pad", "SAME_UPPER"), ints("strides", &[3, 1])],
        ),
        (
            "conv_lower_even",
            [6, 3, 4, 2],
            vec![string("auto_pad", "SAME_LOWER"), ints("strides", &[1, 3])],
        ),
        (
            "conv_upper_gap",
            [6, 3, 1, 1],
            vec![string("auto_pad", "SAME_UPPER"), ints("strides", &[2, 3])],
        ),
        ("conv_depthwise", [6, 1, 3, 3], vec![int("group", 3), ints("kernel_shape", &[3, 3])]),
        (
            "conv_notset",
            [3, 3, 3, 3],
            vec![string("auto_pad", "NOTSET"), ints("pads", &[1; 4]), ints("dilations", &[1, 1])],
        ),
    ] {
        let out = weights[0];
        let model = net(13).weights("w", &weights).weights("b", &[out]);
        add(name, model.node_with("Conv", &["x", "w", "b"], "c", attributes).head("c", out, 4));
    }
    let grouped = conv(13).weights("w2", &[4, 3, 1, 1]);
    let grouped = grouped.node_with("Conv", &["c", "w2"], "d", vec![int("group", 2)]);
    add("conv_groups", grouped.head("d", 4, 3));

    let stride = || vec![ints("strides", &[2, 2])];
    let pad10 = net(10).weights("w", &[6, 3, 3, 3]);
    let pad10 = pad10.node_with("Pad", &["x"], "p", vec![ints("pads", &[0, 0, 0, 1, 0, 0, 2, 1])]);
    add("pad_attribute", pad10.node_with("Conv", &["p", "w"], "c", stride()).head("c", 6, 4));
    let pad13 = net(13).weights("w", &[6, 3, 3, 3]).ints("pads", &[0, 0, 0, 0, 0, 0, 1, 1]);
    let pad13 = pad13
        .floats("zero", &[], &[0.0])
        .node_with("Pad", &["x", "pads", "zero"], "p", vec![string("mode", "constant")])
        .node("Identity", &["p"], "q");
    let more = vec![ints("strides", &[2, 2]), ints("pads", &[1, 0, 0, 0])];
    add("pad_and_pads", pad13.clone().node_with("Conv", &["q", "w"], "c", more).head("c", 6, 4));
    let same = vec![string("auto_pad", "SAME_UPPER"), ints("strides", &[2, 2])];
    add("pad_and_same", pad13.node_with("Conv", &["q", "w"], "c", same).head("c", 6, 4));
    let pad18 =
        net(18).weights("w", &[6, 3, 3, 3]).ints("pads", &[2, 1, 0, 0]).ints("axes", &[-1, 2]);
    let pad18 = pad18.node("Pad", &["x", "pads", "", "axes"], "p");
    add("pad_axes", pad18.node_with("Conv", &["p", "w"], "c", stride()).head("c", 6, 4));
}

fn pointwise(add: Add) {
    let clip = |opset, lo, hi| {
        let attributes = vec![float("min", lo), float("max", hi)];
        conv(opset).node_with("Clip", &["c"], "r", attributes).head("r", 6, 4)
    };
    add("clip_attributes", clip(10, 0.0, 0.5));
    add("clip_open_attributes", clip(10, f32::MIN, 0.5));
    let bounds = conv(13).floats("lo", &[], &[-0.25]).floats("hi", &[1], &[0.5]);
    for (name, inputs) in [
        ("clip_tensors", vec!["c", "lo", "hi"]),
        ("clip_no_min", vec!["c", "", "hi"]),
        ("clip_no_max", vec!["c", "lo"]),
        ("clip_nothing", vec!["c"]),
    ] {
        add(name, bounds.clone().node("Clip", &inputs, "r").head("r", 6, 4));
    }
    let both = bounds.clone().node("Relu", &["c"], "r").node("Clip", &["r", "lo", "hi"], "s");
    add("relu_then_clip", both.head("s", 6, 4));

    for (name, dims) in [
        ("prelu_c11", vec![6, 1, 1]),
        ("prelu_1c11", vec![1, 6, 1, 1]),
        ("prelu_one", vec![1]),
        ("prelu_111", vec![1, 1, 1]),
    ] {
        add(name, conv(16).weights("s", &dims).node("PRelu", &["c", "s"], "r").head("r", 6, 4));
    }
    let leaky = conv(13).node_with("LeakyRelu", &["c"], "r", vec![float("alpha", 0.3)]);
    add("leaky_relu", leaky.head("r", 6, 4));
    // Behind a dense layer the channels are the last axis.
    let flat = net(13)
        .node("GlobalAveragePool", &["x"], "g")
        .node("Flatten", &["g"], "f")
        .weights("w", &[3, 5])
        .node("MatMul", &["f", "w"], "d")
        .weights("slope", &[5])
        .node("PRelu", &["d", "slope"], "r")
        .batch_norm("r", "n", 5)
        .output("n", &[0, 5]);
    add("pointwise_on_flat", flat);
}

fn arithmetic(add: Add) {
    let sum = conv(13).node("Relu", &["c"], "r").node("Add", &["r", "c"], "s");
    add("add_two", sum.head("s", 6, 4));
    let double = conv(13).node("Add", &["c", "c"], "s");
    add("add_itself", double.head("s", 6, 4));
    let bias = conv(13).weights("b", &[1, 6, 1, 1]).node("Add", &["b", "c"], "s");
    add("add_bias", bias.head("s", 6, 4));
    // The convolution is read twice, so its bias cannot move into it.
    let shared = conv(13).weights("b", &[6, 1, 1]).node("Add", &["c", "b"], "s");
    add("add_bias_shared", shared.node("Add", &["s", "c"], "t").head("t", 6, 4));
    let decomposed = conv(13)
        .weights("scale", &[6, 1, 1])
        .weights("offset", &[6, 1, 1])
        .node("Mul", &["c", "scale"], "m")
        .node("Add", &["m", "offset"], "n")
        .node("Relu", &["n"], "r");
    add("mul_add", decomposed.head("r", 6, 4));
    let after = conv(13).batch_norm("c", "n", 6).weights("scale", &[6, 1, 1]);
    let after = after.node("Mul", &["n", "scale"], "m").floats("one", &[], &[1.0]);
    add("norm_then_arithmetic", after.node("Sub", &["one", "m"], "s").head("s", 6, 4));

    let preprocess = net(13)
        .weights("mean", &[1, 3, 1, 1])
        .positive("std", &[3, 1, 1])
        .node("Sub", &["x", "mean"], "a")
        .node("Div", &["a", "std"], "b")
        .weights("w", &[6, 3, 3, 3])
        .node_with("Conv", &["b", "w"], "c", vec![ints("pads", &[1; 4])]);
    add("preprocess", preprocess.head("c", 6, 4));
    let scaled = net(13).floats("two", &[1], &[2.0]).node("Mul", &["two", "x"], "a");
    add("preprocess_scalar", scaled.head("a", 3, 4));
}

fn pools(add: Add) {
    let kernel = |k: &[i64]| ints("kernel_shape", k);
    for (name, attributes) in [
        ("pool", vec![kernel(&[2, 3]), ints("strides", &[2, 1])]),
        ("pool_pads", vec![kernel(&[3, 3]), ints("pads", &[1, 2, 1, 0]), ints("strides", &[2, 2])]),
        (
            "pool_pads_counted",
            vec![kernel(&[3, 3]), ints("pads", &[1, 2, 1, 0]), int("count_include_pad", 1)],
        ),
        (
            "pool_same",
            vec![kernel(&[3, 2]), string("auto_pad", "SAME_LOWER"), ints("strides", &[2, 2])],
        ),
        ("pool_ceil", vec![kernel(&[3, 2]), ints("strides", &[3, 2]), int("ceil_mode", 1)]),
        ("pool_all", vec![kernel(&[9, 8])]),
        ("pool_identity", vec![kernel(&[1, 1])]),
    ] {
        add(name, conv(13).node_with("AveragePool", &["c"], "p", attributes).head("p", 6, 4));
    }
    let padded = conv(13).ints("pads", &[0, 0, 1, 1, 0, 0, 0, 1]).node("Pad", &["c", "pads"], "p");
    let pool = vec![kernel(&[3, 3]), ints("strides", &[2, 2])];
    add("pad_then_pool", padded.node_with("AveragePool", &["p"], "q", pool).head("q", 6, 4));

    let dense = |model: Builder, input: &str| {
        model
            .weights("dw", &[6, 4])
            .node("MatMul", &[input, "dw"], "d")
            .weights("db", &[4])
            .node("Add", &["d", "db"], "y")
            .output("y", &[0, 4])
    };
    let mean =
        |opset: i64, attributes| conv(opset).node_with("ReduceMean", &["c"], "m", attributes);
    add("mean_drop", dense(mean(13, vec![ints("axes", &[2, 3]), int("keepdims", 0)]), "m"));
    let keep = mean(13, vec![ints("axes", &[-1, -2])]).node("Flatten", &["m"], "f");
    add("mean_keep", dense(keep, "f"));
    let input = conv(18).ints("axes", &[3, 2]).node_with(
        "ReduceMean",
        &["c", "axes"],
        "m",
        vec![int("keepdims", 0)],
    );
    add("mean_axes_input", dense(input, "m"));
    let squeeze = conv(11).node("GlobalAveragePool", &["c"], "g");
    let attribute = squeeze.clone().node_with("Squeeze", &["g"], "f", vec![ints("axes", &[2, -1])]);
    add("squeeze_attribute", dense(attribute, "f"));
    let input = conv(13).node("GlobalAveragePool", &["c"], "g").ints("axes", &[3, 2]);
    add("squeeze_input", dense(input.node("Squeeze", &["g", "axes"], "f"), "f"));
}

fn heads(add: Add) {
    let image = || Builder::new(13, &[0, 3, 4, 5]);
    let gemm = |name: &str, add: Add, w: &[i64], b: &[i64], attributes| {
        let model = image().node("Flatten", &["x"], "f").weights("w", w).weights("b", b);
        add(name, model.node_with("Gemm", &["f", "w", "b"], "y", attributes).output("y", &[0, 7]));
    };
    gemm("gemm", add, &[60, 7], &[7], vec![]);
    gemm(
        "gemm_scaled",
        add,
        &[7, 60],
        &[1, 7],
        vec![int("transB", 1), float("alpha", 0.5), float("beta", -2.0)],
    );
    gemm("gemm_one_bias", add, &[60, 7], &[], vec![]);
    gemm("gemm_not_transposed", add, &[60, 7], &[1, 1], vec![int("transA", 0), int("transB", 0)]);
    let none =
        image().node_with("Flatten", &["x"], "f", vec![int("axis", -3)]).weights("w", &[60, 7]);
    add("gemm_no_bias", none.node("Gemm", &["f", "w"], "y").output("y", &[0, 7]));

    for (name, shape) in [
        ("reshape_copy", vec![0, -1]),
        ("reshape_batch", vec![-1, 60]),
        ("reshape_one", vec![1, -1]),
        ("reshape_fixed", vec![1, 60]),
    ] {
        let model = image().ints("shape", &shape).node("Reshape", &["x", "shape"], "f");
        let model = model.weights("w", &[60, 7]).node("MatMul", &["f", "w"], "y");
        add(name, model.output("y", &[0, 7]));
    }
    // x.view(x.size(0), -1) as PyTorch used to export it.
    let view = image()
        .node("Shape", &["x"], "s")
        .node_with("Constant", &[], "i", vec![tensor("value", raw_ints("", &[], &[0]))])
        .node("Gather", &["s", "i"], "n")
        .node_with("Constant", &[], "axes", vec![ints("value_ints", &[0])])
        .node("Unsqueeze", &["n", "axes"], "u")
        .node_with("Constant", &[], "rest", vec![tensor("value", raw_ints("", &[1], &[-1]))])
        .node_with("Concat", &["u", "rest"], "to", vec![int("axis", 0)])
        .node("Reshape", &["x", "to"], "f")
        .weights("w", &[60, 7])
        .node("MatMul", &["f", "w"], "y");
    add("reshape_computed", view.output("y", &[0, 7]));
    let regroup = image().ints("a", &[1, 12, 5]).ints("b", &[-1, 60]);
    let regroup = regroup.node("Reshape", &["x", "a"], "r").node("Reshape", &["r", "b"], "f");
    let regroup = regroup.weights("w", &[60, 7]).node("MatMul", &["f", "w"], "y");
    add("reshape_twice", regroup.output("y", &[0, 7]));

    for (name, opset, op, attributes) in [
        ("softmax_13", 13, "Softmax", vec![]),
        ("softmax_axis", 13, "Softmax", vec![int("axis", 1)]),
        ("softmax_11", 11, "Softmax", vec![]),
        ("log_softmax", 13, "LogSoftmax", vec![int("axis", -1)]),
    ] {
        let model = conv(opset).node("GlobalAveragePool", &["c"], "g").node("Flatten", &["g"], "f");
        let model = model.node_with(op, &["f"], "s", attributes).node("Identity", &["s"], "y");
        add(name, model.output("y", &[0, 6]));
    }
    let image4 = conv(13).node("GlobalAveragePool", &["c"], "g");
    let image4 = image4.node_with("Softmax", &["g"], "s", vec![int("axis", 1)]);
    add("softmax_on_image", image4.node("Flatten", &["s"], "y").output("y", &[0, 6]));
    let dropout =
        conv(13).node("GlobalAveragePool", &["c"], "g").node("Dropout", &["g"], "d unused");
    let dropout = dropout.weights("w2", &[5, 6, 1, 1]).node("Conv", &["d", "w2"], "e");
    let dropout = dropout.node_with("Cast", &["e"], "k", vec![int("to", 1)]);
    add("conv_head", dropout.node("Flatten", &["k"], "y").output("y", &[0, 5]));
    add("image_output", conv(13).node("GlobalAveragePool", &["c"], "y").output("y", &[0, 6, 1, 1]));
}

fn layouts(add: Add) {
    // TensorFlow's: channels last at both ends, convolutions in between.
    let last = Builder::new(13, &[0, 5, 4, 3])
        .floats("half", &[], &[0.5])
        .node("Sub", &["x", "half"], "n")
        .node_with("Transpose", &["n"], "t", vec![ints("perm", &[0, 3, 1, 2])])
        .weights("w", &[6, 3, 3, 3])
        .node_with("Conv", &["t", "w"], "c", vec![string("auto_pad", "SAME_UPPER")]);
    let back = last.clone().node_with("Transpose", &["c"], "b", vec![ints("perm", &[0, 2, 3, 1])]);
    let flat = back.clone().ints("shape", &[-1, 120]).node("Reshape", &["b", "shape"], "f");
    let flat = flat.weights("dw", &[120, 7]).node("MatMul", &["f", "dw"], "y");
    add("channels_last_flatten", flat.output("y", &[0, 7]));
    let bias = back.clone().weights("bias", &[6]).node("Add", &["b", "bias"], "d");
    let bias =
        bias.node_with("ReduceMean", &["d"], "y", vec![ints("axes", &[1, 2]), int("keepdims", 0)]);
    add("channels_last_mean", bias.output("y", &[0, 6]));
    let matmul = back.weights("pw", &[6, 4]).node("MatMul", &["b", "pw"], "d").weights("pb", &[4]);
    let matmul = matmul.node("Add", &["d", "pb"], "e");
    let matmul = matmul.node_with("Transpose", &["e"], "u", vec![ints("perm", &[0, 3, 1, 2])]);
    add("channels_last_matmul", matmul.head("u", 4, 3));
    add("channels_last_input", last.head("c", 6, 4));
    let column = Builder::new(13, &[1, 1, 9, 1])
        .weights("w", &[4, 1, 3, 1])
        .node_with("Conv", &["x", "w"], "c", vec![ints("pads", &[1, 0, 1, 0])])
        .node("Flatten", &["c"], "f")
        .weights("dw", &[36, 3])
        .node("MatMul", &["f", "dw"], "y");
    add("one_column_batch_1", column.output("y", &[1, 3]));
    let tail = conv(13).node("GlobalAveragePool", &["c"], "g").weights("w2", &[5, 6, 3, 3]);
    let tail = tail.node_with("Conv", &["g", "w2"], "d", vec![ints("pads", &[1; 4])]);
    let tail = tail.node_with("Transpose", &["d"], "t", vec![ints("perm", &[0, 2, 3, 1])]);
    let tail = tail.ints("axes", &[1, 2]).node("Squeeze", &["t", "axes"], "s");
    let tail = tail.ints("more", &[-1]).node("Unsqueeze", &["s", "more"], "u");
    add("one_pixel", tail.node("Flatten", &["u"], "y").output("y", &[0, 5]));
}

/// The convolution's weights as other types and in other places.
fn storage(add: Add) {
    let dims = [6i64, 3, 3, 3];
    let data = Random(99).floats(162);
    let halves: Vec<u16> = data.iter().map(|v| f16::from_f32(*v).to_bits()).collect();
    let brains: Vec<u16> = data.iter().map(|v| bf16::from_f32(*v).to_bits()).collect();
    let raw16 = |bits: &[u16]| bits.iter().flat_map(|b| b.to_le_bytes()).collect::<Vec<u8>>();
    let typed = |kind: DataType| TensorProto {
        name: "h".into(),
        dims: dims.to_vec(),
        data_type: kind as i32,
        ..Default::default()
    };
    let bits32 = |bits: &[u16]| bits.iter().map(|b| i32::from(*b)).collect::<Vec<i32>>();
    for (name, tensor) in [
        ("raw_f16", raw_tensor("h", &dims, DataType::FLOAT16, raw16(&halves))),
        ("raw_bf16", raw_tensor("h", &dims, DataType::BFLOAT16, raw16(&brains))),
        (
            "raw_f64",
            raw_tensor(
                "h",
                &dims,
                DataType::DOUBLE,
                data.iter().flat_map(|v| f64::from(*v).to_le_bytes()).collect(),
            ),
        ),
        ("typed_f16", TensorProto { int32_data: bits32(&halves), ..typed(DataType::FLOAT16) }),
        ("typed_bf16", TensorProto { int32_data: bits32(&brains), ..typed(DataType::BFLOAT16) }),
        ("typed_f32", TensorProto { float_data: data.clone(), ..typed(DataType::FLOAT) }),
        (
            "typed_f64",
            TensorProto {
                double_data: data.iter().map(|v| f64::from(*v)).collect(),
                ..typed(DataType::DOUBLE)
            },
        ),
    ] {
        let model = net(13).initializer(tensor).node_with("Cast", &["h"], "w", vec![int("to", 1)]);
        add(name, model.node("Conv", &["x", "w"], "c").head("c", 6, 4));
    }
    let constant = net(13).node_with(
        "Constant",
        &[],
        "w",
        vec![tensor("value", raw_floats("", &dims, &data))],
    );
    let constant = constant
        .node_with("Constant", &[], "lo", vec![float("value_float", -0.5)])
        .node_with("Constant", &[], "slope", vec![floats("value_floats", &[0.25])])
        .node("Conv", &["x", "w"], "c")
        .node("PRelu", &["c", "slope"], "p")
        .node("Clip", &["p", "lo"], "r");
    add("constants", constant.head("r", 6, 4));

    // Chains of Identity on one shared initialiser, which is a graph input too.
    let mut shared = conv(13)
        .floats("one", &[6], &[1.0; 6])
        .node("Identity", &["one"], "one_a")
        .node("Identity", &["one_a"], "one_b")
        .weights("zero", &[6])
        .node("Identity", &["zero"], "zero_a")
        .node("BatchNormalization", &["c", "one_a", "zero", "zero_a", "one_b"], "n")
        .node("BatchNormalization", &["n", "one", "zero_a", "zero", "one"], "m")
        .head("m", 6, 4);
    shared.model.graph.as_mut().unwrap().input.push(value_info("one", &[6]));
    add("shared_initialisers", shared);
    // A branch nobody reads may hold anything.
    let dead = conv(13).node("MaxPool", &["c"], "m").node("Relu", &["c"], "r");
    let mut dead = dead.head("r", 6, 4);
    dead.model.graph.as_mut().unwrap().node[1].attribute.push(ints("kernel_shape", &[2, 2]));
    add("dead_branch", dead);
}

/// A small network of the real kind with seeded sizes.
pub fn mobilenet(seed: u64, inverted: bool) -> Builder {
    let random = &mut Random(seed * 2 + u64::from(inverted));
    let mut model =
        Builder::new(13, &[0, 3, 12 + random.below(9) as i64, 12 + random.below(9) as i64]);
    model.seed = seed * 1000;
    let mut at = "x".to_string();
    let mut c = 3;
    let mut n = 0;
    // Convolution, batch norm, and ReLU6 where asked.
    let mut layer =
        |model: Builder, at: &str, c: i64, out: i64, k: i64, s: i64, depthwise: bool, act: bool| {
            n += 1;
            let (w, o) = (format!("w{n}"), format!("c{n}"));
            let inner = if depthwise { 1 } else { c };
            // Keeps values of order 1 through many layers.
            let scale = (3.0 / (inner * k * k) as f32).sqrt();
            let data: Vec<f32> = Random(seed * 77 + n).floats((out * inner * k * k) as usize);
            let data: Vec<f32> = data.iter().map(|v| v * scale).collect();
            let pad = if s == 2 { [0, 0, k / 2, k / 2] } else { [k / 2; 4] };
            let mut attributes =
                vec![ints("pads", &pad), ints("strides", &[s, s]), ints("kernel_shape", &[k, k])];
            if depthwise {
                attributes.push(int("group", c));
            }
            let model = model.floats(&w, &[out, inner, k, k], &data);
            let model = model.node_with("Conv", &[at, &w], &o, attributes);
            let model = model.batch_norm(&o, &format!("n{n}"), out);
            if !act {
                return (model, format!("n{n}"));
            }
            let (lo, hi) = (format!("lo{n}"), format!("hi{n}"));
            let model = model.floats(&lo, &[], &[0.0]).floats(&hi, &[], &[6.0]);
            let out = format!("r{n}");
            (model.node("Clip", &[&format!("n{n}"), &lo, &hi], &out), out)
        };
    let width = 4 + random.below(9) as i64;
    (model, at) = layer(model, &at, c, width, 3, 2, false, true);
    c = width;
    for block in 0..3 {
        let stride = 1 + random.below(2) as i64;
        let out = if block == 1 { c } else { 4 + random.below(12) as i64 };
        let start = at.clone();
        if inverted {
            (model, at) = layer(model, &at, c, c * 2, 1, 1, false, true);
            (model, at) = layer(model, &at, c * 2, c * 2, 3, stride, true, true);
            (model, at) = layer(model, &at, c * 2, out, 1, 1, false, false);
            if stride == 1 && out == c {
                let sum = format!("sum{block}");
                model = model.node("Add", &[&at, &start], &sum);
                at = sum;
            }
        } else {
            (model, at) = layer(model, &at, c, c, 3, stride, true, true);
            (model, at) = layer(model, &at, c, out, 1, 1, false, true);
        }
        c = out;
    }
    model.head(&at, c, 10)
}
