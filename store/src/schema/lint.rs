//! What a synchronised schema may not hold, each with a sentence for the person who wrote it.
//!
//! Where in the flow: once, when a schema file is read, and before a plain database is taken over. Merges are made cell
//! by cell, in any order and at every site, so whatever one site's rows could satisfy and a merge break is refused here,
//! before there is data.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use greenlight_core::limits::{MAX_COLUMNS, MAX_KEY_COLUMNS, MAX_NAME_BYTES, MAX_TABLES};
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::{Connection, Result};

use super::structure::{Affinity, Check, KeyColumn, Table, is_internal};
use crate::fault;
use crate::tables::quote;

/// Something that keeps a schema from being synchronised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What kind of thing it is.
    pub problem: Problem,
    /// The table that it is about, if it is about one.
    pub table: Option<String>,
    /// The column, if it is about one.
    pub column: Option<String>,
    /// It in words, naming table and column.
    pub sentence: String,
}

/// What can keep a schema from being synchronised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// A name that is kept for internal use.
    InternalName,
    /// No table, or too many of them.
    TableCount,
    /// A name that the protocol does not carry.
    Name,
    /// No primary key.
    NoKey,
    /// Too many columns, in the key or at all.
    ColumnCount,
    /// A key column that may be NULL.
    NullableKey,
    /// A key column that is generated.
    GeneratedKey,
    /// A key column that compares otherwise than byte by byte.
    KeyCollation,
    /// A key column of a type that converts values.
    KeyType,
    /// A virtual table.
    Virtual,
    /// `AUTOINCREMENT`.
    Autoincrement,
    /// Checked foreign keys.
    ForeignKey,
    /// A unique index of this name beside the key.
    Unique(String),
    /// `NOT NULL` without a default.
    NotNullWithoutDefault,
    /// A `CHECK` over several columns.
    CheckSpans,
    /// A `CHECK` that fails for its column's default.
    CheckDefault,
    /// A trigger that writes.
    TriggerWrites,
    /// A trigger that SQLite does not accept.
    TriggerBroken,
}

impl Finding {
    fn schema(problem: Problem, sentence: String) -> Self {
        Self { problem, table: None, column: None, sentence }
    }

    fn table(problem: Problem, table: &Table, sentence: String) -> Self {
        Self { table: Some(table.name.to_string()), ..Self::schema(problem, sentence) }
    }

    fn column(problem: Problem, table: &Table, column: &str, sentence: String) -> Self {
        Self { column: Some(column.to_owned()), ..Self::table(problem, table, sentence) }
    }
}

/// Everything that is wrong with these tables; empty when nothing is.
pub(crate) fn findings(scratch: &mut Connection, tables: &[Table]) -> Result<Vec<Finding>> {
    let mut findings = internal_names(scratch)?;
    if tables.is_empty() {
        findings.push(Finding::schema(Problem::TableCount, "it defines no table".to_owned()));
    }
    if tables.len() > MAX_TABLES {
        findings.push(Finding::schema(Problem::TableCount, format!("it defines more than {MAX_TABLES} tables")));
    }
    for table in tables {
        check_names(table, &mut findings);
        check_key(table, &mut findings);
        check_table(table, &mut findings);
        check_columns(table, &mut findings);
        check_checks(scratch, table, &mut findings);
        if !table.is_virtual {
            check_triggers(scratch, table, &mut findings)?;
        }
    }
    Ok(findings)
}

fn internal_names(scratch: &Connection) -> Result<Vec<Finding>> {
    let mut statement = scratch.prepare("SELECT type, name FROM sqlite_schema WHERE sql IS NOT NULL")?;
    let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
    let mut findings = Vec::new();
    for row in rows {
        let (kind, name) = row?;
        if is_internal(&name) && !name.starts_with("sqlite_") {
            let sentence = format!("{kind} `{name}` has a name that is kept for internal use");
            let table = (kind == "table").then(|| name.clone());
            findings.push(Finding { table, ..Finding::schema(Problem::InternalName, sentence) });
        }
    }
    Ok(findings)
}

/// Whether the protocol carries a name.
pub(crate) fn is_plain(name: &str) -> bool {
    name.len() <= MAX_NAME_BYTES
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !name.to_ascii_lowercase().starts_with("__crsql_")
}

fn check_names(table: &Table, findings: &mut Vec<Finding>) {
    let columns = table.key.iter().map(|column| &column.name).chain(table.columns.iter().map(|column| &column.name));
    let columns = columns.filter(|name| !is_plain(name)).map(|name| (name, Some(name.to_string())));
    for (name, column) in
        Some(&table.name).filter(|name| !is_plain(name)).map(|name| (name, None)).into_iter().chain(columns)
    {
        let sentence = format!(
            "name `{name}` (table `{}`) must be of at most {MAX_NAME_BYTES} letters, digits and `_`",
            table.name
        );
        findings.push(Finding { column, ..Finding::table(Problem::Name, table, sentence) });
    }
}

fn check_key(table: &Table, findings: &mut Vec<Finding>) {
    let name = &table.name;
    if table.key.is_empty() {
        let sentence = format!("table `{name}` has no primary key, so its rows have no identity across sites");
        findings.push(Finding::table(Problem::NoKey, table, sentence));
    }
    if table.key.len() > MAX_KEY_COLUMNS {
        let sentence = format!("table `{name}` has more than {MAX_KEY_COLUMNS} key columns");
        findings.push(Finding::table(Problem::ColumnCount, table, sentence));
    }
    for column in &table.key {
        check_key_column(table, column, findings);
    }
}

fn check_key_column(table: &Table, column: &KeyColumn, findings: &mut Vec<Finding>) {
    let what = format!("key column `{}` of table `{}`", column.name, table.name);
    let mut find = |problem, sentence| findings.push(Finding::column(problem, table, &column.name, sentence));
    if !column.not_null {
        find(Problem::NullableKey, format!("{what} must be NOT NULL"));
    }
    if column.generated {
        find(Problem::GeneratedKey, format!("{what} may not be generated"));
    }
    if !column.collation.eq_ignore_ascii_case("BINARY") {
        let how = &column.collation;
        find(Problem::KeyCollation, format!("{what} compares by {how}: keys are compared byte by byte (BINARY)"));
    }
    let fits = matches!(column.affinity, Affinity::Integer | Affinity::Text | Affinity::Blob);
    if !fits || column.declared.is_empty() {
        find(Problem::KeyType, format!("{what} must be of type INTEGER, TEXT or BLOB"));
    }
}

fn check_table(table: &Table, findings: &mut Vec<Finding>) {
    let name = &table.name;
    let mut find = |problem, sentence| findings.push(Finding::table(problem, table, sentence));
    if table.is_virtual {
        let sentence = format!("table `{name}` is virtual, and only ordinary tables can be synchronised");
        find(Problem::Virtual, sentence);
    }
    if table.autoincrement {
        let sentence = format!(
            "table `{name}` uses AUTOINCREMENT: two sites would give one number to two rows; make ids on the client"
        );
        find(Problem::Autoincrement, sentence);
    }
    if table.foreign_keys > 0 {
        let sentence =
            format!("table `{name}` has checked foreign keys, which a merge may break: leave out REFERENCES");
        find(Problem::ForeignKey, sentence);
    }
    for index in &table.unique {
        let sentence = format!(
            "table `{name}` has the unique index `{index}` beside its key: two sites may each write a row that both \
             satisfy it alone"
        );
        find(Problem::Unique(index.clone()), sentence);
    }
    if table.columns.len() + table.key.len() > MAX_COLUMNS {
        find(Problem::ColumnCount, format!("table `{name}` has more than {MAX_COLUMNS} columns"));
    }
}

fn check_columns(table: &Table, findings: &mut Vec<Finding>) {
    for column in &table.columns {
        let without_default = column.default.as_deref().is_none_or(|default| default.eq_ignore_ascii_case("null"));
        if column.not_null && without_default {
            let sentence = format!(
                "column `{}` of table `{}` is NOT NULL without a default: a row arrives cell by cell",
                column.name, table.name
            );
            findings.push(Finding::column(Problem::NotNullWithoutDefault, table, &column.name, sentence));
        }
    }
}

fn check_checks(scratch: &Connection, table: &Table, findings: &mut Vec<Finding>) {
    for check in &table.checks {
        let expression = &check.expression;
        if check.columns.len() > 1 {
            let sentence = format!(
                "a CHECK of table `{}` spans the columns {}: cells merge one by one ({expression})",
                table.name,
                check.columns.join(", ")
            );
            findings.push(Finding::table(Problem::CheckSpans, table, sentence));
        } else if !holds_for_default(scratch, table, check) {
            let sentence = format!(
                "a CHECK of table `{}` fails for the column's own default, with which a row arrives ({expression})",
                table.name
            );
            let column = check.columns.first().cloned();
            findings.push(Finding { column, ..Finding::table(Problem::CheckDefault, table, sentence) });
        }
    }
}

/// A row arrives with its first cell, all other cells at their defaults.
fn holds_for_default(scratch: &Connection, table: &Table, check: &Check) -> bool {
    let Some(name) = check.columns.first() else { return true };
    let Some(column) = table.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name)) else {
        // A key's value is always there.
        return true;
    };
    let default = column.default.as_deref().unwrap_or("NULL");
    let sql = format!("SELECT ({}) FROM (SELECT {default} AS {})", check.expression, quote(&column.name));
    // An expression that can't be judged out of its table counts as right: it is judged by each merge.
    !matches!(scratch.query_row(&sql, [], |row| row.get::<_, Option<f64>>(0)), Ok(Some(result)) if result == 0.0)
}

/// A merge fires an app's triggers at every site; what they write would be written, and sent, by each of them.
fn check_triggers(scratch: &mut Connection, table: &Table, findings: &mut Vec<Finding>) -> Result<()> {
    let keys = table.key.iter().filter(|column| !column.generated).map(|column| &column.name);
    let columns = table.columns.iter().map(|column| &column.name).chain(keys);
    let assignments: Vec<String> = columns.map(|name| format!("{0} = {0}", quote(name))).collect();
    let name = quote(&table.name);
    let mut statements = vec![format!("INSERT INTO {name} DEFAULT VALUES"), format!("DELETE FROM {name}")];
    if !assignments.is_empty() {
        statements.push(format!("UPDATE {name} SET {}", assignments.join(", ")));
    }
    let writes = Arc::new(AtomicBool::new(false));
    let seen = writes.clone();
    scratch.authorizer(Some(move |context: AuthContext<'_>| {
        let write =
            matches!(context.action, AuthAction::Insert { .. } | AuthAction::Update { .. } | AuthAction::Delete { .. });
        seen.fetch_or(write && context.accessor.is_some(), Ordering::Relaxed);
        Authorization::Allow
    }))?;
    let prepared: Result<()> = statements.iter().try_for_each(|sql| scratch.prepare(sql).map(drop));
    scratch.authorizer(None::<fn(AuthContext<'_>) -> Authorization>)?;
    if let Err(error) = prepared {
        let why = fault::sentence(&error);
        let sentence = format!("table `{}` can't be written to because of a trigger or an index: {why}", table.name);
        findings.push(Finding::table(Problem::TriggerBroken, table, sentence));
    }
    if writes.load(Ordering::Relaxed) {
        let sentence = format!(
            "a trigger of table `{}` writes to tables: a merge would fire it at every site, and each would send what \
             it wrote",
            table.name
        );
        findings.push(Finding::table(Problem::TriggerWrites, table, sentence));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Schema, SchemaError};

    fn finding(ddl: &str) -> String {
        match Schema::parse(&format!("-- schema: t 1\n{ddl}")) {
            Err(SchemaError::Unmergeable(findings)) => findings.join("; "),
            other => panic!("accepted or failed otherwise: {other:?}"),
        }
    }

    #[test]
    fn what_a_merge_may_break_is_refused() {
        for (ddl, part) in [
            ("CREATE TABLE t (a)", "no primary key"),
            ("CREATE TABLE t (a TEXT PRIMARY KEY)", "must be NOT NULL"),
            ("CREATE TABLE t (a TEXT NOT NULL, b INT, PRIMARY KEY (a, b))", "must be NOT NULL"),
            ("CREATE TABLE t (a TEXT COLLATE NOCASE NOT NULL PRIMARY KEY)", "byte by byte"),
            ("CREATE TABLE t (a REAL NOT NULL PRIMARY KEY)", "INTEGER, TEXT or BLOB"),
            ("CREATE TABLE t (a NOT NULL PRIMARY KEY)", "INTEGER, TEXT or BLOB"),
            ("CREATE TABLE t (a INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT)", "AUTOINCREMENT"),
            ("CREATE TABLE t (a TEXT NOT NULL PRIMARY KEY, b UNIQUE)", "unique index"),
            ("CREATE TABLE t (a TEXT NOT NULL PRIMARY KEY, b); CREATE UNIQUE INDEX u ON t (b)", "unique index `u`"),
            ("CREATE TABLE t (a TEXT NOT NULL PRIMARY KEY, b REFERENCES t (a))", "foreign keys"),
            ("CREATE TABLE t (a TEXT NOT NULL PRIMARY KEY, b TEXT NOT NULL)", "without a default"),
            ("CREATE TABLE t (a TEXT NOT NULL PRIMARY KEY, b TEXT NOT NULL DEFAULT NULL)", "without a default"),
            ("CREATE TABLE t (a TEXT NOT NULL PRIMARY KEY, b, c, CHECK (b <= c))", "spans the columns b, c"),
            ("CREATE TABLE t (a TEXT NOT NULL PRIMARY KEY, b DEFAULT 0 CHECK (b > 0))", "own default"),
            ("CREATE TABLE t (a TEXT NOT NULL PRIMARY KEY, \"b c\")", "name `b c`"),
            ("CREATE TABLE greenlight_t (a TEXT NOT NULL PRIMARY KEY)", "internal use"),
            ("CREATE TABLE t__crsql_clock (a TEXT NOT NULL PRIMARY KEY)", "internal use"),
            ("CREATE VIEW v AS SELECT 1", "no table"),
            (
                "CREATE TABLE t (a TEXT NOT NULL PRIMARY KEY, b); CREATE TABLE l (a TEXT NOT NULL PRIMARY KEY);
                 CREATE TRIGGER w AFTER UPDATE OF b ON t BEGIN DELETE FROM l; END",
                "trigger of table `t` writes",
            ),
            (
                "CREATE TABLE t (a TEXT NOT NULL PRIMARY KEY, b);
                 CREATE TRIGGER w AFTER UPDATE OF b ON t BEGIN SELECT missing(1); END",
                "no such function: missing",
            ),
        ] {
            let found = finding(ddl);
            assert!(found.contains(part), "{ddl}: {found}");
        }
    }

    #[test]
    fn all_findings_are_told_at_once() {
        let found = finding(
            "CREATE TABLE t (a TEXT PRIMARY KEY, \"b c\" NOT NULL);
             CREATE TABLE l (a, n AS (a) NOT NULL, PRIMARY KEY (a));
             CREATE TRIGGER w AFTER DELETE ON t BEGIN DELETE FROM l; END",
        );
        for part in ["`b c`", "column `a` of table `t`", "without a default", "trigger of table `t`", "table `l`"] {
            assert!(found.contains(part), "{part}: {found}");
        }
    }

    #[test]
    fn what_no_merge_can_break_is_accepted() {
        for ddl in [
            "CREATE TABLE t (a INTEGER PRIMARY KEY NOT NULL, b REAL, c AS (b * 2))",
            "CREATE TABLE t (a TEXT NOT NULL PRIMARY KEY, b CHECK (b > 0)) WITHOUT ROWID",
            "CREATE TABLE t (a BLOB NOT NULL PRIMARY KEY, b ANY) STRICT; CREATE INDEX i ON t (b)",
            "CREATE TABLE t (a TEXT NOT NULL PRIMARY KEY, b);
             CREATE TRIGGER w BEFORE INSERT ON t WHEN new.b < 0 BEGIN SELECT RAISE(ABORT, 'no'); END",
        ] {
            let schema = Schema::parse(&format!("-- schema: t 1\n{ddl}"));
            assert!(schema.is_ok(), "{ddl}: {schema:?}");
        }
    }
}
