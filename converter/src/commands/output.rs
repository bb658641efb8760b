//! The files a command writes: checked before the work, written whole after it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::learn::state::Checkpoints;
use crate::{Error, Fault};

/// A file on the command line and what the command line calls it.
pub(super) type Named<'a> = (&'a str, &'a Path);

/// Refuses, before the work begins, outputs that could not be written after
/// it, or that would take the place of an input or of one another.
///
/// # Errors
/// The first such output, by name.
pub(super) fn check(outputs: &[Named], inputs: &[Named]) -> Result<(), Error> {
    for (i, (option, path)) in outputs.iter().enumerate() {
        if let Some((other, _)) =
            inputs.iter().chain(&outputs[..i]).find(|(_, other)| place(other) == place(path))
        {
            return Err(Error::usage(format!(
                "{option} {}: {other} is the same file; give another name",
                path.display()
            )));
        }
        check_one(path)?;
    }
    Ok(())
}

fn check_one(path: &Path) -> Result<(), Error> {
    if path.is_dir() || path.file_name().is_none() {
        return Err(Error::file(path, "is a folder; give the name of a file in it"));
    }
    // A rename would put a file in the place of a device.
    if path.exists() && !path.is_file() {
        return Err(Error::file(path, "is no ordinary file; give the name of one"));
    }
    let folder = folder(path);
    if !folder.is_dir() {
        let problem = format!("there is no folder '{}'; make it first", folder.display());
        return Err(Error::file(path, problem));
    }
    let beside = beside(path);
    File::create(&beside)
        .and_then(|_| fs::remove_file(&beside))
        .map_err(|e| Error::file(path, format!("cannot be written: {e}; give another place")))
}

/// Writes beside `path`, then renames: the file is whole or not there.
///
/// # Errors
/// If it cannot be written; then nothing is left of it.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let beside = beside(path);
    let write = || -> io::Result<()> {
        let mut file = File::create(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().map_err(|e| {
        // The first error is the one to report.
        let _ = fs::remove_file(&beside);
        Error::file(path, format!("cannot be written: {e}"))
    })
}

/// Adds to an error after which training need not be repeated how to go on.
pub(super) fn resumable(error: Error, checkpoints: &Checkpoints) -> Error {
    if !checkpoints.path().is_file() {
        return error;
    }
    error.with_advice(&format!(
        "the same command with --resume goes on from {}",
        checkpoints.path().display()
    ))
}

/// As [`resumable`] for Ctrl-C; other errors stay as they are.
pub(super) fn resumable_if_stopped(error: Error, checkpoints: &Checkpoints) -> Error {
    match error.fault {
        Fault::Interrupted => resumable(error, checkpoints),
        Fault::Usage | Fault::Input | Fault::Diverged => error,
    }
}

/// Where a file stands until it is whole.
fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".part");
    name.into()
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// The same for all names of one file, whether it exists or not.
fn place(path: &Path) -> PathBuf {
    let there = || {
        let folder = folder(path).canonicalize().ok()?;
        Some(folder.join(path.file_name()?))
    };
    path.canonicalize().ok().or_else(there).unwrap_or_else(|| path.to_owned())
}
