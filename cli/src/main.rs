//! The `greenlight` command: reads the arguments and hands over. Never does more.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    greenlight_cli::run(greenlight_cli::args::Arguments::parse())
}
