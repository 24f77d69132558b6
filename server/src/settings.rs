//! Everything that can be set, in one documented struct, and how flags, environment and file come together.
//!
//! Where in the flow: read once at start; a bad value ends the start with a sentence. Flags win, then the
//! environment (`GREENLIGHT_*`), then the file named by `--config`, then the defaults below.
//! Never read again while the server runs.

mod file;
mod flags;
mod operations;
mod rates;
mod rules;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use ipnet::IpNet;

use self::file::TokenSection;
use crate::access::{Access, Grant, Role, TokenDigest, TokenFile};
use crate::limits::MAX_KNOWN_DATABASES;

pub use file::FileSettings;
pub use flags::{Arguments, Command, Flags, Secret};
pub use operations::{BackupPlan, OperationFlags, Operations};
pub use rates::RateSettings;
pub use rules::{DatabaseRule, Pattern, SchemaChoice};

/// Shortest allowed time between two looks at the files.
const POLL_MIN: Duration = Duration::from_millis(50);
/// Longest allowed time between two looks at the files.
const POLL_MAX: Duration = Duration::from_secs(60);
/// How often the files are looked at where nothing else is said: a write by others is seen within a second.
const POLL_DEFAULT: Duration = Duration::from_millis(500);
/// Most sockets that may be asked for.
const MAX_SOCKETS_LIMIT: usize = 100_000;
/// Sockets allowed at once where nothing else is said.
const MAX_SOCKETS_DEFAULT: usize = 1_000;
/// Databases up to which more are made on first use, where nothing else is said.
const MAX_DATABASES_DEFAULT: usize = 1_000;

/// Shortest token that is taken from the environment, in bytes.
const MIN_TOKEN_BYTES: usize = 16;

/// What the web app may load and speak to, where nothing else is said: its own files, WebAssembly, sockets.
pub const DEFAULT_POLICY: &str = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; \
     connect-src 'self' ws: wss:; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; object-src 'none'; \
     base-uri 'self'; frame-ancestors 'self'";

/// What a server is started with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Folder of databases, one file each. Made when it is missing.
    pub data: PathBuf,
    /// Folder of schema files, `NAME.sql`.
    pub schemas: PathBuf,
    /// Where to listen. Beyond loopback only with at least one token.
    pub listen: SocketAddr,
    /// Folder of the web app that `/` serves; without one `/` is the status page.
    pub web: Option<PathBuf>,
    /// Another build of cr-sqlite to load in place of the one linked in.
    pub extension: Option<PathBuf>,
    /// Look at the files every so often instead of waiting for the file system's events.
    pub poll: Option<Duration>,
    /// Everyone at this machine has every role, and databases named after a schema are made on first use.
    pub dev: bool,
    /// That this is so only until there is a file of tokens; a running server notices.
    pub dev_until_named: bool,
    /// Which names are databases, of which schema, and whether they may be made. The first match counts.
    pub databases: Vec<DatabaseRule>,
    /// Who may do what, by the configuration alone.
    pub access: Access,
    /// The file of tokens that `greenlight-server token` keeps; [`Settings::token_file`] says where it is otherwise.
    pub tokens: Option<PathBuf>,
    /// A JWK Set: the keys of signed tokens.
    pub jwks: Option<PathBuf>,
    /// By whom signed tokens have to be (`iss`); where nothing is said, it isn't looked at.
    pub jwt_issuer: Option<String>,
    /// For whom signed tokens have to be (`aud`); where nothing is said, it isn't looked at.
    pub jwt_audience: Option<String>,
    /// Networks of proxies that are believed in whose request they forward.
    pub trusted_proxies: Vec<IpNet>,
    /// How much one caller may ask for.
    pub rates: RateSettings,
    /// The audit log; [`Settings::audit_file`] says where it is otherwise.
    pub audit: Option<PathBuf>,
    /// Origins of pages that may open a socket or write beside the server's own, as `https://shop.example`.
    pub origins: Vec<String>,
    /// Sockets at once over all databases.
    pub max_sockets: usize,
    /// A database is made on first use only while fewer than so many are known.
    pub max_databases: usize,
    /// The web app's Content-Security-Policy.
    pub policy: String,
    /// What the server does by itself, and how it tells of it.
    pub operations: Operations,
}

/// Why the settings can't be used; each is a sentence for the person who starts the server.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// A value that must be there is missing.
    #[error("{name} is missing: give {flag}, {env} or `{key}` in the configuration file")]
    Missing {
        /// What it is.
        name: &'static str,
        /// The flag that sets it.
        flag: &'static str,
        /// The variable that sets it.
        env: &'static str,
        /// The key that sets it.
        key: &'static str,
    },
    /// A value that can't be used.
    #[error("{key} is not usable: {why}")]
    Bad {
        /// The key, as in the configuration file.
        key: String,
        /// Why, and what would do.
        why: String,
    },
    /// The configuration file can't be read.
    #[error("the configuration file can't be read: {0}")]
    Unreadable(String),
    /// The configuration file isn't what this server understands.
    #[error("the configuration file is not right: {0}")]
    NotToml(String),
    /// The address is reachable by others and nothing says who may come in.
    #[error(
        "{0} can be reached by others, and nothing says who may come in: add a token (`token add`), \
         set GREENLIGHT_ADMIN_TOKEN or name a file of keys (jwks), or listen on 127.0.0.1"
    )]
    Open(SocketAddr),
    /// `--dev` and an address beyond loopback.
    #[error("--dev gives everyone every role, so it listens on loopback only, not on {0}")]
    DevBeyondLoopback(SocketAddr),
}

impl SettingsError {
    pub(crate) fn bad(key: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Bad { key: key.into(), why: why.into() }
    }
}

impl Settings {
    /// Settings for development on this machine, with everything else at its default: what tests start from.
    pub fn dev(data: impl Into<PathBuf>, schemas: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            schemas: schemas.into(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            web: None,
            extension: None,
            poll: None,
            dev: true,
            dev_until_named: false,
            databases: Vec::new(),
            access: Access::default(),
            tokens: None,
            jwks: None,
            jwt_issuer: None,
            jwt_audience: None,
            trusted_proxies: loopback(),
            rates: RateSettings::default(),
            audit: None,
            origins: Vec::new(),
            max_sockets: MAX_SOCKETS_DEFAULT,
            max_databases: MAX_DATABASES_DEFAULT,
            policy: DEFAULT_POLICY.to_owned(),
            operations: Operations::default(),
        }
    }

    /// Brings flags and environment (already merged by the command line's parser) and the file together.
    ///
    /// # Errors
    /// The first value that is missing or not usable.
    pub fn load(flags: Flags) -> Result<Self, SettingsError> {
        let file = match &flags.config {
            Some(path) => FileSettings::read(path)?,
            None => FileSettings::default(),
        };
        let operations = Operations::load(flags.operations, &file)?;
        let settings = Self {
            data: flags.data.or(file.data).ok_or(SettingsError::Missing {
                name: "the folder of databases",
                flag: "--data",
                env: "GREENLIGHT_DATA",
                key: "data",
            })?,
            schemas: flags.schemas.or(file.schemas).ok_or(SettingsError::Missing {
                name: "the folder of schemas",
                flag: "--schemas",
                env: "GREENLIGHT_SCHEMAS",
                key: "schemas",
            })?,
            listen: address(flags.listen.or(file.listen))?,
            web: flags.web.or(file.web),
            extension: flags.extension.or(file.extension),
            poll: poll(flags.poll.or(file.poll).unwrap_or(false), flags.poll_ms.or(file.poll_ms))?,
            dev: flags.dev.or(file.dev).unwrap_or(false),
            dev_until_named: false,
            databases: file.database.into_iter().map(DatabaseRule::try_from).collect::<Result<_, _>>()?,
            access: access(file.token, flags.admin_token)?,
            tokens: flags.tokens.or(file.tokens),
            jwks: flags.jwks.or(file.jwks),
            jwt_issuer: file.jwt_issuer,
            jwt_audience: file.jwt_audience,
            trusted_proxies: file.trusted_proxies.map_or_else(|| Ok(loopback()), networks)?,
            rates: file.rates.try_into()?,
            audit: flags.audit.or(file.audit),
            origins: origins(if flags.origin.is_empty() { file.origins } else { flags.origin })?,
            max_sockets: flags.max_sockets.or(file.max_sockets).unwrap_or(MAX_SOCKETS_DEFAULT),
            max_databases: file.max_databases.unwrap_or(MAX_DATABASES_DEFAULT),
            policy: file.content_security_policy.unwrap_or_else(|| DEFAULT_POLICY.to_owned()),
            operations,
        };
        settings.check()?;
        Ok(settings)
    }

    /// Where the file of tokens is.
    pub fn token_file(&self) -> PathBuf {
        self.tokens.clone().unwrap_or_else(|| token_file_in(&self.data))
    }

    /// Where the audit log is.
    pub fn audit_file(&self) -> PathBuf {
        self.audit.clone().unwrap_or_else(|| audit_file_in(&self.data))
    }

    /// Checks what spans several values, and that named folders and files are there.
    ///
    /// # Errors
    /// The first value that is not usable.
    pub fn check(&self) -> Result<(), SettingsError> {
        let loopback = self.listen.ip().is_loopback();
        if self.dev && !loopback {
            return Err(SettingsError::DevBeyondLoopback(self.listen));
        }
        if !loopback && self.access.is_empty() && self.jwks.is_none() {
            let file = TokenFile::read(&self.token_file());
            if file.map_err(|error| SettingsError::bad("tokens", error.to_string()))?.tokens.is_empty() {
                return Err(SettingsError::Open(self.listen));
            }
        }
        if !self.schemas.is_dir() {
            return Err(SettingsError::bad("schemas", "there is no such folder"));
        }
        if self.web.as_ref().is_some_and(|web| !web.is_dir()) {
            return Err(SettingsError::bad("web", "there is no such folder; build the web app first"));
        }
        if self.extension.as_ref().is_some_and(|file| !file.is_file()) {
            return Err(SettingsError::bad("extension", "there is no such file"));
        }
        if !(1..=MAX_SOCKETS_LIMIT).contains(&self.max_sockets) {
            return Err(SettingsError::bad("max_sockets", format!("use 1 to {MAX_SOCKETS_LIMIT}")));
        }
        if !(1..=MAX_KNOWN_DATABASES).contains(&self.max_databases) {
            return Err(SettingsError::bad("max_databases", format!("use 1 to {MAX_KNOWN_DATABASES}")));
        }
        if axum::http::HeaderValue::from_str(&self.policy).is_err() {
            return Err(SettingsError::bad("content_security_policy", "it does not fit into one header line"));
        }
        Ok(())
    }
}

/// A leading dot is no database's name.
pub(crate) fn token_file_in(data: &Path) -> PathBuf {
    data.join(".tokens.json")
}

/// A leading dot is no database's name.
pub(crate) fn audit_file_in(data: &Path) -> PathBuf {
    data.join(".audit.jsonl")
}

/// What is believed where nothing is said: a proxy on this machine.
fn loopback() -> Vec<IpNet> {
    [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)].map(IpNet::from).to_vec()
}

fn networks(list: Vec<String>) -> Result<Vec<IpNet>, SettingsError> {
    let network = |text: &String| text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok();
    let read = |text: String| {
        network(&text).ok_or_else(|| {
            let why = format!("`{text}` is neither an address nor a network such as 10.0.0.0/8");
            SettingsError::bad("trusted_proxies", why)
        })
    };
    list.into_iter().map(read).collect()
}

fn address(text: Option<String>) -> Result<SocketAddr, SettingsError> {
    let text = text.unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    text.parse().map_err(|_| {
        SettingsError::bad("listen", format!("`{text}` is not an address with a port, such as 127.0.0.1:8080"))
    })
}

fn access(sections: Vec<TokenSection>, admin_token: Option<Secret>) -> Result<Access, SettingsError> {
    let mut grants = Vec::with_capacity(sections.len() + 1);
    for section in sections {
        let role = Role::from_word(&section.role).ok_or_else(|| {
            SettingsError::bad("token.role", format!("`{}` is none of read, write, admin", section.role))
        })?;
        let digest = TokenDigest::from_hex(&section.sha256).ok_or_else(|| {
            SettingsError::bad("token.sha256", "it is not 64 hexadecimal digits: printf %s TOKEN | sha256sum")
        })?;
        let databases = Pattern::new(&section.database, "token.database")?;
        grants.push(Grant { databases, role, digest, expires: None });
    }
    if let Some(Secret(token)) = admin_token {
        if token.len() < MIN_TOKEN_BYTES {
            return Err(SettingsError::bad("GREENLIGHT_ADMIN_TOKEN", format!("use at least {MIN_TOKEN_BYTES} bytes")));
        }
        grants.push(Grant::new("*", Role::Admin, &token)?);
    }
    Ok(Access::new(grants))
}

fn poll(on: bool, every_ms: Option<u64>) -> Result<Option<Duration>, SettingsError> {
    let every = every_ms.map_or(POLL_DEFAULT, Duration::from_millis);
    if !(POLL_MIN..=POLL_MAX).contains(&every) {
        let (min, max) = (POLL_MIN.as_millis(), POLL_MAX.as_millis());
        return Err(SettingsError::bad("poll_ms", format!("use {min} to {max} milliseconds")));
    }
    Ok((on || every_ms.is_some()).then_some(every))
}

fn origins(list: Vec<String>) -> Result<Vec<String>, SettingsError> {
    for origin in &list {
        let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        if !host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '*', ' '])) {
            return Err(SettingsError::bad(
                "origins",
                format!("`{origin}` is not an origin such as https://shop.example, without a path or a wildcard"),
            ));
        }
    }
    Ok(list.into_iter().map(|origin| origin.to_ascii_lowercase()).collect())
}
