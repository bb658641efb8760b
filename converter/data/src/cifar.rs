//! CIFAR-10 and CIFAR-100 in their binary versions.
//!
//! A record is its labels (one byte; for CIFAR-100 coarse, then fine) and 3072
//! bytes: a plane of 32x32 for red, green and blue each.

use crate::records::Records;
use crate::{Error, Split, limits, read};
use std::path::{Path, PathBuf};

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;
const AGAIN: &str = "unpack the data set again, in its binary version";

/// The files of one split.
#[derive(Debug)]
pub(crate) struct Files {
    records: Vec<PathBuf>,
    names: Option<PathBuf>,
    /// 1 for CIFAR-10, 2 for CIFAR-100, whose second label is the class.
    labels: usize,
}

impl Files {
    /// 10 or 100.
    pub(crate) fn classes(&self) -> usize {
        if self.labels == 1 { 10 } else { 100 }
    }
}

/// Finds the files of a split: `data_batch_*.bin` and `test_batch.bin`, or
/// `train.bin` and `test.bin` (also as `cifar100_train.bin`), `.gz` or not.
/// `Ok(None)`: no file of either data set is there.
pub(crate) fn find(dir: &Path, names: &[String], split: Split) -> Result<Option<Files>, Error> {
    let ten = |name: &str| {
        let name = bare(name)?;
        (name.starts_with("data_batch_") || name == "test_batch").then_some(name == "test_batch")
    };
    let hundred = |name: &str| {
        let name = bare(name)?;
        let name = name.strip_prefix("cifar100_").unwrap_or(name);
        matches!(name, "train" | "test").then_some(name == "test")
    };
    for (labels, is_test) in [(1, &ten as &dyn Fn(&str) -> Option<bool>), (2, &hundred)] {
        if names.iter().all(|n| is_test(n).is_none()) {
            continue;
        }
        let mut mine: Vec<&String> =
            names.iter().filter(|n| is_test(n) == Some(split == Split::Test)).collect();
        mine.sort();
        // A plain file sorts just before its packed twin.
        mine.dedup_by(|packed, plain| packed.trim_end_matches(".gz") == plain.as_str());
        if mine.is_empty() {
            let problem = format!("no {} records among its CIFAR files", split.name());
            let want = match (labels, split) {
                (1, Split::Train) => "data_batch_1.bin … data_batch_5.bin",
                (1, Split::Test) => "test_batch.bin",
                (_, Split::Train) => "train.bin",
                (_, Split::Test) => "test.bin",
            };
            return Err(Error::data(dir, problem, format!("add {want}")));
        }
        let lists: &[&str] = if labels == 1 {
            &["batches.meta.txt"]
        } else {
            &["fine_label_names.txt", "cifar100_fine_label_names.txt"]
        };
        let list = lists.iter().find(|l| names.iter().any(|n| n == *l)).map(|l| dir.join(l));
        let records = mine.into_iter().map(|name| dir.join(name)).collect();
        return Ok(Some(Files { records, names: list, labels }));
    }
    Ok(None)
}

/// A record file's name without its endings.
fn bare(name: &str) -> Option<&str> {
    name.strip_suffix(".gz").unwrap_or(name).strip_suffix(".bin")
}

/// Reads all records of the split.
pub(crate) fn load(files: &Files) -> Result<(Records, Vec<u32>), Error> {
    let size = files.labels + 3 * PLANE;
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    let mut record = vec![0; size];
    for path in &files.records {
        let mut reader = read::open(path)?;
        let before = labels.len();
        loop {
            let got =
                read::fill(&mut *reader, &mut record).map_err(|e| read::unpacking(path, e))?;
            if got == 0 {
                break;
            }
            if got < size {
                let problem =
                    format!("ends inside record {} of {size} bytes", labels.len() - before);
                return Err(Error::data(path, problem, AGAIN));
            }
            if pixels.len() as u64 > limits::RECORD_BYTES {
                let problem = format!("unpacks to more than {} bytes", limits::RECORD_BYTES);
                return Err(Error::data(path, problem, AGAIN));
            }
            let (label, planes) = record.split_at(files.labels);
            let label = label[files.labels - 1];
            if usize::from(label) >= files.classes() {
                let problem = format!(
                    "label {label} in record {} is not below {}",
                    labels.len() - before,
                    files.classes()
                );
                return Err(Error::data(path, problem, AGAIN));
            }
            labels.push(u32::from(label));
            let (red, rest) = planes.split_at(PLANE);
            let (green, blue) = rest.split_at(PLANE);
            for ((&r, &g), &b) in red.iter().zip(green).zip(blue) {
                pixels.extend([r, g, b]);
            }
        }
        if labels.len() == before {
            return Err(Error::data(path, "holds no records", AGAIN));
        }
    }
    Ok((Records { pixels, shape: [SIDE, SIDE, 3] }, labels))
}

/// The class names, if their file is there.
pub(crate) fn names(files: &Files) -> Result<Option<Vec<String>>, Error> {
    let Some(path) = &files.names else { return Ok(None) };
    let names = read::names(path)?;
    if names.len() != files.classes() {
        let problem = format!("{} names for {} classes", names.len(), files.classes());
        return Err(Error::data(path, problem, AGAIN));
    }
    Ok(Some(names))
}
