//! Definitions written anew without what can't be synchronised.
//!
//! Where in the flow: below the SQL that mends a database. Works on SQL that SQLite has accepted, token by token, and is
//! judged by the lint afterwards, so that what it does not understand is left as it was. Never drops a column.

use crate::schema::structure::{Affinity, Table};
use crate::schema::tokens::{Token, definitions, group, normal_form, sql, tokens};
use crate::schema::{Finding, Problem};
use crate::tables::quote;

/// Names for the key of a table that has none, in the order in which they are tried.
const KEY_NAMES: [&str; 3] = ["id", "row_id", "greenlight_id"];

/// The definition of a table as it can be synchronised; `None` where nothing of it can be mended.
pub(super) fn table(table: &Table, findings: &[&Finding]) -> Option<String> {
    let is_mendable = |finding: &&&Finding| match &finding.problem {
        Problem::Unique(name) => name.starts_with("sqlite_autoindex_"),
        problem => matches!(
            problem,
            Problem::NoKey
                | Problem::NullableKey
                | Problem::KeyCollation
                | Problem::Autoincrement
                | Problem::ForeignKey
                | Problem::NotNullWithoutDefault
                | Problem::CheckSpans
        ),
    };
    findings.iter().find(is_mendable)?;
    let all = tokens(&table.sql);
    let open = all.iter().position(|token| *token == Token::Symbol('('))?;
    let tail = all.get(open + group(&all[open..]).len() + 2..)?;
    let (mut columns, mut constraints) = (Vec::new(), Vec::new());
    for definition in definitions(&all) {
        if is_constraint(definition) {
            constraints.extend(constraint(table, definition));
        } else {
            columns.push(column(table, definition, findings));
        }
    }
    if table.key.is_empty() {
        let name = KEY_NAMES.iter().find(|name| !table.has_column(name))?;
        columns.push(format!("{name} TEXT NOT NULL PRIMARY KEY DEFAULT (lower(hex(randomblob(16))))"));
    }
    columns.append(&mut constraints);
    let tail = if tail.is_empty() { String::new() } else { format!(" {}", sql(tail)) };
    Some(format!("CREATE TABLE {} (\n  {}\n){tail}", quote(&table.name), columns.join(",\n  ")))
}

/// What stands behind the name in a definition that [`table`] wrote.
pub(super) fn body(sql: &str) -> &str {
    sql.find(" (\n").map_or("", |at| &sql[at + 1..])
}

/// An index's definition without `UNIQUE`.
pub(super) fn index(definition: &str) -> String {
    let all = tokens(definition);
    let rest: Vec<Token> = all
        .iter()
        .enumerate()
        .filter(|(at, token)| *at != 1 || !token.is_word("UNIQUE"))
        .map(|(_, t)| t.clone())
        .collect();
    sql(&rest)
}

fn is_constraint(definition: &[Token]) -> bool {
    let words = ["CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"];
    definition.first().is_some_and(|token| words.iter().any(|word| token.is_word(word)))
}

/// A constraint of a table, unless it can't be synchronised.
fn constraint(table: &Table, definition: &[Token]) -> Option<String> {
    let named = definition.first().is_some_and(|token| token.is_word("CONSTRAINT"));
    let rest = if named { definition.get(2..)? } else { definition };
    let first = rest.first()?;
    if first.is_word("UNIQUE") || first.is_word("FOREIGN") || is_wide_check(table, rest) {
        return None;
    }
    // Within a key a collation stands behind its column.
    Some(if first.is_word("PRIMARY") { sql(&without_collations(definition)) } else { sql(definition) })
}

fn without_collations(definition: &[Token]) -> Vec<Token> {
    let mut kept: Vec<Token> = Vec::new();
    let mut rest = definition;
    while let Some(token) = rest.first() {
        let length = if token.is_word("COLLATE") { 2 } else { 1 };
        kept.extend(rest[..length.min(rest.len())].iter().filter(|_| length == 1).cloned());
        rest = &rest[length.min(rest.len())..];
    }
    kept
}

fn is_wide_check(table: &Table, clause: &[Token]) -> bool {
    if !clause.first().is_some_and(|token| token.is_word("CHECK")) {
        return false;
    }
    let expression = normal_form(group(&clause[1..]));
    table.checks.iter().any(|check| check.expression == expression && check.columns.len() > 1)
}

/// A column without what can't be synchronised, and with what is missing.
fn column(table: &Table, definition: &[Token], findings: &[&Finding]) -> String {
    let name = match definition.first() {
        Some(Token::Literal(text)) => text.trim_matches('\'').to_owned(),
        Some(token) => token.name().unwrap_or_default().to_owned(),
        None => String::new(),
    };
    let has = |problem: &Problem| {
        let is_it = |finding: &&&Finding| {
            finding.problem == *problem && finding.column.as_ref().is_some_and(|c| c.eq_ignore_ascii_case(&name))
        };
        findings.iter().any(|finding| is_it(&finding))
    };
    let needs_default = has(&Problem::NotNullWithoutDefault);
    let mut kept: Vec<Token> = definition[..1.min(definition.len())].to_vec();
    let mut rest = definition.get(1..).unwrap_or_default();
    while !rest.is_empty() {
        let prefix = if rest[0].is_word("CONSTRAINT") { 2.min(rest.len()) } else { 0 };
        let clause = &rest[prefix..];
        let Some(first) = clause.first() else { break };
        let dropped = if first.is_word("REFERENCES") {
            references(clause)
        } else if first.is_word("UNIQUE") {
            if clause.get(1).is_some_and(|token| token.is_word("ON")) { 4 } else { 1 }
        } else if first.is_word("AUTOINCREMENT") {
            1
        } else if first.is_word("COLLATE") && has(&Problem::KeyCollation) || first.is_word("DEFAULT") && needs_default {
            2
        } else if is_wide_check(table, clause) {
            2 + group(&clause[1..]).len() + 1
        } else {
            0
        };
        let length = if dropped > 0 {
            prefix + dropped
        } else {
            // What stands in parentheses is not read.
            let length = if *first == Token::Symbol('(') { group(clause).len() + 2 } else { 1 };
            kept.extend(rest[..(prefix + length).min(rest.len())].iter().cloned());
            prefix + length
        };
        rest = &rest[length.min(rest.len())..];
    }
    let mut text = sql(&kept);
    if has(&Problem::NullableKey) {
        text.push_str(" NOT NULL");
    }
    if needs_default {
        text.push_str(" DEFAULT ");
        text.push_str(default_of(table, &name));
    }
    text
}

/// The tokens of a `REFERENCES` clause.
fn references(clause: &[Token]) -> usize {
    let is = |at: usize, word: &str| clause.get(at).is_some_and(|token| token.is_word(word));
    let mut at = 2;
    if clause.get(at) == Some(&Token::Symbol('(')) {
        at += group(&clause[at..]).len() + 2;
    }
    loop {
        at += if is(at, "ON") {
            if is(at + 2, "SET") || is(at + 2, "NO") { 4 } else { 3 }
        } else if is(at, "MATCH") || is(at, "INITIALLY") || is(at, "NOT") && is(at + 1, "DEFERRABLE") {
            2
        } else if is(at, "DEFERRABLE") {
            1
        } else {
            return at.min(clause.len());
        };
    }
}

/// Nothing, of the column's type.
fn default_of(table: &Table, name: &str) -> &'static str {
    let column = table.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name));
    match column.map(|column| crate::schema::structure::affinity(&column.declared, table.strict)) {
        Some(Affinity::Integer | Affinity::Real | Affinity::Numeric) => "0",
        Some(Affinity::Blob) if column.is_some_and(|column| column.declared == "BLOB") => "x''",
        _ => "''",
    }
}
