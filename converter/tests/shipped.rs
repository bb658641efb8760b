//! The shipped networks do what their card says, on the shipped images.

mod common;

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
