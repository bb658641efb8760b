//! The report page: what a conversion did, as one HTML file to look at.
//!
//! The file is complete in itself: styles, drawings and pictures stand in it,
//! there is no script and nothing is fetched. It follows the reader's light
//! or dark setting. A command fills in a [`Report`]; whatever it leaves empty
//! is left out of the page. All text is escaped: names come from data.

mod bars;
mod confusion;
mod curve;
mod html;
mod ladder;
mod page;
mod pictures;
#[cfg(test)]
mod tests;

use bitat_data::Image;
pub use ladder::Ladder;

/// What the page shows. Shares and percentages are stated per field.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The headline: network and data.
    pub title: String,
    /// One sentence below it. May be empty.
    pub summary: String,
    /// The float network first, then the packed ones; the first packed one is
    /// what the headline figures are about.
    pub networks: Vec<Network>,
    /// How many test pictures the accuracies were measured on.
    pub test_images: u64,
    /// Bytes of working memory the packed network needs.
    pub arena_bytes: u64,
    /// Time per picture, one entry per instruction set measured. The fastest
    /// makes the headline.
    pub latencies: Vec<Latency>,
    /// The packed file, layer by layer, in execution order.
    pub layers: Vec<Layer>,
    /// Bytes of the packed file that belong to no layer (header, class names).
    pub other_bytes: u64,
    /// Signs of the binary layers, drawn one pixel a weight.
    pub weights: Vec<Weights>,
    /// The training, in order.
    pub curve: Vec<Point>,
    /// Class names in label order.
    pub classes: Vec<String>,
    /// `confusion[truth][prediction]`: counts; square, one row per class.
    pub confusion: Vec<Vec<u64>>,
    /// Some test pictures.
    pub pictures: Vec<Picture>,
    /// The command line that makes this again.
    pub command: String,
    /// Names and values for the foot of the page: versions, processor, seed, date.
    pub facts: Vec<(String, String)>,
}

/// One network as a file.
#[derive(Clone, Debug)]
pub struct Network {
    /// For people: "float", "1-bit", "1-bit, as shipped".
    pub name: String,
    /// Whether it is a packed file.
    pub packed: bool,
    /// Test pictures right, percent.
    pub top1: f64,
    /// Bytes of its file.
    pub file_bytes: u64,
}

/// Time per picture on one instruction set.
#[derive(Clone, Debug)]
pub struct Latency {
    /// As the kernels name it.
    pub isa: String,
    /// Threads used.
    pub threads: usize,
    /// Median, microseconds.
    pub median_us: f64,
    /// Fastest, microseconds.
    pub min_us: f64,
}

/// Where the bytes of one layer went.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    /// Its name.
    pub name: String,
    /// What it is, for people: "conv 3x3, 8 bits".
    pub operation: String,
    /// Bytes of 1-bit weights.
    pub binary_bytes: u64,
    /// Bytes of 8-bit weights.
    pub int8_bytes: u64,
    /// Bytes of multipliers, biases, slopes and thresholds.
    pub scale_bytes: u64,
    /// Bytes of everything else: record, name, alignment.
    pub other_bytes: u64,
    /// Multiply-accumulates for one picture.
    pub mac: u64,
}

/// The signs of one binary layer.
#[derive(Clone, Debug)]
pub struct Weights {
    /// The layer's name.
    pub name: String,
    /// Output channels: the rows of the drawing.
    pub outputs: usize,
    /// One per weight, row by row; negative is drawn, the rest is left blank.
    pub signs: Vec<i8>,
}

/// A moment of the training.
#[derive(Clone, Debug, Default)]
pub struct Point {
    /// Epochs done, fractions allowed.
    pub epoch: f64,
    /// Mean training loss since the point before.
    pub loss: Option<f64>,
    /// Accuracy then, percent.
    pub accuracy: Option<f64>,
    /// The stage this point belongs to; a change of name draws a border. May be empty.
    pub stage: String,
}

/// A picture and what the packed network says of it.
#[derive(Clone, Debug)]
pub struct Picture {
    /// As the network sees it.
    pub image: Image,
    /// Its class, if known.
    pub truth: Option<usize>,
    /// The best classes, best first, with their share (softmax) from 0 to 1.
    pub top: Vec<(usize, f64)>,
}

impl Report {
    /// The whole page.
    pub fn html(&self) -> String {
        page::render(self)
    }

    /// The name of class `i`, or its number.
    fn class(&self, i: usize) -> String {
        self.classes.get(i).cloned().unwrap_or_else(|| i.to_string())
    }
}
