//! What a sync returns: serialisable, the same for a program and for a person.
//!
//! Where in the flow: at the end of status, push and pull. Never decides anything.

use serde::Serialize;

use super::judge::{Known, Relation};
use super::meta::Meta;
use super::{SnapshotRemote, SyncConfig};

/// What takes its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The local database is copied.
    Copying,
    /// The snapshot is compressed or encrypted.
    Packing,
    /// The snapshot goes to the remote.
    Sending,
    /// The snapshot comes from the remote.
    Fetching,
    /// What came is decrypted or decompressed.
    Unpacking,
    /// Its changes are merged with those that are here; counts changes instead of bytes.
    Merging,
}

/// Told of bytes (changes, while merging) done, of so many.
pub type Progress<'a> = &'a mut dyn FnMut(Stage, u64, u64);

/// The local side: what was exchanged last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LocalSide {
    /// The database's length in bytes, its log not counted; `None` where there is none.
    pub db_bytes: Option<u64>,
    /// The generation that was exchanged last; 0 for never.
    pub generation: u64,
    /// The hash of the snapshot that was exchanged last.
    pub db_hash: Option<String>,
    /// When that was pushed, RFC 3339, UTC.
    pub last_synced_at: Option<String>,
    /// Who pushed that.
    pub machine: Option<String>,
    /// The schema's number, or `user_version`.
    pub schema_version: Option<u64>,
}

/// How both sides stand to each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SyncStatus {
    /// In one word.
    pub status: Relation,
    /// Why, where the word alone does not tell.
    pub why: Option<String>,
    /// Whether both have moved.
    pub diverged: bool,
    /// Whether the remote holds another project; both ways need force then.
    pub foreign: bool,
    /// Whether a pull can merge what both have, should they have diverged: both are known to be of one schema.
    pub mergeable: bool,
    /// What is wrong with the snapshot there, as far as its length tells: it can't be pulled as it is.
    pub unfinished: Option<String>,
    /// This machine's project.
    pub project: String,
    /// The local database.
    pub local_path: String,
    /// The remote.
    pub remote_path: String,
    /// This side.
    pub local: LocalSide,
    /// The remote's word; `None` where it holds nothing.
    pub remote: Option<Meta>,
}

/// What a push or a pull did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SyncResult {
    /// `push` or `pull`.
    pub action: &'static str,
    /// How both stood before.
    pub before: Relation,
    /// Whether anything was replaced, or would be but for the dry run.
    pub changed: bool,
    /// Whether it was only tried.
    pub dry_run: bool,
    /// Whether the other side lost what it had.
    pub forced: bool,
    /// Whether both sides' changes are here now.
    pub merged: bool,
    /// Whether the remote lacks something of what is here now, which the next push hands on; `None` where a dry run
    /// can't tell.
    pub unpushed: Option<bool>,
    /// The local database.
    pub local_path: String,
    /// The remote.
    pub remote_path: String,
    /// The generation that both hold now; of a dry run, the one that they would.
    pub generation: u64,
    /// The snapshot's hash; `None` after a dry run of a push, which takes no snapshot.
    pub db_hash: Option<String>,
    /// Its length.
    pub db_bytes: Option<u64>,
    /// When it was pushed.
    pub last_synced_at: Option<String>,
    /// Who pushed it.
    pub machine: Option<String>,
    /// Where the local database that was there before is kept, or the backup of the one that was pushed.
    pub backup: Option<String>,
    /// Where the remote keeps what a push by force replaced, as the address of a remote.
    pub kept: Option<String>,
}

pub(super) fn status(
    config: &SyncConfig,
    remote: &dyn SnapshotRemote,
    known: &Known,
    unfinished: Option<String>,
) -> SyncStatus {
    let base = known.base.as_ref().map(|base| &base.meta);
    SyncStatus {
        status: known.relation,
        why: known.foreign.clone().or_else(|| known.why.clone()),
        diverged: known.relation == Relation::Diverged,
        foreign: known.foreign.is_some(),
        mergeable: known.is_mergeable(),
        unfinished,
        project: config.project.clone(),
        local_path: config.local_db.display().to_string(),
        remote_path: remote.shown(),
        local: LocalSide {
            db_bytes: std::fs::metadata(&config.local_db).ok().map(|facts| facts.len()),
            generation: base.map_or(0, |base| base.generation),
            db_hash: base.map(|base| base.db_hash.clone()),
            last_synced_at: base.map(|base| base.last_synced_at.clone()),
            machine: base.map(|base| base.machine.clone()),
            schema_version: known.present.as_ref().map(greenlight_store::portable::Present::schema_version),
        },
        remote: known.there.clone(),
    }
}

pub(super) fn result(
    action: &'static str,
    config: &SyncConfig,
    remote: &dyn SnapshotRemote,
    before: Relation,
) -> SyncResult {
    SyncResult {
        action,
        before,
        changed: false,
        dry_run: false,
        forced: false,
        merged: false,
        unpushed: Some(false),
        local_path: config.local_db.display().to_string(),
        remote_path: remote.shown(),
        generation: 0,
        db_hash: None,
        db_bytes: None,
        last_synced_at: None,
        machine: None,
        backup: None,
        kept: None,
    }
}

impl SyncResult {
    pub(super) fn with(mut self, meta: &Meta) -> Self {
        self.generation = meta.generation;
        self.db_hash = Some(meta.db_hash.clone());
        self.db_bytes = Some(meta.db_bytes);
        self.last_synced_at = Some(meta.last_synced_at.clone());
        self.machine = Some(meta.machine.clone());
        self
    }
}
