//! `bitat bench … --compare FILE`: times beside those of an earlier run.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::bench::{Measured, threads_text};
use crate::Error;
use crate::ui::{Align, Json, Table, human};

/// What an earlier `bitat bench --json` measured.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Before {
    path: PathBuf,
    network: String,
    machine: String,
    isa: String,
    threads: u64,
    median_us: f64,
    /// Name and microseconds of each layer.
    layers: Vec<(String, f64)>,
}

impl Before {
    /// Reads a file that holds one JSON object of `bitat bench --json`.
    ///
    /// # Errors
    /// If it cannot be read, or is something else.
    pub(super) fn read(path: &Path) -> Result<Before, Error> {
        let bytes = fs::read(path).map_err(|e| Error::file(path, e))?;
        parse(path, &bytes).map_err(|problem| {
            let advice = "give the output of 'bitat bench … --json'";
            Error::file(path, format!("{problem}; {advice}"))
        })
    }
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Before, String> {
    let json: Value = serde_json::from_slice(bytes).map_err(|e| format!("is no JSON: {e}"))?;
    let layers = json.get("layers").and_then(Value::as_array).ok_or_else(|| lacks("layers"))?;
    let layer = |layer| Ok((string(layer, "name")?, time(layer)?));
    Ok(Before {
        path: path.to_owned(),
        network: string(&json, "network")?,
        machine: string(&json, "machine")?,
        isa: string(&json, "isa")?,
        threads: json.get("threads").and_then(Value::as_u64).ok_or_else(|| lacks("threads"))?,
        median_us: time(&json)?,
        layers: layers.iter().map(layer).collect::<Result<_, String>>()?,
    })
}

fn lacks(field: &str) -> String {
    format!("is no result of a benchmark: '{field}' is missing or no such value")
}

fn string(json: &Value, field: &str) -> Result<String, String> {
    let text = json.get(field).and_then(Value::as_str);
    text.map(str::to_owned).ok_or_else(|| lacks(field))
}

fn time(json: &Value) -> Result<f64, String> {
    let time = json.get("median_us").and_then(Value::as_f64);
    time.filter(|us| *us >= 0.0).ok_or_else(|| lacks("median_us"))
}

/// What the two runs do not have in common, in sentences.
fn differences(before: &Before, now: &Measured) -> Vec<String> {
    let threads = |count| u32::try_from(count).map_or_else(|_| format!("{count}"), threads_text);
    [
        ("network", before.network.clone(), now.network.clone()),
        ("machine", before.machine.clone(), now.machine.clone()),
        ("kernel set", before.isa.clone(), now.timing.isa.to_owned()),
        ("number of threads", threads(before.threads), threads(now.threads.into())),
    ]
    .into_iter()
    .filter(|(_, before, now)| before != now)
    .map(|(what, before, now)| format!("another {what}: {before} before, {now} now"))
    .collect()
}

/// Of each layer now, how long it took before: layers are found by name, those
/// of the same name in their order.
fn layers_before(before: &Before, now: &Measured) -> Vec<Option<f64>> {
    let mut left: Vec<_> = before.layers.iter().collect();
    let mut find = |name: &str| {
        let at = left.iter().position(|(other, _)| other == name)?;
        Some(left.remove(at).1)
    };
    now.layers.iter().map(|layer| find(&layer.summary.name)).collect()
}

/// The comparison for people.
pub(super) fn text(before: &Before, now: &Measured) -> String {
    let mut table = Table::new(&[
        ("layer", Align::Left),
        ("operation", Align::Left),
        ("before", Align::Right),
        ("now", Align::Right),
        ("ratio", Align::Right),
    ]);
    let times = |before: Option<f64>, now: f64| match before {
        Some(before) => {
            [human::latency(before), human::latency(now), format!("{:.2}", before / now)]
        }
        None => [String::new(), human::latency(now), String::new()],
    };
    for (layer, before) in now.layers.iter().zip(layers_before(before, now)) {
        let names = [layer.summary.name.clone(), layer.summary.op.to_owned()];
        table.row(&[&names[..], &times(before, layer.median_us)].concat());
    }
    let names = ["one image".to_owned(), String::new()];
    let total = times(Some(before.median_us), now.timing.median_us);
    table.rule().row(&[&names[..], &total].concat());
    let mut text = format!(
        "{} on {}, {}, beside {}\n\n{table}\nratio: before / now, above 1 is faster\n",
        now.network,
        now.timing.isa,
        threads_text(now.threads),
        before.path.display(),
    );
    for difference in differences(before, now) {
        text.push_str(&format!("\nwarning: {difference}\n"));
    }
    for doubt in &now.timing.doubts {
        text.push_str(&format!("\nnote: {doubt}\n"));
    }
    text
}

/// The comparison as a member of the benchmark's JSON.
pub(super) fn json(before: &Before, now: &Measured) -> Json {
    let layers = now.layers.iter().zip(layers_before(before, now)).map(|(layer, before)| {
        Json::object()
            .with("name", layer.summary.name.as_str())
            .with("median_us", before)
            .with("ratio", before.map(|before| before / layer.median_us))
    });
    Json::object()
        .with("file", before.path.display().to_string())
        .with("median_us", before.median_us)
        .with("ratio", before.median_us / now.timing.median_us)
        .with("warnings", Json::array(differences(before, now)))
        .with("layers", Json::array(layers))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"network":"n","machine":"m","isa":"avx2","threads":2,"median_us":9.5,
        "layers":[{"name":"a","median_us":4},{"name":"b","median_us":5.5}]}"#;

    #[test]
    fn a_result_reads_back() {
        let before = parse(Path::new("a.json"), GOOD.as_bytes()).unwrap();
        assert_eq!(before.layers, [("a".to_owned(), 4.0), ("b".to_owned(), 5.5)]);
        assert_eq!((before.threads, before.median_us), (2, 9.5));
    }

    #[test]
    fn something_else_is_refused() {
        let refused = |text: &str| parse(Path::new("a.json"), text.as_bytes()).unwrap_err();
        for field in ["network", "machine", "isa", "threads", "layers"] {
            let without = GOOD.replace(&format!("\"{field}\""), "\"other\"");
            assert!(refused(&without).contains(&format!("'{field}'")), "{field}");
        }
        for (find, put) in [("9.5", "-1"), ("5.5", "\"x\""), ("9.5", "null"), ("4}", "[]}")] {
            assert!(refused(&GOOD.replace(find, put)).contains("'median_us'"), "{find}");
        }
        assert!(refused(&GOOD.replace(r#""name":"b""#, r#""name":1"#)).contains("'name'"));
        for text in ["", "{", "mobilenet on avx2", &GOOD[1..], &format!("{GOOD}{GOOD}")] {
            assert!(refused(text).starts_with("is no JSON"), "{text}");
        }
        for text in ["[]", "3", "{}", "null"] {
            assert!(refused(text).contains("no result of a benchmark"), "{text}");
        }
        let deep = "[".repeat(100_000);
        assert!(refused(&deep).starts_with("is no JSON"));
    }
}
