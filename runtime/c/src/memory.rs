//! Where the caller's buffers lie, before anything is read or written there.

use core::ops::Range;

use crate::status::Status;

/// The addresses of `count` values behind `pointer`.
///
/// # Errors
/// [`Status::NullPointer`], [`Status::MisalignedPointer`]; [`Status::Length`]
/// if no buffer can be that long there.
pub(crate) fn span<T>(pointer: *const T, count: usize) -> Result<Range<usize>, Status> {
    if pointer.is_null() {
        return Err(Status::NullPointer);
    }
    if !pointer.is_aligned() {
        return Err(Status::MisalignedPointer);
    }
    let start = pointer.addr();
    let bytes = count.checked_mul(size_of::<T>()).filter(|&n| n <= isize::MAX as usize);
    let end = bytes.and_then(|bytes| start.checked_add(bytes)).ok_or(Status::Length)?;
    Ok(start..end)
}

/// Sees to it that `written` shares no byte with `others`.
///
/// # Errors
/// [`Status::Overlap`].
pub(crate) fn disjoint(written: &Range<usize>, others: &[&Range<usize>]) -> Result<(), Status> {
    let shares = |other: &Range<usize>| written.start.max(other.start) < written.end.min(other.end);
    if others.iter().any(|other| shares(other)) { Err(Status::Overlap) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use core::ptr;

    use super::*;

    #[test]
    fn a_span_is_where_a_slice_could_be() {
        let words = [0u32; 3];
        let start = words.as_ptr().addr();
        assert_eq!(span(words.as_ptr(), 3), Ok(start..start + 12));
        assert_eq!(span(words.as_ptr(), 0), Ok(start..start));
        assert_eq!(span(ptr::null::<u8>(), 0), Err(Status::NullPointer));
        let off = words.as_ptr().cast::<u8>().wrapping_add(1);
        assert_eq!(span(off.cast::<u32>(), 1), Err(Status::MisalignedPointer));
        assert_eq!(span(off, 1), Ok(start + 1..start + 2));
        assert_eq!(span(words.as_ptr(), usize::MAX / 4 + 1), Err(Status::Length));
        assert_eq!(span(off, isize::MAX as usize + 1), Err(Status::Length));
        let last = ptr::without_provenance::<u8>(usize::MAX);
        assert_eq!(span(last, 0), Ok(usize::MAX..usize::MAX));
        assert_eq!(span(last, 1), Err(Status::Length));
    }

    #[test]
    fn buffers_may_touch_but_not_share() {
        assert_eq!(disjoint(&(8..16), &[&(0..8), &(16..20)]), Ok(()));
        assert_eq!(disjoint(&(8..16), &[&(0..8), &(15..20)]), Err(Status::Overlap));
        assert_eq!(disjoint(&(8..16), &[&(0..9)]), Err(Status::Overlap));
        assert_eq!(disjoint(&(8..16), &[&(0..99)]), Err(Status::Overlap));
        assert_eq!(disjoint(&(8..16), &[&(10..12)]), Err(Status::Overlap));
        assert_eq!(disjoint(&(8..16), &[&(10..10)]), Ok(()), "no byte at all");
    }
}
