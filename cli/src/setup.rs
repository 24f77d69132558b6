//! `greenlight init` and `greenlight remote`: the home folder, and the remotes by name.
//!
//! Where in the flow: before the first sync. Never touches what a remote holds, and never overwrites a file.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use greenlight_store::Upgrade;
use serde::Serialize;
use serde_json::json;
use thiserror::Error;

use crate::ClientError;
use crate::address::{Address, AddressError, Chosen};
use crate::args::{InitArguments, RemoteCommand};
use crate::config::{Config, ConfigError, RemoteConfig};
use crate::durable;
use crate::home::{DEFAULT_REMOTE, Home, HomeError};
use crate::output::say;
use crate::schema::{Change, Named};
use crate::sync::{Compression, Encryption, Passphrase};

/// What a new configuration holds.
const TEMPLATE: &str = "# The configuration of greenlight. Every key can be left out; docs/cli.md has them all.\n\
                        # project = \"notes\"\n\
                        # db = \"db.sqlite\"\n\n\
                        # [remotes.default]\n\
                        # address = \"/media/usb/notes\"\n";

/// Why nothing was set up.
#[derive(Debug, Error)]
enum SetupError {
    #[error(transparent)]
    Home(#[from] HomeError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("{} can't be made: {source}", path.display())]
    Make { path: PathBuf, source: io::Error },
    #[error("the answer can't be printed: {0}")]
    Json(#[from] serde_json::Error),
}

/// What `init --json` prints.
#[derive(Serialize)]
struct Initialised<'a> {
    home: &'a Path,
    config: &'a Path,
    db: &'a Path,
    project: &'a str,
    made: &'a [PathBuf],
    /// What the database was brought to, where it had an older schema.
    migrated: Option<&'a Upgrade>,
}

/// What `remote --json` prints for each remote.
#[derive(Serialize)]
struct Listed {
    name: String,
    kind: Option<&'static str>,
    address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    compression: Option<Compression>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encryption: Option<Encryption>,
    default: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// What `remote add --json` and `remote remove --json` print of the remote.
#[derive(Serialize)]
struct Edited<'a> {
    name: &'a str,
    kind: Option<&'static str>,
    address: &'a str,
}

/// Makes the home folder.
pub(crate) fn init(arguments: &InitArguments) -> ExitCode {
    end(try_init(arguments))
}

/// Edits or shows the remotes.
pub(crate) fn remote(command: &RemoteCommand) -> ExitCode {
    end(match command {
        RemoteCommand::Add { name, remote, json, home } => {
            Home::find(home).map_err(Into::into).and_then(|home| add(&home, name, remote, *json))
        }
        RemoteCommand::Remove { name, json, home } => {
            Home::find(home).map_err(Into::into).and_then(|home| remove(&home, name, *json))
        }
        RemoteCommand::List { names: true, home, .. } => Home::find(home).map_err(Into::into).map(|home| names(&home)),
        RemoteCommand::List { json, home, .. } => {
            Home::find(home).map_err(Into::into).and_then(|home| list(&home, *json))
        }
    })
}

fn end(result: Result<(), SetupError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("greenlight: {error}");
            ExitCode::FAILURE
        }
    }
}

fn try_init(arguments: &InitArguments) -> Result<(), SetupError> {
    let home = Home::find(&arguments.home)?;
    // Before anything is made: a schema that can't be used leaves nothing behind.
    let schema = arguments.schema.as_deref().map(|file| Named::read(file, &home.db)).transpose()?;
    let mut made = Vec::new();
    for folder in [&home.folder, &home.logs, &home.data] {
        if !folder.is_dir() {
            durable::create_folder(folder).map_err(|source| SetupError::Make { path: folder.clone(), source })?;
            made.push(folder.clone());
        }
    }
    match std::fs::symlink_metadata(&home.config_file) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            durable::write(&home.config_file, TEMPLATE.as_bytes())
                .map_err(|source| SetupError::Make { path: home.config_file.clone(), source })?;
            made.push(home.config_file.clone());
        }
        _ => {}
    }
    if let Some(schema) = &schema {
        drop(schema.open(&home.db)?);
        if schema.change == Change::Made {
            made.push(home.db.clone());
        }
    }
    let migrated = schema.as_ref().and_then(|schema| match &schema.change {
        Change::Upgrade(upgrade) => Some(upgrade),
        _ => None,
    });
    let Home { folder, config_file, db, project, .. } = &home;
    if arguments.json {
        return print(&Initialised { home: folder, config: config_file, db, project, made: &made, migrated });
    }
    say!("The home of project `{project}` is {}.", folder.display());
    for path in made.iter().filter(|path| *path != folder) {
        say!("  made  {}", path.strip_prefix(folder).unwrap_or(path).display());
    }
    if let Some(line) = schema.filter(|schema| schema.change != Change::Made).and_then(|schema| schema.told()) {
        say!("  {line}");
    }
    Ok(())
}

fn add(home: &Home, name: &str, remote: &RemoteConfig, json: bool) -> Result<(), SetupError> {
    let chosen = Chosen::configured(name, remote, Path::new(""))?;
    let kind = chosen.address.kind();
    let mut remote = remote.clone();
    // What is stored means the same wherever the command is run next; a server's address is kept as it was written.
    if let Address::Folder(folder) = &chosen.address {
        remote.address = folder.display().to_string();
    }
    if let Passphrase::File(file) = chosen.packing.passphrase {
        remote.passphrase_file = Some(file);
    }
    remote.token_file = chosen.token_file;
    if let Some(folder) = home.config_file.parent() {
        durable::create_folder(folder).map_err(|source| SetupError::Make { path: folder.to_owned(), source })?;
    }
    Config::add_remote(&home.config_file, name, &remote)?;
    if json {
        return print(&json!({ "added": Edited { name, kind: Some(kind), address: &remote.address } }));
    }
    say!("Added `{name}`: {}.", remote.address);
    Ok(())
}

fn remove(home: &Home, name: &str, json: bool) -> Result<(), SetupError> {
    // One whose address can't be used can be forgotten all the same.
    let kind = Chosen::find(home, Some(name)).ok().map(|chosen| chosen.address.kind());
    let address = Config::remove_remote(&home.config_file, name)?;
    if json {
        return print(&json!({ "removed": Edited { name, kind, address: &address } }));
    }
    say!("Removed `{name}`; what is at {address} stays.");
    Ok(())
}

fn names(home: &Home) {
    for name in home.config.remotes.keys() {
        say!("{name}");
    }
}

fn list(home: &Home, json: bool) -> Result<(), SetupError> {
    let mut listed: Vec<Listed> = Vec::new();
    for (name, remote) in &home.config.remotes {
        let found = Chosen::find(home, Some(name));
        listed.push(Listed {
            name: name.clone(),
            kind: found.as_ref().ok().map(|chosen| chosen.address.kind()),
            address: remote.address.clone(),
            compression: remote.compression,
            encryption: remote.encryption,
            default: name == DEFAULT_REMOTE,
            problem: found.err().map(|error| error.to_string()),
        });
    }
    if json {
        return print(&listed);
    }
    let width = listed.iter().map(|remote| remote.name.len()).max().unwrap_or(0);
    for remote in &listed {
        let kind = remote.kind.unwrap_or("?");
        say!("{:width$}  {kind:6}  {}", remote.name, remote.address);
        if let Some(problem) = &remote.problem {
            say!("{:width$}          {problem}", "");
        }
    }
    if !home.config.remotes.contains_key(DEFAULT_REMOTE) {
        say!("Where a command names none, it is the folder {}.", home.sync_remote().display());
    }
    Ok(())
}

fn print(what: &impl Serialize) -> Result<(), SetupError> {
    say!("{}", serde_json::to_string_pretty(what)?);
    Ok(())
}
