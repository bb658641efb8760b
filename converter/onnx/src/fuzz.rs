//! Fuzzed functions: any bytes in, no panic, bounded time.
//!
//! `tests/fuzz.rs` runs them on mutations of real models; how long is a
//! setting there.

/// Reads arbitrary bytes as a model. What is accepted is a valid graph, and
/// what the writer makes of it is accepted again.
///
/// Returns whether the bytes were accepted.
///
/// # Panics
/// If one of these promises is broken.
pub fn parse(bytes: &[u8]) -> bool {
    let Ok(imported) = crate::parse("fuzz", bytes) else { return false };
    imported.graph.validate().expect("an imported graph is valid");
    let written = crate::to_bytes(&imported.graph).expect("an imported graph can be written");
    let again = crate::parse("written", &written).expect("a written graph can be read");
    assert_eq!(again.graph.nodes.len(), imported.graph.nodes.len(), "nodes of the written graph");
    true
}
