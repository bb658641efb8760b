//! From pixels to what the network was trained on.

use crate::Error;

/// `x = (pixel − mean[c]) / std[c]`, on the 0–255 scale.
#[derive(Clone, Debug, PartialEq)]
pub struct Preprocess {
    /// Per channel, finite.
    pub mean: Vec<f32>,
    /// Per channel, finite, > 0.
    pub std: Vec<f32>,
}

/// The presets' names, for help texts.
const PRESETS: &str = "tf, torch, unit, raw";

impl Preprocess {
    /// `tf` (−1..1), `torch` (ImageNet mean and deviation, RGB only), `unit`
    /// (0..1) or `raw` (0..255).
    pub fn preset(name: &str, channels: usize) -> Result<Preprocess, Error> {
        let same = |mean, std| Preprocess { mean: vec![mean; channels], std: vec![std; channels] };
        match name {
            "tf" => Ok(same(127.5, 127.5)),
            "unit" => Ok(same(0.0, 255.0)),
            "raw" => Ok(same(0.0, 1.0)),
            "torch" if channels == 3 => Ok(Preprocess {
                mean: [0.485, 0.456, 0.406].map(|x: f32| x * 255.0).to_vec(),
                std: [0.229, 0.224, 0.225].map(|x: f32| x * 255.0).to_vec(),
            }),
            "torch" => Err(Error::usage(
                "--preprocess torch",
                format!("is for 3 channels, the network has {channels}; use --mean and --std"),
            )),
            _ => Err(Error::usage(
                format!("--preprocess {name}"),
                format!("unknown; one of {PRESETS}, or give --mean and --std"),
            )),
        }
    }

    /// What the three command-line options say together; `None` if none is
    /// given. `mean` and `std` are one number, or one per channel, separated
    /// by commas, and exclude a preset.
    pub fn from_options(
        preset: Option<&str>,
        mean: Option<&str>,
        std: Option<&str>,
        channels: usize,
    ) -> Result<Option<Preprocess>, Error> {
        match (preset, mean, std) {
            (None, None, None) => Ok(None),
            (Some(name), None, None) => Preprocess::preset(name, channels).map(Some),
            (None, Some(mean), Some(std)) => {
                let list = |option: &str, text: &str| numbers(option, text, channels);
                Preprocess::new(list("--mean", mean)?, list("--std", std)?).map(Some)
            }
            (None, Some(_), None) => Err(Error::usage("--mean", "needs --std beside it")),
            (None, None, Some(_)) => Err(Error::usage("--std", "needs --mean beside it")),
            (Some(_), ..) => Err(Error::usage(
                "--preprocess",
                "excludes --mean and --std; give one or the other",
            )),
        }
    }

    /// Checks that the numbers are finite, the deviations positive and the
    /// lengths equal.
    pub fn new(mean: Vec<f32>, std: Vec<f32>) -> Result<Preprocess, Error> {
        if mean.len() != std.len() || mean.is_empty() {
            let counts = format!("{} means and {} deviations", mean.len(), std.len());
            return Err(Error::usage("--mean, --std", format!("{counts}; give one per channel")));
        }
        if let Some(x) = mean.iter().find(|x| !x.is_finite()) {
            return Err(Error::usage("--mean", format!("{x} is not a finite number")));
        }
        if let Some(x) = std.iter().find(|x| !(x.is_finite() && **x > 0.0)) {
            return Err(Error::usage("--std", format!("{x} is not a positive number")));
        }
        Ok(Preprocess { mean, std })
    }

    /// Channels.
    pub fn channels(&self) -> usize {
        self.mean.len()
    }

    /// The pixel value nearest to the mean, per channel: what padding is.
    pub fn zero(&self) -> Vec<u8> {
        self.mean.iter().map(|m| m.round().clamp(0.0, 255.0) as u8).collect()
    }

    /// Converts pixels (channels last) to network input.
    ///
    /// # Panics
    /// If the lengths differ or are no multiple of the channels.
    pub fn apply(&self, pixels: &[u8], out: &mut [f32]) {
        self.table().apply(pixels, out);
    }

    /// The 256 possible results per channel: one division each, not one per pixel.
    pub(crate) fn table(&self) -> Table {
        let channel =
            |(mean, std): (&f32, &f32)| std::array::from_fn(|pixel| (pixel as f32 - mean) / std);
        Table(self.mean.iter().zip(&self.std).map(channel).collect())
    }
}

/// [`Preprocess`] as a look-up table.
pub(crate) struct Table(Vec<[f32; 256]>);

impl Table {
    pub(crate) fn apply(&self, pixels: &[u8], out: &mut [f32]) {
        let channels = self.0.len();
        assert_eq!(pixels.len(), out.len(), "pixels and values differ in number");
        assert_eq!(pixels.len() % channels, 0, "pixels are not whole");
        if let [table] = self.0.as_slice() {
            for (value, &pixel) in out.iter_mut().zip(pixels) {
                *value = table[usize::from(pixel)];
            }
            return;
        }
        for (value, pixel) in out.chunks_exact_mut(channels).zip(pixels.chunks_exact(channels)) {
            for ((value, &pixel), table) in value.iter_mut().zip(pixel).zip(&self.0) {
                *value = table[usize::from(pixel)];
            }
        }
    }
}

/// One number for all channels, or one each.
fn numbers(option: &str, text: &str, channels: usize) -> Result<Vec<f32>, Error> {
    let parse = |part: &str| {
        part.trim().parse::<f32>().map_err(|_| {
            Error::usage(format!("{option} {text}"), format!("'{}' is not a number", part.trim()))
        })
    };
    let list = text.split(',').map(parse).collect::<Result<Vec<f32>, Error>>()?;
    match list.len() {
        n if n == channels => Ok(list),
        1 => Ok(vec![list[0]; channels]),
        n => Err(Error::usage(
            format!("{option} {text}"),
            format!("{n} numbers for {channels} channels; give 1 or {channels}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets() {
        let value = |name: &str, pixel: u8| {
            let mut out = [0.0; 3];
            Preprocess::preset(name, 3).unwrap().apply(&[pixel; 3], &mut out);
            out
        };
        assert_eq!(value("tf", 0), [-1.0; 3]);
        assert_eq!(value("tf", 255), [1.0; 3]);
        assert_eq!(value("unit", 255), [1.0; 3]);
        assert_eq!(value("raw", 7), [7.0; 3]);
        let torch = value("torch", 0);
        for (x, want) in torch.iter().zip([-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225]) {
            assert!((x - want).abs() < 1e-6, "{torch:?}");
        }
        assert_eq!(Preprocess::preset("torch", 3).unwrap().zero(), [124, 116, 104]);
        assert_eq!(Preprocess::preset("tf", 1).unwrap().zero(), [128]);
    }

    #[test]
    fn options() {
        let parse = |p, m, s| Preprocess::from_options(p, m, s, 3);
        assert_eq!(parse(None, None, None).unwrap(), None);
        let custom = parse(None, Some("1, 2,3"), Some("4")).unwrap().unwrap();
        assert_eq!(custom, Preprocess { mean: vec![1.0, 2.0, 3.0], std: vec![4.0; 3] });
        assert_eq!(parse(Some("tf"), None, None).unwrap().unwrap().std, [127.5; 3]);
    }

    #[test]
    fn nonsense_is_refused_and_says_why() {
        let cases = [
            (Some("imagenet"), None, None, "--preprocess imagenet: unknown; one of tf, torch"),
            (Some("tf"), Some("1"), Some("1"), "--preprocess: excludes --mean and --std"),
            (None, Some("1"), None, "--mean: needs --std"),
            (None, None, Some("1"), "--std: needs --mean"),
            (None, Some("1,2"), Some("1"), "--mean 1,2: 2 numbers for 3 channels; give 1 or 3"),
            (None, Some("1"), Some("x"), "--std x: 'x' is not a number"),
            (None, Some("nan"), Some("1"), "--mean: NaN is not a finite number"),
            (None, Some("1"), Some("0"), "--std: 0 is not a positive number"),
            (None, Some("1"), Some("inf"), "--std: inf is not a positive number"),
        ];
        for (preset, mean, std, want) in cases {
            let error = Preprocess::from_options(preset, mean, std, 3).unwrap_err();
            assert!(matches!(error, Error::Usage { .. }));
            assert!(error.to_string().starts_with(want), "{error}");
        }
        let error = Preprocess::preset("torch", 1).unwrap_err().to_string();
        assert!(error.contains("the network has 1"), "{error}");
    }
}
