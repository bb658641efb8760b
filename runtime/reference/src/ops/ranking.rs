//! Which class wins (rule S29).

/// Classes, best first: the larger score first, of equal scores the lower class.
pub fn ranking(scores: &[i32]) -> Vec<usize> {
    let mut classes: Vec<usize> = (0..scores.len()).collect();
    classes.sort_by_key(|&class| (std::cmp::Reverse(scores[class]), class));
    classes
}
