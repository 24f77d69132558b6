//! The commands: open the database, run a client, show what happens, say how it ended.
//!
//! Where in the flow: behind the argument parser. Never prints anything twice.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use greenlight_core::status::{Reason, Status, StatusState};
use greenlight_store::portable;
use greenlight_store::{ClientDatabase, Location, Options, Schema};
use tokio::time::{Instant, timeout, timeout_at};

use crate::address::{Address, Chosen};
use crate::args::{Arguments, CONNECT_SECONDS, Command, Place, SnapshotArguments, StatusArguments, SyncCommand};
use crate::clock::wall_ms;
use crate::durable;
use crate::home::Home;
use crate::output::{self, say};
use crate::schema::Named;
use crate::show::{self, Display};
use crate::snapshots::{self, Action, Ended};
use crate::{Client, ClientError, ClientSettings, Outcome, Remote};

/// How long a state that needs somebody must last before `sync now` gives up: a first failed try may heal.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long `sync now` waits, once everything is sent, to hear where that stands in the server's history. Whoever leaves
/// without it is told next time; until then a status says `behind`, which is true of what is known here.
const SETTLE: Duration = Duration::from_secs(5);

/// Where a token is named: a browser's app signs in by itself, and this does not.
pub(crate) const NAME_TOKEN: &str =
    "Name the server's token with --token-file, with `token_file` of the remote, or in GREENLIGHT_TOKEN";

/// What the store calls a database that is not Greenlight's.
pub(crate) const PLAIN: &str = "plain";

/// Runs a command and says how it ended.
pub fn run(arguments: Arguments) -> ExitCode {
    output::ended(carry_out(arguments))
}

fn carry_out(arguments: Arguments) -> ExitCode {
    let command = match arguments.command {
        Command::Sync(command) => command,
        Command::Bundle(command) => return crate::bundle::run(command),
        Command::Adopt(arguments) => return crate::adopt::run(&arguments),
        Command::Init(arguments) => return crate::setup::init(&arguments),
        Command::Remote(command) => return crate::setup::remote(&command),
        Command::Serve(arguments) => return crate::serve::run(*arguments),
        Command::Doctor(arguments) => return crate::doctor::run(&arguments),
        Command::Completions(arguments) => return crate::manual::completions(&arguments),
        Command::Man(arguments) => return crate::manual::man(&arguments),
    };
    let command = match snapshot(command) {
        Ok(Next::Ended(code)) => return code,
        Ok(Next::Sync(exchange)) => *exchange,
        Err(error) => {
            eprintln!("greenlight: {error}");
            return ExitCode::from(error.exit_code());
        }
    };
    match ask(sync(command)).flatten() {
        Ok(outcome) => outcome.exit_code(),
        Err(error) => {
            eprintln!("greenlight: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

/// What everything that speaks with a server needs.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, ClientError> {
    // A second installation in one process can only be this same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| ClientError::System(error.to_string()))
}

/// Speaks with a server. A name that is still being looked up when their time is over is not waited for.
pub(crate) fn ask<T>(exchange: impl Future<Output = T>) -> Result<T, ClientError> {
    let runtime = runtime()?;
    let answer = runtime.block_on(exchange);
    runtime.shutdown_background();
    Ok(answer)
}

/// What is left to do.
enum Next {
    Ended(ExitCode),
    Sync(Box<Exchange>),
}

fn exchange(exchange: Exchange) -> Next {
    Next::Sync(Box::new(exchange))
}

/// The ways to sync with a server.
enum Exchange {
    Now { place: Place, timeout: u32, json: bool },
    Watch { place: Place, json: bool },
}

/// Runs what is for folders; with a server, push and pull are the same exchange.
fn snapshot(command: SyncCommand) -> Result<Next, ClientError> {
    let (action, arguments) = match command {
        SyncCommand::Now { place, timeout, json } => return Ok(exchange(Exchange::Now { place, timeout, json })),
        SyncCommand::Watch { place, json } => return Ok(exchange(Exchange::Watch { place, json })),
        SyncCommand::Status(status) => {
            let StatusArguments { json, place } = *status;
            (Action::Status, Box::new(SnapshotArguments { force: false, dry_run: false, json, place }))
        }
        SyncCommand::Push(arguments) => (Action::Push, arguments),
        SyncCommand::Pull(pull) => (Action::Pull { merge: pull.merge }, Box::new(pull.snapshot)),
    };
    Ok(match snapshots::run(action, &arguments)? {
        Ended::Done(code) => Next::Ended(code),
        Ended::Exchange => {
            let SnapshotArguments { place, json, .. } = *arguments;
            exchange(Exchange::Now { place, timeout: CONNECT_SECONDS, json })
        }
        Ended::Ask(sides) => {
            let (home, remote, token) = *sides;
            Next::Ended(ask(crate::live::status(&home, &remote, &token, arguments.json))??)
        }
    })
}

async fn sync(command: Exchange) -> Result<Outcome, ClientError> {
    match command {
        Exchange::Now { place, timeout, json } => {
            let limit = Duration::from_secs(u64::from(timeout));
            let display = Display::new(place.quiet || json, false);
            follow(place, display, json, |client, display| Box::pin(now(client, display, limit))).await
        }
        Exchange::Watch { place, json } => {
            let display = Display::new(place.quiet, json);
            follow(place, display, false, |client, display| Box::pin(watch(client, display))).await
        }
    }
}

type Following<'a> = std::pin::Pin<Box<dyn Future<Output = Result<Outcome, ClientError>> + 'a>>;

/// Follows the server; with `json` how it ended is printed for programs.
async fn follow(
    place: Place,
    mut display: Display,
    json: bool,
    how: impl for<'a> FnOnce(&'a Client, &'a mut Display) -> Following<'a>,
) -> Result<Outcome, ClientError> {
    let home = Home::find(&place.home)?;
    let chosen = Chosen::find(&home, place.remote.as_deref())?;
    let token = chosen.token(place.token_file.as_deref());
    let remote = live(chosen, place.remote.is_some())?;
    // It is read at each dial; one that can't be read at all is no matter of the connection.
    token.read()?;
    crate::logs::begin(&home.logs);
    let settings =
        ClientSettings { remote: remote.clone(), token, agent: format!("greenlight {}", env!("CARGO_PKG_VERSION")) };
    let schema = place.schema.as_deref().map(|file| Named::read(file, &home.db)).transpose()?;
    let database = match &schema {
        None => open(&home.db, None)?,
        Some(schema) => {
            // The server goes first: what it would refuse is found out before anything is changed here.
            schema.agree(&home.db, &remote, &settings.token).await?;
            schema.open_and_tell(&home.db)?
        }
    };
    let client = Client::start(database, settings)?;
    let outcome = how(&client, &mut display).await;
    display.finish();
    client.stop().await?;
    let outcome = outcome?;
    if json {
        say!("{}", show::exchanged(&outcome, display.shown(), &home.db, &remote)?);
    }
    match &outcome {
        Outcome::InStep | Outcome::Interrupted if json || display.is_json() => {}
        Outcome::InStep => say!("{} and {} are in step.", home.db.display(), remote.shown()),
        Outcome::Interrupted => say!("Stopped. What was written here is kept and sent next time."),
        Outcome::Halted(_, sentence) | Outcome::Unreachable(sentence) => eprintln!("greenlight: {sentence}"),
    }
    Ok(outcome)
}

/// A server; `now` and `watch` speak with nothing else.
fn live(chosen: Chosen, is_given: bool) -> Result<Remote, ClientError> {
    match chosen.address {
        Address::Live(remote) => Ok(remote),
        Address::Folder(_) if !is_given && chosen.name.is_none() => Err(ClientError::NoServer),
        other => Err(ClientError::NotLive(other.to_string())),
    }
}

/// Opens a database, brought to the schema where one is given, and then created where it is not there, with its folder.
pub(crate) fn open(db: &Path, schema: Option<&Schema>) -> Result<ClientDatabase, ClientError> {
    if let Some(folder) = db.parent()
        && schema.is_some()
    {
        durable::create_folder(folder).map_err(|source| ClientError::Folder { folder: folder.to_owned(), source })?;
    }
    let options = options(Location::File(db.to_owned()))?;
    let opened = match schema {
        None if !db.exists() => return Err(ClientError::NoDatabase(db.to_owned())),
        None => match ClientDatabase::reopen(options) {
            Err(_) if portable::inspect(db).is_ok_and(|found| found.role == PLAIN) => {
                return Err(ClientError::Plain(db.to_owned()));
            }
            opened => opened,
        },
        Some(schema) => ClientDatabase::open(options, schema),
    };
    opened.map_err(|source| ClientError::Database { file: db.to_owned(), source })
}

/// This machine's clock and random numbers.
pub(crate) fn options(location: Location) -> Result<Options, ClientError> {
    Options::system(location, wall_ms).map_err(|error| ClientError::System(error.to_string()))
}

pub(crate) fn read_schema(file: &Path) -> Result<Schema, ClientError> {
    let text =
        std::fs::read_to_string(file).map_err(|source| ClientError::SchemaFile { file: file.to_owned(), source })?;
    Schema::parse(&text).map_err(|error| ClientError::Schema { file: file.to_owned(), why: error.to_string() })
}

/// Until both are in step, or it can't go on.
async fn now(client: &Client, display: &mut Display, limit: Duration) -> Result<Outcome, ClientError> {
    let mut status = client.status();
    let unreachable = Instant::now() + limit;
    let mut halted: Option<(Reason, Instant)> = None;
    let mut has_heard = false;
    loop {
        let shown: Status = status.borrow_and_update().clone();
        display.show(&shown)?;
        has_heard &= shown.pending.changes == 0 || is_read_only(&shown);
        let until = match shown.state {
            StatusState::Synced if !has_heard => {
                // A server that takes longer has everything all the same.
                hear(client).await?;
                has_heard = true;
                continue;
            }
            StatusState::Synced => return Ok(Outcome::InStep),
            StatusState::Incompatible => return Ok(Outcome::Halted(shown.reason, explain(&shown))),
            StatusState::Stuck if is_read_only(&shown) && !has_heard => {
                // What the server has comes in all the same, however long it takes.
                has_heard = hear(client).await? || !is_coming_in(&status.borrow());
                continue;
            }
            StatusState::Stuck if is_read_only(&shown) => {
                return Ok(Outcome::Halted(shown.reason, explain(&shown)));
            }
            StatusState::Stuck => match halted {
                Some((reason, until)) if reason == shown.reason => until,
                _ => Instant::now() + PATIENCE,
            },
            StatusState::Disconnected | StatusState::Connecting | StatusState::Syncing => unreachable,
        };
        halted = (shown.state == StatusState::Stuck).then_some((shown.reason, until));
        let moving = shown.state == StatusState::Syncing || shown.progress.is_some();
        match timeout_at(until, status.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(ClientError::Stopped),
            Err(_) if halted.is_some() => return Ok(Outcome::Halted(shown.reason, explain(&shown))),
            // A long first sync is no outage: data moves.
            Err(_) if moving => status.changed().await.map_err(|_| ClientError::Stopped)?,
            Err(_) => return Ok(Outcome::Unreachable(explain(&shown))),
        }
    }
}

/// Whether everything is here that the server had when it was asked; not if that takes too long.
async fn hear(client: &Client) -> Result<bool, ClientError> {
    match timeout(SETTLE, client.catch_up()).await {
        Ok(told) => told.map(|()| true),
        Err(_) => Ok(false),
    }
}

fn is_coming_in(status: &Status) -> bool {
    status.progress.is_some_and(|progress| progress.changes.done < progress.changes.total)
}

/// Until interrupted or terminated, or until nobody reads any more.
async fn watch(client: &Client, display: &mut Display) -> Result<Outcome, ClientError> {
    let mut status = client.status();
    // Once, before the loop: a signal that comes between two rounds must not be missed.
    let stop = stop_signal()?;
    tokio::pin!(stop);
    loop {
        display.show(&status.borrow_and_update().clone())?;
        if !output::is_open() {
            return Ok(Outcome::Interrupted);
        }
        tokio::select! {
            changed = status.changed() => changed.map_err(|_| ClientError::Stopped)?,
            () = &mut stop => return Ok(Outcome::Interrupted),
        }
    }
}

/// Ends at SIGINT or SIGTERM; elsewhere at Ctrl-C.
fn stop_signal() -> Result<impl Future<Output = ()>, ClientError> {
    let failed = |error: std::io::Error| ClientError::System(error.to_string());
    #[cfg(unix)]
    let (mut interrupt, mut terminate) = {
        use tokio::signal::unix::{SignalKind, signal};
        (signal(SignalKind::interrupt()).map_err(failed)?, signal(SignalKind::terminate()).map_err(failed)?)
    };
    #[cfg(windows)]
    let mut interrupt = tokio::signal::windows::ctrl_c().map_err(failed)?;
    Ok(async move {
        #[cfg(unix)]
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        #[cfg(windows)]
        interrupt.recv().await;
    })
}

/// Whether own changes wait which this token may not send, while the server's come in.
fn is_read_only(status: &Status) -> bool {
    status.reason == Reason::Forbidden && status.read_only
}

/// The sentence, with the last error where it says more.
fn explain(status: &Status) -> String {
    if is_read_only(status) {
        return show::read_only(status);
    }
    let diagnostics = &status.diagnostics;
    let close = diagnostics.last_close.as_ref().map(|close| close.reason.clone());
    let mut sentence = status.sentence.clone();
    if status.reason == Reason::Unauthorized {
        sentence = format!("{sentence} {NAME_TOKEN}");
    }
    match diagnostics.last_error.clone().or(close) {
        Some(detail) if !detail.is_empty() && !status.sentence.contains(&detail) => {
            format!("{sentence} ({detail})")
        }
        _ => sentence,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_does_not_wait_for_what_it_has_given_up() {
        let (over, wait) = std::sync::mpsc::channel::<()>();
        let answer = ask(async {
            // As a name that is being looked up.
            tokio::task::spawn_blocking(move || wait.recv_timeout(Duration::from_secs(10)));
            5
        });
        assert_eq!(answer.unwrap(), 5);
        over.send(()).expect("it is still being looked up");
    }
}
