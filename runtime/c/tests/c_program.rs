//! A program in C, built with warnings as errors and run: the same scores as
//! in Rust, every refusal, nothing written outside the caller's buffers.
//!
//! For another machine, with an archive as a device links it, say
//! `BITAT_C_COMPILER=aarch64-linux-gnu-gcc BITAT_C_RUNNER=qemu-aarch64
//! BITAT_C_ARCHIVE=…/libbitat.a`.

mod common;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::{env, fs};

use bitat_format::model::{Epilogue, Input, Layer, Model, Operation};
use bitat_format::{FileBuffer, Kind, Tensor, View, Window};
use bitat_kernels::{Isa, Kernels};
use bitat_runtime::{ARENA_LINE, Network, aligned, top_k};

use common::{archive, compiler, folder, here, pictures, succeed, write};

const PICTURES: usize = 100;

/// Damaged models that one test tries.
const ROUNDS: &str = "2000";

const SANITIZERS: [&str; 2] = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"];

/// Another machine: its compiler, an archive for it, what emulates it.
struct Cross {
    compiler: String,
    archive: PathBuf,
    runner: String,
}

impl Cross {
    fn asked_for() -> Option<Cross> {
        let names = ["BITAT_C_COMPILER", "BITAT_C_ARCHIVE", "BITAT_C_RUNNER"];
        let [compiler, archive, runner] = names.map(|name| env::var(name).ok());
        match (compiler, archive, runner) {
            (None, None, None) => None,
            (Some(compiler), Some(archive), Some(runner)) => {
                Some(Cross { compiler, archive: archive.into(), runner })
            }
            _ => panic!("give all of {names:?} or none"),
        }
    }
}

/// The test program, built once.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let dir = folder("program");
        let mut sources = Vec::new();
        for entry in fs::read_dir(here("tests/program")).expect("the program's sources") {
            let path = entry.expect("a source").path();
            if path.extension().is_some_and(|extension| extension == "c") {
                sources.push(path);
            }
        }
        assert_eq!(sources.len(), 7);
        let program = dir.join("program");
        let mut cc = match Cross::asked_for() {
            // An archive that brings no operating system, and none to load at run time.
            Some(cross) => {
                let mut cc = compiler(&cross.compiler, "c99");
                cc.arg("-static").args(sources).arg(cross.archive);
                cc
            }
            None => {
                let mut cc = compiler("cc", "c99");
                cc.args(sanitizers(&dir)).args(sources).arg(archive());
                cc
            }
        };
        // What the standard library under feature `std`, and threads, ask of the system.
        succeed(cc.arg("-o").arg(&program).args(["-lpthread", "-ldl", "-lm"]));
        program
    })
}

/// The options that watch the C side, where the compiler has them.
fn sanitizers(dir: &Path) -> &'static [&'static str] {
    let probe = write(dir, "probe.c", b"int main(void) { return 0; }\n");
    let mut cc = compiler("cc", "c99");
    let output = cc.args(SANITIZERS).arg(probe).arg("-o").arg(dir.join("probe")).output();
    match output {
        Ok(output) if output.status.success() => &SANITIZERS,
        Ok(_) => {
            eprintln!("NOT RUN with sanitizers: this compiler has none");
            &[]
        }
        Err(e) => panic!("cc: {e}; this test needs a C compiler (Debian: gcc)"),
    }
}

fn run(arguments: &[&Path]) -> String {
    let mut command = match Cross::asked_for() {
        Some(cross) => {
            let mut runner = Command::new(cross.runner);
            runner.arg(program());
            runner
        }
        None => Command::new(program()),
    };
    succeed(command.args(arguments))
}

/// What the program must print for a network, whatever the instruction set, in an
/// arena planned for `arena_bytes`.
fn expected(file: &[u8], images: &[u8], arena_bytes: usize) -> String {
    let view = View::parse(file).expect("a shipped network");
    let mut network = Network::new(view, Kernels::best());
    let whole = network.arena_bytes();
    network.fit(arena_bytes);
    let (input, classes) = (view.input(), view.class_count());
    let (height, width, channels) = (input.height, input.width, input.channels);
    let (arena, pixels) = (network.arena_bytes(), height * width * channels);
    let mut text = format!("info {arena} {whole} {pixels} {height} {width} {channels} {classes}\n");
    writeln!(text, "scale {:08x}", view.score_scale().to_bits()).unwrap();
    writeln!(text, "name {}", view.name()).unwrap();
    for class in 0..classes {
        writeln!(text, "class {}", view.class_name(class).expect("a name")).unwrap();
    }
    let mut memory = vec![0; arena + ARENA_LINE - 1];
    let mut scores = vec![0; classes];
    for image in images.chunks(pixels) {
        network.run(image, aligned(&mut memory), &mut scores).expect("an image");
        let all: Vec<_> = scores.iter().map(i32::to_string).collect();
        writeln!(text, "scores {}", all.join(" ")).unwrap();
        let mut best = [(0, 0); 3];
        let found = top_k(&scores, &mut best);
        text.push_str("best");
        for (class, score) in &best[..found] {
            write!(text, " {class}:{score}").unwrap();
        }
        text.push('\n');
    }
    text
}

fn scores_are_the_same(name: &str, file: &[u8], images: &[u8]) {
    let dir = folder(name);
    let model = write(&dir, "model", file);
    let images_path = write(&dir, "images", images);
    // Each part of it begins behind a line's end.
    let printed = format!("\n{}", run(&[Path::new("scores"), &model, &images_path]));
    // By rows, then with whole layers, on each instruction set.
    let expected = [0, usize::MAX].map(|bytes| expected(&FileBuffer::new(file), images, bytes));
    let infos = expected.each_ref().map(|text| text.lines().next());
    assert_ne!(infos[0], infos[1], "this network gains nothing by rows");
    let mut ran = Vec::new();
    for (i, part) in printed.split("\nisa ").skip(1).enumerate() {
        let expected = &expected[i % 2];
        let (isa, body) = part.split_once('\n').unwrap_or((part, ""));
        println!("isa {isa}");
        let (asked, used) = isa.split_once(' ').expect("two names");
        if used != "NOT RUN" {
            let line = body.lines().zip(expected.lines()).position(|(a, b)| a != b);
            assert!(body.lines().eq(expected.lines()), "isa {isa}: differs in line {line:?}");
            ran.push(asked);
        }
    }
    let here = Isa::ALL.into_iter().filter(|&isa| Kernels::new(isa).is_some()).map(Isa::name);
    let must: Vec<_> = match Cross::asked_for() {
        Some(_) => vec!["best", "portable"],
        None => ["best"].into_iter().chain(here).collect(),
    };
    assert!(must.iter().all(|isa| ran.contains(isa)), "{ran:?} ran, {must:?} must");
}

#[test]
fn c_scores_the_shipped_pictures_as_rust_does() {
    let file = bitat_models::artefacts::fashion_mnist_packed();
    scores_are_the_same("fashion-mnist", file, &pictures(PICTURES));
}

#[test]
fn c_scores_colour_images_as_rust_does() {
    let file = fs::read(here("../../models/cifar-100/mobilenet_v1_0.5.bitat")).unwrap();
    // The pixels of the shipped pictures, read as colour images of 32x32.
    let pixels = 32 * 32 * 3;
    let images = pictures(PICTURES);
    scores_are_the_same("cifar-100", &file, &images[..images.len() / pixels * pixels]);
}

#[test]
fn every_refusal_writes_nothing() {
    let dir = folder("refusals");
    let model = write(&dir, "model", bitat_models::artefacts::fashion_mnist_packed());
    let nameless = write(&dir, "nameless", &bitat_format::write(&depthwise(2)).unwrap());
    let too_many = depthwise(bitat::BITAT_TENSORS + 1);
    let many = write(&dir, "many", &bitat_format::write(&too_many).unwrap());
    let printed = run(&[Path::new("refusals"), &model, &nameless, &many]);
    assert_eq!(printed, format!("version {}\n", env!("CARGO_PKG_VERSION")));
}

/// `BITAT_SEED=N` runs one seed.
#[test]
fn damaged_models_are_refused_or_run_within_their_buffers() {
    let seed = env::var("BITAT_SEED").unwrap_or_else(|_| "20261124".into());
    let dir = folder("damage");
    let everything = here("../format/tests/golden/everything.bitat");
    let shipped = write(&dir, "shipped", bitat_models::artefacts::fashion_mnist_packed());
    for (model, rounds) in [(everything, ROUNDS), (shipped, "200")] {
        let printed = run(&[Path::new("damage"), &model, Path::new(rounds), Path::new(&seed)]);
        println!("BITAT_SEED={seed}: {}: {printed}", model.display());
        let numbers: Vec<usize> =
            printed.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect();
        let [_, ran, statuses] = numbers[..] else { panic!("{printed}") };
        assert!(ran > 0 && statuses >= 4, "too little was tried: {printed}");
    }
}

#[test]
fn either_arena_may_be_exactly_as_long_as_is_told_and_not_a_byte_less() {
    let dir = folder("arenas");
    let model = write(&dir, "model", bitat_models::artefacts::fashion_mnist_packed());
    let images = write(&dir, "images", &pictures(1));
    println!("{}", run(&[Path::new("arenas"), &model, &images]));
}

#[test]
fn threads_may_share_a_network() {
    let dir = folder("threads");
    let model = write(&dir, "model", bitat_models::artefacts::fashion_mnist_packed());
    let images = write(&dir, "images", &pictures(20));
    assert_eq!(run(&[Path::new("threads"), &model, &images]), "");
}

/// Every standard from the oldest that the header promises.
#[test]
fn the_header_compiles_as_c_and_as_cpp() {
    let dir = folder("header");
    let uses = "#include \"bitat.h\"\n\
                int main() {\n    bitat_network network = {{0}};\n    bitat_info info;\n    \
                return bitat_query(&network, &info) == BITAT_STATUS_OK;\n}\n";
    for (name, compiler_name, standards) in [
        ("use.c", "cc", &["c99", "c11", "c17", "gnu2x"][..]),
        ("use.cpp", "c++", &["c++11", "c++17", "c++20"][..]),
    ] {
        // An empty list of parameters is no prototype in C.
        let text = if name == "use.c" { uses.replace("main()", "main(void)") } else { uses.into() };
        let source = write(&dir, name, text.as_bytes());
        for standard in standards {
            let mut command = compiler(compiler_name, standard);
            succeed(command.arg("-c").arg(&source).arg("-o").arg(dir.join("object")));
        }
    }
    // And what C++ calls is what the archive has.
    let mut link = compiler("c++", "c++11");
    link.arg(dir.join("use.cpp")).arg(archive()).arg("-o").arg(dir.join("use"));
    succeed(link.args(["-lpthread", "-ldl", "-lm"]));
    let status = Command::new(dir.join("use")).status().expect("the program starts");
    assert_eq!(status.code(), Some(0), "a zeroed network is not initialised");
}

/// A network of `tensors` tensors without class names: a chain of 8-bit
/// depthwise layers of one pixel and one channel.
fn depthwise(tensors: usize) -> Model {
    let tensor = |kind| Tensor { kind, height: 1, width: 1, channels: 1, frac: 0 };
    let window =
        Window { kernel_h: 1, kernel_w: 1, stride_h: 1, stride_w: 1, pad_top: 0, pad_left: 0 };
    let mut model = Model {
        name: "chain".into(),
        input: Input { zero: vec![0], mean: vec![0.0], std: vec![1.0] },
        classes: vec![],
        tensors: vec![tensor(Kind::Image)],
        layers: vec![],
        score_scale: 1.0,
    };
    for id in 1..tensors as u16 {
        let last = usize::from(id) + 1 == tensors;
        let (multiplier, narrow, weights) = (vec![1], 0, vec![1]);
        let epilogue = if last {
            Epilogue::Scores { multiplier, bias: vec![0], scores: id }
        } else {
            let (shortcut, prelu, sign) = (None, None, None);
            let bias = vec![0];
            Epilogue::Stream { shift: 0, multiplier, bias, shortcut, prelu, stream: Some(id), sign }
        };
        let operation = if id == 1 || last {
            Operation::Int8Conv { window, narrow, weights, epilogue }
        } else {
            Operation::Int8Depthwise { window, narrow, weights, epilogue }
        };
        model.tensors.push(tensor(if last { Kind::Scores } else { Kind::Stream }));
        model.layers.push(Layer { name: "link".into(), input: id - 1, operation });
    }
    model
}
