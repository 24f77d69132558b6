//! One file for a maintainer: the doctor's report, configurations, logs, the schema, and how many rows there are.
//!
//! Where in the flow: after the report. Never holds a row or a file of a secret; everything in it went through the
//! redactor. Never overwrites a file.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use greenlight_store::portable;
use tar::{Builder, EntryType, Header};
use thiserror::Error;

use super::Report;
use super::redact::Redactor;
use crate::home::Home;

/// How much of each file is packed at most, in bytes; of a log its end.
const MAX_FILE_BYTES: u64 = 2 * 1024 * 1024;
/// How many logs are packed at most, the newest first.
const MAX_LOGS: usize = 8;
/// The folder in the archive.
const FOLDER: &str = "greenlight-doctor";

/// Why there is no archive.
#[derive(Debug, Error)]
pub(super) enum ArchiveError {
    #[error("{} is there already, and nothing is overwritten: name another file", .0.display())]
    Exists(PathBuf),
    #[error("the archive {} can't be written: {source}", file.display())]
    Write { file: PathBuf, source: io::Error },
    #[error("the report can't be written: {0}")]
    Json(#[from] serde_json::Error),
}

/// Writes the archive.
pub(super) fn write(file: &Path, home: &Home, report: &Report, redactor: &Redactor) -> Result<(), ArchiveError> {
    let failed = |source| ArchiveError::Write { file: file.to_owned(), source };
    let packed = pack(&collect(home, report)?, redactor).map_err(failed)?;
    let mut options = OpenOptions::new();
    options.create_new(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut out = match options.open(file) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(ArchiveError::Exists(file.to_owned()));
        }
        out => out.map_err(failed)?,
    };
    out.write_all(&packed).and_then(|()| out.sync_all()).map_err(|error| {
        // What is cut short helps nobody; one that can't be removed is seen to be cut.
        drop(std::fs::remove_file(file));
        failed(error)
    })
}

/// Names and texts, bounded.
fn collect(home: &Home, report: &Report) -> Result<Vec<(String, String)>, ArchiveError> {
    let mut files = vec![("doctor.json".to_owned(), serde_json::to_string_pretty(report)?)];
    for (name, path) in [
        ("config.toml", &home.config_file),
        ("server.toml", &home.folder.join("server.toml")),
        ("sync-meta.json", &home.sync_meta),
    ] {
        if path.is_file() {
            files.push((name.to_owned(), start(path)));
        }
    }
    for path in logs(&home.logs) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        files.push((format!("logs/{name}"), end(&path)));
    }
    if home.db.is_file() {
        match portable::outline(&home.db) {
            Ok((statements, tables)) => {
                let mut schema = statements.join(";\n\n");
                cut(&mut schema);
                files.push(("schema.sql".to_owned(), schema));
                let mut tables = serde_json::to_string_pretty(&tables)?;
                cut(&mut tables);
                files.push(("tables.json".to_owned(), tables));
            }
            Err(error) => files.push(("schema.sql".to_owned(), format!("-- it can't be read: {error}\n"))),
        }
    }
    Ok(files)
}

/// The newest logs.
fn logs(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut logs: Vec<(std::time::SystemTime, PathBuf)> = entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("greenlight.log"))
        .filter_map(|entry| {
            Some((entry.metadata().ok().filter(std::fs::Metadata::is_file)?.modified().ok()?, entry.path()))
        })
        .collect();
    logs.sort();
    logs.into_iter().rev().take(MAX_LOGS).map(|(_, path)| path).collect()
}

/// The beginning of a file, as text; why it can't be read where it can't.
fn start(path: &Path) -> String {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE_BYTES).read_to_end(&mut bytes));
    read.map_or_else(|error| format!("it can't be read: {error}\n"), |_| String::from_utf8_lossy(&bytes).into_owned())
}

/// The end of a file, from a line's beginning: half a line could hold half a secret.
fn end(path: &Path) -> String {
    let read = || -> io::Result<String> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        let skipped = length.saturating_sub(MAX_FILE_BYTES);
        file.seek(SeekFrom::Start(skipped))?;
        let mut bytes = Vec::new();
        file.take(MAX_FILE_BYTES).read_to_end(&mut bytes)?;
        let begin = if skipped == 0 {
            0
        } else {
            bytes.iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |at| at + 1)
        };
        Ok(String::from_utf8_lossy(&bytes[begin..]).into_owned())
    };
    read().unwrap_or_else(|error| format!("it can't be read: {error}\n"))
}

fn cut(text: &mut String) {
    let limit = usize::try_from(MAX_FILE_BYTES).unwrap_or(usize::MAX);
    if text.len() > limit {
        text.truncate(text.floor_char_boundary(limit));
    }
}

fn pack(files: &[(String, String)], redactor: &Redactor) -> io::Result<Vec<u8>> {
    let mut archive = Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (name, text) in files {
        let text = redactor.clean_file(text);
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o600);
        header.set_size(text.len() as u64);
        archive.append_data(&mut header, format!("{FOLDER}/{}", redactor.clean(name)), text.as_bytes())?;
    }
    archive.into_inner()?.finish()
}
