//! What a synchronised schema may not hold, each with a sentence for the person who wrote it.
//!
//! Where in the flow: once, when a schema file is read. Merges are made cell by cell, in any order and at every site,
//! so whatever one site's rows could satisfy and a merge break is refused here, before there is data.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use greenlight_core::limits::{MAX_COLUMNS, MAX_KEY_COLUMNS, MAX_NAME_BYTES, MAX_TABLES};
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::{Connection, Result};

use super::structure::{Affinity, Check, Table, is_internal};

/// Everything that is wrong with these tables; empty when nothing is.
pub(crate) fn findings(scratch: &mut Connection, tables: &[Table]) -> Result<Vec<String>> {
    let mut findings = internal_names(scratch)?;
    if tables.is_empty() {
        findings.push("it defines no table".to_owned());
    }
    if tables.len() > MAX_TABLES {
        findings.push(format!("it defines more than {MAX_TABLES} tables"));
    }
    for table in tables {
        check_names(table, &mut findings);
        check_key(table, &mut findings);
        check_table(table, &mut findings);
        check_columns(table, &mut findings);
        check_checks(scratch, table, &mut findings);
        if findings.is_empty() {
            check_triggers(scratch, table, &mut findings)?;
        }
    }
    Ok(findings)
}

fn internal_names(scratch: &Connection) -> Result<Vec<String>> {
    let mut statement = scratch.prepare("SELECT type, name FROM sqlite_schema WHERE sql IS NOT NULL")?;
    let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
    let mut findings = Vec::new();
    for row in rows {
        let (kind, name) = row?;
        if is_internal(&name) && !name.starts_with("sqlite_") {
            findings.push(format!("{kind} `{name}` has a name that is kept for internal use"));
        }
    }
    Ok(findings)
}

fn check_names(table: &Table, findings: &mut Vec<String>) {
    let plain = |name: &str| {
        name.len() <= MAX_NAME_BYTES
            && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let columns = table.key.iter().map(|column| &column.name).chain(table.columns.iter().map(|column| &column.name));
    for name in std::iter::once(&table.name).chain(columns) {
        if !plain(name) || name.to_ascii_lowercase().starts_with("__crsql_") {
            findings.push(format!(
                "name `{name}` (table `{}`) must be of at most {MAX_NAME_BYTES} letters, digits and `_`",
                table.name
            ));
        }
    }
}

fn check_key(table: &Table, findings: &mut Vec<String>) {
    let name = &table.name;
    if table.key.is_empty() {
        findings.push(format!("table `{name}` has no primary key, so its rows have no identity across sites"));
    }
    if table.key.len() > MAX_KEY_COLUMNS {
        findings.push(format!("table `{name}` has more than {MAX_KEY_COLUMNS} key columns"));
    }
    for column in &table.key {
        let key = &column.name;
        if !column.not_null {
            findings.push(format!("key column `{key}` of table `{name}` must be NOT NULL"));
        }
        if column.generated {
            findings.push(format!("key column `{key}` of table `{name}` may not be generated"));
        }
        if !column.collation.eq_ignore_ascii_case("BINARY") {
            findings.push(format!(
                "key column `{key}` of table `{name}` compares by {}: keys are compared byte by byte (BINARY)",
                column.collation
            ));
        }
        if !matches!(column.affinity, Affinity::Integer | Affinity::Text | Affinity::Blob) || column.declared.is_empty()
        {
            findings.push(format!("key column `{key}` of table `{name}` must be of type INTEGER, TEXT or BLOB"));
        }
    }
}

fn check_table(table: &Table, findings: &mut Vec<String>) {
    let name = &table.name;
    if table.is_virtual {
        findings.push(format!("table `{name}` is virtual, and only ordinary tables can be synchronised"));
    }
    if table.autoincrement {
        findings.push(format!(
            "table `{name}` uses AUTOINCREMENT: two sites would give one number to two rows; make ids on the client"
        ));
    }
    if table.foreign_keys > 0 {
        findings
            .push(format!("table `{name}` has checked foreign keys, which a merge may break: leave out REFERENCES"));
    }
    for index in &table.unique {
        findings.push(format!(
            "table `{name}` has the unique index `{index}` beside its key: two sites may each write a row that both \
             satisfy it alone"
        ));
    }
    if table.columns.len() + table.key.len() > MAX_COLUMNS {
        findings.push(format!("table `{name}` has more than {MAX_COLUMNS} columns"));
    }
}

fn check_columns(table: &Table, findings: &mut Vec<String>) {
    for column in &table.columns {
        let without_default = column.default.as_deref().is_none_or(|default| default.eq_ignore_ascii_case("null"));
        if column.not_null && without_default {
            findings.push(format!(
                "column `{}` of table `{}` is NOT NULL without a default: a row arrives cell by cell",
                column.name, table.name
            ));
        }
    }
}

fn check_checks(scratch: &Connection, table: &Table, findings: &mut Vec<String>) {
    for check in &table.checks {
        let expression = &check.expression;
        if check.columns.len() > 1 {
            findings.push(format!(
                "a CHECK of table `{}` spans the columns {}: cells merge one by one ({expression})",
                table.name,
                check.columns.join(", ")
            ));
        } else if !holds_for_default(scratch, table, check) {
            findings.push(format!(
                "a CHECK of table `{}` fails for the column's own default, with which a row arrives ({expression})",
                table.name
            ));
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
    let sql = format!("SELECT ({}) FROM (SELECT {default} AS \"{}\")", check.expression, column.name);
    // An expression that can't be judged out of its table counts as right: it is judged by each merge.
    !matches!(scratch.query_row(&sql, [], |row| row.get::<_, Option<f64>>(0)), Ok(Some(result)) if result == 0.0)
}

/// A merge fires an app's triggers at every site; what they write would be written, and sent, by each of them.
fn check_triggers(scratch: &mut Connection, table: &Table, findings: &mut Vec<String>) -> Result<()> {
    let columns = table.columns.iter().map(|column| &column.name).chain(table.key.iter().map(|column| &column.name));
    let assignments: Vec<String> = columns.map(|name| format!("\"{name}\" = \"{name}\"")).collect();
    let statements = [
        format!("INSERT INTO \"{}\" DEFAULT VALUES", table.name),
        format!("UPDATE \"{}\" SET {}", table.name, assignments.join(", ")),
        format!("DELETE FROM \"{}\"", table.name),
    ];
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
    prepared?;
    if writes.load(Ordering::Relaxed) {
        findings.push(format!(
            "a trigger of table `{}` writes to tables: a merge would fire it at every site, and each would send what \
             it wrote",
            table.name
        ));
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
                "trigger of table `t`",
            ),
        ] {
            let found = finding(ddl);
            assert!(found.contains(part), "{ddl}: {found}");
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
