//! The command `bitat`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use bitat_converter::commands;
use clap::Parser;

fn main() -> ExitCode {
    match commands::run(commands::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
