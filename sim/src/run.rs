//! One run: the schedule's steps, then quiet, then the last checks.
//!
//! Where in the flow: called for each seed, and again by the shrinker. Never prints.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use greenlight_core::StatusState;
use greenlight_core::limits::{BACKOFF_MAX, IDLE_LIMIT};

use crate::breakage::Breakage;
use crate::clock::Time;
use crate::oracle::{Check, Violation};
use crate::report::Counts;
use crate::schedule::Schedule;
use crate::stores::Stores;
use crate::world::World;

/// Once the network is sound and a client dials, whoever followed a database that was reset shows it by then.
const INCOMPATIBLE_LIMIT: Duration = Duration::from_secs(10);
/// The same for solid green, everything that waits sent and fetched.
const SYNCED_LIMIT: Duration = Duration::from_secs(40);
/// Quiet is looked at this often.
const GLANCE: Duration = Duration::from_millis(500);
/// How long everyone has to stay green: longer than a dead light can.
const STEADY: Duration = Duration::from_secs(9);

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    /// What happened in it.
    pub counts: Counts,
    /// The promise that was broken, if one was.
    pub violation: Option<Violation>,
    /// What happened, line by line, where it was asked for.
    pub trace: Vec<String>,
}

/// Runs a schedule.
pub fn run(schedule: &Schedule, stores: Stores, breakage: Option<Breakage>, traced: bool) -> Outcome {
    let mut world = match World::new(schedule, stores, breakage, traced) {
        Ok(world) => world,
        Err(violation) => {
            return Outcome { counts: Counts::default(), violation: Some(violation), trace: Vec::new() };
        }
    };
    let ended = catch_unwind(AssertUnwindSafe(|| world.play(schedule)));
    let violation = match ended {
        Ok(result) => result.err(),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message");
            Some(world.violation(Check::Panic, text.to_owned()))
        }
    };
    world.counts.schedules = 1;
    world.counts.virtual_ms = world.now.0;
    Outcome { counts: std::mem::take(&mut world.counts), violation, trace: world.take_trace() }
}

impl World {
    fn play(&mut self, schedule: &Schedule) -> Result<(), Violation> {
        for timed in &schedule.steps {
            self.run_until(self.now.after_ms(timed.after_ms))?;
            self.step(&timed.step)?;
        }
        self.heal(schedule.heals_loudly)?;
        // Without a word from the network, a dead socket is noticed by its silence and dialled again after a wait.
        let patience = if schedule.heals_loudly { Duration::ZERO } else { IDLE_LIMIT + BACKOFF_MAX };
        self.part_with_the_reset(self.now.after(patience + INCOMPATIBLE_LIMIT))?;
        self.wait_for_green(self.now.after(patience + SYNCED_LIMIT))?;
        self.compare()
    }

    /// Whoever followed a database that is gone says so, and begins anew.
    fn part_with_the_reset(&mut self, end: Time) -> Result<(), Violation> {
        let gone = |world: &Self| -> Result<Vec<usize>, Violation> {
            let site = world.server.lineage.map(|lineage| lineage.site_id.0.to_vec());
            let mut gone = Vec::new();
            for (index, client) in world.clients.iter().enumerate() {
                let followed = client.disk.followed()?.map(|(site, _)| site);
                if followed.is_some() && followed != site {
                    gone.push(index);
                }
            }
            Ok(gone)
        };
        let waiting = gone(self)?;
        while waiting.iter().any(|&index| self.clients[index].shown != StatusState::Incompatible) {
            if self.now >= end {
                let shown: Vec<_> = waiting.iter().map(|&index| (index, self.clients[index].shown.name())).collect();
                let detail = format!("the database was reset, and its followers show {shown:?}");
                return Err(self.violation(Check::NotIncompatible, detail));
            }
            self.run_until(self.now.after(GLANCE))?;
        }
        for index in waiting {
            self.counts.parted += 1;
            self.nuke(index)?;
        }
        Ok(())
    }

    fn is_all_green(&self) -> bool {
        self.clients.iter().all(|client| client.shown == StatusState::Synced)
    }

    /// All are green within the limit, and stay so when nothing happens any more: a light that is green only for as
    /// long as its deadline lets it goes out meanwhile, and has to come back.
    fn wait_for_green(&mut self, end: Time) -> Result<(), Violation> {
        let mut since = None;
        while since.is_none_or(|since: Time| since.after(STEADY) > self.now) {
            if since.is_none() && self.now >= end {
                return Err(self.not_green());
            }
            self.run_until(self.now.after(GLANCE))?;
            since = if self.is_all_green() { since.or(Some(self.now)) } else { None };
        }
        Ok(())
    }

    fn not_green(&self) -> Violation {
        let shown: Vec<String> = self
            .clients
            .iter()
            .map(|client| {
                let Some(process) = &client.process else { return "off".to_owned() };
                let status = process.session.status(client.clock.read(self.now));
                format!("{} ({:?}, {} pending)", status.state.name(), status.reason, status.pending.changes)
            })
            .collect();
        self.violation(Check::NeverSynced, format!("not all are synced within the limit: {}", shown.join(", ")))
    }

    /// All databases hold the same, by SQL and by the stores' digests.
    fn compare(&mut self) -> Result<(), Violation> {
        let server = self.server.disk.rows()?;
        let digests = match &mut self.server.database {
            Some(database) => database.digests().map_err(|fault| self.fault("digest", &fault))?,
            None => Vec::new(),
        };
        if self.server.disk.aside()? > 0 {
            return Err(self.violation(Check::PutAside, "the server has put changes aside".to_owned()));
        }
        for index in 0..self.clients.len() {
            let rows = self.clients[index].disk.rows()?;
            if rows != server {
                let differs = |one: &[String], other: &[String]| -> Vec<String> {
                    one.iter().filter(|row| other.binary_search(row).is_err()).take(3).cloned().collect()
                };
                let (here, there) = (differs(&rows, &server), differs(&server, &rows));
                let detail = format!("client {index} alone has {here:?}, the server alone {there:?}");
                return Err(self.violation(Check::RowsDiffer, detail));
            }
            self.compare_client(index, &digests)?;
        }
        self.counts.rows += server.len() as u64;
        Ok(())
    }

    fn compare_client(&mut self, index: usize, server: &[(String, [u8; 16])]) -> Result<(), Violation> {
        let Some(process) = &mut self.clients[index].process else { return Ok(()) };
        let digests = process.database.digests();
        let digests = digests.map_err(|fault| self.fault("digest", &fault))?;
        if digests != server {
            let differ: Vec<&str> = digests
                .iter()
                .zip(server)
                .filter(|(here, there)| here != there)
                .map(|(here, _)| here.0.as_str())
                .collect();
            let detail = format!("client {index} has equal rows and other digests of {differ:?}");
            return Err(self.violation(Check::DigestsDiffer, detail));
        }
        let disk = &self.clients[index].disk;
        let acknowledged = disk.acknowledged_version()?;
        let counted = disk.own_changes_above(acknowledged);
        match counted {
            Ok(0) => Ok(()),
            Ok(count) => {
                let detail = format!("client {index} is synced, and `crsql_changes` has {count} above v{acknowledged}");
                Err(self.violation(Check::Pending, detail))
            }
            Err(error) => Err(self.violation(Check::StoreFault, format!("`crsql_changes` can't be read: {error}"))),
        }
    }
}
