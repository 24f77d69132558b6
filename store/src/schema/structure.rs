//! The tables of a database as SQLite itself describes them, in a form that can be compared.
//!
//! Where in the flow: between a schema's scratch database and everything that asks for tables and columns. Never
//! judges: that is `lint`.

use std::sync::Arc;

use rusqlite::{Connection, Result};

use super::tokens::{Token, checks, definitions, normal_form, sql, tokens};

/// How SQLite converts what is stored in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Affinity {
    Integer,
    Text,
    Blob,
    Real,
    Numeric,
}

/// A column of a primary key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyColumn {
    pub(crate) name: Arc<str>,
    pub(crate) affinity: Affinity,
    pub(crate) not_null: bool,
    pub(crate) generated: bool,
    pub(crate) declared: String,
    /// The collation of the key's index; `BINARY` for a key that is the rowid.
    pub(crate) collation: String,
}

/// Any other column that is stored (generated ones are computed at each site and never travel).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: Arc<str>,
    /// The declared type in upper case.
    pub(crate) declared: String,
    pub(crate) not_null: bool,
    /// The default's SQL in normal form.
    pub(crate) default: Option<String>,
    /// The definition as SQL, for `ALTER TABLE ADD COLUMN`.
    pub(crate) definition: String,
}

/// One `CHECK`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Check {
    /// Its expression in normal form.
    pub(crate) expression: String,
    /// The columns that it names, sorted.
    pub(crate) columns: Vec<String>,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) name: Arc<str>,
    pub(crate) strict: bool,
    pub(crate) without_rowid: bool,
    pub(crate) is_virtual: bool,
    pub(crate) key: Vec<KeyColumn>,
    /// In the order of the table.
    pub(crate) columns: Vec<Column>,
    /// Sorted.
    pub(crate) checks: Vec<Check>,
    /// Unique indices beside the key.
    pub(crate) unique: Vec<String>,
    pub(crate) foreign_keys: u32,
    pub(crate) autoincrement: bool,
    pub(crate) sql: String,
}

impl Table {
    /// Text that is equal exactly for tables that sync alike. Order of columns and indices doesn't count.
    pub(crate) fn normal_form(&self) -> String {
        let mut lines: Vec<String> = self
            .columns
            .iter()
            .map(|column| {
                let Column { name, declared, not_null, default, .. } = column;
                format!("column {name} {declared} {not_null} {default:?}\n")
            })
            .collect();
        lines.extend(self.checks.iter().map(|check| format!("check {}\n", check.expression)));
        lines.sort_unstable();
        let key: Vec<String> = self.key.iter().map(|column| format!("{} {}", column.name, column.declared)).collect();
        format!("table {} {} key {}\n{}", self.name, self.strict, key.join(","), lines.concat())
    }

    /// Whether it has this column, key or not.
    pub(crate) fn has_column(&self, name: &str) -> bool {
        self.key.iter().any(|column| column.name.eq_ignore_ascii_case(name))
            || self.columns.iter().any(|column| column.name.eq_ignore_ascii_case(name))
    }
}

/// An index, a view or a trigger: it never travels and may change with any release of the app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Extra {
    /// `index`, `view` or `trigger`.
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) sql: String,
}

/// The tables of a database but SQLite's, cr-sqlite's and the store's own, sorted by name.
pub(crate) fn tables(conn: &Connection) -> Result<Vec<Table>> {
    let mut statement = conn.prepare(
        "SELECT l.name, l.strict, l.wr, l.type, s.sql FROM pragma_table_list l JOIN sqlite_schema s ON s.name = l.name
         WHERE l.schema = 'main' AND l.type IN ('table', 'virtual') AND s.type = 'table' ORDER BY l.name",
    )?;
    let rows = statement.query_map([], |row| {
        let (name, strict, without_rowid): (String, bool, bool) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let kind: String = row.get(3)?;
        Ok((name, strict, without_rowid, kind == "virtual", row.get::<_, String>(4)?))
    })?;
    let mut tables = Vec::new();
    for row in rows {
        let (name, strict, without_rowid, is_virtual, sql) = row?;
        if !is_internal(&name) {
            let described = Table {
                name: name.as_str().into(),
                strict,
                without_rowid,
                is_virtual,
                key: Vec::new(),
                columns: Vec::new(),
                checks: Vec::new(),
                unique: unique_indices(conn, &name)?,
                foreign_keys: count(conn, "SELECT count(*) FROM pragma_foreign_key_list(?)", &name)?,
                autoincrement: false,
                sql,
            };
            tables.push(describe(conn, described)?);
        }
    }
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(tables)
}

/// Whether a name belongs to SQLite, cr-sqlite or the store; no table of an app may have it.
pub(crate) fn is_internal(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["greenlight_", "crsql_", "sqlite_"].iter().any(|prefix| name.starts_with(prefix)) || name.contains("__crsql_")
}

/// Indices, views and triggers that a schema defines, in the order in which it does. In a database those of tables that
/// are not synchronised are not the schema's, and left out.
pub(crate) fn extras(conn: &Connection) -> Result<Vec<Extra>> {
    let mut statement = conn.prepare(
        "SELECT type, name, sql FROM sqlite_schema s WHERE type <> 'table' AND sql IS NOT NULL
           AND (NOT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'crsql_master')
             OR NOT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND lower(name) = lower(s.tbl_name))
             OR EXISTS (SELECT 1 FROM sqlite_schema WHERE lower(name) = lower(s.tbl_name || '__crsql_clock')))
         ORDER BY rowid",
    )?;
    let extras = statement.query_map([], |row| Ok(Extra { kind: row.get(0)?, name: row.get(1)?, sql: row.get(2)? }))?;
    extras.filter(|extra| !extra.as_ref().is_ok_and(|extra| is_internal(&extra.name))).collect()
}

fn describe(conn: &Connection, mut table: Table) -> Result<Table> {
    let all = tokens(&table.sql);
    let definitions = definitions(&all);
    let collations = key_collations(conn, &table.name)?;
    let mut key = Vec::new();
    let mut statement =
        conn.prepare("SELECT name, type, \"notnull\", dflt_value, pk, hidden FROM pragma_table_xinfo(?)")?;
    let mut rows = statement.query([&*table.name])?;
    while let Some(row) = rows.next()? {
        let name: Arc<str> = row.get::<_, String>(0)?.into();
        let declared = row.get::<_, String>(1)?.to_ascii_uppercase();
        let (not_null, default): (bool, Option<String>) = (row.get(2)?, row.get(3)?);
        let (position, hidden): (u32, u8) = (row.get(4)?, row.get(5)?);
        if position > 0 {
            let collation = collations.iter().find(|(column, _)| column.eq_ignore_ascii_case(&name));
            let collation = collation.map_or_else(|| "BINARY".to_owned(), |(_, collation)| collation.clone());
            let affinity = affinity(&declared, table.strict);
            key.push((position, KeyColumn { name, affinity, not_null, generated: hidden != 0, declared, collation }));
        } else if hidden == 0 {
            let definition = definitions.iter().find(|definition| names(definition, &name));
            let definition = definition.map_or_else(String::new, |definition| sql(definition));
            let default = default.map(|text| normal_form(&tokens(&text)));
            table.columns.push(Column { name, declared, not_null, default, definition });
        }
    }
    key.sort_by_key(|(position, _)| *position);
    table.key = key.into_iter().map(|(_, column)| column).collect();
    table.autoincrement = definitions.iter().any(|tokens| tokens.iter().any(|token| token.is_word("AUTOINCREMENT")));
    table.checks =
        definitions.iter().flat_map(|definition| checks(definition)).map(|check| read_check(&table, check)).collect();
    table.checks.sort_unstable();
    Ok(table)
}

fn names(definition: &[Token], column: &str) -> bool {
    let first = definition.first();
    let literal = format!("'{column}'");
    first.and_then(Token::name).is_some_and(|name| name.eq_ignore_ascii_case(column))
        || matches!(first, Some(Token::Literal(text)) if *text == literal)
}

fn read_check(table: &Table, expression: &[Token]) -> Check {
    let names = expression.iter().filter_map(Token::name).filter(|name| table.has_column(name));
    let mut columns: Vec<String> = names.map(str::to_ascii_lowercase).collect();
    columns.sort_unstable();
    columns.dedup();
    Check { expression: normal_form(expression), columns }
}

fn unique_indices(conn: &Connection, table: &str) -> Result<Vec<String>> {
    let mut statement =
        conn.prepare("SELECT name FROM pragma_index_list(?) WHERE \"unique\" = 1 AND origin <> 'pk' ORDER BY name")?;
    statement.query_map([table], |row| row.get(0))?.collect()
}

fn key_collations(conn: &Connection, table: &str) -> Result<Vec<(String, String)>> {
    let mut statement = conn.prepare(
        "SELECT x.name, x.coll FROM pragma_index_list(?) l JOIN pragma_index_xinfo(l.name) x
         WHERE l.origin = 'pk' AND x.key = 1 AND x.name IS NOT NULL",
    )?;
    statement.query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

fn count(conn: &Connection, sql: &str, table: &str) -> Result<u32> {
    conn.query_row(sql, [table], |row| row.get(0))
}

/// SQLite's own rules for a declared type.
pub(crate) fn affinity(declared: &str, strict: bool) -> Affinity {
    let has = |part: &str| declared.contains(part);
    if strict && declared == "ANY" {
        Affinity::Blob
    } else if has("INT") {
        Affinity::Integer
    } else if has("CHAR") || has("CLOB") || has("TEXT") {
        Affinity::Text
    } else if has("BLOB") || declared.is_empty() {
        Affinity::Blob
    } else if has("REAL") || has("FLOA") || has("DOUB") {
        Affinity::Real
    } else {
        Affinity::Numeric
    }
}
