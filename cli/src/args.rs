//! The command line.
//!
//! Where in the flow: read once at the start. Never checks what only a database or a server can tell.

use std::path::PathBuf;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::config::RemoteConfig;
use crate::doctor::DoctorArguments;
use crate::exits;
use crate::home::HomeFlags;
use crate::manual::{CompletionsArguments, ManArguments};
use crate::serve::ServeArguments;

/// How long a connection is tried for, unless said otherwise.
pub const CONNECT_SECONDS: u32 = 20;

/// What the command line says; where it can't be read, the process ends with a sentence.
pub fn read() -> Arguments {
    let mut command = exits::documented(Arguments::command());
    let read = Arguments::from_arg_matches(&command.get_matches_mut());
    read.unwrap_or_else(|error| error.format(&mut command).exit())
}

/// Keeps a local SQLite database in step with Greenlight servers, and with folders and buckets that hold snapshots.
#[derive(Debug, Parser)]
#[command(name = "greenlight", version, max_term_width = 100)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make the home folder, its configuration and, where a schema is named, its database.
    Init(InitArguments),
    /// Take over an existing plain SQLite database, so that it can be synced.
    Adopt(crate::adopt::AdoptArguments),
    /// Give remotes names.
    #[command(subcommand)]
    Remote(RemoteCommand),
    /// Bring a local database and a remote in step: a server, which merges, or a folder or
    /// bucket, which holds one snapshot.
    #[command(subcommand)]
    Sync(SyncCommand),
    /// Look at what a Nuke and Resync saved, and write it into a database again.
    #[command(subcommand)]
    Bundle(BundleCommand),
    /// Be a server: hold databases in the home's `data` folder, which others keep in step with.
    Serve(Box<ServeArguments>),
    /// Say what is well and what is not, and what helps; changes nothing.
    Doctor(Box<DoctorArguments>),
    /// Print what a shell needs to complete commands: `source <(greenlight completions bash)`.
    Completions(CompletionsArguments),
    /// Write the manual's pages into a folder.
    Man(ManArguments),
}

/// What `init` is told.
#[derive(Args, Clone, Debug)]
pub struct InitArguments {
    /// The schema file, whose first line is `-- schema: NAME NUMBER`: the database is made of it, or brought to it.
    #[arg(long, value_name = "FILE")]
    pub schema: Option<PathBuf>,
    /// As JSON, for programs.
    #[arg(long)]
    pub json: bool,
    /// Where everything is.
    #[command(flatten)]
    pub home: HomeFlags,
}

/// What can be done with remotes.
#[derive(Debug, Subcommand)]
pub enum RemoteCommand {
    /// Name a remote; the one named `default` is used where none is named.
    Add {
        /// Letters, digits, `-` and `_`.
        name: String,
        /// Where it is, and how what it holds is packed.
        #[command(flatten)]
        remote: Box<RemoteConfig>,
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
        /// Where everything is.
        #[command(flatten)]
        home: Box<HomeFlags>,
    },
    /// Forget a remote's name; what is there stays.
    Remove {
        /// Its name.
        name: String,
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
        /// Where everything is.
        #[command(flatten)]
        home: Box<HomeFlags>,
    },
    /// Show the remotes.
    List {
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
        /// Only their names, a line each: for a shell that completes them.
        #[arg(long, conflicts_with = "json")]
        names: bool,
        /// Where everything is.
        #[command(flatten)]
        home: Box<HomeFlags>,
    },
}

/// What can be done with a bundle.
#[derive(Debug, Subcommand)]
pub enum BundleCommand {
    /// What is in a bundle: whose it is, when and why it was saved, how many rows of each table, and the first of them.
    Show {
        /// The bundle's file.
        file: PathBuf,
        /// How many rows of each table are shown.
        #[arg(long, default_value_t = 20, value_name = "ROWS")]
        limit: usize,
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Write a bundle's rows into a database where they differ, as new local writes; says first what that does.
    Apply(ApplyArguments),
}

/// Which bundle is written into which database.
#[derive(Args, Clone, Debug)]
pub struct ApplyArguments {
    /// The bundle's file.
    pub file: PathBuf,
    /// The local database file; created when --schema names its schema.
    #[arg(long, value_name = "FILE")]
    pub db: PathBuf,
    /// The schema file, whose first line is `-- schema: NAME NUMBER`; needed for a new database, or a new schema.
    #[arg(long, value_name = "FILE")]
    pub schema: Option<PathBuf>,
    /// Which rows.
    #[arg(long, value_enum, default_value_t)]
    pub rows: RowsChoice,
    /// Only say what it would do.
    #[arg(long)]
    pub dry_run: bool,
    /// As JSON, for programs.
    #[arg(long)]
    pub json: bool,
}

/// Which rows of a bundle are written.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
pub enum RowsChoice {
    /// What the server had not acknowledged.
    #[default]
    Unacknowledged,
    /// Everything that was in the database, where the bundle holds it.
    All,
}

/// The ways to sync.
#[derive(Debug, Subcommand)]
pub enum SyncCommand {
    /// Exchange what is new both ways, then end.
    Now {
        /// Which database and which server.
        #[command(flatten)]
        place: Place,
        /// Give up after so many seconds without a connection.
        #[arg(long, default_value_t = CONNECT_SECONDS, value_name = "SECONDS")]
        timeout: u32,
        /// As JSON, for programs: how it ended.
        #[arg(long)]
        json: bool,
    },
    /// How the local database and a remote stand to each other; changes nothing.
    Status(Box<StatusArguments>),
    /// Make a folder or bucket hold what is here; with a server: as `now`.
    Push(Box<SnapshotArguments>),
    /// Make the local database hold what a folder or bucket holds; with a server: as `now`.
    Pull(Box<PullArguments>),
    /// Stay connected and keep both in step until interrupted.
    Watch {
        /// Which database and which server.
        #[command(flatten)]
        place: Place,
        /// As lines of JSON, for programs: each status that differs from the one before.
        #[arg(long)]
        json: bool,
    },
}

/// Which database and which remote are compared.
#[derive(Args, Clone, Debug)]
pub struct StatusArguments {
    /// As JSON, for programs.
    #[arg(long)]
    pub json: bool,
    /// Which database and which remote.
    #[command(flatten)]
    pub place: Place,
}

/// Which database and which remote, and how.
#[derive(Args, Clone, Debug)]
pub struct SnapshotArguments {
    /// One side wins where both have moved, or where it is another project: a push replaces what is there (it is
    /// kept there as before-push.N), a pull gives up what is here (it is kept as .before-pull).
    #[arg(long)]
    pub force: bool,
    /// Only say what it would do.
    #[arg(long)]
    pub dry_run: bool,
    /// As JSON, for programs.
    #[arg(long)]
    pub json: bool,
    /// Which database and which remote.
    #[command(flatten)]
    pub place: Place,
}

/// What a pull is told.
#[derive(Args, Clone, Debug)]
pub struct PullArguments {
    /// Keep what both sides have where both have moved: of a cell that both have written the one that was written more
    /// often wins, and a deleted row stays deleted unless it was written anew. For Greenlight's databases.
    #[arg(long, conflicts_with = "force")]
    pub merge: bool,
    /// Which database and which remote, and how.
    #[command(flatten)]
    pub snapshot: SnapshotArguments,
}

/// Which database and which remote.
#[derive(Args, Clone, Debug)]
pub struct Place {
    /// The remote: a name from the configuration, a path, or wss://sync.example.com/shop. `now` and `watch` need a server.
    #[arg(long, env = "GREENLIGHT_SYNC_REMOTE", value_name = "REMOTE")]
    pub remote: Option<String>,
    /// The schema file, whose first line is `-- schema: NAME NUMBER`; with a server needed once, and again when it
    /// changes. A snapshot that follows a newer schema is refused.
    #[arg(long, value_name = "FILE")]
    pub schema: Option<PathBuf>,
    /// A file that holds the access token; else the environment variable GREENLIGHT_TOKEN.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Where everything is; the database is made on first use when --schema names its schema.
    #[command(flatten)]
    pub home: HomeFlags,
    /// No progress bar, only the last line.
    #[arg(long, short)]
    pub quiet: bool,
}
