//! Picture files of every kind we read, and of some we must refuse.

mod common;

use bitat_data::{Fit, decode_image, read_image};
use common::{Folder, flat, png};
use png::{BitDepth, ColorType};

#[test]
fn png_of_every_kind() {
    type Case<'a> = (&'a str, ColorType, BitDepth, &'a [u8], usize, &'a [u8]);
    let cases: [Case; 8] = [
        ("grey", ColorType::Grayscale, BitDepth::Eight, &[1, 200], 1, &[1, 200]),
        ("grey 1 bit", ColorType::Grayscale, BitDepth::One, &[0b0100_0000], 1, &[0, 255]),
        ("grey 16", ColorType::Grayscale, BitDepth::Sixteen, &[1, 99, 200, 99], 1, &[1, 200]),
        ("grey alpha", ColorType::GrayscaleAlpha, BitDepth::Eight, &[1, 0, 200, 255], 1, &[1, 200]),
        ("rgb", ColorType::Rgb, BitDepth::Eight, &[1, 2, 3, 4, 5, 6], 3, &[1, 2, 3, 4, 5, 6]),
        (
            "rgba",
            ColorType::Rgba,
            BitDepth::Eight,
            &[1, 2, 3, 0, 4, 5, 6, 9],
            3,
            &[1, 2, 3, 4, 5, 6],
        ),
        (
            "rgb 16",
            ColorType::Rgb,
            BitDepth::Sixteen,
            &[1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0],
            3,
            &[1, 2, 3, 4, 5, 6],
        ),
        ("palette", ColorType::Indexed, BitDepth::Eight, &[1, 0], 3, &[40, 50, 60, 10, 20, 30]),
    ];
    let folder = Folder::new();
    for (case, color, depth, samples, channels, want) in cases {
        folder.write("x.png", &png(2, 1, color, depth, samples));
        let image = decode_image(&folder.path().join("x.png")).unwrap();
        assert_eq!((image.height, image.width, image.channels), (1, 2, channels), "{case}");
        assert_eq!(image.pixels, want, "{case}");
    }
}

/// The files under `pictures/` show `rgb(10x, 15y, 255 − 5x − 5y)` on 24x16.
#[test]
fn jpeg_of_every_kind() {
    let files: [(&str, &[u8], usize); 4] = [
        ("colour.jpg", include_bytes!("pictures/colour.jpg"), 3),
        ("progressive.jpg", include_bytes!("pictures/progressive.jpg"), 3),
        ("grey.jpg", include_bytes!("pictures/grey.jpg"), 1),
        ("cmyk.jpg", include_bytes!("pictures/cmyk.jpg"), 3),
    ];
    let folder = Folder::new();
    for (name, bytes, channels) in files {
        folder.write(name, bytes);
        let image = decode_image(&folder.path().join(name)).unwrap();
        assert_eq!((image.height, image.width, image.channels), (16, 24, channels), "{name}");
        for (i, pixel) in image.pixels.chunks_exact(channels).enumerate() {
            let (y, x) = (i / 24, i % 24);
            let rgb = [10 * x, 15 * y, 255 - 5 * x - 5 * y];
            let want = match channels {
                1 => vec![(299 * rgb[0] + 587 * rgb[1] + 114 * rgb[2]) / 1000],
                _ => rgb.to_vec(),
            };
            for (&got, want) in pixel.iter().zip(want) {
                assert!((got as usize).abs_diff(want) <= 12, "{name} at {x}, {y}: {pixel:?}");
            }
        }
    }
}

/// A camera's note that the stored picture lies on its side.
#[test]
fn a_turned_jpeg_is_turned_upright() {
    let jpeg = include_bytes!("pictures/colour.jpg");
    let tiff = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    let block = [b"Exif\0\0".as_slice(), tiff].concat();
    let length = (block.len() as u16 + 2).to_be_bytes();
    let turned = [&jpeg[..2], &[0xff, 0xe1], &length, &block, &jpeg[2..]].concat();
    let folder = Folder::new();
    folder.write("upright.jpg", jpeg).write("turned.jpg", &turned);
    let read = |name: &str| decode_image(&folder.path().join(name)).unwrap();
    let (upright, turned) = (read("upright.jpg"), read("turned.jpg"));
    assert_eq!((turned.height, turned.width), (24, 16));
    // Row 0 of the stored picture is the right edge of the upright one.
    assert_eq!(turned.pixels[15 * 3..16 * 3], upright.pixels[..3]);
    assert_eq!(turned.pixels[..3], upright.pixels[15 * 24 * 3..][..3]);
}

#[test]
fn fitting_to_a_network() {
    let folder = Folder::new();
    folder.write("x.jpg", include_bytes!("pictures/colour.jpg"));
    let path = folder.path().join("x.jpg");
    let small = read_image(&path, &Fit::new(8, 8, 3)).unwrap();
    assert_eq!(small.len(), 8 * 8 * 3);
    // The left edge of the centre square is column 4 of 24, where red is 40.
    assert!(small[0].abs_diff(45) <= 8, "{}", small[0]);
    assert_eq!(read_image(&path, &Fit::new(5, 9, 1)).unwrap().len(), 45);
}

#[test]
fn what_is_no_picture_is_refused_by_name() {
    let whole = flat(30, 30, 7);
    let jpeg = include_bytes!("pictures/colour.jpg");
    // A PNG header that announces 100000 x 100000, and one of 16000 x 16000.
    let announce = |side: u32| {
        let mut bytes = flat(1, 1, 0);
        bytes[16..20].copy_from_slice(&side.to_be_bytes());
        bytes[20..24].copy_from_slice(&side.to_be_bytes());
        let crc = crc32(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&crc.to_be_bytes());
        bytes
    };
    let mut wide_jpeg = jpeg.to_vec();
    let frame = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    wide_jpeg[frame + 5..frame + 9].fill(0xff);
    let cases: [(&str, &[u8], &str); 9] = [
        ("empty.png", &[], "empty file"),
        ("text.jpg", b"<html>not found</html>", "neither JPEG nor PNG"),
        ("gif.png", b"GIF89a......", "neither JPEG nor PNG"),
        ("cut.png", &whole[..whole.len() / 2], "unreadable picture"),
        ("head.png", &whole[..10], "unreadable picture"),
        ("cut.jpg", &jpeg[..jpeg.len() - 120], "unreadable picture"),
        ("huge.png", &announce(100_000), "100000 by 100000 pixels"),
        ("large.png", &announce(16_000), "16000 by 16000 pixels"),
        ("huge.jpg", &wide_jpeg, "65535 by 65535 pixels"),
    ];
    let folder = Folder::new();
    for (name, bytes, want) in cases {
        folder.write(name, bytes);
        let error = decode_image(&folder.path().join(name)).expect_err(name).to_string();
        assert!(error.contains(name) && error.contains(want), "{error}");
    }
    let error = decode_image(&folder.path().join("none.png")).unwrap_err().to_string();
    assert!(error.contains("none.png") && error.contains("check the path"), "{error}");
}

/// Damage anywhere gives an error or a picture, never a panic.
#[test]
fn flipped_bytes_never_panic() {
    let folder = Folder::new();
    let files: [&[u8]; 3] = [
        include_bytes!("pictures/colour.jpg"),
        include_bytes!("pictures/progressive.jpg"),
        &flat(9, 9, 3),
    ];
    for bytes in files {
        for at in 0..bytes.len() {
            let mut broken = bytes.to_vec();
            broken[at] ^= 0xff;
            folder.write("x", &broken);
            let _ = decode_image(&folder.path().join("x"));
        }
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}
