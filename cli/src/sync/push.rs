//! A push: the remote is made to hold what is here.
//!
//! Where in the flow: the local database is copied while nobody writes, the copy goes to the remote, and what was
//! exchanged is written down before the step that decides and after it. Never overwrites what it did not see.

use greenlight_store::portable::{Event, Present, Take, take};

use super::judge::{Known, Relation};
use super::lock::{HomeLock, machine, now};
use super::memory::{self, Exchanged, Way};
use super::meta::{FORMAT, Meta};
use super::packed::PackedRemote;
use super::report::{self, Progress, Stage, SyncResult};
use super::{BACKUP, How, Parts, Replacement, SnapshotRemote, SyncConfig, SyncError};
use super::{claim, folder_of, has_room, know_and_confirm, length, random, remember};
use crate::crash::{self, Point};

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
    let result = report::result("push", config, &remote, known.relation);
    if known.present.is_none() {
        return Err(SyncError::NoDatabase(config.local_db.clone()));
    }
    if let Some(unchanged) = settled(config, &remote, &known, how, &result)? {
        return Ok(unchanged);
    }
    // Who forces wants their changes there, and not for everybody to read.
    keeps_secret(config, &remote, &known)?;
    if !how.force {
        remote.opens(known.there.as_ref())?;
    }
    let generation = known.there.as_ref().map_or(0, |there| there.generation) + 1;
    let forced = known.is_forced_out();
    // What is here does not come from that, which may be all that somebody has of their work.
    let replaced = known.there.as_ref().filter(|_| forced);
    let kept = replaced.map(|there| remote.place_to_keep(there)).transpose()?;
    let result = SyncResult { changed: true, forced, generation, kept, ..result };
    if how.dry_run {
        return Ok(SyncResult { dry_run: true, ..result });
    }
    claim(config, BACKUP)?;
    let pushed = carry_out(config, &remote, &known, generation, &parts, progress);
    parts.clear();
    let (meta, kept) = pushed?;
    let backup = Some(parts.backup.display().to_string());
    Ok(SyncResult { backup, kept, ..result.with(&meta) })
}

/// What needs no push, or may not have one.
fn settled(
    config: &SyncConfig,
    remote: &PackedRemote,
    known: &Known,
    how: How,
    result: &SyncResult,
) -> Result<Option<SyncResult>, SyncError> {
    if let Some(generation) = known.gone.filter(|_| !how.force) {
        return Err(SyncError::Gone { remote: remote.shown(), generation });
    }
    let Some(there) = &known.there else { return Ok(None) };
    if how.force && (known.foreign.is_some() || known.relation != Relation::Equal) {
        return Ok(None);
    }
    if let Some(why) = &known.foreign {
        return Err(SyncError::Foreign { remote: remote.shown(), why: why.clone() });
    }
    match known.relation {
        // What is not whole there is pushed anew.
        Relation::Equal if remote.is_packed_as_wanted(there) && remote.flaw(there)?.is_none() => {
            Ok(Some(result.clone().with(there)))
        }
        Relation::Behind => Err(SyncError::Behind {
            remote: remote.shown(),
            generation: there.generation,
            machine: there.machine.clone(),
        }),
        Relation::Diverged => Err(SyncError::Diverged {
            local: config.local_db.display().to_string(),
            remote: remote.shown(),
            why: known.why.clone().unwrap_or_default(),
            mergeable: known.is_mergeable(),
            action: "greenlight sync push",
            loses: "what is there (it is kept there as before-push)",
        }),
        Relation::Equal | Relation::Ahead | Relation::Empty => Ok(None),
    }
}

/// Whether what was encrypted stays so, or somebody has said otherwise.
fn keeps_secret(config: &SyncConfig, remote: &PackedRemote, known: &Known) -> Result<(), SyncError> {
    let memory = memory::remembered(&config.local_meta, &config.local_db)?;
    let last = known.base.as_ref().or_else(|| memory.with_place(&remote.shown()));
    if remote.would_open_up(last, known.there.as_ref()) { Err(SyncError::OpensUp(remote.shown())) } else { Ok(()) }
}

/// Whether there is room for what a push makes, as far as that is known before it is made: a replica's snapshot is made
/// of its copy and at most as long, and how long something becomes when it is compressed nobody knows.
fn has_room_for(config: &SyncConfig, remote: &PackedRemote, known: &Known, parts: &Parts) -> Result<(), SyncError> {
    let bytes = length(&config.local_db);
    let is_replica = matches!(known.present, Some(Present::Replica { .. }));
    let there = known.there.as_ref();
    let is_compressed = remote.compresses(there);
    let is_only_encrypted = remote.encrypts(there) && !is_compressed;
    let files = 1 + u64::from(is_replica) + u64::from(is_only_encrypted);
    // The copy takes the place of the former one before anything is made of it.
    let needed = bytes.saturating_mul(files).saturating_sub(length(&parts.backup)).max(bytes);
    has_room(folder_of(&config.local_db), needed)?;
    if is_replica || is_compressed { Ok(()) } else { remote.has_room(bytes) }
}

fn carry_out(
    config: &SyncConfig,
    remote: &PackedRemote,
    known: &Known,
    generation: u64,
    parts: &Parts,
    progress: Progress<'_>,
) -> Result<(Meta, Option<String>), SyncError> {
    has_room_for(config, remote, known, parts)?;
    let Parts { backup, taken: part, compacted, .. } = parts;
    let order = Take { source: &config.local_db, backup, part, compacted, mark: random()? };
    let taken = take(&order, &mut |event| match event {
        Event::Reached(step) => crash::point(step.into()),
        Event::Copied(done, of) | Event::Merged(done, of) => progress(Stage::Copying, done, of),
    })
    .map_err(|source| SyncError::local(&config.local_db, source))?;
    let history = match &known.there {
        // Another project's history ends here.
        Some(there) if known.foreign.is_none() => there.history.clone(),
        _ => format!("{:016x}{:016x}", random()?, random()?),
    };
    let meta = Meta {
        format: FORMAT,
        history,
        generation,
        db_hash: taken.hash,
        db_bytes: taken.bytes,
        last_synced_at: now(),
        machine: machine(),
        schema_version: taken.schema_version,
        schema_name: taken.head.schema_name().map(str::to_owned),
        project: config.project.clone(),
        // A push by force over what this side does not come from begins where this side does.
        ancestors: known
            .base
            .as_ref()
            .filter(|_| known.foreign.is_none())
            .map(|base| base.meta.as_ancestor())
            .unwrap_or_default(),
        payload: None,
    };
    let encrypted = remote.encrypts(known.there.as_ref());
    let exchanged = Exchanged { meta: meta.clone(), remote: remote.shown(), head: taken.head, encrypted };
    remember(config, exchanged.clone(), Way::Push)?;
    crash::point(Point::Attempted);
    let order =
        Replacement { seen: known.there.as_ref(), keeps: known.is_forced_out(), file: &taken.file, meta: &meta };
    let kept = remote.replace(&order, progress)?;
    remember(config, exchanged, Way::Complete)?;
    crash::point(Point::Remembered);
    Ok((meta, kept))
}
