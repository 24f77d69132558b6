//! `greenlight serve`: the server, with this person's home, so that one program is enough for one person.
//!
//! Where in the flow: beside sync; everything but where things are is the server's own, its settings and refusals too.
//! Never opens anything to others by itself: it listens on this machine alone until it is told otherwise, and beyond it
//! only for those who have a token.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use greenlight_server::access::TokenFile;
use greenlight_server::name::DatabaseName;
use greenlight_server::settings::{DatabaseRule, FileSettings, Pattern};
use greenlight_server::token::{self, TokenCommand, TokenError};
use greenlight_server::{Flags, RunError, Settings, SettingsError};
use serde::Serialize;
use thiserror::Error;

use crate::durable;
use crate::home::{Home, HomeError, HomeFlags};
use crate::output;

/// The server's configuration at home, which need not be there.
const CONFIG: &str = "server.toml";
/// The folder of schemas at home.
const SCHEMAS: &str = "schemas";

/// What `serve` is told.
#[derive(Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ServeArguments {
    /// What is done instead of serving.
    #[command(subcommand)]
    pub command: Option<ServeCommand>,
    /// As one line of JSON: where it listens, and what it serves.
    #[arg(long)]
    pub json: bool,
    /// The server's settings.
    #[command(flatten)]
    pub flags: Flags,
    /// Where everything is.
    #[command(flatten)]
    pub place: ServePlace,
}

/// The home, where the server's own flags name the rest.
#[derive(Args, Clone, Debug)]
pub struct ServePlace {
    /// The folder where everything is that is not named otherwise: data, schemas, server.toml [default: ~/.greenlight].
    #[arg(long, env = "GREENLIGHT_HOME", value_name = "DIR", global = true)]
    pub home: Option<PathBuf>,
    /// The configuration of `greenlight` itself, which may name the folder of databases [default: config.toml at home].
    #[arg(long, env = "GREENLIGHT_CLIENT_CONFIG", value_name = "FILE", global = true)]
    pub client_config: Option<PathBuf>,
}

/// What is done instead of serving.
#[derive(Clone, Debug, Subcommand)]
pub enum ServeCommand {
    /// Adds, lists and revokes tokens, with which others may come in; a running server takes it over within two seconds.
    #[command(subcommand)]
    Token(TokenCommand),
}

/// Why nothing was served; each is a sentence.
#[derive(Debug, Error)]
enum ServeError {
    #[error(transparent)]
    Home(#[from] HomeError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("{} can't be made: {source}", path.display())]
    Make { path: PathBuf, source: std::io::Error },
    #[error("the folder of schemas {} can't be read: {source}", path.display())]
    Schemas { path: PathBuf, source: std::io::Error },
    #[error(
        "there is no schema in {}, so there is nothing to serve: put a file NAME.sql there, whose first line is \
         `-- schema: NAME 1`, or name another folder with --schemas", .0.display()
    )]
    NoSchema(PathBuf),
    #[error("the system refused what this needs: {0}")]
    System(String),
}

/// What `serve --json` prints when it listens.
#[derive(Debug, Serialize)]
struct Listening<'a> {
    listening: String,
    data: &'a Path,
    schemas: &'a [String],
    token_needed: bool,
}

/// Serves until it is told to stop, or keeps tokens.
pub(crate) fn run(arguments: ServeArguments) -> ExitCode {
    let ServeArguments { command, json, flags, place } = arguments;
    let ended = match command {
        Some(ServeCommand::Token(command)) => tokens(command, &place),
        None => serve(flags, &place, json),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("greenlight: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(flags: Flags, place: &ServePlace, json: bool) -> Result<(), ServeError> {
    let settings = settings(flags, place)?;
    let schemas = schemas(&settings.schemas)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| ServeError::System(error.to_string()))?;
    runtime
        .block_on(greenlight_server::serve(settings, |address, settings| tell(address, settings, &schemas, json)))?;
    Ok(())
}

/// The server's settings, with the home's folders and file where nothing else is said.
fn settings(mut flags: Flags, place: &ServePlace) -> Result<Settings, ServeError> {
    let home = find(place, flags.data.as_deref())?;
    flags.config = flags.config.or_else(|| config(&home));
    let file = flags.config.as_deref().map(FileSettings::read).transpose()?.unwrap_or_default();
    let is_dev_said = flags.dev.is_some() || file.dev.is_some();
    if flags.data.is_none() && file.data.is_none() {
        flags.data = Some(home.data.clone());
    }
    if flags.schemas.is_none() && file.schemas.is_none() {
        let folder = home.folder.join(SCHEMAS);
        durable::create_folder(&folder).map_err(|source| ServeError::Make { path: folder.clone(), source })?;
        flags.schemas = Some(folder);
    }
    let mut settings = Settings::load(flags)?;
    // Whoever named nobody means themselves, at this machine.
    if !is_dev_said && settings.listen.ip().is_loopback() && is_nobody_named(&settings)? {
        (settings.dev, settings.dev_until_named) = (true, true);
    }
    if settings.databases.is_empty() && !settings.dev {
        settings.databases = rules(&schemas(&settings.schemas)?)?;
    }
    Ok(settings)
}

fn find(place: &ServePlace, data: Option<&Path>) -> Result<Home, HomeError> {
    let (home, config) = (place.home.clone(), place.client_config.clone());
    Home::find(&HomeFlags { home, config, data: data.map(Path::to_owned), ..HomeFlags::default() })
}

/// The server's configuration at home, where there is one.
fn config(home: &Home) -> Option<PathBuf> {
    Some(home.folder.join(CONFIG)).filter(|file| file.exists())
}

/// A file of tokens counts even when all of them were revoked: whoever took somebody back lets nobody in by that.
fn is_nobody_named(settings: &Settings) -> Result<bool, ServeError> {
    let file = settings.token_file();
    // One that is not right is told now.
    TokenFile::read(&file).map_err(TokenError::File)?;
    Ok(settings.access.is_empty() && settings.jwks.is_none() && !file.exists())
}

/// The names of the schemas in a folder, sorted; at least one.
fn schemas(folder: &Path) -> Result<Vec<String>, ServeError> {
    let failed = |source| ServeError::Schemas { path: folder.to_owned(), source };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).filter(|stem| DatabaseName::parse(stem).is_ok());
        names.extend(stem.filter(|_| path.extension().is_some_and(|end| end == "sql")).map(str::to_owned));
    }
    names.sort();
    if names.is_empty() { Err(ServeError::NoSchema(folder.to_owned())) } else { Ok(names) }
}

/// For each schema databases of its name, and of such names as the server knows in development: `shop`, `shop-2`,
/// `shop.db`. The longer names come first, so that `shop-archive` is not of `shop`.
fn rules(schemas: &[String]) -> Result<Vec<DatabaseRule>, ServeError> {
    let mut names: Vec<&String> = schemas.iter().collect();
    names.sort_by_key(|name| std::cmp::Reverse(name.len()));
    let mut rules = Vec::new();
    for name in names {
        for end in ["", "-*", ".*"] {
            let pattern = Pattern::new(&format!("{name}{end}"), "schemas")?;
            rules.push(DatabaseRule { pattern, schema: name.clone(), create: true, max_bytes: None });
        }
    }
    Ok(rules)
}

/// Says where it listens, and how others come in.
fn tell(address: SocketAddr, settings: &Settings, schemas: &[String], json: bool) {
    let text = if json {
        let listening = format!("http://{address}");
        let facts = Listening { listening, data: &settings.data, schemas, token_needed: !settings.dev };
        serde_json::to_string(&facts).unwrap_or_else(|error| format!("{{\"error\": \"{error}\"}}"))
    } else {
        describe(address, settings, schemas)
    };
    let mut out = std::io::stdout();
    // Whoever started this may not read it; that is no reason to stop.
    drop(writeln!(out, "{text}").and_then(|()| out.flush()));
}

fn describe(address: SocketAddr, settings: &Settings, schemas: &[String]) -> String {
    let database = schemas.first().map_or("DATABASE", String::as_str);
    let here = |ip: IpAddr| if ip.is_unspecified() { crate::sync::machine() } else { host(ip) };
    let url = format!("ws://{}:{}/{database}", here(address.ip()), address.port());
    let add = format!("greenlight remote add default {url}");
    let mut text = format!(
        "listening on http://{address}\nDatabases are in {}; schemas: {}.\n",
        settings.data.display(),
        schemas.join(", ")
    );
    let is_local = address.ip().is_loopback();
    text += &match (is_local, settings.dev) {
        (true, true) => format!(
            "Whoever is at this machine may do everything; no other can reach it. For a client here:\n  {add}\nTo let \
             other machines in, make a token (greenlight serve token add --help), and start with --listen 0.0.0.0:{}. From \
             the first token on one is needed here too.",
            address.port()
        ),
        (true, false) => {
            format!("No other machine can reach it. For a client here, with a token (--token-file):\n  {add}")
        }
        (false, _) => format!(
            "On another machine, with a token (sync --token-file; `greenlight serve token add` makes one):\n  {add}\nWhat \
             travels so can be read on the way: beyond a network that you trust put a proxy with TLS before it, and use \
             wss://."
        ),
    };
    text
}

fn host(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

fn tokens(mut command: TokenCommand, place: &ServePlace) -> Result<(), ServeError> {
    let given = command.place_mut();
    let home = find(place, given.data.as_deref())?;
    given.config = given.config.take().or_else(|| config(&home));
    let file = given.config.as_deref().map(FileSettings::read).transpose()?.unwrap_or_default();
    let data = given.data.take().or(file.data).unwrap_or(home.data);
    durable::create_folder(&data).map_err(|source| ServeError::Make { path: data.clone(), source })?;
    given.data = Some(data);
    let printed = token::run(command)?;
    eprint!("{}", printed.hint);
    // It is done, whether or not anybody reads of it; a token that nobody read is revoked by its name.
    output::text(&printed.answer);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schema_has_its_databases_and_the_longer_name_comes_first() {
        let rules = rules(&["shop".to_owned(), "shop-archive".to_owned()]).unwrap();
        let schema = |name: &str| rules.iter().find(|rule| rule.pattern.matches(name)).map(|rule| rule.schema.as_str());
        assert_eq!(schema("shop"), Some("shop"));
        assert_eq!(schema("shop-2"), Some("shop"));
        assert_eq!(schema("shop.sqlite"), Some("shop"));
        assert_eq!(schema("shop-archive"), Some("shop-archive"));
        assert_eq!(schema("shopping"), None);
        assert!(rules.iter().all(|rule| rule.create));
    }
}
