//! A packed network as Rust: a module, or something to include.

use std::fmt::Write;

use super::{ORIGIN, Source};

/// Bytes of the model in a line.
const LINE: usize = 20;

/// The model as an aligned static, and its numbers as constants.
pub fn module(source: &Source) -> String {
    let upper = source.name.upper();
    let mut text = format!(
        "// {ORIGIN}\n\n\
         /// The packed file, where the runtime reads it in place.\n\
         #[rustfmt::skip]\n\
         pub static {upper}_MODEL: &::bitat_format::Aligned<[u8]> = \
         &::bitat_format::Aligned(*b\"\\\n"
    );
    for line in source.bytes.chunks(LINE) {
        text.push_str("    ");
        for byte in line {
            let _ = write!(text, "\\x{byte:02x}");
        }
        text.push_str("\\\n");
    }
    let _ = writeln!(
        text,
        "\");\n\n/// Name of the network.\npub const {upper}_NAME: &str = {:?};",
        source.view.name()
    );
    let arenas = [
        "Bytes of arena that a run needs, planned by `Network::by_rows`.",
        "Bytes of arena that a run needs layer by layer, which is faster.",
    ];
    for (end, value, meaning) in source.numbers(arenas) {
        let _ = writeln!(text, "\n/// {meaning}\npub const {upper}_{end}: usize = {value};");
    }
    let names = source.class_names();
    if !names.is_empty() {
        let _ = writeln!(
            text,
            "\n/// Names of the classes.\n#[rustfmt::skip]\n\
             pub const {upper}_CLASS_NAMES: [&str; {upper}_CLASSES] = ["
        );
        for class in names {
            let _ = writeln!(text, "    {class:?},");
        }
        text.push_str("];\n");
    }
    text
}
