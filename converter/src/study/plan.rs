//! Which runs a study is made of.

use std::fmt;

use super::Study;
use super::results::{Key, Purpose, Results};
use crate::Error;
use crate::learn::recipe::Recipe;

/// A recipe, and the rungs that it is the recipe of.
pub(super) struct Variant {
    /// [`describe`] of it.
    pub(super) text: String,
    /// All but learning rate and seed.
    pub(super) start: Recipe,
    rungs: Vec<&'static str>,
}

impl fmt::Display for Variant {
    /// `e, f256`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rungs.join(", "))
    }
}

/// The different recipes among the rungs of `study`, in the ladder's order.
pub(super) fn variants(study: &Study) -> Vec<Variant> {
    let mut variants: Vec<Variant> = Vec::new();
    for rung in &study.rungs {
        let start = rung.recipe(&study.budget, &study.parts);
        let text = start.describe();
        match variants.iter_mut().find(|v| v.text == text) {
            Some(variant) => variant.rungs.push(rung.name),
            None => variants.push(Variant { text, start, rungs: vec![rung.name] }),
        }
    }
    variants
}

impl Variant {
    /// The runs that choose its learning rate; none if there is no choice.
    pub(super) fn tuning(&self, study: &Study) -> Vec<Key> {
        let rates = if study.learning_rates.len() > 1 { &study.learning_rates[..] } else { &[] };
        let seed = study.budget.seed;
        rates.iter().map(|&rate| self.key(Purpose::Tune, rate, seed)).collect()
    }

    /// The runs that score it with a learning rate.
    pub(super) fn scoring(&self, study: &Study, rate: f32) -> Vec<Key> {
        let first = study.budget.seed;
        (first..first + study.seeds).map(|seed| self.key(Purpose::Score, rate, seed)).collect()
    }

    fn key(&self, purpose: Purpose, learning_rate: f32, seed: u64) -> Key {
        Key { purpose, recipe: self.text.clone(), learning_rate, seed }
    }

    /// The recipe of one of its runs.
    pub(super) fn recipe(&self, study: &Study, key: &Key) -> Recipe {
        let tunes = key.purpose == Purpose::Tune;
        let steps = if tunes { study.tuning_steps } else { study.budget.steps };
        let Key { learning_rate, seed, .. } = *key;
        Recipe { steps, learning_rate, seed, ..self.start.clone() }
    }

    /// The learning rate of the best held-out accuracy, of equals the first given;
    /// `None` while runs that choose are undone.
    ///
    /// # Errors
    /// If training diverged at all of them.
    pub(super) fn learning_rate(
        &self,
        study: &Study,
        results: &Results,
    ) -> Result<Option<f32>, Error> {
        if let [only] = study.learning_rates[..] {
            return Ok(Some(only));
        }
        let mut best: Option<(f32, f64)> = None;
        for key in self.tuning(study) {
            let Some(outcome) = results.find(&key) else { return Ok(None) };
            if let Some(top1) = outcome.top1
                && best.is_none_or(|(_, before)| top1 > before)
            {
                best = Some((key.learning_rate, top1));
            }
        }
        let none = || {
            Error::diverged(format!(
                "{self}: training diverged at every learning rate; give --learning-rates lower ones"
            ))
        };
        best.map(|(rate, _)| Some(rate)).ok_or_else(none)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::ladder::LADDER;
    use crate::study::results::Outcome;
    use crate::study::tests::with_study;

    #[test]
    fn equal_recipes_share_their_runs() {
        with_study(|study| {
            let mut all = LADDER.iter().collect();
            std::mem::swap(&mut study.rungs, &mut all);
            let variants = variants(study);
            assert_eq!(variants.len(), LADDER.len() - 1);
            assert!(variants.iter().any(|v| v.to_string() == "e, f256"));
        });
    }

    #[test]
    fn the_best_held_out_accuracy_chooses() {
        with_study(|study| {
            study.learning_rates = vec![0.02, 0.01, 0.04];
            let variant = &variants(study)[0];
            let name = format!("bitat-plan-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            let _ = std::fs::remove_file(&path);
            let mut results = Results::open(path.clone(), Vec::new()).unwrap();
            let mut outcomes = [Some(50.0), Some(60.0), None].into_iter();
            for key in variant.tuning(study) {
                assert_eq!(variant.learning_rate(study, &results).unwrap(), None);
                let top1 = outcomes.next().unwrap();
                results.add(key, Outcome { top1, seconds: None }).unwrap();
            }
            assert_eq!(variant.learning_rate(study, &results).unwrap(), Some(0.01));
            study.learning_rates = vec![0.04, 0.04];
            let error = variant.learning_rate(study, &results).unwrap_err();
            assert!(error.to_string().starts_with("a: training diverged"), "{error}");
            std::fs::remove_file(path).unwrap();
        });
    }
}
