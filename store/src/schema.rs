//! A schema file: its identity, its shape, and what may stand in it.
//!
//! Where in the flow: parsed once at start, before a database is opened with it. The structure comes from SQLite
//! itself, which builds the tables in a scratch database in memory. Never touches a real database.

pub(crate) mod lint;
pub(crate) mod migrate;
pub(crate) mod structure;
pub(crate) mod tokens;

pub use lint::{Finding, Problem};
pub use migrate::Upgrade;

use greenlight_core::limits::MAX_NAME_BYTES;
use greenlight_core::{SchemaId, SchemaShape, TableShape};
use rusqlite::Connection;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use sha2::{Digest, Sha256};
use structure::{Extra, Table};
use thiserror::Error;

use crate::limits::SCHEMA_BYTES;

/// Why a schema can't be used, or not with this database.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SchemaError {
    /// The first line is not `-- schema: NAME NUMBER`.
    #[error(
        "the schema's first line must be `-- schema: NAME NUMBER`, with a name of letters, digits, `_` and `-` and a \
         number from 1"
    )]
    Header,
    /// Longer than [`SCHEMA_BYTES`](crate::limits::SCHEMA_BYTES).
    #[error("the schema is longer than {SCHEMA_BYTES} bytes")]
    TooLong,
    /// SQLite doesn't accept it, or it holds more than definitions.
    #[error("the schema is not accepted: {0}")]
    Sql(String),
    /// It holds what can't be merged; one sentence for each finding.
    #[error("the schema can't be synchronised: {}", .0.join("; "))]
    Unmergeable(Vec<String>),
    /// The database follows another schema.
    #[error("the database follows schema `{database}` and not `{file}`")]
    OtherName {
        /// The name that the database holds.
        database: String,
        /// The name in the file.
        file: String,
    },
    /// The database is ahead of the file.
    #[error("the database follows schema {name} {database} already, the file has the older {file}")]
    Older {
        /// The schema's name.
        name: String,
        /// The number that the database holds.
        database: u32,
        /// The number in the file.
        file: u32,
    },
    /// The same number stands for another structure.
    #[error("schema {name} {number} has another structure than the database: raise the number ({difference})")]
    NumberReused {
        /// The schema's name.
        name: String,
        /// The number.
        number: u32,
        /// The first difference.
        difference: String,
    },
    /// The change is more than new tables and new columns.
    #[error("schema {name} {number} can't be reached from the database: {difference}")]
    NotAdditive {
        /// The schema's name.
        name: String,
        /// The number in the file.
        number: u32,
        /// The first difference that is not additive.
        difference: String,
    },
}

/// A schema that has passed all checks.
#[derive(Clone, Debug)]
pub struct Schema {
    id: SchemaId,
    shape: SchemaShape,
    text: String,
    /// Sorted by name.
    tables: Vec<Table>,
    extras: Vec<Extra>,
}

impl Schema {
    /// Reads a schema file's text.
    ///
    /// # Errors
    /// [`SchemaError::Header`], [`SchemaError::TooLong`], [`SchemaError::Sql`] or [`SchemaError::Unmergeable`].
    pub fn parse(text: &str) -> Result<Self, SchemaError> {
        let Read { name, number, tables, extras, findings } = read(text)?;
        if !findings.is_empty() {
            return Err(SchemaError::Unmergeable(findings.into_iter().map(|finding| finding.sentence).collect()));
        }
        let shape = shape(&tables);
        Ok(Self {
            id: SchemaId { name, number, digest: digest(&tables) },
            shape,
            text: text.to_owned(),
            tables,
            extras,
        })
    }

    /// Its identity.
    pub fn id(&self) -> &SchemaId {
        &self.id
    }

    /// Its shape, as the handshake compares it.
    pub fn shape(&self) -> &SchemaShape {
        &self.shape
    }

    /// The file's text.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn tables(&self) -> &[Table] {
        &self.tables
    }

    pub(crate) fn extras(&self) -> &[Extra] {
        &self.extras
    }
}

/// What a schema file's text says, before it is judged.
pub(crate) struct Read {
    name: String,
    number: u32,
    pub(crate) tables: Vec<Table>,
    pub(crate) extras: Vec<Extra>,
    pub(crate) findings: Vec<Finding>,
}

/// Reads a schema file's text, and finds all that keeps it from being synchronised.
pub(crate) fn read(text: &str) -> Result<Read, SchemaError> {
    if text.len() > SCHEMA_BYTES {
        return Err(SchemaError::TooLong);
    }
    let (name, number) = parse_header(text)?;
    let sql_error = |error: rusqlite::Error| SchemaError::Sql(crate::fault::sentence(&error));
    let mut scratch = Connection::open_in_memory().map_err(sql_error)?;
    scratch.authorizer(Some(allow_definitions)).map_err(sql_error)?;
    scratch.execute_batch(text).map_err(sql_error)?;
    scratch.authorizer(None::<fn(AuthContext<'_>) -> Authorization>).map_err(sql_error)?;
    let tables = structure::tables(&scratch).map_err(sql_error)?;
    let extras = structure::extras(&scratch).map_err(sql_error)?;
    let findings = lint::findings(&mut scratch, &tables).map_err(sql_error)?;
    Ok(Read { name, number, tables, extras, findings })
}

fn parse_header(text: &str) -> Result<(String, u32), SchemaError> {
    let line = text.trim_start_matches('\u{feff}').lines().next().unwrap_or_default();
    let rest = line.strip_prefix("--").map(str::trim_start).and_then(|rest| rest.strip_prefix("schema:"));
    let mut words = rest.ok_or(SchemaError::Header)?.split_whitespace();
    let (Some(name), Some(number), None) = (words.next(), words.next(), words.next()) else {
        return Err(SchemaError::Header);
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let number: u32 = number.parse().map_err(|_| SchemaError::Header)?;
    if number == 0 || name.len() > MAX_NAME_BYTES || !name.chars().all(plain) {
        return Err(SchemaError::Header);
    }
    Ok((name.to_owned(), number))
}

/// A schema file defines; it neither holds data nor reaches out of the scratch database.
fn allow_definitions(context: AuthContext<'_>) -> Authorization {
    let internal = |table: &str| table.starts_with("sqlite_");
    let allowed = match context.action {
        AuthAction::CreateTable { .. }
        | AuthAction::CreateIndex { .. }
        | AuthAction::CreateView { .. }
        | AuthAction::CreateTrigger { .. }
        | AuthAction::CreateVtable { .. }
        | AuthAction::Reindex { .. }
        | AuthAction::Select
        | AuthAction::Read { .. }
        | AuthAction::Function { .. }
        | AuthAction::Recursive => true,
        AuthAction::Insert { table_name }
        | AuthAction::Update { table_name, .. }
        | AuthAction::Delete { table_name } => internal(table_name) || context.accessor.is_some(),
        _ => false,
    };
    if allowed { Authorization::Allow } else { Authorization::Deny }
}

fn shape(tables: &[Table]) -> SchemaShape {
    let tables = tables.iter().map(|table| {
        let mut columns: Vec<String> = table.columns.iter().map(|column| column.name.to_string()).collect();
        columns.sort_unstable();
        let key = table.key.iter().map(|column| column.name.to_string()).collect();
        TableShape { name: table.name.to_string(), key, columns }
    });
    SchemaShape { tables: tables.collect() }
}

fn digest(tables: &[Table]) -> [u8; 16] {
    let mut hash = Sha256::new();
    for table in tables {
        hash.update(table.normal_form());
    }
    let full: [u8; 32] = hash.finalize().into();
    std::array::from_fn(|index| full[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: &str = include_str!("../../web/schemas/shop.sql");

    #[test]
    fn the_shop_is_accepted() {
        let schema = Schema::parse(SHOP).unwrap();
        assert_eq!(schema.id().name, "shop");
        assert!(schema.tables().len() >= 12);
        assert!(schema.extras().iter().any(|extra| extra.name == "stock"));
    }

    #[test]
    fn the_digest_is_of_the_structure_alone() {
        let one =
            "-- schema: a 1\nCREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, a INTEGER DEFAULT 0 CHECK (a > -1), b);";
        let same = "-- schema: a 2\n\nCREATE TABLE  t(b, -- the other\n a integer default 0 check(a>-1),\n \
                    id text not null, primary key(id)); CREATE INDEX i ON t (a);";
        let other =
            "-- schema: a 1\nCREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, a INTEGER DEFAULT 1 CHECK (a > -1), b);";
        let digest = |text: &str| Schema::parse(text).unwrap().id().digest;
        assert_eq!(digest(one), digest(same));
        assert_ne!(digest(one), digest(other));
    }

    #[test]
    fn a_header_is_needed() {
        for text in ["", "CREATE TABLE t (a)", "-- schema: a", "-- schema: a 0", "-- schema: a b 1", "-- schema: ä 1"]
        {
            assert_eq!(Schema::parse(text).unwrap_err(), SchemaError::Header, "{text}");
        }
    }

    #[test]
    fn only_definitions_are_accepted() {
        for statement in [
            "INSERT INTO t VALUES (1)",
            "ATTACH 'x' AS y",
            "PRAGMA journal_mode = off",
            "BEGIN",
            "CREATE TEMP TABLE z (a)",
            "DROP TABLE t",
        ] {
            let text = format!("-- schema: a 1\nCREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL);{statement};");
            assert!(matches!(Schema::parse(&text), Err(SchemaError::Sql(_))), "{statement}");
        }
    }
}
