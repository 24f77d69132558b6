//! One connection: opened, set up for durability, given cr-sqlite, and closed in order.
//!
//! Where in the flow: below every database. Never knows schemas or positions.

use std::ops::Deref;
use std::path::Path;

use greenlight_core::SiteId;
use greenlight_core::limits::MAX_VALUE_BYTES;
use greenlight_core::replica::Fault;
use rusqlite::OpenFlags;
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;

use crate::crash::{self, Point};
use crate::fault::{from_sqlite, internal};
use crate::guard::Guard;
use crate::limits::{BUSY_TIMEOUT, CACHE_KIB, SQL_BYTES, SQL_PARAMETERS, STATEMENT_CACHE};
use crate::options::Location;

/// What the store itself may write: rows that grew by merges of values which were each within their limit.
const ROW_BYTES: i32 = 4 * MAX_VALUE_BYTES as i32;

/// Whether a file may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// What isn't there is made.
    First,
    /// It was open a moment ago: if it is gone, or was emptied, nothing is made in its place.
    Again,
}

/// An open connection with cr-sqlite, or a reading one without.
#[derive(Debug)]
pub(crate) struct Connection {
    conn: rusqlite::Connection,
    /// Judges the statements of apps while they are prepared.
    pub(crate) guard: Guard,
    has_crsqlite: bool,
    /// Another build of cr-sqlite, without our patches.
    is_foreign: bool,
}

impl Connection {
    /// Opens for writing; creates what isn't there, with `fresh_site` as the identity of a new database.
    pub(crate) fn open(
        location: &Location,
        extension: Option<&Path>,
        fresh_site: SiteId,
        opening: Opening,
    ) -> Result<Self, Fault> {
        let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        flags.set(OpenFlags::SQLITE_OPEN_CREATE, opening == Opening::First);
        let conn = match location {
            Location::Memory => rusqlite::Connection::open_in_memory(),
            Location::File(path) => rusqlite::Connection::open_with_flags(path, flags),
        };
        let mut connection = Self::set_up(conn.map_err(from_sqlite)?)?;
        connection.make_durable().map_err(from_sqlite)?;
        if connection.has_identity().map_err(from_sqlite)? {
            connection.load_crsqlite(extension)?;
        } else if opening == Opening::First {
            connection.found(extension, fresh_site)?;
        } else {
            return Err(internal("the database is not the one that was open"));
        }
        Ok(connection)
    }

    /// Opens a file that exists, for reading alone and without cr-sqlite: clocks are ordinary tables.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn open_reader(path: &Path) -> Result<Self, Fault> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Self::set_up(rusqlite::Connection::open_with_flags(path, flags).map_err(from_sqlite)?)?;
        connection.execute_batch("PRAGMA query_only = ON").map_err(from_sqlite)?;
        Ok(connection)
    }

    fn set_up(mut conn: rusqlite::Connection) -> Result<Self, Fault> {
        let guard = Guard::install(&mut conn).map_err(from_sqlite)?;
        conn.busy_timeout(BUSY_TIMEOUT).map_err(from_sqlite)?;
        conn.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
        // Without it SQLite prepares a cached statement anew whenever another value is bound to it.
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(from_sqlite)?;
        let limits = [
            (Limit::SQLITE_LIMIT_LENGTH, ROW_BYTES),
            (Limit::SQLITE_LIMIT_SQL_LENGTH, SQL_BYTES as i32),
            (Limit::SQLITE_LIMIT_VARIABLE_NUMBER, SQL_PARAMETERS as i32),
        ];
        for (limit, value) in limits {
            conn.set_limit(limit, value).map_err(from_sqlite)?;
        }
        // Before anything is read of the file: a log without shared memory can only be opened this way.
        #[cfg(target_family = "wasm")]
        conn.execute_batch("PRAGMA locking_mode = EXCLUSIVE").map_err(from_sqlite)?;
        conn.execute_batch(&format!(
            "PRAGMA foreign_keys = OFF; PRAGMA recursive_triggers = OFF; PRAGMA cache_size = -{CACHE_KIB};
             PRAGMA trusted_schema = ON;"
        ))
        .map_err(from_sqlite)?;
        Ok(Self { conn, guard, has_crsqlite: false, is_foreign: false })
    }

    /// Writes that would make the file larger fail from now on as on a full disk. One that is larger already stays.
    pub(crate) fn limit_size(&self, bytes: u64) -> Result<(), Fault> {
        let pages = bytes / self.number("PRAGMA page_size")?.max(1) as u64;
        self.number(&format!("PRAGMA max_page_count = {pages}")).map(drop)
    }

    #[cfg(not(target_family = "wasm"))]
    fn make_durable(&self) -> rusqlite::Result<()> {
        use crate::limits::LOG_BYTES;
        self.execute_batch(&format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = {LOG_BYTES};"
        ))
    }

    /// A browser's file system has no shared memory, which a write-ahead log needs unless one connection has the file
    /// to itself. With the log a commit costs one flush instead of four.
    #[cfg(target_family = "wasm")]
    fn make_durable(&self) -> rusqlite::Result<()> {
        use crate::limits::LOG_BYTES;
        self.execute_batch(&format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = {LOG_BYTES};"
        ))
    }

    /// Whether cr-sqlite has made its tables here, all of them.
    fn has_identity(&self) -> rusqlite::Result<bool> {
        let both = "SELECT count(*) = 2 FROM sqlite_schema WHERE name IN ('crsql_site_id', 'crsql_master')";
        let version = "SELECT EXISTS (SELECT 1 FROM crsql_master WHERE key = 'crsqlite_version')";
        Ok(self.query_row(both, [], |row| row.get(0))? && self.query_row(version, [], |row| row.get(0))?)
    }

    /// Makes cr-sqlite's tables, as one transaction: it makes them one by one, and takes what it was cut off in for a
    /// database of a version that it can't open. Such a one is mended here.
    fn found(&mut self, extension: Option<&Path>, fresh_site: SiteId) -> Result<(), Fault> {
        crash::point(Point::FoundBegun);
        self.execute_batch("BEGIN IMMEDIATE").map_err(from_sqlite)?;
        let made = self.plant_site(fresh_site).map_err(from_sqlite).and_then(|()| self.load_crsqlite(extension));
        crash::point(Point::FoundBeforeCommit);
        let committed = made.and_then(|()| self.execute_batch("COMMIT").map_err(from_sqlite));
        if committed.is_err() && !self.is_autocommit() {
            // When it fails, SQLite has rolled back already, which is what is wanted.
            drop(self.execute_batch("ROLLBACK"));
        }
        crash::point(Point::FoundCommitted);
        committed
    }

    /// cr-sqlite keeps an identity that it finds and draws one where it finds none; drawn here, it is injected.
    fn plant_site(&self, site: SiteId) -> rusqlite::Result<()> {
        let is_there = |name: &str| {
            let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = ?)";
            self.query_row(sql, [name], |row| row.get::<_, bool>(0))
        };
        if is_there("crsql_master")? && self.query_row("SELECT count(*) = 0 FROM crsql_master", [], |row| row.get(0))? {
            self.execute_batch("DROP TABLE crsql_master")?;
        }
        if is_there("crsql_site_id")? {
            return Ok(());
        }
        self.execute_batch(
            "CREATE TABLE crsql_site_id (site_id BLOB NOT NULL, ordinal INTEGER PRIMARY KEY);
             CREATE UNIQUE INDEX crsql_site_id_site_id ON crsql_site_id (site_id);",
        )?;
        self.execute("INSERT INTO crsql_site_id (site_id, ordinal) VALUES (?, 0)", [&site.0[..]])?;
        Ok(())
    }

    fn load_crsqlite(&mut self, extension: Option<&Path>) -> Result<(), Fault> {
        match extension {
            None => crsqlite::init(&self.conn).map_err(|error| internal(error.to_string()))?,
            Some(path) => {
                self.load_extension(path)?;
                self.is_foreign = true;
            }
        }
        self.has_crsqlite = true;
        Ok(())
    }

    #[cfg(not(target_family = "wasm"))]
    fn load_extension(&self, path: &Path) -> Result<(), Fault> {
        // SAFETY: the operator named this library as the build of cr-sqlite to load; no SQL of an app runs while
        // loading is enabled, and the guard disables it again.
        let loaded = unsafe {
            rusqlite::LoadExtensionGuard::new(&self.conn)
                .and_then(|_guard| self.conn.load_extension(path, Some("sqlite3_crsqlite_init")))
        };
        loaded.map_err(|_| internal("the named build of cr-sqlite could not be loaded"))
    }

    #[cfg(target_family = "wasm")]
    fn load_extension(&self, _path: &Path) -> Result<(), Fault> {
        Err(internal("extensions can't be loaded here"))
    }

    /// Runs an app's writes: a value that is too large for the protocol fails here, where it is written.
    pub(crate) fn within_value_limit<T>(&self, work: impl FnOnce() -> T) -> T {
        // The limit's number is one that SQLite knows, so setting it can't fail.
        drop(self.conn.set_limit(Limit::SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES as i32));
        let result = work();
        drop(self.conn.set_limit(Limit::SQLITE_LIMIT_LENGTH, ROW_BYTES));
        result
    }

    /// Has `hook` told the table of every row that is inserted; tables without rowids are not seen.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn watch_inserts(&mut self, mut hook: impl FnMut(&str) + Send + 'static) -> Result<(), Fault> {
        let insert = rusqlite::hooks::Action::SQLITE_INSERT;
        let told = move |action, _: &str, table: &str, _: i64| {
            if action == insert {
                hook(table);
            }
        };
        self.conn.update_hook(Some(told)).map_err(from_sqlite)
    }

    /// Whether a build of cr-sqlite without our patches is in use.
    pub(crate) fn is_foreign(&self) -> bool {
        self.is_foreign
    }

    /// This database's identity. Read from its table: cr-sqlite's own function keeps what it saw when it was loaded.
    pub(crate) fn site(&self) -> Result<SiteId, Fault> {
        let mut statement =
            self.prepare_cached("SELECT site_id FROM crsql_site_id WHERE ordinal = 0").map_err(from_sqlite)?;
        let site = statement.query_row([], |row| Ok(SiteId::from_slice(row.get_ref(0)?.as_blob()?)));
        site.map_err(from_sqlite)?.ok_or_else(|| internal("the database's site id is not 16 bytes long"))
    }

    /// Changes whenever another connection has committed.
    pub(crate) fn data_version(&self) -> Result<i64, Fault> {
        self.number("PRAGMA data_version")
    }

    /// Changes whenever the tables have.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn schema_version(&self) -> Result<i64, Fault> {
        self.number("PRAGMA schema_version")
    }

    fn number(&self, sql: &str) -> Result<i64, Fault> {
        self.prepare_cached(sql)
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
            .map_err(from_sqlite)
    }
}

impl Deref for Connection {
    type Target = rusqlite::Connection;

    fn deref(&self) -> &rusqlite::Connection {
        &self.conn
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.conn.flush_prepared_statement_cache();
        if self.has_crsqlite {
            // A connection that is broken already can't be told so; SQLite closes it all the same.
            drop(crsqlite::finalize(&self.conn));
        }
    }
}
