//! Bringing a database to a schema: the first time, and from one number to the next.
//!
//! Where in the flow: when a database is opened, in a transaction of its own that holds nothing else. Only adds
//! tables and columns; anything else is refused and the database stays as it was.

use greenlight_core::replica::Fault;
use rusqlite::Connection;
use serde::Serialize;

use super::structure::{Column, Table, extras, tables};
use super::{Schema, SchemaError};
use crate::database::OpenError;
use crate::fault::{from_sqlite, internal};
use crate::state::{self, key};
use crate::tables::quote;

/// What bringing a database to a schema came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Migrated {
    /// Nothing: it is that schema's already.
    Nothing,
    /// Indices, views and triggers are others.
    Extras,
    /// Tables or columns are new.
    Structure,
}

/// Brings the database to `schema`. The caller holds the transaction. `before` is
/// called with the present number when that will go up and nothing is in the way, and nothing is done where it fails.
pub(crate) fn apply(
    conn: &Connection,
    schema: &Schema,
    before: impl FnOnce(u32) -> Result<(), OpenError>,
) -> Result<Migrated, OpenError> {
    let Some(text) = state::get::<String>(conn, key::SCHEMA)? else {
        create(conn, schema)?;
        return Ok(Migrated::Structure);
    };
    if text == schema.text() {
        return Ok(Migrated::Nothing);
    }
    let present = Schema::parse(&text)?;
    let (old, new) = (present.id(), schema.id());
    let additions = compare(&present, schema)?;
    if new.number > old.number {
        before(old.number)?;
    }
    add(conn, schema, &additions)?;
    replace_extras(conn, schema)?;
    state::set(conn, key::SCHEMA, schema.text())?;
    Ok(if old.digest != new.digest { Migrated::Structure } else { Migrated::Extras })
}

/// What a later schema adds, or why it can't follow the present one.
fn compare<'a>(present: &Schema, schema: &'a Schema) -> Result<Additions<'a>, SchemaError> {
    let (old, new) = (present.id(), schema.id());
    if old.name != new.name {
        return Err(SchemaError::OtherName { database: old.name.clone(), file: new.name.clone() });
    }
    if new.number < old.number {
        let (database, file) = (old.number, new.number);
        return Err(SchemaError::Older { name: new.name.clone(), database, file });
    }
    let (name, number) = (new.name.clone(), new.number);
    match additions(present.tables(), schema.tables()) {
        Ok(additions) if old.digest == new.digest || new.number > old.number => Ok(additions),
        Ok(additions) => Err(SchemaError::NumberReused { name, number, difference: additions.to_string() }),
        Err(difference) if new.number == old.number => Err(SchemaError::NumberReused { name, number, difference }),
        Err(difference) => Err(SchemaError::NotAdditive { name, number, difference }),
    }
}

/// What a database gets that is brought from one schema to another, for a person who is to know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Upgrade {
    /// Name and number of the schema that it has, as in `shop 1`.
    pub from: String,
    /// The same of the one that it gets.
    pub to: String,
    /// New tables.
    pub tables: Vec<String>,
    /// New columns of tables that are there, as `table.column`.
    pub columns: Vec<String>,
}

impl Schema {
    /// What a database gains that has the schema `present` and is opened with this one; `None` where that is this very
    /// text. Touches no database.
    ///
    /// # Errors
    /// [`SchemaError`], as an open would end.
    pub fn upgrade(&self, present: &Self) -> Result<Option<Upgrade>, SchemaError> {
        if self.text() == present.text() {
            return Ok(None);
        }
        let added = compare(present, self)?;
        let named = |schema: &Self| format!("{} {}", schema.id().name, schema.id().number);
        let columns = added
            .columns
            .iter()
            .flat_map(|(table, columns)| columns.iter().map(|column| format!("{}.{}", table.name, column.name)));
        let tables = added.tables.iter().map(|table| table.name.to_string()).collect();
        Ok(Some(Upgrade { from: named(present), to: named(self), tables, columns: columns.collect() }))
    }
}

/// The first time: tables that stand there already, with rows, are taken over when they are the same.
fn create(conn: &Connection, schema: &Schema) -> Result<(), OpenError> {
    let present = tables(conn).map_err(from_sqlite)?;
    for table in schema.tables() {
        match present.iter().find(|there| there.name.eq_ignore_ascii_case(&table.name)) {
            Some(there) if there.normal_form() == table.normal_form() => {}
            Some(there) => {
                let (name, number) = (schema.id().name.clone(), schema.id().number);
                let difference = format!("table `{}` is there already and differs", there.name);
                return Err(SchemaError::NotAdditive { name, number, difference }.into());
            }
            None => conn.execute_batch(&table.sql).map_err(from_sqlite)?,
        }
        synchronise(conn, table)?;
    }
    replace_extras(conn, schema)?;
    state::set(conn, key::SCHEMA, schema.text())?;
    Ok(())
}

/// What is new.
struct Additions<'a> {
    tables: Vec<&'a Table>,
    columns: Vec<(&'a Table, Vec<&'a Column>)>,
}

impl std::fmt::Display for Additions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.tables.first(), self.columns.first()) {
            (Some(table), _) => write!(f, "table `{}` is new", table.name),
            (None, Some((table, columns))) => write!(f, "column `{}` of `{}` is new", columns[0].name, table.name),
            (None, None) => write!(f, "nothing differs"),
        }
    }
}

/// The new tables and columns, or the first difference that is neither.
fn additions<'a>(old: &[Table], new: &'a [Table]) -> Result<Additions<'a>, String> {
    let mut found = Additions { tables: Vec::new(), columns: Vec::new() };
    if let Some(lost) = old.iter().find(|table| !new.iter().any(|other| other.name == table.name)) {
        return Err(format!("table `{}` is gone", lost.name));
    }
    for table in new {
        let Some(before) = old.iter().find(|other| other.name == table.name) else {
            found.tables.push(table);
            continue;
        };
        let columns = added_columns(before, table)?;
        if !columns.is_empty() {
            found.columns.push((table, columns));
        }
    }
    Ok(found)
}

fn added_columns<'a>(before: &Table, table: &'a Table) -> Result<Vec<&'a Column>, String> {
    let name = &table.name;
    if before.key != table.key || before.strict != table.strict || before.without_rowid != table.without_rowid {
        return Err(format!("table `{name}` has another key or another kind"));
    }
    for column in &before.columns {
        let Some(now) = table.columns.iter().find(|other| other.name == column.name) else {
            return Err(format!("column `{}` of table `{name}` is gone", column.name));
        };
        let same = now.declared == column.declared && now.not_null == column.not_null && now.default == column.default;
        if !same {
            return Err(format!("column `{}` of table `{name}` has another type, default or NOT NULL", column.name));
        }
    }
    let added: Vec<&Column> =
        table.columns.iter().filter(|column| !before.columns.iter().any(|other| other.name == column.name)).collect();
    let is_added = |name: &String| added.iter().any(|column| column.name.eq_ignore_ascii_case(name));
    let of_old = |checks: &[super::structure::Check]| -> Vec<String> {
        let checks = checks.iter().filter(|check| !check.columns.iter().any(is_added));
        checks.map(|check| check.expression.clone()).collect()
    };
    if of_old(&before.checks) != of_old(&table.checks) {
        return Err(format!("table `{name}` has other CHECKs on columns that are there already"));
    }
    Ok(added)
}

fn add(conn: &Connection, schema: &Schema, additions: &Additions<'_>) -> Result<(), OpenError> {
    drop_extras(conn)?;
    for (table, columns) in &additions.columns {
        let begin = "SELECT crsql_begin_alter(?1)";
        call(conn, begin, table)?;
        for column in columns {
            let sql = format!("ALTER TABLE {} ADD COLUMN {}", quote(&table.name), column.definition);
            conn.execute_batch(&sql).map_err(|error| {
                let difference = format!(
                    "column `{}` of table `{}` can't be added: {}",
                    column.name,
                    table.name,
                    crate::fault::sentence(&error)
                );
                let (name, number) = (schema.id().name.clone(), schema.id().number);
                OpenError::from(SchemaError::NotAdditive { name, number, difference })
            })?;
        }
        call(conn, "SELECT crsql_commit_alter(?1)", table)?;
    }
    for table in &additions.tables {
        conn.execute_batch(&table.sql).map_err(from_sqlite)?;
        synchronise(conn, table)?;
    }
    Ok(())
}

fn synchronise(conn: &Connection, table: &Table) -> Result<(), Fault> {
    call(conn, "SELECT crsql_as_crr(?1)", table)
}

/// cr-sqlite rolls the whole transaction back when one of these fails.
fn call(conn: &Connection, sql: &str, table: &Table) -> Result<(), Fault> {
    conn.query_row(sql, [&*table.name], |_| Ok(())).map_err(from_sqlite)?;
    if conn.is_autocommit() {
        return Err(internal(format!("table `{}` could not be made to synchronise", table.name)));
    }
    Ok(())
}

/// Indices, views and triggers never travel and are what the file says.
fn replace_extras(conn: &Connection, schema: &Schema) -> Result<(), Fault> {
    // Those of a large database that is taken over would take long to make again.
    if extras(conn).map_err(from_sqlite)? == schema.extras() {
        return Ok(());
    }
    drop_extras(conn)?;
    for extra in schema.extras() {
        conn.execute_batch(&extra.sql).map_err(from_sqlite)?;
    }
    Ok(())
}

fn drop_extras(conn: &Connection) -> Result<(), Fault> {
    // Views and triggers may name each other and go first, the youngest before what it was built on.
    for extra in extras(conn).map_err(from_sqlite)?.iter().rev() {
        conn.execute_batch(&format!("DROP {} IF EXISTS {}", extra.kind, quote(&extra.name))).map_err(from_sqlite)?;
    }
    Ok(())
}
