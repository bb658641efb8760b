//! Saved training state: parameters, optimiser moments, counters.
//!
//! Layout, little-endian: the eight bytes `bitatck` and a version; the counters,
//! the parameters, the optimiser, the named arrays, each run preceded by its count
//! (u64), each name and array by its length; last, the FNV-1a hash of all before.
//! A file is written beside its place and renamed, so that a reader never meets
//! half of one.

use crate::optimiser::Optimiser;
use bitat_graph::Graph;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 7] = b"bitatck";
const VERSION: u8 = 1;

/// Everything a resumed run needs beside its options.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// Name, shape and values of every parameter.
    params: Vec<(String, Vec<usize>, Vec<f32>)>,
    /// Steps taken and the moments of every parameter.
    optimiser: Option<(u64, Vec<[Vec<f32>; 2]>)>,
    /// Named numbers: epoch, step, stage, words of generator states.
    pub counters: Vec<(String, u64)>,
    /// Named arrays of whatever else is trained.
    pub arrays: Vec<(String, Vec<f32>)>,
}

/// What can be wrong with a checkpoint.
#[derive(Debug)]
pub enum Error {
    /// The file cannot be read or written.
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Not a checkpoint, or of another version, or damaged.
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A sound checkpoint of another network or optimiser.
    Mismatch {
        /// The first thing that differs.
        what: String,
    },
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Error::Io { path, source } => write!(f, "checkpoint '{}': {source}", path.display()),
            Error::Format { path, what } => write!(f, "checkpoint '{}': {what}", path.display()),
            Error::Mismatch { what } => write!(f, "the checkpoint is of another run: {what}"),
        }
    }
}

impl std::error::Error for Error {}

impl State {
    /// The parameters of a graph and, if given, the state of its optimiser.
    pub fn of(graph: &Graph, optimiser: Option<&Optimiser>) -> State {
        let params = graph.params.iter();
        State {
            params: params.map(|p| (p.name.clone(), p.shape.clone(), p.data.clone())).collect(),
            optimiser: optimiser.map(|o| (o.steps, o.moments.clone())),
            ..State::default()
        }
    }

    /// The counter of this name.
    pub fn counter(&self, name: &str) -> Option<u64> {
        self.counters.iter().find(|(n, _)| n == name).map(|(_, value)| *value)
    }

    /// Sets a counter.
    pub fn set_counter(&mut self, name: &str, value: u64) {
        match self.counters.iter_mut().find(|(n, _)| n == name) {
            Some((_, old)) => *old = value,
            None => self.counters.push((name.to_string(), value)),
        }
    }

    /// Puts parameters and moments back.
    ///
    /// # Errors
    /// [`Error::Mismatch`] if the graph's parameters or the optimiser's moments are not
    /// those saved; then nothing was changed.
    pub fn restore(
        &self,
        graph: &mut Graph,
        optimiser: Option<&mut Optimiser>,
    ) -> Result<(), Error> {
        let mismatch = |what: String| Err(Error::Mismatch { what });
        if self.params.len() != graph.params.len() {
            let (saved, have) = (self.params.len(), graph.params.len());
            return mismatch(format!("it has {saved} parameters, the network {have}"));
        }
        for ((name, shape, _), param) in self.params.iter().zip(&graph.params) {
            if *name != param.name || *shape != param.shape {
                return mismatch(format!(
                    "it has '{name}' {shape:?} where the network has '{}' {:?}",
                    param.name, param.shape
                ));
            }
        }
        if let Some(optimiser) = optimiser {
            let Some((steps, moments)) = &self.optimiser else {
                return mismatch("it has no optimiser state".into());
            };
            let lens = |m: &[[Vec<f32>; 2]]| -> Vec<[usize; 2]> {
                m.iter().map(|[a, b]| [a.len(), b.len()]).collect()
            };
            if lens(moments) != lens(&optimiser.moments) {
                return mismatch("its optimiser follows another rule".into());
            }
            optimiser.steps = *steps;
            optimiser.moments.clone_from(moments);
        }
        for ((_, _, data), param) in self.params.iter().zip(&mut graph.params) {
            param.data.clone_from(data);
        }
        Ok(())
    }

    /// Writes the state to `path`, replacing what is there only once all is written.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".part");
        let beside = PathBuf::from(beside);
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&beside)?;
            file.write_all(&self.to_bytes())?;
            file.sync_all()?;
            fs::rename(&beside, path)
        };
        write().map_err(|source| {
            // The first error is the one to report.
            let _ = fs::remove_file(&beside);
            Error::Io { path: path.to_path_buf(), source }
        })
    }

    /// Reads a state written by [`State::save`].
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Format`] if the file is not a whole checkpoint.
    pub fn load(path: &Path) -> Result<State, Error> {
        let bytes =
            fs::read(path).map_err(|source| Error::Io { path: path.to_path_buf(), source })?;
        State::from_bytes(&bytes).map_err(|what| Error::Format { path: path.to_path_buf(), what })
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Out(Vec::new());
        out.0.extend(MAGIC);
        out.0.push(VERSION);
        out.count(self.counters.len());
        for (name, value) in &self.counters {
            out.text(name);
            out.0.extend(value.to_le_bytes());
        }
        out.count(self.params.len());
        for (name, shape, data) in &self.params {
            out.text(name);
            out.count(shape.len());
            shape.iter().for_each(|&side| out.count(side));
            out.floats(data);
        }
        match &self.optimiser {
            None => out.count(0),
            Some((steps, moments)) => {
                out.count(1);
                out.0.extend(steps.to_le_bytes());
                out.count(moments.len());
                for moment in moments.iter().flatten() {
                    out.floats(moment);
                }
            }
        }
        out.count(self.arrays.len());
        for (name, data) in &self.arrays {
            out.text(name);
            out.floats(data);
        }
        let hash = fnv(&out.0);
        out.0.extend(hash.to_le_bytes());
        out.0
    }

    fn from_bytes(bytes: &[u8]) -> Result<State, String> {
        let Some(rest) = bytes.strip_prefix(MAGIC) else {
            return Err("not a checkpoint".into());
        };
        match rest.first() {
            Some(&VERSION) => {}
            Some(other) => {
                return Err(format!("version {other}, and this program reads version {VERSION}"));
            }
            None => return Err("cut short".into()),
        }
        let Some((body, hash)) = bytes.split_last_chunk::<8>() else {
            return Err("cut short".into());
        };
        if fnv(body) != u64::from_le_bytes(*hash) {
            return Err("damaged or cut short (its checksum does not match)".into());
        }
        let mut input = In(body.get(8..).unwrap_or_default());
        let mut state = State::default();
        for _ in 0..input.count()? {
            state.counters.push((input.text()?, input.number()?));
        }
        for _ in 0..input.count()? {
            let name = input.text()?;
            let shape = (0..input.count()?).map(|_| input.size()).collect::<Result<_, _>>()?;
            state.params.push((name, shape, input.floats()?));
        }
        if input.count()? > 0 {
            let steps = input.number()?;
            let moments = (0..input.count()?).map(|_| Ok([input.floats()?, input.floats()?]));
            state.optimiser = Some((steps, moments.collect::<Result<_, String>>()?));
        }
        for _ in 0..input.count()? {
            state.arrays.push((input.text()?, input.floats()?));
        }
        if input.0.is_empty() { Ok(state) } else { Err("has bytes to spare".into()) }
    }
}

struct Out(Vec<u8>);

impl Out {
    fn count(&mut self, n: usize) {
        self.0.extend((n as u64).to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.count(text.len());
        self.0.extend(text.as_bytes());
    }

    fn floats(&mut self, data: &[f32]) {
        self.count(data.len());
        self.0.extend(data.iter().flat_map(|x| x.to_le_bytes()));
    }
}

/// What is left to read. Counts are checked against it before anything is made.
struct In<'a>(&'a [u8]);

impl<'a> In<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], String> {
        let (head, rest) = self.0.split_at_checked(len).ok_or("a length runs past the end")?;
        self.0 = rest;
        Ok(head)
    }

    fn number(&mut self) -> Result<u64, String> {
        let bytes = self.take(8)?;
        Ok(bytes.iter().rev().fold(0, |n, &byte| n << 8 | u64::from(byte)))
    }

    fn size(&mut self) -> Result<usize, String> {
        usize::try_from(self.number()?).map_err(|_| "a size too large for this machine".into())
    }

    fn count(&mut self) -> Result<usize, String> {
        let count = self.size()?;
        if count > self.0.len() { Err("a count runs past the end".into()) } else { Ok(count) }
    }

    fn text(&mut self) -> Result<String, String> {
        let len = self.count()?;
        String::from_utf8(self.take(len)?.to_vec()).map_err(|_| "a name is not UTF-8".into())
    }

    fn floats(&mut self) -> Result<Vec<f32>, String> {
        let len = self.count()?;
        let bytes = self.take(len.checked_mul(4).ok_or("a length runs past the end")?)?;
        let (floats, _) = bytes.as_chunks::<4>();
        Ok(floats.iter().map(|b| f32::from_le_bytes(*b)).collect())
    }
}

fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimiser::{Config, Rule};
    use bitat_graph::Role;

    fn sample() -> (Graph, Optimiser, State) {
        let mut graph = Graph::default();
        graph.param("a", &[2, 3], (0..6).map(|i| i as f32 - 2.5).collect(), Role::Weight);
        graph.param("mean", &[1], vec![f32::MIN_POSITIVE], Role::Statistic);
        let mut optimiser = Optimiser::new(&graph, Config::default());
        let gradient = [0.5, -1.0, 2.0, 0.0, 1e-20, 3.0];
        optimiser.step_with(&mut graph, 0.1, |_| &gradient);
        let mut state = State::of(&graph, Some(&optimiser));
        state.set_counter("epoch", 3);
        state.set_counter("rng0", u64::MAX);
        state.set_counter("epoch", 4);
        state.arrays.push(("v".into(), vec![1.0, f32::NAN]));
        (graph, optimiser, state)
    }

    #[test]
    fn round_trip_through_a_file() {
        let (graph, optimiser, state) = sample();
        let name = format!("bitat-checkpoint-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        state.save(&path).unwrap();
        let read = State::load(&path).unwrap();
        assert_eq!(read.to_bytes(), state.to_bytes());
        assert_eq!((read.counter("epoch"), read.counter("rng0")), (Some(4), Some(u64::MAX)));
        fs::remove_file(&path).unwrap();
        let mut other = graph.clone();
        other.params[0].data.fill(0.0);
        let mut fresh = Optimiser::new(&other, Config::default());
        read.restore(&mut other, Some(&mut fresh)).unwrap();
        assert_eq!((other, fresh), (graph, optimiser));
    }

    #[test]
    fn every_cut_and_flip_is_found() {
        let (.., state) = sample();
        let bytes = state.to_bytes();
        for cut in 0..bytes.len() {
            assert!(State::from_bytes(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            assert!(State::from_bytes(&flipped).is_err(), "flip at {at}");
        }
        // A hostile length under a right checksum.
        let mut hostile = bytes[..8].to_vec();
        hostile.extend(u64::MAX.to_le_bytes());
        hostile.extend(fnv(&hostile).to_le_bytes());
        assert!(State::from_bytes(&hostile).is_err());
    }

    #[test]
    fn another_network_is_refused_and_untouched() {
        let (graph, optimiser, state) = sample();
        let mut other = graph.clone();
        other.params[1].name = "var".into();
        let before = other.clone();
        let error = state.restore(&mut other, None).unwrap_err().to_string();
        assert!(error.contains("'mean'") && error.contains("'var'"), "{error}");
        assert_eq!(other, before);
        let mut graph = graph;
        let rule = Rule::Sgd { momentum: 0.9 };
        let mut sgd = Optimiser::new(&graph, Config { rule, ..optimiser.config });
        assert!(state.restore(&mut graph, Some(&mut sgd)).is_err());
    }

    #[test]
    fn unwritable_places_are_reported() {
        let (.., state) = sample();
        let path = std::env::temp_dir().join("bitat-no-such-folder").join("x");
        let error = state.save(&path).unwrap_err().to_string();
        assert!(error.contains("bitat-no-such-folder"), "{error}");
        assert!(State::load(&path).is_err());
    }
}
