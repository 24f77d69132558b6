//! The engine's part in bundles: writing one piece by piece, and replaying one batch by batch.
//!
//! Where in the flow: beside sync, driven by the worker's `bundling.ts`. Each method is one short step, so that the
//! light lives on in between. Never keeps a bundle: that is the worker's file.

use greenlight_core::replica::{Author, ClientStore, ReadPosition, ReadRequest};
use greenlight_core::status::Reason;
use greenlight_core::{Cursor, Status, StatusState, Version};
use greenlight_store::bundle::{self, Chosen, Header, Line, PIECE_BYTES, Planning, Replay, Rows, Written};
use js_sys::Uint8Array;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::boundary::Failure;
use crate::driver;
use crate::engine::{Engine, finish};
use crate::requests;

/// A bundle that is being written.
pub(crate) struct Saving {
    /// Where the next page of changes begins; None when they are done.
    next: Option<ReadRequest>,
    /// Every change of the database, after those that are pending; the same, where it is saved whole.
    all: Option<ReadRequest>,
    /// How much of the database's file is written; None when it isn't wanted.
    file: Option<u64>,
    lines: u64,
}

/// A bundle that is being replayed, or shown.
#[derive(Default)]
pub(crate) struct Replaying {
    read: Replay,
    /// Once all of it was read.
    chosen: Option<Chosen>,
    planning: Planning,
    written: Written,
}

#[wasm_bindgen]
impl Engine {
    /// Begins a bundle: returns its first line. `whole` asks for all of the database too, its changes and its file,
    /// where what is acknowledged may exist nowhere else: that is everywhere but in step, on this very connection, with
    /// a server whose rows are these. One that can't be reached may have been reset.
    pub fn bundle_begin(&mut self, id: String, created_at: f64, whole: bool) -> Result<Uint8Array, JsValue> {
        let Status { state, reason, .. } = self.driver.status();
        let held = matches!(state, StatusState::Synced | StatusState::Syncing) && reason != Reason::Diverged;
        let reason = serde_json::to_value(reason).map_err(Failure::from)?;
        let loaded = self.with(|database, _| Ok(database.load()?))?;
        let reason = reason.as_str().unwrap_or_default().to_owned();
        let header = Header::new(id, self.name.clone(), created_at as u64, reason, &loaded);
        let whole = whole && !held;
        let until = Cursor { version: loaded.outbox.head, ..Cursor::ZERO };
        let first =
            ReadRequest { since: loaded.acknowledged.version, until: Some(until), after: None, author: Author::Own };
        let all = ReadRequest { since: Version::ZERO, until: None, after: None, author: Author::Any };
        let file = (whole && self.pool.is_some()).then_some(0);
        self.saving = Some(Saving { next: Some(first), all: whole.then_some(all), file, lines: 1 });
        Ok(Uint8Array::from(&bundle::line(&header).map_err(Failure::from)?[..]))
    }

    /// More lines of the bundle; undefined when it is complete.
    pub fn bundle_next(&mut self) -> Result<Option<Uint8Array>, JsValue> {
        let Some(mut saving) = self.saving.take() else { return Ok(None) };
        let mut lines = Vec::new();
        let goes_on = if let Some(request) = saving.next.take() {
            saving.next = self.save_changes(&request, false, &mut lines, &mut saving.lines)?;
            true
        } else if let Some(request) = saving.all.take() {
            saving.all = self.save_changes(&request, true, &mut lines, &mut saving.lines)?;
            true
        } else if let Some(at) = saving.file {
            saving.file = self.save_file(at, &mut lines, &mut saving.lines)?;
            true
        } else {
            put(&Line::End { end: saving.lines }, &mut lines, &mut saving.lines)?;
            false
        };
        self.saving = goes_on.then_some(saving);
        Ok(Some(Uint8Array::from(&lines[..])))
    }

    /// The bundle is written, or given up: the database is open again.
    pub fn bundle_end(&mut self) -> Result<(), JsValue> {
        self.saving = None;
        Ok(self.reopen()?)
    }

    /// Another bundle is to be read: forgets what was read before.
    pub fn replay_begin(&mut self) {
        self.replaying = Replaying::default();
    }

    /// Takes in lines of it.
    pub fn replay_take(&mut self, lines: &[u8]) -> Result<(), JsValue> {
        Ok(self.replaying.read.take(lines).map_err(Failure::from)?)
    }

    /// All of it was taken in. `all` as in [`Rows::All`].
    pub fn replay_choose(&mut self, all: bool) -> Result<(), JsValue> {
        let rows = if all { Rows::All } else { Rows::Unacknowledged };
        let read = std::mem::take(&mut self.replaying.read);
        self.replaying.chosen = Some(read.choose(rows).map_err(Failure::from)?);
        Ok(())
    }

    /// Goes on finding out what writing what was chosen would do: undefined while there is more to look at.
    pub fn replay_plan_some(&mut self) -> Result<JsValue, JsValue> {
        let mut replaying = std::mem::take(&mut self.replaying);
        let chosen = replaying.chosen.as_ref().ok_or_else(not_chosen)?;
        let more = self.with(|database, _| Ok(chosen.plan_some(database, &mut replaying.planning)?))?;
        if !more {
            return Ok(driver::to_js(&replaying.planning.done())?);
        }
        self.replaying = replaying;
        Ok(JsValue::UNDEFINED)
    }

    /// How many rows the replay of this id wrote, where it was finished before; else undefined.
    pub fn replay_done(&mut self, id: &str) -> Result<Option<f64>, JsValue> {
        Ok(self.with(|database, _| Ok(requests::done(database, id)?.map(|rows| rows as f64)))?)
    }

    /// Writes the next batch of what was chosen, as one transaction; the last one records the id. Undefined while there
    /// is more to write.
    pub fn replay_write_some(&mut self, id: &str) -> Result<JsValue, JsValue> {
        let mut replaying = std::mem::take(&mut self.replaying);
        let mut chosen = replaying.chosen.take().ok_or_else(not_chosen)?;
        let before = replaying.written.rows;
        let (batch, more) = self.with(|database, driver| {
            database.begin_transaction()?;
            match chosen.write_some(database) {
                Ok((batch, more)) => {
                    let last = (!more).then_some((id, (before + batch.rows) as i64));
                    finish(database, driver, last).map(|()| (batch, more))
                }
                Err(error) => {
                    let failure = Failure::from(error);
                    database.rollback_transaction();
                    if let Some(fault) = failure.full() {
                        driver.could_not_write(fault);
                    }
                    driver.pump(database);
                    Err(failure)
                }
            }
        })?;
        replaying.written.add(batch);
        if !more {
            return Ok(driver::to_js(&replaying.written)?);
        }
        self.replaying = Replaying { chosen: Some(chosen), ..replaying };
        Ok(JsValue::UNDEFINED)
    }
}

impl Engine {
    fn save_changes(
        &mut self,
        request: &ReadRequest,
        acknowledged: bool,
        lines: &mut Vec<u8>,
        count: &mut u64,
    ) -> Result<Option<ReadRequest>, Failure> {
        if request.until.is_some_and(|until| until.version <= request.since) {
            return Ok(None);
        }
        let chunk = self.with(|database, _| Ok(database.read(request)?))?;
        let changes = chunk.changes.decode().map_err(|error| Failure::new("storage", error.to_string()))?;
        for change in &changes {
            put(&bundle::save(change, acknowledged), lines, count)?;
        }
        let next: Option<ReadPosition> = chunk.next;
        let until = Some(chunk.until);
        Ok(next.map(|position| ReadRequest { until, after: Some(position), ..request.clone() }))
    }

    /// One piece of the file; the database is closed for it until `bundle_end`.
    fn save_file(&mut self, at: u64, lines: &mut Vec<u8>, count: &mut u64) -> Result<Option<u64>, Failure> {
        self.database = None;
        let Some(pool) = &self.pool else { return Ok(None) };
        let mut piece = vec![0; PIECE_BYTES];
        let read = pool.read_file(at, &mut piece)?;
        if read == 0 {
            return Ok(None);
        }
        put(&bundle::piece(&piece[..read]), lines, count)?;
        Ok(Some(at + read as u64))
    }
}

fn put(what: &Line, lines: &mut Vec<u8>, count: &mut u64) -> Result<(), Failure> {
    lines.extend_from_slice(&bundle::line(what)?);
    *count += 1;
    Ok(())
}

fn not_chosen() -> Failure {
    Failure::invalid("no bundle was chosen to be replayed")
}
