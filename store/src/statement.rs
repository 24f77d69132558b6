//! Running the SQL of apps and operators: judged by the guard, bounded, and with type-exact values.
//!
//! Where in the flow: behind a client's `exec` and a server's `/exec`, always inside a transaction that the caller
//! holds. Never ends or begins that transaction.

use greenlight_core::limits::MAX_VALUE_BYTES;
use greenlight_core::replica::Fault;
use greenlight_core::{Value, Version};
use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::{Batch, ErrorCode, Statement};
use thiserror::Error;

use crate::connection::Connection;
use crate::database::Database;
use crate::fault::{from_sqlite, is_change_to_blame, sentence};
use crate::guard::Judgement;
use crate::limits::{RESULT_BYTES, RESULT_ROWS, SQL_BYTES, SQL_PARAMETERS, STATEMENT_STEPS};
use crate::value::{self, Bind};

/// What a statement returned.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The columns' names; of the last statement, where there were several.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<Value>>,
    /// Rows inserted, changed or deleted, by all statements.
    pub changes: u64,
}

/// Why a statement was not run.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StatementError {
    /// SQLite's own message: wrong SQL, a constraint, a type.
    #[error("{0}")]
    Sql(String),
    /// It is not allowed; a sentence for a person.
    #[error("{0}")]
    Denied(String),
    /// Wrong number of parameters, parameters for several statements, or nothing to run.
    #[error("{0}")]
    Parameters(String),
    /// Longer, or with more results, than the limit.
    #[error("{0}")]
    TooLarge(String),
    /// The database failed.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl StatementError {
    fn of(error: rusqlite::Error, judgement: Judgement) -> Self {
        if let Some(sentence) = judgement.denied {
            return Self::Denied(sentence);
        }
        match error.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) => {
                return Self::TooLarge(format!("the statement takes more than {STATEMENT_STEPS} steps"));
            }
            Some(ErrorCode::TooBig) => {
                return Self::TooLarge(format!("a value or a row is larger than {MAX_VALUE_BYTES} bytes"));
            }
            _ => {}
        }
        if is_change_to_blame(&error) { Self::Sql(sentence(&error)) } else { Self::Fault(from_sqlite(error)) }
    }
}

impl From<rusqlite::Error> for StatementError {
    fn from(error: rusqlite::Error) -> Self {
        Self::of(error, Judgement::default())
    }
}

/// Runs one statement with parameters or several without, in the transaction that the caller holds.
pub(crate) fn run(database: &Database, sql: &str, params: &[Value]) -> Result<Answer, StatementError> {
    check_sizes(sql, params)?;
    let conn = &database.conn;
    let mut changes = 0;
    let mut answer = Answer::default();
    let mut batch = Batch::new(conn, sql);
    let mut count = 0;
    while let Some(mut statement) = prepare(conn, &mut batch)?.0 {
        count += 1;
        if count > 1 && !params.is_empty() {
            return Err(StatementError::Parameters("parameters can be given for one statement alone".to_owned()));
        }
        let before = conn.total_changes();
        answer = if statement.readonly() {
            collect(conn, &mut statement, params)?
        } else {
            conn.within_value_limit(|| collect(conn, &mut statement, params))?
        };
        drop(statement);
        // The total tells whether it wrote; it counts what the triggers of synchronised tables write as well.
        if conn.total_changes() != before {
            changes += conn.changes();
        }
        if conn.is_autocommit() {
            return Err(StatementError::Sql("the statement rolled the transaction back".to_owned()));
        }
    }
    if count == 0 {
        return Err(StatementError::Parameters("there is no statement to run".to_owned()));
    }
    answer.changes = changes;
    Ok(answer)
}

/// The same in a savepoint: when it fails nothing of it stays, and the transaction goes on, unless the statement
/// has rolled that back too. Where `above` is given, what was written above it is looked at as well.
pub(crate) fn in_savepoint(
    database: &Database,
    sql: &str,
    params: &[Value],
    above: Option<Version>,
) -> Result<Answer, StatementError> {
    let batch = |sql: &str| database.conn.execute_batch(sql).map_err(|error| StatementError::Fault(from_sqlite(error)));
    batch("SAVEPOINT greenlight_statement")?;
    let answer = run(database, sql, params).and_then(|answer| match above {
        Some(above) if answer.changes > 0 => match database.unfit(above)? {
            Some(sentence) => Err(StatementError::TooLarge(sentence)),
            None => Ok(answer),
        },
        _ => Ok(answer),
    });
    match answer {
        Ok(answer) => {
            batch("RELEASE greenlight_statement")?;
            Ok(answer)
        }
        Err(error) => {
            database.clear_sync_bit()?;
            if !database.conn.is_autocommit() {
                batch("ROLLBACK TO greenlight_statement; RELEASE greenlight_statement")?;
            }
            Err(error)
        }
    }
}

/// Runs one statement that only reads.
pub(crate) fn query(database: &Database, sql: &str, params: &[Value]) -> Result<Answer, StatementError> {
    check_sizes(sql, params)?;
    let mut batch = Batch::new(&database.conn, sql);
    let Some(mut statement) = prepare(&database.conn, &mut batch)?.0 else {
        return Err(StatementError::Parameters("there is no statement to run".to_owned()));
    };
    if !statement.readonly() {
        return Err(StatementError::Denied("a query only reads; use exec to write".to_owned()));
    }
    let answer = collect(&database.conn, &mut statement, params)?;
    if prepare(&database.conn, &mut batch)?.0.is_some() {
        return Err(StatementError::Parameters("a query is one statement".to_owned()));
    }
    Ok(answer)
}

/// The tables that a statement reads.
pub(crate) fn tables_read(database: &Database, sql: &str) -> Result<Vec<String>, StatementError> {
    check_sizes(sql, &[])?;
    let mut batch = Batch::new(&database.conn, sql);
    let (_, mut judgement) = prepare(&database.conn, &mut batch)?;
    judgement.reads.retain(|table| database.table(table).is_some());
    judgement.reads.sort_unstable();
    Ok(judgement.reads)
}

fn check_sizes(sql: &str, params: &[Value]) -> Result<(), StatementError> {
    if sql.len() > SQL_BYTES {
        return Err(StatementError::TooLarge(format!("the SQL is longer than {SQL_BYTES} bytes")));
    }
    if params.len() > SQL_PARAMETERS {
        return Err(StatementError::TooLarge(format!("there are more than {SQL_PARAMETERS} parameters")));
    }
    if params.iter().any(|param| param.size() > MAX_VALUE_BYTES) {
        return Err(StatementError::TooLarge(format!("a parameter is larger than {MAX_VALUE_BYTES} bytes")));
    }
    if sql.contains('\0') {
        return Err(StatementError::Sql("the SQL holds a NUL character".to_owned()));
    }
    Ok(())
}

/// Prepares the next statement under the guard's judgement.
fn prepare<'c>(
    conn: &Connection,
    batch: &mut Batch<'c, '_>,
) -> Result<(Option<Statement<'c>>, Judgement), StatementError> {
    match conn.guard.judged(|| batch.next()) {
        (Ok(statement), judgement) => Ok((statement, judgement)),
        (Err(error), judgement) => Err(StatementError::of(error, judgement)),
    }
}

fn collect(conn: &Connection, statement: &mut Statement<'_>, params: &[Value]) -> Result<Answer, StatementError> {
    conn.guard.bounded(|| collect_rows(statement, params))
}

fn collect_rows(statement: &mut Statement<'_>, params: &[Value]) -> Result<Answer, StatementError> {
    let expected = statement.parameter_count();
    if expected != params.len() {
        let message = format!("the statement takes {expected} parameters, {} were given", params.len());
        return Err(StatementError::Parameters(message));
    }
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let (mut rows, mut bytes) = (Vec::new(), 0);
    let mut found = statement.query(rusqlite::params_from_iter(params.iter().map(Bind)))?;
    while let Some(row) = found.next()? {
        let values: Result<Vec<Value>, _> =
            (0..columns.len()).map(|index| row.get_ref(index).map(value::read)).collect();
        let values = values?;
        bytes += values.iter().map(Value::size).sum::<usize>();
        rows.push(values);
        if rows.len() > RESULT_ROWS || bytes > RESULT_BYTES {
            let message = format!("the result is larger than {RESULT_ROWS} rows or {RESULT_BYTES} bytes");
            return Err(StatementError::TooLarge(message));
        }
    }
    Ok(Answer { columns, rows, changes: 0 })
}
