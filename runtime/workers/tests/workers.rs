//! What is lent comes back, whoever does it and however it ends.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::thread::{self, ThreadId, sleep};
use std::time::Duration;

use bitat_workers::Workers;

/// Longer than a thread with nothing to do looks before it sleeps.
const LONG: Duration = Duration::from_millis(if cfg!(miri) { 1 } else { 20 });

/// Rounds, few where each takes long.
const ROUNDS: usize = if cfg!(miri) { 30 } else { 30_000 };

fn id() -> ThreadId {
    thread::current().id()
}

/// Has a worker do something that begins before this thread goes on, so that it is not
/// taken back; the thread that did it.
fn begun<A: Send>(workers: &Workers, index: usize, work: impl FnOnce() -> A + Send) -> ThreadId {
    let (begins, begun) = channel();
    let theirs = move || {
        begins.send(()).unwrap();
        work();
        id()
    };
    workers.join(index, theirs, || begun.recv().unwrap()).0
}

#[test]
fn both_are_done_at_the_same_time_on_two_threads() {
    let workers = Workers::new(2).unwrap();
    assert_eq!(workers.count(), 2);
    let [first, second] = [0, 1].map(|index| begun(&workers, index, || ()));
    assert!(first != second && first != id() && second != id());
    // The same again, awake and asleep.
    for pause in [Duration::ZERO, LONG] {
        sleep(pause);
        assert_eq!([first, second], [0, 1].map(|index| begun(&workers, index, || ())));
    }
}

#[test]
fn who_waits_long_sleeps_and_is_woken() {
    let workers = Workers::new(1).unwrap();
    for _ in 0..5 {
        let over = AtomicBool::new(false);
        begun(&workers, 0, || {
            sleep(LONG);
            over.store(true, SeqCst);
        });
        assert!(over.load(SeqCst));
    }
}

#[test]
fn results_come_back_and_borrowed_slices_are_written() {
    let workers = Workers::new(1).unwrap();
    let mut numbers = vec![0u64; 64];
    for round in 1..=ROUNDS as u64 {
        // Now and then one of both is later.
        let (lazy, hasty) = (round % 7 == 0, round % 11 == 0);
        let (left, right) = numbers.split_at_mut(32);
        let add = |part: &mut [u64], late: bool| {
            if late {
                thread::yield_now();
            }
            part.iter_mut().for_each(|number| *number += round);
            part.iter().sum::<u64>()
        };
        let sums = workers.join(0, || add(left, hasty), || add(right, lazy));
        let each = 32 * round * (round + 1) / 2;
        assert_eq!(sums, (each, each));
    }
}

#[test]
fn work_for_nobody_or_for_one_who_has_some_is_done_here() {
    let workers = Workers::new(1).unwrap();
    assert_eq!(workers.join(1, id, || ()), (id(), ()));
    assert_eq!(Workers::default().join(0, id, || ()), (id(), ()));
    let mine = id();
    begun(&workers, 0, || {
        // From the worker itself, which waits for nobody.
        assert_eq!(workers.join(0, id, || ()).0, id());
        assert_ne!(mine, id());
    });
    let (goes_on, went_on) = channel();
    let (begins, has_begun) = channel();
    let theirs = move || {
        begins.send(()).unwrap();
        went_on.recv().unwrap();
    };
    workers.join(0, theirs, || {
        has_begun.recv().unwrap();
        assert_eq!(workers.join(0, id, || ()).0, mine);
        goes_on.send(()).unwrap();
    });
}

#[test]
fn several_threads_share_the_workers() {
    let workers = Workers::new(2).unwrap();
    let calls = AtomicUsize::new(0);
    thread::scope(|scope| {
        for caller in 0..3 {
            let (workers, calls) = (&workers, &calls);
            scope.spawn(move || {
                for round in 0..ROUNDS / 3 {
                    let mut mine = [0usize; 3];
                    let [a, b, c] = &mut mine;
                    let call = |to: &mut usize| {
                        *to = round + caller;
                        calls.fetch_add(1, SeqCst);
                    };
                    workers.join(0, || call(a), || workers.join(1, || call(b), || call(c)));
                    assert_eq!(mine, [round + caller; 3]);
                }
            });
        }
    });
    assert_eq!(calls.load(SeqCst), ROUNDS / 3 * 9);
}

#[test]
fn a_panic_of_the_lent_work_is_the_callers_once_its_own_is_over() {
    let workers = Workers::new(1).unwrap();
    let ours = AtomicBool::new(false);
    let (begins, has_begun) = channel();
    let theirs = move || -> u8 {
        begins.send(()).unwrap();
        panic!("theirs")
    };
    let result = catch_unwind(AssertUnwindSafe(|| {
        workers.join(0, theirs, || {
            has_begun.recv().unwrap();
            sleep(LONG);
            ours.store(true, SeqCst);
        })
    }));
    assert_eq!(result.unwrap_err().downcast_ref(), Some(&"theirs"));
    assert!(ours.load(SeqCst));
    // The worker is there for the next.
    assert_ne!(begun(&workers, 0, || ()), id());
}

#[test]
fn a_panic_of_the_callers_own_waits_for_the_lent_work() {
    let workers = Workers::new(1).unwrap();
    let mut borrowed = 0;
    let (begins, has_begun) = channel();
    let theirs = || {
        begins.send(()).unwrap();
        sleep(LONG);
        borrowed = 7;
    };
    let result = catch_unwind(AssertUnwindSafe(|| {
        workers.join(0, theirs, || {
            has_begun.recv().unwrap();
            panic!("ours")
        })
    }));
    assert_eq!(result.unwrap_err().downcast_ref(), Some(&"ours"));
    assert_eq!(borrowed, 7);
    assert_ne!(begun(&workers, 0, || ()), id());
}

#[test]
fn threads_end_with_it_awake_and_asleep() {
    for pause in [Duration::ZERO, LONG] {
        let workers = Workers::new(3).unwrap();
        begun(&workers, 1, || ());
        sleep(pause);
        // Joins them: it would not return if one stayed.
        drop(workers);
    }
}
