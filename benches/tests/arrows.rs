//! Who may depend on whom, and where `unsafe` may stand.
//!
//! The rooms stay apart only as long as something looks: a dependency added in
//! passing is how an oracle comes to share code with what it checks.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// What a crate may use of ours: always, only under a feature, only in tests.
struct Arrows {
    of: &'static str,
    to: &'static [&'static str],
    optional: &'static [&'static str],
    dev: &'static [&'static str],
}

const fn arrows(of: &'static str, to: &'static [&'static str]) -> Arrows {
    Arrows { of, to, optional: &[], dev: &[] }
}

/// A new crate is refused until it has its line here.
const ALLOWED: [Arrows; 14] = [
    Arrows { dev: &["reference"], ..arrows("kernels", &[]) },
    arrows("format", &[]),
    arrows("reference", &["format"]),
    arrows("workers", &[]),
    // Threads are a feature, which no device has.
    Arrows {
        optional: &["workers"],
        dev: &["reference"],
        ..arrows("runtime", &["kernels", "format"])
    },
    Arrows { dev: &["models"], ..arrows("c", &["kernels", "format", "runtime"]) },
    Arrows { dev: &["kernels"], ..arrows("embed", &["format", "runtime"]) },
    arrows("graph", &[]),
    arrows("onnx", &["graph"]),
    arrows("engine", &["graph"]),
    arrows("data", &[]),
    Arrows { optional: &["graph"], dev: &["runtime"], ..arrows("models", &[]) },
    arrows(
        "converter",
        &["data", "engine", "format", "graph", "kernels", "models", "onnx", "reference", "runtime"],
    ),
    // Everything; and no line but this one names it, so nobody uses it.
    arrows(
        "benches",
        &[
            "converter",
            "data",
            "engine",
            "format",
            "graph",
            "kernels",
            "models",
            "onnx",
            "reference",
            "runtime",
        ],
    ),
];

/// What the crates that run on a device, or are compiled for one, may use of others.
const FOREIGN: [(&str, &[&str]); 7] = [
    ("kernels", &[]),
    ("format", &["bytemuck"]),
    ("reference", &[]),
    ("workers", &[]),
    ("runtime", &["bytemuck"]),
    ("c", &[]),
    ("embed", &["proc-macro2", "quote", "syn"]),
];

/// One dependency as a manifest states it.
#[derive(Clone, Debug)]
struct Dependency {
    name: String,
    dev: bool,
    optional: bool,
    features: Vec<String>,
}

/// Dependencies by crate; names of ours without their prefix.
type Manifests = BTreeMap<String, Vec<Dependency>>;

fn metadata() -> Value {
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--offline", "--no-deps", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo writes JSON")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn short(name: &str) -> String {
    name.strip_prefix("bitat-").unwrap_or(name).to_owned()
}

fn manifests(metadata: &Value) -> Manifests {
    let dependency = |value: &Value| Dependency {
        name: short(text(&value["name"])),
        dev: value["kind"] == "dev",
        optional: value["optional"] == true,
        features: list(&value["features"]).iter().map(|f| text(f).to_owned()).collect(),
    };
    list(&metadata["packages"])
        .iter()
        .map(|package| {
            let all = list(&package["dependencies"]).iter().map(dependency).collect();
            (short(text(&package["name"])), all)
        })
        .collect()
}

/// Every dependency that no rule allows, in words.
fn violations(manifests: &Manifests) -> Vec<String> {
    let mut found = Vec::new();
    for (name, dependencies) in manifests {
        let Some(allowed) = ALLOWED.iter().find(|arrows| arrows.of == name) else {
            found.push(format!("{name} is in no rule"));
            continue;
        };
        for dependency in dependencies {
            let to = dependency.name.as_str();
            if !manifests.contains_key(to) {
                let rule = FOREIGN.iter().find(|(of, _)| of == name);
                if !dependency.dev && rule.is_some_and(|(_, may)| !may.contains(&to)) {
                    found.push(format!("{name} uses {to}, which is not ours"));
                }
                continue;
            }
            // A crate may turn on its own features for its tests.
            let fine = allowed.to.contains(&to)
                || (dependency.optional && allowed.optional.contains(&to))
                || (dependency.dev && (allowed.dev.contains(&to) || to == name));
            if !fine {
                found.push(format!("{name} -> {to}"));
            }
        }
    }
    found.extend(cycle(manifests));
    found
}

/// Takes away crates that use nothing left, until none is; what stays is a cycle.
fn cycle(manifests: &Manifests) -> Option<String> {
    let mut left = manifests.clone();
    loop {
        let free = left.iter().find(|(name, dependencies)| {
            dependencies.iter().all(|d| d.name == **name || !left.contains_key(&d.name))
        });
        match free.map(|(name, _)| name.clone()) {
            Some(name) => left.remove(&name),
            None if left.is_empty() => return None,
            None => return Some(format!("a cycle among {:?}", left.keys().collect::<Vec<_>>())),
        };
    }
}

#[test]
fn the_arrows_hold() {
    let manifests = manifests(&metadata());
    assert_eq!(violations(&manifests), Vec::<String>::new());
    for Arrows { of, .. } in ALLOWED {
        assert!(manifests.contains_key(of), "the rule for {of} has no crate");
    }
}

/// The writer needs an allocator, which the runtime has not.
#[test]
fn the_runtime_does_not_ask_for_the_writer() {
    let manifests = manifests(&metadata());
    for name in ["runtime", "c"] {
        let mut format = manifests[name].iter().filter(|d| d.name == "format" && !d.dev);
        assert!(format.all(|d| !d.features.contains(&"write".to_owned())), "{name}");
    }
}

/// What the runtime needs on a device brings neither threads nor an allocator.
#[test]
fn the_runtime_has_threads_only_where_asked() {
    let manifests = manifests(&metadata());
    let workers = manifests["runtime"].iter().filter(|d| d.name == "workers");
    let asked: Vec<_> = workers.map(|d| (d.optional, d.dev)).collect();
    assert_eq!(asked, [(true, false)]);
}

#[test]
fn a_wrong_arrow_is_seen() {
    let dependency = |name: &str| Dependency {
        name: name.into(),
        dev: false,
        optional: false,
        features: Vec::new(),
    };
    // Every arrow that is always allowed, drawn.
    let good: Manifests = ALLOWED
        .iter()
        .map(|arrows| (arrows.of.into(), arrows.to.iter().map(|to| dependency(to)).collect()))
        .collect();
    assert_eq!(violations(&good), Vec::<String>::new());
    let with = |of: &str, added: Dependency| {
        let mut bad = good.clone();
        bad.entry(of.into()).or_default().push(added);
        violations(&bad)
    };
    assert_eq!(with("kernels", dependency("format")), ["kernels -> format"]);
    assert_eq!(with("models", dependency("graph")), ["models -> graph"]);
    assert_eq!(with("kernels", dependency("libc")), ["kernels uses libc, which is not ours"]);
    assert_eq!(with("newcomer", dependency("graph")), ["newcomer is in no rule"]);
    let back = with("converter", dependency("benches"));
    assert_eq!(back, ["converter -> benches", r#"a cycle among ["benches", "converter"]"#]);
    let test = |name| Dependency { dev: true, ..dependency(name) };
    assert_eq!(with("models", test("runtime")), Vec::<String>::new());
    assert_eq!(with("format", test("format")), Vec::<String>::new());
    assert_eq!(with("format", test("reference")).len(), 2); // and a cycle
}

/// Every Rust file of the project, build output left out.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            if !name.starts_with('.') && !name.starts_with("target") {
                sources(&path, found);
            }
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

/// Whether a line says the keyword, comments left out. (Spelt in two halves:
/// this file is read too.)
fn says_unsafe(line: &str) -> bool {
    let keyword = concat!("un", "safe");
    let code = line.split("//").next().unwrap_or_default();
    code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == keyword)
}

/// Where the keyword may stand: the kernels, the door to C, what is lent to another
/// thread, and in the example firmware what reads the stack behind the compiler's back
/// and the core's own registers.
const FENCED: [&str; 5] = [
    "kernels",
    "runtime/workers/src/mail.rs",
    "runtime/c/src/abi.rs",
    "runtime/examples/firmware/common/src/stack.rs",
    "runtime/examples/firmware/cortex-a53/src/counter.rs",
];

/// What the root of a crate says of the keyword, where it must say something.
fn root_says(name: &str) -> Option<String> {
    let level = match name {
        "bitat-kernels" => return None,
        // One module alone allows it again.
        "bitat-c" | "bitat-workers" => "deny",
        _ => "forbid",
    };
    Some(format!("#![{level}({}_code)]", concat!("un", "safe")))
}

#[test]
fn only_what_is_fenced_is_not_checked_by_the_compiler() {
    let metadata = metadata();
    let root = Path::new(text(&metadata["workspace_root"]));
    for package in list(&metadata["packages"]) {
        let manifest = fs::read_to_string(text(&package["manifest_path"])).unwrap();
        let name = text(&package["name"]);
        assert!(manifest.contains("[lints]\nworkspace = true"), "{name}: the workspace's lints");
        let Some(says) = root_says(name) else { continue };
        for target in list(&package["targets"]) {
            let kinds = list(&target["kind"]);
            if kinds.iter().any(|kind| ["lib", "rlib", "bin", "proc-macro"].contains(&text(kind))) {
                let path = text(&target["src_path"]);
                assert!(fs::read_to_string(path).unwrap().contains(&says), "{path}");
            }
        }
    }
    let mut files = Vec::new();
    sources(root, &mut files);
    assert!(files.len() > 20, "only {} files under {}", files.len(), root.display());
    let fenced = FENCED.map(|path| root.join(path));
    assert!(fenced.iter().all(|path| path.exists()), "{fenced:?}");
    for file in files.iter().filter(|file| !fenced.iter().any(|path| file.starts_with(path))) {
        let code = fs::read_to_string(file).unwrap();
        for (number, line) in code.lines().enumerate() {
            assert!(!says_unsafe(line), "{}:{}: {line}", file.display(), number + 1);
        }
    }
}

#[test]
fn the_keyword_is_recognised() {
    let keyword = concat!("un", "safe");
    assert!(says_unsafe(&format!("    {keyword} {{ f() }}")));
    assert!(says_unsafe(&format!("#[{keyword}(no_mangle)]")));
    assert!(!says_unsafe(&format!("#![forbid({keyword}_code)]")));
    assert!(!says_unsafe(&format!("let x = 1; // {keyword} elsewhere")));
}
