//! Bytes that a layer moves.
//!
//! The rule: each tensor and each array of the file counts once, as many bytes
//! as it takes in memory, whatever the kernel does with it. That is the least a
//! layer can move: rows that a window reads again, weights that each thread
//! reads, and scratch are not in it.

use bitat_format::{Kind, LayerView, View};

use super::summary::LayerSummary;

/// Bytes by what they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// The image, read: one byte per pixel and channel.
    pub image: u64,
    /// Streams read, the shortcut's included: two bytes per element.
    pub stream_read: u64,
    /// Bits read: whole 8-byte words per pixel.
    pub bits_read: u64,
    /// Weights, multipliers, biases, slopes and thresholds, read.
    pub weights: u64,
    /// Streams written.
    pub stream_written: u64,
    /// Bits written.
    pub bits_written: u64,
    /// Scores written: four bytes per class.
    pub scores: u64,
}

impl Traffic {
    /// All of them.
    pub fn total(&self) -> u64 {
        let read = self.image + self.stream_read + self.bits_read + self.weights;
        read + self.stream_written + self.bits_written + self.scores
    }
}

/// What the layers of `view` move; `summaries` are theirs.
pub fn traffic(view: &View, summaries: &[LayerSummary]) -> Vec<Traffic> {
    view.layers().zip(summaries).map(|(layer, summary)| of(view, &layer, summary)).collect()
}

fn of(view: &View, layer: &LayerView, summary: &LayerSummary) -> Traffic {
    let mut moved =
        Traffic { weights: summary.weight_bytes + summary.epilogue_bytes, ..Traffic::default() };
    // A shortcut that starts from the input is the same tensor.
    let shortcut = layer.reads().nth(1).filter(|&from| from != layer.input);
    for id in [layer.input].into_iter().chain(shortcut) {
        let tensor = view.tensor(id);
        let bytes = tensor.bytes() as u64;
        match tensor.kind {
            Kind::Image => moved.image += bytes,
            Kind::Stream => moved.stream_read += bytes,
            Kind::Bits => moved.bits_read += bytes,
            Kind::Scores => unreachable!("no layer reads scores"),
        }
    }
    for id in layer.writes() {
        let tensor = view.tensor(id);
        let bytes = tensor.bytes() as u64;
        match tensor.kind {
            Kind::Stream => moved.stream_written += bytes,
            Kind::Bits => moved.bits_written += bytes,
            Kind::Scores => moved.scores += bytes,
            Kind::Image => unreachable!("no layer writes the image"),
        }
    }
    moved
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use bitat_format::FileBuffer;

    use super::*;
    use crate::packed::Packed;
    use crate::packed::summary::layers;

    /// The shipped network, whose layers can be worked out by hand.
    #[test]
    fn each_tensor_and_array_counts_once() {
        let file = FileBuffer::new(bitat_models::artefacts::fashion_mnist_packed());
        let packed = Packed::new(file, Path::new("shipped")).unwrap();
        let summaries = layers(&packed.view());
        let moved = traffic(&packed.view(), &summaries);
        let find = |name: &str| {
            let at = summaries.iter().position(|layer| layer.name == name);
            moved[at.unwrap_or_else(|| panic!("no {name}"))]
        };
        let none = Traffic::default();
        let stem = Traffic { image: 28 * 28, weights: 96 + 80, stream_written: 12_544, ..none };
        assert_eq!(find("stem"), stem);
        // The shortcut is the input, and the 8 bits of a pixel take 8 bytes.
        let depthwise = Traffic {
            stream_read: 12_544,
            weights: 72 + 96,
            stream_written: 12_544,
            bits_written: 28 * 28 * 8,
            ..none
        };
        assert_eq!(find("block1.depthwise"), depthwise);
        let pointwise = Traffic {
            stream_read: 12_544,
            bits_read: 28 * 28 * 8,
            weights: 16 + 160,
            stream_written: 25_088,
            ..none
        };
        assert_eq!(find("block1.pointwise"), pointwise);
        assert_eq!(pointwise.total(), 12_544 + 6_272 + 176 + 25_088);
        let classifier = find("classifier");
        assert_eq!((classifier.stream_read, classifier.scores), (2 * 256, 4 * 10));
        let weights: u64 = moved.iter().map(|layer| layer.weights).sum();
        let frame = crate::packed::summary::frame_bytes(&packed.view(), &summaries);
        assert_eq!(weights + frame, packed.view().file_bytes() as u64);
    }
}
