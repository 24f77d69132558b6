//! What `adopt` says: the same for a program and for a person.
//!
//! Where in the flow: at its end. Never decides anything.

use std::io::{self, Write};
use std::path::PathBuf;

use greenlight_store::takeover::{Choice, Converted, Inspection, Obstacle, TableRows};
use indicatif::HumanBytes;
use serde::Serialize;

use super::{AdoptArguments, Places};
use crate::output::{self, counted};

/// What changes for the programs that use it.
const EXTENSION: &str = "Whatever reads it goes on as before. Whatever writes it must load cr-sqlite's extension from \
                         then on: without it a write fails.";
/// Where it is, seen from this program's folder, as they are handed out.
const BESIDE: &str = "../lib/crsqlite.so";

/// The number of a schema that nobody had before.
const FIRST: u32 = 1;

/// What was done, or would be, or what is in the way.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    file: PathBuf,
    adopted: bool,
    dry_run: bool,
    /// Whether what was in the way was mended in the copy.
    mended: bool,
    /// What its schema is called.
    schema_name: String,
    schema_version: u32,
    schema_file: PathBuf,
    /// What programs that write it have to load; `None` where it did not come with this program.
    extension: Option<PathBuf>,
    /// The database as it was; `None` where it was not taken over.
    backup: Option<PathBuf>,
    tables: Vec<TableRows>,
    skipped: Vec<String>,
    changes: Option<u64>,
    db_bytes: Option<u64>,
    obstacles: Vec<Obstacle>,
    mend: Option<String>,
    notes: Vec<String>,
    #[serde(skip)]
    kept: PathBuf,
    #[serde(skip)]
    wants_mending: bool,
}

impl Report {
    pub(super) fn new(arguments: &AdoptArguments, places: &Places, choice: &Choice, looked: Inspection) -> Self {
        let Inspection { tables, skipped, obstacles, mend, notes, .. } = looked;
        Self {
            file: places.file.clone(),
            adopted: false,
            dry_run: arguments.dry_run,
            mended: false,
            schema_name: choice.name.clone(),
            schema_version: FIRST,
            schema_file: places.schema.clone(),
            extension: extension(),
            backup: None,
            tables,
            skipped,
            changes: None,
            db_bytes: None,
            obstacles,
            mend,
            notes,
            kept: places.kept.clone(),
            wants_mending: arguments.mend,
        }
    }

    pub(super) fn with(self, converted: Converted, mended: bool) -> Self {
        Self {
            adopted: true,
            mended,
            backup: Some(self.kept.clone()),
            changes: Some(converted.changes),
            db_bytes: Some(converted.bytes),
            ..self
        }
    }

    /// 0 done, or it could be; 3 refused.
    pub(super) fn exit_code(&self) -> u8 {
        if self.adopted || self.is_possible() { 0 } else { 3 }
    }

    /// Whether nothing is in the way of what was asked for.
    fn is_possible(&self) -> bool {
        self.obstacles.iter().all(|obstacle| self.wants_mending && obstacle.mended)
    }

    pub(super) fn print(&self, json: bool) -> io::Result<()> {
        let mut out = Vec::new();
        self.write(&mut out, json)?;
        output::text(&String::from_utf8_lossy(&out));
        Ok(())
    }

    fn write(&self, out: &mut impl Write, json: bool) -> io::Result<()> {
        if json {
            return writeln!(out, "{}", serde_json::to_string_pretty(self)?);
        }
        if self.adopted {
            self.print_adopted(out)?;
        } else if self.is_possible() {
            let (rows, tables) = self.counts();
            let mending = if self.obstacles.is_empty() { "" } else { ", after mending it" };
            writeln!(out, "{} would be taken over{mending}: {rows} in {tables}.", self.file.display())?;
            writeln!(out, "Its schema would be {} {FIRST}, in {}.", self.schema_name, self.schema_file.display())?;
            self.print_extension(out)?;
            writeln!(out, "Nothing was changed: this was a dry run.")?;
        } else {
            return self.print_refused(out);
        }
        for note in &self.notes {
            writeln!(out, "Note: {}.", clean(note))?;
        }
        Ok(())
    }

    fn print_adopted(&self, out: &mut impl Write) -> io::Result<()> {
        let (file, (rows, tables)) = (self.file.display(), self.counts());
        let changes = counted(self.changes.unwrap_or(0), "change");
        let bytes = HumanBytes(self.db_bytes.unwrap_or(0));
        let mended = if self.mended { ", mended" } else { "" };
        writeln!(out, "{file} can be synced now: {rows} in {tables}{mended}, {bytes}, {changes} to send.")?;
        writeln!(out, "As it was it is kept as {}.", self.kept.display())?;
        writeln!(
            out,
            "Its schema is {} {FIRST}, in {}: a server needs the same file, as schemas/{}.sql at home for `greenlight serve`.",
            self.schema_name,
            self.schema_file.display(),
            self.schema_name
        )?;
        self.print_extension(out)?;
        let word = output::quoted(&file.to_string());
        writeln!(out, "Next, with a server:  greenlight sync now --db {word} --remote wss://HOST/DATABASE")?;
        writeln!(out, "or with a folder:     greenlight sync push --db {word} --remote ./FOLDER")
    }

    fn print_extension(&self, out: &mut impl Write) -> io::Result<()> {
        match &self.extension {
            Some(path) => writeln!(out, "{EXTENSION} It is here: {}", path.display()),
            None => writeln!(out, "{EXTENSION}"),
        }
    }

    fn print_refused(&self, out: &mut impl Write) -> io::Result<()> {
        let count = self.obstacles.len();
        let things = if count == 1 { "1 thing is".to_owned() } else { format!("{count} things are") };
        eprintln!("greenlight: {} was not changed: {things} in the way of taking it over.", self.file.display());
        for obstacle in &self.obstacles {
            let mended = if obstacle.mended { " [--mend does that]" } else { "" };
            eprintln!("  - {}.\n    Remedy: {}.{mended}", clean(&obstacle.problem), clean(&obstacle.remedy));
        }
        let Some(mend) = &self.mend else { return Ok(()) };
        let all = self.obstacles.iter().all(|obstacle| obstacle.mended);
        if all {
            eprintln!("`greenlight adopt --mend` takes it over and mends all that, in the copy, with this SQL:");
        } else {
            eprintln!("This SQL, for the sqlite3 program, mends what is marked; the rest is yours. Make a copy first:");
        }
        // On its own on the standard output, so that it can be kept. The program is to stop where something fails.
        writeln!(out, ".bail on\n{}", clean(mend))
    }

    fn counts(&self) -> (String, String) {
        let rows = self.tables.iter().map(|table| table.rows).sum();
        (counted(rows, "row"), counted(self.tables.len() as u64, "table"))
    }
}

/// cr-sqlite's extension, if it lies where it is handed out beside this program.
fn extension() -> Option<PathBuf> {
    let program = std::env::current_exe().and_then(std::fs::canonicalize).ok()?;
    program.parent()?.join(BESIDE).canonicalize().ok()
}

/// What a database says must not write on the terminal.
fn clean(text: &str) -> String {
    text.replace(|c: char| c.is_control() && c != '\n', " ")
}
