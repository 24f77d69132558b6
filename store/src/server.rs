//! A server's database: the one writing connection, and what the sessions of a server ask of it.
//!
//! Where in the flow: steps 5 and 6 of a write, on the database's writer thread. An answer is given only after the
//! commit is on disk. Never numbers two commits alike: head and tag are stored in the transaction that they name.

use greenlight_core::replica::{
    Applied, Chunk, DigestScope, Digests, Fault, PeerFacts, ReadRequest, ServerFacts, ServerStore, UploadPart,
};
use greenlight_core::{Cursor, Epoch, Lineage, SiteId, Value};
use rusqlite::Connection;

use crate::apply::{Failure, Poison};
use crate::aside::{self, Shelf, Shelved};
use crate::crash::{self, Point};
use crate::database::{Database, OpenError, Role};
use crate::limits::{PEER_LIMIT, TAG_LIMIT, TAG_PRUNE_EVERY};
use crate::options::Options;
use crate::schema::Schema;
use crate::state::{self, key};
use crate::statement::{self, Answer, StatementError};
use crate::{facts, foreign, identity, read};

/// One thing for the writer to do.
#[derive(Clone, Debug)]
pub enum Work {
    /// A part of a client's range.
    Upload(UploadPart),
    /// An operator's or the server app's SQL: one statement with parameters, several without.
    Exec {
        /// The text.
        sql: String,
        /// Its parameters.
        params: Vec<Value>,
    },
}

/// What became of it. An error means that nothing of it was done; other work of the same commit was.
#[derive(Clone, Debug)]
pub enum Done {
    /// Of an upload.
    Upload(Result<Applied, Fault>),
    /// Of a statement.
    Exec(Result<Answer, StatementError>),
}

/// A batch, committed.
#[derive(Clone, Debug)]
pub struct Committed {
    /// For each work, in order.
    pub done: Vec<Done>,
    /// The head before it.
    pub before: Cursor,
    /// The head after it; equal where no synchronised row was changed.
    pub head: Cursor,
    /// The synchronised tables that were changed, sorted by name.
    pub tables: Vec<String>,
}

/// How far a transaction moved the head, and over which tables.
#[derive(Debug)]
pub(crate) struct Moved {
    before: Cursor,
    head: Cursor,
    tables: Vec<String>,
}

/// A server's database.
pub struct ServerDatabase {
    database: Database,
    commits: u64,
}

impl ServerDatabase {
    /// Opens or creates a database, brings it to `schema`, and takes note of what was written into the file while it
    /// was closed.
    ///
    /// # Errors
    /// [`OpenError`]; a file that is there is left as it was.
    pub fn open(options: Options, schema: &Schema) -> Result<Self, OpenError> {
        let mut database = Database::open(options, schema, Role::Server)?;
        if state::get::<i64>(&database.conn, key::EPOCH)?.is_none() {
            let epoch = (database.options.random)();
            database.transaction(|database| state::set(&database.conn, key::EPOCH, epoch as i64))?;
            crash::point(Point::EpochCommitted);
        }
        let mut server = Self { database, commits: 0 };
        server.take_note()?;
        Ok(server)
    }

    /// Does all of `work` in one durable transaction. Where a change can't be applied, or something rolls the whole
    /// transaction back, each is done in one of its own instead, carefully.
    ///
    /// # Errors
    /// Any [`Fault`]; nothing was committed.
    pub fn commit(&mut self, work: &[Work]) -> Result<Committed, Fault> {
        match self.try_commit(work, &Poison::default()) {
            Ok(committed) => Ok(committed),
            Err(Failure::Fault(fault)) => Err(fault),
            Err(Failure::RolledBack(_)) => self.commit_one_by_one(work),
        }
    }

    fn commit_one_by_one(&mut self, work: &[Work]) -> Result<Committed, Fault> {
        let before = self.head()?;
        let mut all = Committed { done: Vec::new(), before, head: before, tables: Vec::new() };
        for one in work {
            let mut poison = Poison::careful();
            // Ends: each round leaves out one more change, and a statement is refused at its first.
            let committed = loop {
                match (self.try_commit(std::slice::from_ref(one), &poison), one) {
                    (Ok(committed), _) => break Ok(committed),
                    (Err(Failure::Fault(fault)), _) => break Err(fault),
                    (Err(Failure::RolledBack(place)), Work::Upload(part)) => poison.add(place, &part.changes),
                    (Err(Failure::RolledBack(_)), Work::Exec { .. }) => {
                        let message = "the statement rolled the transaction back".to_owned();
                        let done = vec![Done::Exec(Err(StatementError::Sql(message)))];
                        break Ok(Committed { done, before: all.head, head: all.head, tables: Vec::new() });
                    }
                }
            };
            match committed {
                Ok(committed) => {
                    all.done.extend(committed.done);
                    all.head = committed.head;
                    all.tables.extend(committed.tables);
                }
                // Some are committed: only this one's sender may be told that it is not.
                Err(fault) => all.done.push(match one {
                    Work::Upload(_) => Done::Upload(Err(fault)),
                    Work::Exec { .. } => Done::Exec(Err(fault.into())),
                }),
            }
        }
        all.tables.sort_unstable();
        all.tables.dedup();
        Ok(all)
    }

    fn try_commit(&mut self, work: &[Work], poison: &Poison) -> Result<Committed, Failure> {
        let points = match work.first() {
            Some(Work::Exec { .. }) => [Point::ExecBeforeCommit, Point::ExecCommitted],
            Some(Work::Upload(_)) | None => [Point::UploadBeforeCommit, Point::UploadCommitted],
        };
        let framed = self.framed(points, |database, before| {
            let mut done = Vec::with_capacity(work.len());
            for one in work {
                done.push(match one {
                    Work::Upload(part) => Done::Upload(upload(database, part, poison)?),
                    Work::Exec { sql, params } => {
                        let answer = statement::in_savepoint(database, sql, params, Some(before.version));
                        if database.conn.is_autocommit() {
                            return Err(Failure::RolledBack(0));
                        }
                        Done::Exec(answer)
                    }
                });
            }
            Ok::<_, Failure>(done)
        });
        let (done, Moved { before, head, tables }) = framed?;
        Ok(Committed { done, before, head, tables })
    }

    /// Does `work` in a durable transaction that takes note of what others wrote, numbers what it writes itself above
    /// everything, and moves the head over both.
    pub(crate) fn framed<T, E: From<Fault>>(
        &mut self,
        [before_commit, committed]: [Point; 2],
        work: impl FnOnce(&mut Database, Cursor) -> Result<T, E>,
    ) -> Result<(T, Moved), E> {
        self.commits += 1;
        let prunes = self.commits.is_multiple_of(TAG_PRUNE_EVERY);
        let (done, moved, others) = self.database.transaction_or(|database| {
            let before = state::head(&database.conn)?;
            // Asked within the transaction: nobody can commit between this and our own commit.
            let others = database.others_committed()?;
            if others.is_some() {
                foreign::mend(database, before.version)?;
            }
            database.pin_version(before.version.max(database.largest_version()?))?;
            let done = work(database, before)?;
            if database.conn.is_foreign() {
                foreign::mend(database, before.version)?;
            }
            let (head, tables) = move_head(database, before)?;
            if prunes {
                prune(&database.conn)?;
            }
            crash::point(before_commit);
            Ok::<_, E>((done, Moved { before, head, tables }, others))
        })?;
        crash::point(committed);
        if let Some(others) = others {
            self.database.noticed(others);
        }
        Ok((done, moved))
    }

    /// Takes note of what other processes have written into the file: gives it a tag and makes it the head. Whether
    /// the head moved. Cheap when nobody did.
    ///
    /// # Errors
    /// Any [`Fault`].
    pub fn notice_external(&mut self) -> Result<bool, Fault> {
        let Some(others) = self.database.others_committed()? else { return Ok(false) };
        let moved = self.take_note()?;
        self.database.noticed(others);
        Ok(moved)
    }

    fn take_note(&mut self) -> Result<bool, Fault> {
        if self.database.largest_version()? <= self.head()?.version {
            return Ok(false);
        }
        let moved = self.database.transaction(|database| {
            let before = state::head(&database.conn)?;
            foreign::mend(database, before.version)?;
            let moved = move_head(database, before)?.0 != before;
            crash::point(Point::NoteBeforeCommit);
            Ok(moved)
        })?;
        crash::point(Point::NoteCommitted);
        Ok(moved)
    }

    /// A real, durable commit, to prove that the writer can.
    ///
    /// # Errors
    /// Any [`Fault`]: why it can't.
    pub fn probe(&mut self) -> Result<(), Fault> {
        let now_ms = self.database.wall_ms();
        self.database.transaction(|database| state::set(&database.conn, key::PROBE, now_ms))
    }

    /// Drops all data and all that was remembered, and becomes another database with the same schema: another site
    /// id, another epoch, head zero.
    ///
    /// # Errors
    /// Any [`Fault`]; nothing was changed.
    pub fn reset(&mut self) -> Result<Lineage, Fault> {
        let lineage = self.database.transaction(|database| {
            let site_id = database.fresh_site();
            identity::begin_anew(database, site_id)?;
            let epoch = Epoch((database.options.random)());
            state::set(&database.conn, key::EPOCH, epoch.0 as i64)?;
            crash::point(Point::ResetBeforeCommit);
            Ok(Lineage { site_id, epoch })
        })?;
        crash::point(Point::ResetCommitted);
        Ok(lineage)
    }

    /// Takes another epoch: what is done after the file was put back from a backup, so that clients which have seen
    /// more notice and offer it again.
    ///
    /// # Errors
    /// Any [`Fault`]; nothing was changed.
    pub fn renew_epoch(&mut self) -> Result<Lineage, Fault> {
        self.database.transaction(|database| {
            let epoch = Epoch((database.options.random)());
            state::set(&database.conn, key::EPOCH, epoch.0 as i64)?;
            facts::lineage(&database.conn)
        })
    }

    /// Leaves the log as it is when this is closed: it is not the log of the file any more.
    ///
    /// # Errors
    /// Any [`Fault`].
    pub fn abandon_log(&self) -> Result<(), Fault> {
        let keep = rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
        self.database.conn.set_db_config(keep, true).map(drop).map_err(crate::fault::from_sqlite)
    }

    /// Writes all that the log holds into the file, for a log that has lost its name. Waits for those who still read.
    ///
    /// # Errors
    /// [`FaultKind::Busy`](greenlight_core::replica::FaultKind::Busy) where some of it could not be written for too
    /// long; any other [`Fault`].
    pub fn rescue_log(&self) -> Result<(), Fault> {
        let sql = "PRAGMA wal_checkpoint(FULL)";
        let done = self
            .database
            .conn
            .query_row(sql, [], |row| Ok(row.get::<_, i64>(0)? == 0 && row.get::<_, i64>(1)? == row.get::<_, i64>(2)?));
        if done.map_err(crate::fault::from_sqlite)? {
            return Ok(());
        }
        let message = "somebody reads what is older than the end of the log".to_owned();
        Err(Fault { kind: greenlight_core::replica::FaultKind::Busy, message })
    }

    /// The head: everything up to it is noticed, tagged and on disk.
    ///
    /// # Errors
    /// Any [`Fault`].
    pub fn head(&mut self) -> Result<Cursor, Fault> {
        state::head(&self.database.conn)
    }

    /// A digest of each table, as a client's.
    ///
    /// # Errors
    /// Any [`Fault`].
    pub fn digests(&mut self) -> Result<Vec<(String, [u8; 16])>, Fault> {
        self.database.snapshot(|database| crate::digest::tables(database.view()))
    }

    /// What is kept aside, at most `limit`.
    ///
    /// # Errors
    /// Any [`Fault`].
    pub fn shelved(&self, shelf: Shelf, limit: usize) -> Result<Vec<Shelved>, Fault> {
        aside::list(&self.database.conn, shelf, 0, limit)
    }

    /// The connection, for reading what no method here tells. Writes through it would not be served.
    pub fn connection(&self) -> &Connection {
        &self.database.conn
    }
}

impl ServerStore for ServerDatabase {
    fn facts(&mut self) -> Result<ServerFacts, Fault> {
        let (schema, shape) = (self.database.schema.id().clone(), self.database.schema.shape().clone());
        self.database.snapshot(|database| facts::server(&database.conn, schema, shape))
    }

    fn peer(&mut self, site: SiteId, cursor: Cursor) -> Result<PeerFacts, Fault> {
        self.database.snapshot(|database| facts::peer(&database.conn, site, cursor))
    }

    fn read(&mut self, request: &ReadRequest) -> Result<Chunk, Fault> {
        self.database.snapshot(|database| {
            let head = state::head(&database.conn)?;
            let mut counted = std::mem::take(&mut database.counted);
            let chunk = read::server_page(database.view(), request, head, &mut counted);
            database.counted = counted;
            chunk
        })
    }

    fn apply(&mut self, parts: &[UploadPart]) -> Result<Vec<Result<Applied, Fault>>, Fault> {
        let work: Vec<Work> = parts.iter().cloned().map(Work::Upload).collect();
        let uploads = self.commit(&work)?.done.into_iter().filter_map(|done| match done {
            Done::Upload(result) => Some(result),
            Done::Exec(_) => None,
        });
        Ok(uploads.collect())
    }

    fn digest(&mut self, scope: &DigestScope) -> Result<Digests, Fault> {
        self.database.snapshot(|database| {
            let at = state::head(&database.conn)?;
            crate::digest::whole(database.view(), scope, at)
        })
    }
}

/// Keeps the remembered tags and peers within their limits. Part of a commit, so that its failure is the commit's.
fn prune(conn: &Connection) -> Result<(), Fault> {
    let tags = "DELETE FROM greenlight_tag WHERE version <= (SELECT version FROM greenlight_tag
                ORDER BY version DESC LIMIT 1 OFFSET ?1)";
    state::run(conn, tags, [TAG_LIMIT as i64])?;
    let peers = "DELETE FROM greenlight_peer WHERE seen_ms < (SELECT seen_ms FROM greenlight_peer
                 ORDER BY seen_ms DESC LIMIT 1 OFFSET ?1)";
    state::run(conn, peers, [PEER_LIMIT as i64]).map(drop)
}

/// Applies a part in the open transaction; the inner error is this part's own.
fn upload(database: &mut Database, part: &UploadPart, poison: &Poison) -> Result<Result<Applied, Fault>, Failure> {
    let held = facts::held(&database.conn, part.site)?;
    if part.since > held.version {
        return Ok(Err(crate::fault::out_of_order("the range begins above what is held of this client")));
    }
    let applied = database.apply_changes(&part.changes, Some(part.site), poison)?;
    if part.last {
        let sql = "INSERT OR REPLACE INTO greenlight_peer (site, bound, tag, seen_ms) VALUES (?1, ?2, ?3, ?4)";
        let now_ms = database.wall_ms();
        let (bound, tag) = (part.until.version.to_sql(), part.until.tag.to_sql());
        state::run(&database.conn, sql, (&part.site.0[..], bound, tag, now_ms))?;
    }
    Ok(Ok(applied))
}

/// Stores a new head with a fresh tag where versions were added, and tells which tables have them.
fn move_head(database: &mut Database, before: Cursor) -> Result<(Cursor, Vec<String>), Fault> {
    let version = database.largest_version()?;
    if version <= before.version {
        return Ok((before, Vec::new()));
    }
    let head = Cursor { version, tag: database.fresh_tag() };
    store_head(&database.conn, head)?;
    Ok((head, database.changed_above(before.version)?))
}

/// Stores a head and its tag.
pub(crate) fn store_head(conn: &Connection, head: Cursor) -> Result<(), Fault> {
    let sql = "INSERT OR REPLACE INTO greenlight_tag (version, tag) VALUES (?1, ?2)";
    state::run(conn, sql, (head.version.to_sql(), head.tag.to_sql()))?;
    state::set_head(conn, head)
}
