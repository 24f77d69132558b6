//! A reading connection to a server's file: facts and pages, beside the writer.
//!
//! Where in the flow: handshakes and fan-out on other threads than the writer's. It has no cr-sqlite, so nothing of
//! it can go stale, and it can't write.

use std::path::{Path, PathBuf};

use greenlight_core::limits::PART_TARGET_BYTES;
use greenlight_core::replica::{Chunk, DigestScope, Digests, Fault, PeerFacts, ReadRequest, ServerFacts};
use greenlight_core::{Cursor, SiteId};

use crate::aside::{self, Shelf, Shelved};
use crate::connection::Connection;
use crate::fault::{from_sqlite, internal};
use crate::read::{Counted, View};
use crate::schema::Schema;
use crate::state::{self, key};
use crate::tables::{TableSql, tables};
use crate::{facts, read};

/// A reading connection.
pub struct ServerReader {
    conn: Connection,
    path: PathBuf,
    schema: Schema,
    tables: Vec<TableSql>,
    counted: Counted,
    schema_version: i64,
}

impl ServerReader {
    /// Opens a file that a [`ServerDatabase`](crate::ServerDatabase) has opened before.
    ///
    /// # Errors
    /// Any [`Fault`].
    pub fn open(path: &Path) -> Result<Self, Fault> {
        let conn = Connection::open_reader(path)?;
        let schema_version = conn.schema_version()?;
        let schema = stored_schema(&conn)?;
        let tables = tables(&schema);
        Ok(Self { conn, path: path.to_owned(), schema, tables, counted: Counted::default(), schema_version })
    }

    /// What this database is.
    ///
    /// # Errors
    /// Any [`Fault`]. The same holds for every method here.
    pub fn facts(&mut self) -> Result<ServerFacts, Fault> {
        self.snapshot(|reader| facts::server(&reader.conn, reader.schema.id().clone(), reader.schema.shape().clone()))
    }

    /// What it knows of a client.
    pub fn peer(&mut self, site: SiteId, cursor: Cursor) -> Result<PeerFacts, Fault> {
        self.snapshot(|reader| facts::peer(&reader.conn, site, cursor))
    }

    /// Reads a page.
    pub fn read(&mut self, request: &ReadRequest) -> Result<Chunk, Fault> {
        self.snapshot(|reader| {
            let head = state::head(&reader.conn)?;
            let view = View { conn: &reader.conn, tables: &reader.tables, part_bytes: PART_TARGET_BYTES };
            read::server_page(view, request, head, &mut reader.counted)
        })
    }

    /// A digest of each table.
    pub fn digests(&mut self) -> Result<Vec<(String, [u8; 16])>, Fault> {
        self.snapshot(|reader| {
            crate::digest::tables(View { conn: &reader.conn, tables: &reader.tables, part_bytes: PART_TARGET_BYTES })
        })
    }

    /// Digests everything of a scope; without sums while something is in quarantine: its author has it.
    pub fn digest(&mut self, scope: &DigestScope) -> Result<Digests, Fault> {
        self.snapshot(|reader| {
            let view = View { conn: &reader.conn, tables: &reader.tables, part_bytes: PART_TARGET_BYTES };
            crate::digest::whole(view, scope, state::head(&reader.conn)?)
        })
    }

    /// What is kept aside, at most `limit` without the first `offset`, in the order of tables and keys.
    pub fn shelved(&mut self, shelf: Shelf, offset: usize, limit: usize) -> Result<Vec<Shelved>, Fault> {
        self.snapshot(|reader| aside::list(&reader.conn, shelf, offset, limit))
    }

    /// How many changes are kept aside.
    pub fn shelf_count(&mut self, shelf: Shelf) -> Result<u64, Fault> {
        self.snapshot(|reader| aside::count(&reader.conn, shelf))
    }

    /// How many deleted rows the clocks remember. Reads all of them, so it takes its time.
    pub fn tombstones(&mut self) -> Result<u64, Fault> {
        self.snapshot(|reader| {
            let count = |table: &TableSql| reader.conn.query_row(&table.tombstones(), [], |row| row.get::<_, i64>(0));
            let counts = reader.tables.iter().map(count).collect::<Result<Vec<_>, _>>().map_err(from_sqlite)?;
            Ok(counts.into_iter().map(|count| u64::try_from(count).unwrap_or(0)).sum())
        })
    }

    /// Writes a consistent copy of the file to `target`, which must not exist, and tells the copy's head.
    pub fn snapshot_to(&mut self, target: &Path) -> Result<Cursor, Fault> {
        self.snapshot(|reader| crate::snapshot::copy(&reader.conn, target))
    }

    /// The connection, for reading what no method here tells.
    pub fn connection(&self) -> &rusqlite::Connection {
        &self.conn
    }

    fn snapshot<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        if self.conn.schema_version()? != self.schema_version {
            *self = Self::open(&self.path)?;
        }
        self.conn.execute_batch("BEGIN").map_err(from_sqlite)?;
        let result = work(self);
        self.conn.execute_batch("COMMIT").map_err(from_sqlite)?;
        result
    }
}

impl greenlight_core::replica::ServerStore for ServerReader {
    fn facts(&mut self) -> Result<ServerFacts, Fault> {
        ServerReader::facts(self)
    }

    fn peer(&mut self, site: SiteId, cursor: Cursor) -> Result<PeerFacts, Fault> {
        ServerReader::peer(self, site, cursor)
    }

    fn read(&mut self, request: &ReadRequest) -> Result<Chunk, Fault> {
        ServerReader::read(self, request)
    }

    fn apply(
        &mut self,
        _parts: &[greenlight_core::replica::UploadPart],
    ) -> Result<Vec<Result<greenlight_core::replica::Applied, Fault>>, Fault> {
        Err(internal("a reader can't write"))
    }

    fn digest(&mut self, scope: &DigestScope) -> Result<Digests, Fault> {
        ServerReader::digest(self, scope)
    }
}

/// The schema that a file's database was brought to last.
pub(crate) fn schema_of(path: &Path) -> Result<Schema, Fault> {
    let conn = Connection::open_reader(path)?;
    stored_schema(&conn)
}

pub(crate) fn stored_schema(conn: &rusqlite::Connection) -> Result<Schema, Fault> {
    let text: Option<String> = state::get(conn, key::SCHEMA)?;
    let text = text.ok_or_else(|| internal("the file is not a database of Greenlight's yet"))?;
    Schema::parse(&text).map_err(|error| internal(error.to_string()))
}
