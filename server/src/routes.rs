//! All routes on one page.
//!
//! Where in the flow: first step of every request. Each route checks who asks before it does anything.
//!
//! | endpoint | role | answer |
//! |---|---|---|
//! | `GET /{db}/meta` | read | what the database is |
//! | `POST /{db}/exec` | admin | runs SQL |
//! | `POST /{db}/reset` | admin | empties it, with a new lineage |
//! | `GET /{db}/file` | read | a consistent copy |
//! | `GET /{db}/sync` | read, write | the WebSocket |
//! | `GET /{db}/status` | admin | its sockets and where they stand |
//! | `GET /{db}/quarantine` | admin | changes that could not be applied |
//! | `POST /{db}/quarantine/retry` | admin | tries named ones again |
//! | `POST /{db}/quarantine/drop` | admin | drops named ones for ever |
//! | `GET /{db}/health`, `GET /health` | anyone | 200 or 503, with named checks |
//! | `GET /metrics` | admin, or this machine itself | Prometheus |
//! | `GET /status` | admin | all databases, for people and programs |
//! | `GET /` and other files | anyone | the web app, where there is one; else `/` is the status page |

mod exec;
mod file;
mod health;
mod meta;
mod metrics;
mod page;
mod quarantine;
mod status;
mod web;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};

use crate::access::Caller;
use crate::app::App;
use crate::error::ApiError;
use crate::{request, socket};

pub(crate) use file::Snapshots;

/// The routes.
pub(crate) fn router(app: App) -> Router {
    let routes = Router::new()
        .route("/{db}/meta", get(meta::meta))
        .route("/{db}/exec", post(exec::exec))
        .route("/{db}/reset", post(exec::reset))
        .route("/{db}/file", get(file::file))
        .route("/{db}/sync", get(socket::upgrade))
        .route("/{db}/status", get(status::of_database))
        .route("/{db}/quarantine", get(quarantine::list))
        .route("/{db}/quarantine/retry", post(quarantine::retry))
        .route("/{db}/quarantine/drop", post(quarantine::drop))
        .route("/{db}/health", get(health::of_database))
        .route("/health", get(health::of_server))
        .route("/metrics", get(metrics::metrics))
        .route("/status", get(status::of_server));
    let routes = match &app.settings.web {
        Some(folder) => {
            let site = web::Site::new(folder, &app.settings.policy);
            routes.fallback(move |request: Request| site.clone().serve(request))
        }
        None => routes.route("/", get(page::page)).fallback(not_found),
    };
    routes
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(app.clone(), throttle))
        .layer(from_fn_with_state(app.clone(), request::answer))
        .with_state(app)
}

async fn not_found() -> ApiError {
    ApiError::NotFound
}

async fn wrong_method() -> ApiError {
    ApiError::Method
}

/// Turns away who asks too often.
async fn throttle(State(app): State<App>, caller: Caller, request: Request, next: Next) -> Response {
    match app.rates.request(&caller) {
        Err(throttled) if !app.spares(&caller) => ApiError::from(throttled).into_response(),
        _ => next.run(request).await,
    }
}
