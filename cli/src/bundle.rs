//! `greenlight bundle`: what a Nuke and Resync saved, shown and written into a database again.
//!
//! Where in the flow: beside sync; what is written here is sent by the next sync. Never changes a bundle, and touches no
//! database before the whole bundle was read and found good.

mod table;

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use greenlight_core::replica::ClientStore;
use greenlight_store::bundle::{Chosen, Header, Held, Refusal, Replay, ReplayError, Rows, Stopped, TablePlan, Written};
use greenlight_store::{ClientDatabase, Location, Schema};
use serde::Serialize;
use thiserror::Error;

use crate::ClientError;
use crate::args::{ApplyArguments, BundleCommand, RowsChoice};
use crate::command::{open, options, read_schema};
use crate::output::{counted, say};
use crate::schema::Named;

/// The longest line that is read, in bytes: a value of the largest size as JSON, or a piece of a database's file.
const MAX_LINE_BYTES: u64 = 64 * 1024 * 1024;

/// Why a bundle could not be shown or written.
#[derive(Debug, Error)]
enum BundleError {
    #[error("{0} can't be read: {1}")]
    File(PathBuf, std::io::Error),
    #[error("{0} has a line of more than {MAX_LINE_BYTES} bytes; it is no bundle")]
    Line(PathBuf),
    #[error("{0} can't be used: {1}")]
    Bundle(PathBuf, ReplayError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("the bundle is of schema `{bundle}`, and {file} of `{database}`")]
    Schema { file: PathBuf, bundle: String, database: String },
    #[error(
        "{file} has another form of its schema than {schema} says, and a dry run does not change that; leave out --schema"
    )]
    Migration { file: PathBuf, schema: PathBuf },
    #[error("what it would do can't be told: {0}; nothing was written")]
    Plan(ReplayError),
    #[error("{error}; written before that, and kept: {}. Run it again to go on", counted(.written.rows, "row"))]
    Stopped { written: Written, error: ReplayError },
    #[error("it could not all be written; still in the bundle: {}", counted(*.0, "row"))]
    Refused(u64),
    #[error("the system refused what this needs: {0}")]
    System(String),
}

impl From<Stopped> for BundleError {
    fn from(Stopped { written, error }: Stopped) -> Self {
        Self::Stopped { written, error }
    }
}

/// What `show --json` prints.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    #[serde(flatten)]
    header: &'a Header,
    whole: bool,
    tables: Vec<Held>,
}

/// What `apply --json` prints.
#[derive(Serialize)]
struct Applied<'a> {
    rows: u64,
    written: bool,
    whole: bool,
    refused: u64,
    refusals: &'a [Refusal],
    tables: &'a [TablePlan],
}

/// Runs the command and says how it ended.
pub(crate) fn run(command: BundleCommand) -> ExitCode {
    let done = match command {
        BundleCommand::Show { file, limit, json } => show(&file, limit, json),
        BundleCommand::Apply(arguments) => apply(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("greenlight: {error}");
            ExitCode::FAILURE
        }
    }
}

/// All of the bundle, and its first line.
fn read(file: &Path) -> Result<(Replay, Header), BundleError> {
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
    match replay.header().cloned() {
        Some(header) if replay.is_complete() => Ok((replay, header)),
        _ => Err(BundleError::Bundle(file.to_owned(), ReplayError::Incomplete)),
    }
}

fn show(file: &Path, limit: usize, json: bool) -> Result<(), BundleError> {
    let (replay, header) = read(file)?;
    let (whole, tables) = (replay.holds_all(), replay.held(limit));
    if json {
        return print(&Shown { header: &header, whole, tables });
    }
    table::header(&header);
    table::counts(&tables, whole);
    for held in &tables {
        table::rows(held, whole);
    }
    Ok(())
}

fn apply(arguments: &ApplyArguments) -> Result<(), BundleError> {
    let ApplyArguments { file, db, rows, dry_run, json, .. } = arguments;
    let (replay, header) = read(file)?;
    let chosen = replay.choose(match rows {
        RowsChoice::Unacknowledged => Rows::Unacknowledged,
        RowsChoice::All => Rows::All,
    });
    let chosen = chosen.map_err(|error| BundleError::Bundle(file.clone(), error))?;
    let mut database = open_for(arguments, &header)?;
    let plan = chosen.plan(&mut database).map_err(BundleError::Plan)?;
    if !json {
        table::plan(&plan.tables);
        if matches!(rows, RowsChoice::All) && !plan.whole {
            say!("The bundle holds only what was not acknowledged: these are all of its rows.");
        }
    }
    let written = if *dry_run { Written::default() } else { write(chosen, &mut database)? };
    let Written { refused, refusals, .. } = &written;
    let count = if *dry_run { plan.rows } else { written.rows };
    if *json {
        let (written, refused) = (!dry_run, *refused);
        print(&Applied { rows: count, written, whole: plan.whole, refused, refusals, tables: &plan.tables })?;
    } else {
        table::refusals(refusals);
        match (count, dry_run) {
            (0, _) if *refused == 0 => say!("Nothing differs from what is in {}.", db.display()),
            (_, true) => say!("{} would be written. Nothing was: this was a dry run.", counted(count, "row")),
            (_, false) => say!("Written: {}. The next sync sends that.", counted(count, "row")),
        }
    }
    if *refused > 0 { Err(BundleError::Refused(*refused)) } else { Ok(()) }
}

fn write(chosen: Chosen, database: &mut ClientDatabase) -> Result<Written, BundleError> {
    Ok(chosen.write(database)?)
}

/// The database that is written to. A dry run creates and changes none: where there is no file it looks at an empty
/// database of the schema.
fn open_for(arguments: &ApplyArguments, header: &Header) -> Result<ClientDatabase, BundleError> {
    let ApplyArguments { db, schema: file, dry_run, .. } = arguments;
    let fits = |name: &str| {
        let (bundle, database) = (header.schema_name.clone(), name.to_owned());
        let differs = bundle != database;
        if differs { Err(BundleError::Schema { file: db.clone(), bundle, database }) } else { Ok(()) }
    };
    let schema: Option<Schema> = file.as_deref().map(read_schema).transpose()?;
    if let Some(schema) = &schema {
        fits(&schema.id().name)?;
    }
    let mut database = match (&schema, dry_run) {
        (Some(schema), true) if !db.exists() => ClientDatabase::open(options(Location::Memory)?, schema)
            .map_err(|source| ClientError::Database { file: db.clone(), source })?,
        (_, true) => open(db, None)?,
        (None, false) => open(db, None)?,
        (Some(schema), false) => Named::of(schema.clone(), db)?.open_and_tell(db)?,
    };
    let state = database.load().map_err(|fault| BundleError::Plan(fault.into()))?;
    fits(&state.schema.name)?;
    match (schema, file) {
        (Some(schema), Some(file)) if *schema.id() != state.schema => {
            Err(BundleError::Migration { file: db.clone(), schema: file.clone() })
        }
        _ => Ok(database),
    }
}

fn print(what: &impl Serialize) -> Result<(), BundleError> {
    let text = serde_json::to_string_pretty(what).map_err(|error| BundleError::System(error.to_string()))?;
    say!("{text}");
    Ok(())
}
