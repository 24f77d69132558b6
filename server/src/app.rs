//! What all routes and sockets share.
//!
//! Where in the flow: made once at start, cloned into every request. Never changes after the start.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts, Path};
use axum::http::request::Parts;
use tokio::sync::{Semaphore, mpsc, watch};

use crate::access::{Caller, Role};
use crate::database::Database;
use crate::error::ApiError;
use crate::metrics::Metrics;
use crate::name::DatabaseName;
use crate::registry::Registry;
use crate::settings::Settings;

/// What all routes and sockets share.
#[derive(Clone, Debug)]
pub struct App {
    /// The settings.
    pub settings: Arc<Settings>,
    /// The databases.
    pub registry: Arc<Registry>,
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
}

impl App {
    /// Whether a caller may act in a role, on a database or on the server as a whole.
    ///
    /// # Errors
    /// [`ApiError::Denied`].
    pub fn check(&self, caller: &Caller, database: Option<&DatabaseName>, need: Role) -> Result<Role, ApiError> {
        Ok(caller.check(&self.settings.access, self.settings.dev, database, need)?)
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
        Ok(Caller::of(peer, &parts.headers, &app.settings.origins))
    }
}

/// The database that a route is about, and who asks.
#[derive(Debug)]
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
