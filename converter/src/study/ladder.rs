//! The ladder: which rungs there are, what each adds, and to which.

use bitat_engine::loss::Distil;

use crate::bitat::Importance;
use crate::learn::recipe::Recipe;
use crate::qat::stages::Schedule;

/// Input dimensions above which the rungs from c on aggregate, unless they say otherwise.
const GROUPS: usize = 256;

/// One rung: a recipe, told as a change to the recipe below it.
#[derive(Debug)]
pub struct Rung {
    /// As it is selected and printed.
    pub name: &'static str,
    /// What it adds, for people.
    pub what: &'static str,
    /// What it builds on.
    pub base: Base,
    change: fn(&mut Recipe, &Parts),
}

/// What a rung builds on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// Nothing: the budget with plain straight-through estimation.
    Budget,
    /// The plain rung of the schedule that the study is about: a or b.
    Schedule,
    /// Another rung.
    Rung(&'static str),
}

/// All rungs; each stands below those that build on it.
pub static LADDER: [Rung; 12] = [
    Rung {
        name: "a",
        what: "all layers at once, plain STE",
        base: Base::Budget,
        change: |_, _| {},
    },
    Rung {
        name: "b",
        what: "progressive, bottom to top",
        base: Base::Rung("a"),
        change: |recipe, parts| recipe.schedule = parts.progressive,
    },
    Rung {
        name: "b2",
        what: "two steps: activations, then weights",
        base: Base::Rung("a"),
        change: |recipe, parts| recipe.schedule = parts.two_step,
    },
    Rung {
        name: "c",
        what: "metric scale and penalty, V and s fixed",
        base: Base::Schedule,
        change: |recipe, parts| {
            recipe.method.importance = parts.importance;
            recipe.method.penalty = parts.penalty;
            recipe.method.groups = GROUPS;
        },
    },
    Rung {
        name: "d",
        what: "V and s trained, as coordinates",
        base: Base::Rung("c"),
        change: |recipe, _| recipe.method.trained = true,
    },
    Rung {
        name: "e",
        what: "signs in order of importance",
        base: Base::Rung("d"),
        change: |recipe, _| recipe.method.signs = true,
    },
    Rung {
        name: "f64",
        what: "inputs aggregated into 64 groups",
        base: Base::Rung("e"),
        change: |recipe, _| recipe.method.groups = 64,
    },
    Rung {
        name: "f256",
        what: "into 256 groups, as c, d, e and g",
        base: Base::Rung("e"),
        change: |recipe, _| recipe.method.groups = 256,
    },
    Rung {
        name: "full",
        what: "no aggregation",
        base: Base::Rung("e"),
        change: |recipe, _| recipe.method.groups = 0,
    },
    Rung {
        name: "g",
        what: "distillation from the float network",
        base: Base::Rung("e"),
        change: |recipe, parts| recipe.distil = Some(parts.distil),
    },
    Rung {
        name: "e0",
        what: "ordered signs without trained V and s",
        base: Base::Rung("c"),
        change: |recipe, _| recipe.method.signs = true,
    },
    Rung {
        name: "g0",
        what: "distillation alone",
        base: Base::Schedule,
        change: |recipe, parts| recipe.distil = Some(parts.distil),
    },
];

/// What the rungs are made of, the same for all.
#[derive(Clone, Debug, PartialEq)]
pub struct Parts {
    /// Whether c and those above it build on b instead of a.
    pub progression: bool,
    /// The schedule of b.
    pub progressive: Schedule,
    /// The schedule of b2.
    pub two_step: Schedule,
    /// Where the metric of c comes from.
    pub importance: Importance,
    /// The weight of c's penalty.
    pub penalty: f32,
    /// What g adds to the loss.
    pub distil: Distil,
}

/// The rung called `name`.
pub fn rung(name: &str) -> Option<&'static Rung> {
    LADDER.iter().find(|rung| rung.name == name)
}

impl Rung {
    /// The rung below.
    pub fn below(&self, parts: &Parts) -> Option<&'static Rung> {
        let name = match self.base {
            Base::Budget => return None,
            Base::Schedule if parts.progression => "b",
            Base::Schedule => "a",
            Base::Rung(name) => name,
        };
        rung(name)
    }

    /// The recipe within `budget`, which knows steps, batch and decay.
    pub fn recipe(&self, budget: &Recipe, parts: &Parts) -> Recipe {
        let mut recipe = match self.below(parts) {
            Some(below) => below.recipe(budget, parts),
            None => budget.clone(),
        };
        (self.change)(&mut recipe, parts);
        recipe
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::tests::{budget, parts};

    #[test]
    fn every_rung_stands_on_one_before_it() {
        for (i, rung) in LADDER.iter().enumerate() {
            for progression in [false, true] {
                let parts = Parts { progression, ..parts() };
                let below = rung.below(&parts);
                assert_eq!(below.is_none(), i == 0, "{}", rung.name);
                let before = &LADDER[..i];
                assert!(below.is_none_or(|b| before.iter().any(|r| r.name == b.name)));
            }
        }
    }

    #[test]
    fn a_rung_changes_one_thing() {
        let texts = |progression| {
            let parts = Parts { progression, ..parts() };
            LADDER.iter().map(|r| r.recipe(&budget(), &parts).describe()).collect::<Vec<_>>()
        };
        let metric = "importance of task, groups 256, penalty 0.5";
        let full = format!("{metric}, V and s trained, ordered signs");
        let want = |base: &str| {
            [
                "at once".to_owned(),
                "4 stages in 0.4".into(),
                "two steps, the first 0.3".into(),
                format!("{base}, {metric}"),
                format!("{base}, {metric}, V and s trained"),
                format!("{base}, {full}"),
                format!("{base}, {}", full.replace("256", "64")),
                format!("{base}, {full}"),
                format!("{base}, {}", full.replace("256", "0")),
                format!("{base}, {full}, teacher 0.9 at 4 beside 0"),
                format!("{base}, {metric}, ordered signs"),
                format!("{base}, teacher 0.9 at 4 beside 0"),
            ]
        };
        assert_eq!(texts(false), want("at once"));
        assert_eq!(texts(true), want("4 stages in 0.4"));
    }
}
