//! The module's one class: a database with its session, as the worker uses it.
//!
//! Where in the flow: each method is one step, done when it returns; what it leaves for socket, timer and pages is
//! fetched by `take_effects`. Never waits: only opening does, for the browser's file handles.

use std::path::PathBuf;

use greenlight_core::replica::{Author, ClientStore, ReadPosition, ReadRequest};
use greenlight_core::status::Reason;
use greenlight_core::{Cursor, Status, StatusState, Version};
use greenlight_store::bundle::{self, Header, Line, PIECE_BYTES, Plan, Replay, Rows};
use greenlight_store::{Answer, ClientDatabase, Location, Options, Schema, Shelf};
use js_sys::{Array, Uint8Array};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::boundary::{self, Failure, Integers};
use crate::driver::{self, Driver};
use crate::pool::{FILE, Pool};
use crate::requests;

/// What a closed engine answers.
const CLOSED: &str = "The database is closed.";

/// Opens a database, on the browser's file system or in memory. `seed` seeds the jitter of the session's waits.
///
/// # Errors
/// An error with a code: `files_held` when another worker still has the files, `schema`, `opfs_unavailable`,
/// `storage_full`, `storage`.
#[wasm_bindgen(js_name = openEngine)]
pub async fn open_engine(name: String, schema: String, memory: bool, seed: u64) -> Result<Engine, JsValue> {
    std::panic::set_hook(Box::new(|panic| console_error(&format!("greenlight broke: {panic}"))));
    let schema = Schema::parse(&schema).map_err(|error| Failure::new("schema", error.to_string()))?;
    let pool = if memory { None } else { Some(Pool::take(&name).await?) };
    let database = match open_database(memory, &schema) {
        Ok(database) => database,
        Err(failure) => {
            if let Some(pool) = &pool {
                pool.give_up()?;
            }
            return Err(failure.into());
        }
    };
    let mut engine = Engine {
        name,
        schema,
        pool,
        database: Some(database),
        driver: Driver::new(seed),
        replay: Replay::default(),
        saving: None,
    };
    engine.with(|database, driver| {
        driver.pump(database);
        Ok(())
    })?;
    Ok(engine)
}

fn open_database(memory: bool, schema: &Schema) -> Result<ClientDatabase, Failure> {
    let location = if memory { Location::Memory } else { Location::File(PathBuf::from(FILE)) };
    let options = Options::new(location, random, || js_sys::Date::now() as i64);
    let database = ClientDatabase::open(options, schema)?;
    requests::prepare(&database)?;
    Ok(database)
}

/// A database with its session.
#[wasm_bindgen]
pub struct Engine {
    name: String,
    schema: Schema,
    /// None in memory.
    pool: Option<Pool>,
    /// None once closed, and while its file is read out.
    database: Option<ClientDatabase>,
    driver: Driver,
    /// What was read of the bundle that is about to be replayed.
    replay: Replay,
    saving: Option<Saving>,
}

/// A bundle that is being written.
struct Saving {
    /// Where the next page of changes begins; the outer None when they are done.
    next: Option<ReadRequest>,
    /// Every change of the database, after those that are pending; the same, where it is saved whole.
    all: Option<ReadRequest>,
    /// How much of the database's file is written; None when it isn't wanted.
    file: Option<u64>,
    lines: u64,
}

#[wasm_bindgen]
impl Engine {
    /// Runs an app's statements as the transaction of this id, or within the one that is open. Returns how many rows
    /// were changed.
    pub fn exec(&mut self, id: &str, sql: &str, params: Option<Array>) -> Result<f64, JsValue> {
        let params = boundary::params(params)?;
        Ok(self.write(id, |database| {
            let (answer, _) = database.exec(sql, &params)?;
            Ok(answer.changes as i64)
        })? as f64)
    }

    /// Runs one statement that only reads.
    pub fn query(&mut self, sql: &str, params: Option<Array>, integers: &str) -> Result<JsValue, JsValue> {
        let (params, integers) = (boundary::params(params)?, Integers::parse(integers)?);
        let answer: Answer = self.with(|database, _| Ok(database.query(sql, &params)?))?;
        Ok(boundary::rows(&answer.columns, &answer.rows, integers))
    }

    /// The tables that a query reads.
    pub fn tables_read(&mut self, sql: &str) -> Result<Array, JsValue> {
        Ok(boundary::strings(self.with(|database, _| Ok(database.tables_read(sql)?))?))
    }

    /// Begins a transaction that lasts over several calls.
    pub fn begin(&mut self) -> Result<(), JsValue> {
        Ok(self.with(|database, _| Ok(database.begin_transaction()?))?)
    }

    /// Commits it, under an id by which a repeated commit is known.
    pub fn commit(&mut self, id: &str) -> Result<(), JsValue> {
        Ok(self.with(|database, driver| finish(database, driver, id, 0))?)
    }

    /// Drops it.
    pub fn rollback(&mut self) -> Result<(), JsValue> {
        Ok(self.with(|database, driver| {
            database.rollback_transaction();
            driver.pump(database);
            Ok(())
        })?)
    }

    /// Whether a write of this id was committed.
    pub fn was_written(&mut self, id: &str) -> Result<bool, JsValue> {
        Ok(self.with(|database, _| Ok(requests::done(database, id)?.is_some()))?)
    }

    /// The socket is open.
    pub fn connected(&mut self, token: String) -> Result<(), JsValue> {
        self.tell(|session, now| session.handle_connected(now, token))
    }

    /// A binary message came.
    pub fn frame(&mut self, frame: &[u8]) -> Result<(), JsValue> {
        self.tell(|session, now| session.handle_frame(now, frame))
    }

    /// Something else came.
    pub fn malformed(&mut self, what: &str) -> Result<(), JsValue> {
        self.tell(|session, now| session.handle_malformed(now, what))
    }

    /// The socket closed, or could not be opened.
    pub fn closed(&mut self, code: u16, reason: &str) -> Result<(), JsValue> {
        self.tell(|session, now| session.handle_closed(now, code, reason))
    }

    /// The time came for which the session asked.
    pub fn timeout(&mut self) -> Result<(), JsValue> {
        self.tell(|session, now| session.handle_timeout(now))
    }

    /// Goes offline until `resume`.
    pub fn pause(&mut self) -> Result<(), JsValue> {
        self.tell(|session, now| session.pause(now))
    }

    /// Goes online again.
    pub fn resume(&mut self) -> Result<(), JsValue> {
        self.tell(|session, now| session.resume(now))
    }

    /// Dials at once.
    pub fn retry(&mut self) -> Result<(), JsValue> {
        self.tell(|session, now| session.retry(now))
    }

    /// What is left to do: see `Effects` in the worker.
    pub fn take_effects(&mut self) -> Result<JsValue, JsValue> {
        Ok(self.driver.take_effects()?)
    }

    /// The status as of now.
    pub fn status(&self) -> Result<JsValue, JsValue> {
        Ok(driver::to_js(&self.driver.status())?)
    }

    /// Own changes that wait, by table.
    pub fn pending_by_table(&mut self) -> Result<Array, JsValue> {
        let pending = self.with(|database, _| Ok(database.pending_by_table()?))?;
        let entry = |(table, changes): (String, u64)| {
            boundary::object([("table", table.into()), ("changes", (changes as f64).into())])
        };
        Ok(pending.into_iter().map(entry).collect())
    }

    /// What could not be applied, at most `limit` changes of it, with why.
    pub fn quarantined(&mut self, limit: usize) -> Result<JsValue, JsValue> {
        let shelved = self.with(|database, _| Ok(database.shelved(Shelf::Quarantine, limit)?))?;
        Ok(driver::to_js(&shelved.iter().map(bundle::set_aside).collect::<Vec<_>>())?)
    }

    /// Tries it again. Returns how many changes could be applied.
    pub fn retry_quarantined(&mut self) -> Result<f64, JsValue> {
        Ok(self.with(|database, driver| {
            let (applied, outbox) = database.retry_quarantined()?;
            let tables = if applied > 0 { database.load()?.shape.tables } else { Vec::new() };
            driver.touch(tables.into_iter().map(|table| table.name));
            driver.tell(database, |session, now| session.handle_local_commit(now, outbox));
            Ok(applied as f64)
        })?)
    }

    /// Begins a bundle: returns its first line. `whole` asks for all of the database too, its changes and its file,
    /// where what is acknowledged may exist nowhere else: the server is not of the lineage that this database was in
    /// step with, or its rows differ.
    pub fn bundle_begin(&mut self, id: String, created_at: f64, whole: bool) -> Result<Uint8Array, JsValue> {
        let Status { state, reason, .. } = self.driver.status();
        let lost = state == StatusState::Incompatible || reason == Reason::Diverged;
        let reason = serde_json::to_value(reason).map_err(Failure::from)?;
        let loaded = self.with(|database, _| Ok(database.load()?))?;
        let reason = reason.as_str().unwrap_or_default().to_owned();
        let header = Header::new(id, self.name.clone(), created_at as u64, reason, &loaded);
        let whole = whole && self.pool.is_some() && lost;
        let until = Cursor { version: loaded.outbox.head, ..Cursor::ZERO };
        let first =
            ReadRequest { since: loaded.acknowledged.version, until: Some(until), after: None, author: Author::Own };
        let all = ReadRequest { since: Version::ZERO, until: None, after: None, author: Author::Any };
        self.saving = Some(Saving { next: Some(first), all: whole.then_some(all), file: whole.then_some(0), lines: 1 });
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

    /// Takes in lines of a bundle that is to be replayed.
    pub fn replay_take(&mut self, lines: &[u8]) -> Result<(), JsValue> {
        let taken = self.replay.take(lines);
        if taken.is_err() {
            self.replay = Replay::default();
        }
        Ok(taken.map_err(Failure::from)?)
    }

    /// What writing what was taken in would do; it has to be taken in again to be written. `all` as in [`Rows::All`].
    pub fn replay_plan(&mut self, all: bool) -> Result<JsValue, JsValue> {
        let plan = self.plan(all)?;
        let tables = driver::to_js(&plan.tables)?;
        Ok(boundary::object([("rows", (plan.rows() as f64).into()), ("tables", tables)]))
    }

    /// Writes what was taken in, as one transaction of this id. Returns how many rows were written.
    pub fn replay_write(&mut self, id: &str, all: bool) -> Result<f64, JsValue> {
        let plan = self.plan(all)?;
        Ok(self.write(id, |database| Ok(plan.write(database)? as i64))? as f64)
    }

    /// Drops the database's files and opens it empty; the session starts over.
    pub fn start_over(&mut self) -> Result<(), JsValue> {
        let tables = self.with(|database, _| Ok(database.load()?.shape.tables))?;
        self.database = None;
        if let Some(pool) = &self.pool {
            pool.clear()?;
        }
        let mut database = open_database(self.pool.is_none(), &self.schema)?;
        self.driver.touch(tables.into_iter().map(|table| table.name));
        self.driver.start_over(&mut database);
        self.database = Some(database);
        Ok(())
    }

    /// Gives up the files, after rolling back what was open.
    pub fn close(&mut self) -> Result<(), JsValue> {
        if let Some(mut database) = self.database.take() {
            database.rollback_transaction();
        }
        if let Some(pool) = self.pool.take() {
            pool.give_up()?;
        }
        Ok(())
    }
}

impl Engine {
    fn with<T>(
        &mut self,
        job: impl FnOnce(&mut ClientDatabase, &mut Driver) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        match &mut self.database {
            Some(database) => job(database, &mut self.driver),
            None => Err(Failure::new("closed", CLOSED)),
        }
    }

    fn plan(&mut self, all: bool) -> Result<Plan, Failure> {
        let replay = std::mem::take(&mut self.replay);
        let rows = if all { Rows::All } else { Rows::Unacknowledged };
        self.with(|database, _| Ok(replay.plan(database, rows)?))
    }

    fn tell(
        &mut self,
        event: impl FnOnce(&mut greenlight_core::client::ClientSession, greenlight_core::Now),
    ) -> Result<(), JsValue> {
        Ok(self.with(|database, driver| {
            driver.tell(database, event);
            Ok(())
        })?)
    }

    /// A write that happens once: within the app's open transaction, or as one of its own that records `id`.
    fn write(
        &mut self,
        id: &str,
        work: impl FnOnce(&mut ClientDatabase) -> Result<i64, Failure>,
    ) -> Result<i64, Failure> {
        self.with(|database, driver| {
            if database.in_transaction() {
                return work(database);
            }
            if let Some(changes) = requests::done(database, id)? {
                return Ok(changes);
            }
            database.begin_transaction()?;
            match work(database) {
                Ok(changes) => finish(database, driver, id, changes).map(|()| changes),
                Err(failure) => {
                    database.rollback_transaction();
                    if let Some(fault) = failure.full() {
                        driver.could_not_write(fault);
                    }
                    driver.pump(database);
                    Err(failure)
                }
            }
        })
    }

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

    fn reopen(&mut self) -> Result<(), Failure> {
        if self.database.is_none() {
            self.database = Some(open_database(self.pool.is_none(), &self.schema)?);
        }
        Ok(())
    }
}

/// Records the id and commits; nothing of the transaction stays when that fails.
fn finish(database: &mut ClientDatabase, driver: &mut Driver, id: &str, changes: i64) -> Result<(), Failure> {
    if let Err(fault) = requests::record(database, id, changes) {
        database.rollback_transaction();
        driver.could_not_write(fault.clone());
        driver.pump(database);
        return Err(fault.into());
    }
    match database.commit_transaction() {
        Ok(commit) => {
            driver.wrote(database, commit);
            Ok(())
        }
        Err(fault) => {
            driver.could_not_write(fault.clone());
            driver.pump(database);
            Err(fault.into())
        }
    }
}

fn put(what: &Line, lines: &mut Vec<u8>, count: &mut u64) -> Result<(), Failure> {
    lines.extend_from_slice(&bundle::line(what)?);
    *count += 1;
    Ok(())
}

/// 64 random bits of the browser's.
fn random() -> u64 {
    let mut bytes = [0; 8];
    fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = console, js_name = error)]
    fn console_error(text: &str);

    #[wasm_bindgen(js_namespace = crypto, js_name = getRandomValues)]
    fn fill(bytes: &mut [u8]);
}
