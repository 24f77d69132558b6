//! What an operator does with a server's quarantine: look, try again, drop.
//!
//! Where in the flow: on the writer's thread, as one transaction each; looking is a reader's. What is applied is a
//! version like any other and served as one. Never drops what was not named.

use std::collections::HashSet;

use greenlight_core::replica::Fault;

use crate::apply::{Again, Culprits};
use crate::aside::{self, Shelf, Shelved, ShelvedId};
use crate::fault::internal;
use crate::rewrite;
use crate::server::ServerDatabase;

/// What became of changes that were tried again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Retried {
    /// Applied, and no longer in quarantine.
    pub applied: Vec<Shelved>,
    /// Still in quarantine, with the new reason.
    pub kept: Vec<Shelved>,
    /// Not in quarantine, or not any more.
    pub unknown: Vec<ShelvedId>,
}

impl ServerDatabase {
    /// Tries changes in quarantine again, in one durable transaction.
    ///
    /// # Errors
    /// Any [`Fault`]; nothing was changed.
    pub fn retry(&mut self, ids: &[ShelvedId]) -> Result<Retried, Fault> {
        let mut culprits = Culprits::default();
        // Ends: each round leaves out one more change.
        loop {
            let tried = self.framed(|database, _| {
                let found = aside::find(&database.conn, &ids.iter().copied().collect())?;
                let unknown = unknown(ids, &found);
                let (applied, kept) = database.retry_quarantined(found, &culprits)?;
                Ok::<_, Again>(Retried { applied, kept, unknown })
            });
            match tried {
                Ok((retried, _)) => return Ok(retried),
                Err(Again::Fault(fault)) => return Err(fault),
                Err(Again::RolledBack(change)) => culprits.add(*change),
            }
        }
    }

    /// Drops changes from quarantine for ever, in one durable transaction; tells what they were, and which are unknown.
    /// What is here wins over them: whoever has such a change, its author above all, gets the cell or the row as it is
    /// here, so that all are in step again and nobody offers it once more.
    ///
    /// # Errors
    /// Any [`Fault`]; nothing was changed.
    pub fn drop_quarantined(&mut self, ids: &[ShelvedId]) -> Result<(Vec<Shelved>, Vec<ShelvedId>), Fault> {
        let dropped = self.framed(|database, _| {
            let found = aside::find(&database.conn, &ids.iter().copied().collect())?;
            for shelved in &found {
                if !aside::take(&database.conn, Shelf::Quarantine, &shelved.change)? {
                    return Err(internal("a change in quarantine could not be dropped"));
                }
                rewrite::outrank(database, &shelved.change)?;
            }
            Ok(found)
        });
        let (found, _) = dropped?;
        let unknown = unknown(ids, &found);
        Ok((found, unknown))
    }
}

fn unknown(ids: &[ShelvedId], found: &[Shelved]) -> Vec<ShelvedId> {
    let found: HashSet<ShelvedId> = found.iter().map(Shelved::id).collect();
    ids.iter().filter(|id| !found.contains(*id)).copied().collect()
}
