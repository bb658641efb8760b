//! The finished runs of a study, in a file that is replaced as a whole after each.
//!
//! `results.tsv`: lines `# name<TAB>value` say what the study is about, then a
//! line of column names, then one line per run. Tab-separated values, because
//! reading them back takes no parser.

use std::cmp::Ordering;
use std::path::PathBuf;

use super::fingerprint;
use crate::Error;
use crate::files::write_whole;

const COLUMNS: &str = "purpose\trecipe\tlearning_rate\tseed\ttop1\tseconds";
/// In the place of a number that there is not.
const NONE: &str = "-";

/// What a run is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Purpose {
    /// The float network itself: no run, but a score that is kept with theirs.
    Float,
    /// To choose a learning rate, on training images without those held out.
    Tune,
    /// To be reported.
    Score,
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Purpose::Float => "float",
            Purpose::Tune => "tune",
            Purpose::Score => "score",
        }
    }
}

/// What tells a run from the others of its study.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Key {
    /// What for.
    pub(super) purpose: Purpose,
    /// [`Recipe::describe`](crate::learn::recipe::Recipe::describe) of its recipe.
    pub(super) recipe: String,
    /// Highest learning rate.
    pub(super) learning_rate: f32,
    /// Seed of order and augmentation.
    pub(super) seed: u64,
}

impl Key {
    /// The float network's.
    pub(super) fn float() -> Key {
        Key { purpose: Purpose::Float, recipe: "float network".into(), learning_rate: 0.0, seed: 0 }
    }

    fn order(&self, other: &Key) -> Ordering {
        (self.purpose, &self.recipe)
            .cmp(&(other.purpose, &other.recipe))
            .then(self.learning_rate.total_cmp(&other.learning_rate))
            .then(self.seed.cmp(&other.seed))
    }

    /// The key as columns.
    fn line(&self) -> String {
        let Key { purpose, recipe, learning_rate, seed } = self;
        format!("{}\t{recipe}\t{learning_rate}\t{seed}", purpose.name())
    }
}

/// What came of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Outcome {
    /// Percent of the images it is judged by; `None` if its training diverged.
    pub(super) top1: Option<f64>,
    /// Processor time of its training; `None` if it was killed on the way.
    pub(super) seconds: Option<f64>,
}

/// The file.
#[derive(Debug)]
pub(super) struct Results {
    path: PathBuf,
    about: Vec<(&'static str, String)>,
    runs: Vec<(Key, Outcome)>,
}

impl Results {
    /// Opens or starts the results in `path` of a study about `about`.
    ///
    /// # Errors
    /// A file of another study, named by what differs; a damaged one.
    pub(super) fn open(
        path: PathBuf,
        about: Vec<(&'static str, String)>,
    ) -> Result<Results, Error> {
        let mut results = Results { path, about, runs: Vec::new() };
        match std::fs::read_to_string(&results.path) {
            Ok(text) => results.read(&text).map_err(|e| Error::file(&results.path, e))?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(Error::file(&results.path, e)),
        }
        Ok(results)
    }

    /// What came of a run, if it is finished.
    pub(super) fn find(&self, key: &Key) -> Option<Outcome> {
        self.runs.iter().find(|(other, _)| other == key).map(|(_, outcome)| *outcome)
    }

    /// Adds a finished run.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(super) fn add(&mut self, key: Key, outcome: Outcome) -> Result<(), Error> {
        self.runs.push((key, outcome));
        self.runs.sort_by(|(a, _), (b, _)| a.order(b));
        write_whole(&self.path, self.text().as_bytes())
    }

    /// Tells a run from all others, of other studies too.
    pub(super) fn fingerprint(&self, key: &Key) -> String {
        fingerprint::text(&(self.head() + &key.line()))
    }

    fn head(&self) -> String {
        self.about.iter().map(|(name, value)| format!("# {name}\t{value}\n")).collect()
    }

    fn text(&self) -> String {
        let mut text = self.head() + &format!("{COLUMNS}\n");
        let number = |v: Option<f64>| v.map_or(NONE.to_owned(), |v| v.to_string());
        for (key, Outcome { top1, seconds }) in &self.runs {
            text += &format!("{}\t{}\t{}\n", key.line(), number(*top1), number(*seconds));
        }
        text
    }

    fn read(&mut self, text: &str) -> Result<(), String> {
        let mut lines = text.lines();
        for (name, value) in &self.about {
            let line = lines.next().and_then(|l| l.strip_prefix("# ")?.split_once('\t'));
            let Some((found, before)) = line.filter(|(found, _)| found == name) else {
                return Err(format!("says nothing of {name}: no results of this program's"));
            };
            if before != value {
                return Err(format!(
                    "results of another study: for {found} it says '{before}', now there is '{value}'; \
                     give the options of that study, or another folder with --output"
                ));
            }
        }
        let first = self.about.len() + 1;
        if lines.next() != Some(COLUMNS) {
            return Err(format!("line {first}: is not '{COLUMNS}'"));
        }
        for (number, line) in (first + 1..).zip(lines) {
            let run = run(line).ok_or_else(|| {
                format!("line {number}: no run; remove the line to have its run done again")
            })?;
            self.runs.push(run);
        }
        Ok(())
    }
}

/// The run of one line.
fn run(line: &str) -> Option<(Key, Outcome)> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [purpose, recipe, learning_rate, seed, top1, seconds] = fields[..] else { return None };
    let purpose = [Purpose::Float, Purpose::Tune, Purpose::Score]
        .into_iter()
        .find(|p| p.name() == purpose)?;
    let number = |text: &str| match text {
        NONE => Some(None),
        text => text.parse::<f64>().ok().filter(|v| v.is_finite()).map(Some),
    };
    let (learning_rate, seed) = (learning_rate.parse().ok()?, seed.parse().ok()?);
    let key = Key { purpose, recipe: recipe.to_owned(), learning_rate, seed };
    Some((key, Outcome { top1: number(top1)?, seconds: number(seconds)? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u64) -> Key {
        Key { purpose: Purpose::Score, recipe: "at once".into(), learning_rate: 0.1, seed }
    }

    fn file(name: &str) -> PathBuf {
        let name = format!("bitat-results-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_file(&path);
        path
    }

    fn about(steps: u32) -> Vec<(&'static str, String)> {
        vec![("network", "small".into()), ("steps", steps.to_string())]
    }

    #[test]
    fn what_was_added_is_found_again() {
        let path = file("round");
        let mut results = Results::open(path.clone(), about(5)).unwrap();
        let outcomes = [
            Outcome { top1: Some(100.0 / 3.0), seconds: Some(0.1) },
            Outcome { top1: None, seconds: None },
        ];
        results.add(key(2), outcomes[1]).unwrap();
        results.add(key(1), outcomes[0]).unwrap();
        let again = Results::open(path.clone(), about(5)).unwrap();
        assert_eq!(again.find(&key(1)), Some(outcomes[0]));
        assert_eq!(again.find(&key(2)), Some(outcomes[1]));
        assert_eq!(again.find(&key(3)), None);
        assert_eq!(again.fingerprint(&key(1)), results.fingerprint(&key(1)));
        assert_ne!(again.fingerprint(&key(1)), results.fingerprint(&key(2)));
        let other = Results::open(file("other"), about(6)).unwrap();
        assert_ne!(other.fingerprint(&key(1)), results.fingerprint(&key(1)));
        assert_eq!(again.text(), results.text());
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn other_and_damaged_files_are_refused() {
        let path = file("refused");
        let mut results = Results::open(path.clone(), about(5)).unwrap();
        results.add(key(1), Outcome { top1: Some(1.0), seconds: None }).unwrap();
        let refused = |about| Results::open(path.clone(), about).unwrap_err().to_string();
        let error = refused(about(6));
        assert!(error.contains("for steps it says '5', now there is '6'"), "{error}");
        assert!(error.contains(&path.display().to_string()), "{error}");
        let error = refused(vec![("seed", "1".into())]);
        assert!(error.contains("says nothing of seed"), "{error}");
        for damage in ["score\tat once\t0.1", "tune\tx\t0.1\t1\tNaN\t1", "?\tx\t0.1\t1\t1\t1"] {
            std::fs::write(&path, format!("{}{damage}\n", results.text())).unwrap();
            let error = refused(about(5));
            assert!(error.contains("line 5"), "{error}");
        }
        std::fs::remove_file(path).unwrap();
    }
}
