//! Threads that share the work of one inference (feature `threads`).
//!
//! The caller's thread works too, so a pool of n threads starts n − 1. Each
//! layer that is worth it is cut into parts, all but one of which go to the
//! others; the caller does the last.

use bitat_kernels::{Kernels, Misuse};
use bitat_workers::Workers;

use crate::error::Error;
use crate::geometry;
use crate::part::{Crew, Part};
use crate::split::{Cut, Threads};

/// Threads that share the work of an inference; see
/// [`Network::run_on`](crate::Network::run_on).
///
/// Make one and keep it: starting threads takes longer than a layer. It can be
/// shared; inferences that run at the same time share its threads.
///
/// ```
/// # use bitat_format::View;
/// # use bitat_kernels::Kernels;
/// # use bitat_runtime::{ARENA_LINE, Network, Pool, Threads, aligned};
/// # fn score(file: &[u8], image: &[u8]) -> Result<Vec<i32>, Box<dyn std::error::Error>> {
/// let view = View::parse(file)?;
/// let pool = Pool::new(2)?;
/// let network = Network::new(view, Kernels::best()).for_threads(Threads::new(pool.threads()));
/// let mut memory = vec![0; network.arena_bytes() + ARENA_LINE - 1];
/// let mut scores = vec![0; view.class_count()];
/// network.run_on(&pool, image, aligned(&mut memory), &mut scores)?;
/// # Ok(scores)
/// # }
/// ```
#[derive(Debug)]
pub struct Pool {
    others: Workers,
}

impl Pool {
    /// A pool of `threads` threads, the caller's included.
    ///
    /// # Errors
    /// [`Error::Threads`] for 0, or if the system starts no more threads.
    pub fn new(threads: usize) -> Result<Pool, Error> {
        let refused = Error::Threads { asked: threads };
        let others = threads.checked_sub(1).ok_or(refused)?;
        Ok(Pool { others: Workers::new(others).map_err(|_| refused)? })
    }

    /// Threads, the caller's included.
    pub fn threads(&self) -> usize {
        self.others.count() + 1
    }
}

/// A pool of which as many threads are used as the arena was planned for.
pub(crate) struct Gang<'p> {
    pub(crate) pool: &'p Pool,
    pub(crate) planned: Threads,
}

impl Crew for Gang<'_> {
    fn compute(&self, kernels: Kernels, part: Part<'_>) -> Result<(), Option<Misuse>> {
        let count = self.pool.threads().min(self.planned.count);
        let Some(operation) = geometry::operation(&part.operation) else {
            return Err(None);
        };
        let shortcut = part.shortcut.map(|taken| (taken.shape, taken.pool));
        let cut = Cut::new(operation, &part.conv, shortcut);
        match cut.parts(Threads { count, ..self.planned }) {
            ..2 => part.compute(kernels),
            parts => self.share(&cut, cut.prepare(part), parts, kernels),
        }
    }
}

impl Gang<'_> {
    /// Does as many parts as are left, each on a thread of its own: the same in every
    /// layer, which finds there what it wrote in the one before.
    fn share(
        &self,
        cut: &Cut,
        rest: Part<'_>,
        parts: usize,
        kernels: Kernels,
    ) -> Result<(), Option<Misuse>> {
        if parts < 2 {
            return rest.compute(kernels);
        }
        let [part, rest] = cut.take(rest, parts);
        let theirs = move || part.compute(kernels);
        let ours = move || self.share(cut, rest, parts - 1, kernels);
        let (theirs, ours) = self.pool.others.join(parts - 2, theirs, ours);
        theirs.and(ours)
    }
}
