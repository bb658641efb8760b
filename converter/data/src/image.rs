//! Picture files: JPEG and PNG, told apart by their first bytes.

use crate::fit::Fit;
use crate::orientation::{orientation, upright};
use crate::resize::fit_image;
use crate::{Error, limits, read};
use std::io::Cursor;
use std::path::Path;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// A picture in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// 1 (grey) or 3 (red, green, blue).
    pub channels: usize,
    /// Row-major, channels last; `height · width · channels` bytes.
    pub pixels: Vec<u8>,
}

impl Image {
    /// Cropped, resized and converted to what `fit` asks for.
    pub fn fitted(&self, fit: &Fit) -> Vec<u8> {
        let mut out = vec![0; fit.bytes()];
        fit_image(self, fit, &mut out);
        out
    }
}

/// Reads a JPEG or PNG and fits it: `fit.bytes()` bytes, channels last.
pub fn read_image(path: &Path, fit: &Fit) -> Result<Vec<u8>, Error> {
    Ok(decode_image(path)?.fitted(fit))
}

/// Reads a JPEG or PNG at its own size. 16-bit samples keep their high byte,
/// palettes are looked up, transparency is dropped (as PyTorch's and
/// TensorFlow's loaders do), colour stays sRGB. A JPEG that a camera marked as
/// turned is turned upright, as viewers show it.
pub fn decode_image(path: &Path) -> Result<Image, Error> {
    let bytes = read::at_most(path, limits::PICTURE_BYTES)?.ok_or_else(|| {
        Error::data(path, format!("more than {} MiB", limits::PICTURE_BYTES >> 20), SMALLER)
    })?;
    let decoded = match bytes.as_slice() {
        [0xFF, 0xD8, 0xFF, ..] => jpeg(&bytes),
        [0x89, b'P', b'N', b'G', ..] => png(&bytes),
        [] => Err(Refusal::Broken("empty file".into())),
        _ => Err(Refusal::Foreign),
    };
    decoded.map_err(|refusal| match refusal {
        Refusal::Broken(reason) => {
            // Decoders end some of their messages with a line break.
            let reason = reason.trim();
            Error::data(path, format!("unreadable picture ({reason})"), "replace or remove it")
        }
        Refusal::Foreign => {
            Error::data(path, "neither JPEG nor PNG", "convert it to one of them, or remove it")
        }
        Refusal::Large(height, width) => Error::data(
            path,
            format!(
                "{width} by {height} pixels; the limit is {} a side and {} million in all",
                limits::PICTURE_SIDE,
                limits::PICTURE_PIXELS / 1_000_000
            ),
            SMALLER,
        ),
    })
}

const SMALLER: &str = "scale it down";

enum Refusal {
    Broken(String),
    Foreign,
    Large(usize, usize),
}

/// Checked from the header, before anything is allocated for the pixels.
fn bounded(height: usize, width: usize) -> Result<(), Refusal> {
    let side = limits::PICTURE_SIDE;
    if height == 0 || width == 0 {
        return Err(Refusal::Broken("no pixels".into()));
    }
    if height > side || width > side || height * width > limits::PICTURE_PIXELS {
        return Err(Refusal::Large(height, width));
    }
    Ok(())
}

fn jpeg(bytes: &[u8]) -> Result<Image, Refusal> {
    // The side limit is ours (`bounded`), so the decoder's must not come first.
    let options = DecoderOptions::default()
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .set_strict_mode(true)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let broken = |e: zune_jpeg::errors::DecodeErrors| Refusal::Broken(e.to_string());
    let mut decoder = zune_jpeg::JpegDecoder::new_with_options(Cursor::new(bytes), options);
    decoder.decode_headers().map_err(broken)?;
    let (width, height) =
        decoder.dimensions().ok_or_else(|| Refusal::Broken("no frame header".into()))?;
    bounded(height, width)?;
    let grey = decoder.input_colorspace() == Some(ColorSpace::Luma);
    if grey {
        decoder.set_options(options.jpeg_set_out_colorspace(ColorSpace::Luma));
    }
    let channels = if grey { 1 } else { 3 };
    let pixels = decoder.decode().map_err(broken)?;
    let turn = decoder.exif().map_or(1, |exif| orientation(exif));
    Ok(upright(whole(height, width, channels, pixels)?, turn))
}

fn png(bytes: &[u8]) -> Result<Image, Refusal> {
    let broken = |e: png::DecodingError| Refusal::Broken(e.to_string());
    let mut decoder = png::Decoder::new_with_limits(
        Cursor::new(bytes),
        png::Limits { bytes: limits::PICTURE_PIXELS * 8 },
    );
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    decoder.set_ignore_text_chunk(true);
    let header = decoder.read_header_info().map_err(broken)?;
    bounded(header.height as usize, header.width as usize)?;
    let mut reader = decoder.read_info().map_err(broken)?;
    let size =
        reader.output_buffer_size().ok_or_else(|| Refusal::Broken("larger than memory".into()))?;
    let mut pixels = vec![0; size];
    let frame = reader.next_frame(&mut pixels).map_err(broken)?;
    pixels.truncate(frame.buffer_size());
    let (samples, kept) = match frame.color_type {
        png::ColorType::Grayscale => (1, 1),
        png::ColorType::GrayscaleAlpha => (2, 1),
        png::ColorType::Rgb => (3, 3),
        png::ColorType::Rgba => (4, 3),
        png::ColorType::Indexed => return Err(Refusal::Broken("palette left unexpanded".into())),
    };
    if samples != kept {
        let opaque = pixels.chunks_exact(samples).flat_map(|p| &p[..kept]).copied().collect();
        pixels = opaque;
    }
    whole(frame.height as usize, frame.width as usize, kept, pixels)
}

fn whole(height: usize, width: usize, channels: usize, pixels: Vec<u8>) -> Result<Image, Refusal> {
    if pixels.len() != height * width * channels {
        return Err(Refusal::Broken(format!(
            "{} bytes of pixels where {height}x{width}x{channels} were announced",
            pixels.len()
        )));
    }
    Ok(Image { height, width, channels, pixels })
}
