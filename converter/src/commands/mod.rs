//! The subcommands of `bitat`, one file each.

mod bench;
mod compare;
mod conditions;
mod convert;
mod cpu;
mod demo;
mod eval;
mod export;
mod footprint;
mod identity;
mod inspect;
mod limits;
mod method;
mod network;
mod options;
mod output;
mod run;
mod study;
mod train;

use std::path::Path;
use std::time::Instant;

use clap::{Parser, Subcommand};

use crate::Error;
use crate::files::write_whole;
use crate::ui::{Console, Json, Stop};

/// 1-bit neural networks: from a trained float MobileNet to a packed file.
#[derive(Parser, Debug)]
#[command(name = "bitat", version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Print one JSON object as the last line of standard output, and nothing else there
    #[arg(long, global = true)]
    json: bool,
    /// Show no progress
    #[arg(long, short, global = true)]
    quiet: bool,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Turn a trained float network into a packed 1-bit network
    Convert(convert::Args),
    /// Train a float MobileNet from scratch and write it as ONNX
    Train(train::Args),
    /// Score a network on a data set: top-1, top-5, confusion
    Eval(eval::Args),
    /// Classify images
    Run(run::Args),
    /// Show what a packed network is made of
    Inspect(inspect::Args),
    /// Show what a packed network takes on a microcontroller: flash, memory, instructions
    Footprint(footprint::Args),
    /// Write a packed network as C or Rust, for firmware
    Export(export::Args),
    /// Time a packed network, whole and layer by layer
    Bench(bench::Args),
    /// Show which kernels this processor can run, and which are used
    Cpu,
    /// Measure what each part of the method adds, rung by rung, under one budget
    Study(study::Args),
    /// Convert a shipped network with shipped data and report what came of it
    Demo(demo::Args),
}

/// What every command is given beside its own options.
struct Context {
    console: Console,
    json: bool,
    stop: Stop,
    /// When the command began.
    since: Instant,
}

impl Context {
    /// Ends a command: its JSON if asked for, otherwise what a person reads.
    fn finish(&self, json: Json, text: &str) -> Result<(), Error> {
        let written = match self.json {
            true => json.print(),
            false => {
                use std::io::Write;
                let mut out = std::io::stdout().lock();
                out.write_all(text.as_bytes()).and_then(|()| out.flush())
            }
        };
        match written {
            // A reader that had enough is no failure of ours.
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            other => other.map_err(|e| Error::file(Path::new("standard output"), e)),
        }
    }
}

/// Runs a command line.
///
/// # Errors
/// What went wrong, for people.
pub fn run(cli: Cli) -> Result<(), Error> {
    let since = Instant::now();
    let stop =
        Stop::on_signals().map_err(|e| Error::model(format!("cannot listen for Ctrl-C: {e}")))?;
    let console = if cli.quiet { Console::Quiet } else { Console::detect() };
    let context = Context { console, json: cli.json, stop, since };
    match cli.command {
        Command::Convert(args) => convert::run(&context, &args),
        Command::Train(args) => train::run(&context, &args),
        Command::Eval(args) => eval::run(&context, &args),
        Command::Run(args) => run::run(&context, &args),
        Command::Inspect(args) => inspect::run(&context, &args),
        Command::Footprint(args) => footprint::run(&context, &args),
        Command::Export(args) => export::run(&context, &args),
        Command::Bench(args) => bench::run(&context, &args),
        Command::Cpu => cpu::run(&context),
        Command::Study(args) => study::run(&context, &args),
        Command::Demo(args) => demo::run(&context, &args),
    }
}
