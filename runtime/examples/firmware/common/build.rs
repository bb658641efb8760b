//! Cuts the pictures of both networks out of the first test pictures of the
//! shipped slice of Fashion-MNIST.

use std::io::Read;
use std::path::Path;
use std::{env, fs};

/// How many, as `src/fashion_mnist.rs` says too.
const COUNT: usize = 100;
/// Rows and columns of one.
const SIDE: usize = 28;
/// How many are made for the other network, as `src/vww.rs` says too.
const LARGE_COUNT: usize = 5;
/// Rows and columns of one of those.
const LARGE_SIDE: usize = 96;

fn main() {
    let out = env::var("OUT_DIR").expect("cargo sets it");
    let write = |name, bytes: &[u8]| fs::write(Path::new(&out).join(name), bytes);
    let images = shipped("images-idx3", 16, SIDE * SIDE);
    write("large", &large(&images)).expect("a folder to write to");
    write("images-idx3", &images).expect("a folder to write to");
    write("labels-idx1", &shipped("labels-idx1", 8, 1)).expect("a folder to write to");
}

/// The first items of a shipped file, of which the header and one item take so
/// many bytes.
fn shipped(name: &str, header: usize, item: usize) -> Vec<u8> {
    let path = format!("../../../../models/data/fashion-mnist/t10k-{name}-ubyte.gz");
    println!("cargo::rerun-if-changed={path}");
    let file = fs::File::open(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let mut bytes = vec![0; header + COUNT * item];
    flate2::read::GzDecoder::new(file).read_exact(&mut bytes).expect("a gzip with 100 items");
    bytes.split_off(header)
}

/// Pictures in colour: red, green and blue are three pictures in a row, and
/// each pixel is the source's at the same share of rows and columns, rounded down.
fn large(images: &[u8]) -> Vec<u8> {
    let mut pixels = Vec::new();
    for planes in images.chunks(3 * SIDE * SIDE).take(LARGE_COUNT) {
        for place in 0..LARGE_SIDE * LARGE_SIDE {
            let source = |at: usize| at * SIDE / LARGE_SIDE;
            let at = SIDE * source(place / LARGE_SIDE) + source(place % LARGE_SIDE);
            pixels.extend(planes.chunks(SIDE * SIDE).map(|plane| plane[at]));
        }
    }
    pixels
}
