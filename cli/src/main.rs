//! The `greenlight` command: reads the arguments and hands over. Never does more.

use std::process::ExitCode;

fn main() -> ExitCode {
    greenlight_cli::run(greenlight_cli::args::read())
}
