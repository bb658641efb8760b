//! Cuts the first test pictures out of the shipped slice of Fashion-MNIST.

use std::io::Read;
use std::path::Path;
use std::{env, fs};

/// How many, as `src/pictures.rs` says too.
const COUNT: usize = 100;

fn main() {
    let out = env::var("OUT_DIR").expect("cargo sets it");
    // Name, bytes of the IDX header, bytes of an item.
    for (name, header, item) in [("images-idx3", 16, 28 * 28), ("labels-idx1", 8, 1)] {
        let path = format!("../../../../models/data/fashion-mnist/t10k-{name}-ubyte.gz");
        println!("cargo::rerun-if-changed={path}");
        let file = fs::File::open(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        let mut bytes = vec![0; header + COUNT * item];
        flate2::read::GzDecoder::new(file).read_exact(&mut bytes).expect("a gzip with 100 items");
        fs::write(Path::new(&out).join(name), &bytes[header..]).expect("a folder to write to");
    }
}
