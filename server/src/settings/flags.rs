//! The command line and the environment; the parser lets flags win over variables.
//!
//! Where in the flow: first step of the start. Never gives defaults: the file comes in between.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::backup::BackupFlags;
use crate::probe::HealthFlags;
use crate::restore::RestoreFlags;
use crate::settings::OperationFlags;
use crate::token::TokenCommand;

/// Keeps SQLite databases in step with browsers and laptops.
#[derive(Clone, Debug, Parser)]
#[command(name = "greenlight-server", version, about, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    /// What is done instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// What a server is started with.
    #[command(flatten)]
    pub flags: Flags,
}

/// What is done instead of serving.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Puts a database back from a copy. A server that has it open gives it up meanwhile; its others go on.
    ///
    /// What was there is kept in the folder `backups`. Clients that know more than the copy offer it again, so that
    /// nothing is lost; with --new-lineage they are refused instead, and the copy is all there is.
    Restore(RestoreFlags),
    /// Adds, lists and revokes tokens; a running server takes it over within two seconds.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Writes a backup of a database, also while a server runs on its folder.
    ///
    /// It is a consistent copy, checked and on disk before it has its name. `restore` puts it back.
    Backup(BackupFlags),
    /// Asks the server on this machine for its health: ends well when it is well.
    Health(HealthFlags),
}

/// What a server is started with.
#[derive(Clone, Debug, Default, Args)]
pub struct Flags {
    /// Folder of databases, one file each; made when it is missing.
    #[arg(long, env = "GREENLIGHT_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Folder of schema files, NAME.sql.
    #[arg(long, env = "GREENLIGHT_SCHEMAS", value_name = "DIR")]
    pub schemas: Option<PathBuf>,
    /// Address and port to listen on [default: 127.0.0.1:8080]; port 0 takes a free one.
    #[arg(long, env = "GREENLIGHT_LISTEN", value_name = "ADDR")]
    pub listen: Option<String>,
    /// Folder of the web app served at `/`; without it `/` is the status page.
    #[arg(long, env = "GREENLIGHT_WEB", value_name = "DIR")]
    pub web: Option<PathBuf>,
    /// Another build of cr-sqlite to load in place of the one linked in.
    #[arg(long, env = "GREENLIGHT_EXTENSION", value_name = "FILE")]
    pub extension: Option<PathBuf>,
    /// Look at the database files every so often: for file systems without events.
    #[arg(long, env = "GREENLIGHT_POLL", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub poll: Option<bool>,
    /// How often to look, in milliseconds [default: 500]; implies --poll.
    #[arg(long, env = "GREENLIGHT_POLL_MS", value_name = "MS")]
    pub poll_ms: Option<u64>,
    /// Everyone on this machine has every role, and databases named after a schema are made on first use.
    #[arg(long, env = "GREENLIGHT_DEV", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub dev: Option<bool>,
    /// File of tokens, as `greenlight-server token` keeps it [default: .tokens.json in the data folder].
    #[arg(long, env = "GREENLIGHT_TOKENS", value_name = "FILE")]
    pub tokens: Option<PathBuf>,
    /// JWK Set with the keys of signed tokens.
    #[arg(long, env = "GREENLIGHT_JWKS", value_name = "FILE")]
    pub jwks: Option<PathBuf>,
    /// Audit log [default: .audit.jsonl in the data folder].
    #[arg(long, env = "GREENLIGHT_AUDIT", value_name = "FILE")]
    pub audit: Option<PathBuf>,
    /// Configuration file (TOML).
    #[arg(long, env = "GREENLIGHT_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Origin of a page elsewhere that may connect, such as https://shop.example; may be repeated.
    #[arg(long, env = "GREENLIGHT_ORIGINS", value_name = "ORIGIN", value_delimiter = ',')]
    pub origin: Vec<String>,
    /// Most sockets at once [default: 1000].
    #[arg(long, env = "GREENLIGHT_MAX_SOCKETS", value_name = "N")]
    pub max_sockets: Option<usize>,
    /// For whoever operates it.
    #[command(flatten)]
    pub operations: OperationFlags,
    /// A token with the role admin on every database. Only from the environment: flags can be seen by others.
    #[clap(skip = std::env::var("GREENLIGHT_ADMIN_TOKEN").ok().map(Secret))]
    pub admin_token: Option<Secret>,
}

/// A token on its way to its digest; never printed.
#[derive(Clone, Default)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}
