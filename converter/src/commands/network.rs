//! Opening a network of either kind.

use std::path::Path;

use bitat_graph::Graph;

use crate::Error;
use crate::packed::Packed;
use crate::ui::Console;

/// A packed file or a float ONNX.
pub(super) enum Network {
    /// Integers.
    Packed(Packed),
    /// Floats.
    Float(Graph),
}

/// Opens `path` by what is in it, not by its name.
pub(super) fn open(path: &Path, console: Console) -> Result<Network, Error> {
    match Packed::is_packed(path)? {
        true => Ok(Network::Packed(Packed::open(path)?)),
        false => Ok(Network::Float(float(path, console)?)),
    }
}

/// Opens a float ONNX; `console` is told what was left out of it.
pub(super) fn float(path: &Path, console: Console) -> Result<Graph, Error> {
    if Packed::is_packed(path)? {
        return Err(Error::file(path, "is a packed network; a float ONNX is needed here"));
    }
    let imported = bitat_onnx::read_with_notes(path)?;
    for note in &imported.notes {
        console.say(&format!("{}: {note}", path.display()));
    }
    Ok(bitat_graph::canonicalise(&imported.graph))
}

/// Opens a packed file.
pub(super) fn packed(path: &Path) -> Result<Packed, Error> {
    if !Packed::is_packed(path)? {
        return Err(Error::file(path, "is no packed network; make one with 'bitat convert'"));
    }
    Packed::open(path)
}
