//! Parts of slices, and divisors, of which it was checked before a kernel began that
//! they are there and not 0: where one is missing, that is a bug of this crate.
//!
//! With feature `std` it is a panic, as by an index. Without, on a device, the bug is
//! noted, the function that met it ends early or goes on with zeros, and the kernel's
//! answer is an error ([`complete`]). A note, for the pieces of work that are compiled
//! apart return nothing ([`super::lanes::Work`]). It is never taken back, so that none
//! of several cores can take it for another: after such a bug no run is to be trusted.
//!
//! Functions that are inlined return what they met ([`Missing`]) up to the piece of work,
//! and put nothing in its place: paths that come together again, be they never taken,
//! cost the loops registers.
//!
//! `.ci/no_panic.py` looks at what is linked for AArch64.

use core::slice::SliceIndex;
#[cfg(not(feature = "std"))]
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// What was looked for. With `std` there is no other value, so that it costs nothing to
/// return one, not even of vectors.
pub(crate) type Found<T> = Result<T, Missing>;

/// See [`Found`].
#[cfg(feature = "std")]
#[derive(Debug, PartialEq)]
pub(crate) enum Missing {}

/// See [`Found`].
#[cfg(not(feature = "std"))]
#[derive(Debug, PartialEq)]
pub(crate) struct Missing;

/// Whether something was missing since the program's start.
#[cfg(not(feature = "std"))]
static MISSING: AtomicBool = AtomicBool::new(false);

/// What a kernel answers at its end, however it got there: whether something was
/// missing, now or before.
#[inline(always)]
pub(crate) fn complete() -> Found<()> {
    #[cfg(not(feature = "std"))]
    if MISSING.load(Relaxed) {
        return Err(Missing);
    }
    Ok(())
}

/// Takes the note back.
#[cfg(all(test, not(feature = "std")))]
pub(crate) fn forget() {
    MISSING.store(false, Relaxed);
}

#[cold]
#[inline(always)]
fn note() {
    #[cfg(not(feature = "std"))]
    MISSING.store(true, Relaxed);
}

/// What is there; `None` is a bug.
#[inline(always)]
#[track_caller]
pub(crate) fn found<T>(found: Option<T>) -> Found<T> {
    #[cfg(feature = "std")]
    return Ok(found.expect("its length was checked"));
    #[cfg(not(feature = "std"))]
    found.ok_or_else(|| {
        note();
        Missing
    })
}

/// `all[index]`.
#[inline(always)]
#[track_caller]
pub(crate) fn get<T, I: SliceIndex<[T]>>(all: &[T], index: I) -> Found<&I::Output> {
    if cfg!(feature = "std") { Ok(&all[index]) } else { found(all.get(index)) }
}

/// The same to write.
#[inline(always)]
#[track_caller]
pub(crate) fn get_mut<T, I: SliceIndex<[T]>>(all: &mut [T], index: I) -> Found<&mut I::Output> {
    if cfg!(feature = "std") { Ok(&mut all[index]) } else { found(all.get_mut(index)) }
}

/// `count` elements from `first` on.
#[inline(always)]
#[track_caller]
pub(crate) fn run<T>(all: &[T], first: usize, count: usize) -> Found<&[T]> {
    get(get(all, first..)?, ..count)
}

/// The same to write.
#[inline(always)]
#[track_caller]
pub(crate) fn run_mut<T>(all: &mut [T], first: usize, count: usize) -> Found<&mut [T]> {
    get_mut(get_mut(all, first..)?, ..count)
}

/// Copies `from` to the start of `to`, which is as long at least.
#[inline(always)]
#[track_caller]
pub(crate) fn put<T: Copy>(to: &mut [T], from: &[T]) {
    if let Ok(to) = get_mut(to, ..from.len()) {
        to.copy_from_slice(from);
    }
}

/// What divides, or is a step; 1 in place of 0.
#[inline(always)]
pub(crate) fn divisor<T: Copy + PartialEq + From<bool>>(number: T) -> T {
    // With `std` the division panics.
    if cfg!(not(feature = "std")) && number == T::from(false) {
        note();
        return T::from(true);
    }
    number
}

#[cfg(test)]
mod tests {
    use super::{get, put, run};

    #[cfg(feature = "std")]
    #[test]
    #[should_panic(expected = "out of range")]
    fn with_std_what_is_missing_is_a_panic() {
        let _ = run(&[0u8; 8], 4, 5);
    }

    #[test]
    fn what_is_there_is_had() {
        let mut to = [1, 2, 3, 4];
        put(&mut to, &[7, 8]);
        assert_eq!(get(&to, 1..3), Ok(&[8, 3][..]));
        assert_eq!(run(&to, 4, 0), Ok(&[][..]));
    }
}
