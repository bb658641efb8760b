//! Folders of pictures, one folder a class.
//!
//! Two layouts: `DIR/train/CLASS/…` beside `DIR/test/CLASS/…` (or `val`,
//! `valid`, `validation`), and plain `DIR/CLASS/…`, of which a seeded part is held
//! out. Classes are numbered in the byte order of their names, as PyTorch's
//! `ImageFolder` does. Only paths are kept in memory.

use crate::{Error, Options, Split, limits, random};
use std::fs;
use std::path::{Path, PathBuf};

/// The pictures of one split.
#[derive(Debug)]
pub(crate) struct Folder {
    /// In label order.
    pub(crate) classes: Vec<String>,
    /// In class order, within a class in path order.
    pub(crate) files: Vec<PathBuf>,
    /// One per file.
    pub(crate) labels: Vec<u32>,
}

const TRAIN: [&str; 2] = ["train", "training"];
const TEST: [&str; 5] = ["test", "val", "valid", "validation", "testing"];

/// Lists the pictures of a split of `dir`, whose subfolders are `folders`.
pub(crate) fn open(
    dir: &Path,
    folders: &[String],
    split: Split,
    options: &Options,
) -> Result<Folder, Error> {
    let splits = |name: &str| TRAIN.contains(&name) || TEST.contains(&name);
    let named = |list: &[&str]| {
        let mut there = list.iter().filter(|n| folders.iter().any(|f| f == *n));
        let first = there.clone().next();
        // An unlabelled `test` beside a labelled `val` is not the test split.
        there.find(|n| has_folders(&dir.join(n))).or(first).map(|name| dir.join(name))
    };
    // `train` and `test` might also be classes: of vehicles, say.
    let (train, test) = match (named(&TRAIN), named(&TEST)) {
        (None, None) => return held_out(dir, folders, split, options),
        (None, _) | (_, None) if folders.iter().any(|name| !splits(name)) => {
            return held_out(dir, folders, split, options);
        }
        pair => pair,
    };
    let root = if split == Split::Train { &train } else { &test };
    let Some(root) = root else {
        let lack = if split == Split::Train { "train" } else { "test" };
        let advice = format!("add {lack}/CLASS/…, or give a folder that holds the class folders");
        return Err(Error::data(dir, format!("has no folder named {lack}"), advice));
    };
    given(root, &class_folders(train.as_ref().unwrap_or(root))?)
}

fn has_folders(place: &Path) -> bool {
    list(place).is_ok_and(|(_, folders)| !folders.is_empty())
}

/// A split that has its own folder.
fn given(root: &Path, classes: &[String]) -> Result<Folder, Error> {
    for name in class_folders(root)? {
        if !classes.contains(&name) {
            return Err(Error::data(
                &root.join(&name),
                "a class that the training pictures do not have",
                "remove it, or add it to the training folder",
            ));
        }
    }
    let mut folder = Folder::new(classes);
    for (label, name) in classes.iter().enumerate() {
        let place = root.join(name);
        if place.is_dir() {
            folder.add(label, pictures(&place)?);
        }
    }
    Ok(folder)
}

/// A split of class folders that have none: within every class, the pictures
/// with the smallest hashes of (seed, class, name) are the test pictures, so
/// that adding a picture moves few others.
fn held_out(
    dir: &Path,
    classes: &[String],
    split: Split,
    options: &Options,
) -> Result<Folder, Error> {
    let mut folder = Folder::new(classes);
    for (label, name) in classes.iter().enumerate() {
        let place = dir.join(name);
        let all = pictures(&place)?;
        let key = |path: &PathBuf| {
            let inner = path.strip_prefix(dir).unwrap_or(path).to_string_lossy().replace('\\', "/");
            random::hash(format!("{} {inner}", options.seed).as_bytes())
        };
        let mut keys: Vec<u64> = all.iter().map(key).collect();
        keys.sort_unstable();
        let count = (all.len() as f64 * options.hold_out).round() as usize;
        // Both splits see every class that has two pictures or more.
        let count = count.clamp(usize::from(all.len() > 1), all.len() - 1);
        let border = keys[count];
        let wanted = |path: &PathBuf| (key(path) < border) == (split == Split::Test);
        folder.add(label, all.into_iter().filter(wanted).collect());
    }
    if folder.files.is_empty() {
        let problem = format!("no pictures left for the {} split", split.name());
        return Err(Error::data(dir, problem, "every class needs two pictures or more"));
    }
    Ok(folder)
}

impl Folder {
    fn new(classes: &[String]) -> Folder {
        Folder { classes: classes.to_vec(), files: Vec::new(), labels: Vec::new() }
    }

    fn add(&mut self, label: usize, files: Vec<PathBuf>) {
        self.labels.extend(std::iter::repeat_n(label as u32, files.len()));
        self.files.extend(files);
    }
}

/// The class folders in `root`, sorted.
fn class_folders(root: &Path) -> Result<Vec<String>, Error> {
    let (_, folders) = list(root)?;
    if folders.is_empty() {
        return Err(Error::data(root, "holds no class folders", "make one folder per class in it"));
    }
    Ok(folders)
}

/// Files and folders directly in `dir`, sorted; hidden ones are left out.
pub(crate) fn list(dir: &Path) -> Result<(Vec<String>, Vec<String>), Error> {
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(dir).map_err(|e| Error::io(dir, e))? {
        let entry = entry.map_err(|e| Error::io(dir, e))?;
        let Ok(name) = entry.file_name().into_string() else {
            return Err(Error::data(&entry.path(), "its name is not UTF-8", "rename it"));
        };
        if name.starts_with('.') || name == "__MACOSX" {
            continue;
        }
        // Follows links: data sets are often folders of them.
        let kind = fs::metadata(entry.path()).map_err(|e| Error::io(&entry.path(), e))?;
        if kind.is_dir() { folders.push(name) } else { files.push(name) }
    }
    files.sort();
    folders.sort();
    if folders.len() > limits::CLASSES {
        let problem = format!("more than {} folders", limits::CLASSES);
        return Err(Error::data(dir, problem, "is this a data set?"));
    }
    Ok((files, folders))
}

/// Every picture below a class folder, in path order.
fn pictures(place: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    gather(place, limits::FOLDER_DEPTH, &mut found)?;
    if found.is_empty() {
        let advice = "add .jpg or .png files, or remove the folder";
        return Err(Error::data(place, "a class folder without JPEG or PNG pictures", advice));
    }
    Ok(found)
}

fn gather(place: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), Error> {
    let (files, folders) = list(place)?;
    found.extend(files.iter().filter(|name| is_picture(name)).map(|name| place.join(name)));
    if depth == 0 && !folders.is_empty() {
        let problem = format!("folders more than {} deep", limits::FOLDER_DEPTH);
        return Err(Error::data(place, problem, "flatten them (or is a link going round?)"));
    }
    folders.iter().try_for_each(|name| gather(&place.join(name), depth - 1, found))
}

fn is_picture(name: &str) -> bool {
    let ending = Path::new(name).extension().and_then(|e| e.to_str()).unwrap_or("");
    ["jpg", "jpeg", "png"].iter().any(|e| ending.eq_ignore_ascii_case(e))
}
