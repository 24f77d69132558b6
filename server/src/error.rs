//! What goes wrong with a request, and how it looks outside: the one place that maps errors to answers.
//!
//! Where in the flow: last step of a request that fails. Never shows a path of this machine, and logs what is the
//! server's own fault once, here.
//!
//! Every error is `{"error": {"code": "...", "sentence": "...", "details": {...}}}`. Codes are kept for ever.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use greenlight_core::protocol::{Refuse, RefuseCode};
use greenlight_core::replica::{Fault, FaultKind};
use serde_json::{Value, json};
use thiserror::Error;

use crate::access::{Denied, Throttled};
use crate::name::NameError;
use crate::request::RequestId;

/// Why a request fails.
#[derive(Clone, Debug, Error)]
pub enum ApiError {
    /// No such route.
    #[error("there is nothing at this address")]
    NotFound,
    /// A route, but not by this method.
    #[error("this address does not answer this method")]
    Method,
    /// A name that no database can have.
    #[error(transparent)]
    Name(#[from] NameError),
    /// No database of that name, and none may be made.
    #[error("there is no database `{0}`")]
    UnknownDatabase(String),
    /// The caller may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The body isn't announced as JSON.
    #[error("send the body as `content-type: application/json`")]
    ContentType,
    /// The body isn't JSON, or not of the right shape.
    #[error("the body is not what this address takes: {0}")]
    Body(String),
    /// The body is larger than the limit, in bytes.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// The request isn't a WebSocket's, or not of this protocol.
    #[error("this address takes a WebSocket with the subprotocol `{}`", greenlight_core::protocol::SUBPROTOCOL)]
    NotASocket,
    /// SQL that fails, in SQLite's words.
    #[error("{0}")]
    Sql(String),
    /// SQL that isn't allowed.
    #[error("{0}")]
    SqlDenied(String),
    /// Params that don't fit the SQL.
    #[error("{0}")]
    SqlParams(String),
    /// SQL that runs or answers beyond a limit.
    #[error("{0}")]
    SqlLimit(String),
    /// The requested part of a file isn't there.
    #[error("the file is {0} bytes long")]
    Range(u64),
    /// This caller asks for too much; how long to wait.
    #[error("too many requests: wait {} seconds", retry_after(*.0))]
    Throttled(Duration),
    /// Too much is under way.
    #[error("this server has too much to do; try again later")]
    Overloaded,
    /// The server is stopping.
    #[error("this server is stopping")]
    Stopping,
    /// The database can't be opened, in words.
    #[error("the database can't be opened: {0}")]
    Unavailable(String),
    /// The database failed.
    #[error("the database failed: {}", .0.message)]
    Store(Fault),
}

impl From<Fault> for ApiError {
    fn from(fault: Fault) -> Self {
        Self::Store(fault)
    }
}

impl From<Throttled> for ApiError {
    fn from(Throttled(wait): Throttled) -> Self {
        Self::Throttled(wait)
    }
}

/// Whole seconds, and at least one.
fn retry_after(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0).max(u64::from(wait.is_zero()))
}

impl ApiError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.outward().1
    }

    /// Status and stable code.
    fn outward(&self) -> (StatusCode, &'static str) {
        match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::Name(_) => (StatusCode::BAD_REQUEST, "invalid_name"),
            Self::UnknownDatabase(_) => (StatusCode::NOT_FOUND, "unknown_database"),
            Self::Denied(Denied::Unauthorized | Denied::Expired | Denied::Revoked) => {
                (StatusCode::UNAUTHORIZED, "unauthorized")
            }
            Self::Denied(Denied::Forbidden(_)) => (StatusCode::FORBIDDEN, "forbidden"),
            Self::Denied(Denied::Development) => (StatusCode::FORBIDDEN, "development_only"),
            Self::Denied(Denied::Origin) => (StatusCode::FORBIDDEN, "origin"),
            Self::ContentType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type"),
            Self::Body(_) => (StatusCode::BAD_REQUEST, "invalid_body"),
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Self::NotASocket => (StatusCode::UPGRADE_REQUIRED, "not_a_socket"),
            Self::Sql(_) => (StatusCode::BAD_REQUEST, "sql"),
            Self::SqlDenied(_) => (StatusCode::BAD_REQUEST, "sql_denied"),
            Self::SqlParams(_) => (StatusCode::BAD_REQUEST, "sql_params"),
            Self::SqlLimit(_) => (StatusCode::BAD_REQUEST, "sql_limit"),
            Self::Range(_) => (StatusCode::RANGE_NOT_SATISFIABLE, "range"),
            Self::Throttled(_) => (StatusCode::TOO_MANY_REQUESTS, "too_many_requests"),
            Self::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
            Self::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
            Self::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Self::Store(fault) => store(fault.kind),
        }
    }

    /// What a program may want to know beside the code.
    fn details(&self) -> Value {
        match self {
            Self::UnknownDatabase(name) => json!({ "database": name }),
            Self::Denied(Denied::Forbidden(role)) => json!({ "role": role.word() }),
            Self::TooLarge(limit) => json!({ "limit_bytes": limit }),
            Self::Range(length) => json!({ "length_bytes": length }),
            Self::Throttled(wait) => json!({ "retry_after_seconds": retry_after(*wait) }),
            _ => json!({}),
        }
    }

    /// The same as a refusal on a socket.
    pub fn to_refuse(&self) -> Refuse {
        let code = match self {
            Self::Name(_) | Self::UnknownDatabase(_) => RefuseCode::UnknownDatabase,
            Self::Denied(Denied::Unauthorized | Denied::Expired | Denied::Revoked) => RefuseCode::Unauthorized,
            Self::Denied(_) => RefuseCode::Forbidden,
            _ => RefuseCode::Unavailable,
        };
        Refuse { code, sentence: self.to_string() }
    }
}

fn store(kind: FaultKind) -> (StatusCode, &'static str) {
    match kind {
        FaultKind::Full => (StatusCode::INSUFFICIENT_STORAGE, "storage_full"),
        FaultKind::ReadOnly => (StatusCode::SERVICE_UNAVAILABLE, "read_only"),
        FaultKind::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
        FaultKind::Corrupt => (StatusCode::INTERNAL_SERVER_ERROR, "corrupt"),
        FaultKind::Io => (StatusCode::INTERNAL_SERVER_ERROR, "storage_failed"),
        FaultKind::OutOfOrder => (StatusCode::CONFLICT, "out_of_order"),
        FaultKind::Forbidden => (StatusCode::FORBIDDEN, "forbidden"),
        FaultKind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code) = self.outward();
        if status.is_server_error() {
            tracing::warn!(code, "{self}");
        }
        let mut details = self.details();
        if let Some(id) = RequestId::current() {
            details["request_id"] = Value::from(id.to_string());
        }
        let body = json!({ "error": { "code": code, "sentence": self.to_string(), "details": details } });
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self {
            Self::Denied(Denied::Unauthorized | Denied::Expired | Denied::Revoked) => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Self::Throttled(wait) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after(wait)));
            }
            Self::Range(length) => {
                headers.insert(header::CONTENT_RANGE, content_range_of(length));
            }
            _ => {}
        }
        response
    }
}

fn content_range_of(length: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("bytes */{length}")).unwrap_or_else(|_| HeaderValue::from_static("bytes */*"))
}
