//! An app's own reads and writes on a client: statements, transactions, and what a commit records.
//!
//! Where in the flow: step 1 of a write. Never reports a write as failed that is on disk.

use greenlight_core::replica::{ClientStore, Fault, FaultKind, Outbox};
use greenlight_core::{Value, Version};
use rusqlite::Connection;

use crate::client::ClientDatabase;
use crate::fault::{internal, out_of_order};
use crate::limits::WRITTEN_LIMIT;
use crate::statement::{self, Answer, StatementError};
use crate::{foreign, state, upload};

/// What a local transaction did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalCommit {
    /// What is waiting now.
    pub outbox: Outbox,
    /// The synchronised tables that it changed, sorted by name.
    pub tables: Vec<String>,
}

impl ClientDatabase {
    /// Runs an app's own code in a transaction; what it returns as an error rolls everything back. It must not end
    /// the transaction itself.
    ///
    /// # Errors
    /// The app's own, or a [`Fault`]; nothing was changed.
    pub fn local_write<T, E: From<Fault>>(
        &mut self,
        work: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<(T, LocalCommit), E> {
        self.begin_transaction()?;
        let conn = &self.database.conn;
        match conn.within_value_limit(|| work(conn)) {
            Ok(result) => Ok((result, self.commit_transaction()?)),
            Err(error) => {
                self.rollback_transaction();
                Err(error)
            }
        }
    }

    /// Begins a transaction that lasts over several calls of [`ClientDatabase::exec`]. Until its end, everything
    /// that a session asks for fails with [`FaultKind::Busy`].
    ///
    /// # Errors
    /// [`FaultKind::Busy`] when one is open already; any other fault of SQLite.
    pub fn begin_transaction(&mut self) -> Result<(), Fault> {
        self.database.begin()?;
        let pinned = self.pin();
        match pinned {
            Ok(before) => self.open = Some(before),
            Err(_) => self.database.rollback(),
        }
        pinned.map(drop)
    }

    /// Commits the app's transaction.
    ///
    /// # Errors
    /// A [`Fault`]; then nothing of the transaction stays.
    pub fn commit_transaction(&mut self) -> Result<LocalCommit, Fault> {
        let Some(before) = self.open.take() else { return Err(out_of_order("no transaction is open")) };
        match self.conclude(before) {
            Ok(commit) => {
                self.prepared_may_be_sent &= commit.tables.is_empty();
                Ok(commit)
            }
            Err(fault) => {
                self.database.rollback();
                Err(fault)
            }
        }
    }

    /// Everything that can fail comes before the commit: a write that is on disk is never reported as failed.
    fn conclude(&mut self, before: Version) -> Result<LocalCommit, Fault> {
        let tables = self.record(before)?;
        let outbox = self.outbox()?;
        self.database.commit()?;
        Ok(LocalCommit { outbox, tables })
    }

    /// Drops the app's transaction, if one is open.
    pub fn rollback_transaction(&mut self) {
        self.open = None;
        self.database.rollback();
    }

    /// Whether an app's transaction is open.
    pub fn in_transaction(&self) -> bool {
        self.open.is_some()
    }

    /// Runs one statement with parameters, or several without, as a transaction of its own or within the one that is
    /// open.
    ///
    /// # Errors
    /// [`StatementError`]; nothing of it was done. Where the statement rolled back the open transaction, that is
    /// closed.
    pub fn exec(&mut self, sql: &str, params: &[Value]) -> Result<(Answer, LocalCommit), StatementError> {
        if self.open.is_none() {
            return self.local_exec(sql, params);
        }
        let answer = statement::in_savepoint(&self.database, sql, params, None);
        if self.database.conn.is_autocommit() {
            self.rollback_transaction();
        }
        Ok((answer?, LocalCommit::default()))
    }

    fn local_exec(&mut self, sql: &str, params: &[Value]) -> Result<(Answer, LocalCommit), StatementError> {
        self.begin_transaction()?;
        match statement::run(&self.database, sql, params) {
            Ok(answer) => Ok((answer, self.commit_transaction()?)),
            Err(error) => {
                self.rollback_transaction();
                Err(error)
            }
        }
    }

    /// Runs one statement that only reads.
    ///
    /// # Errors
    /// [`StatementError`], also for a statement that writes.
    pub fn query(&mut self, sql: &str, params: &[Value]) -> Result<Answer, StatementError> {
        self.database.snapshot(|database| Ok(statement::query(database, sql, params)))?
    }

    /// The tables that a statement reads, views resolved; for watching it.
    ///
    /// # Errors
    /// [`StatementError`].
    pub fn tables_read(&self, sql: &str) -> Result<Vec<String>, StatementError> {
        statement::tables_read(&self.database, sql)
    }

    fn pin(&mut self) -> Result<Version, Fault> {
        let before = self.database.largest_version()?.max(self.settled).max(self.acknowledged()?.version);
        self.database.pin_version(before)?;
        Ok(before)
    }

    /// Within the app's transaction, before its commit: remembers when it was made.
    fn record(&mut self, before: Version) -> Result<Vec<String>, Fault> {
        if self.database.conn.is_foreign() {
            foreign::mend(&self.database, before)?;
        }
        let tables = self.database.changed_above(before)?;
        if tables.is_empty() {
            return Ok(tables);
        }
        if state::is_read_only(&self.database.conn)? {
            let message = "this database may only be read: its server takes no changes from here".to_owned();
            return Err(Fault { kind: FaultKind::Forbidden, message });
        }
        if let Some(sentence) = self.database.unfit(before)? {
            return Err(internal(sentence));
        }
        let version = self.database.largest_version()?;
        upload::prepare(&mut self.database, version, self.prepared_may_be_sent)?;
        if state::rows(&self.database.conn, "greenlight_written")? < WRITTEN_LIMIT {
            let now_ms = self.database.wall_ms();
            let sql = "INSERT OR IGNORE INTO greenlight_written (version, wall_ms) VALUES (?1, ?2)";
            state::run(&self.database.conn, sql, (version.to_sql(), now_ms))?;
        }
        Ok(tables)
    }
}
