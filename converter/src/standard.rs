//! Networks of standard shape with random weights, packed: what is timed where
//! there is no trained model yet. They classify nothing.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use bitat_engine::{Mode, Net, PlainSte, Purpose};
use bitat_format::FileBuffer;
use bitat_format::model::{Model, Operation, Padding};
use bitat_graph::{Graph, Shape};
use bitat_models::{MobileNet, OneBit, mobilenet_v1, mobilenet_v2};

use crate::Error;
use crate::lower::{Facts, Lowered, lower};
use crate::packed::Packed;
use crate::qat::calibrate::{self, Images};
use crate::qat::rewrite::{self, Depthwise, INPUT_SCALE, rewrite};

/// Classes of ImageNet, for which the published networks were made.
const CLASSES: usize = 1000;

/// Noise images that set the binary points.
const IMAGES: usize = 2;

/// The middle of the pixels and their usual deviation, on the 0–255 scale.
const MEAN: f32 = 127.5;
const STD: f32 = 64.0;

/// Pixels a side of the images for which the published 1-bit networks were made.
const SIDE: usize = 224;

/// A square RGB image, 1,000 classes: `mobilenet-v1-WIDTH-SIDE` or
/// `mobilenet-v2-WIDTH-SIDE`, or a published 1-bit network by its name, whose image
/// has 224 pixels a side.
#[derive(Clone, Debug, PartialEq)]
pub struct Standard {
    network: Kind,
    side: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    MobileNet { version: u8, width: f32 },
    OneBit(OneBit),
}

impl fmt::Display for Standard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.network {
            Kind::MobileNet { version, width } => {
                write!(f, "mobilenet-v{version}-{width:?}-{}", self.side)
            }
            Kind::OneBit(network) => f.write_str(network.name()),
        }
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
        )?;
        OneBit::ALL.iter().try_for_each(|network| write!(f, ", {}", network.name()))
    }
}

impl std::error::Error for UnknownStandard {}

impl FromStr for Standard {
    type Err = UnknownStandard;

    fn from_str(name: &str) -> Result<Standard, UnknownStandard> {
        if let Some(&network) = OneBit::ALL.iter().find(|network| network.name() == name) {
            return Ok(Standard { network: Kind::OneBit(network), side: SIDE });
        }
        let (version, rest) = if let Some(rest) = name.strip_prefix("mobilenet-v1-") {
            (1, rest)
        } else if let Some(rest) = name.strip_prefix("mobilenet-v2-") {
            (2, rest)
        } else {
            return Err(UnknownStandard);
        };
        let (width, side) = rest.split_once('-').ok_or(UnknownStandard)?;
        let width = width.parse().map_err(|_| UnknownStandard)?;
        let side = side.parse().map_err(|_| UnknownStandard)?;
        Ok(Standard { network: Kind::MobileNet { version, width }, side })
    }
}

impl Standard {
    /// The packed network. The same bytes every time on one machine; binary
    /// points come from floating-point sums over noise images, and batch norms
    /// from the same, so that no layer saturates or dies.
    ///
    /// `depthwise`: bits of a MobileNet's depthwise layers, 8 if not said.
    ///
    /// # Errors
    /// A width or side of which no network can be made, or one too large for
    /// the file format; `depthwise` for a network that says itself what is 1-bit.
    pub fn packed(&self, depthwise: Option<Depthwise>) -> Result<Packed, Error> {
        let (packed, _) = self.lowered(depthwise)?;
        Ok(packed)
    }

    /// The same, and what it was packed from.
    fn lowered(&self, depthwise: Option<Depthwise>) -> Result<(Packed, Lowered), Error> {
        let (mean, std) = ([MEAN; 3], [STD; 3]);
        let zero = [MEAN.round() as u8; 3];
        let mut graph = match self.network {
            Kind::MobileNet { version, width } => {
                let float = self.mobilenet(version, width)?;
                let depthwise = depthwise.unwrap_or(Depthwise::Int8);
                let options = rewrite::Options { depthwise, keep: Vec::new() };
                rewrite(&float, &mean, &std, &options)?.graph
            }
            Kind::OneBit(_) if depthwise.is_some() => {
                return Err(Error::usage(format!(
                    "--depthwise is for MobileNets; {self} has its own 1-bit layers: leave it out"
                )));
            }
            Kind::OneBit(network) => network
                .graph(self.side, CLASSES)
                .map_err(|e| Error::usage(format!("{self}: {e}")))?,
        };
        let method = PlainSte::default();

        let pixels: Vec<f32> = (0..IMAGES * graph.nodes[0].shape.len())
            .map(|i| (f32::from(noise(i)) - f32::from(zero[i % 3])) / INPUT_SCALE)
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
            zero: &zero,
            mean: &mean,
            std: &std,
            input_scale: INPUT_SCALE,
            ranges: &ranges,
        };
        let mut lowered = lower(&graph, &method, &facts)?;
        if let Kind::OneBit(network) = self.network
            && network.one_outside()
        {
            read_one_outside(&mut lowered.model);
        }
        let bytes = bitat_format::write(&lowered.model)
            .map_err(|e| Error::model(format!("{self} does not fit the file format: {e}")))?;
        let packed = Packed::new(FileBuffer::new(&bytes), Path::new(&self.to_string()))?;
        Ok((packed, lowered))
    }

    fn mobilenet(&self, version: u8, width: f32) -> Result<Graph, Error> {
        let input = Shape { h: self.side, w: self.side, c: 3 };
        let definition = MobileNet::new(width, input, CLASSES);
        match version {
            1 => mobilenet_v1(&definition),
            _ => mobilenet_v2(&definition),
        }
        .map_err(|e| Error::usage(format!("{self}: {e}")))
    }
}

/// Has every 1-bit convolution read +1 outside the picture.
fn read_one_outside(model: &mut Model) {
    for layer in &mut model.layers {
        if let Operation::BinaryConv { padding, .. } = &mut layer.operation {
            *padding = Padding::One;
        }
    }
}

/// A pixel: bits of a multiplicative hash.
fn noise(i: usize) -> u8 {
    ((i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prove::against_oracle;
    use bitat_reference::Values;

    #[test]
    fn names_read_back() {
        let mut names = vec!["mobilenet-v1-1.0-224", "mobilenet-v2-0.35-96"];
        names.extend(OneBit::ALL.map(OneBit::name));
        for name in names {
            assert_eq!(name.parse::<Standard>().unwrap().to_string(), name);
        }
        for name in ["", "mobilenet-v1", "mobilenet-v1-1.0", "mobilenet-v3-1.0-224", "quicknet-"] {
            assert_eq!(name.parse::<Standard>(), Err(UnknownStandard), "{name}");
        }
        let known = UnknownStandard.to_string();
        assert!(OneBit::ALL.iter().all(|network| known.contains(network.name())), "{known}");
    }

    #[test]
    fn every_mobilenet_packs_and_scores() {
        for name in ["mobilenet-v1-0.25-32", "mobilenet-v2-0.25-32"] {
            for depthwise in Depthwise::ALL {
                let packed = name.parse::<Standard>().unwrap().packed(Some(depthwise)).unwrap();
                let mut runner = packed.runner(crate::packed::kernels().unwrap()).unwrap();
                let image: Vec<u8> = (0..packed.fit().bytes()).map(noise).collect();
                let scores = runner.run(&image).unwrap();
                assert_eq!(scores.len(), CLASSES);
                assert!(scores.iter().any(|s| *s != scores[0]), "{name} says nothing");
            }
        }
    }

    /// On every instruction set, tensor by tensor; and no tensor is such that
    /// anything would do: streams at their limits, bits all alike.
    #[test]
    fn published_networks_give_the_oracles_integers() {
        // QuickNetLarge has more of QuickNet's layers and no others.
        for network in OneBit::ALL.into_iter().filter(|n| *n != OneBit::QuickNetLarge) {
            let standard = Standard { network: Kind::OneBit(network), side: 64 };
            let (packed, lowered) = standard.lowered(None).unwrap();
            // One of those that set the binary points: at this size the last layers have
            // too few pixels for others to be alike.
            let image: Vec<u8> = (0..packed.fit().bytes()).map(noise).collect();
            let trace = bitat_reference::run(&lowered.model, &image).unwrap();
            for kernels in crate::packed::available() {
                for mut runner in
                    [packed.runner(kernels), packed.runner_by_rows(kernels)].map(Result::unwrap)
                {
                    against_oracle(&mut runner, &lowered, &trace, &image).unwrap();
                }
            }
            for tensor in 1..lowered.model.tensors.len() {
                let (least, found, most) = match trace.tensor(tensor as u16).unwrap() {
                    Values::Stream(values) => {
                        let at_limit = values.iter().filter(|v| v.unsigned_abs() >= 32_767).count();
                        (0, at_limit * 100 / values.len(), 1)
                    }
                    Values::Bits(signs) => {
                        let negative = signs.iter().filter(|s| **s < 0).count();
                        (5, negative * 100 / signs.len(), 95)
                    }
                    Values::Scores(scores) => {
                        (50, scores.iter().filter(|s| **s != scores[0]).count() / 10, 100)
                    }
                    Values::Image(_) => unreachable!("only tensor 0 is one"),
                };
                let percent = (least..=most).contains(&found);
                assert!(percent, "{standard}: {found} % in tensor {tensor}");
            }
        }
    }

    #[test]
    fn what_cannot_be_is_the_callers_fault() {
        let eight = Some(Depthwise::Int8);
        for (name, depthwise) in [
            ("mobilenet-v1-0-224", None),
            ("mobilenet-v1-1.0-0", eight),
            ("mobilenet-v2-9-224", eight),
            ("quicknet", eight),
        ] {
            let error = name.parse::<Standard>().unwrap().packed(depthwise).err().unwrap();
            assert_eq!(error.fault, crate::error::Fault::Usage, "{name}: {error}");
        }
    }
}
