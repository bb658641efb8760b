//! The command as a user starts it.

use std::path::Path;
use std::process::{Command, Output};

/// The built command.
pub(crate) const BITAT: &str = env!("CARGO_BIN_EXE_bitat");

pub(crate) fn bitat(args: &[&str]) -> Output {
    Command::new(BITAT).args(args).output().expect("the command starts")
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Asserts no output but one line `error: …` that contains all of `words`, and the exit code.
pub(crate) fn refused(args: &[&str], code: i32, words: &[&str]) {
    let output = bitat(args);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
    assert!(!text.contains("panicked"), "{text}");
    assert!(stdout(&output).is_empty(), "nothing is printed beside the error");
    let error = text.lines().find(|l| l.starts_with("error:")).expect("a line 'error: …'");
    for word in words {
        assert!(text.contains(word), "{args:?}: '{word}' is not in '{error}'");
    }
}

/// The shipped slice in files, with its class names.
pub(crate) fn data(dir: &Path) -> String {
    for (name, bytes) in bitat_models::artefacts::fashion_mnist().named() {
        std::fs::write(dir.join(name), bytes).unwrap();
    }
    let names = bitat_models::artefacts::FASHION_MNIST_CLASSES.join("\n");
    std::fs::write(dir.join("classes.txt"), names).unwrap();
    dir.display().to_string()
}
