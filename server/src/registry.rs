//! Which databases are open, and how one is opened on first use.
//!
//! Where in the flow: every route and socket gets its database here. One bad database never stops the others.
//! Never makes a file that the settings don't allow.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::{Mutex, RwLock};

use crate::database::{Database, EngineSource, Schema};
use crate::error::ApiError;
use crate::limits::{MAX_DATABASES, MAX_DATABASES_MADE, SCHEMA_FILE_BYTES};
use crate::metrics::Metrics;
use crate::name::DatabaseName;
use crate::settings::{SchemaChoice, Settings};

/// Why the folders can't be used; each is a sentence for the person who starts the server.
#[derive(Debug, Error)]
pub enum FolderError {
    /// The data folder can't be made or read.
    #[error("the data folder can't be used: {0}")]
    Data(std::io::Error),
    /// The schema folder can't be read.
    #[error("the schema folder can't be read: {0}")]
    Schemas(std::io::Error),
    /// A schema file can't be used.
    #[error("the schema file `{file}` can't be used: {why}")]
    Schema {
        /// The file's name.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// A rule names a schema that isn't there.
    #[error("the configuration names the schema `{0}`, and the schema folder has no `{0}.sql`")]
    NoSuchSchema(String),
}

/// A place for one database: opened by whoever comes first, while others wait.
#[derive(Debug, Default)]
struct Slot(Mutex<State>);

#[derive(Debug, Default)]
enum State {
    #[default]
    Closed,
    Open(Arc<Database>),
    /// Why the last opening failed, and what was open before.
    Failed(String, Option<Arc<Database>>),
}

/// How a database is, for health and status.
#[derive(Debug)]
pub enum Condition {
    /// Open.
    Open(Arc<Database>),
    /// Could not be opened, in words.
    Failed(String),
    /// Being opened at this moment, which a large migration may make long.
    Opening,
}

/// The databases of one server.
#[derive(Debug)]
pub struct Registry {
    settings: Arc<Settings>,
    schemas: BTreeMap<String, Arc<Schema>>,
    slots: RwLock<HashMap<DatabaseName, Arc<Slot>>>,
    metrics: Arc<Metrics>,
}

impl Registry {
    /// Reads and checks every schema file, and makes the data folder.
    ///
    /// # Errors
    /// The first thing that is wrong with a folder or a schema.
    pub fn new(settings: Arc<Settings>, metrics: Arc<Metrics>) -> Result<Self, FolderError> {
        std::fs::create_dir_all(&settings.data).map_err(FolderError::Data)?;
        let schemas = read_schemas(&settings.schemas)?;
        if let Some(rule) = settings.databases.iter().find(|rule| !schemas.contains_key(&rule.schema)) {
            return Err(FolderError::NoSuchSchema(rule.schema.clone()));
        }
        Ok(Self { settings, schemas, slots: RwLock::default(), metrics })
    }

    /// Opens what is in the data folder already. What can't be opened is logged and stays closed.
    ///
    /// # Errors
    /// When the folder can't be read.
    pub async fn open_existing(&self) -> Result<(), FolderError> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.settings.data).map_err(FolderError::Data)? {
            let file = entry.map_err(FolderError::Data)?.file_name();
            let name = file.to_str().and_then(|file| DatabaseName::parse(file).ok());
            names.extend(name.filter(|name| self.choice(name).is_some()));
        }
        names.sort();
        for name in names.iter().take(MAX_DATABASES) {
            if let Err(error) = self.get(name).await {
                tracing::error!(database = %name, "{error}");
            }
        }
        Ok(())
    }

    /// A database; opened, or made where the settings allow it, if it isn't open.
    ///
    /// # Errors
    /// [`ApiError::UnknownDatabase`], [`ApiError::Unavailable`], [`ApiError::Overloaded`].
    pub async fn get(&self, name: &DatabaseName) -> Result<Arc<Database>, ApiError> {
        let unknown = || ApiError::UnknownDatabase(name.to_string());
        let choice = self.choice(name).ok_or_else(unknown)?;
        let file = self.settings.data.join(name.as_str());
        let found = self.slots.read().await.get(name).cloned();
        let slot = match found {
            Some(slot) => slot,
            None => {
                // A link could lead out of the data folder.
                let there = match std::fs::symlink_metadata(&file) {
                    Ok(entry) if entry.is_file() => true,
                    Ok(_) => return Err(unknown()),
                    Err(_) => false,
                };
                if !there && !choice.create {
                    return Err(unknown());
                }
                self.slot(name, there).await?
            }
        };
        let mut state = slot.0.lock().await;
        if let State::Open(database) = &*state
            && database.is_alive()
        {
            return Ok(database.clone());
        }
        let schema = self.schemas.get(&choice.schema).ok_or_else(unknown)?.clone();
        let source = EngineSource { file, schema, extension: self.settings.extension.clone() };
        let before = match &*state {
            State::Open(database) | State::Failed(_, Some(database)) => Some(database.clone()),
            State::Closed | State::Failed(_, None) => None,
        };
        let opened = match &before {
            Some(before) => before.open_again(source, self.metrics.clone()).await,
            None => Database::open(name.clone(), source, choice.create, self.metrics.clone()).await,
        };
        match opened {
            Ok(database) => {
                tracing::info!(database = %name, schema = choice.schema, "open");
                *state = State::Open(database.clone());
                Ok(database)
            }
            Err(why) => {
                *state = State::Failed(why.clone(), before);
                Err(ApiError::Unavailable(why))
            }
        }
    }

    /// A database that is open; nothing is opened.
    pub async fn peek(&self, name: &DatabaseName) -> Option<Arc<Database>> {
        let slot = self.slots.read().await.get(name).cloned()?;
        // One that is being opened isn't open.
        match slot.0.try_lock().ok().as_deref() {
            Some(State::Open(database)) => Some(database.clone()),
            _ => None,
        }
    }

    /// Every database that was used, by name. Waits for none.
    pub async fn all(&self) -> Vec<(DatabaseName, Condition)> {
        let slots: Vec<_> = self.slots.read().await.iter().map(|(name, slot)| (name.clone(), slot.clone())).collect();
        let mut all = Vec::with_capacity(slots.len());
        for (name, slot) in slots {
            match slot.0.try_lock().as_deref() {
                Ok(State::Open(database)) => all.push((name, Condition::Open(database.clone()))),
                Ok(State::Failed(why, _)) => all.push((name, Condition::Failed(why.clone()))),
                Ok(State::Closed) => {}
                Err(_) => all.push((name, Condition::Opening)),
            }
        }
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    /// Closes all, each with what waits for its writer done.
    pub async fn close(&self, within: Duration) {
        for (_, condition) in self.all().await {
            if let Condition::Open(database) = condition {
                database.close(within).await;
            }
        }
    }

    fn choice(&self, name: &DatabaseName) -> Option<SchemaChoice> {
        let names: Vec<&str> = self.schemas.keys().map(String::as_str).collect();
        SchemaChoice::of(name, &self.settings.databases, self.settings.dev, &names)
    }

    async fn slot(&self, name: &DatabaseName, there: bool) -> Result<Arc<Slot>, ApiError> {
        let mut slots = self.slots.write().await;
        let most = if there { MAX_DATABASES } else { MAX_DATABASES_MADE };
        if slots.len() >= most && !slots.contains_key(name) {
            return Err(ApiError::Overloaded);
        }
        Ok(slots.entry(name.clone()).or_default().clone())
    }
}

fn read_schemas(folder: &Path) -> Result<BTreeMap<String, Arc<Schema>>, FolderError> {
    let mut schemas = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(FolderError::Schemas)? {
        let path = entry.map_err(FolderError::Schemas)?.path();
        if path.extension().is_none_or(|extension| extension != "sql") || !path.is_file() {
            continue;
        }
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let schema = read_schema(&path).map_err(|why| FolderError::Schema { file, why })?;
        schemas.insert(stem, Arc::new(schema));
    }
    Ok(schemas)
}

fn read_schema(path: &Path) -> Result<Schema, String> {
    let length = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if length > SCHEMA_FILE_BYTES {
        return Err(format!("it is larger than {SCHEMA_FILE_BYTES} bytes"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    Schema::parse(&text).map_err(|error| error.to_string())
}
