//! Who a database is: leaving an identity that another database holds too, and beginning anew.
//!
//! Where in the flow: on a client that turns out to be a copy, on a server that is reset, on a copied file before it
//! is used. Runs within the caller's transaction. Never loses a row of a client.

use greenlight_core::replica::Fault;
use greenlight_core::{SiteId, Version};
use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::database::Database;
use crate::fault::from_sqlite;
use crate::state;
use crate::tables::TableSql;

/// Becomes `site`. What the old identity wrote up to `acknowledged` stays the old one's, what it wrote later becomes
/// the new one's own.
pub(crate) fn leave_site(database: &Database, site: SiteId, acknowledged: Version) -> Result<(), Fault> {
    reattribute(&database.conn, &database.tables, site, acknowledged)
}

/// The same on a connection that need not have cr-sqlite.
pub(crate) fn reattribute(
    conn: &Connection,
    tables: &[TableSql],
    site: SiteId,
    acknowledged: Version,
) -> Result<(), Fault> {
    let old: Vec<u8> = state::one(conn, "SELECT site_id FROM crsql_site_id WHERE ordinal = 0", [], |row| row.get(0))?;
    let ordinal: i64 = state::one(conn, "SELECT max(ordinal) + 1 FROM crsql_site_id", [], |row| row.get(0))?;
    state::run(conn, "UPDATE crsql_site_id SET site_id = ?1 WHERE ordinal = 0", [&site.0[..]])?;
    state::run(conn, "INSERT INTO crsql_site_id (site_id, ordinal) VALUES (?1, ?2)", (&old, ordinal))?;
    for table in tables {
        let sql = format!("UPDATE {} SET site_id = ?1 WHERE site_id = 0 AND db_version <= ?2", table.clock());
        state::run(conn, &sql, (ordinal, acknowledged.to_sql()))?;
    }
    Ok(())
}

/// Drops all rows, clocks, sites and what was remembered, and becomes `site`.
pub(crate) fn begin_anew(database: &Database, site: SiteId) -> Result<(), Fault> {
    let conn = &database.conn;
    // Without triggers the deletions leave no tombstones, and none of the app's can refuse them.
    let triggers = |on| conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, on).map_err(from_sqlite);
    triggers(false)?;
    let emptied = empty_tables(database);
    triggers(true)?;
    emptied?;
    conn.execute_batch(state::FORGET).map_err(from_sqlite)?;
    conn.execute_batch("DELETE FROM crsql_site_id; DELETE FROM crsql_master WHERE key = 'pre_compact_dbversion';")
        .map_err(from_sqlite)?;
    state::run(conn, "INSERT INTO crsql_site_id (site_id, ordinal) VALUES (?1, 0)", [&site.0[..]]).map(drop)
}

fn empty_tables(database: &Database) -> Result<(), Fault> {
    for table in &database.tables {
        let name = crate::tables::quote(&table.name);
        let sql = format!("DELETE FROM {name}; DELETE FROM {}; DELETE FROM {};", table.clock(), table.keys());
        database.conn.execute_batch(&sql).map_err(from_sqlite)?;
    }
    Ok(())
}
