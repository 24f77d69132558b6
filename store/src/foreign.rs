//! Mending what other builds of cr-sqlite write into a shared file.
//!
//! Where in the flow: before such versions are served or uploaded. Without our patches an UPDATE of a primary key
//! moves the row's cells to the new key with their old versions and sites, so that a range holds the row's marker
//! alone and a peer ends with NULLs. Here those cells get the marker's version. Never touches a version that was
//! served already.

use greenlight_core::Version;
use greenlight_core::replica::Fault;

use crate::database::Database;
use crate::limits::FOREIGN_MOVE_STEP;
use crate::state;
use crate::tables::TableSql;

/// Whether a row was moved, above this version, and its cells were left behind it.
pub(crate) fn has_moved(database: &Database, above: Version) -> Result<bool, Fault> {
    for table in &database.tables {
        let sql = format!("SELECT 1 FROM {} AS c WHERE {}", table.clock(), moved(table));
        if state::exists(&database.conn, &sql, [above.to_sql()])? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Gives cells that were moved the version and site of their row's marker, and a column version above whatever the
/// target key had.
pub(crate) fn restamp_moved(database: &Database, above: Version) -> Result<(), Fault> {
    for table in &database.tables {
        let clock = table.clock();
        let sql = format!(
            "UPDATE {clock} AS c SET site_id = 0, col_version = col_version + {FOREIGN_MOVE_STEP},
               db_version = (SELECT m.db_version FROM {clock} m WHERE m.key = c.key AND m.col_name = '-1')
             WHERE {}",
            moved(table)
        );
        state::run(&database.conn, &sql, [above.to_sql()])?;
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
