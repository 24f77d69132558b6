//! The browser's file system under SQLite: one pool of OPFS handles for one database name, installed as SQLite's
//! default. A pool can be given up, so that another tab may take the files, and taken again.
//!
//! Where in the flow: below the store. Never opened twice at a time: the worker holds the database's Web Lock.

use rsqlite_vfs::VfsFilesManager;
use rsqlite_vfs::transfer::{DbTransfer, ExportSource};
use sqlite_wasm_rs::WasmOsCallback;
use sqlite_wasm_vfs::sahpool::{OpfsSAHError, OpfsSAHPoolCfgBuilder, OpfsSAHPoolUtil, install};
use wasm_bindgen::JsValue;

use crate::boundary::Failure;

/// The database's file within its pool.
pub(crate) const FILE: &str = "main.sqlite3";
/// Where all pools are, within the origin's private file system.
const FOLDER: &str = "greenlight-databases";

/// The files of one database.
pub(crate) struct Pool(OpfsSAHPoolUtil);

impl Pool {
    /// Takes the files of a database; creates what isn't there.
    pub(crate) async fn take(name: &str) -> Result<Self, Failure> {
        let vfs = format!("greenlight-{name}");
        let config = OpfsSAHPoolCfgBuilder::new().vfs_name(&vfs).directory(&format!("{FOLDER}/{name}")).build();
        let pool = install::<WasmOsCallback>(&config, true).await.map_err(failure)?;
        if pool.is_paused() {
            pool.resume().await.map_err(failure)?;
        }
        Ok(Self(pool))
    }

    /// Gives up the handles; every database must be closed.
    pub(crate) fn give_up(&self) -> Result<(), Failure> {
        self.0.pause().map_err(failure)
    }

    /// Drops every file of the database, which must be closed.
    pub(crate) fn clear(&self) -> Result<(), Failure> {
        self.0.clear().map_err(failure)
    }

    /// Reads a piece of the database's file, which must be closed. Returns how many bytes there were.
    pub(crate) fn read_file(&self, at: u64, piece: &mut [u8]) -> Result<usize, Failure> {
        let mut file = self.0.open_export(FILE).map_err(failure)?;
        let left = usize::try_from(file.size().saturating_sub(at)).unwrap_or(usize::MAX);
        let length = piece.len().min(left);
        let read = file.read_at(at, &mut piece[..length]).map_err(failure)?;
        // A shorter read would leave a hole that nobody would see.
        if read == length { Ok(read) } else { Err(Failure::new("storage", "the database's file could not be read")) }
    }
}

/// `files_held` where another worker has the handles still: it is worth asking again.
pub(crate) fn failure(error: OpfsSAHError) -> Failure {
    let message = error.to_string();
    let code = match &error {
        OpfsSAHError::NotSupported => "opfs_unavailable",
        OpfsSAHError::Opfs { value, .. } => match name_of(value).as_deref() {
            Some("NoModificationAllowedError") => "files_held",
            Some("QuotaExceededError") => "storage_full",
            Some("SecurityError" | "NotAllowedError") => "opfs_unavailable",
            _ => "storage",
        },
        _ => "storage",
    };
    Failure::new(code, message)
}

fn name_of(error: &JsValue) -> Option<String> {
    js_sys::Reflect::get(error, &"name".into()).ok()?.as_string()
}
