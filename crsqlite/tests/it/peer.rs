//! One database with cr-sqlite, as the tests see it: runs SQL, reads changes, applies those of another. In memory
//! unless a test needs the file. It never hides an error: what may fail returns it.
//!
//! With `CRSQLITE_EXTENSION` set to a loadable extension the same tests run on that instead of the crate.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

/// A row of `crsql_changes`: table, pk, cid, val, col_version, db_version, site_id, cl, seq.
pub(crate) type Change = Vec<Value>;

/// The places in a [`Change`] that tests look at.
pub(crate) const PK: usize = 1;
pub(crate) const CID: usize = 2;
pub(crate) const COL_VERSION: usize = 4;
pub(crate) const DB_VERSION: usize = 5;
pub(crate) const SITE_ID: usize = 6;
pub(crate) const CL: usize = 7;

/// A database that can sync.
pub(crate) struct Peer {
    pub(crate) conn: Connection,
}

impl Peer {
    /// A fresh in-memory database that has run `schema`.
    pub(crate) fn new(schema: &str) -> Self {
        let peer = Self::on(Connection::open_in_memory().expect("an in-memory database opens"));
        peer.run(schema);
        peer
    }

    /// cr-sqlite on an open connection.
    pub(crate) fn on(conn: Connection) -> Self {
        if let Some(file) = std::env::var_os("CRSQLITE_EXTENSION") {
            // SAFETY: the file is the one that the caller of the tests has built and named.
            unsafe {
                let _enabled = rusqlite::LoadExtensionGuard::new(&conn).expect("loading can be allowed");
                conn.load_extension(&file, None::<&str>).unwrap_or_else(|error| panic!("{file:?}: {error}"));
            }
            return Self { conn };
        }
        crsqlite::init(&conn).expect("cr-sqlite accepts a fresh connection");
        Self { conn }
    }

    /// Runs statements that must work.
    pub(crate) fn run(&self, sql: &str) {
        self.conn.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// The one value of a query that must give one.
    pub(crate) fn one(&self, sql: &str) -> Value {
        self.conn.query_row(sql, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The one integer of a query that must give one.
    pub(crate) fn int(&self, sql: &str) -> i64 {
        match self.one(sql) {
            Value::Integer(number) => number,
            other => panic!("{sql} gave {other:?}"),
        }
    }

    /// All rows of a query that must work.
    pub(crate) fn rows(&self, sql: &str) -> Vec<Vec<Value>> {
        self.try_rows(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// All rows of a query, or SQLite's error.
    pub(crate) fn try_rows(&self, sql: &str) -> rusqlite::Result<Vec<Vec<Value>>> {
        let mut statement = self.conn.prepare(sql)?;
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| (0..columns).map(|i| row.get(i)).collect())?;
        rows.collect()
    }

    /// Every change above `version`, in order.
    pub(crate) fn changes_since(&self, version: i64) -> Vec<Change> {
        self.rows(&format!("SELECT * FROM crsql_changes WHERE db_version > {version}"))
    }

    /// Applies one change as the store does: with `db_version` 0, so that it gets a version of this database.
    pub(crate) fn apply(&self, change: &Change) -> rusqlite::Result<()> {
        let mut change = change.clone();
        change[DB_VERSION] = Value::Integer(0);
        self.apply_as_is(&change)
    }

    /// Applies one change with the `db_version` that it carries.
    pub(crate) fn apply_as_is(&self, change: &Change) -> rusqlite::Result<()> {
        let mut insert = self.conn.prepare("INSERT INTO crsql_changes VALUES (?,?,?,?,?,?,?,?,?)")?;
        insert.execute(params_from_iter(change)).map(|_| ())
    }

    /// Applies changes that must fit, in one transaction.
    pub(crate) fn apply_all(&self, changes: &[Change]) {
        self.run("BEGIN");
        for change in changes {
            self.apply(change).unwrap_or_else(|error| panic!("{change:?}: {error}"));
        }
        self.run("COMMIT");
    }

    /// The largest version of any change here.
    pub(crate) fn head(&self) -> i64 {
        self.int("SELECT coalesce(max(db_version), 0) FROM crsql_changes")
    }

    /// Closes as a program should, and fails where a statement was left open.
    pub(crate) fn close(self) {
        crsqlite::finalize(&self.conn).expect("cr-sqlite lets go");
        self.conn.close().map_err(|(_, error)| error).expect("nothing is left open");
    }
}
