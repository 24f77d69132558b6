//! What client and server databases share: opening, the schema, transactions, and the numbering of versions.
//!
//! Where in the flow: inside `ClientDatabase` and `ServerDatabase`. Never decides what a transaction holds.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use greenlight_core::limits::MAX_KEY_BYTES;
use greenlight_core::replica::{Fault, FaultKind};
use greenlight_core::{Change, SiteId, Tag, Version};
use thiserror::Error;

use crate::apply::{Again, Culprits};
use crate::backup;
use crate::connection::{Connection, Opening};
use crate::crash::{self, Point};
use crate::fault::{from_sqlite, internal};
use crate::options::{Location, Options};
use crate::read::{Counted, View};
use crate::schema::migrate::{self, Migrated};
use crate::schema::{Schema, SchemaError};
use crate::state::{self, key};
use crate::tables::{TableSql, tables};

/// Why a database could not be opened.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum OpenError {
    /// The schema does not fit.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// SQLite or the file.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The file is a database of the other role: a server's must be adopted before a client may use it.
    #[error("the file is a {0}'s database")]
    Role(String),
    /// No copy could be made, so nothing was migrated.
    #[error(
        "the database stays at schema {from} and was not migrated to {to}: a copy to go back to could not be written \
         first ({why})"
    )]
    Backup {
        /// The schema number that the database stays at.
        from: u32,
        /// The number in the file.
        to: u32,
        /// What failed, without a path.
        why: String,
    },
}

/// No version of the data that SQLite tells.
const UNKNOWN_DATA: i64 = i64::MIN;

/// Why a database is not prepared yet.
enum Unprepared {
    /// It can't be.
    Open(OpenError),
    /// It can be without this change, which rolled the whole transaction back.
    RolledBack(Box<Change>),
}

impl From<OpenError> for Unprepared {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl From<Fault> for Unprepared {
    fn from(fault: Fault) -> Self {
        Self::Open(fault.into())
    }
}

impl From<Again> for Unprepared {
    fn from(again: Again) -> Self {
        match again {
            Again::Fault(fault) => fault.into(),
            Again::RolledBack(change) => Self::RolledBack(change),
        }
    }
}

/// Which end a database is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Client,
    Server,
}

impl Role {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

/// An open database with its schema.
pub(crate) struct Database {
    pub(crate) conn: Connection,
    pub(crate) options: Options,
    pub(crate) schema: Schema,
    pub(crate) tables: Vec<TableSql>,
    by_name: HashMap<Arc<str>, usize>,
    pub(crate) counted: Counted,
    /// While another connection's commit is not dealt with, this differs from SQLite's.
    seen_data: i64,
    /// Whether a transaction has failed on this connection. What failed may have left cr-sqlite's statements half-way,
    /// and then every change that comes later would seem to be at fault.
    is_suspect: bool,
}

impl Database {
    /// Opens or creates, brings the schema up to date, and applies what was held aside for it.
    pub(crate) fn open(mut options: Options, schema: &Schema, role: Role) -> Result<Self, OpenError> {
        let conn = connect(&mut options, Opening::First)?;
        let tables = tables(schema);
        let by_name = tables.iter().enumerate().map(|(index, table)| (table.name.clone(), index)).collect();
        let mut database = Self {
            conn,
            options,
            schema: schema.clone(),
            tables,
            by_name,
            counted: Counted::default(),
            seen_data: 0,
            is_suspect: false,
        };
        database.prepare_file(role)?;
        database.seen_data = database.conn.data_version()?;
        Ok(database)
    }

    fn prepare_file(&mut self, role: Role) -> Result<(), OpenError> {
        let mut culprits = Culprits::default();
        // Ends: each round leaves out one more change.
        let (migrated, made) = loop {
            match self.transaction_or(|database| database.prepare(role, &culprits)) {
                Ok(done) => break done,
                Err(Unprepared::Open(error)) => return Err(error),
                Err(Unprepared::RolledBack(change)) => culprits.add(*change),
            }
        };
        crash::point(Point::SchemaCommitted);
        if let Some(made) = made {
            made.keep();
        }
        if migrated == Migrated::Structure && self.conn.is_foreign() {
            // Builds without our patches only see new tables and columns in a connection of their own.
            self.reconnect()?;
            loop {
                match self.transaction_or(|database| database.apply_aside(&culprits)) {
                    Ok(()) => break,
                    Err(Unprepared::Open(error)) => return Err(error),
                    Err(Unprepared::RolledBack(change)) => culprits.add(*change),
                }
            }
        }
        Ok(())
    }

    /// Within the migration's transaction: what changed, and the copy of before, which goes again where this ends.
    fn prepare(&mut self, role: Role, culprits: &Culprits) -> Result<(Migrated, Option<backup::Made>), Unprepared> {
        self.conn.execute_batch(state::CREATE).map_err(from_sqlite)?;
        match state::get::<String>(&self.conn, key::ROLE)? {
            None => state::set(&self.conn, key::ROLE, role.name())?,
            Some(found) if found == role.name() => {}
            Some(found) => return Err(OpenError::Role(found).into()),
        }
        let mut made = None;
        let Self { conn, schema, options, .. } = self;
        let migrated = migrate::apply(conn, schema, |from| {
            made = backup::before_migration(options, from, schema.id().number)?;
            Ok(())
        })?;
        let is_seen = migrated == Migrated::Extras || !self.conn.is_foreign();
        if migrated != Migrated::Nothing && is_seen {
            self.apply_aside(culprits)?;
        }
        crash::point(Point::SchemaBeforeCommit);
        Ok((migrated, made))
    }

    /// Applies what was put aside and can be applied now.
    fn apply_aside(&mut self, culprits: &Culprits) -> Result<(), Unprepared> {
        // First: what fails now need not be tried once more.
        self.retry_all(culprits)?;
        Ok(self.apply_held(culprits)?)
    }

    /// Opens the file again. Impossible, and not needed, in memory.
    pub(crate) fn reconnect(&mut self) -> Result<(), Fault> {
        if self.options.location != Location::Memory {
            self.conn = connect(&mut self.options, Opening::Again)?;
            self.seen_data = self.conn.data_version()?;
        }
        Ok(())
    }

    /// Runs `work` as one durable transaction; nothing of it stays when it fails.
    pub(crate) fn transaction<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        self.transaction_or(work)
    }

    /// The same for any error.
    pub(crate) fn transaction_or<T, E: From<Fault>>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        self.replace_suspect()?;
        self.begin()?;
        match work(self) {
            Ok(result) => {
                self.commit().inspect_err(|_| self.is_suspect = true)?;
                Ok(result)
            }
            Err(error) => {
                self.is_suspect = true;
                self.rollback();
                Err(error)
            }
        }
    }

    /// Goes on with another connection where something failed on this one. A browser's file takes one at a time, and
    /// memory goes with its connection: there it stays.
    fn replace_suspect(&mut self) -> Result<(), Fault> {
        let has_another = !cfg!(target_family = "wasm") && self.options.location != Location::Memory;
        if self.is_suspect && has_another && self.conn.is_autocommit() {
            self.reconnect()?;
            // Whether others have committed meanwhile isn't known.
            self.seen_data = UNKNOWN_DATA;
            self.is_suspect = false;
        }
        Ok(())
    }

    /// Begins a writing transaction.
    pub(crate) fn begin(&self) -> Result<(), Fault> {
        if !self.conn.is_autocommit() {
            let message = "an app's transaction is open".to_owned();
            return Err(Fault { kind: FaultKind::Busy, message });
        }
        self.conn.execute_batch("BEGIN IMMEDIATE").map_err(from_sqlite)
    }

    /// Commits durably; when it can't, nothing of the transaction stays.
    pub(crate) fn commit(&self) -> Result<(), Fault> {
        if self.conn.is_autocommit() {
            return Err(internal("the transaction was rolled back before its commit"));
        }
        self.conn.execute_batch("COMMIT").map_err(|error| {
            self.rollback();
            from_sqlite(error)
        })
    }

    /// Leaves no transaction open, and no sync bit set: with it, later local writes would go unrecorded.
    pub(crate) fn rollback(&self) {
        if !self.conn.is_autocommit() {
            // When it fails, SQLite has rolled back already, which is what is wanted.
            drop(self.conn.execute_batch("ROLLBACK"));
        }
        // Only where the connection is broken can this fail, and then nothing is written any more.
        drop(self.clear_sync_bit());
    }

    pub(crate) fn clear_sync_bit(&self) -> Result<(), Fault> {
        state::one(&self.conn, "SELECT crsql_internal_sync_bit(0)", [], |_| Ok(()))
    }

    /// Runs `work` on one snapshot, as it is at its first read. Within an open transaction it sees what that wrote.
    pub(crate) fn snapshot<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        if !self.conn.is_autocommit() {
            return work(self);
        }
        self.conn.execute_batch("BEGIN").map_err(from_sqlite)?;
        let result = work(self);
        self.conn.execute_batch("COMMIT").map_err(from_sqlite)?;
        result
    }

    pub(crate) fn view(&self) -> View<'_> {
        View { conn: &self.conn, tables: &self.tables, part_bytes: self.options.part_bytes }
    }

    pub(crate) fn table(&self, name: &str) -> Option<&TableSql> {
        self.by_name.get(name).map(|&index| &self.tables[index])
    }

    /// Makes cr-sqlite number this transaction above `version`, and returns its number.
    pub(crate) fn pin_version(&self, version: Version) -> Result<Version, Fault> {
        let sql = "SELECT crsql_next_db_version(?1)";
        state::read_version(state::one(&self.conn, sql, [version.to_sql() + 1], |row| row.get(0))?)
    }

    /// The largest version over all tables and sites.
    pub(crate) fn largest_version(&self) -> Result<Version, Fault> {
        Ok(self.heads()?.into_iter().max().unwrap_or_default())
    }

    /// The tables that have entries above `version`: what a transaction that began there has changed.
    pub(crate) fn changed_above(&self, version: Version) -> Result<Vec<String>, Fault> {
        let heads = self.heads()?;
        let changed = self.tables.iter().zip(heads).filter(|(_, head)| *head > version);
        Ok(changed.map(|(table, _)| table.name.to_string()).collect())
    }

    /// What is wrong with something that was written above `version`: SQLite takes larger keys than peers do, and a cell
    /// that a peer brought to its highest column version can't be written once more. What can't travel would hold up all
    /// others for ever.
    pub(crate) fn unfit(&self, version: Version) -> Result<Option<String>, Fault> {
        for table in &self.tables {
            let is_there = |sql: &str| state::exists(&self.conn, sql, [version.to_sql()]);
            let name = &table.name;
            if table.wide_key.as_deref().map(is_there).transpose()? == Some(true) {
                return Ok(Some(format!("a primary key of table `{name}` is larger than {MAX_KEY_BYTES} bytes")));
            }
            if is_there(&table.beyond)? {
                return Ok(Some(format!(
                    "a cell or a row of table `{name}` is at the highest version that there is, and can't be written again"
                )));
            }
        }
        Ok(None)
    }

    fn heads(&self) -> Result<Vec<Version>, Fault> {
        let head = |table: &TableSql| {
            let head = state::one(&self.conn, &table.head, [], |row| row.get::<_, Option<i64>>(0))?;
            state::read_version(head.unwrap_or(0))
        };
        self.tables.iter().map(head).collect()
    }

    /// Where another connection has committed since [`Database::noticed`]: what to tell that once it is dealt with.
    /// Not before: whatever fails on the way must leave the news to the next attempt.
    pub(crate) fn others_committed(&self) -> Result<Option<i64>, Fault> {
        let data = self.conn.data_version()?;
        Ok((data != self.seen_data).then_some(data))
    }

    /// What others have committed is dealt with.
    pub(crate) fn noticed(&mut self, data: i64) {
        self.seen_data = data;
    }

    /// A random tag; zero is kept for the beginning of all histories.
    pub(crate) fn fresh_tag(&mut self) -> Tag {
        Tag((self.options.random)().max(1))
    }

    /// A random site id.
    pub(crate) fn fresh_site(&mut self) -> SiteId {
        fresh_site(&mut self.options)
    }

    pub(crate) fn wall_ms(&mut self) -> i64 {
        (self.options.wall_ms)()
    }
}

fn connect(options: &mut Options, opening: Opening) -> Result<Connection, Fault> {
    let site = fresh_site(options);
    let mut conn = Connection::open(&options.location, options.extension.as_deref().map(Path::new), site, opening)?;
    conn.guard.steps = options.statement_steps;
    if let Some(bytes) = options.max_bytes {
        conn.limit_size(bytes)?;
    }
    Ok(conn)
}

fn fresh_site(options: &mut Options) -> SiteId {
    let (high, low) = ((options.random)().to_be_bytes(), (options.random)().to_be_bytes());
    SiteId(std::array::from_fn(|index| if index < 8 { high[index] } else { low[index - 8] }))
}
