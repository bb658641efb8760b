//! What tells one training run from another beside its recipe, so that no
//! checkpoint is resumed with other inputs than it was made with.

use bitat_data::{Dataset, Preprocess, hash};
use bitat_graph::Graph;

/// Names and hashes of the network before training, its preprocessing and its
/// training images (their number, classes and labels; not their pixels).
pub(super) fn identity(
    graph: &Graph,
    preprocess: &Preprocess,
    train: &Dataset,
) -> Vec<(&'static str, u64)> {
    let mut network = Vec::new();
    for param in &graph.params {
        network.extend(param.name.as_bytes());
        network.extend(param.data.iter().flat_map(|v| v.to_bits().to_le_bytes()));
    }
    let pixels: Vec<u8> =
        preprocess.mean.iter().chain(&preprocess.std).flat_map(|v| v.to_le_bytes()).collect();
    let mut images = train.classes().join("\n").into_bytes();
    images.extend((0..train.len()).flat_map(|i| (train.label(i) as u32).to_le_bytes()));
    vec![
        ("network", hash(&network)),
        ("preprocessing", hash(&pixels)),
        ("set of training images", hash(&images)),
    ]
}
