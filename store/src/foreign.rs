//! Mending what other builds of cr-sqlite write into a shared file.
//!
//! Where in the flow: before such versions are served or uploaded. Without our patches an UPDATE of a primary key
//! moves the row's cells to the new key with their old versions and sites, so that a range holds the row's marker
//! alone and a peer ends with NULLs. Here those cells get the marker's version. And a cell that somebody brought to its
//! highest column version goes beyond it with the next write there, where no peer would take it and no page could be
//! read: it is brought back. Never touches a version that was served already.

use greenlight_core::Version;
use greenlight_core::limits::MAX_COLUMN_VERSION;
use greenlight_core::replica::Fault;

use crate::database::Database;
use crate::limits::FOREIGN_MOVE_STEP;
use crate::state;
use crate::tables::TableSql;

/// Whether something is to be mended above this version: a row that was moved with its cells left behind it, or a clock
/// beyond its limit.
pub(crate) fn is_to_be_mended(database: &Database, above: Version) -> Result<bool, Fault> {
    for table in &database.tables {
        let moved = format!("SELECT 1 FROM {} AS c WHERE {}", table.clock(), moved(table));
        let wrong = [&moved, &table.beyond];
        for sql in wrong {
            if state::exists(&database.conn, sql, [above.to_sql()])? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Gives cells that were moved the version and site of their row's marker, and a column version above whatever the
/// target key had; and brings clocks back to their limit, a row's marker to the last that says the same of the row.
pub(crate) fn mend(database: &Database, above: Version) -> Result<(), Fault> {
    for table in &database.tables {
        let clock = table.clock();
        let sql = format!(
            "UPDATE {clock} AS c SET site_id = 0, col_version = col_version + {FOREIGN_MOVE_STEP},
               db_version = (SELECT m.db_version FROM {clock} m WHERE m.key = c.key AND m.col_name = '-1')
             WHERE {}",
            moved(table)
        );
        state::run(&database.conn, &sql, [above.to_sql()])?;
        if state::exists(&database.conn, &table.beyond, [above.to_sql()])? {
            let sql = format!(
                "UPDATE {clock} SET col_version = {MAX_COLUMN_VERSION} - (col_name = '-1' AND col_version % 2 = 1)
                 WHERE db_version > ?1 AND col_version > {MAX_COLUMN_VERSION}"
            );
            state::run(&database.conn, &sql, [above.to_sql()])?;
        }
    }
    Ok(())
}

/// Cells `c` older than their own row's marker, which was made here above ?1 and says that the row lives. Where our
/// own patches were at work there are none: they move all cells to the marker's version.
fn moved(table: &TableSql) -> String {
    let clock = table.clock();
    format!(
        "c.col_name <> '-1' AND c.key IN (SELECT m.key FROM {clock} m WHERE m.db_version > ?1 AND m.col_name = '-1'
           AND m.site_id = 0 AND m.col_version % 2 = 1)
         AND c.db_version < (SELECT m.db_version FROM {clock} m WHERE m.key = c.key AND m.col_name = '-1')"
    )
}
