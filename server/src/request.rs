//! One request from its head to its answer: its id, its place in the logs, and what of it is counted.
//!
//! Where in the flow: around every route. The id is this server's own, whatever the request says: it goes out as
//! `x-request-id` and in the details of an error, and stands before every line of the log that the request leads to, its
//! socket's included. Never logs a query, a header or a body, which may hold tokens and people's data.

use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument as _;
use tracing::field::Empty;

use crate::app::App;
use crate::name::DatabaseName;

/// The header that an answer has its id in.
const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// Asked for again and again by machines, so told only to whoever wants to know.
const QUIET: [&str; 4] = ["/health", "/{db}/health", "/metrics", "/status"];

tokio::task_local! {
    static CURRENT: RequestId;
}

/// A request's name: which run of the server, and the how many-th of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId {
    run: u32,
    number: u64,
}

impl RequestId {
    fn next() -> Self {
        static RUN: OnceLock<u32> = OnceLock::new();
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        // The standard library's own random seed; enough to tell runs apart, and no secret.
        let run = *RUN.get_or_init(|| RandomState::new().build_hasher().finish() as u32);
        Self { run, number: NUMBER.fetch_add(1, Ordering::Relaxed) }
    }

    /// That of the request that is being answered here, if one is.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(|id| *id).ok()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{:x}", self.run, self.number)
    }
}

/// Names a request, and counts and logs its answer.
pub(crate) async fn answer(State(app): State<App>, request: Request, next: Next) -> Response {
    let (id, begun) = (RequestId::next(), Instant::now());
    app.metrics.requests.add(1);
    let route = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!(
        "request", %id, method = word(request.method()), route, database = Empty, status = Empty, duration_ms = Empty
    );
    if let Some(name) = database(&route, request.uri().path()) {
        span.record("database", name.as_str());
    }
    let mut response = CURRENT.scope(id, next.run(request)).instrument(span.clone()).await;
    let status = response.status().as_u16();
    app.metrics.answered(status);
    span.record("status", status);
    span.record("duration_ms", u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX));
    span.in_scope(|| {
        if QUIET.contains(&&*route) && status < 500 { tracing::debug!("answered") } else { tracing::info!("answered") }
    });
    let headers = response.headers_mut();
    // Whatever this server sends is what it says it is.
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Digits and a dash always fit into a header.
    if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
        headers.insert(HEADER, id);
    }
    response
}

/// A method's name, unless it is an invented one.
fn word(method: &Method) -> &'static str {
    let known = [Method::GET, Method::POST, Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS, Method::PATCH];
    let words = ["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"];
    known.iter().position(|one| one == method).map_or("other", |at| words[at])
}

/// The database that a request is about, where its address names one.
fn database(route: &str, path: &str) -> Option<DatabaseName> {
    if !route.starts_with("/{db}/") {
        return None;
    }
    DatabaseName::parse(path.split('/').nth(1)?).ok()
}
