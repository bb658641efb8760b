//! A program in C, built with warnings as errors and run: the same scores as
//! in Rust, every refusal, nothing written outside the caller's buffers.

mod common;

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use bitat_format::model::{Epilogue, Input, Layer, Model, Operation};
use bitat_format::{FileBuffer, Kind, Tensor, View, Window};
use bitat_kernels::{Isa, Kernels};
use bitat_runtime::{ARENA_ALIGN, Network, aligned, top_k};

use common::{archive, compiler, folder, here, pictures, succeed, write};

const PICTURES: usize = 100;

/// Damaged models that one test tries.
const ROUNDS: &str = "2000";

const SANITIZERS: [&str; 2] = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"];

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
        assert_eq!(sources.len(), 6);
        let program = dir.join("program");
        let mut cc = compiler("cc", "c99");
        cc.args(sanitizers(&dir)).args(sources).arg(archive()).arg("-o").arg(&program);
        // What the standard library under feature `std` asks of the system.
        succeed(cc.args(["-lpthread", "-ldl", "-lm"]));
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
    succeed(Command::new(program()).args(arguments))
}

/// What the program must print for a network: the same from Rust.
fn expected(file: &[u8], images: &[u8]) -> String {
    let view = View::parse(file).expect("a shipped network");
    let mut text = String::new();
    let all = Isa::ALL.map(|isa| (isa.name(), Kernels::new(isa)));
    // In the order of the codes, "the best" before all others.
    for (name, kernels) in [("best", Some(Kernels::best()))].into_iter().chain(all) {
        let Some(kernels) = kernels else {
            writeln!(text, "isa {name} NOT RUN").unwrap();
            continue;
        };
        let network = Network::new(view, kernels);
        writeln!(text, "isa {name} {}", kernels.isa()).unwrap();
        let (input, classes) = (view.input(), view.class_count());
        let pixels = input.height * input.width * input.channels;
        writeln!(
            text,
            "info {} {pixels} {} {} {} {classes}",
            network.arena_bytes(),
            input.height,
            input.width,
            input.channels,
        )
        .unwrap();
        writeln!(text, "name {}", view.name()).unwrap();
        for class in 0..classes {
            writeln!(text, "class {}", view.class_name(class).expect("a name")).unwrap();
        }
        let mut memory = vec![0; network.arena_bytes() + ARENA_ALIGN - 1];
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
    }
    text
}

/// A line of `info` without the last number, a float in C's notation.
fn without_scale(line: &str) -> &str {
    match line.strip_prefix("info ") {
        Some(_) => line.rsplit_once(' ').expect("numbers").0,
        None => line,
    }
}

fn scores_are_the_same(name: &str, file: &[u8], images: &[u8]) {
    let dir = folder(name);
    let model = write(&dir, "model", file);
    let images_path = write(&dir, "images", images);
    let printed = run(&[Path::new("scores"), &model, &images_path]);
    let expected = expected(&FileBuffer::new(file), images);
    let mut lines = 0;
    for (i, (from_c, from_rust)) in printed.lines().zip(expected.lines()).enumerate() {
        assert_eq!(without_scale(from_c), from_rust, "line {i}");
        lines += 1;
    }
    assert_eq!((lines, lines), (printed.lines().count(), expected.lines().count()));
    let pixels = View::parse(&FileBuffer::new(file)).unwrap().tensor(0).bytes();
    let pictures = images.len() / pixels;
    // At least those of the best instruction set and of plain Rust.
    assert!(printed.matches("scores ").count() >= 2 * pictures);
    println!("{}", printed.lines().filter(|l| l.starts_with("isa")).collect::<Vec<_>>().join("\n"));
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
    let seed = std::env::var("BITAT_SEED").unwrap_or_else(|_| "20261124".into());
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
