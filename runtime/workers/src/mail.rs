//! What one thread leaves for another: a closure that may borrow from its stack.
//!
//! The sender stays until the closure is over, or takes it back; so what it borrows is
//! there as long as it is used. All of it hangs on who brought the state to what:
//!
//! ```text
//! FREE or ASLEEP ─ a sender ─> TAKEN ─ it ─> READY ─ the worker ─> RUNNING ─ it ─> DONE ─ the sender ─> FREE
//!                                              └─ the sender takes it back ─> FREE    │
//!                                                            RUNNING ─ the sender, asleep ─> WAITED ─ the worker ─> DONE
//! ```
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::hint::spin_loop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::atomic::{AtomicU8, Ordering::*};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, Thread, park, yield_now};
use std::time::{Duration, Instant};

/// Nothing to do, and the worker looks.
const FREE: u8 = 0;
/// Nothing to do, and the worker sleeps until it is woken.
const ASLEEP: u8 = 1;
/// A sender writes the work.
const TAKEN: u8 = 2;
/// There is work, which nobody has begun.
const READY: u8 = 3;
/// The worker is at it.
const RUNNING: u8 = 4;
/// The same, and the sender sleeps until it is woken.
const WAITED: u8 = 5;
/// The work is over, and the sender has not seen it.
const DONE: u8 = 6;
/// There will be no more.
const END: u8 = 7;

/// For how long a thread only looks. Longer than the parts of a layer mostly differ by.
const LOOKS: Duration = Duration::from_micros(20);

/// For how long it lets others have its processor between looks, before it sleeps:
/// longer than what is left to one thread between two layers. To wake takes 50 µs.
const YIELDS: Duration = Duration::from_micros(200);

/// Looks between two readings of the clock.
const LOOKS_A_TIME: u32 = 16;

/// A worker's mail. Two lines, which are fetched together: nothing else is to lie there.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Mail {
    state: AtomicU8,
    work: UnsafeCell<Work>,
    /// The sender, if it sleeps.
    sender: Mutex<Option<Thread>>,
}

// SAFETY: `work` is written by the one thread that brought the state to TAKEN and read by
// the worker that brought it from READY to RUNNING, and each of these steps sees what was
// written before the one before it. What it points to is a closure and a result that may
// go to another thread: `Mail::join` asks for `Send`.
unsafe impl Sync for Mail {}
// SAFETY: as above.
unsafe impl Send for Mail {}

/// `run(job)`.
#[derive(Clone, Copy, Debug)]
struct Work {
    job: *mut (),
    run: unsafe fn(*mut ()),
}

/// What lies on the sender's stack: the closure until it is called, then its result.
struct Job<F, T> {
    work: Option<F>,
    result: Option<thread::Result<T>>,
}

impl<F: FnOnce() -> T, T> Job<F, T> {
    /// Calls the closure.
    ///
    /// # Safety
    /// `job` is a `Job<F, T>`, and nobody else uses it until this returns.
    unsafe fn run(job: *mut ()) {
        // SAFETY: so the caller says.
        let job = unsafe { &mut *job.cast::<Job<F, T>>() };
        if let Some(work) = job.work.take() {
            // Whoever gets the panic sees nothing that was left half done but what the
            // closure borrowed, as with a panic of a closure that it calls itself.
            job.result = Some(catch_unwind(AssertUnwindSafe(work)));
        }
    }
}

/// Work that is with the worker. Dropped, it is over or was taken back.
struct Lent<'m>(&'m Mail);

impl Mail {
    /// Mail of a worker that is about to [`Mail::serve`].
    pub(crate) fn new() -> Mail {
        // Never called: the state says that there is no work.
        let work = Work { job: ptr::null_mut(), run: |_| {} };
        Mail { state: AtomicU8::new(FREE), work: UnsafeCell::new(work), sender: Mutex::new(None) }
    }

    /// [`crate::Workers::join`] with the thread that serves this mail.
    pub(crate) fn join<A: Send, B, F: FnOnce() -> A + Send>(
        &self,
        worker: &Thread,
        theirs: F,
        ours: impl FnOnce() -> B,
    ) -> (A, B) {
        let Some(asleep) = self.take() else { return (theirs(), ours()) };
        let mut job = Job { work: Some(theirs), result: None };
        // SAFETY: this thread brought the state to TAKEN.
        unsafe {
            *self.work.get() = Work { job: (&raw mut job).cast(), run: Job::<F, A>::run };
        }
        self.state.store(READY, Release);
        // From here the job is the worker's, until this is dropped, by a panic too.
        let lent = Lent(self);
        if asleep {
            worker.unpark();
        }
        let ours = ours();
        drop(lent);
        let theirs = match (job.result, job.work) {
            (Some(Ok(theirs)), _) => theirs,
            (Some(Err(panic)), _) => resume_unwind(panic),
            (None, Some(work)) => work(),
            (None, None) => unreachable!("what was called has a result"),
        };
        (theirs, ours)
    }

    /// Makes the mail this thread's, if it is nobody's; whether the worker sleeps.
    fn take(&self) -> Option<bool> {
        let take = |from| self.state.compare_exchange(from, TAKEN, Acquire, Relaxed);
        match take(FREE) {
            Ok(_) => Some(false),
            Err(ASLEEP) => take(ASLEEP).is_ok().then_some(true),
            Err(_) => None,
        }
    }

    /// Does work until there will be no more.
    pub(crate) fn serve(&self) {
        loop {
            let called = self.watch(|state| matches!(state, READY | END));
            if !called && self.state.compare_exchange(FREE, ASLEEP, Relaxed, Relaxed).is_ok() {
                while self.state.load(Relaxed) == ASLEEP {
                    park();
                }
            }
            match self.state.compare_exchange(READY, RUNNING, Acquire, Relaxed) {
                Ok(_) => self.work(),
                Err(END) => return,
                Err(_) => {}
            }
        }
    }

    /// Does the work that there is. The state is RUNNING, and this is the worker.
    fn work(&self) {
        // SAFETY: the sender wrote it before it brought the state to READY, and nobody
        // writes there before it is DONE.
        let Work { job, run } = unsafe { *self.work.get() };
        // SAFETY: the job is one that `run` was made for. The sender made both, and
        // leaves the job where it is, and alone, until the state is DONE.
        unsafe { run(job) };
        if self.state.compare_exchange(RUNNING, DONE, Release, Relaxed).is_err() {
            // The sender sleeps. It may not be gone before its name was read.
            let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
            self.state.store(DONE, Release);
            if let Some(sender) = sender {
                sender.unpark();
            }
        }
    }

    /// Has the worker return, which has no work.
    pub(crate) fn end(&self, worker: &Thread) {
        self.state.store(END, Relaxed);
        worker.unpark();
    }

    /// Looks until the state is one of these; gives up after a while.
    fn watch(&self, these: impl Fn(u8) -> bool) -> bool {
        let mut began = None;
        loop {
            for _ in 0..LOOKS_A_TIME {
                if these(self.state.load(Acquire)) {
                    return true;
                }
                spin_loop();
            }
            let looked = began.get_or_insert_with(Instant::now).elapsed();
            if looked >= YIELDS {
                return false;
            }
            if looked >= LOOKS {
                // On a busy machine it may be this processor that the other waits for.
                yield_now();
            }
        }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let Lent(mail) = self;
        // Rather than wait for a thread that has not come so far, the sender does it.
        if mail.state.compare_exchange(READY, FREE, Release, Relaxed).is_ok() {
            return;
        }
        if !mail.watch(|state| state == DONE) {
            let sender = Some(thread::current());
            *mail.sender.lock().unwrap_or_else(PoisonError::into_inner) = sender;
            // It fails if the work is over by now.
            let _ = mail.state.compare_exchange(RUNNING, WAITED, Release, Relaxed);
            while mail.state.load(Acquire) != DONE {
                park();
            }
        }
        mail.state.store(FREE, Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// Of mail that no worker serves.
    fn alone<A: Send, B>(theirs: impl FnOnce() -> A + Send, ours: impl FnOnce() -> B) -> (A, B) {
        let mail = Mail::new();
        let both = mail.join(&thread::current(), theirs, ours);
        assert_eq!(mail.state.load(Relaxed), FREE);
        both
    }

    #[test]
    fn what_nobody_has_begun_is_taken_back_and_done_here() {
        let here = || thread::current().id();
        assert_eq!(alone(here, || 7), (here(), 7));
    }

    #[test]
    fn what_was_taken_back_is_dropped_if_the_callers_own_panics() {
        let held = Arc::new(());
        let theirs = Arc::clone(&held);
        let result =
            catch_unwind(AssertUnwindSafe(|| alone(move || drop(theirs), || panic!("ours"))));
        assert!(result.is_err());
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[test]
    fn a_worker_that_sleeps_is_woken() {
        let mail = Mail::new();
        mail.state.store(ASLEEP, Relaxed);
        // Its token: this thread does not sleep then.
        mail.join(&thread::current(), || (), || ());
        park();
        assert_eq!(mail.state.load(Relaxed), FREE);
    }

    #[test]
    fn mail_that_another_holds_is_left() {
        for state in [TAKEN, READY, RUNNING, WAITED, DONE] {
            let mail = Mail::new();
            mail.state.store(state, Relaxed);
            assert_eq!(mail.join(&thread::current(), || 1, || 2), (1, 2));
            assert_eq!(mail.state.load(Relaxed), state);
        }
    }
}
