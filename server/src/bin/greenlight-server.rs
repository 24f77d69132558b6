//! The command `greenlight-server`: reads the settings, serves until it is told to stop; or puts a backup back.
//!
//! Where in the flow: the outermost. Everything else is the library's. Prints one line to standard output, with the
//! address it listens on; logs go to standard error (`RUST_LOG` sets what is logged).

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use greenlight_server::{BackupError, Flags, RunError, Settings, bind, restore, run};
use greenlight_store::Restored;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Keeps SQLite databases in step with browsers and laptops.
#[derive(Debug, Parser)]
#[command(name = "greenlight-server", version, about, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(flatten)]
    flags: Flags,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Put a backup in a database's place, while no server runs. The file before is kept in DATA/.backups.
    Restore {
        /// Folder of databases.
        #[arg(long, env = "GREENLIGHT_DATA", value_name = "DIR")]
        data: PathBuf,
        /// The database's name.
        #[arg(long, value_name = "NAME")]
        database: String,
        /// The backup: a file from GET /NAME/file, or one of DATA/.backups.
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
        /// An undo: what was written since the backup shall stay away. Clients are told that it is another database.
        /// Without it they bring back what the backup lacks.
        #[arg(long)]
        new_lineage: bool,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let in_colour = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(in_colour).with_writer(std::io::stderr).init();
    let arguments = Arguments::parse();
    let done = match arguments.command {
        None => serve(arguments.flags).await.map_err(|error| error.to_string()),
        Some(command) => carry_out(command).map_err(|error| error.to_string()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("greenlight-server: {sentence}");
            ExitCode::FAILURE
        }
    }
}

fn carry_out(command: Command) -> Result<(), BackupError> {
    let Command::Restore { data, database, from, new_lineage } = command;
    let how = if new_lineage { Restored::AsUndo } else { Restored::AfterLoss };
    let (lineage, kept) = restore(&data, &database, &from, how)?;
    let clients = match how {
        Restored::AfterLoss => "Clients will bring back what they have and the backup lacks.",
        Restored::AsUndo => "Clients will be told that it is another database, and keep what they have in a bundle.",
    };
    println!("{database} is restored; its epoch is {} now. {clients}", lineage.epoch.to_hex());
    if let Some(kept) = kept {
        println!("What was there before is kept: {}", kept.display());
    }
    Ok(())
}

async fn serve(flags: Flags) -> Result<(), RunError> {
    let settings = Settings::load(flags)?;
    let listener = bind(&settings).await?;
    let listen_error = |error| RunError::Listen(settings.listen, error);
    let address = listener.local_addr().map_err(listen_error)?;
    let mut stop = signal(SignalKind::terminate()).map_err(RunError::Serve)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Serve)?;
    // Whoever started this may not read it; that is no reason to stop.
    drop(writeln!(std::io::stdout(), "listening on http://{address}"));
    run(listener, settings, async move {
        tokio::select! {
            _ = stop.recv() => tracing::info!("stopping (SIGTERM)"),
            _ = interrupt.recv() => tracing::info!("stopping (SIGINT)"),
        }
    })
    .await
}
