//! `GET /{db}/status` and `GET /status`: who is connected and where they stand.
//!
//! Where in the flow: for operators. Never opens a database, never shows what it holds.

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use greenlight_core::Version;
use greenlight_core::protocol::WriterState;
use serde_json::{Value, json};

use super::meta::{FRESH, outline};
use super::page;
use crate::access::{Caller, Role};
use crate::app::{App, Target};
use crate::database::{Database, Member};
use crate::error::ApiError;
use crate::history;
use crate::registry::Condition;
use crate::schedule::Record;

/// One database's sockets.
pub(super) async fn of_database(
    State(app): State<App>,
    target: Target,
) -> Result<([(HeaderName, HeaderValue); 1], Json<Value>), ApiError> {
    let database = app.database(&target, Role::Admin).await?;
    Ok((FRESH, Json(describe_database(&database).await)))
}

/// All databases: as a page for browsers, which asks for the same as JSON with the operator's token.
pub(super) async fn of_server(
    State(app): State<App>,
    caller: Caller,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accept.contains("text/html") {
        return Ok(page::page().await);
    }
    app.check(&caller, None, Role::Admin)?;
    let mut databases = Vec::new();
    let backups = app.schedule.records();
    for (name, condition) in app.registry.all().await {
        let mut shown = match condition {
            Condition::Open(database) => describe_database(&database).await,
            Condition::Failed(why) => json!({ "name": name.as_str(), "error": why }),
            Condition::Opening => json!({ "name": name.as_str(), "error": "it is being opened" }),
            Condition::Idle => json!({ "name": name.as_str(), "idle": true }),
        };
        if let Some(record) = backups.get(&name) {
            shown["backup"] = describe_backup(record);
        }
        databases.push(shown);
    }
    let mut body = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "started_ms": app.started_ms,
        "sockets": app.metrics.sockets(),
        "refusals": app.metrics.refusals(),
        "max_sockets": app.settings.max_sockets,
        "databases": databases,
    });
    if query.as_deref() == Some("history") {
        body["history"] = app.history.to_json();
    }
    Ok((FRESH, Json(body)).into_response())
}

async fn describe_database(database: &Database) -> Value {
    let writer = match *database.writer_state().borrow() {
        WriterState::Commits => "commits",
        WriterState::Full => "storage_full",
        WriterState::ReadOnly => "read_only",
        WriterState::Busy => "busy",
        WriterState::Failing => "failing",
    };
    let head = database.published().borrow().head.version;
    let clients: Vec<_> = database.roster().members().iter().map(|member| describe_member(member, head)).collect();
    let meta = match database.facts().await {
        Ok(facts) => outline(&facts),
        Err(fault) => json!({ "error": fault.message }),
    };
    let aside = database.aside_counts().await;
    let (bytes, log_bytes) = database.sizes();
    json!({
        "name": database.name().as_str(),
        "meta": meta,
        "writer": writer,
        "bytes": bytes,
        "log_bytes": log_bytes,
        "writer_queue": database.waiting(),
        "quarantined": aside.map(|(quarantined, _)| quarantined),
        "held_aside": aside.map(|(_, held)| held),
        "clients": clients,
    })
}

fn describe_backup(record: &Record) -> Value {
    json!({
        "last_ms": record.last_ms,
        "bytes": record.bytes,
        "failures": record.failures,
        "error": record.error,
        "overdue": record.is_overdue,
    })
}

fn describe_member(member: &Member, head: Version) -> Value {
    let report = member.report.as_ref();
    let cursor = report.map(|report| report.cursor.version);
    json!({
        "site_id": member.site.to_hex(),
        "connected_since_ms": member.since_ms,
        "agent": report.map(|report| report.agent.as_str()),
        "cursor": cursor.map(Version::get),
        "lag_versions": cursor.map(|cursor| history::lag(head, cursor)),
        "pending": report.map(|report| report.pending),
        "state": report.and_then(|report| report.state),
    })
}
