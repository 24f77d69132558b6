//! What all routes and sockets share.
//!
//! Where in the flow: made once at start, cloned into every request. Never changes after the start.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts, Path};
use axum::http::request::Parts;
use tokio::sync::{Semaphore, mpsc, watch};

use crate::access::{Caller, Gate, Pass, Rates, Role, Seat};
use crate::audit::{Audit, Entry, Event};
use crate::database::Database;
use crate::error::ApiError;
use crate::history::History;
use crate::metrics::Metrics;
use crate::name::DatabaseName;
use crate::registry::Registry;
use crate::schedule::Schedule;
use crate::settings::Settings;

/// What all routes and sockets share.
#[derive(Clone, Debug)]
pub struct App {
    /// The settings.
    pub settings: Arc<Settings>,
    /// The databases.
    pub registry: Arc<Registry>,
    /// Who may come in.
    pub gate: Gate,
    /// How much one caller may ask for.
    pub rates: Arc<Rates>,
    /// Who did what.
    pub audit: Arc<Audit>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// One permit for each socket that may be open.
    pub sockets: Arc<Semaphore>,
    /// Becomes true when the server stops.
    pub stopping: watch::Receiver<bool>,
    /// Held by every socket; when all are gone, the server may end.
    pub alive: mpsc::Sender<()>,
    /// Snapshots that were asked for.
    pub snapshots: Arc<crate::routes::Snapshots>,
    /// The last hour.
    pub history: Arc<History>,
    /// When the server started, milliseconds since 1970.
    pub started_ms: i64,
    /// The backups that the server makes by itself.
    pub schedule: Arc<Schedule>,
}

impl App {
    /// Whether a caller may act in a role, on a database or on the server as a whole.
    ///
    /// # Errors
    /// [`ApiError::Denied`], [`ApiError::Throttled`].
    pub fn check(&self, caller: &Caller, database: Option<&DatabaseName>, need: Role) -> Result<Pass, ApiError> {
        let checked = caller.check(&self.gate.now(), self.settings.dev, database, need).map_err(ApiError::from);
        let checked = checked.and_then(|pass| {
            self.rates.admitted(&pass.who)?;
            Ok(pass)
        });
        if let Err(error) = &checked {
            self.audit.write(self.entry(Event::Refuse, caller, database).with("code", error.code()));
        }
        checked
    }

    /// The same with the token of a hello.
    ///
    /// # Errors
    /// [`ApiError::Denied`], [`ApiError::Throttled`].
    pub fn check_hello(&self, target: &Target, token: &str) -> Result<Pass, ApiError> {
        let (access, dev, name) = (self.gate.now(), self.settings.dev, Some(&target.name));
        let pass = target.caller.check_token(&access, dev, name, Role::Read, token)?;
        self.rates.admitted(&pass.who)?;
        Ok(pass)
    }

    /// A connection's seat among those of its address; none for a trusted proxy, through which many come.
    ///
    /// # Errors
    /// The address has as many as it may.
    pub fn seat(&self, peer: SocketAddr) -> Result<Option<Seat>, ()> {
        let address = peer.ip().to_canonical();
        if self.settings.trusted_proxies.iter().any(|net| net.contains(&address)) {
            return Ok(None);
        }
        self.rates.connection(address).map(Some).ok_or(())
    }

    /// A socket's seat among those of its client's address; none for whoever sits at this machine, with `--dev`.
    ///
    /// # Errors
    /// The address has as many as it may.
    pub fn socket_seat(&self, caller: &Caller) -> Result<Option<Seat>, ()> {
        if self.spares(caller) {
            return Ok(None);
        }
        self.rates.socket(caller.address).map(Some).ok_or(())
    }

    /// Whether nobody counts what a caller asks for.
    pub fn spares(&self, caller: &Caller) -> bool {
        self.settings.dev && caller.is_local && !self.gate.now().ends_development()
    }

    /// A line of the audit log about a request.
    pub fn entry(&self, event: Event, caller: &Caller, database: Option<&DatabaseName>) -> Entry {
        let entry = Entry::new(event).address(caller.address);
        match database {
            Some(name) => entry.database(name),
            None => entry,
        }
    }

    /// A database for a caller who may act on it in a role.
    ///
    /// # Errors
    /// [`ApiError::Denied`] before anything else, so that strangers don't learn which names there are.
    pub async fn database(&self, target: &Target, need: Role) -> Result<Arc<Database>, ApiError> {
        self.check(&target.caller, Some(&target.name), need)?;
        self.registry.get(&target.name).await
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
        // Without an address nobody is local.
        let peer = peer.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)));
        let settings = &app.settings;
        Ok(Caller::of(peer, &parts.headers, &settings.origins, &settings.trusted_proxies))
    }
}

/// The database that a route is about, and who asks.
#[derive(Clone, Debug)]
pub struct Target {
    /// The database's name, valid; whether there is one isn't known yet.
    pub name: DatabaseName,
    /// Who asks.
    pub caller: Caller,
}

impl FromRequestParts<App> for Target {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let caller = Caller::from_request_parts(parts, app).await?;
        let name = Path::<String>::from_request_parts(parts, app).await;
        let name = name.map_err(|_| crate::name::NameError::Form)?.0;
        Ok(Self { name: DatabaseName::parse(&name)?, caller })
    }
}
