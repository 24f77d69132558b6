//! The sync server: HTTP, WebSockets, file watching and fan-out, as a library with a thin binary.
//!
//! Where in the flow: between clients' sockets and the databases in a folder. Sessions are `greenlight_core`'s,
//! SQL is `greenlight_store`'s; this crate drives both.
//! Never acknowledges anything by itself, and never runs SQL on an async thread.
//!
//! ```no_run
//! # async fn example() -> Result<(), greenlight_server::RunError> {
//! let settings = greenlight_server::Settings::dev("data", "schemas");
//! let listener = greenlight_server::bind(&settings).await?;
//! greenlight_server::run(listener, settings, std::future::pending()).await
//! # }
//! ```

pub mod access;
pub mod audit;
pub mod backup;
pub mod clock;
pub mod database;
pub mod demo;
pub mod error;
pub mod files;
pub mod history;
pub mod json;
pub mod limits;
pub mod lock;
pub mod logs;
pub mod metrics;
pub mod name;
pub mod probe;
pub mod registry;
pub mod request;
pub mod restore;
pub mod schedule;
pub mod settings;
pub mod token;

mod accept;
mod app;
mod housekeeping;
mod memory;
mod owner;
mod routes;
mod socket;
mod watcher;

use std::net::SocketAddr;
use std::sync::Arc;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::timeout;

use access::{Gate, Rates};
use app::App;
use audit::{Audit, Entry, Event};
use history::History;
use limits::{PLAIN_CONNECTIONS, STOP_LIMIT};
use metrics::Metrics;
use registry::{FolderError, Registry};
use schedule::Schedule;

pub use settings::{Arguments, Command, Flags, Settings, SettingsError};

/// Why a server could not start, or ended.
#[derive(Debug, Error)]
pub enum RunError {
    /// A setting.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A folder, or a schema in it.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The audit log can't be opened.
    #[error("the audit log can't be written: {0}")]
    Audit(std::io::Error),
    /// The address can't be listened on.
    #[error("can't listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    /// The file system gives no events.
    #[error("the data folder can't be watched, so start with --poll: {0}")]
    Watch(notify::Error),
    /// The listener failed.
    #[error("the listener failed: {0}")]
    Serve(std::io::Error),
}

/// Listens on the address of the settings.
///
/// # Errors
/// [`RunError::Listen`].
pub async fn bind(settings: &Settings) -> Result<TcpListener, RunError> {
    TcpListener::bind(settings.listen).await.map_err(|error| RunError::Listen(settings.listen, error))
}

/// Serves as a program does: takes the log and as many files as it may, listens, tells `listening` where, and stops in
/// order at SIGTERM or SIGINT.
///
/// # Errors
/// What keeps the server from starting, or the listener's failure.
pub async fn serve(settings: Settings, listening: impl FnOnce(SocketAddr, &Settings)) -> Result<(), RunError> {
    logs::start(settings.operations.log);
    files::take_all(settings.max_sockets);
    let listener = bind(&settings).await?;
    let address = listener.local_addr().map_err(|error| RunError::Listen(settings.listen, error))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Serve)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Serve)?;
    listening(address, &settings);
    run(listener, settings, async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("stopping (SIGTERM)"),
            _ = interrupt.recv() => tracing::info!("stopping (SIGINT)"),
        }
    })
    .await
}

/// Serves until `shutdown` is done, then stops in order: no new connections, what waits is committed and
/// acknowledged, sockets are closed with 1001, databases are closed.
///
/// # Errors
/// What keeps the server from starting, or the listener's failure.
pub async fn run(
    listener: TcpListener,
    settings: Settings,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), RunError> {
    settings.check()?;
    let settings = Arc::new(settings);
    let metrics = Arc::new(Metrics::default());
    let registry = Arc::new(Registry::new(settings.clone(), metrics.clone())?);
    let (gate, watching_access) = Gate::open(&settings)?;
    let audit = Arc::new(Audit::open(&settings.audit_file()).map_err(RunError::Audit)?);
    audit.write(Entry::new(Event::Start).with("version", env!("CARGO_PKG_VERSION")));
    let rates = Arc::new(Rates::new(&settings.rates));
    let snapshots = Arc::new(routes::Snapshots::new(&settings.data).map_err(FolderError::Data)?);
    registry.open_existing().await?;
    let watching = watcher::watch(&settings.data, settings.poll, registry.clone()).map_err(RunError::Watch)?;

    let (stop, stopping) = watch::channel(false);
    let (alive, mut ended) = mpsc::channel(1);
    let housekeeping = housekeeping::start(registry.clone(), settings.operations.idle, stopping.clone());
    let sockets = Arc::new(Semaphore::new(settings.max_sockets));
    let schedule = Arc::new(Schedule::new(settings.operations.backups));
    let backups = schedule.clone().start(&settings.data, registry.clone(), stopping.clone());
    let history = Arc::new(History::new(settings.operations.sample));
    let sampling = history.clone().start(registry.clone(), metrics.clone(), schedule.clone(), stopping.clone());
    let places = settings.max_sockets + PLAIN_CONNECTIONS;
    let app = App {
        settings,
        registry: registry.clone(),
        gate,
        rates,
        audit: audit.clone(),
        metrics,
        sockets,
        stopping,
        alive,
        snapshots,
        history,
        started_ms: clock::wall_ms(),
        schedule,
    };
    let serving = accept::serve(listener, routes::router(app.clone()), places, app, stop.subscribe());
    let stop_when_asked = async {
        shutdown.await;
        stop.send_replace(true);
        tokio::time::sleep(STOP_LIMIT).await;
    };
    tokio::select! {
        () = serving => {}
        // Requests that are still running by then are cut off.
        () = stop_when_asked => {}
    }
    stop.send_replace(true);
    drop(watching);
    watching_access.abort();
    // Sockets hold a sender each; when the last is gone this ends.
    if timeout(STOP_LIMIT, ended.recv()).await.is_err() {
        tracing::warn!("some sockets did not end in time");
    }
    for task in [Some(housekeeping), Some(sampling), backups].into_iter().flatten() {
        if timeout(STOP_LIMIT, task).await.is_err() {
            tracing::warn!("a task of the server's own did not end in time");
        }
    }
    registry.close(STOP_LIMIT).await;
    audit.write(Entry::new(Event::Stop));
    Ok(())
}
