//! `GET /{db}/quarantine`, `POST /{db}/quarantine/retry` and `POST /{db}/quarantine/drop`: changes that could not be
//! applied, for an operator.
//!
//! Where in the flow: looking is a reader's, what changes something is queued for the database's writer. Never drops
//! what was not named, and logs every change that leaves.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};
use greenlight_core::Value;
use greenlight_store::{Shelved, ShelvedId};
use serde::Deserialize;
use serde_json::{Value as Json_, json};

use super::exec::read;
use super::meta::FRESH;
use crate::access::{Pass, Role};
use crate::app::{App, Target};
use crate::audit::Event;
use crate::database::Database;
use crate::error::ApiError;
use crate::json;
use crate::limits::{QUARANTINE_ROWS, QUARANTINE_VALUE_BYTES};

type Answer = ([(HeaderName, HeaderValue); 1], Json<Json_>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    ids: Vec<String>,
}

/// A page of what is in quarantine, and how much there is in all.
pub(super) async fn list(State(app): State<App>, target: Target, uri: Uri) -> Result<Answer, ApiError> {
    app.check(&target.caller, Some(&target.name), Role::Admin)?;
    let (offset, limit) = page(uri.query().unwrap_or_default())?;
    let database = app.registry.get(&target.name).await?;
    let (rows, total) = database.quarantine(offset, limit).await?;
    let rows: Vec<Json_> = rows.iter().map(describe).collect();
    Ok((FRESH, Json(json!({ "total": total, "offset": offset, "rows": rows }))))
}

/// Tries the named ones again.
pub(super) async fn retry(
    State(app): State<App>,
    target: Target,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer, ApiError> {
    let (database, ids, pass) = asked(&app, &target, &headers, body).await?;
    let retried = database.retry_quarantined(ids).await?;
    for shelved in &retried.applied {
        log(&target, shelved, "applied from quarantine");
    }
    let entry = app.entry(Event::QuarantineRetry, &target.caller, Some(&target.name)).by(&pass);
    app.audit.write(entry.with("ids", ids_of(&retried.applied)));
    let kept: Vec<Json_> =
        retried.kept.iter().map(|one| json!({ "id": one.id().to_hex(), "reason": one.reason })).collect();
    let body = json!({ "applied": ids_of(&retried.applied), "kept": kept, "unknown": hex(&retried.unknown) });
    Ok((FRESH, Json(body)))
}

/// Drops the named ones for ever.
pub(super) async fn drop(
    State(app): State<App>,
    target: Target,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer, ApiError> {
    let (database, ids, pass) = asked(&app, &target, &headers, body).await?;
    let (dropped, unknown) = database.drop_quarantined(ids).await?;
    let entry = app.entry(Event::QuarantineDrop, &target.caller, Some(&target.name)).by(&pass);
    app.audit.write(entry.with("ids", ids_of(&dropped)));
    for shelved in &dropped {
        log(&target, shelved, "dropped from quarantine");
    }
    Ok((FRESH, Json(json!({ "dropped": ids_of(&dropped), "unknown": hex(&unknown) }))))
}

/// Which change, and whose; never what it says.
fn log(target: &Target, shelved: &Shelved, what: &str) {
    tracing::warn!(
        database = %target.name,
        id = shelved.id().to_hex(),
        table = &*shelved.change.table,
        column = &*shelved.change.column,
        site = %shelved.change.site,
        sender = shelved.sender.map(|site| site.to_hex()),
        reason = shelved.reason,
        "{what}"
    );
}

fn hex(ids: &[ShelvedId]) -> Vec<String> {
    ids.iter().map(|id| id.to_hex()).collect()
}

fn ids_of(shelved: &[Shelved]) -> Vec<String> {
    shelved.iter().map(|one| one.id().to_hex()).collect()
}

fn describe(shelved: &Shelved) -> Json_ {
    let change = &shelved.change;
    let shown = |value: &Value| if value.size() <= QUARANTINE_VALUE_BYTES { json::to_json(value) } else { Json_::Null };
    let key: Vec<Json_> = change.key.values().iter().map(shown).collect();
    json!({
        "id": shelved.id().to_hex(),
        "table": &*change.table,
        "key": key,
        // The row's own marker, which says that it is there or deleted, has no column.
        "column": (!change.is_sentinel()).then_some(&*change.column),
        "value": shown(&change.value),
        "value_bytes": change.value.size(),
        "column_version": change.column_version,
        "causal_length": change.causal_length,
        "site": change.site.to_hex(),
        "sender": shelved.sender.map(|site| site.to_hex()),
        "reason": shelved.reason,
        "since_ms": shelved.since_ms,
    })
}

/// `offset` and `limit`.
fn page(query: &str) -> Result<(usize, usize), ApiError> {
    let (mut offset, mut limit) = (0, QUARANTINE_ROWS);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let number = |text: &str| text.parse::<u32>().ok().and_then(|number| usize::try_from(number).ok());
        match pair.split_once('=').map(|(name, text)| (name, number(text))) {
            Some(("offset", Some(number))) => offset = number,
            Some(("limit", Some(number))) if (1..=QUARANTINE_ROWS).contains(&number) => limit = number,
            _ => return Err(ApiError::Body(format!("`offset` from 0 and `limit` from 1 to {QUARANTINE_ROWS}"))),
        }
    }
    Ok((offset, limit))
}

/// The database and the changes that a caller who may do this asks about.
async fn asked(
    app: &App,
    target: &Target,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Arc<Database>, Vec<ShelvedId>, Pass), ApiError> {
    let pass = app.check(&target.caller, Some(&target.name), Role::Admin)?;
    let ids = named(headers, body).await?;
    Ok((app.registry.get(&target.name).await?, ids, pass))
}

async fn named(headers: &HeaderMap, body: Body) -> Result<Vec<ShelvedId>, ApiError> {
    let body: Named =
        serde_json::from_slice(&read(headers, body).await?).map_err(|error| ApiError::Body(error.to_string()))?;
    if body.ids.len() > QUARANTINE_ROWS {
        return Err(ApiError::Body(format!("name at most {QUARANTINE_ROWS} at once")));
    }
    let ids: Option<Vec<ShelvedId>> = body.ids.iter().map(|id| ShelvedId::from_hex(id)).collect();
    let mut ids = ids.ok_or_else(|| ApiError::Body("an id is 32 hexadecimal digits".to_owned()))?;
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}
