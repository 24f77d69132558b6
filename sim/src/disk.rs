//! A machine's disk: a database in memory that outlives the process that has it open.
//!
//! Where in the flow: under every node. A crash closes the store's connection and leaves what was committed; a copy
//! is a backup or a twin. Never knows what the databases hold.

use std::path::PathBuf;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use greenlight_store::Location;
use rusqlite::Connection;
use rusqlite::backup::Backup;
use rusqlite::config::DbConfig;

/// Pages that a backup copies at once: all.
const ALL_PAGES: i32 = i32::MAX;

/// A database in memory, by a name that several connections can open.
#[derive(Debug)]
pub(crate) struct Disk {
    name: String,
    /// Keeps the memory, and is the simulator's own eye.
    eye: Connection,
}

impl Disk {
    /// An empty disk.
    ///
    /// # Errors
    /// SQLite's.
    pub(crate) fn new() -> rusqlite::Result<Self> {
        // SQLite's own VFS for memory shares what has a name that begins with a slash. Names never influence a run.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("file:/greenlight-{}?vfs=memdb", NEXT.fetch_add(1, Ordering::Relaxed));

        let eye = Connection::open(&name)?;
        eye.set_prepared_statement_cache_capacity(64);
        eye.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        Ok(Self { name, eye })
    }

    /// Another disk with the same content as it is committed now.
    ///
    /// # Errors
    /// SQLite's.
    pub(crate) fn copy(&self) -> rusqlite::Result<Self> {
        let mut copy = Self::new()?;
        Backup::new(&self.eye, &mut copy.eye)?.run_to_completion(ALL_PAGES, Duration::ZERO, None)?;
        Ok(copy)
    }

    /// Where the store opens it.
    pub(crate) fn location(&self) -> Location {
        Location::File(PathBuf::from(&self.name))
    }

    /// The simulator's own view. Sees what is committed; never writes.
    pub(crate) fn eye(&self) -> &Connection {
        &self.eye
    }

    /// Runs `work` as another process would: on a connection of its own with cr-sqlite.
    ///
    /// # Errors
    /// SQLite's, or the message of cr-sqlite.
    pub(crate) fn as_other_process<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Box<dyn std::error::Error>> {
        let conn = Connection::open(&self.name)?;
        crsqlite::init(&conn)?;
        let result = work(&conn);
        conn.flush_prepared_statement_cache();
        crsqlite::finalize(&conn)?;
        Ok(result?)
    }
}

/// SQLite counts its memory under one lock for the whole process, which keeps threads that share nothing waiting.
pub(crate) fn without_accounts() {
    static ONCE: Once = Once::new();
    // SAFETY: this option takes one integer. SQLite refuses it, and changes nothing, once a connection was opened.
    ONCE.call_once(|| unsafe {
        rusqlite::ffi::sqlite3_config(rusqlite::ffi::SQLITE_CONFIG_MEMSTATUS, 0);
    });
}
