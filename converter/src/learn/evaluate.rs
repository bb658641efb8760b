//! Scoring a graph on a data set with the float path.

use std::sync::Arc;

use bitat_data::{Augment, Batches, Dataset, Fit, Order, Plan, Position, Preprocess};
use bitat_engine::{Binarizer, Mode, Net, Purpose};
use bitat_graph::Graph;

use crate::Error;

/// Images per forward pass.
const BATCH: usize = 32;

/// What a network made of every image of a data set.
#[derive(Clone, Debug, Default)]
pub struct Scores {
    /// Classes.
    pub classes: usize,
    /// True class per image.
    pub labels: Vec<usize>,
    /// Per image, the classes by falling score (ties: the lower class first), the first five.
    pub best: Vec<Vec<usize>>,
}

impl Scores {
    /// An empty record for `classes` classes.
    pub fn new(classes: usize) -> Self {
        Scores { classes, ..Scores::default() }
    }

    /// Adds one image's scores.
    pub fn push<T: PartialOrd + Copy>(&mut self, label: usize, scores: &[T]) {
        self.labels.push(label);
        self.best.push(top(scores, 5));
    }

    /// Adds another record's images after these.
    pub fn append(&mut self, other: Scores) {
        self.labels.extend(other.labels);
        self.best.extend(other.best);
    }

    /// Images scored.
    pub fn images(&self) -> usize {
        self.labels.len()
    }

    /// Percent of the images whose class is among the first `k` (at most 5).
    pub fn top(&self, k: usize) -> f64 {
        let hit = |(label, best): &(&usize, &Vec<usize>)| best.iter().take(k).any(|b| b == *label);
        let hits = self.labels.iter().zip(&self.best).filter(hit).count();
        100.0 * hits as f64 / self.labels.len().max(1) as f64
    }

    /// The class each image was given.
    pub fn predictions(&self) -> impl Iterator<Item = usize> + '_ {
        self.best.iter().map(|b| b[0])
    }

    /// Images that another record of the same images puts into the same class.
    pub fn agreeing(&self, other: &Scores) -> usize {
        self.predictions().zip(other.predictions()).filter(|(a, b)| a == b).count()
    }

    /// `[true class][predicted class]` counts, row-major.
    pub fn confusion(&self) -> Vec<u32> {
        let mut counts = vec![0; self.classes * self.classes];
        for (label, best) in self.labels.iter().zip(&self.best) {
            counts[label * self.classes + best[0]] += 1;
        }
        counts
    }
}

/// The first `k` classes by falling score; ties go to the lower class.
pub fn top<T: PartialOrd + Copy>(scores: &[T], k: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| {
        scores[b].partial_cmp(&scores[a]).unwrap_or(std::cmp::Ordering::Equal).then(a.cmp(&b))
    });
    order.truncate(k);
    order
}

/// Runs `graph` with its running statistics over the first `limit` images of
/// `data` (rounded up to whole batches).
///
/// `each` is told after every batch how many images are done; `false` stops.
///
/// # Errors
/// An unreadable image, or a graph that cannot be executed.
pub fn evaluate(
    graph: &mut Graph,
    binarizer: &dyn Binarizer,
    data: &Arc<Dataset>,
    fit: Fit,
    preprocess: &Preprocess,
    limit: usize,
    mut each: impl FnMut(usize) -> bool,
) -> Result<Scores, Error> {
    let classes = graph.nodes[graph.output].shape.c;
    let mut net = Net::new(graph, BATCH, Purpose::Eval, &[])?;
    let mut scores = Scores::new(classes);
    for batch in in_order(data, fit, preprocess, BATCH)?.take(limit.div_ceil(BATCH)) {
        let batch = batch?;
        let logits = net.forward(graph, binarizer, &batch.inputs, batch.len(), Mode::Eval);
        for (row, &label) in logits.chunks(classes).zip(&batch.labels) {
            scores.push(label, row);
        }
        if !each(scores.images()) {
            return Err(Error::interrupted("stopped; nothing was written"));
        }
    }
    Ok(scores)
}

/// The images of a data set in stored order, preprocessed.
///
/// # Errors
/// If the preprocessing does not fit the network's channels.
pub fn in_order(
    data: &Arc<Dataset>,
    fit: Fit,
    preprocess: &Preprocess,
    batch: usize,
) -> Result<Batches, Error> {
    let plan = Plan {
        batch,
        order: Order::Once,
        fit,
        preprocess: preprocess.clone(),
        augment: Augment::default(),
        workers: 1,
    };
    Ok(Batches::new(Arc::clone(data), plan, Position::default())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_to_the_lower_class() {
        assert_eq!(top(&[1, 3, 3, 0], 3), [1, 2, 0]);
    }

    #[test]
    fn counts_what_was_hit() {
        let mut scores = Scores::new(3);
        scores.push(0, &[5, 1, 0]);
        scores.push(2, &[5, 1, 0]);
        scores.push(1, &[5, 1, 0]);
        assert!((scores.top(1) - 100.0 / 3.0).abs() < 1e-9);
        assert!((scores.top(2) - 200.0 / 3.0).abs() < 1e-9);
        assert_eq!(scores.confusion(), [1, 0, 0, 1, 0, 0, 1, 0, 0]);
    }
}
