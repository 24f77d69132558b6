//! `greenlight adopt`: an existing plain SQLite database becomes a client's database.
//!
//! Where in the flow: once, before the first sync of a database that is there already. All of it happens in a copy, which
//! takes the file's place in one step; what was there before is kept. Never changes a file that it can't take over, and
//! never a cell of one that it can.

pub mod crash;
mod report;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use clap::Args;
use greenlight_core::limits::MAX_NAME_BYTES;
use greenlight_store::portable::{self, Event, PortableError, Present, Step, Swap, swap};
use greenlight_store::takeover::{self, Choice, Converted, Inspection, Plain, TakeoverError};
use greenlight_store::{Location, Options, Schema, clear_place};
use thiserror::Error;

use self::crash::Point;
use self::report::Report;
use crate::bar::Bar;
use crate::clock::wall_ms;
use crate::durable;

/// What the copy is called until it takes the file's place; a random number follows.
const PART: &str = ".adopt-part-";
/// What the file as it was is called afterwards.
const KEPT: &str = "before-adopt";
/// The schema's file, where none is named.
const SCHEMA: &str = "schema.sql";
/// The schema's name, where the file's own yields none.
const NAME: &str = "database";

/// What `adopt` is told.
#[derive(Args, Clone, Debug)]
pub struct AdoptArguments {
    /// The database's file. It is kept as FILE.before-adopt.
    pub file: PathBuf,
    /// The schema's name: letters, digits, `_` and `-` [default: the file's name].
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Where its schema is written, for the server and for other clients [default: FILE.schema.sql].
    #[arg(long, value_name = "FILE")]
    pub schema_out: Option<PathBuf>,
    /// A table that stays as it is, on this machine alone; can be given several times.
    #[arg(long, value_name = "TABLE")]
    pub skip: Vec<String>,
    /// Mend what can be mended, as the SQL that is shown without it says.
    #[arg(long)]
    pub mend: bool,
    /// Only say what it would do.
    #[arg(long)]
    pub dry_run: bool,
    /// As JSON, for programs.
    #[arg(long)]
    pub json: bool,
    /// No progress bar.
    #[arg(long, short)]
    pub quiet: bool,
}

/// Why nothing was taken over.
#[derive(Debug, Error)]
enum AdoptError {
    #[error("{}: {source}. It was not changed", file.display())]
    Takeover { file: PathBuf, source: TakeoverError },
    #[error("`{0}` can't be a schema's name: use --name with letters, digits, `_` and `-`, at most {MAX_NAME_BYTES}")]
    Name(String),
    #[error(
        "{} is there already and says something else: name another file with --schema-out, or move it away", .0.display()
    )]
    SchemaTaken(PathBuf),
    #[error(
        "{} is there already, from another time, and is not overwritten: move it away and try again", .0.display()
    )]
    KeptTaken(PathBuf),
    #[error("{} can't be written: {source}. Nothing was changed", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("the system refused what this needs: {0}")]
    System(String),
}

impl AdoptError {
    /// 3 refused, 9 busy, 1 else.
    fn exit_code(&self) -> u8 {
        let Self::Takeover { source, .. } = self else {
            return if matches!(self, Self::Name(_) | Self::SchemaTaken(_) | Self::KeptTaken(_)) { 3 } else { 1 };
        };
        match source {
            TakeoverError::Unfinished | TakeoverError::Portable(PortableError::Busy | PortableError::Moved) => 9,
            TakeoverError::NotThere | TakeoverError::Portable(PortableError::Fault(_)) => 1,
            _ => 3,
        }
    }
}

/// Where everything goes.
struct Places {
    file: PathBuf,
    part: PathBuf,
    kept: PathBuf,
    schema: PathBuf,
}

/// Runs the command.
pub(crate) fn run(arguments: &AdoptArguments) -> ExitCode {
    let bar = Arc::new(Mutex::new(Bar::new(arguments.quiet)));
    let adopted = adopt(arguments, &bar);
    on(&bar, Bar::finish);
    let printed = adopted.and_then(|report| {
        report.print(arguments.json).map_err(|error| AdoptError::System(error.to_string()))?;
        Ok(report.exit_code())
    });
    ExitCode::from(printed.unwrap_or_else(|error| {
        eprintln!("greenlight: {error}");
        error.exit_code()
    }))
}

fn adopt(arguments: &AdoptArguments, bar: &Arc<Mutex<Bar>>) -> Result<Report, AdoptError> {
    let places = places(arguments)?;
    let failed = |source| AdoptError::Takeover { file: places.file.clone(), source };
    let choice = Choice { name: name(arguments)?, skip: arguments.skip.clone() };
    let mut checking = |done, of| on(bar, |bar| bar.rows("Checking", done, of));
    let plain = Plain::open(&places.file, !arguments.dry_run).map_err(failed)?;
    let looked = plain.inspect(&choice, &mut checking).map_err(failed)?;
    let mending = looked.mend.clone().filter(|_| arguments.mend && looked.obstacles.iter().all(|it| it.mended));
    if mending.is_none() && !looked.obstacles.is_empty() {
        return Ok(Report::new(arguments, &places, &choice, looked));
    }
    if let Some(schema) = &looked.schema {
        is_schema_free(&places.schema, schema)?;
    }
    if arguments.dry_run {
        return Ok(Report::new(arguments, &places, &choice, looked));
    }
    clear_leftovers(&places.file).map_err(|source| AdoptError::File { path: places.file.clone(), source })?;
    let done = carry_out(&places, &choice, plain, looked, mending.as_deref(), bar);
    if done.is_err() {
        // What can't be removed takes space, and is removed by the next adopt.
        drop(clear_place(&places.part));
    }
    let (looked, converted) = done?;
    Ok(Report::new(arguments, &places, &choice, looked).with(converted, mending.is_some()))
}

fn carry_out(
    places: &Places,
    choice: &Choice,
    plain: Plain<'_>,
    mut looked: Inspection,
    mending: Option<&str>,
    bar: &Arc<Mutex<Bar>>,
) -> Result<(Inspection, Converted), AdoptError> {
    let failed = |source| AdoptError::Takeover { file: places.file.clone(), source };
    let mut watch = |event| match event {
        Event::Copied(done, of) => on(bar, |bar| bar.bytes("Copying ", done, of)),
        Event::Reached(Step::Kept) => crash::point(Point::Kept),
        Event::Reached(Step::Placed) => crash::point(Point::Placed),
        Event::Reached(_) | Event::Merged(..) => {}
    };
    let present = plain.copy_to(&places.part, &mut watch).map_err(failed)?;
    crash::point(Point::Copied);
    is_kept_free(&places.kept, &present)?;
    if let Some(sql) = mending {
        takeover::mend(&places.part, sql).map_err(failed)?;
        let mut checking = |done, of| on(bar, |bar| bar.rows("Checking", done, of));
        looked =
            Plain::open(&places.part, true).and_then(|plain| plain.inspect(choice, &mut checking)).map_err(failed)?;
        crash::point(Point::Mended);
    }
    // After mending there may be obstacles that nobody could foresee.
    let Some(schema) = looked.schema.clone() else {
        let left: Vec<String> = looked.obstacles.into_iter().map(|obstacle| obstacle.problem).collect();
        return Err(AdoptError::System(format!("the mended copy can't be taken over: {}", left.join("; "))));
    };
    is_schema_free(&places.schema, &schema)?;
    let options = Options::system(Location::Memory, wall_ms).map_err(|error| AdoptError::System(error.to_string()))?;
    let (of, shared) = (looked.tables.iter().map(|table| table.rows).sum(), bar.clone());
    let progress = move |done| on(&shared, |bar| bar.rows("Adopting", done, of));
    let converted = takeover::convert(&places.part, &schema, options, progress).map_err(failed)?;
    crash::point(Point::Converted);
    let made: Vec<&Path> = [&*places.schema, &*places.kept].into_iter().filter(|path| !path.exists()).collect();
    durable::write(&places.schema, schema.text().as_bytes())
        .map_err(|source| AdoptError::File { path: places.schema.clone(), source })?;
    crash::point(Point::Described);
    let (ready, target, kept) = (&*places.part, &*places.file, &*places.kept);
    let order = Swap { ready, target, watched: None, kept, expected: Some(&present) };
    if let Err(error) = swap(order, &mut watch) {
        // As long as the copy has a name of its own the file is the old one, and what is new beside it is of no use.
        for path in made.into_iter().filter(|_| places.part.exists()) {
            // The schema's file is the same that the next adopt would write, the other a second name of the file.
            drop(std::fs::remove_file(path));
        }
        return Err(failed(error.into()));
    }
    Ok((looked, converted))
}

/// The bar is drawn by whoever is at work; what a panic left of it is still a bar.
fn on(bar: &Mutex<Bar>, draw: impl FnOnce(&mut Bar)) {
    draw(&mut bar.lock().unwrap_or_else(PoisonError::into_inner));
}

fn places(arguments: &AdoptArguments) -> Result<Places, AdoptError> {
    let absolute =
        |path: &Path| std::path::absolute(path).map_err(|source| AdoptError::File { path: path.to_owned(), source });
    let file = absolute(&arguments.file)?;
    let random = getrandom::u64().map_err(|error| AdoptError::System(error.to_string()))?;
    let mut part = file.clone().into_os_string();
    part.push(format!("{PART}{random:016x}"));
    Ok(Places {
        part: part.into(),
        kept: file.with_added_extension(KEPT),
        schema: arguments.schema_out.as_deref().map_or_else(|| Ok(file.with_added_extension(SCHEMA)), absolute)?,
        file,
    })
}

/// The schema's name: the one that is given, else what a name can have of the file's.
fn name(arguments: &AdoptArguments) -> Result<String, AdoptError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if let Some(name) = &arguments.name {
        let fits = !name.is_empty() && name.len() <= MAX_NAME_BYTES && name.chars().all(is_plain);
        return if fits { Ok(name.clone()) } else { Err(AdoptError::Name(name.clone())) };
    }
    let stem = arguments.file.file_stem().unwrap_or_default().to_string_lossy();
    let name: String = stem.chars().map(|c| if is_plain(c) { c } else { '_' }).take(MAX_NAME_BYTES).collect();
    Ok(if name.contains(|c: char| c.is_ascii_alphanumeric()) { name } else { NAME.to_owned() })
}

/// Whether the schema's file can be written: it is not there, or says the same.
fn is_schema_free(file: &Path, schema: &Schema) -> Result<(), AdoptError> {
    match std::fs::read(file) {
        Ok(text) if text == schema.text().as_bytes() => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        _ => Err(AdoptError::SchemaTaken(file.to_owned())),
    }
}

/// Whether nothing is lost when the database gets the name that it keeps: nothing has it, or what a killed adopt left,
/// which is the database itself.
fn is_kept_free(kept: &Path, present: &Present) -> Result<(), AdoptError> {
    if std::fs::symlink_metadata(kept).is_err() || portable::look(kept).is_ok_and(|there| there == *present) {
        return Ok(());
    }
    Err(AdoptError::KeptTaken(kept.to_owned()))
}

/// Removes the copies that killed ones have left. One that is still at work finds its copy gone, and fails.
fn clear_leftovers(file: &Path) -> io::Result<()> {
    let mut prefix = file.file_name().unwrap_or_default().to_owned();
    prefix.push(PART);
    let is_leftover = |name: &OsString| name.as_encoded_bytes().starts_with(prefix.as_encoded_bytes());
    for entry in std::fs::read_dir(file.parent().unwrap_or(Path::new("")))? {
        let entry = entry?;
        if is_leftover(&entry.file_name()) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
