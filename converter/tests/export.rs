//! `bitat export`: the files it writes compile, and hold the network they were
//! made of.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bitat_format::model::{Epilogue, Input, Layer, Model, Operation};
use bitat_format::{Kind, Tensor, Window};

use common::command::{bitat, refused, stderr, stdout};
use common::folder;

/// What was written in Rust for the model below, as a user includes it.
#[allow(unreachable_pub)]
mod exported {
    include!("export/tiny.rs");
}

/// Names that a string in C or Rust could break on.
const CLASSES: [&str; 3] = ["plain", "a \"b\" \\n ??/", "né7*/ /*"];

/// The smallest network: a grey 2x3 image, weighed into three scores.
fn tiny() -> Vec<u8> {
    let (height, width) = (2, 3);
    let tensor = |kind, height, width, channels| Tensor { kind, height, width, channels, frac: 0 };
    let kernel = (height as u8, width as u8);
    let window = Window {
        kernel_h: kernel.0,
        kernel_w: kernel.1,
        stride_h: 1,
        stride_w: 1,
        pad_top: 0,
        pad_left: 0,
    };
    let epilogue = Epilogue::Scores { multiplier: vec![1, 2, 3], bias: vec![0; 3], scores: 1 };
    let weights = (0..18).map(|i| i - 9).collect();
    let model = Model {
        name: "tiny \"?\" */".into(),
        input: Input { zero: vec![0], mean: vec![0.0], std: vec![1.0] },
        classes: CLASSES.map(str::to_owned).to_vec(),
        tensors: vec![tensor(Kind::Image, height, width, 1), tensor(Kind::Scores, 1, 1, 3)],
        layers: vec![Layer {
            name: "only".into(),
            input: 0,
            operation: Operation::Int8Conv { window, narrow: 0, weights, epilogue },
        }],
        score_scale: 1.0,
    };
    bitat_format::write(&model).expect("a valid model")
}

/// Runs `bitat export` in `dir`, where `tiny.bitat` stands.
fn export(dir: &Path, more: &[&str]) -> String {
    let file = dir.join("tiny.bitat").display().to_string();
    let args = [&["export", &file][..], more].concat();
    let output = bitat(&args);
    assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    stdout(&output)
}

fn with_tiny(name: &str) -> PathBuf {
    let dir = folder(name);
    fs::write(dir.join("tiny.bitat"), tiny()).unwrap();
    dir
}

/// `BITAT_BLESS=1 cargo test -p bitat-converter --test export` writes them anew.
#[test]
fn the_sources_are_as_blessed() {
    let dir = with_tiny("export-blessed");
    let path = |name: &str| dir.join(name).display().to_string();
    export(&dir, &["--c", &path("alone.h")]);
    export(&dir, &["--c", &path("pair.c"), "--rust", &path("tiny.rs")]);
    for name in ["alone.h", "pair.c", "pair.h", "tiny.rs"] {
        let text = fs::read_to_string(dir.join(name)).unwrap();
        let blessed = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/export").join(name);
        if std::env::var_os("BITAT_BLESS").is_some() {
            fs::write(&blessed, &text).unwrap();
        }
        assert!(
            fs::read_to_string(&blessed).is_ok_and(|blessed| blessed == text),
            "{name} differs from {}; look at it, then bless it",
            blessed.display()
        );
    }
    let mut left: Vec<_> = fs::read_dir(&dir)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["alone.h", "pair.c", "pair.h", "tiny.bitat", "tiny.rs"]);
}

#[test]
fn rust_reads_what_was_written() {
    let view = bitat_format::View::parse(&exported::TINY_MODEL.0).unwrap();
    assert_eq!(&exported::TINY_MODEL.0, &tiny()[..]);
    assert_eq!(exported::TINY_MODEL.0.as_ptr().addr() % 16, 0);
    assert_eq!(exported::TINY_NAME, view.name());
    assert_eq!(exported::TINY_CLASS_NAMES, CLASSES);
    let plan = bitat_runtime::Plan::new(&view).by_rows(&view);
    assert_eq!(exported::TINY_ARENA_BYTES, plan.arena_bytes());
    assert_eq!(exported::TINY_WHOLE_ARENA_BYTES, bitat_runtime::arena_bytes(&view));
    let numbers = [
        (exported::TINY_MODEL_BYTES, view.file_bytes()),
        (exported::TINY_TENSORS, view.tensor_count()),
        (exported::TINY_IMAGE_HEIGHT, 2),
        (exported::TINY_IMAGE_WIDTH, 3),
        (exported::TINY_IMAGE_CHANNELS, 1),
        (exported::TINY_IMAGE_BYTES, 6),
        (exported::TINY_CLASSES, 3),
    ];
    assert!(numbers.iter().all(|(written, read)| written == read), "{numbers:?}");
}

/// A program that prints everything an export declares.
const PRINTER: &str = r#"
#include <stdio.h>
#include "HEADER"

int main(void) {
    if ((uintptr_t)tiny_model % 16 != 0)
        return 1;
    printf("%s\n%d %d %d %d %d %d %d\n", TINY_NAME, TINY_ARENA_BYTES, TINY_TENSORS,
           TINY_IMAGE_HEIGHT, TINY_IMAGE_WIDTH, TINY_IMAGE_CHANNELS, TINY_IMAGE_BYTES,
           TINY_CLASSES);
    for (int i = 0; i < TINY_CLASSES; i++)
        printf("%s\n", tiny_class_names[i]);
    for (unsigned i = 0; i < sizeof tiny_model; i++)
        printf("%02x", tiny_model[i]);
    return 0;
}
"#;

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| {
        panic!("{command:?}: {e}; this test needs a C and C++ compiler (Debian: gcc g++)")
    });
    assert!(output.status.success(), "{command:?}: {}", stderr(&output));
    stdout(&output)
}

#[test]
fn c_and_cpp_read_what_was_written() {
    let dir = with_tiny("export-compiled");
    let path = |name: &str| dir.join(name).display().to_string();
    export(&dir, &["--c", &path("alone.h")]);
    export(&dir, &["--c", &path("pair.c")]);
    let file = tiny();
    let arena = exported::TINY_ARENA_BYTES;
    let bytes: String = file.iter().map(|byte| format!("{byte:02x}")).collect();
    let expected = format!("tiny \"?\" */\n{arena} 2 2 3 1 6 3\n{}\n{bytes}", CLASSES.join("\n"));

    let compile = |compiler: &str, standard: &str| {
        let mut command = Command::new(compiler);
        command.arg(format!("-std={standard}")).current_dir(&dir);
        command.args(["-Wall", "-Wextra", "-Wpedantic", "-Werror"]);
        command
    };
    for (header, compiler, standard, extension) in [
        ("alone.h", "cc", "c99", "c"),
        ("alone.h", "cc", "c11", "c"),
        ("alone.h", "c++", "c++11", "cpp"),
        ("pair.h", "cc", "c99", "c"),
        ("pair.h", "c++", "c++11", "cpp"),
    ] {
        let source = format!("printer.{extension}");
        fs::write(dir.join(&source), PRINTER.replace("HEADER", header)).unwrap();
        run(compile(compiler, standard).args(["-c", &source, "-o", "printer.o"]));
        let mut link = Command::new(compiler);
        link.args(["printer.o", "-o", "printer"]).current_dir(&dir);
        if header == "pair.h" {
            run(compile("cc", "c99").args(["-c", "pair.c", "-o", "pair.o"]));
            link.arg("pair.o");
        }
        run(&mut link);
        let printed = run(&mut Command::new(dir.join("printer")));
        assert_eq!(printed, expected, "{header} in {standard}");
    }
}

#[test]
fn names_and_places_that_cannot_be_are_refused() {
    let dir = with_tiny("export-refused");
    let path = |name: &str| dir.join(name).display().to_string();
    let (tiny, header) = (path("tiny.bitat"), path("out.h"));
    fs::copy(&tiny, dir.join("模型.bitat")).unwrap();
    fs::copy(&tiny, dir.join("bitat.bitat")).unwrap();
    fs::write(dir.join("foreign"), b"no network").unwrap();
    fs::copy(&tiny, dir.join("net.h")).unwrap();

    refused(&["export", &tiny], 2, &["--c", "--rust"]);
    refused(&["export", &path("missing"), "--c", &header], 1, &["missing"]);
    refused(&["export", &path("foreign"), "--c", &header], 1, &["foreign", "no packed network"]);
    let unnamed = path("模型.bitat");
    refused(&["export", &unnamed, "--c", &header], 2, &["模型.bitat", "give another --name"]);
    refused(&["export", &path("bitat.bitat"), "--c", &header], 2, &["own identifiers", "--name"]);
    let named = ["export", &unnamed, "--c", &header, "--name"];
    refused(&[&named[..], &["2nd"]].concat(), 2, &["--name 2nd", "begin with a letter"]);
    refused(&["export", &tiny, "--c", &path("out.txt")], 2, &["--c", "out.txt", ".h", ".c"]);
    refused(&["export", &tiny, "--c", &path("a\"b.c")], 2, &["--c", "could not include"]);
    refused(&["export", &tiny, "--c", &path("no/out.h")], 1, &["no/out.h", "make it first"]);
    refused(&["export", &tiny, "--rust", &tiny], 2, &["--rust", "FILE is the same file"]);
    let net = path("net.h");
    let beside = path("net.c");
    refused(&["export", &net, "--c", &beside], 2, &["the header of --c", "FILE is the same file"]);
    refused(
        &["export", &tiny, "--c", &header, "--rust", &header],
        2,
        &["--rust", "--c is the same"],
    );
    assert!(!dir.join("out.h").exists() && !dir.join("net.c").exists());

    let printed = stdout(&bitat(&[&named[..], &["Second"]].concat()));
    assert!(printed.contains("identifiers begin with Second"), "{printed}");
    let text = fs::read_to_string(&header).unwrap();
    assert!(text.contains("SECOND_ARENA_BYTES") && text.contains("Second_model"));
}

#[test]
fn the_json_names_what_was_written() {
    let dir = with_tiny("export-json");
    let rust = dir.join("net.rs").display().to_string();
    let json = export(&dir, &["--rust", &rust, "--json"]);
    let (bytes, arena) = (tiny().len(), exported::TINY_ARENA_BYTES);
    let expected = format!(
        "{{\"name\":\"tiny\",\"files\":[\"{rust}\"],\"file_bytes\":{bytes},\
         \"arena_bytes\":{arena},\"whole_arena_bytes\":{arena},\"tensors\":2}}\n"
    );
    assert_eq!(json, expected);
}
