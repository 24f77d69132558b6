//! Where everything of this person lies: the home folder, and each path within it, which can be overridden.
//!
//! Where in the flow: first of all, before a database or a remote is touched. Never makes a file.

use std::path::{Path, PathBuf};

use clap::Args;
use thiserror::Error;

use crate::config::{Config, ConfigError};

/// The folder in a person's own where everything is by default.
const FOLDER: &str = ".greenlight";
/// The project that a database belongs to where none is named.
pub const DEFAULT_PROJECT: &str = "default";
/// The remote that is used where none is named, if the configuration has one of this name.
pub const DEFAULT_REMOTE: &str = "default";

/// What these flags stand under in the help, apart from what the command is about.
const HEADING: &str = "Where everything is";

/// What the command line and the environment say of the paths. Each flag stands above its variable, that above the
/// configuration's key, and that above the default.
#[derive(Args, Clone, Debug, Default)]
pub struct HomeFlags {
    /// The folder where everything is that is not named otherwise [default: ~/.greenlight].
    #[arg(long, env = "GREENLIGHT_HOME", value_name = "DIR", help_heading = HEADING)]
    pub home: Option<PathBuf>,
    /// The configuration [default: config.toml at home].
    #[arg(long, env = "GREENLIGHT_CLIENT_CONFIG", value_name = "FILE", help_heading = HEADING)]
    pub config: Option<PathBuf>,
    /// The local database [default: db.sqlite at home].
    #[arg(long, env = "GREENLIGHT_DB", value_name = "FILE", help_heading = HEADING)]
    pub db: Option<PathBuf>,
    /// What was exchanged with folders last [default: sync-meta.json at home].
    #[arg(long, env = "GREENLIGHT_SYNC_META", value_name = "FILE", help_heading = HEADING)]
    pub sync_meta: Option<PathBuf>,
    /// The lock against two syncs at once [default: sync.lock at home].
    #[arg(long, env = "GREENLIGHT_SYNC_LOCK", value_name = "FILE", help_heading = HEADING)]
    pub sync_lock: Option<PathBuf>,
    /// The folder of logs [default: logs at home].
    #[arg(long, env = "GREENLIGHT_LOGS", value_name = "DIR", help_heading = HEADING)]
    pub logs: Option<PathBuf>,
    /// The folder of a server's databases [default: data at home].
    #[arg(long, env = "GREENLIGHT_DATA", value_name = "DIR", help_heading = HEADING)]
    pub data: Option<PathBuf>,
    /// What the database is a copy of; a remote of another project is refused [default: default].
    #[arg(long, env = "GREENLIGHT_PROJECT", value_name = "NAME", help_heading = HEADING)]
    pub project: Option<String>,
}

/// Why the paths can't be told.
#[derive(Debug, Error)]
pub enum HomeError {
    /// The system names no folder of this person.
    #[error("the system names no home folder; say with --home or GREENLIGHT_HOME where everything is to be")]
    NoHome,
    /// A path can't be made absolute.
    #[error("the path {} can't be used: {source}", path.display())]
    Path {
        /// As it was given.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What a shell would have written out.
    #[error(
        "the path {} begins with `~`, which only a shell understands: write it out from the root on, or write ./~ for \
         a folder of that name", .0.display()
    )]
    Tilde(PathBuf),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// All paths, absolute, and what else the configuration says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// The folder.
    pub folder: PathBuf,
    /// The configuration's file; need not be there.
    pub config_file: PathBuf,
    /// The local database.
    pub db: PathBuf,
    /// What was exchanged with snapshot remotes last.
    pub sync_meta: PathBuf,
    /// The lock against two syncs at once.
    pub sync_lock: PathBuf,
    /// The folder of logs.
    pub logs: PathBuf,
    /// The folder of a server's databases.
    pub data: PathBuf,
    /// The project.
    pub project: String,
    /// The configuration, as it was read.
    pub config: Config,
}

impl Home {
    /// From the flags (which hold the environment where they were not given) and the configuration that they lead to.
    ///
    /// # Errors
    /// [`HomeError`]; a configuration that is not there is an empty one, unless it was named.
    pub fn find(flags: &HomeFlags) -> Result<Self, HomeError> {
        let (folder, config_file) = Self::begin(flags)?;
        let config = Config::read(&config_file, flags.config.is_some())?;
        Self::settle(flags, folder, config_file, config)
    }

    /// The same with a configuration that says nothing: for whoever looks for what is wrong with the one that is there.
    ///
    /// # Errors
    /// [`HomeError`], but not of the configuration.
    pub fn without_configuration(flags: &HomeFlags) -> Result<Self, HomeError> {
        let (folder, config_file) = Self::begin(flags)?;
        Self::settle(flags, folder, config_file, Config::default())
    }

    /// The folder, and the configuration's file.
    fn begin(flags: &HomeFlags) -> Result<(PathBuf, PathBuf), HomeError> {
        let folder = match &flags.home {
            Some(folder) => absolute(folder)?,
            None => {
                absolute(&std::env::home_dir().filter(|home| !home.as_os_str().is_empty()).ok_or(HomeError::NoHome)?)?
                    .join(FOLDER)
            }
        };
        let config_file = flags.config.as_deref().map_or_else(|| Ok(folder.join("config.toml")), absolute)?;
        Ok((folder, config_file))
    }

    fn settle(flags: &HomeFlags, folder: PathBuf, config_file: PathBuf, config: Config) -> Result<Self, HomeError> {
        let beside = config_file.parent().unwrap_or(Path::new("")).to_owned();
        let place = |flag: &Option<PathBuf>, key: &Option<PathBuf>, name: &str| match (flag, key) {
            (Some(path), _) => absolute(path),
            // Relative to the file that says it: it means the same wherever the command is run.
            (None, Some(path)) => absolute_in(&beside, path),
            (None, None) => Ok(folder.join(name)),
        };
        Ok(Self {
            db: place(&flags.db, &config.db, "db.sqlite")?,
            sync_meta: place(&flags.sync_meta, &config.sync_meta, "sync-meta.json")?,
            sync_lock: place(&flags.sync_lock, &config.sync_lock, "sync.lock")?,
            logs: place(&flags.logs, &config.logs, "logs")?,
            data: place(&flags.data, &config.data, "data")?,
            project: flags
                .project
                .clone()
                .or_else(|| config.project.clone())
                .unwrap_or_else(|| DEFAULT_PROJECT.to_owned()),
            folder,
            config_file,
            config,
        })
    }

    /// The folder that is the remote where nothing names another.
    pub fn sync_remote(&self) -> PathBuf {
        self.folder.join("sync-remote")
    }
}

/// A path as it is found from anywhere.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, HomeError> {
    absolute_in(Path::new(""), path)
}

/// The same of one that is relative to a folder.
pub(crate) fn absolute_in(folder: &Path, path: &Path) -> Result<PathBuf, HomeError> {
    if path.starts_with("~") {
        return Err(HomeError::Tilde(path.to_owned()));
    }
    let absolute = std::path::absolute(folder.join(path));
    absolute.map_err(|source| HomeError::Path { path: path.to_owned(), source })
}
