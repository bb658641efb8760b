//! Parts of slices, and divisors, of which it was checked before a kernel began that
//! they are there and not 0: where one is missing, that is a bug of this crate.
//!
//! With feature `std` it is a panic: each function here is then the index that its
//! comment gives, and nothing else. Without, on a device, the bug is noted, the kernel
//! goes on with nothing or zeros, and what it answers at its end is an error
//! ([`complete`]). The note is never taken back, so that none of several cores can take
//! it for another: after such a bug no run is to be trusted.
//!
//! `.ci/no_panic.py` looks at what is linked for AArch64.

use core::slice::SliceIndex;
#[cfg(not(feature = "std"))]
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Whether something was missing since the program's start.
#[cfg(not(feature = "std"))]
static MISSING: AtomicBool = AtomicBool::new(false);

/// What a kernel answers at its end: nothing if something was missing, now or before.
#[inline(always)]
pub(crate) fn complete() -> Option<()> {
    #[cfg(not(feature = "std"))]
    if MISSING.load(Relaxed) {
        return None;
    }
    Some(())
}

/// Takes the note back.
#[cfg(all(test, not(feature = "std")))]
pub(crate) fn forget() {
    MISSING.store(false, Relaxed);
}

/// What stands for a missing value.
#[cfg(not(feature = "std"))]
#[cold]
#[inline(always)]
fn missing<T>(instead: T) -> T {
    MISSING.store(true, Relaxed);
    instead
}

/// `all[range]`, of which nothing is there unless all is.
#[inline(always)]
#[track_caller]
pub(crate) fn part<T, I: SliceIndex<[T], Output = [T]>>(all: &[T], range: I) -> &[T] {
    #[cfg(feature = "std")]
    return &all[range];
    #[cfg(not(feature = "std"))]
    all.get(range).unwrap_or_else(|| missing(&[]))
}

/// The same to write.
#[inline(always)]
#[track_caller]
pub(crate) fn part_mut<T, I: SliceIndex<[T], Output = [T]>>(all: &mut [T], range: I) -> &mut [T] {
    #[cfg(feature = "std")]
    return &mut all[range];
    #[cfg(not(feature = "std"))]
    all.get_mut(range).unwrap_or_else(|| missing(&mut []))
}

/// `all[first..][..count]`.
#[inline(always)]
#[track_caller]
pub(crate) fn run<T>(all: &[T], first: usize, count: usize) -> &[T] {
    part(part(all, first..), ..count)
}

/// The same to write.
#[inline(always)]
#[track_caller]
pub(crate) fn run_mut<T>(all: &mut [T], first: usize, count: usize) -> &mut [T] {
    part_mut(part_mut(all, first..), ..count)
}

/// `all.split_at_mut(first)`.
#[inline(always)]
#[track_caller]
pub(crate) fn split_mut<T>(all: &mut [T], first: usize) -> (&mut [T], &mut [T]) {
    #[cfg(feature = "std")]
    return all.split_at_mut(first);
    #[cfg(not(feature = "std"))]
    all.split_at_mut_checked(first).unwrap_or_else(|| missing((&mut [], &mut [])))
}

/// `all[index]`.
#[inline(always)]
#[track_caller]
pub(crate) fn at<T: Copy + Default>(all: &[T], index: usize) -> T {
    #[cfg(feature = "std")]
    return all[index];
    #[cfg(not(feature = "std"))]
    all.get(index).copied().unwrap_or_else(|| missing(T::default()))
}

/// `all[index]`, to write.
#[inline(always)]
#[track_caller]
pub(crate) fn at_mut<T>(all: &mut [T], index: usize) -> Option<&mut T> {
    #[cfg(feature = "std")]
    return Some(&mut all[index]);
    #[cfg(not(feature = "std"))]
    all.get_mut(index).or_else(|| missing(None))
}

/// `all[index]`, some bytes.
#[inline(always)]
#[track_caller]
pub(crate) fn bytes<const N: usize>(all: &[[u8; N]], index: usize) -> &[u8; N] {
    #[cfg(feature = "std")]
    return &all[index];
    #[cfg(not(feature = "std"))]
    all.get(index).unwrap_or_else(|| missing(&[0; N]))
}

/// `found.expect("its length was checked")`, for what looks at several parts at once.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
#[track_caller]
pub(crate) fn there<T>(found: Option<T>) -> Option<T> {
    #[cfg(feature = "std")]
    return Some(found.expect("its length was checked"));
    #[cfg(not(feature = "std"))]
    found.or_else(|| missing(None))
}

/// The first N bytes.
#[inline(always)]
#[track_caller]
pub(crate) fn first<const N: usize>(from: &[u8]) -> &[u8; N] {
    let first = from.first_chunk();
    #[cfg(feature = "std")]
    return first.expect("its length was checked");
    #[cfg(not(feature = "std"))]
    first.unwrap_or_else(|| missing(&[0; N]))
}

/// `to[..from.len()].copy_from_slice(from)`.
#[inline(always)]
#[track_caller]
pub(crate) fn put<T: Copy>(to: &mut [T], from: &[T]) {
    #[cfg(feature = "std")]
    to[..from.len()].copy_from_slice(from);
    #[cfg(not(feature = "std"))]
    match to.get_mut(..from.len()) {
        Some(to) => to.copy_from_slice(from),
        None => missing(()),
    }
}

/// What divides, or is a step: not 0.
#[inline(always)]
pub(crate) fn divisor<T: Copy + PartialEq + From<bool>>(number: T) -> T {
    #[cfg(not(feature = "std"))]
    if number == T::from(false) {
        return missing(T::from(true));
    }
    number
}

#[cfg(test)]
mod tests {
    use super::{part, put, run};

    #[cfg(feature = "std")]
    #[test]
    #[should_panic(expected = "out of range")]
    fn with_std_what_is_missing_is_a_panic() {
        run(&[0u8; 8], 4, 5);
    }

    #[test]
    fn what_is_there_is_had() {
        let mut to = [1, 2, 3, 4];
        put(&mut to, &[7, 8]);
        assert_eq!(part(&to, 1..3), [8, 3]);
        assert_eq!(run(&to, 4, 0), []);
    }
}
