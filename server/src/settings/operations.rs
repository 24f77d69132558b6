//! What a server does by itself and how it tells of it: settings for whoever operates it.
//!
//! Where in the flow: a part of the settings, read with them. Never read again while the server runs.

use std::time::Duration;

use clap::Args;

use super::SettingsError;
use super::file::FileSettings;
use crate::limits::HISTORY_EVERY;
use crate::logs::LogForm;

/// Minutes after which a database that nobody uses is closed, where nothing else is said.
const IDLE_MINUTES_DEFAULT: u64 = 10;
/// Scheduled backups of each database that are kept, where nothing else is said.
const BACKUP_KEEP_DEFAULT: u32 = 7;
/// The most that may be asked for.
const BACKUP_KEEP_LIMIT: u32 = 1_000;
/// The most minutes that may be asked for: a month.
const MINUTES_LIMIT: u64 = 31 * 24 * 60;

/// What is set for operating a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operations {
    /// After how long a database that nobody uses is closed, until it is used again; `None` for never.
    pub idle: Option<Duration>,
    /// The form of the log.
    pub log: LogForm,
    /// How often a sample is taken for the status page; not settable from outside.
    pub sample: Duration,
    /// The backups that the server makes by itself, if any.
    pub backups: Option<BackupPlan>,
}

/// How often each database is backed up, and how many backups of it are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupPlan {
    /// How often.
    pub every: Duration,
    /// How many.
    pub keep: usize,
}

impl Default for Operations {
    fn default() -> Self {
        Self {
            idle: Some(minutes(IDLE_MINUTES_DEFAULT)),
            log: LogForm::default(),
            sample: HISTORY_EVERY,
            backups: None,
        }
    }
}

/// The same on the command line and in the environment.
#[derive(Clone, Debug, Default, Args)]
pub struct OperationFlags {
    /// Minutes after which a database that nobody uses is closed, until it is used again [default: 10]; 0 for never.
    #[arg(long, env = "GREENLIGHT_IDLE_MINUTES", value_name = "MINUTES")]
    pub idle_minutes: Option<u64>,
    /// Minutes between two backups of each database into the folder `backups` [default: 0, none].
    #[arg(long, env = "GREENLIGHT_BACKUP_MINUTES", value_name = "MINUTES")]
    pub backup_minutes: Option<u64>,
    /// How many of these are kept of each database [default: 7].
    #[arg(long, env = "GREENLIGHT_BACKUP_KEEP", value_name = "N")]
    pub backup_keep: Option<u32>,
    /// How the log is written: lines for people, or one JSON object a line [default: text].
    #[arg(long, env = "GREENLIGHT_LOG", value_name = "FORM", value_enum)]
    pub log: Option<LogForm>,
}

impl Operations {
    /// Brings flags and file together.
    ///
    /// # Errors
    /// The first value that is not usable.
    pub(super) fn load(flags: OperationFlags, file: &FileSettings) -> Result<Self, SettingsError> {
        let idle = flags.idle_minutes.or(file.idle_minutes).unwrap_or(IDLE_MINUTES_DEFAULT);
        let keep = flags.backup_keep.or(file.backup_keep).unwrap_or(BACKUP_KEEP_DEFAULT);
        if !(1..=BACKUP_KEEP_LIMIT).contains(&keep) {
            return Err(SettingsError::bad("backup_keep", format!("use 1 to {BACKUP_KEEP_LIMIT}")));
        }
        let every_backup = every("backup_minutes", flags.backup_minutes.or(file.backup_minutes).unwrap_or(0))?;
        let backups = every_backup.map(|every| BackupPlan { every, keep: keep as usize });
        let log = flags.log.or(file.log).unwrap_or_default();
        Ok(Self { idle: every("idle_minutes", idle)?, log, sample: HISTORY_EVERY, backups })
    }
}

/// A time in minutes; none for 0.
fn every(key: &str, number: u64) -> Result<Option<Duration>, SettingsError> {
    if number > MINUTES_LIMIT {
        return Err(SettingsError::bad(key, format!("use 0 to {MINUTES_LIMIT} minutes")));
    }
    Ok((number > 0).then(|| minutes(number)))
}

fn minutes(number: u64) -> Duration {
    Duration::from_secs(60 * number)
}
