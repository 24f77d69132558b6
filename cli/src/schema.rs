//! The schema that a command names: what it would change in the local database, asked for and said.
//!
//! Where in the flow: between the arguments and the first sync. A server is brought to a schema before its clients are,
//! so where a server is synced with it is asked first. Never changes a database itself.

use std::path::Path;

use greenlight_core::SiteId;
use greenlight_core::compatibility::Identity;
use greenlight_store::portable;
use greenlight_store::{ClientDatabase, Schema, Upgrade};

use crate::ask::{self, Asked};
use crate::command::{NAME_TOKEN, open, read_schema};
use crate::misfit::{self, Misfit};
use crate::{ClientError, Remote, Token};

/// What a schema does to a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing: the database has it.
    Nothing,
    /// The database is made of it.
    Made,
    /// A plain database, whose tables are those of the schema, becomes one of it.
    Taken,
    /// The database is brought to it.
    Upgrade(Upgrade),
}

/// A schema that a command names, and what it does to the database.
pub(crate) struct Named {
    schema: Schema,
    pub(crate) change: Change,
}

impl Named {
    /// Reads the file and compares it with the database.
    ///
    /// # Errors
    /// [`ClientError`]: it can't be read, or can't follow the schema that the database has.
    pub(crate) fn read(file: &Path, db: &Path) -> Result<Self, ClientError> {
        Self::of(read_schema(file)?, db)
    }

    /// Compares a schema with the database.
    ///
    /// # Errors
    /// [`ClientError`]: it can't follow the schema that the database has.
    pub(crate) fn of(schema: Schema, db: &Path) -> Result<Self, ClientError> {
        let change = compare(&schema, db)?;
        Ok(Self { schema, change })
    }

    /// Makes the database or brings it to the schema, and opens it.
    ///
    /// # Errors
    /// [`ClientError`]; the database is as it was.
    pub(crate) fn open(&self, db: &Path) -> Result<ClientDatabase, ClientError> {
        open(db, Some(&self.schema))
    }

    /// The same, and says so, where the answer of the command has no place for it.
    ///
    /// # Errors
    /// [`ClientError`]; the database is as it was.
    pub(crate) fn open_and_tell(&self, db: &Path) -> Result<ClientDatabase, ClientError> {
        let database = self.open(db)?;
        if let Some(line) = self.told() {
            eprintln!("{line}");
        }
        Ok(database)
    }

    /// What was done, in a line; `None` where nothing was.
    pub(crate) fn told(&self) -> Option<String> {
        match &self.change {
            Change::Nothing => None,
            Change::Made => Some(format!("schema: the database is made of {}", shown(&self.schema))),
            Change::Taken => {
                Some(format!("schema: none -> {}, what was a plain database can be synced", shown(&self.schema)))
            }
            Change::Upgrade(Upgrade { from, to, tables, columns }) => {
                let mut added: Vec<String> = tables.iter().map(|table| format!("table {table}")).collect();
                added.extend(columns.iter().map(|column| format!("column {column}")));
                Some(match added.is_empty() {
                    false => format!("schema: {from} -> {to}, adds {}", added.join(", ")),
                    true if from == to => format!("schema: {to}, with the file's indices, views and triggers"),
                    true => format!("schema: {from} -> {to}, adds no table and no column"),
                })
            }
        }
    }

    /// Whether a server that is synced with has a say in it.
    fn concerns_a_server(&self) -> bool {
        match &self.change {
            Change::Nothing => false,
            Change::Made | Change::Taken => true,
            Change::Upgrade(upgrade) => upgrade.from != upgrade.to,
        }
    }

    /// Asks the server whether it would take this schema, and the database that is here. One that has no such database
    /// yet does not know: a new one here can be made again of another, and one that is here stays as it is.
    ///
    /// # Errors
    /// [`ClientError::SchemaRefused`], [`ClientError::SchemaUnasked`], and what a token's file may cause.
    pub(crate) async fn agree(&self, db: &Path, remote: &Remote, token: &Token) -> Result<(), ClientError> {
        if !self.concerns_a_server() {
            return Ok(());
        }
        let unasked = |why: String, refused| ClientError::SchemaUnasked {
            remote: remote.shown().to_owned(),
            ours: shown(&self.schema),
            why,
            refused,
        };
        match ask::database(remote, &token.read()?).await.0 {
            Asked::Meta(_, server) => {
                let shape = Some(self.schema.shape().clone());
                let client = Identity { server: self.followed(db)?, schema: self.schema.id().clone(), shape };
                misfit::find(&client, &server).map_or(Ok(()), |Misfit { why, remedy }| {
                    let remote = remote.shown().to_owned();
                    Err(ClientError::SchemaRefused { remote, ours: shown(&self.schema), why, remedy })
                })
            }
            Asked::Unknown if matches!(self.change, Change::Upgrade(_)) => {
                Err(unasked("it has no database of this name".to_owned(), true))
            }
            Asked::Unknown => Ok(()),
            Asked::Refused(why) => Err(unasked(format!("{why} {NAME_TOKEN}"), true)),
            Asked::Unwell(why) | Asked::Unreachable(why) => Err(unasked(why, false)),
        }
    }

    /// The server's database that the one here follows: another has no say in what it is brought to.
    fn followed(&self, db: &Path) -> Result<Option<SiteId>, ClientError> {
        match &self.change {
            Change::Nothing | Change::Made | Change::Taken => Ok(None),
            Change::Upgrade(_) => {
                let found = portable::inspect(db)
                    .map_err(|error| ClientError::NotAClient { file: db.to_owned(), why: error.to_string() })?;
                Ok(found.client.and_then(|client| client.identity.server))
            }
        }
    }
}

fn shown(schema: &Schema) -> String {
    format!("{} {}", schema.id().name, schema.id().number)
}

fn compare(schema: &Schema, db: &Path) -> Result<Change, ClientError> {
    if !db.exists() {
        return Ok(Change::Made);
    }
    let present = match portable::schema(db) {
        Ok(None) => return Ok(Change::Taken),
        Ok(Some(present)) => present,
        Err(error) => return Err(ClientError::NotAClient { file: db.to_owned(), why: error.to_string() }),
    };
    match schema.upgrade(&present) {
        Ok(upgrade) => Ok(upgrade.map_or(Change::Nothing, Change::Upgrade)),
        Err(error) => Err(ClientError::Database { file: db.to_owned(), source: error.into() }),
    }
}
