//! `GET /{db}/meta`: what a database is.
//!
//! Where in the flow: for people and tools; the sync protocol tells its clients itself. Never changes anything,
//! except that the database is made on first use where the settings allow it.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use serde_json::{Value, json};

use crate::access::Role;
use crate::app::{App, Target};
use crate::error::ApiError;
use greenlight_core::replica::ServerFacts;

/// Answers that must not be kept.
pub(super) const FRESH: [(HeaderName, HeaderValue); 1] =
    [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];

/// Answers with [`describe`].
pub(super) async fn meta(
    State(app): State<App>,
    target: Target,
) -> Result<([(HeaderName, HeaderValue); 1], Json<Value>), ApiError> {
    let database = app.database(&target, Role::Read).await?;
    Ok((FRESH, Json(describe(&database.facts().await?))))
}

/// A database's facts, with the tables that its schema has: all that a handshake goes by.
pub(super) fn describe(facts: &ServerFacts) -> Value {
    let mut described = outline(facts);
    described["tables"] = json!(facts.shape.tables);
    described
}

/// A database's facts in short. The epoch is hexadecimal, since JavaScript's numbers don't hold 64 bits.
pub(super) fn outline(facts: &ServerFacts) -> Value {
    json!({
        "site_id": facts.lineage.site_id.to_hex(),
        "epoch": facts.lineage.epoch.to_hex(),
        "schema_name": facts.schema.name,
        "schema_version": facts.schema.number,
        "schema_digest": hex(&facts.schema.digest),
        "head": facts.head.version.get(),
    })
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
