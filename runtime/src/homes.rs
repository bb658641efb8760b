//! Where a tensor lies best for threads (feature `threads`).
//!
//! In every layer the same thread does the first part of the output, and the same the
//! last, so bytes of a tensor are in the cache of that thread's core. Where a tensor
//! comes to lie over an older one that had other sides, it is the other's core that has
//! some of them, and to fetch a line from there takes longer than to compute it: in
//! MobileNetV1, half of a depthwise layer of 56x56x128 took 54 µs so, and 34 in a loop of
//! its own. Two tensors of any sides are no trouble if the middle of one lies at the middle of the
//! other, or, for more threads, some boundary of parts at the same of the other.

use crate::arena::ARENA_LINE;

/// Threads beyond these are not told apart: the time taken grows with their square.
const MOST_PARTS: usize = 8;

/// Of so many tensors, those that live nearest in time, boundaries are tried.
const NEAREST: usize = 16;

/// Shares of a byte that are counted, so that a distance divides them.
const SCALE: u64 = 256;

/// A tensor that has its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Neighbour {
    /// Bytes from the arena's start.
    pub(crate) start: usize,
    pub(crate) bytes: usize,
    /// Bytes that have to be free between it and the one to be placed.
    pub(crate) apart: usize,
    /// Layers from one's life to the other's, 0 if they live at the same time.
    pub(crate) distance: u16,
}

/// The place, at least as good as `lowest`, at which a tensor of `bytes` bytes that
/// `parts` threads write lies best among its neighbours, within `arena_bytes`. The
/// bytes that change hands count, less the more layers are between.
pub(crate) fn home(
    lowest: usize,
    bytes: usize,
    arena_bytes: usize,
    parts: usize,
    neighbours: impl Iterator<Item = Neighbour> + Clone,
) -> usize {
    let parts = parts.min(MOST_PARTS);
    let moved = |start| {
        let earlier_or_later = neighbours.clone().filter(|other| other.distance > 0);
        earlier_or_later.map(|other| other.moved(start, bytes, parts)).sum::<u64>()
    };
    let free = |start: usize| {
        let mut alive = neighbours.clone().filter(|other| other.distance == 0);
        start.saturating_add(bytes) <= arena_bytes && alive.all(|other| other.leaves(start, bytes))
    };
    let mut best = (lowest, moved(lowest));
    for other in nearest(neighbours.clone()).into_iter().flatten() {
        for part in 0..=parts {
            let ahead = boundary(0, bytes, part, parts);
            let Some(start) = other.boundary(part, parts).checked_sub(ahead) else { continue };
            let start = start / ARENA_LINE * ARENA_LINE;
            if start != best.0 && free(start) {
                let here = (start, moved(start));
                best = if here.1 < best.1 { here } else { best };
            }
        }
    }
    best.0
}

/// Those of other times that live nearest; fewer if there are fewer.
fn nearest(neighbours: impl Iterator<Item = Neighbour>) -> [Option<Neighbour>; NEAREST] {
    let mut found = [None; NEAREST];
    for other in neighbours.filter(|other| other.distance > 0) {
        let distance = |held: &Option<Neighbour>| held.map_or(u16::MAX, |held| held.distance);
        if let Some(farthest) = found.iter_mut().max_by_key(|held| distance(held))
            && other.distance < distance(farthest)
        {
            *farthest = Some(other);
        }
    }
    found
}

impl Neighbour {
    /// Where its part `part` of `parts` begins; part `parts` is its end.
    fn boundary(&self, part: usize, parts: usize) -> usize {
        boundary(self.start, self.bytes, part, parts)
    }

    /// Whether it leaves these bytes free.
    fn leaves(&self, start: usize, bytes: usize) -> bool {
        let end = |start: usize, bytes| start.saturating_add(bytes).saturating_add(self.apart);
        end(start, bytes) <= self.start || end(self.start, self.bytes) <= start
    }

    /// How many of its bytes are another thread's in a tensor that lies here, weighed.
    fn moved(&self, start: usize, bytes: usize, parts: usize) -> u64 {
        let shared = |first, last| {
            let begin = self.boundary(first, parts).max(boundary(start, bytes, first, parts));
            let end = self.boundary(last, parts).min(boundary(start, bytes, last, parts));
            end.saturating_sub(begin)
        };
        let all = shared(0, parts);
        if all == 0 {
            return 0;
        }
        let kept = (0..parts).map(|part| shared(part, part + 1)).sum::<usize>();
        (all - kept) as u64 * SCALE / u64::from(self.distance)
    }
}

fn boundary(start: usize, bytes: usize, part: usize, parts: usize) -> usize {
    start.saturating_add(bytes * part / parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLDER: Neighbour = Neighbour { start: 0, bytes: 4096, apart: 0, distance: 1 };

    #[test]
    fn the_middle_lies_at_the_middle() {
        let place = |arena, parts| home(0, 1024, arena, parts, [OLDER].into_iter());
        assert_eq!(place(4096, 2), 1536);
        // It must not pass the end, nor needs to move for one thread.
        assert_eq!(place(2559, 2), 0);
        assert_eq!(place(2560, 2), 1536);
        assert_eq!(place(4096, 1), 0);
    }

    #[test]
    fn with_more_threads_a_boundary_is_shared() {
        // Of four parts of 256 bytes in parts of 1024, two lie where they belong at best.
        let older = Neighbour { start: 1024, ..OLDER };
        assert_eq!(home(1024, 1024, 8192, 4, [older].into_iter()), 1792);
        let moved = [1024, 1792, 2048, 2560].map(|start| older.moved(start, 1024, 4) / SCALE);
        assert_eq!(moved, [768, 512, 768, 512]);
    }

    #[test]
    fn what_lives_at_the_same_time_is_in_the_way() {
        let alive = |start| Neighbour { start, bytes: 512, apart: 64, distance: 0 };
        let place = |alive| home(0, 1024, 4096, 2, [OLDER, alive].into_iter());
        assert_eq!(place(alive(960)), 1536);
        // 63 bytes from its end, and 63 from its start.
        assert_ne!(place(alive(961)), 1536);
        assert_ne!(place(alive(2560 + 63)), 1536);
        assert_eq!(place(alive(2560 + 64)), 1536);
    }

    #[test]
    fn the_nearer_in_time_has_its_way() {
        let other = Neighbour { start: 512, distance: 2, ..OLDER };
        let place = |neighbours: [Neighbour; 2]| home(0, 1024, 4096, 2, neighbours.into_iter());
        assert_eq!(place([OLDER, other]), 1536);
        assert_eq!(place([Neighbour { distance: 3, ..OLDER }, other]), 2048);
    }

    #[test]
    fn the_nearest_are_found() {
        let at = |distance| Neighbour { distance, ..OLDER };
        let mut found = nearest((0..40).rev().map(at)).map(|held| held.map(|held| held.distance));
        found.sort();
        assert!(found.into_iter().eq((1..=16).map(Some)));
        assert_eq!(nearest([at(0), at(9)].into_iter()).into_iter().flatten().count(), 1);
    }
}
