//! The definitions of a plain database as the text of a schema file, and what is wrong with them in words.
//!
//! Where in the flow: the first look at a database that is taken over. What is wrong is the lint's to find; here it gets
//! its remedy. Never reads a row.

use rusqlite::Connection;

use super::{Choice, Obstacle, TakeoverError};
use crate::schema::structure::{Affinity, Table};
use crate::schema::tokens::tokens;
use crate::schema::{Finding, Problem};
use crate::tables::quote;

/// Something that the database defines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Definition {
    /// `table`, `index`, `view` or `trigger`.
    pub(super) kind: String,
    pub(super) name: String,
    /// The table that it belongs to, or its own name.
    table: String,
    pub(super) sql: String,
}

impl Definition {
    pub(super) fn is_table(&self, name: &str) -> bool {
        self.kind == "table" && self.name == name
    }

    fn is_virtual(&self) -> bool {
        tokens(&self.sql).get(1).is_some_and(|word| word.is_word("VIRTUAL"))
    }

    pub(super) fn belongs_to(&self, table: &str) -> bool {
        self.table.eq_ignore_ascii_case(table)
    }
}

/// What is taken over, and the names of the tables that are not.
pub(super) fn definitions(conn: &Connection, choice: &Choice) -> Result<(Vec<Definition>, Vec<String>), TakeoverError> {
    // What a virtual table keeps its data in comes and goes with it.
    let mut statement = conn.prepare(
        "SELECT type, name, tbl_name, sql FROM sqlite_schema s
         WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND NOT EXISTS
           (SELECT 1 FROM pragma_table_list l WHERE l.schema = 'main' AND l.type = 'shadow' AND l.name = s.tbl_name)
         ORDER BY type <> 'table', rowid",
    )?;
    let all = statement.query_map([], |row| {
        Ok(Definition { kind: row.get(0)?, name: row.get(1)?, table: row.get(2)?, sql: row.get(3)? })
    })?;
    let all = all.collect::<Result<Vec<_>, _>>()?;
    let is_skipped = |table: &str| choice.skip.iter().any(|skip| skip.eq_ignore_ascii_case(table));
    let (skipped, taken): (Vec<_>, Vec<_>) = all.into_iter().partition(|definition| is_skipped(&definition.table));
    let skipped: Vec<String> =
        skipped.into_iter().filter(|skipped| skipped.kind == "table").map(|skipped| skipped.name).collect();
    match choice.skip.iter().find(|skip| !skipped.iter().any(|table| table.eq_ignore_ascii_case(skip))) {
        Some(unknown) => Err(TakeoverError::UnknownTable(unknown.clone())),
        None => Ok((taken, skipped)),
    }
}

/// Makes everything in an empty database, as every other machine will have to. What can't be made is an obstacle, and
/// left out.
pub(super) fn tried(definitions: Vec<Definition>) -> Result<(Vec<Definition>, Vec<Obstacle>), TakeoverError> {
    let scratch = Connection::open_in_memory()?;
    let mut obstacles = Vec::new();
    let mut refuse = |definition: &Definition, error: &rusqlite::Error, remedy: &str| {
        let Definition { kind, name, table, .. } = definition;
        let why = crate::fault::sentence(error);
        obstacles.push(Obstacle {
            table: (kind != "view").then(|| table.clone()),
            column: None,
            problem: format!("{kind} `{name}` can't be made on another machine: {why}"),
            remedy: remedy.to_owned(),
            mended: false,
        });
    };
    let mut made = Vec::new();
    let (virtuals, definitions): (Vec<_>, Vec<_>) = definitions.into_iter().partition(Definition::is_virtual);
    for definition in definitions {
        match scratch.execute_batch(&definition.sql) {
            Ok(()) => made.push(definition),
            Err(error) if definition.kind == "table" => {
                refuse(
                    &definition,
                    &error,
                    "leave it on this machine with --skip, or write it with what SQLite itself has",
                );
            }
            Err(error) => {
                refuse(&definition, &error, "drop it, or write it with what SQLite itself and the other tables have");
            }
        }
    }
    // A view is only looked into when it is used.
    for view in made.iter().filter(|definition| definition.kind == "view") {
        if let Err(error) = scratch.prepare(&format!("SELECT * FROM {}", quote(&view.name))) {
            refuse(view, &error, "drop it, or keep the tables that it reads");
        }
    }
    obstacles.extend(virtuals.iter().map(|table| {
        let sentence = format!("table `{}` is virtual, and only ordinary tables can be synchronised", table.name);
        let (problem, table) = (Problem::Virtual, Some(table.name.clone()));
        obstacle(&Finding { problem, table, column: None, sentence })
    }));
    Ok((made, obstacles))
}

/// The text of a schema file.
pub(super) fn schema_text(name: &str, definitions: &[Definition]) -> String {
    let mut text = format!("-- schema: {name} 1\n");
    for definition in definitions {
        text.push_str(&format!("\n{}\n", statement(&definition.sql)));
    }
    text
}

/// A definition with its end.
pub(super) fn statement(sql: &str) -> String {
    let sql = sql.trim_end();
    // A comment may be the last that it holds.
    let ends_in_comment = sql.lines().last().is_some_and(|line| line.contains("--"));
    format!("{sql}{}", if ends_in_comment { "\n;" } else { ";" })
}

/// A finding with its remedy.
pub(super) fn obstacle(finding: &Finding) -> Obstacle {
    let Finding { problem, table, column, sentence } = finding;
    let (t, c) = (quoted(table), quoted(column));
    let remedy = match problem {
        Problem::InternalName => "give it another name".to_owned(),
        Problem::TableCount => "leave tables on this machine with --skip, or name a database that has some".to_owned(),
        Problem::Name => match column {
            Some(_) => format!("ALTER TABLE {t} RENAME COLUMN {c} TO another_name, and in what uses it too"),
            None => format!("ALTER TABLE {t} RENAME TO another_name, and in what uses it too"),
        },
        Problem::NoKey => "add a column that tells its rows apart on every machine, as a random id".to_owned(),
        Problem::ColumnCount => "split the table".to_owned(),
        Problem::NullableKey => format!("declare {c} NOT NULL"),
        Problem::GeneratedKey => "make it an ordinary column, or take another one as the key".to_owned(),
        Problem::KeyCollation => format!("declare {c} without COLLATE, and compare with COLLATE in the queries"),
        Problem::KeyType => format!("declare {c} as INTEGER, TEXT or BLOB, whichever its values are"),
        Problem::Virtual => {
            "leave it on this machine with --skip; drop triggers that fill it, and fill it from the app".to_owned()
        }
        Problem::Autoincrement => "leave out AUTOINCREMENT, and give new rows random ids".to_owned(),
        Problem::ForeignKey => "leave out REFERENCES and FOREIGN KEY, and check in the app".to_owned(),
        Problem::Unique(index) if index.starts_with("sqlite_autoindex_") => {
            "leave the constraint out, and look for doubles in the app".to_owned()
        }
        Problem::Unique(_) => "make it an ordinary index, and look for doubles in the app".to_owned(),
        Problem::NotNullWithoutDefault => format!("give {c} a DEFAULT, or leave out NOT NULL"),
        Problem::CheckSpans => "leave it out, and check in the app".to_owned(),
        Problem::CheckDefault => "give the column a DEFAULT that passes, or leave out the CHECK".to_owned(),
        Problem::TriggerWrites => "drop the trigger, and write from the app what it wrote".to_owned(),
        Problem::TriggerBroken => "drop the trigger or the index, or write it with what SQLite itself has".to_owned(),
    };
    Obstacle { table: table.clone(), column: column.clone(), problem: sentence.clone(), remedy, mended: false }
}

fn quoted(name: &Option<String>) -> String {
    name.as_deref().map_or_else(String::new, quote)
}

/// What is no obstacle and surprises nevertheless.
pub(super) fn notes(tables: &[Table], skipped: &[String]) -> Vec<String> {
    let mut notes = Vec::new();
    let numbered = tables
        .iter()
        .filter(|table| !table.without_rowid && table.key.len() == 1 && table.key[0].affinity == Affinity::Integer);
    let numbered: Vec<String> = numbered.map(|table| format!("`{}`", table.name)).collect();
    if !numbered.is_empty() {
        notes.push(format!(
            "SQLite numbers new rows of {} where no id is given, and two machines would give one number to two rows, \
             which become one: give new rows random ids",
            numbered.join(", ")
        ));
    }
    if !skipped.is_empty() {
        let names: Vec<String> = skipped.iter().map(|name| format!("`{name}`")).collect();
        notes.push(format!("not synced, and on this machine alone: {}", names.join(", ")));
    }
    notes
}
