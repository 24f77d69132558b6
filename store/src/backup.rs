//! Copies of a database that are kept beside it: before it is migrated, before another file takes its place.
//!
//! Where in the flow: in the opening of a database whose schema goes up, and in a restore. A copy has its name only
//! when it is whole and on disk. Never overwrites one, and never removes another database's.

use std::path::PathBuf;

/// Where copies are kept, and how many of each database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backups {
    /// The folder; made when it is first needed.
    pub folder: PathBuf,
    /// Copies of one database that are kept of each kind; the oldest go first.
    pub keep: usize,
}

#[cfg(not(target_family = "wasm"))]
pub(crate) use native::{
    Kind, Made, copies, create_like, fault_of, free_place, keep, make_folder, name_of, owner_of, prune, set_log_aside,
    sync_file, sync_folder,
};

/// Copies the database as it was last committed, where its options say so. The caller holds the writing transaction,
/// so nobody can have committed since.
///
/// # Errors
/// [`OpenError::Backup`](crate::OpenError::Backup): then nothing may be migrated.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn before_migration(
    options: &mut crate::Options,
    from: u32,
    to: u32,
) -> Result<Option<Made>, crate::OpenError> {
    let (Some(backups), crate::Location::File(file)) = (&options.backups, &options.location) else { return Ok(None) };
    let now_ms = (options.wall_ms)();
    let made = native::copy(backups, file, Kind::Schema(from), now_ms);
    made.map(Some).map_err(|fault| crate::OpenError::Backup { from, to, why: fault.message })
}

/// In a browser there is nothing beside a database.
#[cfg(target_family = "wasm")]
pub(crate) fn before_migration(_: &mut crate::Options, _: u32, _: u32) -> Result<Option<Made>, crate::OpenError> {
    Ok(None)
}

/// Never made.
#[cfg(target_family = "wasm")]
pub(crate) enum Made {}

#[cfg(target_family = "wasm")]
impl Made {
    pub(crate) fn keep(self) {
        match self {}
    }
}

#[cfg(not(target_family = "wasm"))]
mod native {
    use std::ffi::OsStr;
    use std::fs::{File, OpenOptions};
    use std::io::ErrorKind;
    use std::path::{Path, PathBuf};

    use greenlight_core::replica::{Fault, FaultKind};

    use super::Backups;
    use crate::connection::Connection;
    use crate::crash::{self, Point};
    use crate::fault::from_sqlite;

    /// Why a copy was made; a part of its name.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Kind {
        /// Before a migration from this number.
        Schema(u32),
        /// Before a restore.
        Restore,
        /// A log whose file was overwritten.
        Replaced,
        /// By an operator, or the server's schedule.
        Backup,
        /// A file that was damaged: never pruned, since it may be the last of its database.
        Damaged,
    }

    impl Kind {
        fn word(self) -> String {
            match self {
                Self::Schema(number) => format!("schema-{number}"),
                Self::Restore => "before-restore".to_owned(),
                Self::Replaced => "replaced".to_owned(),
                Self::Backup => "backup".to_owned(),
                Self::Damaged => "damaged".to_owned(),
            }
        }

        fn ending(self) -> &'static str {
            match self {
                Self::Schema(_) | Self::Restore | Self::Backup | Self::Damaged => ".sqlite3",
                Self::Replaced => ".log",
            }
        }

        /// Whether copies with this word count as of one kind with this.
        fn takes(self, word: &str) -> bool {
            match self {
                Self::Schema(_) => word.strip_prefix("schema-").is_some_and(|number| number.parse::<u32>().is_ok()),
                Self::Restore | Self::Replaced | Self::Backup | Self::Damaged => word == self.word(),
            }
        }
    }

    /// A copy that goes again unless it is kept: one of a migration that did not happen would only push others out.
    #[derive(Debug)]
    pub(crate) struct Made {
        file: Option<PathBuf>,
        backups: Backups,
        name: String,
        kind: Kind,
    }

    impl Made {
        /// Keeps it, and removes what is beyond the number of copies.
        pub(crate) fn keep(mut self) {
            self.file = None;
            prune(&self.backups, &self.name, self.kind);
        }
    }

    impl Drop for Made {
        fn drop(&mut self) {
            if let Some(file) = &self.file {
                // One that can't be removed takes space, and no more.
                drop(std::fs::remove_file(file));
            }
        }
    }

    /// Writes a consistent copy and has it on disk, name and all, before it returns.
    pub(super) fn copy(backups: &Backups, file: &Path, kind: Kind, now_ms: i64) -> Result<Made, Fault> {
        let name = name_of(file);
        make_folder(&backups.folder)?;
        let part = backups.folder.join(format!(".{name}.part"));
        let copied = write(file, &part).and_then(|()| {
            crash::point(Point::BackupWritten);
            let place = free_place(backups, &name, kind, now_ms);
            std::fs::rename(&part, &place).map_err(fault_of)?;
            sync_folder(&backups.folder)?;
            crash::point(Point::BackupNamed);
            Ok(place)
        });
        let place = copied.inspect_err(|_| drop(std::fs::remove_file(&part)))?;
        Ok(Made { file: Some(place), backups: backups.clone(), name, kind })
    }

    fn write(file: &Path, part: &Path) -> Result<(), Fault> {
        match std::fs::remove_file(part) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(fault_of(error)),
            _ => {}
        }
        create_like(part, &std::fs::metadata(file).map_err(fault_of)?)?;
        let reader = Connection::open_reader(file)?;
        reader.execute_batch("BEGIN").map_err(from_sqlite)?;
        crate::snapshot::copy_into(&reader, part)?;
        reader.execute_batch("COMMIT").map_err(from_sqlite)?;
        sync_file(part)
    }

    /// Copies a file that nobody uses, with what lies beside it, and has that on disk before it returns.
    pub(crate) fn keep(backups: &Backups, file: &Path, kind: Kind, now_ms: i64) -> Result<PathBuf, Fault> {
        let name = name_of(file);
        make_folder(&backups.folder)?;
        let place = free_place(backups, &name, kind, now_ms);
        // The file itself last: a copy that has its name is whole.
        for ending in ["-wal", "-journal", ""] {
            let from = crate::restore::beside(file, ending);
            let part = backups.folder.join(format!(".{name}.part"));
            match std::fs::copy(&from, &part) {
                Err(error) if error.kind() == ErrorKind::NotFound && !ending.is_empty() => continue,
                copied => copied.map_err(fault_of)?,
            };
            sync_file(&part)?;
            std::fs::rename(&part, crate::restore::beside(&place, ending)).map_err(fault_of)?;
        }
        sync_folder(&backups.folder)?;
        Ok(place)
    }

    /// Takes a log away from its file, to be looked at by a person.
    pub(crate) fn set_log_aside(backups: &Backups, file: &Path, kind: Kind, now_ms: i64) -> Result<(), Fault> {
        let log = crate::restore::beside(file, "-wal");
        if std::fs::metadata(&log).is_ok_and(|facts| facts.len() > 0) {
            make_folder(&backups.folder)?;
            let name = name_of(file);
            let place = free_place(backups, &name, kind, now_ms);
            std::fs::rename(&log, &place).map_err(fault_of)?;
            sync_folder(&backups.folder)?;
            prune(backups, &name, kind);
        }
        crate::restore::remove(&log)?;
        file.parent().map_or(Ok(()), sync_folder)
    }

    /// Makes an empty file that the same people may read, before it holds anything.
    pub(crate) fn create_like(file: &Path, like: &std::fs::Metadata) -> Result<(), Fault> {
        let empty = OpenOptions::new().write(true).create_new(true).open(file).map_err(fault_of)?;
        empty.set_permissions(like.permissions()).map_err(fault_of)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            // Only the superuser can, and only for them it matters.
            drop(std::os::unix::fs::fchown(&empty, Some(like.uid()), Some(like.gid())));
        }
        Ok(())
    }

    /// Has a file's content on disk.
    pub(crate) fn sync_file(file: &Path) -> Result<(), Fault> {
        File::open(file).and_then(|file| file.sync_all()).map_err(fault_of)
    }

    /// Makes the folder of copies.
    pub(crate) fn make_folder(folder: &Path) -> Result<(), Fault> {
        let is_new = !folder.exists();
        std::fs::create_dir_all(folder).map_err(fault_of)?;
        let Some(parent) = folder.parent() else { return Ok(()) };
        #[cfg(unix)]
        if is_new && let Ok(facts) = std::fs::metadata(parent) {
            use std::os::unix::fs::MetadataExt as _;
            // What a superuser's command has made must not keep the server out. Only they can, and need to.
            drop(std::os::unix::fs::chown(folder, Some(facts.uid()), Some(facts.gid())));
        }
        sync_folder(parent)
    }

    /// Makes the names in a folder durable.
    pub(crate) fn sync_folder(folder: &Path) -> Result<(), Fault> {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(fault_of)
    }

    /// A copy's name that is not taken. It sorts after those that are there, though the clock was set back meanwhile:
    /// else it would be the first to go, and would be gone at once.
    pub(crate) fn free_place(backups: &Backups, name: &str, kind: Kind, now_ms: i64) -> PathBuf {
        let place = |ms| backups.folder.join(format!("{name}.{}.{}{}", kind.word(), stamp(ms), kind.ending()));
        let newest = copies(backups, name, kind).pop();
        let newest = newest.and_then(|path| moment(&stamp_of(path.file_name()?, name, kind)?));
        let mut ms = newest.map_or(now_ms, |newest| now_ms.max(newest + 1));
        while place(ms).exists() {
            ms += 1;
        }
        place(ms)
    }

    /// Removes the oldest copies of a kind beyond the number that is kept, with what lies beside them.
    pub(crate) fn prune(backups: &Backups, name: &str, kind: Kind) {
        let mut found = copies(backups, name, kind);
        let surplus = found.len().saturating_sub(backups.keep);
        for path in found.drain(..surplus) {
            // What can't be removed now is tried again at the next copy.
            drop(crate::making::clear_place(&path));
        }
    }

    /// The copies of a database of one kind, the oldest first.
    pub(crate) fn copies(backups: &Backups, name: &str, kind: Kind) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(&backups.folder) else { return Vec::new() };
        let mut found: Vec<(String, PathBuf)> = entries
            .flatten()
            .filter_map(|entry| Some((stamp_of(&entry.file_name(), name, kind)?, entry.path())))
            .collect();
        found.sort_unstable();
        found.into_iter().map(|(_, path)| path).collect()
    }

    /// The database that a file is a copy of, if it is of this kind.
    pub(crate) fn owner_of(file: &OsStr, kind: Kind) -> Option<String> {
        let (rest, _) = file.to_str()?.strip_suffix(kind.ending())?.rsplit_once('.')?;
        let (name, _) = rest.rsplit_once('.')?;
        stamp_of(file, name, kind).map(|_| name.to_owned())
    }

    /// The stamp of a file that is a copy of this database and kind.
    fn stamp_of(file: &OsStr, name: &str, kind: Kind) -> Option<String> {
        let rest = file.to_str()?.strip_prefix(name)?.strip_prefix('.')?.strip_suffix(kind.ending())?;
        let (word, stamp) = rest.rsplit_once('.')?;
        let formed = stamp.len() == STAMP_LENGTH && stamp.ends_with('Z');
        (kind.takes(word) && formed).then(|| stamp.to_owned())
    }

    /// The file's name, which is the database's.
    pub(crate) fn name_of(file: &Path) -> String {
        file.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    const STAMP_LENGTH: usize = "20260102T030405678Z".len();

    /// A moment (UTC) as text that sorts by time and is a file's name anywhere.
    fn stamp(ms: i64) -> String {
        let ms = ms.clamp(0, MAX_STAMP_MS);
        let (days, rest) = (ms / 86_400_000, ms % 86_400_000);
        // Days to a date of the Gregorian calendar, in eras of 400 years from March on (Hinnant, "chrono-Compatible
        // Low-Level Date Algorithms").
        let shifted = days + 719_468;
        let (era, day) = (shifted / 146_097, shifted % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let of_year = day - (365 * year + year / 4 - year / 100);
        let month = (5 * of_year + 2) / 153;
        let date = of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = era * 400 + year + i64::from(month <= 2);
        let (hour, minute, second) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1_000 % 60);
        format!("{year:04}{month:02}{date:02}T{hour:02}{minute:02}{second:02}{:03}Z", rest % 1_000)
    }

    /// The moment of a stamp, `None` for what isn't one.
    fn moment(stamp: &str) -> Option<i64> {
        let number = |at: std::ops::Range<usize>| stamp.get(at)?.parse::<i64>().ok();
        let (year, month, date) = (number(0..4)?, number(4..6)?, number(6..8)?);
        let year = year - i64::from(month <= 2);
        let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + date - 1;
        let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
        let seconds = (number(9..11)? * 60 + number(11..13)?) * 60 + number(13..15)?;
        Some((days * 86_400 + seconds) * 1_000 + number(15..18)?)
    }

    /// The last moment of the year 9999.
    const MAX_STAMP_MS: i64 = 253_402_300_799_999;

    /// A failure of the file system, without the path that its text may name.
    pub(crate) fn fault_of(error: std::io::Error) -> Fault {
        let kind = match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => FaultKind::Full,
            ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => FaultKind::ReadOnly,
            _ => FaultKind::Io,
        };
        Fault { kind, message: error.kind().to_string() }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn stamps_are_dates() {
            for (ms, text) in [
                (0, "19700101T000000000Z"),
                (951_782_399_999, "20000228T235959999Z"),
                (951_868_799_001, "20000229T235959001Z"),
                (1_767_323_045_678, "20260102T030405678Z"),
                (i64::MAX, "99991231T235959999Z"),
                (-1, "19700101T000000000Z"),
            ] {
                assert_eq!(stamp(ms), text);
                assert_eq!(moment(text), Some(ms.clamp(0, MAX_STAMP_MS)));
            }
        }

        #[test]
        fn a_copy_that_is_made_while_the_clock_is_behind_is_still_the_newest() {
            let folder = tempfile::tempdir().unwrap();
            let backups = Backups { folder: folder.path().to_owned(), keep: 2 };
            let mut made = Vec::new();
            for now_ms in [1_767_323_045_678, 1_767_323_045_678, 1_735_787_045_678, 5] {
                let place = free_place(&backups, "shop", Kind::Restore, now_ms);
                std::fs::write(&place, "").unwrap();
                prune(&backups, "shop", Kind::Restore);
                made.push(place);
                assert_eq!(copies(&backups, "shop", Kind::Restore), made[made.len().saturating_sub(2)..]);
            }
            assert_eq!(owner_of(made[0].file_name().unwrap(), Kind::Restore), Some("shop".to_owned()));
        }

        #[test]
        fn only_this_databases_copies_of_this_kind_are_pruned() {
            let folder = tempfile::tempdir().unwrap();
            let backups = Backups { folder: folder.path().to_owned(), keep: 2 };
            let touch = |name: &str| std::fs::write(folder.path().join(name), "").unwrap();
            let stamps = ["20260101T000000000Z", "20260102T000000000Z", "20260103T000000000Z"];
            for (number, stamp) in stamps.iter().enumerate() {
                touch(&format!("shop.schema-{number}.{stamp}.sqlite3"));
                touch(&format!("shop.before-restore.{stamp}.sqlite3"));
                touch(&format!("shop.schema-1.schema-1.{stamp}.sqlite3"));
                touch(&format!("shop-2.schema-1.{stamp}.sqlite3"));
            }
            touch("shop.schema-1.mine.sqlite3");
            touch("shop.before-restore.20260101T000000000Z.sqlite3-wal");
            let before = std::fs::read_dir(folder.path()).unwrap().count();
            prune(&backups, "shop", Kind::Schema(9));
            assert!(!folder.path().join("shop.schema-0.20260101T000000000Z.sqlite3").exists(), "the oldest");
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), before - 1);
        }
    }
}
