//! The command `greenlight-server`: reads the settings, serves until it is told to stop; or backs a database up, puts
//! one back, or keeps tokens.
//!
//! Where in the flow: the outermost. Everything else is the library's. Prints one line to standard output, with the
//! address it listens on; logs go to standard error (`RUST_LOG` sets what is logged).

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use greenlight_server::backup::{self, BackupFlags};
use greenlight_server::logs::{self, LogForm};
use greenlight_server::probe::{self, HealthFlags};
use greenlight_server::restore::{self, RestoreFlags};
use greenlight_server::token::{self, TokenCommand, TokenError};
use greenlight_server::{Arguments, Command, Flags, RunError, Settings};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Some(Command::Backup(flags)) => back_up(&flags).map_err(|error| error.to_string()),
        Some(Command::Health(flags)) => health(&flags).map_err(|error| error.to_string()),
        Some(Command::Restore(flags)) => put_back(flags).map_err(|error| error.to_string()),
        Some(Command::Token(command)) => tokens(command).map_err(|error| error.to_string()),
        None => serve(arguments.flags).await.map_err(|error| error.to_string()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("greenlight-server: {sentence}");
            ExitCode::FAILURE
        }
    }
}

fn health(flags: &HealthFlags) -> Result<(), probe::HealthError> {
    let answer = probe::health(flags)?;
    // What counts is how this ends.
    drop(writeln!(std::io::stdout(), "{answer}"));
    Ok(())
}

fn put_back(flags: RestoreFlags) -> Result<(), restore::RestoreError> {
    logs::start(LogForm::Text);
    let restored = restore::restore(flags.clone())?;
    restore::audit(&flags, &restored);
    // It is done, whether or not anybody reads of it.
    drop(write!(std::io::stdout(), "{}", restore::describe(&restored, &flags)));
    Ok(())
}

fn tokens(command: TokenCommand) -> Result<(), TokenError> {
    logs::start(LogForm::Text);
    let printed = token::run(command)?;
    eprint!("{}", printed.hint);
    // It is done, whether or not anybody reads of it; a token that nobody read is revoked by its name.
    drop(write!(std::io::stdout(), "{}", printed.answer));
    Ok(())
}

fn back_up(flags: &BackupFlags) -> Result<(), backup::BackupError> {
    logs::start(LogForm::Text);
    let made = backup::back_up(flags)?;
    backup::audit(flags, &made);
    // It is done, whether or not anybody reads of it.
    drop(write!(std::io::stdout(), "{}", backup::describe(&made, &flags.database)));
    Ok(())
}

async fn serve(flags: Flags) -> Result<(), RunError> {
    greenlight_server::serve(Settings::load(flags)?, |address, _| {
        // Whoever started this may not read it; that is no reason to stop.
        drop(writeln!(std::io::stdout(), "listening on http://{address}"));
    })
    .await
}
