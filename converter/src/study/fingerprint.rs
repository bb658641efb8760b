//! Short fingerprints of what a study is about, so that results of one are not
//! taken for results of another. They guard against mistakes, not malice.

use bitat_data::{Dataset, Fit};
use bitat_graph::Graph;

use crate::Error;

/// Pictures that are looked at, evenly spread.
const PICTURES: usize = 256;

/// FNV-1a, 64 bits.
struct Hash(u64);

impl Hash {
    fn new() -> Hash {
        Hash(0xCBF2_9CE4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        // The length goes in too: borders count.
        for &byte in (bytes.len() as u64).to_le_bytes().iter().chain(bytes) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
    }

    fn text(&self) -> String {
        format!("{:016x}", self.0)
    }
}

/// Of a text.
pub(super) fn text(text: &str) -> String {
    let mut hash = Hash::new();
    hash.add(text.as_bytes());
    hash.text()
}

/// Of a network: its nodes' names, shapes and connections, and its parameters.
pub(super) fn network(graph: &Graph) -> String {
    let mut hash = Hash::new();
    for node in &graph.nodes {
        hash.add(node.name.as_bytes());
        let shape = [node.shape.h, node.shape.w, node.shape.c];
        for &number in shape.iter().chain(&node.inputs) {
            hash.add(&(number as u64).to_le_bytes());
        }
    }
    for param in &graph.params {
        hash.add(param.name.as_bytes());
        let bytes: Vec<u8> = param.data.iter().flat_map(|v| v.to_le_bytes()).collect();
        hash.add(&bytes);
    }
    hash.text()
}

/// Of a data set as a network of this input size sees it: all labels and some pictures.
///
/// # Errors
/// An unreadable picture.
pub(super) fn data(data: &Dataset, fit: &Fit) -> Result<String, Error> {
    let mut hash = Hash::new();
    let labels: Vec<u8> =
        (0..data.len()).flat_map(|i| (data.label(i) as u32).to_le_bytes()).collect();
    hash.add(&labels);
    let mut pixels = vec![0; fit.bytes()];
    for i in (0..data.len()).step_by(data.len().div_ceil(PICTURES).max(1)) {
        data.read(i, fit, &mut pixels)?;
        hash.add(&pixels);
    }
    Ok(format!("{} pictures, {}", data.len(), hash.text()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(pixel: u8, label: u32) -> Dataset {
        let mut pixels = vec![7; 8];
        pixels[5] = pixel;
        Dataset::from_memory(pixels, [2, 2, 1], vec![0, label], vec!["a".into(), "b".into()])
    }

    #[test]
    fn a_pixel_and_a_label_make_a_difference() {
        let fit = Fit::new(2, 2, 1);
        let print = |set: Dataset| data(&set, &fit).unwrap();
        assert_eq!(print(set(1, 1)), print(set(1, 1)));
        assert_ne!(print(set(1, 1)), print(set(2, 1)));
        assert_ne!(print(set(1, 1)), print(set(1, 0)));
    }
}
