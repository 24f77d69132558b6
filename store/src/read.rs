//! Reading ranges of changes: the clocks' own SQL instead of `crsql_changes`.
//!
//! Where in the flow: step 2 on a client, step 6 on a server. One statement per table walks cr-sqlite's index in
//! order, the tables are merged by version, and each row is looked up once for all its cells. A test holds it against
//! `crsql_changes`. Never writes, never sorts, never holds more than a page.

mod counted;

use std::collections::HashMap;
use std::sync::Arc;

use greenlight_core::change::SENTINEL;
use greenlight_core::limits::{MAX_COLUMN_VERSION, MAX_SEQUENCE, MAX_VALUE_BYTES};
use greenlight_core::protocol::ChangesEncoder;
use greenlight_core::replica::{Author, Chunk, Fault, FaultKind, ReadPosition, ReadRequest};
use greenlight_core::{Change, Cursor, PackedKey, SiteId, Value, Version};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, Rows};

pub(crate) use self::counted::Counted;
use crate::fault::{from_sqlite, internal};
use crate::state;
use crate::tables::{TableSql, Whose};
use crate::value;

/// What is read: a connection and the tables in their order.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) conn: &'a Connection,
    pub(crate) tables: &'a [TableSql],
    /// A page is full at this many bytes.
    pub(crate) part_bytes: usize,
}

/// A range within a view.
#[derive(Clone, Copy)]
pub(crate) struct Range<'a> {
    pub(crate) since: Version,
    pub(crate) until: Version,
    pub(crate) after: Option<&'a ReadPosition>,
    pub(crate) author: Author,
}

/// Whether everything that is in a server's tables has a place in its history up to `head`. What another process has
/// just written has none, and hides what it wrote over: whoever read a range now would miss that.
pub(crate) fn is_noticed(view: View<'_>, head: Cursor) -> Result<bool, Fault> {
    for table in view.tables {
        let largest: Option<i64> = state::one(view.conn, &table.head, [], |row| row.get(0))?;
        if largest.unwrap_or_default() > head.version.to_sql() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Reads one page of a server's history.
///
/// # Errors
/// [`FaultKind::Busy`] while [`is_noticed`] is not so; else the database's.
pub(crate) fn server_page(
    view: View<'_>,
    request: &ReadRequest,
    head: Cursor,
    counted: &mut Counted,
) -> Result<Chunk, Fault> {
    if !is_noticed(view, head)? {
        let message = "another process has written what is not part of the history yet".to_owned();
        return Err(Fault { kind: FaultKind::Busy, message });
    }
    page(view, request, head, counted)
}

/// Reads one page. `head` is the range's end where the request leaves it open; the caller holds a transaction, so
/// that head and changes are of one moment.
pub(crate) fn page(view: View<'_>, request: &ReadRequest, head: Cursor, counted: &mut Counted) -> Result<Chunk, Fault> {
    let until = request.until.unwrap_or(head);
    let range =
        Range { since: request.since, until: until.version, after: request.after.as_ref(), author: request.author };
    let total = match counted.left(request, until) {
        Some(left) => left,
        None => count(view, range)?,
    };
    let mut encoder = ChangesEncoder::with_target(view.part_bytes);
    let next = if total == 0 && request.after.is_none() {
        None
    } else {
        walk(view, range, &mut |change| {
            let goes_on = !encoder.is_full();
            if goes_on {
                encoder.push(change);
            }
            goes_on
        })?
    };
    let changes = encoder.finish();
    let remaining = if next.is_some() { total.saturating_sub(changes.count).max(1) } else { 0 };
    counted.remember(request, until, next.as_ref(), remaining);
    Ok(Chunk { until, changes, next, remaining })
}

/// Counts the changes of a range behind its position, by index where everyone's are wanted.
pub(crate) fn count(view: View<'_>, range: Range<'_>) -> Result<u64, Fault> {
    let Some((whose, ordinal)) = whose(view, range.author)? else { return Ok(0) };
    let mut total = 0u64;
    for table in view.tables {
        let (version, key, column) = start(table, range);
        let params = (version, key, column, range.until.to_sql(), ordinal);
        total += state::one(view.conn, &table.count[whose as usize], params, |row| row.get::<_, i64>(0))? as u64;
    }
    Ok(total)
}

/// Hands out the changes of a range in order until `visit` refuses one, and returns the place of the last that it
/// took; `None` when it took them all.
pub(crate) fn walk(
    view: View<'_>,
    range: Range<'_>,
    visit: &mut dyn FnMut(&Change) -> bool,
) -> Result<Option<ReadPosition>, Fault> {
    let Some((whose, ordinal)) = whose(view, range.author)? else { return Ok(None) };
    let mut scans: Vec<CachedStatement<'_>> = view
        .tables
        .iter()
        .map(|table| view.conn.prepare_cached(&table.scan[whose as usize]).map_err(from_sqlite))
        .collect::<Result<_, _>>()?;
    let mut lanes = Vec::new();
    for (table, statement) in view.tables.iter().zip(&mut scans) {
        let (version, key, column) = start(table, range);
        let params = (version, key, column, range.until.to_sql(), ordinal);
        let mut lane = Lane { table, rows: statement.query(params).map_err(from_sqlite)?, cell: None };
        lane.advance()?;
        if lane.cell.is_some() {
            lanes.push(lane);
        }
    }
    let mut sites = Sites { conn: view.conn, known: HashMap::new() };
    let mut last = None;
    while let Some(version) = lanes.iter().filter_map(|lane| lane.cell.as_ref()).map(|cell| cell.version).min() {
        for lane in &mut lanes {
            while lane.cell.as_ref().is_some_and(|cell| cell.version == version) {
                if !lane.walk_row(view.conn, &mut sites, &mut last, visit)? {
                    return Ok(last);
                }
            }
        }
        lanes.retain(|lane| lane.cell.is_some());
    }
    Ok(None)
}

/// The statement's variant and its site; `None` where no change can match.
fn whose(view: View<'_>, author: Author) -> Result<Option<(Whose, Option<i64>)>, Fault> {
    Ok(match author {
        Author::Any => Some((Whose::Any, None)),
        Author::Own => Some((Whose::Ordinal, Some(0))),
        Author::Except(site) => match ordinal(view.conn, site)? {
            Some(ordinal) => Some((Whose::Others, Some(ordinal))),
            None => Some((Whose::Any, None)),
        },
    })
}

/// cr-sqlite's number for a site.
pub(crate) fn ordinal(conn: &Connection, site: SiteId) -> Result<Option<i64>, Fault> {
    conn.prepare_cached("SELECT ordinal FROM crsql_site_id WHERE site_id = ?1")
        .and_then(|mut statement| statement.query_row([&site.0[..]], |row| row.get(0)).optional())
        .map_err(from_sqlite)
}

/// Where a table's walk begins: behind this place.
fn start<'a>(table: &TableSql, range: Range<'a>) -> (i64, i64, &'a str) {
    let Some(after) = range.after else { return (range.since.to_sql(), i64::MAX, "") };
    let version = after.version.to_sql();
    match table.name.cmp(&after.table) {
        std::cmp::Ordering::Less => (version, i64::MAX, ""),
        std::cmp::Ordering::Equal => (version, after.key, &after.column),
        std::cmp::Ordering::Greater => (version, i64::MIN, ""),
    }
}

/// A clock's entry.
struct Cell {
    version: i64,
    key: i64,
    column: Arc<str>,
    /// Place of the column in the row; `None` for the sentinel.
    index: Option<usize>,
    column_version: u64,
    ordinal: i64,
    sequence: u64,
}

/// One table's walk.
struct Lane<'s> {
    table: &'s TableSql,
    rows: Rows<'s>,
    cell: Option<Cell>,
}

impl Lane<'_> {
    /// Reads the next entry. One of a column that the schema doesn't have is left out: it can't be served.
    fn advance(&mut self) -> Result<(), Fault> {
        self.cell = None;
        while let Some(row) = self.rows.next().map_err(from_sqlite)? {
            let name = row.get_ref(2).map_err(from_sqlite)?.as_str().map_err(|error| internal(error.to_string()))?;
            let (column, index) = match self.table.column(name) {
                Some((column, index)) => (column.clone(), Some(index)),
                None if name == SENTINEL => (sentinel(), None),
                None => continue,
            };
            let number = |index: usize, limit: u64| -> Result<u64, Fault> {
                let number: i64 = row.get(index).map_err(from_sqlite)?;
                let number = u64::try_from(number).ok().filter(|number| *number <= limit);
                number.ok_or_else(|| internal(format!("table `{}` has a clock entry out of range", self.table.name)))
            };
            self.cell = Some(Cell {
                version: row.get(0).map_err(from_sqlite)?,
                key: row.get(1).map_err(from_sqlite)?,
                column,
                index,
                column_version: number(3, MAX_COLUMN_VERSION)?,
                ordinal: row.get(4).map_err(from_sqlite)?,
                sequence: number(5, MAX_SEQUENCE)?,
            });
            break;
        }
        Ok(())
    }

    /// Hands out all cells of the row and version that the lane stands at; whether `visit` took them all.
    fn walk_row(
        &mut self,
        conn: &Connection,
        sites: &mut Sites<'_>,
        last: &mut Option<ReadPosition>,
        visit: &mut dyn FnMut(&Change) -> bool,
    ) -> Result<bool, Fault> {
        let Some((version, key)) = self.cell.as_ref().map(|cell| (cell.version, cell.key)) else { return Ok(true) };
        let mut statement = conn.prepare_cached(&self.table.row).map_err(from_sqlite)?;
        let mut rows = statement.query([key]).map_err(from_sqlite)?;
        let row = rows.next().map_err(from_sqlite)?;
        let row = row.ok_or_else(|| internal(format!("table `{}` has a clock without a key", self.table.name)))?;
        let key_count = self.table.key_count();
        let packed = read_key(row, key_count, self.table)?;
        let causal_length = row.get::<_, Option<i64>>(key_count).map_err(from_sqlite)?.unwrap_or(1);
        let causal_length = u64::try_from(causal_length).map_err(|_| internal("a causal length is negative"))?;
        while let Some(cell) = self.cell.take_if(|cell| cell.version == version && cell.key == key) {
            let change = Change {
                table: self.table.name.clone(),
                key: packed.clone(),
                column: cell.column,
                value: match cell.index {
                    Some(index) => value::read(row.get_ref(key_count + 1 + index).map_err(from_sqlite)?),
                    None => Value::Null,
                },
                column_version: cell.column_version,
                causal_length,
                sequence: cell.sequence,
                site: sites.site(cell.ordinal)?,
            };
            if change.value.size() > MAX_VALUE_BYTES {
                let (table, column) = (&change.table, &change.column);
                let message =
                    format!("column `{column}` of a row of table `{table}` is larger than {MAX_VALUE_BYTES} bytes");
                return Err(internal(message));
            }
            if !visit(&change) {
                return Ok(false);
            }
            let version = state::read_version(version)?;
            *last = Some(ReadPosition { version, table: change.table, key, column: change.column });
            self.advance()?;
        }
        Ok(true)
    }
}

fn sentinel() -> Arc<str> {
    static NAME: std::sync::OnceLock<Arc<str>> = std::sync::OnceLock::new();
    NAME.get_or_init(|| SENTINEL.into()).clone()
}

fn read_key(row: &Row<'_>, count: usize, table: &TableSql) -> Result<PackedKey, Fault> {
    let values = (0..count).map(|index| row.get_ref(index).map(value::read)).collect::<Result<Vec<_>, _>>();
    PackedKey::pack(&values.map_err(from_sqlite)?)
        .map_err(|error| internal(format!("a row of table `{}` can't be synchronised: {error}", table.name)))
}

/// Sites by cr-sqlite's number.
struct Sites<'a> {
    conn: &'a Connection,
    known: HashMap<i64, SiteId>,
}

impl Sites<'_> {
    fn site(&mut self, ordinal: i64) -> Result<SiteId, Fault> {
        if let Some(site) = self.known.get(&ordinal) {
            return Ok(*site);
        }
        let read = |row: &Row<'_>| Ok(SiteId::from_slice(row.get_ref(0)?.as_blob()?));
        let site = state::one(self.conn, "SELECT site_id FROM crsql_site_id WHERE ordinal = ?1", [ordinal], read)?;
        let site = site.ok_or_else(|| internal("a site id is not 16 bytes long"))?;
        self.known.insert(ordinal, site);
        Ok(site)
    }
}
