//! What is in the home: the database, what was exchanged last, the lock.
//!
//! Where in the flow: after the paths. Never opens the database to write, and never takes the lock.

use std::path::{Path, PathBuf};

use greenlight_store::portable::{self, ClientSide, Inspected, PortableError};
use indicatif::HumanBytes;

use super::Findings;
use crate::home::Home;
use crate::output::{counted, waits};
use crate::sync::{self, FoundLock};

/// A log longer than this is not folded into its database, since somebody keeps it open; in bytes.
const LOG_EXPECTED: u64 = 64 * 1024 * 1024;

pub(super) fn look(home: &Home, findings: &mut Findings) -> Option<Inspected> {
    let found = database(&home.db, findings);
    match sync::remembered(&home.sync_meta, &home.db) {
        Ok(0) => findings.ok("exchanges", "nothing was exchanged with a folder yet"),
        Ok(count) => findings.ok("exchanges", format!("what was exchanged last is remembered; histories: {count}")),
        Err(error) => {
            let remedy = "move the file away: the next status with a folder says `diverged`, and nothing is lost";
            findings.problem("exchanges", error.to_string(), remedy);
        }
    }
    lock(home, findings);
    found
}

fn database(db: &Path, findings: &mut Findings) -> Option<Inspected> {
    if !db.exists() {
        let remedy = "`greenlight init --schema FILE` makes one, and so does a pull";
        findings.warn("database", format!("there is none at {}", db.display()), remedy);
        return None;
    }
    let found = match portable::inspect(db) {
        Ok(found) => found,
        Err(error) => {
            unreadable(&error, findings);
            return None;
        }
    };
    match portable::damage(db) {
        Ok(damage) if damage.is_empty() => findings.ok("database", describe(db, &found)),
        Ok(damage) => unreadable(&PortableError::Damaged(damage), findings),
        Err(error) => unreadable(&error, findings),
    }
    let log = bytes_of(&beside(db, "-wal"));
    if log > LOG_EXPECTED {
        let says = format!("its log has {}", HumanBytes(log));
        findings.warn("log", says, "whatever has the database open holds it back: close it");
    }
    match found.role {
        "client" => found.client.iter().for_each(|client| waiting(client, findings)),
        "plain" => {}
        role => {
            let remedy = "no remote takes it: name another with --db";
            findings.problem("role", format!("it is no client's database, its role is `{role}`"), remedy);
        }
    }
    Some(found)
}

fn unreadable(error: &PortableError, findings: &mut Findings) {
    match error {
        PortableError::Busy => findings.warn("database", error.to_string(), "try again"),
        PortableError::Damaged(_) => {
            let remedy = "move it away, and its -wal with it, then pull or sync; or put its .bak back";
            findings.problem("database", error.to_string(), remedy);
        }
        _ => findings.problem("database", error.to_string(), "see that it is a database, and that you may read it"),
    }
}

fn describe(db: &Path, found: &Inspected) -> String {
    let schema = found.client.as_ref().map_or_else(
        || "plain".to_owned(),
        |client| format!("a replica of schema {} {}", client.schema_name, client.schema_number),
    );
    format!(
        "sound: {schema}, {}, and {} in its log",
        HumanBytes(bytes_of(db)),
        HumanBytes(bytes_of(&beside(db, "-wal")))
    )
}

fn waiting(client: &ClientSide, findings: &mut Findings) {
    let ClientSide { pending, must_offer, quarantined, held_aside, left_out, read_only, server_site_id, .. } = client;
    match (pending, server_site_id) {
        (0, Some(_)) if *must_offer => findings.ok("pending", "all that is here is offered to the server once"),
        (0, _) => findings.ok("pending", "nothing waits for a server"),
        (pending, Some(_)) => findings.ok("pending", format!("{} for the server", waits(*pending, "change"))),
        (pending, None) => findings.ok("pending", format!("never sent to a server: {}", counted(*pending, "change"))),
    }
    if *quarantined > 0 {
        let remedy = "they are kept; a newer version of the app or of the schema may take them";
        findings.warn(
            "quarantine",
            format!("{} could not be applied", counted(*quarantined, "incoming change")),
            remedy,
        );
    }
    if *held_aside > 0 {
        let remedy = "they are applied with the migration: sync with --schema and the newer schema";
        findings.warn("held aside", format!("{} for a newer schema", waits(*held_aside, "incoming change")), remedy);
    }
    if *left_out > 0 {
        findings.ok("left out", format!("left out by a person: {}", counted(*left_out, "incoming change")));
    }
    if *read_only && *pending > 0 {
        let remedy = "ask whoever keeps the server for a token that may write";
        findings.problem("rights", "the server said that this client may only read, and changes wait", remedy);
    }
}

fn lock(home: &Home, findings: &mut Findings) {
    match sync::look_at_lock(&home.sync_lock) {
        Ok(FoundLock::Free) => findings.ok("lock", "no sync is at work"),
        Ok(FoundLock::Held(holder)) => findings.ok("lock", format!("a sync is at work: {holder}")),
        Ok(FoundLock::Left(holder)) => {
            findings.ok("lock", format!("free; {holder} ended without taking its name away, which hinders nobody"));
        }
        Err(error) => {
            let says = format!("{} can't be looked at: {error}", home.sync_lock.display());
            findings.problem("lock", says, "see that you may read and write it");
        }
    }
}

fn bytes_of(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |facts| facts.len())
}

fn beside(file: &Path, end: &str) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(end);
    file.with_file_name(name)
}
