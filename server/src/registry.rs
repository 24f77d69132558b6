//! Which databases are open, and how one is opened on first use, and again after it was closed because nobody used it.
//!
//! Where in the flow: every route and socket gets its database here. One bad database never stops the others.
//! Never makes a file that the settings don't allow, and never closes a database under whoever has it, but for a
//! restore.

mod closing;
mod schemas;
mod slot;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use greenlight_store::names_set_aside;
use thiserror::Error;
use tokio::sync::{RwLock, Semaphore};

use crate::database::{Database, EngineSource, Hold, Schema, backups};
use crate::error::ApiError;
use crate::limits::{MAX_DATABASES, MAX_KNOWN_DATABASES};
use crate::lock::{DatabaseLock, LockError, Purpose};
use crate::metrics::Metrics;
use crate::name::DatabaseName;
use crate::settings::{SchemaChoice, Settings};
use slot::{Slot, State};

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

/// How a database is, for health and status.
#[derive(Debug)]
pub enum Condition {
    /// Open.
    Open(Arc<Database>),
    /// Could not be opened, in words.
    Failed(String),
    /// Being opened or closed at this moment; a large migration may make that long.
    Opening,
    /// Closed since nobody used it; it is opened again for whoever comes.
    Idle,
}

/// The databases of one server.
#[derive(Debug)]
pub struct Registry {
    settings: Arc<Settings>,
    schemas: BTreeMap<String, Arc<Schema>>,
    slots: RwLock<HashMap<DatabaseName, Arc<Slot>>>,
    /// One permit for each database that may be open.
    places: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

impl Registry {
    /// Reads and checks every schema file, and makes the data folder.
    ///
    /// # Errors
    /// The first thing that is wrong with a folder or a schema.
    pub fn new(settings: Arc<Settings>, metrics: Arc<Metrics>) -> Result<Self, FolderError> {
        std::fs::create_dir_all(&settings.data).map_err(FolderError::Data)?;
        let schemas = schemas::read(&settings.schemas)?;
        if let Some(rule) = settings.databases.iter().find(|rule| !schemas.contains_key(&rule.schema)) {
            return Err(FolderError::NoSuchSchema(rule.schema.clone()));
        }
        let places = Arc::new(Semaphore::new(MAX_DATABASES));
        Ok(Self { settings, schemas, slots: RwLock::default(), places, metrics })
    }

    /// Opens what is in the data folder already. What can't be opened is logged and stays closed.
    ///
    /// # Errors
    /// When the folder can't be read.
    pub async fn open_existing(&self) -> Result<(), FolderError> {
        for name in self.existing()?.iter().take(MAX_DATABASES) {
            if let Err(error) = self.get(name).await {
                tracing::error!(database = %name, "{error}");
            }
        }
        for name in self.set_aside() {
            if let Err(error) = self.get(&name).await {
                tracing::error!(database = %name, "{error}");
            }
        }
        Ok(())
    }

    /// The names of all files in the data folder that are this server's databases, open or not, in order.
    ///
    /// # Errors
    /// When the folder can't be read.
    pub fn existing(&self) -> Result<Vec<DatabaseName>, FolderError> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.settings.data).map_err(FolderError::Data)? {
            let entry = entry.map_err(FolderError::Data)?;
            let name = entry.file_name().to_str().and_then(|file| DatabaseName::parse(file).ok());
            // Of what is no file, or gone since, nothing is known.
            if entry.file_type().is_ok_and(|kind| kind.is_file()) {
                names.extend(name.filter(|name| self.choice(name).is_some()));
            }
        }
        names.sort();
        Ok(names)
    }

    /// The names of databases whose damaged files were set aside, and that have none since.
    pub fn set_aside(&self) -> Vec<DatabaseName> {
        let backups = backups(&self.settings.data.join("any"));
        let names = names_set_aside(&backups).into_iter().filter_map(|name| DatabaseName::parse(&name).ok());
        names.filter(|name| self.choice(name).is_some() && !self.settings.data.join(name.as_str()).exists()).collect()
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
                if !there && !choice.create && !self.set_aside().contains(name) {
                    return Err(unknown());
                }
                self.slot(name, there).await?
            }
        };
        let mut state = slot.lock().await;
        if let Some(database) = state.touch() {
            return Ok(database);
        }
        let hold = self.hold(name).await?;
        let schema = self.schemas.get(&choice.schema).ok_or_else(unknown)?.clone();
        let (extension, max_bytes) = (self.settings.extension.clone(), choice.max_bytes);
        let there = {
            let file = file.clone();
            move || file.exists()
        };
        let source = EngineSource { file, schema, extension, max_bytes };
        let before = state.before();
        let metrics = self.metrics.clone();
        let opened = match &before {
            Some(before) => before.open_again(source, hold.clone(), metrics).await,
            None => {
                let create = choice.create && state.may_be_made();
                Database::open(name.clone(), source, create, hold.clone(), metrics).await
            }
        };
        match opened {
            Ok(database) => {
                tracing::info!(database = %name, schema = choice.schema, "open");
                *state = State::open(database.clone(), hold);
                Ok(database)
            }
            Err(why) => {
                *state = match before {
                    None if state.may_be_made() && !there() => State::Unmade(why.clone()),
                    before => State::Failed(why.clone(), before),
                };
                Err(ApiError::Unavailable(why))
            }
        }
    }

    /// What has to be had before a file is opened.
    async fn hold(&self, name: &DatabaseName) -> Result<Arc<Hold>, ApiError> {
        let restoring = || ApiError::Unavailable("it is being put back from a copy".to_owned());
        if DatabaseLock::is_taken(&self.settings.data, name, Purpose::Wanted) {
            return Err(restoring());
        }
        let lock = DatabaseLock::shared(&self.settings.data, name, Purpose::Open).map_err(|error| match error {
            LockError::Held => restoring(),
            LockError::File(error) => ApiError::Unavailable(format!("it can't be locked: {}", error.kind())),
        })?;
        Ok(Arc::new(Hold { lock, place: self.place().await? }))
    }

    /// A database that is open; nothing is opened.
    pub async fn peek(&self, name: &DatabaseName) -> Option<Arc<Database>> {
        let slot = self.slots.read().await.get(name).cloned()?;
        // One that is being opened isn't open.
        slot.try_lock().ok().and_then(|state| state.database().cloned())
    }

    /// Every database that was used, by name. Waits for none.
    pub async fn all(&self) -> Vec<(DatabaseName, Condition)> {
        let slots: Vec<_> = self.slots.read().await.iter().map(|(name, slot)| (name.clone(), slot.clone())).collect();
        let mut all = Vec::with_capacity(slots.len());
        for (name, slot) in slots {
            match slot.try_lock().as_deref() {
                Ok(State::Open(open)) => all.push((name, Condition::Open(open.database.clone()))),
                Ok(State::Failed(why, _) | State::Unmade(why)) => all.push((name, Condition::Failed(why.clone()))),
                Ok(State::Idle) => all.push((name, Condition::Idle)),
                Ok(State::Unused) => {}
                Err(_) => all.push((name, Condition::Opening)),
            }
        }
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    fn choice(&self, name: &DatabaseName) -> Option<SchemaChoice> {
        let names: Vec<&str> = self.schemas.keys().map(String::as_str).collect();
        SchemaChoice::of(name, &self.settings.databases, self.settings.dev, &names)
    }

    async fn slot(&self, name: &DatabaseName, there: bool) -> Result<Arc<Slot>, ApiError> {
        let mut slots = self.slots.write().await;
        let most = if there { MAX_KNOWN_DATABASES } else { self.settings.max_databases };
        if slots.len() >= most && !slots.contains_key(name) {
            return Err(ApiError::Overloaded);
        }
        Ok(slots.entry(name.clone()).or_default().clone())
    }
}
