//! The committed header is the one that the declarations give.

use std::path::Path;
use std::{env, fs};

/// Where the header is committed: for programs, and where component managers
/// look for it.
const PLACES: [&str; 2] = ["include/bitat.h", "component/src/bitat.h"];

fn header() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config =
        cbindgen::Config::from_file(folder.join("cbindgen.toml")).expect("a configuration");
    let mut builder = cbindgen::Builder::new().with_config(config);
    // The order of the header: what a function needs stands before it.
    for source in ["types.rs", "status.rs", "abi.rs"] {
        builder = builder.with_src(folder.join("src").join(source));
    }
    let mut header = Vec::new();
    builder.generate().expect("declarations that C can have").write(&mut header);
    String::from_utf8(header).expect("a text")
}

/// `BITAT_BLESS=1 cargo test -p bitat-c --test header` writes the header anew.
#[test]
fn the_header_is_as_declared() {
    let header = header();
    for place in PLACES {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(place);
        if env::var_os("BITAT_BLESS").is_some() {
            fs::write(&path, &header).expect("a place for the header");
        }
        let committed = fs::read_to_string(&path).unwrap_or_default();
        if committed != header {
            let line = header.lines().zip(committed.lines()).position(|(a, b)| a != b);
            panic!(
                "{place} differs from the declarations, first in line {line:?} (0 is the first); \
                 BITAT_BLESS=1 cargo test -p bitat-c --test header writes it anew"
            );
        }
    }
}

/// What a device links is what the header declares, no function more or less.
#[test]
fn every_function_of_the_door_is_in_the_header() {
    let header = header();
    let abi = include_str!("../src/abi.rs");
    let mut names = Vec::new();
    for exported in abi.split("no_mangle)]").skip(1) {
        let (_, rest) = exported.split_once("fn ").expect("a function");
        names.push(rest.split('(').next().expect("a name"));
    }
    assert_eq!(names.len(), 10, "{names:?}");
    let declares = |name: &&str| {
        header
            .lines()
            .any(|line| line.contains(&format!(" {name}(")) || line.contains(&format!("*{name}(")))
    };
    let missing: Vec<_> = names.iter().filter(|name| !declares(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let declared = header.split("extern \"C\" {").nth(1).expect("functions");
    let declared = declared.lines().filter(|line| line.ends_with(");")).count();
    assert_eq!(declared, names.len());
}
