//! A pull: the local database is made to hold what the remote holds.
//!
//! Where in the flow: the snapshot is fetched beside the database, checked, made this machine's own or merged with a copy
//! of what is here, and takes the database's place in one step; what was there before is kept. Never touches the
//! database before all of that is done.

use std::path::Path;

use greenlight_store::portable::{Event, Fit, Found, Head, Merge, Present, Swap, Watched, examine, fit, merge, swap};
use greenlight_store::{Location, Options};

use super::judge::{Known, Relation};
use super::lock::HomeLock;
use super::memory::{Exchanged, Way};
use super::meta::Meta;
use super::packed::PackedRemote;
use super::packing::Encryption;
use super::report::{self, Progress, Stage, SyncResult};
use super::{How, KEPT, Parts, SnapshotRemote, SyncConfig, SyncError};
use super::{claim, folder_of, has_room, know_and_confirm, length, random, remember, spare_kept_work};
use crate::clock::wall_ms;
use crate::crash::{self, Point};
use crate::durable;

pub(super) fn run(
    config: &SyncConfig,
    how: How,
    span: &tracing::Span,
    progress: Progress<'_>,
) -> Result<SyncResult, SyncError> {
    let _lock = HomeLock::take(&config.lock)?;
    let parts = Parts::of(config);
    parts.clear();
    let remote = config.open()?;
    let known = know_and_confirm(config, &remote)?;
    span.record("scenario", known.relation.word());
    let result = report::result("pull", config, &remote, known.relation);
    let Some(there) = &known.there else { return Err(SyncError::NothingThere(remote.shown())) };
    let result = result.with(there);
    if let Some(why) = &known.foreign
        && !how.force
    {
        return Err(SyncError::Foreign { remote: remote.shown(), why: why.clone() });
    }
    match known.relation {
        Relation::Equal if known.foreign.is_none() => return Ok(result),
        Relation::Ahead if !how.force => return Ok(SyncResult { unpushed: Some(true), ..result }),
        Relation::Diverged if how.merge && known.may_merge() => {}
        Relation::Diverged if how.merge => return Err(SyncError::Unmergeable(config.local_db.clone())),
        Relation::Diverged if !how.force => {
            return Err(SyncError::Diverged {
                local: config.local_db.display().to_string(),
                remote: remote.shown(),
                why: known.why.clone().unwrap_or_default(),
                mergeable: known.is_mergeable(),
                action: "greenlight sync pull",
                loses: "what is here (it is kept as .before-pull)",
            });
        }
        _ => {}
    }
    is_known(config, &remote, there.schema_version)?;
    let merged = known.relation == Relation::Diverged && how.merge;
    let forced = !merged && (known.relation != Relation::Behind || known.foreign.is_some());
    // Before a merge nobody knows whether anything of what is here is new.
    let result = SyncResult { changed: true, forced, merged, unpushed: (!merged).then_some(false), ..result };
    if how.dry_run {
        return Ok(SyncResult { dry_run: true, ..result });
    }
    if known.present.is_some() {
        claim(config, KEPT)?;
    }
    let placed = carry_out(config, &remote, &known, there, how, &parts, progress);
    parts.clear();
    let Placed { kept, unpushed } = placed?;
    Ok(SyncResult { backup: kept, unpushed: Some(unpushed), ..result })
}

/// Whether whoever uses the database here can handle the schema.
fn is_known(config: &SyncConfig, remote: &PackedRemote, found: u64) -> Result<(), SyncError> {
    match config.max_schema {
        Some(known) if found > known => Err(SyncError::NewerSchema { remote: remote.shown(), found, known }),
        _ => Ok(()),
    }
}

/// What came of it.
struct Placed {
    /// Where the database is kept that was here before.
    kept: Option<String>,
    /// Whether the remote lacks something of what is here now.
    unpushed: bool,
}

fn carry_out(
    config: &SyncConfig,
    remote: &PackedRemote,
    known: &Known,
    there: &Meta,
    how: How,
    parts: &Parts,
    progress: Progress<'_>,
) -> Result<Placed, SyncError> {
    let part = parts.fetched.as_path();
    let file = |source| SyncError::File { path: part.to_owned(), source };
    if let Some(folder) = config.local_db.parent() {
        durable::create_folder(folder).map_err(file)?;
    }
    // What a meta says is believed no further than there is room: a small snapshot may unpack to a large one.
    let packed = if there.packing() == Default::default() { 0 } else { there.stored().1 };
    let copied = if known.relation == Relation::Diverged && how.merge { length(&config.local_db) } else { 0 };
    has_room(folder_of(&config.local_db), there.db_bytes.saturating_add(packed).saturating_add(copied))?;
    remote.fetch(there, part, progress)?;
    if known.present.is_some() {
        // Whoever may not read what is here may not read what takes its place.
        let facts = std::fs::metadata(&config.local_db).map_err(file)?;
        std::fs::set_permissions(part, facts.permissions()).map_err(file)?;
    }
    crash::point(Point::Fetched);
    let snapshot = |source| SyncError::Snapshot { remote: remote.shown(), source };
    let found = examine(part).map_err(snapshot)?;
    is_known(config, remote, found.schema_version)?;
    if !how.force {
        is_alike(&found, known.present.as_ref()).map_err(|why| SyncError::Foreign { remote: remote.shown(), why })?;
    }
    let mut watch = |event| match event {
        Event::Reached(step) => crash::point(step.into()),
        Event::Copied(done, of) => progress(Stage::Copying, done, of),
        Event::Merged(done, of) => progress(Stage::Merging, done, of),
    };
    let local = |source| SyncError::local(&config.local_db, source);
    let mut options =
        Options::system(Location::Memory, wall_ms).map_err(|error| SyncError::System(error.to_string()))?;
    let (mark, present) = (random()?, config.local_db.as_path());
    // Tables that are this machine's alone are copied next, and what is written there moves nothing that is compared.
    let is_replica = matches!(known.present, Some(Present::Replica { .. }));
    let watched = if is_replica { Watched::begin(present).map_err(local)? } else { None };
    let (ready, head, unpushed): (&Path, Head, bool) = if known.relation == Relation::Diverged && how.merge {
        let order = Merge { present, snapshot: part, merged: &parts.merged, mark, options };
        let merged = merge(order, &mut watch).map_err(local)?;
        (&parts.merged, merged.head, !merged.is_same)
    } else {
        let order = Fit {
            file: part,
            present: known.present.as_ref().map(|_| present),
            mark,
            continues: known.relation == Relation::Behind,
            random: &mut *options.random,
        };
        (part, fit(order, &mut watch).map_err(local)?, false)
    };
    let encrypted = there.packing().1 != Encryption::None;
    let exchanged = Exchanged { meta: there.clone(), remote: remote.shown(), head, encrypted };
    remember(config, exchanged.clone(), Way::Pull)?;
    crash::point(Point::Attempted);
    spare_kept_work(config, how.force && known.relation != Relation::Behind)?;
    let kept = config.local_db.with_added_extension(KEPT);
    // By force too: what somebody gives up is what they were told of.
    let order = Swap { ready, target: &config.local_db, watched, kept: &kept, expected: known.present.as_ref() };
    let was_there = swap(order, &mut watch).map_err(local)?;
    remember(config, exchanged, Way::Complete)?;
    crash::point(Point::Remembered);
    Ok(Placed { kept: was_there.then(|| kept.display().to_string()), unpushed })
}

/// Whether a snapshot can be a later state of what is here.
fn is_alike(found: &Found, present: Option<&Present>) -> Result<(), String> {
    match (present, &found.schema) {
        (None, _) | (Some(Present::Plain { .. }), None) => Ok(()),
        (Some(Present::Replica { schema, .. }), Some(theirs)) if schema.split(' ').next() == Some(theirs.as_str()) => {
            Ok(())
        }
        (Some(Present::Replica { schema, .. }), Some(theirs)) => {
            let ours = schema.split(' ').next().unwrap_or_default();
            Err(format!("it follows schema `{theirs}`, and the database here follows `{ours}`"))
        }
        (Some(Present::Replica { .. }), None) => {
            Err("it is a plain SQLite database, and the one here is Greenlight's".to_owned())
        }
        (Some(Present::Plain { .. }), Some(_)) => {
            Err("it is a database of Greenlight's, and the one here is a plain SQLite database".to_owned())
        }
    }
}
