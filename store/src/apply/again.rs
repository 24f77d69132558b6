//! Trying again what was put aside: after a migration that may have made room for it, or because a person asked.
//!
//! Where in the flow: within the migration's transaction, or the writer's. What fails again stays aside, with the new
//! reason. Never lets one change keep a database from being opened.

use std::collections::HashSet;
use std::sync::Arc;

use greenlight_core::Change;
use greenlight_core::replica::Fault;

use super::{Failure, Fate};
use crate::aside::{self, Shelf, Shelved};
use crate::database::Database;
use crate::limits::{ASIDE_LIMIT, ROLLBACK_RETRIES};

/// Changes that rolled the whole transaction back, and are not tried again in the next attempt.
#[derive(Debug, Default)]
pub(crate) struct Culprits {
    changes: Vec<Change>,
    tables: HashSet<Arc<str>>,
}

impl Culprits {
    /// Takes note of one. Each further call makes the next attempt reach further, so attempts are bounded by
    /// [`ROLLBACK_RETRIES`] and the number of tables.
    pub(crate) fn add(&mut self, change: Change) {
        if self.changes.len() >= ROLLBACK_RETRIES {
            self.tables.insert(change.table.clone());
        }
        self.changes.push(change);
    }

    fn hold(&self, change: &Change) -> bool {
        self.tables.contains(&change.table) || self.changes.contains(change)
    }
}

/// Why trying again ended.
#[derive(Debug)]
pub(crate) enum Again {
    /// The database failed.
    Fault(Fault),
    /// This change rolled the whole transaction back, which has to be done again without it.
    RolledBack(Box<Change>),
}

impl From<Fault> for Again {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Database {
    /// Applies what was held aside and is known now, in the transaction that made it known.
    pub(crate) fn apply_held(&mut self, culprits: &Culprits) -> Result<(), Again> {
        for (table, column) in aside::held_columns(&self.conn)? {
            for shelved in aside::of_column(&self.conn, &table, &column)? {
                let change = &shelved.change;
                match self.fate(change, culprits.hold(change)) {
                    Fate::Aside(Shelf::Held, _) => break,
                    Fate::Aside(Shelf::Quarantine | Shelf::LeftOut, reason) => {
                        self.move_to_quarantine(&shelved, reason)?
                    }
                    Fate::Apply => match self.try_again(change)? {
                        Ok(()) => drop(aside::take(&self.conn, Shelf::Held, change)?),
                        Err(reason) => self.move_to_quarantine(&shelved, &reason)?,
                    },
                }
            }
        }
        Ok(())
    }

    fn move_to_quarantine(&self, shelved: &Shelved, reason: &str) -> Result<(), Fault> {
        aside::move_to(&self.conn, shelved, Shelf::Held, Shelf::Quarantine)?;
        aside::set_reason(&self.conn, &shelved.change, reason)
    }

    /// Tries all of the quarantine again, and what was left out of it: another schema, or another trigger, may have
    /// made room. What still fails is for a person to look at anew.
    pub(crate) fn retry_all(&mut self, culprits: &Culprits) -> Result<(), Again> {
        for shelved in aside::list(&self.conn, Shelf::LeftOut, 0, ASIDE_LIMIT as usize)? {
            aside::move_to(&self.conn, &shelved, Shelf::LeftOut, Shelf::Quarantine)?;
        }
        let all = aside::list(&self.conn, Shelf::Quarantine, 0, ASIDE_LIMIT as usize)?;
        self.retry_quarantined(all, culprits).map(drop)
    }

    /// Tries changes in quarantine again: those that were applied, and those that stay, with their new reasons.
    pub(crate) fn retry_quarantined(
        &mut self,
        shelved: Vec<Shelved>,
        culprits: &Culprits,
    ) -> Result<(Vec<Shelved>, Vec<Shelved>), Again> {
        let (mut applied, mut kept) = (Vec::new(), Vec::new());
        for mut one in shelved {
            let tried = match self.fate(&one.change, culprits.hold(&one.change)) {
                Fate::Aside(_, reason) => Err(reason.to_owned()),
                Fate::Apply => self.try_again(&one.change)?,
            };
            match tried {
                Ok(()) => {
                    aside::take(&self.conn, Shelf::Quarantine, &one.change)?;
                    applied.push(one);
                }
                Err(reason) => {
                    aside::set_reason(&self.conn, &one.change, &reason)?;
                    one.reason = reason;
                    kept.push(one);
                }
            }
        }
        Ok((applied, kept))
    }

    /// The inner error is why it can't be applied.
    fn try_again(&self, change: &Change) -> Result<Result<(), String>, Again> {
        self.apply_one(0, change).map_err(|failure| match failure {
            Failure::Fault(fault) => Again::Fault(fault),
            Failure::RolledBack(_) => Again::RolledBack(Box::new(change.clone())),
        })
    }
}
