//! The command `bitat`.

#![forbid(unsafe_code)]

use std::io::Write;
use std::process::ExitCode;

use bitat_converter::commands;
use clap::Parser;

fn main() -> ExitCode {
    match commands::run(commands::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With standard error closed or full the exit code must do.
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
