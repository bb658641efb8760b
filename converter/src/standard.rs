//! Networks of standard shape with random weights, packed: what is timed where
//! there is no trained model yet. They classify nothing.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use bitat_engine::{Mode, Net, PlainSte, Purpose};
use bitat_format::FileBuffer;
use bitat_graph::Shape;
use bitat_models::{MobileNet, mobilenet_v1, mobilenet_v2};

use crate::Error;
use crate::lower::{Facts, lower};
use crate::packed::Packed;
use crate::qat::calibrate::{self, Images};
use crate::qat::rewrite::{self, INPUT_SCALE, rewrite};

/// Classes of ImageNet, for which the published networks were made.
const CLASSES: usize = 1000;

/// Noise images that set the binary points.
const IMAGES: usize = 2;

/// The middle of the pixels and their usual deviation, on the 0–255 scale.
const MEAN: f32 = 127.5;
const STD: f32 = 64.0;

/// `mobilenet-v1-WIDTH-SIDE` or `mobilenet-v2-WIDTH-SIDE`: a square RGB image
/// of SIDE pixels, 1,000 classes.
#[derive(Clone, Debug, PartialEq)]
pub struct Standard {
    version: Version,
    width: f32,
    side: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

impl fmt::Display for Standard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = match self.version {
            Version::V1 => 1,
            Version::V2 => 2,
        };
        write!(f, "mobilenet-v{version}-{:?}-{}", self.width, self.side)
    }
}

/// The text names no [`Standard`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownStandard;

impl fmt::Display for UnknownStandard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "no standard network; known are mobilenet-v1-WIDTH-SIDE and mobilenet-v2-WIDTH-SIDE, \
             such as mobilenet-v1-1.0-224",
        )
    }
}

impl std::error::Error for UnknownStandard {}

impl FromStr for Standard {
    type Err = UnknownStandard;

    fn from_str(name: &str) -> Result<Standard, UnknownStandard> {
        let (version, rest) = if let Some(rest) = name.strip_prefix("mobilenet-v1-") {
            (Version::V1, rest)
        } else if let Some(rest) = name.strip_prefix("mobilenet-v2-") {
            (Version::V2, rest)
        } else {
            return Err(UnknownStandard);
        };
        let (width, side) = rest.split_once('-').ok_or(UnknownStandard)?;
        let width = width.parse().map_err(|_| UnknownStandard)?;
        let side = side.parse().map_err(|_| UnknownStandard)?;
        Ok(Standard { version, width, side })
    }
}

impl Standard {
    /// The packed network. The same bytes every time on one machine; binary
    /// points come from floating-point sums over noise images, and batch norms
    /// from the same, so that no layer saturates or dies.
    ///
    /// # Errors
    /// A width or side of which no network can be made, or one too large for
    /// the file format.
    pub fn packed(&self, options: &rewrite::Options) -> Result<Packed, Error> {
        let input = Shape { h: self.side, w: self.side, c: 3 };
        let definition = MobileNet::new(self.width, input, CLASSES);
        let float = match self.version {
            Version::V1 => mobilenet_v1(&definition),
            Version::V2 => mobilenet_v2(&definition),
        }
        .map_err(|e| Error::usage(format!("{self}: {e}")))?;
        let (mean, std) = ([MEAN; 3], [STD; 3]);
        let rewritten = rewrite(&float, &mean, &std, options)?;
        let mut graph = rewritten.graph;
        let method = PlainSte::default();

        let pixels: Vec<f32> = (0..IMAGES * input.h * input.w * input.c)
            .map(|i| (f32::from(noise(i)) - f32::from(rewritten.zero[i % 3])) / INPUT_SCALE)
            .collect();
        let images = Images { pixels: &pixels, count: IMAGES };
        calibrate::narrow_points(&mut graph, &method, &images, Mode::Train { momentum: 0.0 })?;
        let mut net = Net::new(&graph, IMAGES, Purpose::Eval, &[])?;
        net.begin_reestimate();
        net.forward(&mut graph, &method, &pixels, IMAGES, Mode::Reestimate);
        net.finish_reestimate(&mut graph);
        let ranges = calibrate::ranges(&mut graph, &method, &images, Mode::Eval)?;

        let facts = Facts {
            name: &self.to_string(),
            classes: &[],
            zero: &rewritten.zero,
            mean: &mean,
            std: &std,
            input_scale: INPUT_SCALE,
            ranges: &ranges,
        };
        let lowered = lower(&graph, &method, &facts)?;
        let bytes = bitat_format::write(&lowered.model)
            .map_err(|e| Error::model(format!("{self} does not fit the file format: {e}")))?;
        Packed::new(FileBuffer::new(&bytes), Path::new(&self.to_string()))
    }
}

/// A pixel: bits of a multiplicative hash.
fn noise(i: usize) -> u8 {
    ((i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qat::rewrite::Depthwise;

    #[test]
    fn names_read_back() {
        for name in ["mobilenet-v1-1.0-224", "mobilenet-v2-0.35-96"] {
            assert_eq!(name.parse::<Standard>().unwrap().to_string(), name);
        }
        for name in ["", "mobilenet-v1", "mobilenet-v1-1.0", "mobilenet-v3-1.0-224", "x-1.0-224"] {
            assert_eq!(name.parse::<Standard>(), Err(UnknownStandard), "{name}");
        }
    }

    #[test]
    fn every_kind_packs_and_scores() {
        for name in ["mobilenet-v1-0.25-32", "mobilenet-v2-0.25-32"] {
            for depthwise in Depthwise::ALL {
                let options = rewrite::Options { depthwise, keep: Vec::new() };
                let packed = name.parse::<Standard>().unwrap().packed(&options).unwrap();
                let mut runner = packed.runner(crate::packed::kernels().unwrap()).unwrap();
                let image: Vec<u8> = (0..packed.fit().bytes()).map(noise).collect();
                let scores = runner.run(&image).unwrap();
                assert_eq!(scores.len(), CLASSES);
                assert!(scores.iter().any(|s| *s != scores[0]), "{name} says nothing");
            }
        }
    }

    #[test]
    fn an_impossible_size_is_the_callers_fault() {
        let options = rewrite::Options { depthwise: Depthwise::Int8, keep: Vec::new() };
        for name in ["mobilenet-v1-0-224", "mobilenet-v1-1.0-0", "mobilenet-v2-9-224"] {
            let error = name.parse::<Standard>().unwrap().packed(&options).err().unwrap();
            assert_eq!(error.fault, crate::error::Fault::Usage, "{name}: {error}");
        }
    }
}
