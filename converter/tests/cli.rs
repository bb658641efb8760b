//! The command itself: what it prints, and how it refuses.

mod common;

use std::path::Path;

use bitat_converter::qat::rewrite::Depthwise;
use bitat_converter::standard::Standard;
use common::command::{bitat, data, refused, stderr, stdout};
use common::folder;

#[test]
fn bad_files_are_refused_by_name() {
    let dir = folder("bad-files");
    let path = |name: &str| dir.join(name).display().to_string();
    let shipped = bitat_models::artefacts::fashion_mnist_packed();
    std::fs::write(dir.join("cut.bitat"), &shipped[..shipped.len() - 7]).unwrap();
    let mut flipped = shipped.to_vec();
    flipped[shipped.len() / 2] ^= 4;
    std::fs::write(dir.join("flipped.bitat"), flipped).unwrap();
    std::fs::write(dir.join("foreign"), b"GIF89a and so on").unwrap();
    std::fs::write(dir.join("empty"), b"").unwrap();
    std::fs::write(dir.join("good.bitat"), shipped).unwrap();
    std::fs::write(dir.join("picture.png"), b"\x89PNG\r\n\x1a\nbroken").unwrap();
    std::fs::create_dir(dir.join("no-images")).unwrap();

    refused(&["inspect", &path("missing.bitat")], 1, &["missing.bitat"]);
    refused(&["inspect", &path("foreign")], 1, &["foreign", "no packed network"]);
    refused(&["inspect", &path("cut.bitat")], 1, &["cut.bitat"]);
    refused(&["inspect", &path("flipped.bitat")], 1, &["flipped.bitat", "checksum"]);
    refused(&["run", &path("empty"), &path("picture.png"), "--preprocess", "tf"], 1, &["empty"]);
    refused(&["run", &path("good.bitat"), &path("picture.png")], 1, &["picture.png"]);
    refused(&["eval", &path("good.bitat"), "--data", &path("no-images")], 1, &["no-images"]);
    refused(&["bench", &path("good.bitat"), "--isa", "sse9"], 2, &["--isa sse9", "portable"]);
    refused(
        &["eval", &path("good.bitat"), "--data", &path("no-images"), "--preprocess", "tf"],
        1,
        &["no-images"],
    );
}

#[test]
fn networks_and_data_that_do_not_fit_are_refused_by_name() {
    let dir = folder("bad-networks");
    let path = |name: &str| dir.join(name).display().to_string();
    let images = path("fashion");
    std::fs::create_dir(&images).unwrap();
    data(Path::new(&images));
    let float = bitat_models::artefacts::fashion_mnist_float();
    let spoilt = |name: &str, find: &[u8], put: &[u8]| {
        let at = float.windows(find.len()).position(|w| w == find).expect("it is in the file");
        let mut bytes = float.to_vec();
        bytes[at..at + put.len()].copy_from_slice(put);
        std::fs::write(dir.join(name), bytes).unwrap();
    };
    let graph = bitat_onnx::parse("float", float).unwrap().graph;
    let param = &graph.params[0];
    spoilt("nan.onnx", &param.data[0].to_le_bytes(), &f32::NAN.to_le_bytes());
    spoilt("node.onnx", b"Relu", b"Tanh");
    std::fs::write(dir.join("cut.onnx"), &float[..float.len() / 2]).unwrap();
    std::fs::write(dir.join("good.onnx"), float).unwrap();
    for class in ["cat", "dog"] {
        std::fs::create_dir_all(dir.join("pictures").join(class)).unwrap();
        for i in 0..3 {
            write_png(&dir.join(format!("pictures/{class}/{i}.png")));
        }
    }
    let pictures = path("pictures");

    let output = path("out.bitat");
    let convert = |model: &str, data: &str, code: i32, words: &[&str]| {
        let model = path(model);
        let args = ["convert", &model, "--data", data, "--preprocess", "tf", "--steps", "1"];
        refused(&[&args[..], &["--batch", "2", "-o", &output]].concat(), code, words);
        let args = ["eval", &model, "--data", data, "--preprocess", "tf"];
        refused(&args, code, words);
    };
    convert("nan.onnx", &images, 1, &["nan.onnx", &param.name, "NaN"]);
    convert("node.onnx", &images, 1, &["node.onnx", "node '", "(Tanh)"]);
    convert("cut.onnx", &images, 1, &["cut.onnx", "not a readable ONNX file", "export it again"]);
    convert("good.onnx", &pictures, 1, &["good.onnx", "10 outputs", "2 classes"]);
    std::fs::write(dir.join("good.bitat"), bitat_models::artefacts::fashion_mnist_packed())
        .unwrap();
    let packed = path("good.bitat");
    refused(&["eval", &packed, "--data", &pictures], 1, &["good.bitat", "10 classes", "has 2"]);

    // One picture that breaks off: whatever reads it names it.
    let broken = dir.join("pictures/dog/2.png");
    let bytes = std::fs::read(&broken).unwrap();
    std::fs::write(&broken, &bytes[..bytes.len() / 2]).unwrap();
    let broken = broken.display().to_string();
    refused(&["run", &packed, &broken], 1, &["dog/2.png", "unreadable picture"]);
    let onnx = path("made.onnx");
    let train = ["train", "--data", &pictures, "--size", "32x32", "--width", "0.25", "-o", &onnx];
    let short = ["--steps", "4", "--batch", "4"];
    refused(&[&train[..], &short].concat(), 1, &["dog/2.png", "unreadable picture"]);
    assert!(!Path::new(&onnx).exists() && !Path::new(&output).exists());
}

#[test]
fn bad_options_exit_with_two() {
    refused(&["convert", "x.onnx"], 2, &["--output", "--data"]);
    refused(&["no-such-command"], 2, &["no-such-command"]);
    refused(&["demo", "--steps", "0"], 2, &["--steps"]);
    refused(&["bench", "x.bitat", "--runs", "0"], 2, &["--runs"]);
    refused(&["bench", "x.bitat", "--threads", "0"], 2, &["--threads"]);
    refused(&["bench", "x.bitat", "--compare", "none.json"], 1, &["none.json"]);
    refused(&["bench"], 2, &["FILE"]);
    refused(&["bench", "x.bitat", "--network", "mobilenet-v1-1.0-224"], 2, &["--network"]);
    refused(&["bench", "x.bitat", "--depthwise", "1"], 2, &["--depthwise", "FILE"]);
    refused(&["bench", "--network", "vgg-16"], 2, &["mobilenet-v1-WIDTH-SIDE", "reactnet-a"]);
    refused(&["bench", "--network", "quicknet", "--depthwise", "1"], 2, &["--depthwise"]);
    refused(&["bench", "--network", "mobilenet-v1-9-32"], 2, &["mobilenet-v1-9", "width"]);
    refused(&["footprint", "x.bitat"], 2, &["--target"]);
    refused(&["footprint", "x.bitat", "--target", "avr"], 2, &["avr", "thumbv7em", "riscv32"]);
    refused(&["footprint", "x.bitat", "--target", "riscv32"], 1, &["x.bitat"]);
    refused(&["run", "x.bitat", "x.png", "--top", "0"], 2, &["--top"]);
    refused(&["convert", "x", "--data", "x", "-o", "x", "--stages", "0"], 2, &["--stages"]);
}

#[test]
fn a_trained_network_goes_through_every_command() {
    let dir = folder("every-command");
    let data = data(&dir);
    let path = |name: &str| dir.join(name).display().to_string();
    let (onnx, packed) = (path("net.onnx"), path("net.bitat"));
    let small = ["--data", &data, "--limit", "40", "--train-limit", "256", "--batch", "32"];
    let run = |args: &[&str]| {
        let output = bitat(args);
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        let text = stdout(&output);
        let json = text.lines().last().unwrap_or_default().to_owned();
        assert_eq!(text.lines().count(), 1, "exactly one line: {text}");
        assert!(json.starts_with('{') && json.ends_with('}'), "{json}");
        json
    };
    let has = |json: &str, fields: &[&str]| {
        for field in fields {
            assert!(json.contains(&format!("\"{field}\":")), "{field} is not in {json}");
        }
    };

    let mut args = vec!["train", "--json", "--width", "0.25", "--strides", "2,2,2,1,1"];
    args.extend(["--steps", "8", "-o", &onnx]);
    args.extend(small);
    has(&run(&args), &["float_top1", "file_bytes"]);
    assert!(!Path::new(&path("net.onnx.checkpoint")).exists(), "the checkpoint is cleared away");

    let mut args = vec!["convert", &onnx, "--json", "--preprocess", "tf", "--steps", "4"];
    args.extend(["-o", &packed]);
    args.extend(small);
    has(&run(&args), &["float_top1", "packed_top1", "file_bytes", "arena_bytes"]);

    let eval = |file: &str, more: &[&str]| {
        let mut args = vec!["eval", file, "--json", "--data", &data, "--limit", "40"];
        args.extend(more);
        run(&args)
    };
    has(&eval(&packed, &[]), &["images", "top1", "top5", "confusion"]);
    has(&eval(&onnx, &["--preprocess", "tf"]), &["images", "top1", "top5"]);
    refused(&["eval", &onnx, "--data", &data], 2, &["--preprocess"]);
    refused(
        &["eval", &packed, "--data", &data, "--preprocess", "tf"],
        2,
        &["--preprocess", "keeps its own"],
    );
    refused(&["convert", &packed, "--data", &data, "-o", &path("x")], 1, &["a float ONNX"]);

    has(
        &run(&["inspect", &packed, "--json"]),
        &[
            "file_bytes",
            "arena_bytes",
            "whole_arena_bytes",
            "layers",
            "weight_bytes",
            "mac",
            "bits",
        ],
    );
    let json = run(&["bench", &packed, "--json", "--runs", "3", "--isa", "portable"]);
    has(&json, &["isa", "threads", "median_us", "min_us", "layers", "mac_per_cycle", "of_limit"]);
    has(&json, &["network", "machine", "clock_mhz", "limit_1_bit", "limit_8_bit", "moved_bytes"]);
    assert!(json.contains(r#""agrees_with":"scalar""#), "{json}");
    let text = stdout(&bitat(&["bench", &packed, "--runs", "1"]));
    let wide = |line: &&str| line.chars().count() > 100 && !line.starts_with("note");
    assert_eq!(text.lines().find(wide), None);
    assert!(text.contains("one thread") && text.contains("limit") && text.contains("one image"));
    let before = path("before.json");
    std::fs::write(&before, json).unwrap();
    let again = ["bench", &packed, "--runs", "3", "--compare", &before];
    let output = bitat(&[&again[..], &["--isa", "portable"]].concat());
    let text = stdout(&output);
    assert!(text.contains("before.json") && !text.contains("warning"), "{text}");
    let output = bitat(&[&again[..], &["--isa", "portable", "--threads", "2"]].concat());
    assert!(stdout(&output).contains("another number of threads: one thread before, 2 threads"));
    has(&run(&[&again[..], &["--json"]].concat()), &["compared", "ratio", "warnings"]);
    std::fs::write(&before, "{}").unwrap();
    refused(&again, 1, &["before.json", "'layers'", "bitat bench"]);
    let json = run(&["cpu", "--json"]);
    has(&json, &["isa", "sets", "runs", "needs"]);
    let standard = ["bench", "--network", "mobilenet-v1-0.25-32", "--depthwise", "1"];
    let json = run(&[&standard[..], &["--json", "--runs", "1"]].concat());
    assert!(json.contains("depthwise 1-bit"), "{json}");

    let picture = path("picture.png");
    write_png(Path::new(&picture));
    let json = run(&["run", &packed, &picture, "--json", "--logits"]);
    has(&json, &["results", "file", "top", "class", "name", "score", "logits"]);
    assert!(json.contains("Trouser") || json.contains("Shirt") || json.contains("Bag"), "{json}");

    // An output that cannot be written leaves nothing behind.
    let nowhere = path("no/such/folder/net.bitat");
    let mut args = vec!["convert", &onnx, "--preprocess", "tf", "--steps", "1", "-o", &nowhere];
    args.extend(small);
    refused(&args, 1, &["no/such/folder"]);
}

#[test]
fn a_footprint_says_what_is_measured_and_what_is_estimated() {
    let dir = folder("footprint");
    let file = dir.join("vww.bitat").display().to_string();
    let bytes = bitat_models::artefacts::vww_packed();
    std::fs::write(&file, bytes).unwrap();
    let mut instructions = Vec::new();
    for target in ["thumbv7em", "thumbv8m", "thumbv6m", "riscv32", "riscv32-zbb", "aarch64"] {
        let args = ["footprint", &file, "--target", target];
        let text = stdout(&bitat(&args));
        for words in [target, "58,264 B", "48,992 B", "129,024 B", "\nmeasured: ", "\nestimated: "]
        {
            assert!(text.contains(words), "'{words}' is not in {text}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        let json: serde_json::Value =
            serde_json::from_str(&stdout(&bitat(&[&args[..], &["--json"]].concat()))).unwrap();
        let number = |field: &str| json[field].as_u64().unwrap();
        assert_eq!(number("model_bytes"), bytes.len() as u64);
        assert_eq!(number("flash_bytes"), number("code_bytes") + bytes.len() as u64);
        let parts = ["arena_bytes", "stack_bytes", "static_bytes"];
        assert_eq!(number("ram_bytes"), parts.map(number).iter().sum::<u64>());
        let more = number("whole_ram_bytes") - number("ram_bytes");
        assert_eq!(number("whole_arena_bytes") - number("arena_bytes"), more);
        let layers = json["layers"].as_array().unwrap();
        let sum = |field| layers.iter().map(|layer| layer[field].as_u64().unwrap()).sum::<u64>();
        assert_eq!(number("instructions"), sum("instructions"));
        assert_eq!(number("mac"), sum("mac"));
        let modelled = ["thumbv7em", "thumbv6m", "riscv32-zbb"].contains(&target);
        assert_eq!(text.contains("modelled: cycles"), modelled);
        if modelled {
            let ratio = number("cycles") as f64 / number("instructions") as f64;
            assert!((1.0..1.6).contains(&ratio), "{ratio}");
            assert!(sum("cycles").abs_diff(number("cycles")) <= layers.len() as u64);
        } else {
            assert!(json["cycles"].is_null() && layers[0]["cycles"].is_null(), "{json}");
        }
        instructions.push(number("instructions"));
    }
    // DSP instructions save some, those that count bits too, vectors most.
    let [thumbv7em, thumbv8m, thumbv6m, riscv32, zbb, aarch64] = instructions[..] else {
        unreachable!()
    };
    assert!(aarch64 * 2 < thumbv7em && thumbv7em < thumbv8m, "{instructions:?}");
    assert!(thumbv8m < thumbv6m && zbb < riscv32, "{instructions:?}");

    // A kind of layer that was not measured leaves the sum unknown, not too small.
    let standard: Standard = "mobilenet-v1-0.25-32".parse().unwrap();
    let packed = standard.packed(Some(Depthwise::Binary)).unwrap();
    std::fs::write(&file, packed.bytes()).unwrap();
    let output = bitat(&["footprint", &file, "--target", "riscv32", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert!(json["instructions"].is_null() && json["flash_bytes"].as_u64() > Some(0), "{json}");
    let text = stdout(&bitat(&["footprint", &file, "--target", "riscv32"]));
    assert!(text.contains("not known"), "{text}");
}

fn write_png(path: &Path) {
    let file = std::fs::File::create(path).unwrap();
    let mut encoder = png::Encoder::new(file, 28, 28);
    encoder.set_color(png::ColorType::Grayscale);
    let mut writer = encoder.write_header().unwrap();
    let pixels: Vec<u8> = (0..28 * 28).map(|i| (i % 251) as u8).collect();
    writer.write_image_data(&pixels).unwrap();
}
