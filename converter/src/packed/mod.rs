//! A packed file on a machine with an operating system: opening, scoring data.

pub mod summary;
pub mod traffic;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bitat_data::{Dataset, Fit};
use bitat_format::{FileBuffer, View};
use bitat_kernels::{Isa, Kernels};
use bitat_runtime::{ARENA_LINE, Network, Plan, Pool, Step, Threads, aligned};
use rayon::prelude::*;

use crate::Error;
use crate::learn::evaluate::Scores;

/// The variable that forces an instruction set: `BITAT_ISA=portable`.
pub const ISA_VARIABLE: &str = "BITAT_ISA";

/// Images that one thread scores at a time.
const CHUNK: usize = 64;

/// A packed file, validated.
pub struct Packed {
    file: FileBuffer,
    path: PathBuf,
}

impl Packed {
    /// True if `path` begins as packed files do.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn is_packed(path: &Path) -> Result<bool, Error> {
        use std::io::Read;
        if path.is_dir() {
            return Err(Error::file(path, "is a folder; give a network's file"));
        }
        let file = std::fs::File::open(path).map_err(|e| Error::file(path, e))?;
        let mut head = Vec::new();
        file.take(bitat_format::MAGIC.len() as u64)
            .read_to_end(&mut head)
            .map_err(|e| Error::file(path, e))?;
        Ok(head == bitat_format::MAGIC)
    }

    /// Reads and validates a file.
    ///
    /// # Errors
    /// If it cannot be read or is not a valid packed network.
    pub fn open(path: &Path) -> Result<Packed, Error> {
        use std::io::Read;
        let file = std::fs::File::open(path).map_err(|e| Error::file(path, e))?;
        // One byte more than a network may have is enough to refuse it.
        let most = bitat_format::limits::FILE_BYTES as u64 + 1;
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes).map_err(|e| Error::file(path, e))?;
        Packed::new(FileBuffer::new(&bytes), path)
    }

    /// Validates bytes that are called `path` in messages.
    ///
    /// # Errors
    /// If they are not a valid packed network.
    pub fn new(file: FileBuffer, path: &Path) -> Result<Packed, Error> {
        View::parse(&file).map_err(|e| Error::file(path, e))?;
        Ok(Packed { file, path: path.to_owned() })
    }

    /// The file's contents.
    pub fn view(&self) -> View<'_> {
        match View::parse(&self.file) {
            Ok(view) => view,
            Err(_) => unreachable!("validated when it was opened"),
        }
    }

    /// The whole file.
    pub fn bytes(&self) -> &[u8] {
        &self.file
    }

    /// Bytes of arena that a run on a device needs, as `include_model!` and
    /// `bitat_init` plan it: by rows where that needs less.
    pub fn arena_bytes(&self) -> usize {
        let view = self.view();
        Plan::new(&view).by_rows(&view).arena_bytes()
    }

    /// Bytes of arena with which every layer runs whole, which is faster.
    pub fn whole_arena_bytes(&self) -> usize {
        bitat_runtime::arena_bytes(&self.view())
    }

    /// The size of its images.
    pub fn fit(&self) -> Fit {
        let input = self.view().input();
        Fit::new(input.height, input.width, input.channels)
    }

    /// Checks that the network and a data set speak of the same classes.
    ///
    /// # Errors
    /// If they do not.
    pub fn check_classes(&self, data: &Dataset) -> Result<(), Error> {
        let (outputs, classes) = (self.view().class_count(), data.classes().len());
        if outputs != classes {
            return Err(Error::file(
                &self.path,
                format!(
                    "has {outputs} classes but the data has {classes}; give the --data it was made for"
                ),
            ));
        }
        Ok(())
    }

    /// A runner with memory of its own.
    ///
    /// # Errors
    /// Never for a reason in the file.
    pub fn runner(&self, kernels: Kernels) -> Result<Runner<'_>, Error> {
        self.runner_on(kernels, Arc::new(threads(1)?))
    }

    /// The same on the threads of `pool`.
    ///
    /// # Errors
    /// As [`Packed::runner`].
    pub fn runner_on(&self, kernels: Kernels, pool: Arc<Pool>) -> Result<Runner<'_>, Error> {
        let network = Network::new(self.view(), kernels).for_threads(Threads::new(pool.threads()));
        Ok(Runner::new(network, pool))
    }

    /// A runner that runs as a device does that has no more than
    /// [`Packed::arena_bytes`].
    ///
    /// # Errors
    /// As [`Packed::runner`].
    pub fn runner_by_rows(&self, kernels: Kernels) -> Result<Runner<'_>, Error> {
        let network = Network::new(self.view(), kernels).by_rows();
        Ok(Runner::new(network, Arc::new(threads(1)?)))
    }

    /// Scores every image of a data set, on all cores.
    ///
    /// `each` is told now and then how many images are done; `false` stops.
    ///
    /// # Errors
    /// An unreadable image, or a stop.
    pub fn score(
        &self,
        data: &Arc<Dataset>,
        kernels: Kernels,
        mut each: impl FnMut(usize) -> bool,
    ) -> Result<Scores, Error> {
        let fit = self.fit();
        let chunk = |start: usize| -> Result<Scores, Error> {
            let mut runner = self.runner(kernels)?;
            let mut scores = Scores::new(self.view().class_count());
            let mut pixels = vec![0; fit.bytes()];
            for i in start..(start + CHUNK).min(data.len()) {
                data.read(i, &fit, &mut pixels)?;
                scores.push(data.label(i), runner.run(&pixels)?);
            }
            Ok(scores)
        };
        let mut all = Scores::new(self.view().class_count());
        let starts: Vec<usize> = (0..data.len()).step_by(CHUNK).collect();
        for round in starts.chunks(4 * rayon::current_num_threads()) {
            let parts: Result<Vec<Scores>, Error> = round.par_iter().map(|&s| chunk(s)).collect();
            parts?.into_iter().for_each(|part| all.append(part));
            if !each(all.images()) {
                return Err(Error::interrupted("stopped; nothing was written"));
            }
        }
        Ok(all)
    }
}

/// A pool of `count` threads, the calling one included.
///
/// # Errors
/// For 0, or more than the system starts.
pub fn threads(count: usize) -> Result<Pool, Error> {
    Pool::new(count).map_err(|e| Error::usage(e.to_string()))
}

/// The kernels that `BITAT_ISA` names, or the best this machine has.
///
/// # Errors
/// If the variable names a set that does not exist or cannot run here.
pub fn kernels() -> Result<Kernels, Error> {
    match std::env::var(ISA_VARIABLE) {
        Ok(name) => kernels_named(&name, ISA_VARIABLE),
        Err(_) => Ok(Kernels::best()),
    }
}

/// The kernels called `name`; `source` says in messages who asked for them.
///
/// # Errors
/// If there are none of that name or they cannot run here.
pub fn kernels_named(name: &str, source: &str) -> Result<Kernels, Error> {
    let isa: Isa = name.parse().map_err(|e| Error::usage(format!("{source} {name}: {e}")))?;
    Kernels::new(isa).ok_or_else(|| {
        let here: Vec<&str> = available().iter().map(|k| k.isa().name()).collect();
        Error::usage(format!(
            "{source} {name}: this processor cannot run it; it can run {}",
            here.join(", ")
        ))
    })
}

/// One kernel set per instruction set that runs here, the plain one first.
pub fn available() -> Vec<Kernels> {
    Isa::ALL.into_iter().filter_map(Kernels::new).collect()
}

/// A network with an arena.
pub struct Runner<'a> {
    network: Network<'a>,
    pool: Arc<Pool>,
    memory: Vec<u8>,
    scores: Vec<i32>,
}

impl<'a> Runner<'a> {
    fn new(network: Network<'a>, pool: Arc<Pool>) -> Runner<'a> {
        let memory = vec![0; network.arena_bytes() + ARENA_LINE - 1];
        let scores = vec![0; network.view().class_count()];
        Runner { network, pool, memory, scores }
    }

    /// The kernels.
    pub fn kernels(&self) -> Kernels {
        self.network.kernels()
    }

    /// Bytes of arena.
    pub fn arena_bytes(&self) -> usize {
        self.network.arena_bytes()
    }

    /// Scores one image of exactly the network's size.
    ///
    /// # Errors
    /// If the image has another size.
    pub fn run(&mut self, image: &[u8]) -> Result<&[i32], Error> {
        self.run_with(image, |_| {})?;
        Ok(&self.scores)
    }

    /// As [`Runner::run`]; `observer` sees every layer's output right after it ran.
    ///
    /// # Errors
    /// If the image has another size.
    pub fn run_with(
        &mut self,
        image: &[u8],
        observer: impl FnMut(Step<'_>),
    ) -> Result<&[i32], Error> {
        self.network
            .run_on_with(&self.pool, image, aligned(&mut self.memory), &mut self.scores, observer)
            .map_err(|e| Error::model(e.to_string()))?;
        Ok(&self.scores)
    }
}
