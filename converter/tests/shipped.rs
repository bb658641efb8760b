//! The shipped networks do what their card says, on the shipped images.

mod common;

use std::path::Path;
use std::sync::Arc;

use bitat_converter::learn::evaluate::evaluate;
use bitat_converter::packed::{Packed, available};
use bitat_converter::pipeline::input_fit;
use bitat_data::{Dataset, Options, Preprocess, Split};
use bitat_engine::PlainSte;
use bitat_format::FileBuffer;
use bitat_models::artefacts;
use common::folder;

#[test]
fn the_shipped_file_is_within_three_points_of_its_float_network() {
    let dir = folder("shipped");
    for (name, bytes) in artefacts::fashion_mnist().named() {
        std::fs::write(dir.join(name), bytes).unwrap();
    }
    let test = Arc::new(Dataset::open(&dir, Split::Test, &Options::default()).unwrap());
    let parsed = bitat_onnx::parse("float", artefacts::fashion_mnist_float()).unwrap();
    let mut float = bitat_graph::canonicalise(&parsed.graph);
    let fit = input_fit(&float);
    let preprocess = Preprocess::new(vec![73.0], vec![90.0]).unwrap();
    let scores = |top1: f64| (20.0 * top1).round() as usize;
    let ste = PlainSte::default();
    let float = evaluate(&mut float, &ste, &test, fit, &preprocess, usize::MAX, |_| true).unwrap();
    assert!(float.top(1) >= 90.0, "float: {:.2} %", float.top(1));

    let file = FileBuffer::new(artefacts::fashion_mnist_packed());
    let packed = Packed::new(file, "shipped".as_ref()).unwrap();
    assert_eq!(packed.view().class_name(9), Some("Ankle boot"));
    let mut right = Vec::new();
    for kernels in available() {
        let made = packed.score(&test, kernels, |_| true).unwrap();
        assert_eq!(made.images(), 2000);
        right.push(scores(made.top(1)));
        assert!(made.top(1) >= float.top(1) - 3.0, "{}: {:.2} %", kernels.isa(), made.top(1));
    }
    assert!(right.iter().all(|r| *r == right[0]), "every instruction set scores alike: {right:?}");
}

#[test]
fn the_cifar_100_files_are_what_their_card_says() {
    for file in ["cifar-100/mobilenet_v1_0.5.bitat", "cifar-100/mobilenet_v2_0.5.bitat"] {
        is_what_its_card_says(file, 100, "worm");
    }
}

#[test]
fn the_wider_fashion_mnist_file_is_what_its_card_says() {
    let file = "fashion-mnist/mobilenet_v1_0.5.bitat";
    is_what_its_card_says(file, 10, "Ankle boot");
    let dir = folder("shipped-wider");
    for (name, bytes) in artefacts::fashion_mnist().named() {
        std::fs::write(dir.join(name), bytes).unwrap();
    }
    let test = Arc::new(Dataset::open(&dir, Split::Test, &Options::default()).unwrap());
    let packed =
        Packed::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../models").join(file)).unwrap();
    let made = packed.score(&test, bitat_kernels::Kernels::best(), |_| true).unwrap();
    // 92.65 % of 10,000; two standard deviations of 2,000 are 1.2 points.
    assert!((made.top(1) - 92.65).abs() < 1.2, "{:.2} %", made.top(1));
}

#[test]
fn the_visual_wake_words_file_is_what_its_card_says() {
    let bytes = is_what_its_card_says("vww/mobilenet_v1_0.25_96.bitat", 2, "person");
    assert!(bytes < 60_000, "{bytes} bytes: for a device with 64 KiB of flash beside its code");
}

/// A file must open, be what its card says, and give every instruction set the same
/// scores. Returns its bytes.
fn is_what_its_card_says(file: &str, classes: usize, last: &str) -> u64 {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models").join(file);
    let card = std::fs::read_to_string(path.with_file_name("README.md")).unwrap();
    let packed = Packed::open(&path).unwrap();
    assert_eq!(packed.view().class_count(), classes);
    assert_eq!(packed.view().class_name(classes - 1), Some(last));
    let bytes = std::fs::metadata(&path).unwrap().len();
    for number in [bytes, packed.arena_bytes() as u64] {
        let number = format!("{},{:03}", number / 1000, number % 1000);
        assert!(card.contains(&number), "the card does not say {number}");
    }

    let image = |seed: usize| -> Vec<u8> {
        (0..packed.fit().bytes()).map(|i| (i * (2 * seed + 1) % 251) as u8).collect()
    };
    let scores: Vec<Vec<Vec<i32>>> = available()
        .into_iter()
        .map(|kernels| {
            let mut runner = packed.runner(kernels).unwrap();
            (0..8).map(|seed| runner.run(&image(seed)).unwrap().to_vec()).collect()
        })
        .collect();
    assert!(scores.iter().all(|of| *of == scores[0]), "instruction sets differ");
    assert!(scores[0].windows(2).all(|two| two[0] != two[1]), "all images are the same to it");
    bytes
}
