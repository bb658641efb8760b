//! Independent work on the cores there are.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use crate::ui::Stop;
use crate::{Error, Fault};

/// Time between two looks at how far the work has come.
const TICK: Duration = Duration::from_millis(100);

/// Does `work(0..count)`, up to `jobs` pieces at a time, each in a thread pool
/// of one thread. A piece counts its steps in the number it is given.
///
/// `watch` is called in this thread: with the steps of all pieces so far, and
/// with each piece that is done. A piece or a `watch` that fails stops the
/// others by raising `stop`; `stop` lets each thread end the piece it is at.
///
/// # Errors
/// The first that is no interruption; an interruption, if some work is undone.
pub(super) fn side_by_side<T: Send>(
    count: usize,
    jobs: usize,
    stop: &Stop,
    work: impl Fn(usize, &AtomicU64) -> Result<T, Error> + Sync,
    mut watch: impl FnMut(u64, Option<(usize, T)>) -> Result<(), Error>,
) -> Result<(), Error> {
    let steps: Vec<AtomicU64> = (0..count).map(|_| AtomicU64::new(0)).collect();
    let all_steps = || steps.iter().map(|s| s.load(Ordering::Relaxed)).sum();
    let next = AtomicUsize::new(0);
    let mut failure: Option<Error> = None;
    let mut done = 0;
    std::thread::scope(|scope| {
        let (sender, receiver) = channel();
        for _ in 0..jobs.min(count) {
            let (sender, next, steps, work) = (sender.clone(), &next, &steps, &work);
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(steps) = steps.get(index) else { break };
                    let result = alone(|| work(index, steps));
                    let failed = result.is_err();
                    // The receiver outlives all senders.
                    let _ = sender.send((index, result));
                    if failed || stop.requested() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        loop {
            let watched = match receiver.recv_timeout(TICK) {
                Ok((index, Ok(result))) => {
                    done += 1;
                    watch(all_steps(), Some((index, result)))
                }
                Ok((_, Err(error))) => Err(error),
                Err(RecvTimeoutError::Timeout) => watch(all_steps(), None),
                Err(RecvTimeoutError::Disconnected) => break,
            };
            if let Err(error) = watched {
                stop.request();
                if failure.as_ref().is_none_or(|f| f.fault == Fault::Interrupted) {
                    failure = Some(error);
                }
            }
        }
    });
    match failure {
        Some(error) => Err(error),
        None if done < count => Err(Error::interrupted("stopped between two runs")),
        None => Ok(()),
    }
}

/// Runs `work` in a thread pool of one thread.
fn alone<T: Send>(work: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .map_err(|e| Error::model(format!("cannot start a thread: {e}")))?;
    pool.install(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(
        jobs: usize,
        stop: &Stop,
        work: impl Fn(usize) -> Result<usize, Error> + Sync,
    ) -> (Result<(), Error>, Vec<usize>) {
        let mut done = Vec::new();
        let result = side_by_side(
            5,
            jobs,
            stop,
            |i, _| work(i),
            |_, piece| {
                done.extend(piece.map(|p| p.1));
                Ok(())
            },
        );
        done.sort_unstable();
        (result, done)
    }

    #[test]
    fn every_piece_is_done_once_on_one_thread() {
        for jobs in [1, 2, 9] {
            let work = |i| {
                assert_eq!(rayon::current_num_threads(), 1);
                Ok(i * i)
            };
            let (result, done) = collect(jobs, &Stop::new(), work);
            result.unwrap();
            assert_eq!(done, [0, 1, 4, 9, 16]);
        }
    }

    #[test]
    fn a_failure_stops_the_others_and_is_told() {
        let stop = Stop::new();
        let work = |i| match i {
            1 => Err(Error::model("piece 1 fails")),
            _ if stop.requested() => Err(Error::interrupted("as asked")),
            i => Ok(i),
        };
        let (result, done) = collect(1, &stop, work);
        assert_eq!(result.unwrap_err().to_string(), "piece 1 fails");
        assert_eq!(done, [0]);
        assert!(stop.requested());
    }

    #[test]
    fn a_stop_between_two_pieces_is_an_interruption() {
        let stop = Stop::new();
        stop.request();
        let (result, done) = collect(1, &stop, Ok);
        assert_eq!(result.unwrap_err().fault, Fault::Interrupted);
        assert_eq!(done, [0]);
    }
}
