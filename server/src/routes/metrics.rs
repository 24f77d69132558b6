//! `GET /metrics`: what Prometheus reads.
//!
//! Where in the flow: for operators, who may see names of databases: an admin, or this machine itself. Never opens a
//! database.

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use crate::access::{Caller, Role};
use crate::app::App;
use crate::error::ApiError;
use crate::history::Sample;
use crate::metrics::families::Text;
use crate::registry::Condition;

/// All metrics as text.
pub(super) async fn metrics(State(app): State<App>, caller: Caller) -> Result<Response, ApiError> {
    if !caller.is_local {
        app.check(&caller, None, Role::Admin)?;
    }
    let mut text = Text::default();
    text.put("build_info", Some(env!("CARGO_PKG_VERSION")), 1);
    text.put("start_time_seconds", None, seconds(app.started_ms));
    app.metrics.write(&mut text);
    databases(&app, &mut text).await;
    for (name, record) in app.schedule.records() {
        let name = Some(name.as_str());
        if let Some(last_ms) = record.last_ms {
            text.put("backup_last_success_seconds", name, seconds(last_ms));
            text.put("backup_bytes", name, record.bytes);
        }
        text.put("backup_failures_total", name, record.failures);
    }
    let kind = HeaderValue::from_static("text/plain; version=0.0.4");
    Ok(([(header::CONTENT_TYPE, kind)], text.finish()).into_response())
}

async fn databases(app: &App, text: &mut Text) {
    let (mut open, mut idle, mut failed) = (0, 0, 0);
    let (mut quarantined, mut held) = (0, 0);
    for (name, condition) in app.registry.all().await {
        let database = match condition {
            Condition::Open(database) => database,
            Condition::Idle => {
                idle += 1;
                continue;
            }
            Condition::Failed(_) | Condition::Opening => {
                failed += 1;
                continue;
            }
        };
        open += 1;
        let counts = database.aside_counts().await.unwrap_or_default();
        (quarantined, held) = (quarantined + counts.0, held + counts.1);
        let (sample, (bytes, log)) = (Sample::of(&database), database.sizes());
        let queue = u64::try_from(database.waiting()).unwrap_or(u64::MAX);
        for (metric, value) in [
            ("database_sockets", sample.clients),
            ("database_clients_behind", sample.behind),
            ("database_lag_versions", sample.lag),
            ("database_pending_changes", sample.pending),
            ("database_writer_queue", queue),
            ("database_bytes", bytes),
            ("database_log_bytes", log),
        ] {
            text.put(metric, Some(name.as_str()), value);
        }
        if let Some(count) = app.history.tombstones(&name) {
            text.put("database_tombstones", Some(name.as_str()), count);
        }
    }
    text.put("databases_open", None, open);
    text.put("databases_idle", None, idle);
    text.put("databases_failed", None, failed);
    text.put("quarantined_changes", None, quarantined);
    text.put("held_aside_changes", None, held);
}

fn seconds(ms: i64) -> u64 {
    u64::try_from(ms / 1_000).unwrap_or(0)
}
