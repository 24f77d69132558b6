//! What people do with a quarantine: look, try again; drop on a server, leave out on a client.
//!
//! Where in the flow: on a server's writer thread, or a client's own, as one transaction each; on a server looking is a
//! reader's. What is applied is a version like any other and served as one. Never drops what was not named.

use std::collections::HashSet;

use greenlight_core::replica::{ClientStore, Fault, Outbox};

use crate::apply::{Again, Culprits};
use crate::aside::{self, Shelf, Shelved, ShelvedId};
use crate::client::ClientDatabase;
use crate::crash::Point;
use crate::fault::internal;
use crate::limits::RETRY_LIMIT;
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
            let tried = self.framed([Point::RetryBeforeCommit, Point::RetryCommitted], |database, _| {
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
        let dropped = self.framed([Point::DropBeforeCommit, Point::DropCommitted], |database, _| {
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

impl ClientDatabase {
    /// What is kept aside, at most `limit`.
    ///
    /// # Errors
    /// Any [`Fault`].
    pub fn shelved(&self, shelf: Shelf, limit: usize) -> Result<Vec<Shelved>, Fault> {
        aside::list(&self.database.conn, shelf, 0, limit)
    }

    /// Tries again what could not be applied: after somebody has put right what it failed at. How many changes could
    /// be applied now, and what waits.
    ///
    /// # Errors
    /// Any [`Fault`]; what could not be tried is still kept.
    pub fn retry_quarantined(&mut self) -> Result<(u64, Outbox), Fault> {
        self.idle()?;
        let above = self.settled.max(self.acknowledged()?.version);
        let mut culprits = Culprits::default();
        // Ends: each round leaves out one more change.
        loop {
            let tried = self.database.transaction_or(|database| {
                database.pin_version(database.largest_version()?.max(above))?;
                let found = aside::list(&database.conn, Shelf::Quarantine, 0, RETRY_LIMIT)?;
                let (applied, _) = database.retry_quarantined(found, &culprits)?;
                Ok(applied.len() as u64)
            });
            match tried {
                Ok(applied) => return Ok((applied, self.outbox()?)),
                Err(Again::Fault(fault)) => return Err(fault),
                Err(Again::RolledBack(change)) => culprits.add(*change),
            }
        }
    }

    /// Leaves changes out that are in quarantine, in one durable transaction: they are neither shown nor tried again
    /// before the schema changes. Others keep them. How many there were, and what waits.
    ///
    /// # Errors
    /// Any [`Fault`]; nothing was changed.
    pub fn leave_out(&mut self, ids: &[ShelvedId]) -> Result<(u64, Outbox), Fault> {
        self.idle()?;
        let count = self.database.transaction(|database| {
            let found = aside::find(&database.conn, &ids.iter().copied().collect())?;
            for shelved in &found {
                aside::move_to(&database.conn, shelved, Shelf::Quarantine, Shelf::LeftOut)?;
            }
            Ok(found.len() as u64)
        })?;
        Ok((count, self.outbox()?))
    }
}

fn unknown(ids: &[ShelvedId], found: &[Shelved]) -> Vec<ShelvedId> {
    let found: HashSet<ShelvedId> = found.iter().map(Shelved::id).collect();
    ids.iter().filter(|id| !found.contains(*id)).copied().collect()
}
