//! The file of tokens that `greenlight-server token` writes and a running server reads again when it changes.
//!
//! Where in the flow: beneath access. Holds digests and never a token; is replaced as a whole, so that a reader sees
//! the file before or after a change and nothing between.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Grant, Role, TokenDigest, Verified};
use crate::limits::{REVOKED_SUBJECTS, TOKEN_FILE_BYTES, TOKEN_NAME_BYTES, TOKENS};
use crate::owner::{self, folder_of};
use crate::settings::Pattern;

/// What a token begins with, so that it is recognised where it should not be.
const PREFIX: &str = "glt_";
/// Random bytes of a token.
const RANDOM_BYTES: usize = 32;
/// The file's readers and writers: its owner.
const MODE: u32 = 0o600;

/// The file's content.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenFile {
    /// The tokens, in the order in which they were added.
    #[serde(default)]
    pub tokens: Vec<StoredToken>,
    /// Whose signed tokens are not good any more.
    #[serde(default)]
    pub revoked_subjects: Vec<RevokedSubject>,
}

/// A token as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredToken {
    /// Whose it is, in the operator's words.
    pub name: String,
    /// The databases that it opens; `*` stands for any text.
    pub database: String,
    /// What it allows there.
    pub role: Role,
    /// SHA-256 of the token, 64 hexadecimal digits.
    pub sha256: String,
    /// When it was added, seconds since 1970.
    pub created: i64,
    /// Until when it is good, seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<i64>,
}

/// Signed tokens of this subject that were issued until then, or don't say when, are refused.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokedSubject {
    /// `sub`.
    pub subject: String,
    /// Seconds since 1970.
    pub until: i64,
}

impl RevokedSubject {
    pub(super) fn covers(&self, verified: &Verified) -> bool {
        self.subject == verified.subject && verified.issued.is_none_or(|issued| issued <= self.until)
    }
}

/// What a new token is to be.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Whose it is.
    pub name: String,
    /// The databases.
    pub database: String,
    /// What it allows there.
    pub role: Role,
    /// Now, seconds since 1970.
    pub now: i64,
    /// Until when, seconds since 1970.
    pub expires: Option<i64>,
}

/// Why tokens can't be read or changed; each is a sentence for an operator.
#[derive(Debug, Error)]
pub enum TokenFileError {
    /// The file.
    #[error("the file of tokens can't be used: {0}")]
    File(#[from] std::io::Error),
    /// Its content.
    #[error("the file of tokens is not right: {0}")]
    Content(String),
    /// A wish that can't be met.
    #[error("{0}")]
    Wish(String),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
}

impl TokenFile {
    /// Reads a file; one that isn't there is empty.
    ///
    /// # Errors
    /// [`TokenFileError`].
    pub fn read(path: &Path) -> Result<Self, TokenFileError> {
        match std::fs::metadata(path) {
            Ok(found) if found.len() > TOKEN_FILE_BYTES => {
                return Err(TokenFileError::Content(format!("it is larger than {TOKEN_FILE_BYTES} bytes")));
            }
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error.into()),
        }
        let text = std::fs::read_to_string(path)?;
        let file: Self = serde_json::from_str(&text).map_err(|error| TokenFileError::Content(error.to_string()))?;
        file.check()?;
        Ok(file)
    }

    fn check(&self) -> Result<(), TokenFileError> {
        let wrong = |token: &StoredToken| grant(token).is_none();
        match self.tokens.iter().find(|token| wrong(token)) {
            Some(token) => Err(TokenFileError::Content(format!("the token `{}` can't be used", token.name))),
            None => Ok(()),
        }
    }

    /// What the tokens allow.
    pub(super) fn grants(&self) -> impl Iterator<Item = Grant> {
        // All can be used: see `check`.
        self.tokens.iter().filter_map(grant)
    }

    /// Changes a file, alone: what `change` returns is returned when the new file is on disk.
    ///
    /// # Errors
    /// [`TokenFileError`]; the file is as it was.
    pub fn change<T>(
        path: &Path,
        change: impl FnOnce(&mut Self) -> Result<T, TokenFileError>,
    ) -> Result<T, TokenFileError> {
        std::fs::create_dir_all(folder_of(path))?;
        let lock =
            OpenOptions::new().create(true).truncate(false).write(true).open(path.with_added_extension("lock"))?;
        lock.lock()?;
        let mut file = Self::read(path)?;
        let answer = change(&mut file)?;
        file.check()?;
        file.write(path)?;
        Ok(answer)
    }

    /// Adds a token and returns its text, which is kept nowhere.
    ///
    /// # Errors
    /// [`TokenFileError::Wish`] says what is wrong with it.
    pub fn add(&mut self, new: NewToken) -> Result<(StoredToken, String), TokenFileError> {
        let wish = |why: &str| Err(TokenFileError::Wish(why.to_owned()));
        if self.tokens.len() >= TOKENS {
            return wish(&format!("there are {TOKENS} tokens, and no more are kept: revoke some"));
        }
        if new.name.trim().is_empty() || new.name.len() > TOKEN_NAME_BYTES || new.name.contains(char::is_control) {
            return wish(&format!("say whose token it is, in 1 to {TOKEN_NAME_BYTES} bytes"));
        }
        if self.tokens.iter().any(|token| token.name == new.name) {
            return wish(&format!("there is a token named `{}`: revoke it first, or name this one apart", new.name));
        }
        if let Err(error) = Pattern::new(&new.database, "--database") {
            return wish(&error.to_string());
        }
        let mut random = [0; RANDOM_BYTES];
        getrandom::fill(&mut random).map_err(|_| TokenFileError::Random)?;
        let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
        let NewToken { name, database, role, now, expires } = new;
        let sha256 = TokenDigest::of(&text).to_hex();
        let stored = StoredToken { name, database, role, sha256, created: now, expires };
        self.tokens.push(stored.clone());
        Ok((stored, text))
    }

    /// Removes the token of a name or id.
    ///
    /// # Errors
    /// [`TokenFileError::Wish`] where none has it, or an id has several.
    pub fn revoke(&mut self, which: &str) -> Result<StoredToken, TokenFileError> {
        let named = |token: &StoredToken| token.name == which || token.id() == which;
        let found: Vec<usize> = (0..self.tokens.len()).filter(|&index| named(&self.tokens[index])).collect();
        match found[..] {
            [index] => Ok(self.tokens.remove(index)),
            [] => Err(TokenFileError::Wish(format!("no token has the name or id `{which}`: see `token list`"))),
            _ => Err(TokenFileError::Wish(format!("several tokens answer to `{which}`: revoke by name"))),
        }
    }

    /// Refuses all of a subject's signed tokens that were issued until `now`, seconds since 1970.
    ///
    /// # Errors
    /// [`TokenFileError::Wish`] at the limit of subjects.
    pub fn revoke_subject(&mut self, subject: &str, now: i64) -> Result<(), TokenFileError> {
        self.revoked_subjects.retain(|revoked| revoked.subject != subject);
        if self.revoked_subjects.len() >= REVOKED_SUBJECTS {
            let why = format!("{REVOKED_SUBJECTS} subjects are revoked, and no more are kept: change the keys instead");
            return Err(TokenFileError::Wish(why));
        }
        self.revoked_subjects.push(RevokedSubject { subject: subject.to_owned(), until: now });
        Ok(())
    }

    fn write(&self, path: &Path) -> Result<(), TokenFileError> {
        let text = serde_json::to_string_pretty(self).map_err(|error| TokenFileError::Content(error.to_string()))?;
        let folder = folder_of(path);
        let mut new = tempfile::Builder::new().prefix(".tokens-").tempfile_in(folder)?;
        new.write_all(text.as_bytes())?;
        new.write_all(b"\n")?;
        new.as_file().set_permissions(std::fs::Permissions::from_mode(MODE))?;
        owner::give(new.as_file(), if path.exists() { path } else { folder })?;
        new.as_file().sync_all()?;
        new.persist(path).map_err(|error| error.error)?;
        Ok(File::open(folder)?.sync_all()?)
    }
}

impl StoredToken {
    /// By what operators call it; see [`TokenDigest::id`].
    pub fn id(&self) -> &str {
        self.sha256.get(..8).unwrap_or_default()
    }
}

fn grant(token: &StoredToken) -> Option<Grant> {
    let databases = Pattern::new(&token.database, "database").ok()?;
    let digest = TokenDigest::from_hex(&token.sha256)?;
    Some(Grant { databases, role: token.role, digest, expires: token.expires })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(name: &str) -> NewToken {
        NewToken { name: name.to_owned(), database: "shop*".to_owned(), role: Role::Write, now: 7, expires: None }
    }

    #[test]
    fn a_token_is_kept_as_its_digest_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");
        let (stored, text) = TokenFile::change(&path, |file| file.add(new("till 3"))).unwrap();
        let kept = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(PREFIX) && !kept.contains(&text[PREFIX.len()..]), "{kept}");
        assert_eq!(stored.sha256, TokenDigest::of(&text).to_hex());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
        assert_eq!(TokenFile::read(&path).unwrap().grants().count(), 1);
        TokenFile::change(&path, |file| file.revoke(stored.id())).unwrap();
        assert_eq!(TokenFile::read(&path).unwrap().grants().count(), 0);
    }

    #[test]
    fn what_can_not_be_met_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");
        TokenFile::change(&path, |file| file.add(new("till 3"))).unwrap();
        let before = std::fs::read(&path).unwrap();
        for (wish, word) in [
            (new("till 3"), "there is a token named"),
            (new(" "), "whose token"),
            (new("a\nb"), "whose token"),
            (NewToken { database: "a/b".to_owned(), ..new("x") }, "a/b"),
        ] {
            let error = TokenFile::change(&path, |file| file.add(wish)).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        let error = TokenFile::change(&path, |file| file.revoke("nobody")).unwrap_err().to_string();
        assert!(error.contains("nobody"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    #[test]
    fn what_a_command_of_the_superuser_makes_belongs_to_the_servers_user() {
        use std::os::unix::fs::{MetadataExt as _, chown};
        let folder = tempfile::tempdir().unwrap();
        // Where this isn't the superuser, there is one owner for all, and nothing to give.
        let owner =
            if folder.path().metadata().unwrap().uid() == 0 { 65_534 } else { folder.path().metadata().unwrap().uid() };
        chown(folder.path(), Some(owner), None).unwrap();
        let path = folder.path().join("tokens.json");
        TokenFile::change(&path, |file| file.add(new("till 3"))).unwrap();
        assert_eq!(path.metadata().unwrap().uid(), owner);
        let audit = folder.path().join("audit");
        drop(crate::audit::Audit::open(&audit).unwrap());
        assert_eq!(audit.metadata().unwrap().uid(), owner);
    }

    #[test]
    fn many_hands_at_once_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");
        std::thread::scope(|scope| {
            for number in 0..8 {
                let path = &path;
                scope.spawn(move || TokenFile::change(path, |file| file.add(new(&format!("till {number}")))).unwrap());
            }
        });
        assert_eq!(TokenFile::read(&path).unwrap().tokens.len(), 8);
    }

    #[test]
    fn a_file_that_is_not_right_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");
        let token = r#"{"name": "a", "database": "*", "role": "write", "created": 1, "sha256": "#;
        for content in ["", "[1]", r#"{"tokenz": []}"#, &format!(r#"{{"tokens": [{token}"12"}}]}}"#)] {
            std::fs::write(&path, content).unwrap();
            assert!(matches!(TokenFile::read(&path), Err(TokenFileError::Content(_))), "{content}");
            assert!(TokenFile::change(&path, |file| file.add(new("x"))).is_err());
            assert_eq!(std::fs::read_to_string(&path).unwrap(), content, "kept as it was");
        }
    }
}
