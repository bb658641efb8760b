//! Executed instructions of a layer, estimated.
//!
//! A kind of layer has a few counts that its kernel's loops go round by, and each
//! count has a price in instructions. Prices are fitted, target by target, to what
//! the layers of two networks were measured to execute (`layers.tsv`): least squares
//! of the relative errors, so that a small layer weighs as much as a large one.
//!
//! | kind | counts |
//! | --- | --- |
//! | first layer | multiply-accumulates; outputs |
//! | depthwise, 8-bit | outputs; outputs kept as a stream; outputs whose shortcut is a mean of pixels; those of them whose last pixels are not there, which vector kernels take in another way; inputs, which are narrowed to 8 bits; channels; pixels written |
//! | convolution, 1-bit | words of 32 channels multiplied; outputs; outputs whose shortcut is a mean of pixels; channels; pixels written |
//! | mean over the picture | inputs; channels |
//! | classifier, 8-bit | multiply-accumulates; inputs |
//!
//! Prices are what fits, not what an instruction of the loop costs: counts go together in
//! these networks, so that one price may be too low for another's being too high.
//!
//! Of the first layer, the mean and the classifier there are as many measurements as
//! counts, and of means of pixels that are not all there one: their prices meet them
//! exactly and tell nothing of their error.
//!
//! On a network that nothing was fitted to, the shipped one for CIFAR-100, the sum was,
//! with one count fewer, 2.8 % too high on the Cortex-M4F and 3.0 % on RISC-V, a layer
//! 6.0 % and 4.5 % off on average, and at most 20 % (the first).

use bitat_format::{EpilogueView, Kind, LayerView, OperationView, View};
use nalgebra::{DMatrix, DVector};

use crate::packed::summary::LayerSummary;

/// Singular values below this share of the largest count as none.
const RANK: f64 = 1e-9;

/// Layers whose counts have the same prices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    First,
    Depthwise,
    Binary,
    Mean,
    Classifier,
}

impl Family {
    pub(super) const ALL: [Family; 5] =
        [Family::First, Family::Depthwise, Family::Binary, Family::Mean, Family::Classifier];
}

/// What the loops of a layer go round by.
pub(super) struct Counts {
    family: Family,
    counts: Vec<f64>,
}

impl Counts {
    /// The counts of a layer, `None` for one of a kind that was not measured.
    pub(super) fn new(view: &View, layer: &LayerView, summary: &LayerSummary) -> Option<Counts> {
        let [height, width, channels] = summary.output;
        let pixels = height * width;
        let outputs = summary.output.iter().product::<usize>();
        let inputs = summary.input.iter().product::<usize>();
        let mac = summary.mac as usize;
        // Outputs that are kept as a stream, those whose shortcut is pooled, and those for
        // which that reaches past the input.
        let (kept, pooled, cut) = match layer.operation.epilogue() {
            Some(EpilogueView::Stream { stream, shortcut, .. }) => {
                let pool = shortcut.map_or(1, |from| usize::from(from.pool));
                let [input_height, input_width, _] = summary.input;
                let past = height * pool > input_height || width * pool > input_width;
                let outputs_if = |condition| if condition { outputs } else { 0 };
                (outputs_if(stream.is_some()), outputs_if(pool > 1), outputs_if(pool > 1 && past))
            }
            _ => (0, 0, 0),
        };
        let (family, counts) = match layer.operation {
            OperationView::Int8Conv { .. } if view.tensor(layer.input).kind == Kind::Image => {
                (Family::First, vec![mac, outputs])
            }
            OperationView::Int8Conv { epilogue: EpilogueView::Scores { .. }, .. } => {
                (Family::Classifier, vec![mac, inputs])
            }
            OperationView::Int8Depthwise { .. } => {
                (Family::Depthwise, vec![outputs, kept, pooled, cut, inputs, channels, pixels])
            }
            OperationView::BinaryConv { window, groups, .. } => {
                let words = summary.input[2].div_ceil(usize::from(groups)).div_ceil(32);
                let words = outputs * window.taps() * words;
                (Family::Binary, vec![words, outputs, pooled, channels, pixels])
            }
            OperationView::GlobalAveragePool { .. } => (Family::Mean, vec![inputs, channels]),
            _ => return None,
        };
        Some(Counts { family, counts: counts.into_iter().map(|n| n as f64).collect() })
    }
}

/// What the counts of each family cost on one target, in instructions.
pub(super) struct Prices(Vec<(Family, DVector<f64>)>);

impl Prices {
    /// Fits prices to layers and the instructions that they executed.
    pub(super) fn fit(layers: &[(Counts, f64)]) -> Prices {
        let fit = |family| {
            let of: Vec<_> = layers.iter().filter(|(c, _)| c.family == family).collect();
            let columns = of.first().map_or(0, |(c, _)| c.counts.len());
            let rows = DMatrix::from_fn(of.len(), columns, |i, j| of[i].0.counts[j] / of[i].1);
            let ones = DVector::from_element(of.len(), 1.0);
            let svd = rows.svd(true, true);
            let least = RANK * svd.singular_values.max();
            let prices = svd.solve(&ones, least).expect("both factors were asked for");
            (family, prices)
        };
        Prices(Family::ALL.into_iter().map(fit).collect())
    }

    /// Instructions of a layer.
    pub(super) fn of(&self, layer: &Counts) -> f64 {
        let prices = self.0.iter().find(|(family, _)| *family == layer.family);
        let (_, prices) = prices.expect("every family was fitted");
        prices.iter().zip(&layer.counts).map(|(price, count)| price * count).sum::<f64>().max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_that_made_the_instructions_are_found() {
        let layer = |family, counts: &[usize]| Counts {
            family,
            counts: counts.iter().map(|n| *n as f64).collect(),
        };
        let mut layers = Vec::new();
        for family in Family::ALL {
            for i in 1..=6 {
                let counts = layer(family, &[i, i * i]);
                layers.push((counts, (3 * i + 7 * i * i) as f64));
            }
        }
        let prices = Prices::fit(&layers);
        for (counts, instructions) in &layers {
            assert!((prices.of(counts) / instructions - 1.0).abs() < 1e-9);
        }
        let other = layer(Family::Mean, &[10, 20]);
        assert!((prices.of(&other) - 170.0).abs() < 1e-6);
    }
}
