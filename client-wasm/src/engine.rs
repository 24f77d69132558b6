//! The module's one class: a database with its session, as the worker uses it.
//!
//! Where in the flow: each method is one step, done when it returns; what it leaves for socket, timer and pages is
//! fetched by `take_effects`. Never waits: only opening does, for the browser's file handles.

use std::path::PathBuf;

use greenlight_core::replica::ClientStore;
use greenlight_store::{Answer, ClientDatabase, Location, Options, Schema, Shelf, ShelvedId, bundle};
use js_sys::Array;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::boundary::{self, Failure, Integers};
use crate::bundles::{Replaying, Saving};
use crate::driver::{self, Driver};
use crate::pool::{FILE, Pool};
use crate::requests;

/// What a closed engine answers.
const CLOSED: &str = "The database is closed.";

/// Opens a database, on the browser's file system or in memory. `seed` seeds the jitter of the session's waits. `fresh`
/// drops what is there before: what a drop that was cut off has left can't always be opened.
///
/// # Errors
/// An error with a code: `files_held` when another worker still has the files, `schema`, `opfs_unavailable`,
/// `storage_full`, `storage`.
#[wasm_bindgen(js_name = openEngine)]
pub async fn open_engine(
    name: String,
    schema: String,
    memory: bool,
    seed: u64,
    fresh: bool,
) -> Result<Engine, JsValue> {
    std::panic::set_hook(Box::new(|panic| console_error(&format!("greenlight broke: {panic}"))));
    let schema = Schema::parse(&schema).map_err(|error| Failure::new("schema", error.to_string()))?;
    let pool = if memory { None } else { Some(Pool::take(&name).await?) };
    let cleared = pool.as_ref().filter(|_| fresh).map_or(Ok(()), Pool::clear);
    let database = match cleared.and_then(|()| open_database(memory, &schema)) {
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
        replaying: Replaying::default(),
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
    pub(crate) name: String,
    schema: Schema,
    /// None in memory.
    pub(crate) pool: Option<Pool>,
    /// None once closed, and while its file is read out.
    pub(crate) database: Option<ClientDatabase>,
    pub(crate) driver: Driver,
    /// The bundle that is about to be replayed, or shown.
    pub(crate) replaying: Replaying,
    /// The bundle that is being written.
    pub(crate) saving: Option<Saving>,
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
        Ok(self.with(|database, driver| finish(database, driver, Some((id, 0))))?)
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

    /// Leaves those of these ids out. Returns how many there were.
    pub fn leave_out(&mut self, ids: Vec<String>) -> Result<f64, JsValue> {
        let ids: Option<Vec<ShelvedId>> = ids.iter().map(|id| ShelvedId::from_hex(id)).collect();
        let ids = ids.ok_or_else(|| Failure::invalid("an id is 32 hexadecimal digits"))?;
        Ok(self.with(|database, driver| {
            let (count, outbox) = database.leave_out(&ids)?;
            driver.tell(database, |session, now| session.handle_local_commit(now, outbox));
            Ok(count as f64)
        })?)
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
    pub(crate) fn with<T>(
        &mut self,
        job: impl FnOnce(&mut ClientDatabase, &mut Driver) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        match &mut self.database {
            Some(database) => job(database, &mut self.driver),
            None => Err(Failure::new("closed", CLOSED)),
        }
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
                Ok(changes) => finish(database, driver, Some((id, changes))).map(|()| changes),
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

    pub(crate) fn reopen(&mut self) -> Result<(), Failure> {
        if self.database.is_none() {
            self.database = Some(open_database(self.pool.is_none(), &self.schema)?);
        }
        Ok(())
    }
}

/// Records the id, with how many rows were changed, and commits; nothing of the transaction stays when that fails.
pub(crate) fn finish(
    database: &mut ClientDatabase,
    driver: &mut Driver,
    done: Option<(&str, i64)>,
) -> Result<(), Failure> {
    if let Some((id, changes)) = done
        && let Err(fault) = requests::record(database, id, changes)
    {
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
