//! Making what is here win over what is elsewhere, without changing it.
//!
//! Where in the flow: a repair on a client, within a local transaction; on a server, what is dropped from quarantine.
//! cr-sqlite doesn't record an UPDATE that changes nothing, so the clocks are raised themselves. Never changes a value,
//! and so never meets an app's trigger or CHECK.

use greenlight_core::change::SENTINEL;
use greenlight_core::limits::MAX_COLUMN_VERSION;
use greenlight_core::replica::Fault;
use greenlight_core::{Change, PackedKey};
use rusqlite::{OptionalExtension, params_from_iter};

use crate::database::Database;
use crate::fault::from_sqlite;
use crate::state;
use crate::tables::TableSql;
use crate::value::Bind;

/// What makes a clock entry this transaction's own.
const NOW: &str = "db_version = crsql_next_db_version(0), site_id = 0, seq = crsql_increment_and_get_seq()";

/// Makes the cells of a row this transaction's own, each one column version higher. A row that is not here is left.
pub(crate) fn row(database: &Database, table: &str, key: &PackedKey) -> Result<(), Fault> {
    let Some(table) = database.table(table).filter(|table| table.key_fits(key)) else { return Ok(()) };
    let Some(number) = number(database, table, key)? else { return Ok(()) };
    let sql = format!(
        "UPDATE {} SET col_version = col_version + 1, {NOW}
         WHERE key = ?1 AND col_name <> '{SENTINEL}' AND col_version < {MAX_COLUMN_VERSION}",
        table.clock()
    );
    state::run(&database.conn, &sql, [number]).map(drop)
}

/// Makes what is here win over a change that was not applied, wherever that is: the cell is written once more as it is;
/// a row that is not here is deleted once more, one that lives here comes to life once more. Whoever has the change
/// gets this by syncing. A change that could never be applied anywhere is left.
pub(crate) fn outrank(database: &Database, change: &Change) -> Result<(), Fault> {
    let fits = |table: &&TableSql| {
        let known = change.is_sentinel() || table.column(&change.column).is_some();
        let numbers = change.column_version.max(change.causal_length) < MAX_COLUMN_VERSION - 1;
        table.key_fits(&change.key) && known && numbers
    };
    let Some(table) = database.table(&change.table).filter(fits) else { return Ok(()) };
    let here = causal_length(database, table, &change.key)?;
    let lives = |length: u64| !length.is_multiple_of(2);
    if change.causal_length < here || change.causal_length == here && (change.is_sentinel() || !lives(here)) {
        return Ok(());
    }
    if change.causal_length == here {
        return cell(database, table, change);
    }
    // The next length above the change's, at which the row is as it is here.
    let length = change.causal_length + u64::from(lives(change.causal_length) != lives(here));
    let length = if lives(here) && length == change.causal_length { length + 2 } else { length };
    row_at(database, table, &change.key, length)
}

fn number(database: &Database, table: &TableSql, key: &PackedKey) -> Result<Option<i64>, Fault> {
    let values = key.values();
    let find = database.conn.prepare_cached(&table.find_key);
    find.and_then(|mut find| find.query_row(params_from_iter(values.iter().map(Bind)), |row| row.get(0)).optional())
        .map_err(from_sqlite)
}

/// 0 where nothing was ever known of the row.
fn causal_length(database: &Database, table: &TableSql, key: &PackedKey) -> Result<u64, Fault> {
    let Some(number) = number(database, table, key)? else { return Ok(0) };
    let sql = format!(
        "SELECT CASE WHEN EXISTS (SELECT 1 FROM {0} WHERE key = ?1)
           THEN ifnull((SELECT col_version FROM {0} WHERE key = ?1 AND col_name = '{SENTINEL}'), 1) ELSE 0 END",
        table.clock()
    );
    state::one(&database.conn, &sql, [number], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
}

fn cell(database: &Database, table: &TableSql, change: &Change) -> Result<(), Fault> {
    let Some(number) = number(database, table, &change.key)? else { return Ok(()) };
    let sql = format!(
        "INSERT INTO {} (key, col_name, col_version, db_version, site_id, seq)
         VALUES (?1, ?2, ?3 + 1, crsql_next_db_version(0), 0, crsql_increment_and_get_seq())
         ON CONFLICT DO UPDATE SET col_version = min(max(col_version, ?3) + 1, {MAX_COLUMN_VERSION}), {NOW}",
        table.clock()
    );
    state::run(&database.conn, &sql, (number, &*change.column, change.column_version as i64)).map(drop)
}

/// The row, dead or alive as it is, at this causal length; its cells with it.
fn row_at(database: &Database, table: &TableSql, key: &PackedKey, length: u64) -> Result<(), Fault> {
    let values = key.values();
    database
        .conn
        .prepare_cached(&table.insert_key)
        .and_then(|mut insert| insert.execute(params_from_iter(values.iter().map(Bind))))
        .map_err(from_sqlite)?;
    let Some(number) = number(database, table, key)? else { return Ok(()) };
    let clock = table.clock();
    let sentinel = format!(
        "INSERT INTO {clock} (key, col_name, col_version, db_version, site_id, seq)
         VALUES (?1, '{SENTINEL}', ?2, crsql_next_db_version(0), 0, crsql_increment_and_get_seq())
         ON CONFLICT DO UPDATE SET col_version = ?2, {NOW}"
    );
    state::run(&database.conn, &sentinel, (number, length as i64))?;
    let cells = format!("UPDATE {clock} SET {NOW} WHERE key = ?1 AND col_name <> '{SENTINEL}'");
    state::run(&database.conn, &cells, [number]).map(drop)
}
