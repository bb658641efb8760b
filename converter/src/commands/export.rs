//! `bitat export FILE --c OUT | --rust OUT`

use std::path::{Path, PathBuf};

use super::output::{self, write_whole};
use super::{Context, network};
use crate::Error;
use crate::export::name::{Name, NameError};
use crate::export::{Source, c, rust};
use crate::ui::{Json, human};

#[derive(clap::Args, Debug)]
#[command(group = clap::ArgGroup::new("outputs").args(["c", "rust"]).required(true).multiple(true))]
pub(super) struct Args {
    /// Packed network
    file: PathBuf,
    /// Write it as C: into one header (OUT.h), or into a source with its header (OUT.c)
    #[arg(long, value_name = "OUT")]
    c: Option<PathBuf>,
    /// Write it as Rust
    #[arg(long, value_name = "OUT")]
    rust: Option<PathBuf>,
    /// What identifiers begin with [default: the name of FILE]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

/// A file to write and what is in it.
type Output = (&'static str, PathBuf, String);

pub(super) fn run(context: &Context, args: &Args) -> Result<(), Error> {
    let name = name(args)?;
    let packed = network::packed(&args.file)?;
    let (view, arena_bytes) = (packed.view(), packed.arena_bytes());
    let whole_arena_bytes = packed.whole_arena_bytes();
    let source = Source { name, bytes: packed.bytes(), view, arena_bytes, whole_arena_bytes };
    let mut outputs = Vec::new();
    if let Some(path) = &args.c {
        outputs.extend(in_c(&source, path)?);
    }
    if let Some(path) = &args.rust {
        outputs.push(("--rust", path.clone(), rust::module(&source)));
    }
    let named: Vec<_> = outputs.iter().map(|(option, path, _)| (*option, path.as_path())).collect();
    output::check(&named, &[("FILE", &args.file)])?;
    for (_, path, text) in &outputs {
        write_whole(path, text.as_bytes())?;
    }

    let files: Vec<String> =
        outputs.iter().map(|(_, path, _)| path.display().to_string()).collect();
    let text = format!(
        "{file} B of model; {arena} B of arena by rows, {whole} B for whole layers, which is \
         faster\nidentifiers begin with {name}\nwritten: {files}\n",
        file = human::grouped(source.bytes.len() as u64),
        arena = human::grouped(arena_bytes as u64),
        whole = human::grouped(whole_arena_bytes as u64),
        name = source.name.lower(),
        files = files.join(", "),
    );
    let json = Json::object()
        .with("name", source.name.lower())
        .with("files", Json::array(files))
        .with("file_bytes", source.bytes.len() as u64)
        .with("arena_bytes", arena_bytes as u64)
        .with("whole_arena_bytes", whole_arena_bytes as u64)
        .with("tensors", view.tensor_count() as u64);
    context.finish(json, &text)
}

/// What identifiers begin with.
fn name(args: &Args) -> Result<Name, Error> {
    let (named, from) = match &args.name {
        Some(text) => (Name::new(text), format!("--name {text}")),
        None => (Name::of_file(&args.file), args.file.display().to_string()),
    };
    named.map_err(|e| {
        let problem = match e {
            NameError::Nothing => "no identifier can be made of this name",
            NameError::Letters => "must begin with a letter and hold letters, digits and _ only",
            NameError::Taken => "the library's own identifiers begin so",
        };
        Error::usage(format!("{from}: {problem}; give another --name"))
    })
}

fn in_c(source: &Source, path: &Path) -> Result<Vec<Output>, Error> {
    let refuse = |problem: &str| Error::usage(format!("--c {}: {problem}", path.display()));
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("h") => Ok(vec![("--c", path.to_owned(), c::alone(source))]),
        Some("c") => {
            let header = path.with_extension("h");
            let name = header
                .file_name()
                .and_then(|name| name.to_str())
                .filter(|name| !name.contains(|c: char| c == '"' || c == '\\' || c.is_control()));
            let name = name.ok_or_else(|| {
                refuse("the source could not include a header of this name; give another")
            })?;
            let (code, declared) = c::pair(source, name);
            Ok(vec![("--c", path.to_owned(), code), ("the header of --c", header, declared)])
        }
        _ => Err(refuse("give a name that ends in .h (all in it) or .c (with a header beside it)")),
    }
}
