//! `POST /{db}/exec` and `POST /{db}/reset`: what only an operator does.
//!
//! Where in the flow: queued for the database's writer like everything else that writes.
//! Never runs SQL itself, and never lets a page of another origin in: its JSON needs a preflight that isn't answered.

use axum::Json;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use serde::Deserialize;
use serde_json::{Value as Json_, json};
use sha2::{Digest as _, Sha256};

use super::meta::{FRESH, describe};
use crate::access::Role;
use crate::app::{App, Target};
use crate::audit::Event;
use crate::database::Statement;
use crate::error::ApiError;
use crate::json;
use crate::limits::{BODY_LIMIT, EXEC_BODY_BYTES};

type Answer = ([(HeaderName, HeaderValue); 1], Json<Json_>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExecBody {
    sql: String,
    params: Option<Vec<Json_>>,
}

/// Runs one statement with params, or several without; answers columns and rows of the last that has any, and how
/// many rows were changed.
pub(super) async fn exec(
    State(app): State<App>,
    target: Target,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer, ApiError> {
    let pass = app.check(&target.caller, Some(&target.name), Role::Admin)?;
    let statement = statement(&read(&headers, body).await?)?;
    let digest = Sha256::digest(statement.sql.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let entry = app.entry(Event::Exec, &target.caller, Some(&target.name)).by(&pass).with("sql_sha256", digest);
    let database = app.registry.get(&target.name).await?;
    let answer = database.exec(statement).await;
    app.audit.write(match &answer {
        Ok(answer) => entry.with("outcome", "ok").with("changes", answer.changes),
        Err(error) => entry.with("outcome", error.code()),
    });
    let answer = answer?;
    let rows: Vec<Vec<Json_>> = answer.rows.iter().map(|row| row.iter().map(json::to_json).collect()).collect();
    Ok((FRESH, Json(json!({ "columns": answer.columns, "rows": rows, "changes": answer.changes }))))
}

/// Empties the database and gives it a new lineage. Takes no body; pages of other origins were turned away before.
pub(super) async fn reset(State(app): State<App>, target: Target) -> Result<Answer, ApiError> {
    let pass = app.check(&target.caller, Some(&target.name), Role::Admin)?;
    let database = app.registry.get(&target.name).await?;
    tracing::warn!(database = %target.name, "reset");
    let facts = database.reset().await?;
    app.audit.write(app.entry(Event::Reset, &target.caller, Some(&target.name)).by(&pass));
    Ok((FRESH, Json(describe(&facts))))
}

pub(super) async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, ApiError> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(ApiError::ContentType);
    }
    match tokio::time::timeout(BODY_LIMIT, to_bytes(body, EXEC_BODY_BYTES)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_length(&error) => Err(ApiError::TooLarge(EXEC_BODY_BYTES)),
        Ok(Err(_)) => Err(ApiError::Body("it broke off".to_owned())),
        Err(_) => Err(ApiError::Body(format!("it took longer than {} seconds", BODY_LIMIT.as_secs()))),
    }
}

fn is_length(error: &axum::Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.to_string().contains("length limit"))
}

fn statement(bytes: &[u8]) -> Result<Statement, ApiError> {
    let body: ExecBody = serde_json::from_slice(bytes).map_err(|error| ApiError::Body(error.to_string()))?;
    let params = match body.params {
        Some(params) => params.iter().map(json::from_json).collect::<Result<Vec<_>, _>>(),
        None => Ok(Vec::new()),
    };
    Ok(Statement { sql: body.sql, params: params.map_err(|error| ApiError::Body(error.to_string()))? })
}
