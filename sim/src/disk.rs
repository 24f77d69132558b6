//! A machine's disk: a database in memory that outlives the process that has it open, and the simulator's eye on it.
//!
//! Where in the flow: under every node. A crash closes the store's connection and leaves what was committed; a copy
//! is a backup or a twin. The one place that knows whether a run is on the real store or on the model.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Once};
use std::time::Duration;

use fastrand::Rng;
use greenlight_store::{ClientDatabase, Location, OpenError, Options, Schema, ServerDatabase};
use rusqlite::Connection;
use rusqlite::backup::Backup;
use rusqlite::config::DbConfig;

use crate::content::{self, Cell};
use crate::model::{self, ClientModel, ServerModel};
use crate::stores::{ClientMachine, ServerMachine, Stores};
use crate::workload::Operation;

/// Pages that a backup copies at once: all.
const ALL_PAGES: i32 = i32::MAX;

/// A machine's disk.
#[derive(Debug)]
pub(crate) enum Disk {
    Real(RealDisk),
    Model(model::File),
}

/// What a process brings along when it opens a database.
pub(crate) struct Opening<'a> {
    pub(crate) schema: &'a Schema,
    pub(crate) part_bytes: usize,
    pub(crate) random: Rng,
    pub(crate) wall: Arc<AtomicI64>,
}

impl Opening<'_> {
    fn options(&self, disk: &RealDisk) -> Options {
        let (mut random, wall) = (self.random.clone(), self.wall.clone());
        let mut options = Options::new(disk.location(), move || random.u64(..), move || wall.load(Ordering::Relaxed));
        options.part_bytes = self.part_bytes;
        options
    }
}

impl Disk {
    /// An empty disk.
    ///
    /// # Errors
    /// SQLite's.
    pub(crate) fn new(stores: Stores) -> rusqlite::Result<Self> {
        Ok(match stores {
            Stores::Real => Self::Real(RealDisk::new()?),
            Stores::Model => Self::Model(model::File::new()),
        })
    }

    /// Another disk with the same content as it is committed now.
    ///
    /// # Errors
    /// SQLite's.
    pub(crate) fn copy(&self) -> rusqlite::Result<Self> {
        Ok(match self {
            Self::Real(disk) => Self::Real(disk.copy()?),
            Self::Model(file) => Self::Model(file.copy()),
        })
    }

    pub(crate) fn open_client(&self, opening: Opening<'_>) -> Result<Box<dyn ClientMachine>, OpenError> {
        Ok(match self {
            Self::Real(disk) => Box::new(ClientDatabase::open(opening.options(disk), opening.schema)?),
            Self::Model(file) => {
                let Opening { schema, part_bytes, random, .. } = opening;
                Box::new(ClientModel::open(file.clone(), schema.clone(), part_bytes, random))
            }
        })
    }

    pub(crate) fn open_server(&self, opening: Opening<'_>) -> Result<Box<dyn ServerMachine>, OpenError> {
        Ok(match self {
            Self::Real(disk) => Box::new(ServerDatabase::open(opening.options(disk), opening.schema)?),
            Self::Model(file) => {
                let Opening { schema, part_bytes, random, .. } = opening;
                Box::new(ServerModel::open(file.clone(), schema.clone(), part_bytes, random))
            }
        })
    }

    /// What another process writes, all of it or nothing.
    ///
    /// # Errors
    /// SQLite's, or the message of cr-sqlite.
    pub(crate) fn write_as_other(&self, operations: &[Operation]) -> Result<(), Box<dyn std::error::Error>> {
        match self {
            Self::Real(disk) => disk.as_other_process(|conn| {
                conn.execute_batch("BEGIN IMMEDIATE")?;
                let done = operations.iter().map(Operation::statement).try_for_each(|(sql, params)| {
                    conn.execute(&sql, rusqlite::params_from_iter(params.iter().map(content::sql))).map(drop)
                });
                conn.execute_batch(if done.is_ok() { "COMMIT" } else { "ROLLBACK" })
            }),
            Self::Model(file) => {
                file.write_as_other(operations);
                Ok(())
            }
        }
    }

    // --- the simulator's own eyes: they see what is committed and never write ---

    /// See [`content::largest_version`].
    pub(crate) fn largest_version(&self) -> rusqlite::Result<i64> {
        match self {
            Self::Real(disk) => content::largest_version(&disk.eye),
            Self::Model(file) => Ok(file.largest_version()),
        }
    }

    /// See [`content::cells_above`].
    pub(crate) fn cells_above(&self, version: i64, own: bool) -> rusqlite::Result<Vec<Cell>> {
        match self {
            Self::Real(disk) => content::cells_above(&disk.eye, version, own),
            Self::Model(file) => Ok(file.cells_above(version, own)),
        }
    }

    /// See [`content::holds`].
    pub(crate) fn holds(&self, cell: &Cell) -> rusqlite::Result<bool> {
        match self {
            Self::Real(disk) => content::holds(&disk.eye, cell),
            Self::Model(file) => Ok(file.holds(cell)),
        }
    }

    /// See [`content::present_version`].
    pub(crate) fn present_version(&self, cell: &Cell) -> rusqlite::Result<i64> {
        match self {
            Self::Real(disk) => content::present_version(&disk.eye, cell),
            Self::Model(file) => Ok(file.present_version(cell)),
        }
    }

    /// See [`content::own_above`].
    pub(crate) fn own_above(&self, version: i64) -> rusqlite::Result<u64> {
        match self {
            Self::Real(disk) => content::own_above(&disk.eye, version),
            Self::Model(file) => Ok(file.own_above(version)),
        }
    }

    /// The same by `crsql_changes`, where there is one.
    ///
    /// # Errors
    /// SQLite's, or the message of cr-sqlite.
    pub(crate) fn own_changes_above(&self, version: i64) -> Result<u64, Box<dyn std::error::Error>> {
        match self {
            Self::Real(disk) => disk.as_other_process(|conn| content::own_changes_above(conn, version)),
            Self::Model(file) => Ok(file.own_above(version)),
        }
    }

    /// Up to which version the server has acknowledged a client's changes, by the client's file.
    pub(crate) fn acknowledged_version(&self) -> rusqlite::Result<i64> {
        match self {
            Self::Real(disk) => content::state_number(&disk.eye, "acknowledged_version"),
            Self::Model(file) => Ok(file.acknowledged_version()),
        }
    }

    /// The site id of the server that a client follows, and that server's epoch.
    pub(crate) fn followed(&self) -> rusqlite::Result<Option<(Vec<u8>, i64)>> {
        match self {
            Self::Real(disk) => {
                let site = content::followed_site(&disk.eye)?;
                let epoch = content::state_number(&disk.eye, "epoch")?;
                Ok(site.map(|site| (site, epoch)))
            }
            Self::Model(file) => Ok(file.followed().map(|seen| (seen.site_id.0.to_vec(), seen.epoch.0 as i64))),
        }
    }

    /// See [`content::aside`].
    pub(crate) fn aside(&self) -> rusqlite::Result<u64> {
        match self {
            Self::Real(disk) => content::aside(&disk.eye),
            Self::Model(_) => Ok(0),
        }
    }

    /// See [`content::rows`].
    pub(crate) fn rows(&self) -> rusqlite::Result<Vec<String>> {
        match self {
            Self::Real(disk) => content::rows(&disk.eye),
            Self::Model(file) => Ok(file.rows()),
        }
    }
}

/// A database in memory, by a name that several connections can open.
#[derive(Debug)]
pub(crate) struct RealDisk {
    name: String,
    /// Keeps the memory, and is the simulator's own eye.
    eye: Connection,
}

impl RealDisk {
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
