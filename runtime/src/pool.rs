//! Threads that share the work of one inference (feature `threads`).
//!
//! The caller's thread works too, so a pool of n threads starts n − 1. Each
//! layer that is worth it is cut into parts, all but one of which are handed
//! to the pool; the caller does the last and then waits for the others. It
//! looks at a counter while it waits, for a part is over sooner than a thread
//! that sleeps is awake. Only if others hold the processors does it make room for them,
//! and sleep.

use core::hint::spin_loop;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Mutex;
use std::thread::yield_now;

use bitat_kernels::{Kernels, Misuse};
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::Error;
use crate::geometry;
use crate::part::{Crew, Part};
use crate::split::{Cut, Threads};

/// Looks at the counter before the caller lets others run: ten or twenty microseconds, more
/// than parts of one layer mostly differ by.
const LOOKS: u32 = 500;

/// Looks of a thread that has no part of a layer, before it sleeps: some fifty microseconds.
const AWAKE: u32 = 2_000;

/// Times that it lets others run, and looks again, before it sleeps.
const YIELDS: u32 = 2_000;

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
    /// `None` for a pool of one.
    others: Option<ThreadPool>,
    threads: usize,
}

impl Pool {
    /// A pool of `threads` threads, the caller's included.
    ///
    /// # Errors
    /// [`Error::Threads`] for 0, or if the system starts no more threads.
    pub fn new(threads: usize) -> Result<Pool, Error> {
        let refused = Error::Threads { asked: threads };
        let others = match threads {
            0 => return Err(refused),
            1 => None,
            _ => {
                let builder = ThreadPoolBuilder::new().num_threads(threads - 1);
                Some(builder.build().map_err(|_| refused)?)
            }
        };
        Ok(Pool { others, threads })
    }

    /// Threads, the caller's included.
    pub fn threads(&self) -> usize {
        self.threads
    }
}

/// A pool of which as many threads are used as the arena was planned for.
pub(crate) struct Gang<'p> {
    pub(crate) pool: &'p Pool,
    pub(crate) planned: Threads,
}

impl Crew for Gang<'_> {
    fn compute(&self, kernels: Kernels, part: Part<'_>) -> Result<(), Option<Misuse>> {
        let Some(others) = &self.pool.others else {
            return part.compute(kernels);
        };
        let Some(operation) = geometry::operation(&part.operation) else {
            return Err(None);
        };
        let shortcut = part.shortcut.map(|taken| (taken.shape, taken.pool));
        let cut = Cut::new(operation, &part.conv, shortcut);
        let count = self.pool.threads.min(self.planned.count);
        let mut parts = cut.parts(Threads { count, ..self.planned });
        if parts < 2 {
            return part.compute(kernels);
        }
        let mut rest = cut.prepare(part);
        let fault = Mutex::new(Ok(()));
        let note = |done: Result<(), Option<Misuse>>| {
            if let (Err(_), Ok(mut fault)) = (done, fault.lock()) {
                *fault = done;
            }
        };
        let (note, open) = (&note, &AtomicUsize::new(parts - 1));
        others.in_place_scope(|scope| {
            while parts > 1 {
                let part;
                [part, rest] = cut.take(rest, parts);
                parts -= 1;
                scope.spawn(move |_| {
                    note(part.compute(kernels));
                    open.fetch_sub(1, Ordering::Release);
                });
            }
            note(rest.compute(kernels));
            for look in 0..LOOKS + YIELDS {
                if open.load(Ordering::Acquire) == 0 {
                    break;
                }
                match look {
                    ..LOOKS => spin_loop(),
                    // On a busy machine it may be this processor that another part waits for.
                    _ => yield_now(),
                }
            }
        });
        fault.into_inner().unwrap_or(Err(None))
    }

    fn alone<T>(&self, work: impl FnOnce() -> T) -> T {
        let Some(others) = &self.pool.others else { return work() };
        let done = &AtomicBool::new(false);
        others.in_place_scope(|scope| {
            for _ in 1..self.pool.threads.min(self.planned.count) {
                scope.spawn(|_| {
                    let waits = (0..AWAKE).take_while(|_| !done.load(Ordering::Acquire));
                    waits.for_each(|_| spin_loop());
                });
            }
            let value = work();
            done.store(true, Ordering::Release);
            value
        })
    }
}
