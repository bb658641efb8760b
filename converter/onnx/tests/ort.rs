//! Our evaluator against ONNX Runtime, where Python has it.
//!
//! `BITAT_REQUIRE_ORT=1` makes its absence a failure. `BITAT_ONNX_MODELS=DIR`
//! adds every `*.onnx` in a folder, real networks for instance.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use bitat_graph::{Graph, Op, canonicalise, fold_batch_norm};
use bitat_onnx::{Imported, parse, read_with_notes, write};
use common::{Random, features, image, scores};

const TOLERANCE: f32 = 1e-4;

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("bitat-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A leftover in the temporary folder is no reason to fail.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Why ONNX Runtime cannot be asked; None if it can.
fn absent() -> Option<String> {
    let probe = Command::new("python3").args(["-c", "import onnx, onnxruntime, numpy"]).output();
    match probe {
        Err(error) => Some(format!("python3: {error}")),
        Ok(probe) if !probe.status.success() => {
            let text = String::from_utf8_lossy(&probe.stderr).into_owned();
            Some(text.lines().last().unwrap_or("python3 failed").to_string())
        }
        Ok(_) => None,
    }
}

/// Runs every model in the folder; panics if one fails.
fn run_all(folder: &Path) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ort_check.py");
    let run = Command::new("python3").arg(script).arg(folder).output().unwrap();
    let text = String::from_utf8_lossy(&run.stdout);
    print!("{text}");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let failed: Vec<_> = text.lines().filter(|l| l.starts_with("failed")).collect();
    assert!(failed.is_empty(), "ONNX Runtime refused:\n{}", failed.join("\n"));
}

fn to_file(path: &Path, values: &[f32]) {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    std::fs::write(path, bytes).unwrap();
}

fn from_file(path: &Path) -> Vec<f32> {
    let bytes = std::fs::read(path).unwrap();
    bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

/// NHWC to NCHW.
fn channels_first(graph: &Graph, image: &[f32]) -> Vec<f32> {
    let shape = graph.nodes[0].shape;
    let planes = (0..shape.c).flat_map(|c| image.iter().skip(c).step_by(shape.c));
    planes.copied().collect()
}

/// What a dropped softmax would have made of the scores.
fn softmax(scores: &[f32], log: bool) -> Vec<f32> {
    let most = scores.iter().fold(f32::MIN, |m, s| m.max(*s));
    let sum: f64 = scores.iter().map(|s| f64::from(s - most).exp()).sum();
    let log_of = |s: &f32| f64::from(s - most) - sum.ln();
    scores.iter().map(|s| (if log { log_of(s) } else { log_of(s).exp() }) as f32).collect()
}

/// The largest absolute difference.
fn absolute(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "lengths");
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

struct Case {
    graph: Graph,
    softmax: bool,
    log: bool,
    image: Vec<f32>,
}

#[test]
fn values_agree_with_onnx_runtime() {
    if let Some(why) = absent() {
        println!("NOT RUN: no ONNX Runtime to compare with ({why})");
        eprintln!("NOT RUN: no ONNX Runtime to compare with ({why})");
        assert!(std::env::var_os("BITAT_REQUIRE_ORT").is_none(), "ONNX Runtime was required");
        return;
    }
    let folder = Folder::new("ort");
    let mut cases: BTreeMap<String, Case> = BTreeMap::new();
    let mut add = |name: &str, imported: Imported, last: bool, log: bool, seed: u64| {
        let Imported { graph, softmax, .. } = imported;
        let image = image(graph.nodes[0].shape, seed);
        let input = if last { image.clone() } else { channels_first(&graph, &image) };
        to_file(&folder.0.join(format!("{name}.in")), &input);
        cases.insert(name.to_string(), Case { graph, softmax, log, image });
    };

    for (seed, (name, model)) in features::all().into_iter().enumerate() {
        let imported = parse(&name, &model.bytes()).unwrap_or_else(|error| panic!("{error}"));
        std::fs::write(folder.0.join(format!("{name}.onnx")), model.bytes()).unwrap();
        // What our writer makes of it, as it came and as the passes leave it.
        for (what, graph) in [
            ("written", imported.graph.clone()),
            ("folded", fold_batch_norm(&canonicalise(&imported.graph))),
        ] {
            let name = format!("{name}-{what}");
            write(&graph, &folder.0.join(format!("{name}.onnx"))).unwrap();
            let imported = Imported { graph, softmax: false, notes: vec![] };
            add(&name, imported, false, false, seed as u64);
        }
        let (last, log) = (name.starts_with("channels_last"), name.starts_with("log"));
        add(&name, imported, last, log, seed as u64);
    }
    if let Some(models) = std::env::var_os("BITAT_ONNX_MODELS") {
        for entry in std::fs::read_dir(models).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "onnx") {
                let imported = read_with_notes(&path).unwrap_or_else(|error| panic!("{error}"));
                let name = format!("real-{}", path.file_stem().unwrap().display());
                std::fs::copy(&path, folder.0.join(format!("{name}.onnx"))).unwrap();
                write(&imported.graph, &folder.0.join(format!("{name}-written.onnx"))).unwrap();
                let same = Imported { softmax: false, ..imported.clone() };
                add(&format!("{name}-written"), same, false, false, 1);
                add(&name, imported, false, false, 1);
            }
        }
    }

    run_all(&folder.0);
    let mut worst = (0.0, String::new());
    for (name, case) in &cases {
        let wanted = from_file(&folder.0.join(format!("{name}.out")));
        let mut ours = scores(&case.graph, &case.image);
        if case.softmax {
            ours = softmax(&ours, case.log);
        }
        let off = absolute(&ours, &wanted);
        if name.starts_with("real") {
            let most = wanted.iter().fold(0.0f32, |m, v| m.max(v.abs()));
            println!("{name}: off by {off:e}, largest output {most}");
        }
        assert!(off <= TOLERANCE, "{name}: off by {off}\nours {ours:?}\nONNX Runtime {wanted:?}");
        if off > worst.0 {
            worst = (off, name.clone());
        }
    }
    println!("ran: {} models, largest difference {:e} ({})", cases.len(), worst.0, worst.1);
}

/// The comparison itself can fail: another image gives other scores.
#[test]
fn the_comparison_notices_a_difference() {
    let (_, model) = features::all().swap_remove(0);
    let graph = parse("m", &model.bytes()).unwrap().graph;
    assert!(matches!(graph.nodes[0].op, Op::Input));
    let mut image = image(graph.nodes[0].shape, 1);
    let before = scores(&graph, &image);
    image[7] += Random(3).signed();
    assert!(absolute(&before, &scores(&graph, &image)) > TOLERANCE);
}
