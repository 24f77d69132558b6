//! Rows that are not here yet, written straight into their table and its clocks.
//!
//! Where in the flow: within `apply`, in the open transaction, for what most of a first sync and of a bulk import is.
//! Ends in what cr-sqlite would have written (its merge of a cell into a row without clocks, `changes_vtab_write.rs`),
//! with one statement for a row and one for its clocks instead of six for each cell. Never touches a row of which
//! anything is known: whatever could need a merge is left to cr-sqlite.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use greenlight_core::{Change, SiteId, Value};
use rusqlite::{CachedStatement, OptionalExtension};

use crate::connection::Connection;
use crate::database::Database;
use crate::limits::ROW_KINDS;
use crate::tables::TableSql;
use crate::value::Bind;

/// Tables with more columns are left to cr-sqlite: which of them a row brings is kept in one number.
const MAX_COLUMNS: usize = u64::BITS as usize;
/// Parameters of the clocks' statement before those of the cells, and for each of the cells.
const CLOCK_PARAMETERS: usize = 2;
const CELL_PARAMETERS: usize = 3;

/// What is prepared once for all rows of a part.
pub(super) struct AbsentRows<'db> {
    conn: &'db Connection,
    version: i64,
    ordinals: HashMap<SiteId, i64>,
    statements: HashMap<(*const TableSql, u64), Statements<'db>>,
    cells: Vec<(usize, usize)>,
}

struct Statements<'db> {
    key: CachedStatement<'db>,
    row: CachedStatement<'db>,
    clocks: CachedStatement<'db>,
}

impl<'db> AbsentRows<'db> {
    pub(super) fn new(database: &'db Database) -> rusqlite::Result<Self> {
        let conn = &database.conn;
        let sql = "SELECT crsql_next_db_version(0)";
        let version = conn.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
        let (ordinals, statements) = (HashMap::new(), HashMap::new());
        Ok(Self { conn, version, ordinals, statements, cells: Vec::new() })
    }

    /// Whether a row is of the kind that can be written so, as far as its changes tell: cells of a first life, each
    /// column once.
    pub(super) fn suits(&mut self, table: &TableSql, changes: &[Change], places: &[usize]) -> bool {
        self.cells.clear();
        for &place in places {
            let change = &changes[place];
            match table.column(&change.column) {
                Some((_, column)) if column < MAX_COLUMNS && change.causal_length == 1 => {
                    self.cells.push((column, place));
                }
                _ => return false,
            }
        }
        self.cells.sort_unstable();
        self.cells.windows(2).all(|pair| pair[0].0 != pair[1].0)
    }

    /// Writes the row that was just found to suit. `false`, and nothing is written, when its key is known here. The
    /// caller has set the sync bit.
    pub(super) fn insert(&mut self, table: &TableSql, changes: &[Change]) -> rusqlite::Result<bool> {
        for &(_, place) in &self.cells {
            let site = changes[place].site;
            if let Entry::Vacant(entry) = self.ordinals.entry(site) {
                entry.insert(ordinal(self.conn, site)?);
            }
        }
        let mask = self.cells.iter().fold(0, |mask, (column, _)| mask | 1_u64 << column);
        let kind = (std::ptr::from_ref(table), mask);
        if self.statements.len() >= ROW_KINDS && !self.statements.contains_key(&kind) {
            self.statements.clear();
        }
        let statements = match self.statements.entry(kind) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(prepare(self.conn, table, changes, &self.cells)?),
        };
        let key = changes[self.cells[0].1].key.values();
        if !insert_key(&mut statements.key, &key)? {
            return Ok(false);
        }
        let number = self.conn.last_insert_rowid();
        let values = self.cells.iter().map(|&(_, place)| &changes[place].value);
        for (index, value) in key.iter().chain(values).enumerate() {
            statements.row.raw_bind_parameter(index + 1, Bind(value))?;
        }
        statements.row.raw_execute()?;
        let clocks = &mut statements.clocks;
        clocks.raw_bind_parameter(1, number)?;
        clocks.raw_bind_parameter(2, self.version)?;
        for (index, &(_, place)) in self.cells.iter().enumerate() {
            let (change, first) = (&changes[place], CLOCK_PARAMETERS + index * CELL_PARAMETERS + 1);
            // Within their limits: the change was checked before.
            clocks.raw_bind_parameter(first, change.column_version as i64)?;
            clocks.raw_bind_parameter(first + 1, self.ordinals[&change.site])?;
            clocks.raw_bind_parameter(first + 2, change.sequence as i64)?;
        }
        clocks.raw_execute()?;
        Ok(true)
    }
}

fn prepare<'db>(
    conn: &'db Connection,
    table: &TableSql,
    changes: &[Change],
    cells: &[(usize, usize)],
) -> rusqlite::Result<Statements<'db>> {
    let columns: Vec<&str> = cells.iter().map(|&(_, place)| &*changes[place].column).collect();
    Ok(Statements {
        key: conn.prepare_cached(&table.insert_key)?,
        row: conn.prepare_cached(&table.insert_row(&columns))?,
        clocks: conn.prepare_cached(&table.insert_clocks(&columns))?,
    })
}

fn insert_key(statement: &mut CachedStatement<'_>, key: &[Value]) -> rusqlite::Result<bool> {
    for (index, value) in key.iter().enumerate() {
        statement.raw_bind_parameter(index + 1, Bind(value))?;
    }
    Ok(statement.raw_execute()? > 0)
}

/// The number under which a site is known here; a new one where it isn't.
fn ordinal(conn: &Connection, site: SiteId) -> rusqlite::Result<i64> {
    let known = conn
        .prepare_cached("SELECT ordinal FROM crsql_site_id WHERE site_id = ?1")?
        .query_row([&site.0[..]], |row| row.get(0))
        .optional()?;
    match known {
        Some(ordinal) => Ok(ordinal),
        None => {
            conn.prepare_cached("INSERT INTO crsql_site_id (site_id) VALUES (?1)")?.execute([&site.0[..]])?;
            Ok(conn.last_insert_rowid())
        }
    }
}
