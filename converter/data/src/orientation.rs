//! EXIF orientation: how a camera was held.
//!
//! Cameras store what the sensor saw and note which side was up. A person is
//! shown the upright picture; a network should see the same.

use crate::image::Image;

/// The orientation tag of an EXIF block (a TIFF structure, with or without the
/// `Exif\0\0` in front): 1 to 8, and 1, upright, if there is none or it makes no sense.
pub(crate) fn orientation(exif: &[u8]) -> u8 {
    find(exif.strip_prefix(b"Exif\0\0").unwrap_or(exif)).unwrap_or(1)
}

fn find(tiff: &[u8]) -> Option<u8> {
    let big = match tiff.get(..2)? {
        b"MM" => true,
        b"II" => false,
        _ => return None,
    };
    let u16_at = |at: usize| {
        let bytes: [u8; 2] = tiff.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    };
    let (first, second) = (u16_at(4)?, u16_at(6)?);
    let (high, low) = if big { (first, second) } else { (second, first) };
    let directory = usize::from(high) << 16 | usize::from(low);
    // Entries of 12 bytes: tag, type (3 is a u16), count, value.
    let entries = (0..u16_at(directory)?).map(|i| directory + 2 + 12 * usize::from(i));
    for entry in entries {
        if u16_at(entry)? == 0x0112 && u16_at(entry + 2)? == 3 {
            let value = u16_at(entry + 8)?;
            return (1..=8).contains(&value).then_some(value as u8);
        }
    }
    None
}

/// Turns a stored picture upright.
pub(crate) fn upright(image: Image, orientation: u8) -> Image {
    // Which way the stored picture is walked to give the upright one.
    let (transposed, flip_rows, flip_columns) = match orientation {
        2 => (false, false, true),
        3 => (false, true, true),
        4 => (false, true, false),
        5 => (true, false, false),
        6 => (true, true, false),
        7 => (true, true, true),
        8 => (true, false, true),
        _ => return image,
    };
    let Image { height: rows, width: columns, channels, pixels } = image;
    let (height, width) = if transposed { (columns, rows) } else { (rows, columns) };
    let mut turned = Vec::with_capacity(pixels.len());
    for y in 0..height {
        for x in 0..width {
            let (row, column) = if transposed { (x, y) } else { (y, x) };
            let row = if flip_rows { rows - 1 - row } else { row };
            let column = if flip_columns { columns - 1 - column } else { column };
            turned.extend_from_slice(&pixels[(row * columns + column) * channels..][..channels]);
        }
    }
    Image { height, width, channels, pixels: turned }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block with one other tag before the orientation.
    fn block(big: bool, value: u16) -> Vec<u8> {
        let mut bytes =
            if big { b"MM\0\x2a\0\0\0\x08".to_vec() } else { b"II\x2a\0\x08\0\0\0".to_vec() };
        let words: [u16; 13] = [2, 0x0100, 3, 0, 1, 7, 0, 0x0112, 3, 0, 1, value, 0];
        for (i, word) in words.into_iter().enumerate() {
            // A count is 32 bits: its halves change places with the byte order.
            let word = match i {
                3 | 9 if !big => 1,
                4 | 10 if !big => 0,
                _ => word,
            };
            bytes.extend(if big { word.to_be_bytes() } else { word.to_le_bytes() });
        }
        bytes
    }

    #[test]
    fn both_byte_orders() {
        for value in 1..=8 {
            assert_eq!(orientation(&block(true, value)), value as u8);
            assert_eq!(orientation(&block(false, value)), value as u8);
            let prefixed = [b"Exif\0\0".as_slice(), &block(true, value)].concat();
            assert_eq!(orientation(&prefixed), value as u8);
        }
    }

    #[test]
    fn nonsense_is_upright() {
        for bytes in [&b""[..], b"II", b"hello world, hello", &block(true, 9), &block(false, 0)] {
            assert_eq!(orientation(bytes), 1);
        }
        let whole = block(false, 6);
        for end in 0..whole.len() - 2 {
            orientation(&whole[..end]);
        }
        let mut far = block(true, 6);
        far[4..8].fill(0xff);
        assert_eq!(orientation(&far), 1);
    }

    /// What each value means, from the standard's own words: where row 0 and
    /// column 0 of the stored picture are when it is seen upright.
    #[test]
    fn every_orientation() {
        let stored = Image { height: 2, width: 3, channels: 1, pixels: vec![1, 2, 3, 4, 5, 6] };
        let cases: [(u8, usize, [u8; 6]); 8] = [
            (1, 3, [1, 2, 3, 4, 5, 6]), // top, left
            (2, 3, [3, 2, 1, 6, 5, 4]), // top, right
            (3, 3, [6, 5, 4, 3, 2, 1]), // bottom, right
            (4, 3, [4, 5, 6, 1, 2, 3]), // bottom, left
            (5, 2, [1, 4, 2, 5, 3, 6]), // left, top
            (6, 2, [4, 1, 5, 2, 6, 3]), // right, top
            (7, 2, [6, 3, 5, 2, 4, 1]), // right, bottom
            (8, 2, [3, 6, 2, 5, 1, 4]), // left, bottom
        ];
        for (value, width, pixels) in cases {
            let turned = upright(stored.clone(), value);
            assert_eq!((turned.width, turned.pixels), (width, pixels.to_vec()), "{value}");
        }
    }
}
