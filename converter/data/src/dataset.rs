//! A labelled set of pictures, whatever it is stored as.

use crate::fit::Fit;
use crate::image::{Image, decode_image};
use crate::random::Random;
use crate::records::Records;
use crate::resize::fit_image;
use crate::{Error, cifar, folder, idx, limits, read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Which part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// What the network learns from.
    Train,
    /// What it is judged by; also found under the name of validation.
    Test,
}

impl Split {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Split::Train => "training",
            Split::Test => "test",
        }
    }

    pub(crate) fn idx_name(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Test => "t10k",
        }
    }
}

/// How a data set is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// Folders of classes without a split: the part held out for testing, 0 to 1.
    pub hold_out: f64,
    /// Seed of that part.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options { hold_out: 0.1, seed: 0 }
    }
}

/// A labelled set of pictures. Files of whole data sets (IDX, CIFAR) are held
/// as bytes; pictures in folders are decoded one at a time, when asked for.
///
/// Reading takes `&self`: several threads may decode at once.
#[derive(Debug)]
pub struct Dataset {
    source: Arc<Source>,
    /// What the data set's pictures are called in messages.
    place: PathBuf,
    labels: Vec<u32>,
    classes: Vec<String>,
    /// Which pictures of the source belong, in order.
    chosen: Vec<u32>,
}

#[derive(Debug)]
enum Source {
    Memory(Records),
    Files(Vec<PathBuf>),
}

/// Files that may carry an IDX set's class names.
const NAME_FILES: [&str; 4] = ["classes.txt", "class_names.txt", "label_names.txt", "labels.txt"];
/// Folders that the usual archives unpack to.
const INNER: [&str; 2] = ["cifar-10-batches-bin", "cifar-100-binary"];

impl Dataset {
    /// Opens the data set in `dir`, whatever its format:
    ///
    /// - IDX: `train-images-idx3-ubyte` and `train-labels-idx1-ubyte`, `t10k-…`
    ///   or `test-…`, plain or `.gz`; class names from `classes.txt` if there;
    /// - CIFAR-10 and CIFAR-100, binary version (fine labels);
    /// - `DIR/train/CLASS/…` and `DIR/test/CLASS/…` (or `val`), JPEG and PNG;
    /// - `DIR/CLASS/…`, of which [`Options::hold_out`] is held out.
    pub fn open(dir: &Path, split: Split, options: &Options) -> Result<Dataset, Error> {
        if !(options.hold_out > 0.0 && options.hold_out < 1.0) {
            let problem = format!("{} is not between 0 and 1", options.hold_out);
            return Err(Error::usage("hold-out part", problem));
        }
        let (files, folders) = folder::list(dir)?;
        if let Some(set) = idx::find(dir, &files, split)? {
            return Dataset::from_idx(dir, &files, split, &set);
        }
        if let Some(set) = cifar::find(dir, &files, split)? {
            let (records, labels) = cifar::load(&set)?;
            let classes = cifar::names(&set)?.unwrap_or_else(|| numbered(set.classes()));
            return Ok(Dataset::new(Source::Memory(records), dir, labels, classes));
        }
        if let Some(inner) = INNER.iter().find(|n| folders.iter().any(|f| f == *n)) {
            return Dataset::open(&dir.join(inner), split, options);
        }
        if folders.is_empty() {
            return Err(unrecognised(dir, &files));
        }
        let set = folder::open(dir, &folders, split, options)?;
        Ok(Dataset::new(Source::Files(set.files), dir, set.labels, set.classes))
    }

    fn from_idx(
        dir: &Path,
        files: &[String],
        split: Split,
        set: &idx::Files,
    ) -> Result<Dataset, Error> {
        let (records, labels) = idx::load(set)?;
        let names = NAME_FILES.iter().find(|n| files.iter().any(|f| f == *n));
        let classes = match names {
            Some(name) => read::names(&dir.join(name))?,
            None => {
                // Without names the labels say how many classes there are; the
                // other split may know of more.
                let other = if split == Split::Train { Split::Test } else { Split::Train };
                let other = match idx::find(dir, files, other) {
                    Ok(Some(set)) => idx::labels(&set)?,
                    _ => Vec::new(),
                };
                numbered(labels.iter().chain(&other).max().map_or(0, |&l| l as usize + 1))
            }
        };
        if let Some(i) = labels.iter().position(|&l| l as usize >= classes.len()) {
            return Err(Error::data(
                idx::label_file(set),
                format!("label {} of picture {i} has no name", labels[i]),
                format!("{} names {} classes; complete it", names.unwrap_or(&""), classes.len()),
            ));
        }
        Ok(Dataset::new(Source::Memory(records), dir, labels, classes))
    }

    fn new(source: Source, place: &Path, labels: Vec<u32>, classes: Vec<String>) -> Dataset {
        let chosen = (0..labels.len() as u32).collect();
        Dataset { source: Arc::new(source), place: place.to_owned(), labels, classes, chosen }
    }

    /// Pictures held in memory, for tests and demonstrations: `pixels` NHWC,
    /// `shape` is rows, columns, channels (1 or 3) of one picture.
    ///
    /// # Panics
    /// If the lengths do not agree or a label has no class.
    pub fn from_memory(
        pixels: Vec<u8>,
        shape: [usize; 3],
        labels: Vec<u32>,
        classes: Vec<String>,
    ) -> Dataset {
        assert_eq!(pixels.len(), labels.len() * shape.iter().product::<usize>());
        assert!(matches!(shape[2], 1 | 3) && !labels.is_empty());
        assert!(labels.iter().all(|&l| (l as usize) < classes.len()));
        let source = Source::Memory(Records { pixels, shape });
        Dataset::new(source, Path::new("memory"), labels, classes)
    }

    /// Keeps `count` pictures, drawn at random by `seed`, in their old order.
    /// Keeps all if there are no more than that.
    pub fn limit(&mut self, count: usize, seed: u64) {
        if count < self.chosen.len() {
            Random::new(&[seed, 0x6c69_6d69]).shuffle(&mut self.chosen);
            self.chosen.truncate(count);
            self.chosen.sort_unstable();
        }
    }

    /// Two disjoint sets, both in their old order: what is left of this one
    /// without `count` pictures, drawn at random by `seed`, and those pictures.
    /// They share the pixels.
    ///
    /// # Panics
    /// If there are not more than `count` pictures.
    pub fn hold_out(&self, count: usize, seed: u64) -> (Dataset, Dataset) {
        assert!(count < self.len(), "{count} of {} pictures held out", self.len());
        let mut drawn = self.chosen.clone();
        Random::new(&[seed, 0x6865_6c64]).shuffle(&mut drawn);
        let (held, rest) = drawn.split_at_mut(count);
        let part = |chosen: &mut [u32]| {
            chosen.sort_unstable();
            Dataset {
                source: Arc::clone(&self.source),
                place: self.place.clone(),
                labels: self.labels.clone(),
                classes: self.classes.clone(),
                chosen: chosen.to_vec(),
            }
        };
        (part(rest), part(held))
    }

    /// Number of pictures.
    pub fn len(&self) -> usize {
        self.chosen.len()
    }

    /// True if [`Dataset::limit`] left nothing.
    pub fn is_empty(&self) -> bool {
        self.chosen.is_empty()
    }

    /// Class names in label order; their numbers where the names are unknown.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The class of picture `i`.
    ///
    /// # Panics
    /// If `i` is not below [`Dataset::len`], like the other methods that take it.
    pub fn label(&self, i: usize) -> usize {
        self.labels[self.chosen[i] as usize] as usize
    }

    /// Rows, columns, channels, if the format makes them the same for all.
    pub fn shape(&self) -> Option<[usize; 3]> {
        match &*self.source {
            Source::Memory(records) => Some(records.shape),
            Source::Files(_) => None,
        }
    }

    /// What picture `i` is called: its file, or the data set and its number.
    pub fn name(&self, i: usize) -> String {
        let at = self.chosen[i] as usize;
        match &*self.source {
            Source::Memory(_) => format!("{}#{at}", self.place.display()),
            Source::Files(files) => files[at].display().to_string(),
        }
    }

    /// Picture `i` at its own size.
    pub fn image(&self, i: usize) -> Result<Image, Error> {
        let at = self.chosen[i] as usize;
        match &*self.source {
            Source::Memory(records) => {
                let [height, width, channels] = records.shape;
                let pixels = records.picture(at).to_vec();
                Ok(Image { height, width, channels, pixels })
            }
            Source::Files(files) => decode_image(&files[at]),
        }
    }

    /// Picture `i` fitted into `out` (`fit.bytes()` bytes, channels last).
    pub fn read(&self, i: usize, fit: &Fit, out: &mut [u8]) -> Result<(), Error> {
        if let Source::Memory(records) = &*self.source
            && records.shape == [fit.height, fit.width, fit.channels]
            && fit.keeps_whole()
        {
            out.copy_from_slice(records.picture(self.chosen[i] as usize));
            return Ok(());
        }
        fit_image(&self.image(i)?, fit, out);
        Ok(())
    }
}

fn numbered(count: usize) -> Vec<String> {
    (0..count.min(limits::CLASSES)).map(|i| i.to_string()).collect()
}

/// Nothing in `dir` looks like a data set.
fn unrecognised(dir: &Path, files: &[String]) -> Error {
    let formats = "put IDX files, CIFAR .bin files or one folder of pictures per class into it";
    if files.is_empty() {
        return Error::data(dir, "the folder is empty", formats);
    }
    if let Some(packed) = files
        .iter()
        .find(|f| [".xz", ".zip", ".tar", ".tgz", ".tar.gz"].iter().any(|e| f.ends_with(e)))
    {
        return Error::data(&dir.join(packed), "an archive, not a data set", "unpack it first");
    }
    Error::data(dir, "no data set recognised", formats)
}
