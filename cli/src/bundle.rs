//! `greenlight bundle`: what a Nuke and Resync saved, shown and written into a database again.
//!
//! Where in the flow: beside sync; what is written here is sent by the next sync. Never changes a bundle, and never a
//! database by halves.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, UNIX_EPOCH};

use greenlight_core::replica::ClientStore;
use greenlight_store::bundle::{Header, Plan, Replay, ReplayError, Rows, SavedValue, TablePlan};
use greenlight_store::{ClientDatabase, Location, OpenError, Options};
use serde::Serialize;
use thiserror::Error;

use crate::args::{BundleCommand, RowsChoice};
use crate::clock::wall_ms;

/// The longest line that is read, in bytes: a value of the largest size as JSON, or a piece of a database's file.
const MAX_LINE_BYTES: u64 = 64 * 1024 * 1024;

/// Characters of a text that are shown.
const MAX_SHOWN: usize = 40;

/// Why a bundle could not be shown or written.
#[derive(Debug, Error)]
enum BundleError {
    #[error("{0} can't be read: {1}")]
    File(PathBuf, std::io::Error),
    #[error("{0} has a line of more than {MAX_LINE_BYTES} bytes; it is no bundle")]
    Line(PathBuf),
    #[error("{0} can't be used: {1}")]
    Bundle(PathBuf, ReplayError),
    #[error("{0} is not there; `greenlight sync now` with --schema makes it")]
    NoDatabase(PathBuf),
    #[error("{0} can't be opened: {1}")]
    Database(PathBuf, OpenError),
    #[error("the bundle is of schema `{bundle}`, and {file} of `{database}`")]
    Schema { file: PathBuf, bundle: String, database: String },
    #[error("{0}; nothing was written")]
    Write(#[from] ReplayError),
    #[error("the system refused what this needs: {0}")]
    System(String),
}

/// What `show --json` prints.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    header: &'a Header,
    tables: Vec<ShownTable>,
}

#[derive(Serialize)]
struct ShownTable {
    table: String,
    pending: u64,
    all: u64,
}

/// What `apply --json` prints.
#[derive(Serialize)]
struct Applied<'a> {
    rows: u64,
    written: bool,
    tables: &'a [TablePlan],
}

/// Runs the command and says how it ended.
pub(crate) fn run(command: BundleCommand) -> ExitCode {
    let done = match command {
        BundleCommand::Show { file, json } => show(&file, json),
        BundleCommand::Apply { file, db, rows, dry_run, json } => apply(&file, &db, rows, dry_run, json),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("greenlight: {error}");
            ExitCode::FAILURE
        }
    }
}

fn read(file: &Path) -> Result<Replay, BundleError> {
    let failed = |error| BundleError::File(file.to_owned(), error);
    let mut lines = BufReader::new(File::open(file).map_err(failed)?);
    let mut replay = Replay::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = lines.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line).map_err(failed)?;
        if read == 0 {
            break;
        }
        if read as u64 == MAX_LINE_BYTES {
            return Err(BundleError::Line(file.to_owned()));
        }
        if replay.header().is_some() && !line.ends_with(b"\n") {
            // Cut within a line.
            break;
        }
        replay.take(&line).map_err(|error| BundleError::Bundle(file.to_owned(), error))?;
    }
    if replay.is_complete() { Ok(replay) } else { Err(BundleError::Bundle(file.to_owned(), ReplayError::Incomplete)) }
}

fn show(file: &Path, json: bool) -> Result<(), BundleError> {
    let replay = read(file)?;
    let Some(header) = replay.header() else {
        return Err(BundleError::Bundle(file.to_owned(), ReplayError::Incomplete));
    };
    let tables = replay.tables();
    if json {
        let tables = tables.into_iter().map(|(table, pending, all)| ShownTable { table, pending, all }).collect();
        return print(&Shown { header, tables });
    }
    let saved = UNIX_EPOCH + Duration::from_millis(header.created_at);
    println!("Bundle {} of database `{}`", header.id, header.name);
    println!("  saved     {}, reason {}", httpdate::fmt_http_date(saved), header.reason);
    println!("  schema    {} {}", header.schema_name, header.schema_number);
    println!("  site      {}", header.site_id);
    println!("  server    {}", header.server_site_id.as_deref().unwrap_or("none yet"));
    println!("  pending   {} changes", header.changes);
    println!();
    println!("{:<32} {:>12} {:>12}", "rows of", "pending", "in all");
    let whole = tables.iter().any(|(_, _, all)| *all > 0);
    for (table, pending, all) in tables {
        let all = if whole { all.to_string() } else { "not saved".to_owned() };
        println!("{table:<32} {pending:>12} {all:>12}");
    }
    Ok(())
}

fn apply(file: &Path, db: &Path, rows: RowsChoice, dry_run: bool, json: bool) -> Result<(), BundleError> {
    let replay = read(file)?;
    let mut database = open(db)?;
    let state = database.load().map_err(ReplayError::from)?;
    if let Some(header) = replay.header()
        && header.schema_name != state.schema.name
    {
        let (bundle, database) = (header.schema_name.clone(), state.schema.name);
        return Err(BundleError::Schema { file: db.to_owned(), bundle, database });
    }
    let rows = match rows {
        RowsChoice::Unacknowledged => Rows::Unacknowledged,
        RowsChoice::All => Rows::All,
    };
    let plan = replay.plan(&mut database, rows)?;
    let (count, tables) = (plan.rows(), plan.tables.clone());
    if !json {
        tell(&tables);
    }
    if !dry_run {
        write(&mut database, plan)?;
    }
    if json {
        return print(&Applied { rows: count, written: !dry_run, tables: &tables });
    }
    match (count, dry_run) {
        (0, _) => println!("Nothing differs from what is here."),
        (_, true) => println!("{count} rows would be written. Nothing was: this was a dry run."),
        (_, false) => println!("{count} rows are written. The next sync sends them."),
    }
    Ok(())
}

/// All of it, or nothing.
fn write(database: &mut ClientDatabase, plan: Plan) -> Result<(), BundleError> {
    database.begin_transaction().map_err(ReplayError::from)?;
    let written = plan.write(database).and_then(|_| Ok(database.commit_transaction()?));
    if written.is_err() {
        database.rollback_transaction();
    }
    written.map(drop).map_err(BundleError::from)
}

fn open(db: &Path) -> Result<ClientDatabase, BundleError> {
    if !db.exists() {
        return Err(BundleError::NoDatabase(db.to_owned()));
    }
    let options = Options::system(Location::File(db.to_owned()), wall_ms);
    let options = options.map_err(|error| BundleError::System(error.to_string()))?;
    ClientDatabase::reopen(options).map_err(|error| BundleError::Database(db.to_owned(), error))
}

fn tell(tables: &[TablePlan]) {
    println!("{:<28} {:>8} {:>11} {:>8} {:>8} {:>8}", "rows of", "added", "overwritten", "deleted", "equal", "unknown");
    for table in tables {
        let TablePlan { table: name, added, overwritten, deleted, equal, unknown, samples } = table;
        println!("{name:<28} {added:>8} {overwritten:>11} {deleted:>8} {equal:>8} {unknown:>8}");
        for sample in samples {
            let key = sample.key.iter().map(text).collect::<Vec<_>>().join(", ");
            println!("  ({key}) {}: {} becomes {}", sample.column, text(&sample.here), text(&sample.bundle));
        }
    }
}

/// A value as a person reads it.
fn text(value: &Option<SavedValue>) -> String {
    match value {
        None => "NULL".to_owned(),
        Some(SavedValue::Integer(digits) | SavedValue::Real(digits)) => digits.clone(),
        Some(SavedValue::Text(text)) => format!("{:?}", text.chars().take(MAX_SHOWN).collect::<String>()),
        Some(SavedValue::Blob(encoded)) => format!("a blob of {} bytes", encoded.len() / 4 * 3),
    }
}

fn print(what: &impl Serialize) -> Result<(), BundleError> {
    let text = serde_json::to_string_pretty(what).map_err(|error| BundleError::System(error.to_string()))?;
    println!("{text}");
    Ok(())
}
