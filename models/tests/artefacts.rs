//! The shipped data is what its README says.

use bitat_models::artefacts::fashion_mnist;
use flate2::read::GzDecoder;
use std::io::Read;
use std::path::Path;

/// Where Debian's package `dataset-fashion-mnist` puts the full set.
const FULL: &str = "/usr/share/datasets/fashion-mnist";

fn unpack(gzip: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    GzDecoder::new(gzip).read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn the_slice_is_small_and_whole() {
    let files = fashion_mnist();
    let size: usize = files.named().iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(size <= 4_000_000, "{size} bytes");
    for (images, labels, count, per_class) in [
        (
            files.train_images,
            files.train_labels,
            6000_u32,
            [560, 643, 608, 612, 584, 594, 590, 617, 590, 602],
        ),
        (
            files.test_images,
            files.test_labels,
            2000,
            [200, 203, 214, 190, 219, 195, 197, 200, 194, 188],
        ),
    ] {
        let (images, labels) = (unpack(images), unpack(labels));
        assert_eq!(images[..4], [0, 0, 8, 3]);
        assert_eq!(labels[..4], [0, 0, 8, 1]);
        assert_eq!(images[4..8], count.to_be_bytes());
        assert_eq!(labels[4..8], count.to_be_bytes());
        assert_eq!(images[8..16], [0, 0, 0, 28, 0, 0, 0, 28]);
        assert_eq!(images.len(), 16 + count as usize * 784);
        let mut found = [0; 10];
        for &label in &labels[8..] {
            found[usize::from(label)] += 1;
        }
        assert_eq!(found, per_class);
    }
}

#[test]
fn the_slice_is_the_beginning_of_the_full_set() {
    for (name, bytes) in fashion_mnist().named() {
        let path = Path::new(FULL).join(name);
        let Ok(full) = std::fs::File::open(&path) else {
            println!("NOT RUN (no {})", path.display());
            return;
        };
        let (full, slice) = (unpack(full), unpack(bytes));
        let header = if name.contains("images") { 16 } else { 8 };
        assert_eq!(slice[..4], full[..4], "{name}");
        assert_eq!(slice[8..header], full[8..header], "{name}");
        assert!(full[header..].starts_with(&slice[header..]), "{name}");
    }
}
