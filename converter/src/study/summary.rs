//! What a study found, and its numbers.

use super::ladder::Rung;
use crate::ui::{Align, Json, Table, human};

/// The ladder, measured.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The float network on the test images, percent.
    pub float_top1: f64,
    /// In the order of the ladder.
    pub rungs: Vec<Measured>,
}

/// One rung, measured.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Which.
    pub rung: &'static Rung,
    /// The nearest rung below it that was measured too.
    pub over: Option<&'static str>,
    /// Its learning rate.
    pub learning_rate: f32,
    /// The learning rates it was chosen from, with percent of the held-out
    /// images; `None` where training diverged. Empty if there was no choice.
    pub tuning: Vec<(f32, Option<f64>)>,
    /// Percent of the test images, by seed.
    pub top1: Vec<f64>,
    /// Seconds per run: processor time of training, the mean over the seeds.
    pub seconds: Option<f64>,
}

/// How much a rung adds to the one below.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gain {
    /// Difference of the means, points.
    pub points: f64,
    /// Its standard error, `√(s₁²/n₁ + s₂²/n₂)`; `None` with one seed.
    pub error: Option<f64>,
}

/// The arithmetic mean.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The sample standard deviation (n − 1 in the divisor); `None` of one value.
pub fn spread(values: &[f64]) -> Option<f64> {
    let mean = mean(values);
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (values.len() > 1).then(|| (squares / (values.len() - 1) as f64).sqrt())
}

impl Measured {
    /// Mean top-1 over the seeds.
    pub fn mean(&self) -> f64 {
        mean(&self.top1)
    }

    /// `79.71 ± 0.23`.
    pub fn top1_text(&self) -> String {
        with_error(format!("{:.2}", self.mean()), spread(&self.top1))
    }
}

impl Gain {
    /// `+0.83 ± 0.21`.
    pub fn text(self) -> String {
        with_error(signed(self.points), self.error)
    }
}

fn with_error(text: String, error: Option<f64>) -> String {
    error.map_or(text.clone(), |error| format!("{text} ± {error:.2}"))
}

/// Two decimals behind a sign of one width.
fn signed(points: f64) -> String {
    let text = format!("{:.2}", points.abs());
    match text.as_str() {
        "0.00" => text,
        _ if points < 0.0 => format!("−{text}"),
        _ => format!("+{text}"),
    }
}

impl Summary {
    /// Points between a rung and the float network; negative below it.
    pub fn gap(&self, rung: &Measured) -> f64 {
        rung.mean() - self.float_top1
    }

    /// `−9.50`.
    pub fn gap_text(&self, rung: &Measured) -> String {
        signed(self.gap(rung))
    }

    /// What a rung adds to the one it stands over.
    pub fn gain(&self, rung: &Measured) -> Option<Gain> {
        let over = self.rungs.iter().find(|r| Some(r.rung.name) == rung.over)?;
        let part = |r: &Measured| spread(&r.top1).map(|s| s * s / r.top1.len() as f64);
        let error = part(rung).zip(part(over)).map(|(a, b)| (a + b).sqrt());
        Some(Gain { points: rung.mean() - over.mean(), error })
    }

    /// The table for a terminal.
    pub fn table(&self) -> Table {
        let mut table = Table::new(&[
            ("rung", Align::Left),
            ("adds", Align::Left),
            ("rate", Align::Right),
            ("top-1, %", Align::Right),
            ("to float", Align::Right),
            ("gain", Align::Right),
            ("over", Align::Left),
            ("per run", Align::Right),
        ]);
        for rung in &self.rungs {
            table.row(&[
                rung.rung.name.to_owned(),
                rung.rung.what.to_owned(),
                rung.learning_rate.to_string(),
                rung.top1_text(),
                self.gap_text(rung),
                self.gain(rung).map_or(String::new(), Gain::text),
                rung.over.unwrap_or_default().to_owned(),
                rung.seconds_text(),
            ]);
        }
        table
    }

    /// The fields `float_top1` and `rungs` of `docs/json.md`.
    pub fn json(&self) -> Json {
        let rungs = self.rungs.iter().map(|rung| {
            let gain = self.gain(rung);
            let tuning = rung.tuning.iter().map(|&(rate, top1)| {
                Json::object().with("learning_rate", rate).with("held_out_top1", top1)
            });
            let top1 = Json::object()
                .with("mean", rung.mean())
                .with("spread", spread(&rung.top1))
                .with("seeds", rung.top1.clone());
            Json::object()
                .with("rung", rung.rung.name)
                .with("name", rung.rung.what)
                .with("learning_rate", rung.learning_rate)
                .with("tuning", Json::array(tuning))
                .with("top1", top1)
                .with("gap", self.gap(rung))
                .with("over", rung.over)
                .with("gain", gain.map(|g| g.points))
                .with("gain_error", gain.and_then(|g| g.error))
                .with("seconds", rung.seconds)
        });
        Json::object().with("float_top1", self.float_top1).with("rungs", Json::array(rungs))
    }
}

impl Measured {
    /// `2m13s`, or a dash where it is not known.
    pub fn seconds_text(&self) -> String {
        let time = |s| human::duration(std::time::Duration::from_secs_f64(s));
        self.seconds.map_or("–".to_owned(), time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::tests::sample;

    #[test]
    fn mean_and_spread_by_hand() {
        assert_eq!(mean(&[1.0, 2.0, 6.0]), 3.0);
        // ((1−3)² + (2−3)² + (6−3)²) / 2 = 7
        assert_eq!(spread(&[1.0, 2.0, 6.0]), Some(7f64.sqrt()));
        assert_eq!(spread(&[4.0, 4.0]), Some(0.0));
        assert_eq!(spread(&[4.0]), None);
    }

    #[test]
    fn gap_and_gain_by_hand() {
        let summary = sample();
        let [a, c, g] = [&summary.rungs[0], &summary.rungs[1], &summary.rungs[2]];
        assert_eq!(summary.gap(a), 80.0 - 91.5);
        assert_eq!(summary.gain(a), None);
        // a is 79, 80, 81 and c is 80, 82, 84: variances 1 and 4 over three seeds each.
        let error = Some((1f64 / 3.0 + 4.0 / 3.0).sqrt());
        assert_eq!(summary.gain(c), Some(Gain { points: 2.0, error }));
        assert_eq!(summary.gain(g).unwrap().points, -0.5);
    }

    #[test]
    fn the_table_is_as_blessed() {
        let want = "\
rung  adds                                     rate      top-1, %  to float          gain  over  per run
────────────────────────────────────────────────────────────────────────────────────────────────────────
a     all layers at once, plain STE            0.01  80.00 ± 1.00    −11.50                        1m15s
c     metric scale and penalty, V and s fixed  0.02  82.00 ± 2.00     −9.50  +2.00 ± 1.29  a       1m30s
g     distillation from the float network      0.01  81.50 ± 1.00    −10.00  −0.50 ± 1.29  c           –
";
        assert_eq!(sample().table().to_string(), want);
    }

    #[test]
    fn numbers_without_seeds_to_compare() {
        let mut summary = sample();
        for rung in &mut summary.rungs {
            rung.top1.truncate(1);
        }
        let json = summary.json().to_string();
        assert!(json.contains("\"spread\":null") && json.contains("\"gain_error\":null"), "{json}");
        assert_eq!(summary.rungs[0].top1_text(), "79.00");
    }
}
