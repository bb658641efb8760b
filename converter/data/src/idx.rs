//! IDX: the format of MNIST and its relatives.
//!
//! Big-endian magic `00 00 08 rank`, one `u32` per dimension, then bytes.
//! Pictures have rank 3 (grey) or 4 (channels last), labels rank 1. Files
//! may be gzipped; they are unpacked into memory.

use crate::records::Records;
use crate::{Error, Split, limits, read};
use std::path::{Path, PathBuf};

const AGAIN: &str = "download or export the data set again";

/// The files of one split.
#[derive(Debug)]
pub(crate) struct Files {
    pictures: PathBuf,
    labels: PathBuf,
}

/// Finds the files of a split by name: `train-images-idx3-ubyte`, `t10k-…` or
/// `test-…`, with a dot for the second dash, anything before, `.gz` behind.
/// `Ok(None)`: the folder has no IDX pictures at all.
pub(crate) fn find(dir: &Path, names: &[String], split: Split) -> Result<Option<Files>, Error> {
    let pictures: Vec<&String> = names.iter().filter(|n| kind(n) == Some("images")).collect();
    if pictures.is_empty() {
        return Ok(None);
    }
    let mut mine: Vec<&String> =
        pictures.iter().copied().filter(|n| split_of(n) == Some(split)).collect();
    // Plain beside packed: the same data, the plain one opens faster.
    mine.sort_by_key(|n| n.ends_with(".gz"));
    mine.dedup_by(|packed, plain| packed.trim_end_matches(".gz") == plain.as_str());
    let (picture, labels) = match mine.as_slice() {
        [one] => (*one, partner(names, one)),
        [] => {
            let have: Vec<&str> = pictures.iter().map(|s| s.as_str()).collect();
            return Err(Error::data(
                dir,
                format!("no {} pictures among its IDX files ({})", split.name(), have.join(", ")),
                format!("add {}-images-idx3-ubyte and its labels", split.idx_name()),
            ));
        }
        [a, b, ..] => {
            return Err(Error::data(
                dir,
                format!("{a} and {b} could both be the {} pictures", split.name()),
                "leave one data set per folder",
            ));
        }
    };
    let labels = labels.ok_or_else(|| {
        Error::data(
            &dir.join(picture),
            "no label file beside it",
            format!(
                "add {}",
                picture.replace("images", "labels").replace("idx3", "idx1").replace("idx4", "idx1")
            ),
        )
    })?;
    Ok(Some(Files { pictures: dir.join(picture), labels: dir.join(labels) }))
}

/// `images` or `labels`, if the name is an IDX file's.
fn kind(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    let stem = name.strip_suffix("-ubyte").unwrap_or(name);
    let stem = ["idx1", "idx3", "idx4"].iter().find_map(|end| stem.strip_suffix(end))?;
    let stem = stem.strip_suffix(['-', '.'])?;
    ["images", "labels"].into_iter().find(|kind| stem.ends_with(kind))
}

fn split_of(name: &str) -> Option<Split> {
    let name = name.to_ascii_lowercase();
    if name.contains("train") {
        Some(Split::Train)
    } else if ["t10k", "test", "val"].iter().any(|s| name.contains(s)) {
        Some(Split::Test)
    } else {
        None
    }
}

/// The label file of a picture file, packed or not whichever is there.
fn partner(names: &[String], pictures: &str) -> Option<String> {
    let plain = pictures.trim_end_matches(".gz").replace("images", "labels");
    let plain = plain.replace("idx3", "idx1").replace("idx4", "idx1");
    [format!("{plain}.gz"), plain].into_iter().rfind(|name| names.contains(name))
}

/// Reads pictures and labels, and checks that there are as many of each.
pub(crate) fn load(files: &Files) -> Result<(Records, Vec<u32>), Error> {
    let (sizes, pixels) = array(&files.pictures, &[3, 4])?;
    let channels = sizes.get(3).copied().unwrap_or(1);
    if !matches!(channels, 1 | 3) {
        let problem = format!("pictures of {channels} channels");
        return Err(Error::data(&files.pictures, problem, "only 1 and 3 are supported"));
    }
    if sizes[1] > limits::RECORD_SIDE || sizes[2] > limits::RECORD_SIDE {
        let problem = format!("pictures of {} by {} pixels", sizes[2], sizes[1]);
        return Err(Error::data(&files.pictures, problem, "scale them down"));
    }
    if pixels.is_empty() {
        return Err(Error::data(&files.pictures, "holds no pictures", AGAIN));
    }
    let labels = labels(files)?;
    if labels.len() != sizes[0] {
        let problem = format!("{} labels for {} pictures", labels.len(), sizes[0]);
        let advice = format!("take both files from one data set ({})", files.pictures.display());
        return Err(Error::data(&files.labels, problem, advice));
    }
    Ok((Records { pixels, shape: [sizes[1], sizes[2], channels] }, labels))
}

/// Reads the labels alone.
pub(crate) fn labels(files: &Files) -> Result<Vec<u32>, Error> {
    let (_, labels) = array(&files.labels, &[1])?;
    Ok(labels.into_iter().map(u32::from).collect())
}

/// Where the labels came from, for messages.
pub(crate) fn label_file(files: &Files) -> &Path {
    &files.labels
}

/// Reads one IDX array of bytes: its sizes and its elements.
fn array(path: &Path, ranks: &[u8]) -> Result<(Vec<usize>, Vec<u8>), Error> {
    let mut reader = read::open(path)?;
    let mut fill = |buffer: &mut [u8]| {
        let got = read::fill(&mut *reader, buffer).map_err(|e| read::unpacking(path, e))?;
        let want = buffer.len();
        let short = || Error::data(path, format!("ends {} bytes early", want - got), AGAIN);
        if got == want { Ok(()) } else { Err(short()) }
    };
    let mut magic = [0; 4];
    fill(&mut magic)?;
    let [0, 0, 8, rank] = magic else {
        let problem = format!("not an IDX file of bytes (it starts with {magic:02x?})");
        return Err(Error::data(path, problem, AGAIN));
    };
    if !ranks.contains(&rank) {
        let problem = format!("{rank} dimensions, expected {ranks:?}");
        return Err(Error::data(path, problem, "give pictures and labels their usual names"));
    }
    let mut sizes = Vec::new();
    let mut total = 1u64;
    for _ in 0..rank {
        let mut size = [0; 4];
        fill(&mut size)?;
        let size = u32::from_be_bytes(size);
        total = total.saturating_mul(u64::from(size));
        sizes.push(size as usize);
    }
    if total > limits::RECORD_BYTES {
        let problem = format!("announces {sizes:?} bytes, the limit is {}", limits::RECORD_BYTES);
        return Err(Error::data(path, problem, "use folders of pictures, which are streamed"));
    }
    let bytes = elements(path, &mut *reader, total)?;
    Ok((sizes, bytes))
}

/// The announced number of bytes and no more. Memory grows with what is
/// there, not with what is announced.
fn elements(path: &Path, reader: &mut dyn std::io::Read, total: u64) -> Result<Vec<u8>, Error> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let read = reader.take(total + 1).read_to_end(&mut bytes);
    read.map_err(|e| read::unpacking(path, e))?;
    let got = bytes.len() as u64;
    if got > total {
        return Err(Error::data(path, format!("longer than the {total} bytes announced"), AGAIN));
    }
    if got < total {
        return Err(Error::data(path, format!("ends {} bytes early", total - got), AGAIN));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (name, want) in [
            ("train-images-idx3-ubyte", Some(("images", Some(Split::Train)))),
            ("t10k-labels.idx1-ubyte.gz", Some(("labels", Some(Split::Test)))),
            ("emnist-letters-test-images-idx3-ubyte.gz", Some(("images", Some(Split::Test)))),
            ("rgb-val-images-idx4-ubyte", Some(("images", Some(Split::Test)))),
            ("all-images-idx3-ubyte", Some(("images", None))),
            ("train-images-idx3-ubyte.zip", None),
            ("images.png", None),
        ] {
            assert_eq!(kind(name).map(|k| (k, split_of(name))), want, "{name}");
        }
    }

    #[test]
    fn labels_are_found_packed_or_not() {
        let pair = |labels: &str| partner(&[labels.to_owned()], "train-images-idx3-ubyte.gz");
        assert!(pair("train-labels-idx1-ubyte").is_some());
        assert!(pair("train-labels-idx1-ubyte.gz").is_some());
        assert!(pair("t10k-labels-idx1-ubyte").is_none());
    }
}
