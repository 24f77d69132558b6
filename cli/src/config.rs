//! `config.toml`: paths, the project, and the remotes by name.
//!
//! Where in the flow: read when the paths are settled, edited by `remote add` and `remote remove`. Never loses what a
//! person wrote in it: an edit keeps comments and order, and is written beside the file first.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::Deserialize;
use thiserror::Error;
use toml_edit::{DocumentMut, Item, Table, value};

use crate::durable;
use crate::sync::{Compression, Encryption};

/// The longest configuration that is read, in bytes.
const MAX_BYTES: u64 = 1024 * 1024;
/// The longest name of a remote, in bytes.
pub const MAX_NAME_BYTES: usize = 64;
/// The key under which remotes are, by name.
const REMOTES: &str = "remotes";

/// What the configuration says; all of it can be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The local database. This and the other paths are relative to the folder that the configuration is in.
    pub db: Option<PathBuf>,
    /// What was exchanged with snapshot remotes last.
    pub sync_meta: Option<PathBuf>,
    /// The lock against two syncs at once.
    pub sync_lock: Option<PathBuf>,
    /// The folder of logs.
    pub logs: Option<PathBuf>,
    /// The folder of a server's databases.
    pub data: Option<PathBuf>,
    /// The project.
    pub project: Option<String>,
    /// The remotes, by name.
    #[serde(default)]
    pub remotes: BTreeMap<String, RemoteConfig>,
}

/// One remote, as the configuration and `remote add` say it.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoteConfig {
    /// A path or folder:PATH; s3://BUCKET/PREFIX; ws://HOST/DATABASE or wss://HOST/DATABASE.
    pub address: String,
    /// How a push compresses the snapshot [default: as the one that is there].
    #[arg(long)]
    pub compression: Option<Compression>,
    /// How a push encrypts the snapshot [default: as the one that is there].
    #[arg(long)]
    pub encryption: Option<Encryption>,
    /// A file that holds the passphrase; else the environment variable GREENLIGHT_PASSPHRASE.
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// A file that holds a server's access token; else the environment variable GREENLIGHT_TOKEN.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Where a bucket's storage is, as https://HOST [default: AWS_ENDPOINT_URL, else Amazon's].
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// A bucket's region [default: AWS_REGION, else us-east-1].
    #[arg(long)]
    pub region: Option<String>,
    /// Take an endpoint that is http://, without TLS: in a network of your own alone.
    #[arg(long)]
    #[serde(default)]
    pub allow_http: bool,
}

impl RemoteConfig {
    /// Whether it says anything that only snapshots have a use for.
    pub fn packs(&self) -> bool {
        self.compression.is_some() || self.encryption.is_some() || self.passphrase_file.is_some()
    }

    fn to_table(&self) -> Table {
        let keys = [
            ("address", Some(self.address.clone())),
            ("compression", self.compression.map(word)),
            ("encryption", self.encryption.map(word)),
            ("passphrase_file", self.passphrase_file.as_ref().map(|file| file.display().to_string())),
            ("token_file", self.token_file.as_ref().map(|file| file.display().to_string())),
            ("endpoint", self.endpoint.clone()),
            ("region", self.region.clone()),
        ];
        let mut table = Table::new();
        for (key, said) in keys {
            if let Some(said) = said {
                table[key] = value(said);
            }
        }
        if self.allow_http {
            table["allow_http"] = value(true);
        }
        table
    }
}

/// Why the configuration can't be read or changed.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file.
    #[error("the configuration {} can't be read: {source}", file.display())]
    Read {
        /// Which.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is too long for a configuration.
    #[error("the configuration {} is longer than {MAX_BYTES} bytes", .0.display())]
    TooLong(PathBuf),
    /// What it says.
    #[error("the configuration {} can't be used: {why}", file.display())]
    Text {
        /// Which.
        file: PathBuf,
        /// Where and why.
        why: String,
    },
    /// It can't be written.
    #[error("the configuration {} can't be written: {source}; it is as it was", file.display())]
    Write {
        /// Which.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What can't be a remote's name.
    #[error(
        "`{0}` can't be a remote's name: use up to {MAX_NAME_BYTES} letters, digits, `-` and `_`, as in `usb` or `office`"
    )]
    Name(String),
    /// There is one of that name.
    #[error("there is a remote named `{name}` already, at {address}; remove it first, or choose another name")]
    Taken {
        /// The name.
        name: String,
        /// Where it is.
        address: String,
    },
    /// There is none of that name.
    #[error("there is no remote named `{0}`; `greenlight remote list` shows those that there are")]
    Unknown(String),
}

impl Config {
    /// Reads the file. One that is not there is empty, unless it `must_exist`.
    ///
    /// # Errors
    /// [`ConfigError::Read`], [`ConfigError::TooLong`], [`ConfigError::Text`].
    pub fn read(file: &Path, must_exist: bool) -> Result<Self, ConfigError> {
        let text = match text(file) {
            Err(ConfigError::Read { source, .. }) if source.kind() == ErrorKind::NotFound && !must_exist => {
                return Ok(Self::default());
            }
            text => text?,
        };
        let config: Self = toml::from_str(&text)
            .map_err(|error| ConfigError::Text { file: file.to_owned(), why: error.to_string().trim().to_owned() })?;
        if let Some((key, _)) = config.paths().into_iter().find(|(_, path)| path.is_some_and(|it| it == Path::new("")))
        {
            let why = format!("`{key}` is empty: write a path, or take the key away");
            return Err(ConfigError::Text { file: file.to_owned(), why });
        }
        match config.remotes.keys().find(|name| !is_name(name)) {
            Some(name) => {
                Err(ConfigError::Text { file: file.to_owned(), why: ConfigError::Name(name.clone()).to_string() })
            }
            None => Ok(config),
        }
    }

    /// The paths, by their keys.
    fn paths(&self) -> [(&'static str, Option<&Path>); 5] {
        [
            ("db", self.db.as_deref()),
            ("sync_meta", self.sync_meta.as_deref()),
            ("sync_lock", self.sync_lock.as_deref()),
            ("logs", self.logs.as_deref()),
            ("data", self.data.as_deref()),
        ]
    }

    /// Names a remote.
    ///
    /// # Errors
    /// [`ConfigError`]; the file is as it was.
    pub fn add_remote(file: &Path, name: &str, remote: &RemoteConfig) -> Result<(), ConfigError> {
        if !is_name(name) {
            return Err(ConfigError::Name(name.to_owned()));
        }
        let present = Self::read(file, false)?;
        if let Some(RemoteConfig { address, .. }) = present.remotes.get(name) {
            return Err(ConfigError::Taken { name: name.to_owned(), address: address.clone() });
        }
        edit(file, |document| {
            let remotes = document.entry(REMOTES).or_insert_with(|| {
                let mut table = Table::new();
                table.set_implicit(true);
                Item::Table(table)
            });
            remotes[name] = Item::Table(remote.to_table());
        })
    }

    /// Forgets a remote; what is there stays.
    ///
    /// # Errors
    /// [`ConfigError`]; the file is as it was.
    pub fn remove_remote(file: &Path, name: &str) -> Result<String, ConfigError> {
        let present = Self::read(file, false)?;
        let remote = present.remotes.get(name).ok_or_else(|| ConfigError::Unknown(name.to_owned()))?;
        edit(file, |document| {
            if let Some(remotes) = document.get_mut(REMOTES).and_then(Item::as_table_like_mut) {
                remotes.remove(name);
            }
        })?;
        Ok(remote.address.clone())
    }
}

/// As it is written on the command line, and in the configuration.
fn word(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|word| word.get_name().to_owned()).unwrap_or_default()
}

/// Letters, digits, `-` and `_`: nothing that could be taken for a path or an address.
fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !name.is_empty() && name.len() <= MAX_NAME_BYTES && name.bytes().all(plain) && !name.starts_with('-')
}

fn text(file: &Path) -> Result<String, ConfigError> {
    let failed = |source| ConfigError::Read { file: file.to_owned(), source };
    if std::fs::metadata(file).map_err(failed)?.len() > MAX_BYTES {
        return Err(ConfigError::TooLong(file.to_owned()));
    }
    std::fs::read_to_string(file).map_err(failed)
}

fn edit(file: &Path, change: impl FnOnce(&mut DocumentMut)) -> Result<(), ConfigError> {
    let present = match text(file) {
        Err(ConfigError::Read { source, .. }) if source.kind() == ErrorKind::NotFound => String::new(),
        text => text?,
    };
    let mut document: DocumentMut = present
        .parse()
        .map_err(|error: toml_edit::TomlError| ConfigError::Text { file: file.to_owned(), why: error.to_string() })?;
    change(&mut document);
    durable::write(file, document.to_string().as_bytes())
        .map_err(|source| ConfigError::Write { file: file.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_keeps_what_a_person_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.toml");
        let written =
            "# mine\nproject = \"notes\" # for work\n\n[remotes.usb] # the red one\naddress = \"/media/usb\"\n";
        std::fs::write(&file, written).unwrap();
        let office = RemoteConfig {
            address: "s3://bucket/office".to_owned(),
            compression: Some(Compression::Zstd),
            encryption: Some(Encryption::Age),
            passphrase_file: Some("/secret/phrase".into()),
            token_file: Some("/secret/token".into()),
            endpoint: Some("http://127.0.0.1:9000".to_owned()),
            region: Some("eu-central-1".to_owned()),
            allow_http: true,
        };
        Config::add_remote(&file, "office", &office).unwrap();
        let config = Config::read(&file, true).unwrap();
        assert_eq!(config.remotes["office"], office);
        assert_eq!(config.remotes["usb"].address, "/media/usb");
        assert!(std::fs::read_to_string(&file).unwrap().starts_with(written));
        assert_eq!(Config::remove_remote(&file, "office").unwrap(), "s3://bucket/office");
        assert_eq!(std::fs::read_to_string(&file).unwrap().trim_end(), written.trim_end());
    }

    #[test]
    fn what_can_not_be_understood_is_told_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.toml");
        for (text, why) in [
            ("databse = 1", "unknown field"),
            ("[remotes.usb]\nadress = \"x\"", "unknown field"),
            ("[remotes.usb]\naddress = \"x\"\nencryption = \"rot13\"", "unknown variant"),
            ("[remotes.usb]\naddress = \"x\"\npassphrase = \"x\"", "unknown field"),
            ("[remotes.\"../x\"]\naddress = \"x\"", "can't be a remote's name"),
            ("db = ", "can't be used"),
            ("db = \"\"", "`db` is empty"),
        ] {
            std::fs::write(&file, text).unwrap();
            let error = Config::read(&file, true).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
            let error = Config::add_remote(&file, "a", &RemoteConfig::default()).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
            assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
        }
        assert!(Config::read(&folder.path().join("none"), true).is_err());
        assert_eq!(Config::read(&folder.path().join("none"), false).unwrap(), Config::default());
    }
}
