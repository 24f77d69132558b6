//! Which SQL an app may run: reading, writing rows of its own tables, and what is temporary.
//!
//! Where in the flow: SQLite asks while a statement of an app is prepared. While it runs nothing is asked, since the
//! triggers of synchronised tables then prepare statements of their own on internal tables.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

use crate::limits::STATEMENT_STEPS;
use crate::schema::structure::is_internal;

/// What is being judged; `None` while the store's own statements are prepared.
type State = Arc<Mutex<Option<Judgement>>>;

/// What was found while a statement was prepared.
#[derive(Debug, Default)]
pub(crate) struct Judgement {
    /// Why it is denied, as a sentence.
    pub(crate) denied: Option<String>,
    /// Tables that it reads, views resolved.
    pub(crate) reads: Vec<String>,
}

/// So many steps pass between two looks at what is left of a statement's budget.
const STEPS_A_LOOK: i32 = 100_000;

/// The authorizer and the step counter of one connection. They stay installed, since installing an authorizer makes
/// SQLite prepare all statements again.
#[derive(Debug)]
pub(crate) struct Guard {
    state: State,
    /// Looks that the running statement has left; none are taken from the store's own.
    looks: Arc<AtomicU64>,
    /// Steps that a statement may take.
    pub(crate) steps: u64,
}

const UNBOUNDED: u64 = u64::MAX;

impl Guard {
    pub(crate) fn install(conn: &mut rusqlite::Connection) -> rusqlite::Result<Self> {
        let state = State::default();
        let shared = state.clone();
        conn.authorizer(Some(move |context: AuthContext<'_>| {
            // A poisoned lock means that a thread has panicked between two assignments; what it holds is whole.
            match &mut *shared.lock().unwrap_or_else(PoisonError::into_inner) {
                None => Authorization::Allow,
                Some(judgement) => judge(judgement, &context),
            }
        }))?;
        let looks = Arc::new(AtomicU64::new(UNBOUNDED));
        let left = looks.clone();
        conn.progress_handler(
            STEPS_A_LOOK,
            Some(move || match left.load(Ordering::Relaxed) {
                UNBOUNDED => false,
                0 => true,
                looks => {
                    left.store(looks - 1, Ordering::Relaxed);
                    false
                }
            }),
        )?;
        Ok(Self { state, looks, steps: STATEMENT_STEPS })
    }

    /// Runs `work`, which SQLite interrupts when it takes more than its steps.
    pub(crate) fn bounded<T>(&self, work: impl FnOnce() -> T) -> T {
        self.bounded_by(self.steps / STEPS_A_LOOK as u64, work)
    }

    fn bounded_by<T>(&self, looks: u64, work: impl FnOnce() -> T) -> T {
        self.looks.store(looks, Ordering::Relaxed);
        let result = work();
        self.looks.store(UNBOUNDED, Ordering::Relaxed);
        result
    }

    /// Runs `prepare` with judgement, and returns what was found.
    pub(crate) fn judged<T>(&self, prepare: impl FnOnce() -> T) -> (T, Judgement) {
        let set = |value| std::mem::replace(&mut *self.state.lock().unwrap_or_else(PoisonError::into_inner), value);
        set(Some(Judgement::default()));
        let prepared = prepare();
        (prepared, set(None).unwrap_or_default())
    }
}

const DEFINITIONS: &str = "tables, views, indices and triggers are changed by the schema's file, not by statements";

fn judge(judgement: &mut Judgement, context: &AuthContext<'_>) -> Authorization {
    let temporary = context.database_name == Some("temp");
    let denied = match context.action {
        AuthAction::Select | AuthAction::Recursive => None,
        AuthAction::Read { table_name, .. } => {
            if !temporary && !judgement.reads.iter().any(|table| table == table_name) {
                judgement.reads.push(table_name.to_owned());
            }
            // Reading them is harmless, and tells an operator what goes on.
            None
        }
        AuthAction::Insert { table_name }
        | AuthAction::Update { table_name, .. }
        | AuthAction::Delete { table_name } => {
            let internal = is_internal(table_name) && !(temporary || is_schema_of_temp(table_name));
            internal.then(|| match table_name {
                // What SQLite asks first when a table is created or dropped.
                "sqlite_master" | "sqlite_schema" => DEFINITIONS.to_owned(),
                _ => format!("table `{table_name}` is internal and can't be written"),
            })
        }
        AuthAction::Function { function_name } => judge_function(function_name, context.accessor.is_some()),
        AuthAction::Pragma { pragma_name, pragma_value } => judge_pragma(pragma_name, pragma_value),
        AuthAction::CreateTempIndex { .. }
        | AuthAction::CreateTempTable { .. }
        | AuthAction::CreateTempView { .. }
        | AuthAction::DropTempIndex { .. }
        | AuthAction::DropTempTable { .. }
        | AuthAction::DropTempView { .. }
        | AuthAction::Analyze { .. } => None,
        AuthAction::Reindex { .. } if temporary => None,
        AuthAction::Transaction { .. } | AuthAction::Savepoint { .. } => {
            Some("transactions are made around statements, not by them".to_owned())
        }
        AuthAction::Attach { .. } | AuthAction::Detach { .. } => Some("other files can't be attached".to_owned()),
        _ => Some(DEFINITIONS.to_owned()),
    };
    match denied {
        None => Authorization::Allow,
        Some(sentence) => {
            judgement.denied.get_or_insert(sentence);
            Authorization::Deny
        }
    }
}

fn is_schema_of_temp(table: &str) -> bool {
    matches!(table, "sqlite_temp_master" | "sqlite_temp_schema" | "sqlite_stat1" | "sqlite_stat4")
}

fn judge_function(name: &str, within_trigger: bool) -> Option<String> {
    let name = name.to_ascii_lowercase();
    // What cr-sqlite offers apps: identity, version, packing, and keys between two others. Its other functions for
    // ordered lists create triggers and views.
    let harmless = [
        "crsql_site_id",
        "crsql_db_version",
        "crsql_pack_columns",
        "crsql_sha",
        "crsql_rows_impacted",
        "crsql_fract_key_between",
    ];
    let internal = name.starts_with("crsql_") && !harmless.contains(&&*name);
    (name == "load_extension" || name == "fts3_tokenizer" || internal && !within_trigger)
        .then(|| format!("function `{name}` can't be called"))
}

fn judge_pragma(name: &str, value: Option<&str>) -> Option<String> {
    const WITH_ARGUMENT: [&str; 9] = [
        "table_info",
        "table_xinfo",
        "table_list",
        "index_list",
        "index_info",
        "index_xinfo",
        "foreign_key_list",
        "quick_check",
        "integrity_check",
    ];
    const READING: [&str; 9] = [
        "page_count",
        "page_size",
        "freelist_count",
        "data_version",
        "schema_version",
        "user_version",
        "encoding",
        "journal_mode",
        "compile_options",
    ];
    let name = name.to_ascii_lowercase();
    let allowed = WITH_ARGUMENT.contains(&&*name) || value.is_none() && READING.contains(&&*name);
    (!allowed).then(|| format!("pragma `{name}` can't be used here"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_without_end_is_ended_and_only_that() {
        let mut conn = rusqlite::Connection::open_in_memory().unwrap();
        let guard = Guard::install(&mut conn).unwrap();
        let count = |rows: &str| {
            let sql = format!(
                "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n {rows}) SELECT count(*) FROM n"
            );
            conn.query_row(&sql, [], |row| row.get::<_, i64>(0))
        };
        let error = guard.bounded_by(10, || count("")).unwrap_err();
        assert_eq!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::OperationInterrupted));
        assert!(guard.bounded_by(10, || count("LIMIT 100")).is_ok());
        assert_eq!(count("LIMIT 300000").unwrap(), 300_000, "the store's own statements take what they need");
    }
}
