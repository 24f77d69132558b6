//! The audit log: who did what, as lines of JSON in a file of its own.
//!
//! Where in the flow: written to where something was decided or done: a connection, a refusal, an operator's act.
//! Never holds a token, SQL or anything of a database but its name.
//!
//! Each line is an object: `time` (RFC 3339, UTC), `event`, and what of these is known: `database`, `who`
//! (`development`, `token:ID`, `subject:NAME`, `operator` for commands on this machine), `role`, `address`, `site`,
//! `code` (of a refusal), and details of the event.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

use crate::access::Pass;
use crate::clock;
use crate::limits::{AUDIT_FILE_BYTES, AUDIT_FILES, AUDIT_REFUSALS};
use crate::owner::{self, folder_of};
use crate::settings::{FileSettings, audit_file_in};

/// How long [`AUDIT_REFUSALS`] are counted together, milliseconds.
const REFUSAL_WINDOW_MS: i64 = 60_000;
/// The log's readers and writers: its owner.
const MODE: u32 = 0o600;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A socket was welcomed.
    Connect,
    /// A socket or a request was turned away; `code` says why.
    Refuse,
    /// A live socket was closed because its token was revoked, has expired or allows something else now.
    CloseAccess,
    /// SQL was run for an operator; `sql_sha256` names it, `outcome` is `ok` or a code, `changes` counts rows.
    Exec,
    /// A database was emptied and got a new lineage.
    Reset,
    /// A copy of a database was handed out.
    File,
    /// Changes in quarantine were tried again.
    QuarantineRetry,
    /// Changes in quarantine were dropped.
    QuarantineDrop,
    /// A database was backed up by a command; the server's own schedule is in its log and status.
    Backup,
    /// A database was put back from a copy.
    Restore,
    /// A token was added.
    TokenAdd,
    /// A token, or a subject's signed tokens, were revoked.
    TokenRevoke,
    /// The server began.
    Start,
    /// The server ended in order.
    Stop,
}

impl Event {
    fn word(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Refuse => "refuse",
            Self::CloseAccess => "close_access",
            Self::Exec => "exec",
            Self::Reset => "reset",
            Self::File => "file",
            Self::QuarantineRetry => "quarantine_retry",
            Self::QuarantineDrop => "quarantine_drop",
            Self::Backup => "backup",
            Self::Restore => "restore",
            Self::TokenAdd => "token_add",
            Self::TokenRevoke => "token_revoke",
            Self::Start => "start",
            Self::Stop => "stop",
        }
    }
}

/// A line that is being put together.
#[derive(Debug)]
pub struct Entry {
    event: Event,
    fields: Map<String, Value>,
}

impl Entry {
    /// Of an event.
    pub fn new(event: Event) -> Self {
        Self { event, fields: Map::new() }
    }

    /// With a field.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    /// About a database.
    pub fn database(self, name: impl std::fmt::Display) -> Self {
        self.with("database", name.to_string())
    }

    /// From an address.
    pub fn address(self, address: IpAddr) -> Self {
        self.with("address", address.to_string())
    }

    /// By somebody who was let in.
    pub fn by(self, pass: &Pass) -> Self {
        self.with("who", pass.who.to_string()).with("role", pass.role.word())
    }

    /// By somebody at this machine.
    pub fn by_operator(self) -> Self {
        self.with("who", "operator")
    }
}

#[derive(Debug)]
struct Log {
    file: File,
    bytes: u64,
    /// Refusals by code in the present minute, and since when it is.
    refusals: (BTreeMap<String, u32>, i64),
    omitted: u64,
}

/// The audit log.
#[derive(Debug)]
pub struct Audit {
    path: PathBuf,
    log: Mutex<Log>,
    is_failing: AtomicBool,
}

impl Audit {
    /// Opens a log to add to it.
    ///
    /// # Errors
    /// The file's.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let file = open(path)?;
        let bytes = file.metadata()?.len();
        let log = Mutex::new(Log { file, bytes, refusals: (BTreeMap::new(), 0), omitted: 0 });
        Ok(Self { path: path.to_owned(), log, is_failing: AtomicBool::new(false) })
    }

    /// Adds a line about what a command on this machine has done. Where that fails it is said, since what was done
    /// stands.
    pub fn note(data: Option<&Path>, config: Option<&Path>, entry: Entry) {
        let named = config.and_then(|config| FileSettings::read(config).ok()).and_then(|file| file.audit);
        let path = named.or_else(|| FileSettings::data_folder(data, config).ok().map(|data| audit_file_in(&data)));
        match path.map(|path| Self::open(&path)).transpose() {
            Ok(Some(audit)) => audit.write(entry),
            Ok(None) => tracing::error!("there is no audit log: nothing says where it is"),
            Err(error) => tracing::error!("the audit log can't be opened: {error}"),
        }
    }

    /// Whether the last line could not be written.
    pub fn is_failing(&self) -> bool {
        self.is_failing.load(Ordering::Relaxed)
    }

    /// Adds a line. Where that fails it is said in the server's log and shown by `/health`, and nothing else stops.
    pub fn write(&self, entry: Entry) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let code = entry.fields.get("code").and_then(Value::as_str).unwrap_or_default();
        if entry.event == Event::Refuse && !log.may_refuse(code, clock::wall_ms()) {
            log.omitted += 1;
            return;
        }
        let line = line(entry, std::mem::take(&mut log.omitted));
        let written = log.append(&self.path, line.as_bytes());
        if let Err(error) = &written {
            tracing::error!("the audit log can't be written: {error}");
        }
        self.is_failing.store(written.is_err(), Ordering::Relaxed);
    }
}

impl Log {
    /// Codes are few, and each has its own share: who is known and may not isn't hidden by who is unknown.
    fn may_refuse(&mut self, code: &str, now_ms: i64) -> bool {
        // A clock that was set back begins anew, too.
        if !(0..REFUSAL_WINDOW_MS).contains(&(now_ms - self.refusals.1)) {
            self.refusals = (BTreeMap::new(), now_ms);
        }
        let count = self.refusals.0.entry(code.to_owned()).or_default();
        *count += 1;
        *count <= AUDIT_REFUSALS
    }

    fn append(&mut self, path: &Path, line: &[u8]) -> std::io::Result<()> {
        if self.bytes + line.len() as u64 > AUDIT_FILE_BYTES {
            set_aside(path)?;
            self.file = open(path)?;
            self.bytes = self.file.metadata()?.len();
        }
        self.file.write_all(line)?;
        self.bytes += line.len() as u64;
        Ok(())
    }
}

fn line(entry: Entry, omitted: u64) -> String {
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(clock::wall_ms()).unwrap_or(0));
    let mut object = Map::new();
    object.insert("time".to_owned(), json!(humantime::format_rfc3339_millis(time).to_string()));
    object.insert("event".to_owned(), json!(entry.event.word()));
    object.extend(entry.fields);
    if omitted > 0 {
        object.insert("refusals_omitted".to_owned(), json!(omitted));
    }
    format!("{}\n", Value::Object(object))
}

fn open(path: &Path) -> std::io::Result<File> {
    std::fs::create_dir_all(folder_of(path))?;
    let is_new = !path.exists();
    let file = OpenOptions::new().create(true).append(true).mode(MODE).open(path)?;
    if is_new {
        owner::give(&file, folder_of(path))?;
    }
    Ok(file)
}

/// `NAME` becomes `NAME.1`, which becomes `NAME.2`; the oldest goes.
fn set_aside(path: &Path) -> std::io::Result<()> {
    let numbered = |number: usize| path.with_added_extension(number.to_string());
    for number in (1..AUDIT_FILES).rev() {
        match std::fs::rename(numbered(number), numbered(number + 1)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    std::fs::rename(path, numbered(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &Path) -> Vec<Value> {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_line_says_who_did_what_and_when() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit");
        let audit = Audit::open(&path).unwrap();
        audit.write(Entry::new(Event::Reset).database("shop\n\"x").by_operator());
        drop(audit);
        Audit::open(&path).unwrap().write(Entry::new(Event::Stop));
        let lines = lines(&path);
        assert_eq!(lines.len(), 2, "a second opening adds");
        assert_eq!(lines[0]["event"], "reset");
        assert_eq!(lines[0]["database"], "shop\n\"x");
        assert_eq!(lines[0]["who"], "operator");
        assert!(lines[0]["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{}", lines[0]);
    }

    #[test]
    fn strangers_can_not_wash_it_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit");
        let audit = Audit::open(&path).unwrap();
        for _ in 0..AUDIT_REFUSALS + 5 {
            audit.write(Entry::new(Event::Refuse).with("code", "unauthorized"));
        }
        audit.write(Entry::new(Event::Refuse).with("code", "forbidden"));
        let lines = lines(&path);
        assert_eq!(lines.len(), AUDIT_REFUSALS as usize + 1);
        assert_eq!(lines.last().unwrap()["refusals_omitted"], 5);
    }

    #[test]
    fn a_full_file_is_set_aside_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit");
        let long = "x".repeat(AUDIT_FILE_BYTES as usize / 2);
        let audit = Audit::open(&path).unwrap();
        for number in 0..2 * (AUDIT_FILES + 2) {
            audit.write(Entry::new(Event::Exec).with("number", number).with("long", long.as_str()));
        }
        assert!(!audit.is_failing());
        let count = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(count, AUDIT_FILES + 1);
        assert_eq!(lines(&path).last().unwrap()["number"], 2 * (AUDIT_FILES + 2) - 1);
    }
}
