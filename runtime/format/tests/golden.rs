//! The golden files: what they hold, and that they never change.

mod common;

use bitat_format::{View, write};
use common::{assert_golden, bare, everything, golden};

#[test]
fn everything_is_written_as_it_was() {
    assert_golden("everything.bitat", &write(&everything()).unwrap());
}

#[test]
fn bare_is_written_as_it_was() {
    assert_golden("bare.bitat", &write(&bare()).unwrap());
}

#[test]
fn golden_files_read_back() {
    for (name, model) in [("everything.bitat", everything()), ("bare.bitat", bare())] {
        let file = golden(name);
        let view = View::parse(&file).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(view.to_model(), model, "{name}");
        assert_eq!(write(&view.to_model()).unwrap(), &file[..], "{name}");
    }
}
