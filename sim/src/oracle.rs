//! The checks: what must hold at every step, by the simulator's own knowledge of every database.
//!
//! Where in the flow: after every event and at the end. It believes no session: what a client says is compared with
//! what the server's file holds, read by SQL of its own.

use greenlight_core::StatusState;
use greenlight_core::limits::{FRESHNESS, HEARTBEAT};

use crate::clock::Time;
use crate::content::Cell;
use crate::disk::Disk;
use crate::world::World;

/// What was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// A client counts a write as acknowledged that the server does not hold.
    AcknowledgedLost,
    /// Green, while something that the server had for longer than the freshness deadline is not there.
    FalseGreen,
    /// Green, while the server has committed nothing, not even a heartbeat, for longer than that can take to be known.
    GreenWithoutWriter,
    /// Solid green, while an own write is not on the server.
    SyncedWithoutOwn,
    /// The pending count differs from what SQL counts above the acknowledgement.
    Pending,
    /// A window or a message is larger than its limit.
    Limits,
    /// The light changed by time alone, and no timer was set for it.
    LightWithoutTimer,
    /// Something that must be possible to apply was put aside.
    PutAside,
    /// After the faults: rows differ.
    RowsDiffer,
    /// After the faults: digests differ.
    DigestsDiffer,
    /// Two databases that were in step were found to differ by their own comparing.
    Diverged,
    /// After the faults: not synced within the limit, or not staying so.
    NeverSynced,
    /// After a reset: not incompatible within the limit.
    NotIncompatible,
    /// A database failed without a reason.
    StoreFault,
    /// A session asks to be woken again and again at one moment.
    Circles,
    /// The code panicked.
    Panic,
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub check: Check,
    /// When.
    pub time: Time,
    /// The particulars.
    pub detail: String,
}

impl Violation {
    pub(crate) fn at(time: Time, check: Check, detail: String) -> Self {
        Self { check, time, detail }
    }
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} at {} ms: {}", self.check, self.time.0, self.detail)
    }
}

impl From<rusqlite::Error> for Violation {
    fn from(error: rusqlite::Error) -> Self {
        Self::at(Time::default(), Check::StoreFault, format!("the simulator's own SQL: {error}"))
    }
}

/// What the server committed at once.
#[derive(Debug)]
struct Commit {
    /// From when on it can be known to the server's sessions.
    due: Time,
    cells: Vec<Cell>,
}

/// Everything that the server committed, in order.
#[derive(Debug, Default)]
pub(crate) struct Log {
    commits: Vec<Commit>,
    /// The version up to which all is noted.
    noted: i64,
}

impl Log {
    pub(crate) fn len(&self) -> usize {
        self.commits.len()
    }

    /// Notes what was committed since the last look.
    pub(crate) fn capture(&mut self, disk: &Disk, due: Time) -> rusqlite::Result<()> {
        let largest = disk.largest_version()?;
        if largest > self.noted {
            let cells = disk.cells_above(self.noted, false)?;
            self.commits.push(Commit { due, cells });
            self.noted = largest;
        }
        Ok(())
    }

    /// The server has gone back to an earlier state.
    pub(crate) fn truncate(&mut self, commits: usize, version: i64) {
        self.commits.truncate(commits);
        self.noted = version;
    }
}

impl World {
    /// All checks that hold at every moment.
    pub(crate) fn check(&mut self) -> Result<(), Violation> {
        for index in 0..self.clients.len() {
            if self.clients[index].process.is_none() || self.clients[index].has_not_woken() {
                continue;
            }
            self.check_timer(index)?;
            if std::mem::take(&mut self.clients[index].touched) {
                self.check_pending(index)?;
                self.check_acknowledged(index)?;
            }
            if self.clients[index].shown.is_green() {
                self.counts.green_checks += 1;
                self.check_writer(index)?;
                self.check_green(index)?;
            }
            if self.clients[index].shown == StatusState::Synced {
                self.check_synced(index)?;
            }
        }
        Ok(())
    }

    /// What is shown is what the facts say now.
    fn check_timer(&self, index: usize) -> Result<(), Violation> {
        let client = &self.clients[index];
        let Some(process) = &client.process else { return Ok(()) };
        let (state, reason) = greenlight_core::status::judge(&process.session.facts(), client.clock.read(self.now));
        if state != client.shown && !client.unaware {
            let detail =
                format!("client {index} shows {} and should show {} ({reason:?})", client.shown.name(), state.name());
            return Err(self.violation(Check::LightWithoutTimer, detail));
        }
        Ok(())
    }

    fn check_pending(&self, index: usize) -> Result<(), Violation> {
        let client = &self.clients[index];
        let Some(process) = &client.process else { return Ok(()) };
        let acknowledged = client.disk.acknowledged_version()?;
        let counted = client.disk.own_above(acknowledged)?;
        let shown = process.session.facts().pending;
        if shown != counted {
            let detail = format!("client {index} shows {shown} pending, SQL counts {counted} above v{acknowledged}");
            return Err(self.violation(Check::Pending, detail));
        }
        if client.disk.aside()? > 0 {
            return Err(self.violation(Check::PutAside, format!("client {index} has put changes aside")));
        }
        Ok(())
    }

    /// Every own write at or below the acknowledgement is on the server, committed, or was written again and waits
    /// above the acknowledgement. While a client has not learnt yet that the server went back to a backup, it can't
    /// know better.
    fn check_acknowledged(&mut self, index: usize) -> Result<(), Violation> {
        let disk = &self.clients[index].disk;
        let Some(lineage) = self.server.lineage else { return Ok(()) };
        if disk.followed()? != Some((lineage.site_id.0.to_vec(), lineage.epoch.0 as i64)) {
            return Ok(());
        }
        let acknowledged = disk.acknowledged_version()?;
        self.prove_own(index, acknowledged, Check::AcknowledgedLost)
    }

    /// The server's writer committed lately: a heartbeat may have passed until it was asked again, and its last answer
    /// counts for as long as a light may be old.
    fn check_writer(&self, index: usize) -> Result<(), Violation> {
        let last = self.server.last_commit;
        if last.after(HEARTBEAT + FRESHNESS) < self.now {
            let detail = format!("client {index} is green, and the server has committed nothing since {}", last.0);
            return Err(self.violation(Check::GreenWithoutWriter, detail));
        }
        Ok(())
    }

    /// Everything that the server had for longer than the deadline is in the client's database, or superseded. What
    /// another process wrote counts from when it can be noticed.
    fn check_green(&mut self, index: usize) -> Result<(), Violation> {
        let client = &self.clients[index];
        let log = &self.server.log;
        let mut followed = client.followed;
        let commits = log.commits.get(followed..).unwrap_or_default();
        for commit in commits.iter().take_while(|commit| commit.due.after(FRESHNESS) <= self.now) {
            for cell in &commit.cells {
                if !client.disk.holds(cell)? {
                    let since = commit.due.0;
                    let detail =
                        format!("client {index} is green without {cell}, which the server has had since {since}");
                    return Err(self.violation(Check::FalseGreen, detail));
                }
            }
            followed += 1;
        }
        self.clients[index].followed = followed;
        Ok(())
    }

    /// Every own write is on the server; for as long as a light may be old after the server became another.
    fn check_synced(&mut self, index: usize) -> Result<(), Violation> {
        if self.server.replaced.is_some_and(|replaced| replaced.after(FRESHNESS) > self.now) {
            return Ok(());
        }
        self.prove_own(index, i64::MAX, Check::SyncedWithoutOwn)
    }

    fn prove_own(&mut self, index: usize, until: i64, check: Check) -> Result<(), Violation> {
        let server = &self.server.disk;
        let client = &mut self.clients[index];
        for own in client.own.iter_mut().filter(|own| !own.proven && own.cell.version <= until) {
            if !server.holds(&own.cell)? {
                if client.disk.present_version(&own.cell)? > until {
                    continue;
                }
                let detail = format!("client {index} wrote {}, which the server does not hold", own.cell);
                return Err(Violation::at(self.now, check, detail));
            }
            own.proven = true;
        }
        Ok(())
    }
}
