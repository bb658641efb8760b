//! Threads that are lent work for a few microseconds, and stay awake for the next.
//!
//! A layer of a network takes 10 to 100 µs and borrows slices of the arena, the next
//! layer others. [`Workers::join`] hands a closure that borrows to a thread that is
//! already there, runs another closure meanwhile, and returns when both are over. A
//! thread with nothing to do looks at its mail for a while before it sleeps, so that
//! handing over costs what a cache line takes from one core to another and back; no
//! memory is allocated.
//!
//! ```
//! # fn main() -> std::io::Result<()> {
//! let workers = bitat_workers::Workers::new(1)?;
//! let mut numbers = [1, 2, 3, 4];
//! let (left, right) = numbers.split_at_mut(2);
//! let double = |half: &mut [i32]| half.iter_mut().for_each(|number| *number *= 2);
//! workers.join(0, || double(left), || double(right));
//! assert_eq!(numbers, [2, 4, 6, 8]);
//! # Ok(())
//! # }
//! ```
//!
//! `mail.rs` is how work goes from one thread to another: safe Rust lends what is
//! borrowed only to threads that it starts (`std::thread::scope`), which takes longer
//! than a layer.
#![deny(unsafe_code)]

mod mail;

use std::io;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use mail::Mail;

/// Some threads. Dropping it ends them.
#[derive(Debug, Default)]
pub struct Workers {
    workers: Vec<Worker>,
}

#[derive(Debug)]
struct Worker {
    mail: Arc<Mail>,
    handle: JoinHandle<()>,
}

impl Workers {
    /// Starts `count` threads.
    ///
    /// # Errors
    /// The system's, if it starts no more; those that it did start have ended.
    pub fn new(count: usize) -> io::Result<Workers> {
        let mut workers = Workers::default();
        for index in 0..count {
            let mail = Arc::new(Mail::new());
            let theirs = Arc::clone(&mail);
            let name = format!("worker-{index}");
            let handle = Builder::new().name(name).spawn(move || theirs.serve())?;
            workers.workers.push(Worker { mail, handle });
        }
        Ok(workers)
    }

    /// How many threads there are.
    pub fn count(&self) -> usize {
        self.workers.len()
    }

    /// Calls `theirs` on thread `index` and `ours` on this one, and returns what both
    /// answer once both are over.
    ///
    /// If there is no such thread, or it has other work, or it has not begun when
    /// `ours` is over, `theirs` is called on this thread too.
    ///
    /// # Panics
    /// As `theirs` and `ours` do, after both are over; `theirs` may then not have been
    /// called.
    pub fn join<A: Send, B>(
        &self,
        index: usize,
        theirs: impl FnOnce() -> A + Send,
        ours: impl FnOnce() -> B,
    ) -> (A, B) {
        match self.workers.get(index) {
            Some(worker) => worker.mail.join(worker.handle.thread(), theirs, ours),
            None => (theirs(), ours()),
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for worker in &self.workers {
            worker.mail.end(worker.handle.thread());
        }
        for worker in self.workers.drain(..) {
            // Work that panics is caught, so a thread ends as it should.
            let _ = worker.handle.join();
        }
    }
}
