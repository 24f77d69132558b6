//! A client's database: local writes, the outbox, and what the session of a client asks of it.
//!
//! Where in the flow: steps 1, 2 and 8 of a write. Never moves a cursor but in the transaction of what it covers, and
//! never shows a session what an app's open transaction has not committed yet.

use greenlight_core::limits::DIGEST_PAGE_CHANGES;
use greenlight_core::replica::{
    Applied, Chunk, ClientState, ClientStore, DigestPage, DigestScope, DownloadPart, Fault, FaultKind, Outbox,
    ReadPosition, ReadRequest, UploadPlan,
};
use greenlight_core::{Bound, Cursor, Lineage, PackedKey, SchemaShape, Version};
use rusqlite::Connection;

use crate::apply::{Failure, Poison};
use crate::database::{Database, OpenError, Role};
use crate::fault::out_of_order;
use crate::options::Options;
use crate::schema::Schema;
use crate::state::{self, key};
use crate::{digest, foreign, identity, outbox, read, rewrite, upload};

/// [`key::TORN`] while a range comes in parts, of which the last is not applied yet.
const TORN_IN_PARTS: i64 = 2;

/// A client's database.
pub struct ClientDatabase {
    pub(crate) database: Database,
    /// Above the acknowledgement and up to here there is no own change.
    pub(crate) settled: Version,
    /// Whether the bound that the last local commit prepared may have been sent; known not to be only right after it.
    pub(crate) prepared_may_be_sent: bool,
    /// The largest version when the app's open transaction began.
    pub(crate) open: Option<Version>,
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
        client.mend()?;
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
            crate::Location::Memory => return Err(crate::fault::internal("only a file can be opened again").into()),
        };
        Self::open(options, &schema)
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
        self.mend()?;
        self.database.noticed(others);
        Ok(true)
    }

    /// Mends what builds of cr-sqlite without our patches have written into the file.
    fn mend(&mut self) -> Result<(), Fault> {
        let settled = self.settled.max(self.acknowledged()?.version);
        if foreign::is_to_be_mended(&self.database, settled)? {
            self.database.transaction(|database| foreign::mend(database, settled))?;
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
            let torn = state::get::<i64>(&database.conn, key::TORN)?.unwrap_or(0);
            // What was written again between the parts' readings lies above the range, and what it replaced was not
            // in it: only a range that was read at once brings everything up to its end.
            let torn = if !part.last { TORN_IN_PARTS } else { i64::from(torn == TORN_IN_PARTS) };
            state::set(&database.conn, key::TORN, torn)?;
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
            read_only: state::is_read_only(conn)?,
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

    fn adopt(&mut self, lineage: Lineage, held: Bound, may_write: bool) -> Result<(), Fault> {
        let settled = self.settled.min(held.version);
        self.write(|database| {
            let conn = &database.conn;
            let other = state::followed(conn)?.is_some_and(|followed| followed.epoch != lineage.epoch);
            if other && state::get::<i64>(conn, key::TORN)?.is_some_and(|torn| torn != 0) {
                // The server went back to a backup while a range was on its way. What of that range is here may
                // exist nowhere else, and the cursor, which lies before it, can't tell: as after any fork, all is
                // offered. The session learns of it when the next part doesn't fit the cursor, and starts over.
                begin_again(conn)?;
                state::set(conn, key::MUST_OFFER, 1)?;
            }
            state::set(conn, key::SERVER, &lineage.site_id.0[..])?;
            state::set(conn, key::EPOCH, lineage.epoch.0 as i64)?;
            state::set(conn, key::READ_ONLY, i64::from(!may_write))?;
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

    fn probe(&mut self) -> Result<(), Fault> {
        self.idle()?;
        let now_ms = self.database.wall_ms();
        self.write(|database| state::set(&database.conn, key::PROBE, now_ms))
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
    state::set(conn, key::TORN, 1)?;
    state::set_cursor(conn, Cursor::ZERO)
}
