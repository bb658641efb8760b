//! Files that are whole or not there.

use std::path::Path;

use crate::Error;

/// Writes beside `path`, then renames.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".part");
    let beside = Path::new(&beside);
    let written = std::fs::write(beside, bytes)
        .and_then(|()| std::fs::File::open(beside)?.sync_all())
        .and_then(|()| std::fs::rename(beside, path));
    written.map_err(|e| {
        let _ = std::fs::remove_file(beside);
        Error::file(path, format!("cannot be written: {e}"))
    })
}
