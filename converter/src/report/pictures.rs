//! Test pictures with what the network says of them, and the drawing of its bits.

use super::html::{Text, card};
use super::{Picture, Report, Weights};
use bitat_data::{Crop, Fit, Image};
use std::fmt::Write;

/// Pictures with a longer side are scaled down: the page should stay light.
const SIDE: usize = 128;
/// Weights drawn at most; layers beyond are left out.
const WEIGHTS: usize = 4_000_000;
/// Up to so many weights are drawn one point each.
const FEW: usize = 200_000;

/// The strip of test pictures.
pub(super) fn strip(report: &Report) -> Option<String> {
    let html: String = report.pictures.iter().map(|p| shot(report, p)).collect();
    let html = format!("<div class=\"strip\">\n{html}</div>\n");
    let known: Vec<&Picture> = report.pictures.iter().filter(|p| p.truth.is_some()).collect();
    let right = known.iter().filter(|p| p.truth == p.top.first().map(|t| t.0)).count();
    let note = match known.len() {
        0 => "What the 1-bit network says of them.".to_owned(),
        n => format!("What the 1-bit network says of them: {right} of these {n} right."),
    };
    (!report.pictures.is_empty()).then(|| card("Pictures it has never seen", &note, &html))
}

fn shot(report: &Report, picture: &Picture) -> String {
    let Picture { image, truth, top } = picture;
    let first = top.first().map(|t| t.0);
    let class = match truth {
        Some(_) if *truth == first => "right",
        Some(_) => "wrong",
        None => "",
    };
    let said = first.map_or_else(String::new, |class| report.class(class));
    let mut html = format!(
        "<figure class=\"shot {class}\"><img src=\"{}\" width=\"{}\" height=\"{}\" alt=\"{}\">\
         <figcaption><b>{}</b>",
        data_uri(&small(image)),
        image.width,
        image.height,
        Text(&truth.map_or_else(|| "test picture".into(), |t| report.class(t))),
        Text(&said)
    );
    if let Some(truth) = truth.filter(|_| class == "wrong") {
        let _ = write!(html, "<small>is {}</small>", Text(&report.class(truth)));
    }
    html += "<span class=\"top\">";
    for &(class, share) in top.iter().take(3) {
        let percent = share.clamp(0.0, 1.0) * 100.0;
        let title = format!("{}: {percent:.1} %", report.class(class));
        let _ =
            write!(html, "<i title=\"{}\"><i style=\"width:{percent:.1}%\"></i></i>", Text(&title));
    }
    html + "</span></figcaption></figure>\n"
}

fn small(image: &Image) -> Image {
    let longest = image.height.max(image.width);
    if longest <= SIDE {
        return image.clone();
    }
    let scaled = |side: usize| (side * SIDE).div_ceil(longest).max(1);
    let (height, width) = (scaled(image.height), scaled(image.width));
    let fit = Fit { crop: Crop::Stretch, ..Fit::new(height, width, image.channels) };
    Image { height, width, channels: image.channels, pixels: image.fitted(&fit) }
}

/// Every binary weight as one dot, every layer as one picture.
pub(super) fn weights(report: &Report) -> Option<String> {
    let whole = |w: &&Weights| w.outputs > 0 && w.signs.len().is_multiple_of(w.outputs);
    let layers: Vec<&Weights> =
        report.weights.iter().filter(whole).filter(|w| !w.signs.is_empty()).collect();
    let mut drawn: Vec<&Weights> = Vec::new();
    let mut count = 0;
    for layer in &layers {
        if count + layer.signs.len() <= WEIGHTS {
            count += layer.signs.len();
            drawn.push(layer);
        }
    }
    // Half a point each where there are many: one pixel on a fine screen, a
    // shade of their mean on a coarse one.
    let scale = if count > FEW { 0.5 } else { 1.0 };
    let mut html = String::from("<div class=\"wall\">\n");
    for layer in &drawn {
        let (outputs, inputs) = (layer.outputs, layer.signs.len() / layer.outputs);
        let title = format!("{}: {inputs} inputs, {outputs} outputs", layer.name);
        // Lying down, so that the wall is low.
        let (columns, rows, signs) = if inputs < outputs {
            (outputs, inputs, transpose(&layer.signs, inputs))
        } else {
            (inputs, outputs, layer.signs.clone())
        };
        let _ = writeln!(
            html,
            "<img src=\"{}\" style=\"width:{}px\" alt=\"{2}\" title=\"{2}\">",
            uri(&bits(columns, rows, &signs)),
            columns as f64 * scale,
            Text(&title)
        );
    }
    html += "</div>\n";
    let negative = drawn.iter().flat_map(|w| &w.signs).filter(|&&s| s < 0).count();
    let mut note = format!(
        "Every 1-bit weight, one dot each, one picture per layer: {} of them, {:.1} % negative (drawn).",
        crate::ui::human::grouped(count as u64),
        negative as f64 / count.max(1) as f64 * 100.0
    );
    if drawn.len() < layers.len() {
        let _ = write!(note, " {} layers are too large to draw.", layers.len() - drawn.len());
    }
    (count > 0).then(|| card("The network itself", &note, &html))
}

/// Rows of `columns` become columns.
fn transpose(signs: &[i8], columns: usize) -> Vec<i8> {
    (0..columns).flat_map(|c| signs.iter().skip(c).step_by(columns).copied()).collect()
}

fn data_uri(image: &Image) -> String {
    let color = if image.channels == 1 { png::ColorType::Grayscale } else { png::ColorType::Rgb };
    uri(&file(image.width, image.height, png::BitDepth::Eight, &image.pixels, |encoder| {
        encoder.set_color(color);
    }))
}

/// A picture of signs, one bit a pixel: negative in the colour of 1-bit weights,
/// the rest transparent, so that it stands on a light and on a dark page.
fn bits(columns: usize, rows: usize, signs: &[i8]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(rows * columns.div_ceil(8));
    for row in signs.chunks_exact(columns) {
        let byte = |eight: &[i8]| {
            eight.iter().enumerate().fold(0, |byte, (i, &s)| byte | u8::from(s < 0) << (7 - i))
        };
        packed.extend(row.chunks(8).map(byte));
    }
    file(columns, rows, png::BitDepth::One, &packed, |encoder| {
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_palette(vec![255, 255, 255, 0x16, 0x9b, 0x8f]);
        encoder.set_trns(vec![0, 255]);
    })
}

fn file(
    width: usize,
    height: usize,
    depth: png::BitDepth,
    samples: &[u8],
    set: impl FnOnce(&mut png::Encoder<&mut Vec<u8>>),
) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width as u32, height as u32);
    encoder.set_depth(depth);
    encoder.set_compression(png::Compression::High);
    set(&mut encoder);
    let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(samples));
    written.expect("writing a picture of the announced size into memory cannot fail");
    file
}

fn uri(file: &[u8]) -> String {
    format!("data:image/png;base64,{}", base64(file))
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let word = (0..3).fold(0, |w, i| w << 8 | u32::from(three.get(i).copied().unwrap_or(0)));
        for i in 0..4 {
            let letter = LETTERS[(word >> (18 - 6 * i)) as usize & 63];
            text.push(if i <= three.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_every_length() {
        for (bytes, want) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(base64(bytes.as_bytes()), want);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }

    #[test]
    fn signs_come_back_from_the_drawing() {
        let (columns, rows) = (11, 3);
        let signs: Vec<i8> = (0..33).map(|i| if i * i % 7 < 3 { -1 } else { 1 }).collect();
        let file = bits(columns, rows, &signs);
        let mut decoder = png::Decoder::new(std::io::Cursor::new(&file));
        decoder.set_transformations(png::Transformations::normalize_to_color8());
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        let read: Vec<i8> =
            pixels.chunks_exact(4).map(|p| if p[3] == 255 { -1 } else { 1 }).collect();
        assert_eq!(read, signs);
    }

    #[test]
    fn large_pictures_are_scaled_and_keep_their_shape() {
        let image = Image { height: 300, width: 600, channels: 3, pixels: vec![9; 540_000] };
        let small = small(&image);
        assert_eq!((small.height, small.width, small.pixels.len()), (64, 128, 64 * 128 * 3));
    }
}
