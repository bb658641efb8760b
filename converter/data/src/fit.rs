//! How a picture of any size becomes one of the network's size.

use crate::Error;
use std::str::FromStr;

/// The size a network wants and which part of a picture it is to see.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// 1 (luminance) or 3 (red, green, blue).
    pub channels: usize,
    /// Which part.
    pub crop: Crop,
}

impl Fit {
    /// The whole picture's centre: [`Crop::Centre`] with fraction 1.
    pub fn new(height: usize, width: usize, channels: usize) -> Fit {
        Fit { height, width, channels, crop: Crop::default() }
    }

    /// True if a picture of the right size passes unchanged.
    pub(crate) fn keeps_whole(&self) -> bool {
        !matches!(self.crop, Crop::Centre(fraction) if fraction < 1.0)
    }

    /// Bytes of one fitted picture.
    pub fn bytes(&self) -> usize {
        self.height * self.width * self.channels
    }
}

/// Which part of a picture is resized to the network's size.
///
/// A picture that already has the network's size is taken as it is, except by
/// a centre crop with a fraction below 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Crop {
    /// The largest centred rectangle of the network's aspect ratio, times a
    /// fraction in (0, 1]. `Centre(0.875)` is ImageNet's usual "resize to 256,
    /// crop 224" in one step.
    Centre(f32),
    /// Everything, each side scaled by itself.
    Stretch,
}

impl Default for Crop {
    fn default() -> Crop {
        Crop::Centre(1.0)
    }
}

impl FromStr for Crop {
    type Err = Error;

    /// `centre`, `centre:0.875` or `stretch`.
    fn from_str(text: &str) -> Result<Crop, Error> {
        let bad = || {
            Error::usage(
                format!("--fit {text}"),
                "unknown; one of centre, centre:FRACTION (above 0, at most 1), stretch",
            )
        };
        match text {
            "stretch" => Ok(Crop::Stretch),
            "centre" | "center" => Ok(Crop::Centre(1.0)),
            _ => {
                let (name, fraction) = text.split_once(':').ok_or_else(bad)?;
                let fraction: f32 = fraction.parse().map_err(|_| bad())?;
                let good = matches!(name, "centre" | "center") && fraction > 0.0 && fraction <= 1.0;
                if good { Ok(Crop::Centre(fraction)) } else { Err(bad()) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parsing() {
        assert_eq!("centre".parse::<Crop>().unwrap(), Crop::Centre(1.0));
        assert_eq!("center:0.875".parse::<Crop>().unwrap(), Crop::Centre(0.875));
        assert_eq!("stretch".parse::<Crop>().unwrap(), Crop::Stretch);
        for bad in ["", "crop", "centre:0", "centre:1.01", "centre:nan", "stretch:0.5", "centre:"] {
            let error = bad.parse::<Crop>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("--fit {bad}: unknown")), "{error}");
        }
    }
}
