//! Cropping, resizing and channel conversion.
//!
//! Bilinear with a triangle filter that widens when shrinking, so that every
//! source pixel counts: what Pillow's `BILINEAR` and an antialiased PyTorch
//! resize do, to the nearest grey level. Separable: rows of the source are
//! first resized horizontally, then combined vertically. Weights are `f32`, sums
//! run in a fixed order, so a result is the same on every machine.

use crate::fit::{Crop, Fit};
use crate::image::Image;

/// Crops, resizes and converts `image` to what `fit` asks for.
///
/// Grey becomes colour by repetition, colour becomes grey by ITU-R BT.601.
pub(crate) fn fit_image(image: &Image, fit: &Fit, out: &mut [u8]) {
    debug_assert_eq!(out.len(), fit.bytes());
    let region = region(image, fit);
    let whole = region == [0.0, 0.0, image.height as f64, image.width as f64];
    let same = image.height == fit.height && image.width == fit.width && whole;
    if same && image.channels == fit.channels {
        out.copy_from_slice(&image.pixels);
    } else if same {
        convert(&image.pixels, image.channels, out, fit.channels);
    } else if image.channels == fit.channels {
        resize(image, region, fit, out);
    } else {
        let mut resized = vec![0; fit.height * fit.width * image.channels];
        resize(image, region, fit, &mut resized);
        convert(&resized, image.channels, out, fit.channels);
    }
}

/// Top, left, height, width of the part seen, in source pixels.
fn region(image: &Image, fit: &Fit) -> [f64; 4] {
    let (height, width) = (image.height as f64, image.width as f64);
    let Crop::Centre(fraction) = fit.crop else {
        return [0.0, 0.0, height, width];
    };
    let aspect = fit.width as f64 / fit.height as f64;
    let part_height = height.min(width / aspect) * f64::from(fraction);
    let part_width = width.min(height * aspect) * f64::from(fraction);
    [(height - part_height) / 2.0, (width - part_width) / 2.0, part_height, part_width]
}

/// Which source pixels make one target pixel, and their weights (sum 1).
struct Tap {
    first: usize,
    weights: Vec<f32>,
}

/// The taps of all target pixels along one axis.
fn taps(start: f64, length: f64, source: usize, target: usize) -> Vec<Tap> {
    let scale = length / target as f64;
    let support = scale.max(1.0);
    let tap = |i: usize| {
        let centre = start + (i as f64 + 0.5) * scale;
        let first = (centre - support + 0.5).floor().max(0.0) as usize;
        let end = ((centre + support + 0.5).floor().max(0.0) as usize).clamp(first + 1, source);
        let first = first.min(end - 1);
        let raw = |j: usize| (1.0 - ((j as f64 + 0.5 - centre) / support).abs()).max(0.0);
        let sum: f64 = (first..end).map(raw).sum();
        let weight = |j| if sum > 0.0 { raw(j) / sum } else { 1.0 / (end - first) as f64 };
        Tap { first, weights: (first..end).map(|j| weight(j) as f32).collect() }
    };
    (0..target).map(tap).collect()
}

fn resize(image: &Image, [top, left, height, width]: [f64; 4], fit: &Fit, out: &mut [u8]) {
    let channels = image.channels;
    let across = taps(left, width, image.width, fit.width);
    let down = taps(top, height, image.height, fit.height);
    let line = fit.width * channels;
    let lowest = down[0].first;
    let highest = down.iter().map(|t| t.first + t.weights.len()).max().unwrap_or(0);

    let mut middle = vec![0f32; (highest - lowest) * line];
    for (row, values) in (lowest..highest).zip(middle.chunks_exact_mut(line)) {
        let source = &image.pixels[row * image.width * channels..][..image.width * channels];
        for (tap, value) in across.iter().zip(values.chunks_exact_mut(channels)) {
            let pixels = source[tap.first * channels..].chunks_exact(channels);
            for (pixel, weight) in pixels.zip(&tap.weights) {
                for (sum, &level) in value.iter_mut().zip(pixel) {
                    *sum += f32::from(level) * weight;
                }
            }
        }
    }

    let mut sums = vec![0f32; line];
    for (tap, levels) in down.iter().zip(out.chunks_exact_mut(line)) {
        sums.fill(0.0);
        let rows = middle[(tap.first - lowest) * line..].chunks_exact(line);
        for (row, weight) in rows.zip(&tap.weights) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += value * weight;
            }
        }
        for (level, sum) in levels.iter_mut().zip(&sums) {
            *level = (sum + 0.5) as u8;
        }
    }
}

fn convert(from: &[u8], from_channels: usize, to: &mut [u8], to_channels: usize) {
    match (from_channels, to_channels) {
        (1, 3) => {
            for (rgb, &grey) in to.chunks_exact_mut(3).zip(from) {
                rgb.fill(grey);
            }
        }
        (3, 1) => {
            for (grey, rgb) in to.iter_mut().zip(from.chunks_exact(3)) {
                *grey = luminance(rgb[0], rgb[1], rgb[2]);
            }
        }
        _ => unreachable!("pictures and networks have 1 or 3 channels"),
    }
}

/// 0.299 R + 0.587 G + 0.114 B, rounded.
fn luminance(r: u8, g: u8, b: u8) -> u8 {
    let [r, g, b] = [r, g, b].map(u32::from);
    ((r * 19_595 + g * 38_470 + b * 7_471 + 32_768) >> 16) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(image: &Image, fit: Fit) -> Vec<u8> {
        let mut out = vec![0; fit.bytes()];
        fit_image(image, &fit, &mut out);
        out
    }

    fn grey(height: usize, width: usize, pixels: &[u8]) -> Image {
        Image { height, width, channels: 1, pixels: pixels.to_vec() }
    }

    #[test]
    fn the_right_size_is_left_alone() {
        let image = grey(2, 3, &[1, 2, 3, 4, 5, 6]);
        assert_eq!(fit(&image, Fit::new(2, 3, 1)), image.pixels);
    }

    #[test]
    fn shrinking_averages() {
        let image = grey(1, 4, &[0, 100, 200, 100]);
        let stretch = Fit { crop: Crop::Stretch, ..Fit::new(1, 2, 1) };
        // Triangle of half-width 2 about 1.0 and 3.0: weights 3, 3, 1 of 7.
        assert_eq!(fit(&image, stretch), [71, 143]);
    }

    #[test]
    fn growing_interpolates() {
        let image = grey(1, 2, &[0, 100]);
        let stretch = Fit { crop: Crop::Stretch, ..Fit::new(1, 4, 1) };
        assert_eq!(fit(&image, stretch), [0, 25, 75, 100]);
    }

    /// A textured 24x16 picture resized by Pillow 13's `BILINEAR`, which rounds
    /// between its two passes: one grey level of difference is its own.
    #[test]
    fn agrees_with_pillow() {
        let texture = |i: usize| {
            let (y, x) = (i / 24, i % 24);
            ((x * 7 + y * 13 + (x * y) % 11 * 9) % 256) as u8
        };
        let image = grey(16, 24, &(0..16 * 24).map(texture).collect::<Vec<_>>());
        let smaller: [u8; 35] = [
            47, 87, 119, 124, 157, 185, 186, 104, 138, 161, 172, 189, 149, 140, 152, 179, 199, 164,
            135, 90, 75, 179, 191, 175, 153, 111, 60, 57, 180, 143, 75, 78, 79, 102, 105,
        ];
        let larger: [u8; 62] = [
            0, 5, 10, 15, 21, 26, 32, 37, 43, 48, 53, 59, 64, 70, 75, 81, 86, 91, 97, 102, 108,
            113, 118, 124, 129, 135, 140, 146, 151, 156, 161, 9, 18, 28, 38, 49, 59, 70, 80, 90,
            101, 110, 121, 131, 141, 102, 93, 103, 113, 124, 134, 144, 154, 165, 175, 185, 196,
            206, 217, 187, 167, 176,
        ];
        for (height, width, want) in [(5, 7, &smaller[..]), (20, 31, &larger[..])] {
            let stretch = Fit { crop: Crop::Stretch, ..Fit::new(height, width, 1) };
            let out = fit(&image, stretch);
            for (i, (&got, &want)) in out.iter().zip(want).enumerate() {
                assert!(got.abs_diff(want) <= 1, "{height}x{width} at {i}: {got}, Pillow {want}");
            }
        }
    }

    #[test]
    fn a_flat_picture_stays_flat() {
        for (h, w, th, tw) in [(1, 1, 5, 3), (7, 3, 2, 2), (100, 33, 32, 32), (2, 300, 17, 1)] {
            let image = grey(h, w, &vec![200; h * w]);
            for crop in [Crop::Stretch, Crop::Centre(1.0), Crop::Centre(0.3)] {
                let out = fit(&image, Fit { crop, ..Fit::new(th, tw, 1) });
                assert!(out.iter().all(|&x| x == 200), "{h}x{w} to {th}x{tw}, {crop:?}");
            }
        }
    }

    #[test]
    fn the_centre_is_cropped() {
        let image = grey(2, 6, &[9, 9, 1, 2, 9, 9, 9, 9, 3, 4, 9, 9]);
        assert_eq!(fit(&image, Fit::new(2, 2, 1)), [1, 2, 3, 4]);
        let wide = grey(4, 4, &[9, 9, 9, 9, 9, 1, 2, 9, 9, 3, 4, 9, 9, 9, 9, 9]);
        assert_eq!(fit(&wide, Fit { crop: Crop::Centre(0.5), ..Fit::new(2, 2, 1) }), [1, 2, 3, 4]);
    }

    #[test]
    fn channels() {
        assert_eq!(fit(&grey(1, 2, &[5, 6]), Fit::new(1, 2, 3)), [5, 5, 5, 6, 6, 6]);
        let colour = Image {
            height: 1,
            width: 3,
            channels: 3,
            pixels: vec![255, 0, 0, 0, 255, 0, 255, 255, 255],
        };
        assert_eq!(fit(&colour, Fit::new(1, 3, 1)), [76, 150, 255]);
    }
}
