//! The command itself: what it prints, and how it refuses.

mod common;

use std::path::Path;
use std::process::{Command, Output};

use common::folder;

fn bitat(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bitat")).args(args).output().expect("the command starts")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Asserts one line `error: …` that contains all of `words`, and the exit code.
fn refused(args: &[&str], code: i32, words: &[&str]) {
    let output = bitat(args);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
    assert!(!text.contains("panicked"), "{text}");
    assert!(stdout(&output).is_empty(), "nothing is printed beside the error");
    let error = text.lines().find(|l| l.starts_with("error:")).expect("a line 'error: …'");
    for word in words {
        assert!(text.contains(word), "{args:?}: '{word}' is not in '{error}'");
    }
}

/// The shipped slice in files, with its class names.
fn data(dir: &Path) -> String {
    for (name, bytes) in bitat_models::artefacts::fashion_mnist().named() {
        std::fs::write(dir.join(name), bytes).unwrap();
    }
    let names = bitat_models::artefacts::FASHION_MNIST_CLASSES.join("\n");
    std::fs::write(dir.join("classes.txt"), names).unwrap();
    dir.display().to_string()
}

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
fn bad_options_exit_with_two() {
    refused(&["convert", "x.onnx"], 2, &["--output", "--data"]);
    refused(&["no-such-command"], 2, &["no-such-command"]);
    refused(&["demo", "--steps", "0"], 2, &["--steps"]);
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
        &["file_bytes", "arena_bytes", "layers", "weight_bytes", "mac", "bits"],
    );
    has(
        &run(&["bench", &packed, "--json", "--runs", "3", "--isa", "portable"]),
        &["isa", "threads", "median_us", "min_us", "layers"],
    );

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

fn write_png(path: &Path) {
    let file = std::fs::File::create(path).unwrap();
    let mut encoder = png::Encoder::new(file, 28, 28);
    encoder.set_color(png::ColorType::Grayscale);
    let mut writer = encoder.write_header().unwrap();
    let pixels: Vec<u8> = (0..28 * 28).map(|i| (i % 251) as u8).collect();
    writer.write_image_data(&pixels).unwrap();
}
