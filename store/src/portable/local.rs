//! Tables that a replica's schema does not name: they are this machine's alone, and neither go with a snapshot nor with
//! what a pull replaces.
//!
//! Where in the flow: dropped when a snapshot is taken, and carried over when one is made this machine's own. Never
//! touches a synchronised table, and nothing of cr-sqlite's or the store's own.

use std::path::Path;

use greenlight_core::replica::{Fault, FaultKind};
use rusqlite::Connection;
use rusqlite::types::{ToSqlOutput, ValueRef};

use super::PortableError;
use crate::fault::from_sqlite;
use crate::schema::Schema;
use crate::schema::structure::is_internal;
use crate::tables::quote;

/// What the present database is called beside the snapshot.
const HERE: &str = "greenlight_here";

/// A table of this machine's.
struct Local {
    name: String,
    sql: String,
    is_virtual: bool,
}

/// Drops those tables, and what a view or a trigger that is not the schema's would tell of them or need. Tells whether
/// there was anything. Within the caller's transaction, without foreign keys.
pub(super) fn strip(conn: &Connection, schema: &Schema) -> Result<bool, PortableError> {
    let mut statement = conn.prepare("SELECT type, name FROM main.sqlite_schema WHERE type IN ('view', 'trigger')")?;
    let extras = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let extras = extras.collect::<Result<Vec<(String, String)>, _>>()?;
    let is_schemas = |kind: &str, name: &str| {
        schema.extras().iter().any(|extra| extra.kind == kind && extra.name.eq_ignore_ascii_case(name))
    };
    let mut found = false;
    for (kind, name) in extras.iter().filter(|(kind, name)| !is_internal(name) && !is_schemas(kind, name)) {
        conn.execute_batch(&format!("DROP {kind} main.{}", quote(name)))?;
        found = true;
    }
    Ok(drop_tables(conn)? || found)
}

/// Lays the present database beside the snapshot; not within a transaction.
pub(super) fn attach(conn: &Connection, present: &Path) -> Result<(), PortableError> {
    // A path need not be UTF-8, and SQLite hands it on as it is.
    let path = ToSqlOutput::Borrowed(ValueRef::Text(present.as_os_str().as_encoded_bytes()));
    conn.execute(&format!("ATTACH ?1 AS {HERE}"), [path])?;
    Ok(())
}

/// Takes it away again.
pub(super) fn detach(conn: &Connection) -> Result<(), PortableError> {
    Ok(conn.execute_batch(&format!("DETACH {HERE}"))?)
}

/// Puts the present database's tables, with rows, indices and triggers, in the place of those that the snapshot may have.
/// Within the caller's transaction, without foreign keys.
pub(super) fn carry_over(conn: &Connection) -> Result<(), PortableError> {
    drop_tables(conn)?;
    let locals = tables(conn, HERE)?;
    for local in locals.iter().filter(|local| !local.is_virtual) {
        copy(conn, local).map_err(|error| refused(&local.name, error))?;
    }
    // Triggers must not fire for rows that are only carried over.
    let mut statement = conn.prepare(&format!(
        "SELECT tbl_name, sql FROM {HERE}.sqlite_schema WHERE type IN ('index', 'trigger') AND sql IS NOT NULL
         ORDER BY type, rowid"
    ))?;
    let extras = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    for (table, sql) in extras.collect::<Result<Vec<(String, String)>, _>>()? {
        if locals.iter().any(|local| local.name.eq_ignore_ascii_case(&table)) {
            conn.execute_batch(&sql).map_err(|error| refused(&table, error))?;
        }
    }
    // The tables that a virtual one keeps are carried over as any. Its module may not be known here, and is not asked.
    with_writable_schema(conn, || {
        for local in locals.iter().filter(|local| local.is_virtual) {
            conn.execute(
                "INSERT INTO main.sqlite_schema (type, name, tbl_name, rootpage, sql) VALUES ('table', ?1, ?1, 0, ?2)",
                [&local.name, &local.sql],
            )?;
        }
        Ok(())
    })
}

/// The tables without a clock.
fn tables(conn: &Connection, database: &str) -> Result<Vec<Local>, PortableError> {
    let mut statement = conn.prepare(&format!(
        "SELECT name, sql, rootpage = 0 FROM {database}.sqlite_schema s WHERE type = 'table' AND sql IS NOT NULL
           AND NOT EXISTS (SELECT 1 FROM {database}.sqlite_schema WHERE lower(name) = lower(s.name || '__crsql_clock'))
         ORDER BY rowid"
    ))?;
    let rows =
        statement.query_map([], |row| Ok(Local { name: row.get(0)?, sql: row.get(1)?, is_virtual: row.get(2)? }))?;
    Ok(rows.filter(|local| !local.as_ref().is_ok_and(|local| is_internal(&local.name))).collect::<Result<_, _>>()?)
}

fn drop_tables(conn: &Connection) -> Result<bool, PortableError> {
    let locals = tables(conn, "main")?;
    for local in locals.iter().filter(|local| !local.is_virtual) {
        conn.execute_batch(&format!("DROP TABLE main.{}", quote(&local.name)))?;
    }
    with_writable_schema(conn, || {
        for local in locals.iter().filter(|local| local.is_virtual) {
            conn.execute("DELETE FROM main.sqlite_schema WHERE type = 'table' AND name = ?1", [&local.name])?;
        }
        Ok(())
    })?;
    Ok(!locals.is_empty())
}

fn with_writable_schema(conn: &Connection, change: impl FnOnce() -> rusqlite::Result<()>) -> Result<(), PortableError> {
    conn.execute_batch("PRAGMA writable_schema = ON")?;
    let changed = change();
    conn.execute_batch("PRAGMA writable_schema = OFF")?;
    Ok(changed?)
}

fn copy(conn: &Connection, local: &Local) -> rusqlite::Result<()> {
    conn.execute_batch(&local.sql)?;
    let table = quote(&local.name);
    let mut statement = conn.prepare("SELECT name FROM pragma_table_xinfo(?1, 'main') WHERE hidden = 0")?;
    let mut columns = statement.query_map([&local.name], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    let is_free = |alias: &&str| !columns.iter().any(|column| column.eq_ignore_ascii_case(alias));
    let without_rowid: bool =
        conn.query_row("SELECT wr FROM pragma_table_list(?1) WHERE schema = 'main'", [&local.name], |row| row.get(0))?;
    // Others may know a row by its number.
    if let Some(number) = ["rowid", "_rowid_", "oid"].iter().find(|alias| is_free(alias))
        && !without_rowid
    {
        columns.insert(0, (*number).to_owned());
    }
    let list = columns.iter().map(|column| quote(column)).collect::<Vec<_>>().join(", ");
    conn.execute_batch(&format!("INSERT INTO main.{table} ({list}) SELECT {list} FROM {HERE}.{table}"))?;
    // The largest number ever given, which may be larger than what is there.
    let counts = format!(
        "SELECT EXISTS (SELECT 1 FROM main.sqlite_schema WHERE name = 'sqlite_sequence')
           AND EXISTS (SELECT 1 FROM {HERE}.sqlite_schema WHERE name = 'sqlite_sequence')"
    );
    if conn.query_row(&counts, [], |row| row.get(0))? {
        conn.execute("DELETE FROM main.sqlite_sequence WHERE name = ?1", [&local.name])?;
        let sql = format!(
            "INSERT INTO main.sqlite_sequence (name, seq) SELECT name, seq FROM {HERE}.sqlite_sequence WHERE name = ?1"
        );
        conn.execute(&sql, [&local.name])?;
    }
    Ok(())
}

/// A name that the snapshot's schema has taken, or something that only the app's SQLite knows.
fn refused(table: &str, error: rusqlite::Error) -> PortableError {
    match from_sqlite(error) {
        Fault { kind: FaultKind::Internal, message } => PortableError::Local { table: table.to_owned(), why: message },
        fault => fault.into(),
    }
}
