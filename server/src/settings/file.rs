//! The configuration file's shape.
//!
//! Where in the flow: read between environment and defaults. Never accepts a key that it doesn't know.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::SettingsError;
use crate::logs::LogForm;

/// What the file may hold; every key is optional. Relative paths count from the file's own folder.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSettings {
    /// See [`super::Settings::data`].
    pub data: Option<PathBuf>,
    /// See [`super::Settings::schemas`].
    pub schemas: Option<PathBuf>,
    /// See [`super::Settings::listen`].
    pub listen: Option<String>,
    /// See [`super::Settings::web`].
    pub web: Option<PathBuf>,
    /// See [`super::Settings::extension`].
    pub extension: Option<PathBuf>,
    /// Whether to poll; see [`super::Settings::poll`].
    pub poll: Option<bool>,
    /// How often, in milliseconds.
    pub poll_ms: Option<u64>,
    /// See [`super::Settings::dev`].
    pub dev: Option<bool>,
    /// See [`super::Settings::origins`].
    #[serde(default)]
    pub origins: Vec<String>,
    /// See [`super::Settings::max_sockets`].
    pub max_sockets: Option<usize>,
    /// See [`super::Settings::max_databases`].
    pub max_databases: Option<usize>,
    /// See [`super::Settings::policy`].
    pub content_security_policy: Option<String>,
    /// See [`super::Operations::idle`].
    pub idle_minutes: Option<u64>,
    /// See [`super::BackupPlan::every`].
    pub backup_minutes: Option<u64>,
    /// See [`super::BackupPlan::keep`].
    pub backup_keep: Option<u32>,
    /// See [`super::Settings::tokens`].
    pub tokens: Option<PathBuf>,
    /// See [`super::Settings::jwks`].
    pub jwks: Option<PathBuf>,
    /// See [`super::Settings::jwt_issuer`].
    pub jwt_issuer: Option<String>,
    /// See [`super::Settings::jwt_audience`].
    pub jwt_audience: Option<String>,
    /// See [`super::Settings::trusted_proxies`].
    pub trusted_proxies: Option<Vec<String>>,
    /// See [`super::Settings::audit`].
    pub audit: Option<PathBuf>,
    /// `[rates]`.
    #[serde(default)]
    pub rates: RateSection,
    /// See [`super::Operations::log`].
    pub log: Option<LogForm>,
    /// `[[database]]` sections, in order.
    #[serde(default)]
    pub database: Vec<DatabaseSection>,
    /// `[[token]]` sections.
    #[serde(default)]
    pub token: Vec<TokenSection>,
}

/// `[rates]`: see [`super::RateSettings`].
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateSection {
    /// Requests a second.
    pub requests_per_second: Option<u32>,
    /// Requests at once.
    pub request_burst: Option<u32>,
    /// Bytes a second.
    pub upload_bytes_per_second: Option<u32>,
    /// Bytes at once.
    pub upload_burst_bytes: Option<u32>,
    /// Sockets of one address.
    pub sockets_per_address: Option<usize>,
}

/// One `[[database]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseSection {
    /// Names that this section is about; `*` stands for any text.
    pub pattern: String,
    /// The schema file's name without `.sql`.
    pub schema: String,
    /// Whether a database of such a name is made on first use.
    #[serde(default)]
    pub create: bool,
    /// How large a database may get, in MiB.
    pub max_mib: Option<u32>,
}

/// One `[[token]]`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenSection {
    /// Databases that it opens; `*` stands for any text.
    pub database: String,
    /// `read`, `write` or `admin`; each includes those before it.
    pub role: String,
    /// SHA-256 of the token, 64 hexadecimal digits: the token itself is not kept.
    pub sha256: String,
}

impl std::fmt::Debug for TokenSection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenSection")
            .field("database", &self.database)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

impl FileSettings {
    /// Reads a file and makes its relative paths count from its folder.
    ///
    /// # Errors
    /// [`SettingsError::Unreadable`] or [`SettingsError::NotToml`].
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        let text = std::fs::read_to_string(path).map_err(|error| SettingsError::Unreadable(error.to_string()))?;
        let mut file: Self = toml::from_str(&text).map_err(|error| SettingsError::NotToml(error.to_string()))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let FileSettings { data, schemas, web, extension, tokens, jwks, audit, .. } = &mut file;
        for relative in [data, schemas, web, extension, tokens, jwks, audit].into_iter().flatten() {
            *relative = folder.join(&*relative);
        }
        Ok(file)
    }

    /// The folder of databases for a command: as it is given, or as a configuration file names it.
    ///
    /// # Errors
    /// [`SettingsError`], also when neither names one.
    pub fn data_folder(given: Option<&Path>, config: Option<&Path>) -> Result<PathBuf, SettingsError> {
        let found = match (given, config) {
            (Some(data), _) => Some(data.to_owned()),
            (None, Some(path)) => Self::read(path)?.data,
            (None, None) => None,
        };
        found.ok_or(SettingsError::Missing {
            name: "the folder of databases",
            flag: "--data",
            env: "GREENLIGHT_DATA",
            key: "data",
        })
    }
}
