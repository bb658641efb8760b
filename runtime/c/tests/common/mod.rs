//! The archive, a C compiler, and what C and Rust must both score.
#![allow(dead_code)] // Each test file uses its part.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Bytes before the pixels in an IDX file of images.
const IDX_HEADER: usize = 16;

/// A folder of this crate.
pub(crate) fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// An empty folder of this test's own, below the build's.
pub(crate) fn folder(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("c").join(name);
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).expect("a folder for the test");
    dir
}

/// Runs a command that must succeed, and says what it was if it does not.
pub(crate) fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| {
        panic!("{command:?}: {e}; this test needs a C and C++ compiler (Debian: gcc g++)")
    });
    let Output { status, stdout, stderr } = output;
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{command:?}: {status}\n{stderr}");
    String::from_utf8(stdout).expect("a text")
}

/// `libbitat.a` as this test was built, optimised or not.
pub(crate) fn archive() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the build's folder");
    let (profile, folder) =
        if cfg!(debug_assertions) { ("dev", "debug") } else { ("release", "release") };
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--offline", "--locked", "--quiet", "--profile", profile]);
    cargo.args(["--package", "bitat-c", "--lib", "--target-dir"]).arg(target);
    succeed(cargo.current_dir(here(".")));
    target.join(folder).join("libbitat.a")
}

/// `cc` with the warnings that users' builds turn on, and bitat.h.
pub(crate) fn compiler(name: &str, standard: &str) -> Command {
    let mut compiler = Command::new(name);
    compiler.arg(format!("-std={standard}"));
    compiler.args(["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-g", "-O1"]);
    compiler.arg("-I").arg(here("include"));
    compiler
}

/// Pixels of the first `count` test pictures of the shipped slice.
pub(crate) fn pictures(count: usize) -> Vec<u8> {
    let mut pixels = Vec::new();
    flate2::read::GzDecoder::new(bitat_models::artefacts::fashion_mnist().test_images)
        .read_to_end(&mut pixels)
        .expect("the shipped pictures");
    pixels[IDX_HEADER..][..count * 28 * 28].to_vec()
}

/// Writes `bytes` into `dir`.
pub(crate) fn write(dir: &Path, name: impl AsRef<OsStr>, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name.as_ref());
    fs::write(&path, bytes).expect("a file for the test");
    path
}
