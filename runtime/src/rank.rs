//! The best classes (rule S29 of the reference).

/// Fills `best` with (class, score) in falling order and returns how many
/// there are: as many as fit, at most one per score. Of equal scores the lower
/// class comes first. Time is scores × `best.len()`.
pub fn top_k(scores: &[i32], best: &mut [(usize, i32)]) -> usize {
    top_k_as(scores, best, |class, score| (class, score), |&(_, score)| score)
}

/// As [`top_k`] for elements of the caller's choice: `element` makes one of a
/// class and its score, `score_of` gives the score back.
pub fn top_k_as<T>(
    scores: &[i32],
    best: &mut [T],
    element: impl Fn(usize, i32) -> T,
    score_of: impl Fn(&T) -> i32,
) -> usize {
    let mut filled = 0;
    for (class, &score) in scores.iter().enumerate() {
        // Classes come in rising order, so an equal score goes behind.
        let better = best.iter().take(filled).take_while(|other| score_of(other) >= score).count();
        if let Some(tail) = best.get_mut(better..) {
            if filled < better + tail.len() {
                filled += 1;
            }
            let end = filled - better;
            if let Some(moved @ [_, ..]) = tail.get_mut(..end) {
                moved.rotate_right(1);
                moved[0] = element(class, score);
            }
        }
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_larger_first_and_of_equals_the_lower_class() {
        let scores = [5, 7, i32::MIN, 7, 5, i32::MAX];
        let mut best = [(9, 9); 4];
        assert_eq!(top_k(&scores, &mut best), 4);
        assert_eq!(best, [(5, i32::MAX), (1, 7), (3, 7), (0, 5)]);
    }

    #[test]
    fn more_room_than_classes_and_none_at_all() {
        let mut best = [(9, 9); 3];
        assert_eq!(top_k(&[-1, 1], &mut best), 2);
        assert_eq!(best, [(1, 1), (0, -1), (9, 9)]);
        assert_eq!(top_k(&[1, 2, 3], &mut []), 0);
        assert_eq!(top_k(&[], &mut best), 0);
    }
}
