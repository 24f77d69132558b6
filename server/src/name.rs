//! Names of databases: what a URL may say, and what becomes a file's name.
//!
//! Where in the flow: checked before anything else is done with a name. Never touches the disk.

use std::fmt;
use std::sync::Arc;

use greenlight_core::limits::MAX_NAME_BYTES;
use thiserror::Error;

/// The folder beside the databases in which copies of them are kept.
pub const BACKUP_FOLDER: &str = "backups";
/// Words of the server's own routes, and its own folder.
const TAKEN: [&str; 4] = ["status", "health", "metrics", BACKUP_FOLDER];
/// Endings of files that SQLite keeps beside a database.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// A database's name, which is its file's name too, with its extension if it has one.
/// A letter, digit or `_`, then up to 127 of these and `.` and `-`; no `..`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DatabaseName(Arc<str>);

/// Why a text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// Too long or too short, or with other characters.
    #[error(
        "a database's name is a letter, a digit or `_`, then at most {} letters, digits, `_`, `.` or `-`, without `..`",
        MAX_NAME_BYTES - 1
    )]
    Form,
    /// A word of the server's own.
    #[error("`status`, `health`, `metrics` and `backups` are no database names")]
    Taken,
    /// SQLite's own files.
    #[error("names ending in `-wal`, `-shm` or `-journal` are SQLite's own")]
    Beside,
}

impl DatabaseName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`NameError`] says what is wrong.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let formed = text.len() <= MAX_NAME_BYTES
            && text.starts_with(word)
            && text.chars().all(|c| word(c) || c == '.' || c == '-')
            && !text.contains("..");
        if !formed {
            return Err(NameError::Form);
        }
        if TAKEN.contains(&text) {
            return Err(NameError::Taken);
        }
        if BESIDE.iter().any(|ending| text.ends_with(ending)) {
            return Err(NameError::Beside);
        }
        Ok(Self(text.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The database that a file belongs to, by the file's name: itself, or the one that it stands beside.
    pub fn of_file(file: &str) -> Option<Self> {
        let name = BESIDE.iter().find_map(|ending| file.strip_suffix(ending)).unwrap_or(file);
        Self::parse(name).ok()
    }
}

impl fmt::Display for DatabaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DatabaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_are_names() {
        for good in ["shop", "shop.db", "shop-42.sqlite3", "_x", "9", &"a".repeat(128)] {
            assert!(DatabaseName::parse(good).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("", NameError::Form),
            (".shop", NameError::Form),
            ("-shop", NameError::Form),
            ("a..b", NameError::Form),
            ("a/b", NameError::Form),
            ("a\\b", NameError::Form),
            ("a\0b", NameError::Form),
            ("büch", NameError::Form),
            (&"a".repeat(129), NameError::Form),
            ("status", NameError::Taken),
            ("health", NameError::Taken),
            ("metrics", NameError::Taken),
            ("backups", NameError::Taken),
            ("shop-wal", NameError::Beside),
            ("shop-shm", NameError::Beside),
            ("shop-journal", NameError::Beside),
        ] {
            assert_eq!(DatabaseName::parse(bad), Err(why), "{bad}");
        }
    }

    #[test]
    fn files_beside_a_database_lead_to_it() {
        let name = |text| Some(DatabaseName::parse(text).unwrap());
        assert_eq!(DatabaseName::of_file("shop.db-wal"), name("shop.db"));
        assert_eq!(DatabaseName::of_file("shop"), name("shop"));
        assert_eq!(DatabaseName::of_file(".hidden"), None);
    }
}
