//! `greenlight sync status|push|pull`: what the library returns, shown.
//!
//! Where in the flow: behind the argument parser, above `sync`. Never decides what is done.

use std::process::ExitCode;

use greenlight_store::portable::PortableError;
use indicatif::HumanBytes;

use crate::address::{Address, Chosen};
use crate::args::SnapshotArguments;
use crate::bar::Bar;
use crate::command::read_schema;
use crate::home::Home;
use crate::output::{Light, say};
use crate::sync::{self, How, Meta, Place, Relation, Stage, SyncConfig, SyncError, SyncResult, SyncStatus};
use crate::{ClientError, Remote, Token, logs};

/// Digits of a hash that are shown to a person.
const HASH_DIGITS: usize = 12;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Status,
    Push,
    Pull { merge: bool },
}

/// What came of it, where the remote is a server: its own commands take over.
pub(crate) enum Ended {
    Done(ExitCode),
    /// Push and pull are one there.
    Exchange,
    /// How both stand to each other.
    Ask(Box<(Home, Remote, Token)>),
}

/// Runs the command.
pub(crate) fn run(action: Action, arguments: &SnapshotArguments) -> Result<Ended, ClientError> {
    let home = Home::find(&arguments.place.home)?;
    let chosen = Chosen::find(&home, arguments.place.remote.as_deref())?;
    let token = chosen.token(arguments.place.token_file.as_deref());
    let remote = match chosen.address {
        Address::Folder(folder) => Place::Folder(folder),
        Address::S3(place) => Place::S3(place),
        Address::Live(remote) => return live(action, arguments, (home, remote, token)),
    };
    let schema = arguments.place.schema.as_deref().map(read_schema).transpose()?;
    logs::begin(&home.logs);
    let config = SyncConfig {
        local_db: home.db,
        local_meta: home.sync_meta,
        lock: home.sync_lock,
        remote,
        packing: chosen.packing,
        project: home.project,
        max_schema: schema.map(|schema| u64::from(schema.id().number)),
    };
    let merge = matches!(action, Action::Pull { merge: true });
    let how = How { force: arguments.force, merge, dry_run: arguments.dry_run };
    let mut bar = Bar::new(arguments.place.quiet);
    let mut progress = |stage, done, of| match stage {
        Stage::Merging => bar.changes(label(stage), done, of),
        _ => bar.bytes(label(stage), done, of),
    };
    let ended = match action {
        Action::Status => sync::status(&config).and_then(|status| {
            show(arguments, &status, || light(&status).headline(&describe_status(&status)))?;
            Ok(status_code(&status))
        }),
        Action::Push => {
            let pushed = sync::push(&config, how, &mut progress);
            bar.finish();
            pushed.and_then(|result| show(arguments, &result, || describe_push(&result))).map(|()| 0)
        }
        Action::Pull { .. } => {
            let pulled = sync::pull(&config, how, &mut progress);
            bar.finish();
            pulled.and_then(|result| show(arguments, &result, || describe_pull(&result))).map(|()| 0)
        }
    };
    Ok(Ended::Done(ExitCode::from(ended.unwrap_or_else(|error| {
        eprintln!("greenlight: {}", explain(&error));
        error.exit_code()
    }))))
}

/// A server always merges: there is nothing to force, and whoever asks for a merge gets what they want.
fn live(action: Action, arguments: &SnapshotArguments, sides: (Home, Remote, Token)) -> Result<Ended, ClientError> {
    if arguments.force || arguments.dry_run {
        let shown = sides.1.shown();
        return Err(ClientError::Live(format!(
            "{shown} is a server, which merges what both sides have: --force and --dry-run are for snapshots. Leave them \
             out, or use `greenlight sync now`"
        )));
    }
    Ok(if action == Action::Status { Ended::Ask(Box::new(sides)) } else { Ended::Exchange })
}

fn show(
    arguments: &SnapshotArguments,
    what: &impl serde::Serialize,
    text: impl FnOnce() -> String,
) -> Result<(), SyncError> {
    if arguments.json {
        let json = serde_json::to_string_pretty(what).map_err(|error| SyncError::System(error.to_string()))?;
        say!("{json}");
    } else {
        say!("{}", text());
    }
    Ok(())
}

fn status_code(status: &SyncStatus) -> u8 {
    match status.status {
        _ if status.foreign => 3,
        _ if status.unfinished.is_some() => 1,
        Relation::Equal => 0,
        Relation::Behind => 6,
        Relation::Ahead => 7,
        Relation::Empty if status.why.is_some() => 3,
        Relation::Empty if status.local.db_bytes.is_some() => 7,
        Relation::Empty => 0,
        Relation::Diverged => 8,
    }
}

fn light(status: &SyncStatus) -> Light {
    match status_code(status) {
        0 => Light::Green,
        6 | 7 => Light::Yellow,
        _ => Light::Red,
    }
}

fn describe_status(status: &SyncStatus) -> String {
    let why = status.why.as_deref().unwrap_or("both have moved");
    let mut text = match status.status {
        _ if status.foreign => {
            format!("Foreign: {why}. Both ways need --force; what gives way is kept aside.")
        }
        relation if let Some(flaw) = &status.unfinished => format!(
            "Unfinished: what is there is not the snapshot that its meta names ({flaw}), by which it would be {}. It is \
             being written, or was not copied there completely. Look again; if that stays so, push from a machine that has \
             the data.",
            relation.word()
        ),
        Relation::Equal => "Equal: both hold the same.".to_owned(),
        Relation::Ahead => "Ahead: there are changes here that the remote does not have. Push them.".to_owned(),
        Relation::Behind if status.local.db_bytes.is_none() => {
            let why = status.why.as_deref().unwrap_or("there is no database here");
            format!("Behind: {why}. A pull makes it of what the remote holds.")
        }
        Relation::Behind => "Behind: the remote has changes that are not here. Pull them.".to_owned(),
        Relation::Diverged if status.mergeable => {
            format!("Diverged: {why}. `greenlight sync pull --merge` keeps what both have.")
        }
        Relation::Diverged => {
            format!("Diverged: {why}. Push or pull with --force: one side wins, and what the other had is kept aside.")
        }
        Relation::Empty if status.why.is_some() => format!("Empty: {why}"),
        Relation::Empty if status.local.db_bytes.is_some() => "Empty: the remote holds nothing yet. Push.".to_owned(),
        Relation::Empty => "Empty: there is nothing here, and nothing at the remote.".to_owned(),
    };
    let local = &status.local;
    text += &match local.db_bytes {
        Some(bytes) => format!("\n  here    {} ({}, project {})", status.local_path, HumanBytes(bytes), status.project),
        None => format!("\n  here    {} (not there, project {})", status.local_path, status.project),
    };
    if let (Some(hash), Some(time), Some(machine)) = (&local.db_hash, &local.last_synced_at, &local.machine) {
        text += &format!("\n          last exchanged: {}", side(local.generation, hash, None, time, machine));
    }
    text += &match &status.remote {
        Some(meta) => format!("\n  remote  {}\n          {}", status.remote_path, meta_line(meta)),
        None => format!("\n  remote  {} (nothing there)", status.remote_path),
    };
    text
}

fn meta_line(meta: &Meta) -> String {
    side(meta.generation, &meta.db_hash, Some(meta.db_bytes), &meta.last_synced_at, &meta.machine)
}

/// What a file says must not write on the terminal.
fn side(generation: u64, hash: &str, bytes: Option<u64>, time: &str, machine: &str) -> String {
    let clean = |text: &str| text.replace(char::is_control, " ");
    let size = bytes.map_or(String::new(), |bytes| format!(", {}", HumanBytes(bytes)));
    format!("generation {generation}, {}{size}, pushed {} by {}", short(hash), clean(time), clean(machine))
}

fn short(hash: &str) -> String {
    hash.chars().take(HASH_DIGITS).collect()
}

fn describe_push(result: &SyncResult) -> String {
    let SyncResult { local_path, remote_path, generation, .. } = result;
    let place = format!("\n  from  {local_path}\n  to    {remote_path}");
    if result.dry_run {
        let lost = match &result.kept {
            Some(kept) => format!(", and overwrite what is there, which would be kept at {kept}"),
            None => String::new(),
        };
        return format!("Would push generation {generation}{lost}. Nothing was changed.{place}");
    }
    if !result.changed {
        return format!("Nothing to push: {remote_path} holds the same ({}).", snapshot(result));
    }
    let backup = result.backup.as_deref().unwrap_or_default();
    let kept = match &result.kept {
        Some(kept) => format!("\n  kept  {kept} (what was there before: a remote, which can be pulled)"),
        None => String::new(),
    };
    format!("Pushed {}.{place}\n  copy  {backup}{kept}", snapshot(result))
}

fn describe_pull(result: &SyncResult) -> String {
    let SyncResult { local_path, remote_path, .. } = result;
    let what = snapshot(result);
    let place = format!("\n  from  {remote_path}\n  into  {local_path}");
    if result.dry_run {
        let verb = if result.merged { "merge" } else { "pull" };
        let lost = if result.forced { ", and give up what is here (it would be kept as .before-pull)" } else { "" };
        return format!("Would {verb} {what}{lost}. Nothing was changed.{place}");
    }
    match (result.changed, result.before) {
        (true, _) => {
            let kept = match &result.backup {
                Some(kept) => format!("\n  kept  {kept} (what was here before)"),
                None => String::new(),
            };
            if result.merged {
                let next = match result.unpushed {
                    Some(false) => "The remote has all of it already.",
                    _ => "Push to hand that on.",
                };
                format!("Merged {what}, with what was here. {next}{place}{kept}")
            } else {
                format!("Pulled {what}.{place}{kept}")
            }
        }
        (false, Relation::Ahead) => {
            format!("Nothing to pull: {local_path} has changes that {remote_path} does not. Push them.")
        }
        (false, _) => format!("Nothing to pull: {remote_path} holds the same ({what})."),
    }
}

/// Generation, hash and size.
fn snapshot(result: &SyncResult) -> String {
    let hash = short(result.db_hash.as_deref().unwrap_or_default());
    format!("generation {}, {hash}, {}", result.generation, HumanBytes(result.db_bytes.unwrap_or(0)))
}

fn label(stage: Stage) -> &'static str {
    match stage {
        Stage::Copying => "Copying  ",
        Stage::Packing => "Packing  ",
        Stage::Sending => "Sending  ",
        Stage::Fetching => "Fetching ",
        Stage::Unpacking => "Unpacking",
        Stage::Merging => "Merging  ",
    }
}

/// The sentence, with what to do where SQLite's own does not say it.
fn explain(error: &SyncError) -> String {
    match error {
        SyncError::Local { path, source: PortableError::Damaged(findings) } => format!(
            "{} is damaged: {}. Nothing was exchanged. Move it away, and its -wal with it, then pull; or put its .bak back",
            path.display(),
            findings.join("; ")
        ),
        other => other.to_string(),
    }
}
