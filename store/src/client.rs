//! A client's database: local writes, the outbox, and what the session of a client asks of it.
//!
//! Where in the flow: steps 1, 2 and 8 of a write. Never moves a cursor but in the transaction of what it covers, and
//! never shows a session what an app's open transaction has not committed yet.

use greenlight_core::limits::DIGEST_PAGE_CHANGES;
use greenlight_core::replica::{
    Applied, Chunk, ClientState, ClientStore, DigestPage, DigestScope, DownloadPart, Fault, FaultKind, Outbox,
    ReadPosition, ReadRequest, UploadPlan,
};
use greenlight_core::{Bound, Cursor, Lineage, PackedKey, SchemaShape, Value, Version};
use rusqlite::Connection;

use crate::apply::{Failure, Poison};
use crate::database::{Database, OpenError, Role};
use crate::fault::{internal, out_of_order};
use crate::limits::WRITTEN_LIMIT;
use crate::options::Options;
use crate::schema::Schema;
use crate::state::{self, key};
use crate::statement::{self, Answer, StatementError};
use crate::{digest, foreign, identity, outbox, read, rewrite, upload};

/// What a local transaction did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalCommit {
    /// What is waiting now.
    pub outbox: Outbox,
    /// The synchronised tables that it changed, sorted by name.
    pub tables: Vec<String>,
}

/// A client's database.
pub struct ClientDatabase {
    pub(crate) database: Database,
    /// Above the acknowledgement and up to here there is no own change.
    pub(crate) settled: Version,
    /// Whether the bound that the last local commit prepared may have been sent; known not to be only right after it.
    prepared_may_be_sent: bool,
    /// The largest version when the app's open transaction began.
    open: Option<Version>,
}

impl ClientDatabase {
    /// Opens or creates a database, and brings it to `schema`.
    ///
    /// # Errors
    /// [`OpenError`]; a file that is there is left as it was.
    pub fn open(options: Options, schema: &Schema) -> Result<Self, OpenError> {
        let database = Database::open(options, schema, Role::Client)?;
        let settled = state::version(&database.conn, key::SETTLED)?;
        let mut client = Self { database, settled, prepared_may_be_sent: true, open: None };
        client.restamp_moved()?;
        Ok(client)
    }

    /// Opens a file with the schema that it was brought to last.
    ///
    /// # Errors
    /// [`OpenError`], also for a file that is no database of Greenlight's; it is left as it was.
    #[cfg(not(target_family = "wasm"))]
    pub fn reopen(options: Options) -> Result<Self, OpenError> {
        let schema = match &options.location {
            crate::Location::File(path) => crate::reader::schema_of(path)?,
            crate::Location::Memory => return Err(internal("only a file can be opened again").into()),
        };
        Self::open(options, &schema)
    }

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

    /// Own changes that wait, by table.
    ///
    /// # Errors
    /// Any [`Fault`].
    pub fn pending_by_table(&mut self) -> Result<Vec<(String, u64)>, Fault> {
        self.idle()?;
        let since = self.acknowledged()?.version.max(self.settled);
        let mut pending = Vec::new();
        for table in &self.database.tables {
            let count: i64 = state::one(&self.database.conn, &table.own, [since.to_sql()], |row| row.get(0))?;
            if count > 0 {
                pending.push((table.name.to_string(), count as u64));
            }
        }
        Ok(pending)
    }

    /// Takes note of what other processes have written into the file; whether they did.
    ///
    /// # Errors
    /// Any [`Fault`].
    pub fn notice_external(&mut self) -> Result<bool, Fault> {
        self.idle()?;
        let Some(others) = self.database.others_committed()? else { return Ok(false) };
        self.restamp_moved()?;
        self.database.noticed(others);
        Ok(true)
    }

    /// Mends what builds of cr-sqlite without our patches have written into the file.
    fn restamp_moved(&mut self) -> Result<(), Fault> {
        let settled = self.settled.max(self.acknowledged()?.version);
        if foreign::has_moved(&self.database, settled)? {
            self.database.transaction(|database| foreign::restamp_moved(database, settled))?;
        }
        Ok(())
    }

    /// A digest of each table, equal on two sites that hold the same rows with the same clocks.
    ///
    /// # Errors
    /// Any [`Fault`].
    pub fn digests(&mut self) -> Result<Vec<(String, [u8; 16])>, Fault> {
        self.idle()?;
        self.database.snapshot(|database| crate::digest::tables(database.view()))
    }

    /// Its synchronised tables with their columns.
    pub fn shape(&self) -> &SchemaShape {
        self.database.schema.shape()
    }

    /// The connection, for reading what no method here tells. Writes through it would go unnoticed.
    pub fn connection(&self) -> &Connection {
        &self.database.conn
    }

    fn pin(&mut self) -> Result<Version, Fault> {
        let before = self.database.largest_version()?.max(self.settled).max(self.acknowledged()?.version);
        self.database.pin_version(before)?;
        Ok(before)
    }

    /// Within the app's transaction, before its commit: remembers when it was made.
    fn record(&mut self, before: Version) -> Result<Vec<String>, Fault> {
        if self.database.conn.is_foreign() {
            foreign::restamp_moved(&self.database, before)?;
        }
        let tables = self.database.changed_above(before)?;
        if tables.is_empty() {
            return Ok(tables);
        }
        if let Some(sentence) = self.database.wide_key(before)? {
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

    pub(crate) fn acknowledged(&self) -> Result<Bound, Fault> {
        state::acknowledged(&self.database.conn)
    }

    /// A session sees only what is committed.
    pub(crate) fn idle(&self) -> Result<(), Fault> {
        if self.open.is_some() {
            let message = "an app's transaction is open".to_owned();
            return Err(Fault { kind: FaultKind::Busy, message });
        }
        Ok(())
    }

    fn write<T>(&mut self, work: impl FnOnce(&mut Database) -> Result<T, Fault>) -> Result<T, Fault> {
        self.idle()?;
        self.database.transaction(work)
    }

    /// Applies a part; `poison` are the changes that are left out.
    fn try_apply(&mut self, part: &DownloadPart, poison: &Poison) -> Result<(Applied, Vec<String>), Failure> {
        let settled = self.settled;
        self.database.transaction_or(|database| {
            if state::cursor(&database.conn)? != part.since {
                return Err(out_of_order("the cursor is not where this range begins").into());
            }
            let before = database.largest_version()?.max(settled);
            database.pin_version(before)?;
            let sender = state::followed(&database.conn)?.map(|lineage| lineage.site_id);
            let applied = database.apply_changes(&part.changes, sender, poison)?;
            state::set(&database.conn, key::TORN, !part.last)?;
            if part.last {
                state::set_cursor(&database.conn, part.until)?;
                state::set(&database.conn, key::SETTLED, settled.to_sql())?;
            }
            Ok((applied, database.changed_above(before)?))
        })
    }

    /// As [`ClientStore::apply`], and tells which synchronised tables were changed, sorted by name.
    ///
    /// # Errors
    /// Any [`Fault`]; nothing was changed.
    pub fn apply_part(&mut self, part: &DownloadPart) -> Result<(Applied, Outbox, Vec<String>), Fault> {
        self.idle()?;
        let mut poison = Poison::default();
        loop {
            match self.try_apply(part, &poison) {
                Ok((applied, tables)) => return Ok((applied, self.outbox()?, tables)),
                Err(Failure::Fault(fault)) => return Err(fault),
                Err(Failure::RolledBack(place)) => poison.add(place, &part.changes),
            }
        }
    }
}

impl ClientStore for ClientDatabase {
    fn load(&mut self) -> Result<ClientState, Fault> {
        let outbox = self.outbox()?;
        let conn = &self.database.conn;
        Ok(ClientState {
            site_id: conn.site()?,
            schema: self.database.schema.id().clone(),
            shape: self.database.schema.shape().clone(),
            lineage: state::followed(conn)?,
            cursor: state::cursor(conn)?,
            acknowledged: state::acknowledged(conn)?,
            outbox,
        })
    }

    fn outbox(&mut self) -> Result<Outbox, Fault> {
        self.idle()?;
        let mut settled = self.settled;
        let counted = self.database.snapshot(|database| {
            let acknowledged = state::acknowledged(&database.conn)?.version;
            outbox::count(database, acknowledged, &mut settled)
        })?;
        self.settled = settled;
        Ok(counted)
    }

    fn adopt(&mut self, lineage: Lineage, held: Bound) -> Result<(), Fault> {
        let settled = self.settled.min(held.version);
        self.write(|database| {
            let conn = &database.conn;
            let other = state::followed(conn)?.is_some_and(|followed| followed.epoch != lineage.epoch);
            if other && state::get::<bool>(conn, key::TORN)?.unwrap_or(false) {
                // The server went back to a backup while a range was on its way. What of that range is here may
                // exist nowhere else, and the cursor, which lies before it, can't tell: as after any fork, all is
                // offered. The session learns of it when the next part doesn't fit the cursor, and starts over.
                begin_again(conn)?;
                state::set(conn, key::MUST_OFFER, 1)?;
            }
            state::set(conn, key::SERVER, &lineage.site_id.0[..])?;
            state::set(conn, key::EPOCH, lineage.epoch.0 as i64)?;
            state::set(conn, key::SETTLED, settled.to_sql())?;
            state::set_acknowledged(conn, held)
        })?;
        self.settled = settled;
        Ok(())
    }

    fn was_sent(&mut self, bound: Bound) -> Result<bool, Fault> {
        self.idle()?;
        upload::was_sent(&self.database.conn, bound)
    }

    fn forget_cursor(&mut self) -> Result<(), Fault> {
        self.write(|database| {
            begin_again(&database.conn)?;
            state::set(&database.conn, key::MUST_OFFER, 1)
        })
    }

    fn become_new_site(&mut self) -> Result<(), Fault> {
        self.write(|database| {
            let acknowledged = state::acknowledged(&database.conn)?.version;
            let site = database.fresh_site();
            identity::leave_site(database, site, acknowledged)?;
            upload::forget(&database.conn)?;
            begin_again(&database.conn)?;
            state::set(&database.conn, key::SETTLED, 0)?;
            state::set_acknowledged(&database.conn, Bound::ZERO)
        })?;
        self.settled = Version::ZERO;
        Ok(())
    }

    fn begin_upload(&mut self) -> Result<UploadPlan, Fault> {
        let head = self.outbox()?.head;
        let settled = self.settled;
        self.prepared_may_be_sent = true;
        if let Some(plan) = upload::ready(&self.database.conn, head, settled)? {
            return Ok(plan);
        }
        self.write(|database| upload::begin(database, head, settled))
    }

    fn read(&mut self, request: &ReadRequest) -> Result<Chunk, Fault> {
        self.idle()?;
        self.database.snapshot(|database| {
            let head = Cursor { version: database.largest_version()?, ..Cursor::ZERO };
            let mut counted = std::mem::take(&mut database.counted);
            let chunk = read::page(database.view(), request, head, &mut counted);
            database.counted = counted;
            chunk
        })
    }

    fn acknowledge(&mut self, bound: Bound) -> Result<Outbox, Fault> {
        if !self.was_sent(bound)? {
            return Err(out_of_order("a bound was acknowledged that was never sent"));
        }
        let settled = self.settled;
        self.write(|database| {
            let conn = &database.conn;
            if bound.version < state::acknowledged(conn)?.version {
                return Err(out_of_order("a bound was acknowledged that lies below the last one"));
            }
            state::run(conn, "DELETE FROM greenlight_written WHERE version <= ?1", [bound.version.to_sql()])?;
            state::set(conn, key::SETTLED, settled.max(bound.version).to_sql())?;
            upload::acknowledged(conn, bound)?;
            state::set_acknowledged(conn, bound)
        })?;
        self.settled = settled.max(bound.version);
        self.outbox()
    }

    fn apply(&mut self, part: &DownloadPart) -> Result<(Applied, Outbox), Fault> {
        self.apply_part(part).map(|(applied, outbox, _)| (applied, outbox))
    }

    fn digest(&mut self, scope: &DigestScope, after: Option<&ReadPosition>) -> Result<DigestPage, Fault> {
        self.idle()?;
        let (sums, next) =
            self.database.snapshot(|database| digest::page(database.view(), scope, after, DIGEST_PAGE_CHANGES))?;
        Ok(DigestPage { sums: sums.into_iter().collect(), next })
    }

    fn rewrite(&mut self, rows: &[(String, PackedKey)]) -> Result<Outbox, Fault> {
        self.idle()?;
        self.begin_transaction()?;
        let written = rows.iter().try_for_each(|(table, key)| rewrite::row(&self.database, table, key));
        match written.and_then(|()| self.commit_transaction()) {
            Ok(commit) => Ok(commit.outbox),
            Err(fault) => {
                self.rollback_transaction();
                Err(fault)
            }
        }
    }
}

/// Sets the cursor to zero in a database that holds more than that says.
fn begin_again(conn: &Connection) -> Result<(), Fault> {
    state::set(conn, key::TORN, true)?;
    state::set_cursor(conn, Cursor::ZERO)
}
