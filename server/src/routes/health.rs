//! `GET /health` and `GET /{db}/health`: for whoever watches.
//!
//! Where in the flow: open to anyone, so it says no more than yes or no, by check. Never opens or makes a database:
//! strangers must not be able to.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use greenlight_core::protocol::WriterState;
use serde_json::{Map, Value, json};

use super::meta::FRESH;
use crate::access::{Caller, Role};
use crate::app::{App, Target};
use crate::database::Database;
use crate::error::ApiError;
use crate::registry::Condition;
use crate::schedule::Record;

type Answer = (StatusCode, [(HeaderName, HeaderValue); 1], Json<Value>);

/// 200 when every database that was used can be written, else 503. To an operator each is a check by its name;
/// to others they are one check, since names are nobody's business.
pub(super) async fn of_server(State(app): State<App>, caller: Caller) -> Answer {
    // A watcher without a token isn't turned away, so this is no refusal.
    let names = caller.check(&app.gate.now(), app.settings.dev, None, Role::Admin).is_ok();
    let mut checks = Map::new();
    checks.insert("data_folder".to_owned(), Value::from(word(app.settings.data.is_dir(), "missing")));
    checks.insert("access".to_owned(), Value::from(word(app.gate.is_right(), "unreadable")));
    checks.insert("audit".to_owned(), Value::from(word(!app.audit.is_failing(), "failing")));
    checks.insert("stopping".to_owned(), Value::from(word(!*app.stopping.borrow(), "stopping")));
    checks.insert("databases".to_owned(), Value::from("ok"));
    let set_aside = app.registry.set_aside();
    for (name, condition) in app.registry.all().await {
        let check = match condition {
            // What was open before is opened again, which makes nothing.
            Condition::Open(database) if !database.is_alive() => match app.registry.get(&name).await {
                Ok(database) => writer_word(&database).await,
                Err(_) => "unavailable",
            },
            Condition::Open(database) => writer_word(&database).await,
            Condition::Failed(_) | Condition::Opening if set_aside.contains(&name) => "damaged",
            Condition::Failed(_) => "unavailable",
            Condition::Opening => "opening",
            // It could be written when it was closed, and nobody has asked for it since.
            Condition::Idle => "ok",
        };
        if names {
            checks.insert(format!("database:{name}"), Value::from(check));
        }
        if check != "ok" {
            checks.insert("databases".to_owned(), Value::from("failing"));
        }
    }
    let backups = app.schedule.records();
    if app.settings.operations.backups.is_some() {
        let bad = backups.values().map(Record::word).find(|word| *word != "ok");
        checks.insert("backups".to_owned(), Value::from(bad.unwrap_or("ok")));
    }
    if names {
        checks.extend(backups.iter().map(|(name, record)| (format!("backup:{name}"), Value::from(record.word()))));
    }
    answer(&checks)
}

/// The same for one database; 404 for one that was never opened. One that was closed since nobody used it stays closed:
/// whoever watches it would keep it open for ever.
pub(super) async fn of_database(State(app): State<App>, target: Target) -> Result<Answer, ApiError> {
    let Some(database) = app.registry.peek(&target.name).await else {
        let condition = app.registry.all().await.into_iter().find(|(name, _)| *name == target.name);
        return match condition {
            Some((_, Condition::Idle)) => Ok(answer(&Map::from_iter([("idle".to_owned(), Value::from("ok"))]))),
            Some((_, Condition::Opening)) => Err(ApiError::Unavailable("it is being opened".to_owned())),
            Some(_) => Err(ApiError::Unavailable("its last opening failed".to_owned())),
            None => Err(ApiError::UnknownDatabase(target.name.to_string())),
        };
    };
    let mut checks = Map::new();
    let readable = database.facts().await.is_ok();
    checks.insert("reader".to_owned(), Value::from(word(readable, "failing")));
    checks.insert("writer".to_owned(), Value::from(writer_word(&database).await));
    Ok(answer(&checks))
}

async fn writer_word(database: &Database) -> &'static str {
    if !database.is_alive() {
        return "ended";
    }
    match database.pulse().await {
        WriterState::Commits => "ok",
        WriterState::Full => "storage_full",
        WriterState::ReadOnly => "read_only",
        WriterState::Busy => "busy",
        WriterState::Failing => "failing",
    }
}

fn word(good: bool, bad: &'static str) -> &'static str {
    if good { "ok" } else { bad }
}

fn answer(checks: &Map<String, Value>) -> Answer {
    let good = checks.values().all(|check| check == "ok");
    let (status, word) = if good { (StatusCode::OK, "ok") } else { (StatusCode::SERVICE_UNAVAILABLE, "failing") };
    (status, FRESH, Json(json!({ "status": word, "checks": checks })))
}
