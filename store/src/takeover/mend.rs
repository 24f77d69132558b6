//! SQL that mends what keeps a database from being taken over, as far as that needs no knowledge of what the data means.
//!
//! Where in the flow: after the look at the definitions; run on the copy where somebody wants it, and printed where not.
//! What is proposed was looked at by the same lint before. Never writes to a database that nobody asked to be mended.

mod rewrite;

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::words::{self, Definition};
use super::{Obstacle, TakeoverError};
use crate::schema::structure::Table;
use crate::schema::{self, Finding, Problem, Read};
use crate::tables::quote;

/// The name of a mended table until it takes the old one's place.
const ENDING: &str = "__mended";

/// The SQL, and marks the obstacles that are none after it; `None` where it would mend nothing.
pub(super) fn script(
    read: &Read,
    definitions: &[Definition],
    obstacles: &mut [Obstacle],
) -> Result<Option<String>, TakeoverError> {
    let mut mended = definitions.to_vec();
    let mut rebuilt: Vec<&Table> = Vec::new();
    for table in &read.tables {
        // Rows that the new table might not take are for somebody who knows them.
        let has_rows_in_the_way = obstacles.iter().any(|obstacle| {
            obstacle.table.as_deref() == Some(&*table.name)
                && !read.findings.iter().any(|finding| tells(finding, obstacle))
        });
        let definition = mended.iter_mut().find(|definition| definition.is_table(&table.name));
        let (Some(definition), false) = (definition, has_rows_in_the_way || table.is_virtual) else { continue };
        let findings: Vec<&Finding> =
            read.findings.iter().filter(|finding| finding.table.as_deref() == Some(&*table.name)).collect();
        if let Some(sql) = rewrite::table(table, &findings)
            && Connection::open_in_memory()?.execute_batch(&sql).is_ok()
        {
            definition.sql = sql;
            rebuilt.push(table);
        }
    }
    let is_unique =
        |name: &str| read.findings.iter().any(|finding| finding.problem == Problem::Unique(name.to_owned()));
    let mut loosened = Vec::new();
    for index in mended.iter_mut().filter(|definition| definition.kind == "index") {
        if is_unique(&index.name) {
            index.sql = rewrite::index(&index.sql);
            loosened.push(index.clone());
        }
    }
    // The name is of no account here.
    let Ok(after) = schema::read(&words::schema_text("mended", &mended)) else { return Ok(None) };
    for obstacle in obstacles.iter_mut() {
        let is_gone = !after.findings.iter().any(|finding| tells(finding, obstacle));
        obstacle.mended = is_gone && read.findings.iter().any(|finding| tells(finding, obstacle));
    }
    if !obstacles.iter().any(|obstacle| obstacle.mended) {
        return Ok(None);
    }
    let mut sql = "PRAGMA foreign_keys = OFF;\nPRAGMA legacy_alter_table = ON;\nBEGIN IMMEDIATE;\n".to_owned();
    for table in &rebuilt {
        sql.push_str(&rebuild(table, &mended));
    }
    for index in loosened.iter().filter(|index| !rebuilt.iter().any(|table| index.belongs_to(&table.name))) {
        sql.push_str(&format!("DROP INDEX {};\n{}\n", quote(&index.name), words::statement(&index.sql)));
    }
    sql.push_str("COMMIT;\nPRAGMA legacy_alter_table = OFF;\n");
    Ok(Some(sql))
}

/// Runs the SQL on a copy.
///
/// # Errors
/// [`TakeoverError`]; then the copy is of no use any more.
pub fn mend(part: &Path, script: &str) -> Result<(), TakeoverError> {
    let conn = Connection::open_with_flags(part, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    Ok(conn.execute_batch(script)?)
}

fn tells(finding: &Finding, obstacle: &Obstacle) -> bool {
    finding.table == obstacle.table && finding.column == obstacle.column && finding.sentence == obstacle.problem
}

/// A new table with the old one's rows and name, and what belongs to it.
fn rebuild(table: &Table, mended: &[Definition]) -> String {
    let (old, new) = (quote(&table.name), quote(&format!("{}{ENDING}", table.name)));
    let names = table.key.iter().map(|column| &column.name).chain(table.columns.iter().map(|column| &column.name));
    let columns = names.map(|name| quote(name)).collect::<Vec<_>>().join(", ");
    let definition = mended.iter().find(|definition| definition.is_table(&table.name));
    let body = definition.map_or("", |definition| rewrite::body(&definition.sql));
    let mut sql = format!(
        "\nCREATE TABLE {new} {body};\nINSERT INTO {new} ({columns}) SELECT {columns} FROM {old};\nDROP TABLE {old};\n\
         ALTER TABLE {new} RENAME TO {old};\n"
    );
    for extra in mended.iter().filter(|definition| definition.kind != "table" && definition.belongs_to(&table.name)) {
        sql.push_str(&format!("{}\n", words::statement(&extra.sql)));
    }
    sql
}
