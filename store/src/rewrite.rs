//! Writing a row's cells again as they are.
//!
//! Where in the flow: a repair on a client, within a local transaction. cr-sqlite doesn't record an UPDATE that changes
//! nothing, so the clocks are raised themselves. Never changes a value.

use greenlight_core::PackedKey;
use greenlight_core::limits::MAX_COLUMN_VERSION;
use greenlight_core::replica::Fault;
use rusqlite::{OptionalExtension, params_from_iter};

use crate::database::Database;
use crate::fault::from_sqlite;
use crate::state;
use crate::value::Bind;

/// Makes the cells of a row this transaction's own, each one column version higher. A row that is not here is left.
pub(crate) fn row(database: &Database, table: &str, key: &PackedKey) -> Result<(), Fault> {
    let Some(table) = database.table(table).filter(|table| table.key_fits(key)) else { return Ok(()) };
    let values = key.values();
    let number: Option<i64> = database
        .conn
        .prepare_cached(&table.find_key)
        .and_then(|mut find| find.query_row(params_from_iter(values.iter().map(Bind)), |row| row.get(0)).optional())
        .map_err(from_sqlite)?;
    let Some(number) = number else { return Ok(()) };
    let sql = format!(
        "UPDATE {} SET col_version = col_version + 1, db_version = crsql_next_db_version(0), site_id = 0,
           seq = crsql_increment_and_get_seq()
         WHERE key = ?1 AND col_name <> '-1' AND col_version < {MAX_COLUMN_VERSION}",
        table.clock()
    );
    state::run(&database.conn, &sql, [number]).map(drop)
}
