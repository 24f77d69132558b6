//! What was run: counts of steps and of what came of them.
//!
//! Where in the flow: kept by the world, added up over schedules, printed by the tests.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Counts of one run or of many.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Schedules.
    pub schedules: u64,
    /// Virtual time, in milliseconds.
    pub virtual_ms: u64,
    /// Steps that had something to act on, by name.
    pub steps: BTreeMap<&'static str, u64>,
    /// Faults of databases that a full disk or a stale message explains, by kind.
    pub faults: BTreeMap<String, u64>,
    /// Commits of the server's writer.
    pub commits: u64,
    /// Looks at a green light.
    pub green_checks: u64,
    /// Clients that were told of a reset and began anew.
    pub parted: u64,
    /// Rows on the servers at the end.
    pub rows: u64,
}

impl Counts {
    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        self.schedules += other.schedules;
        self.virtual_ms += other.virtual_ms;
        self.commits += other.commits;
        self.green_checks += other.green_checks;
        self.parted += other.parted;
        self.rows += other.rows;
        for (name, count) in &other.steps {
            *self.steps.entry(name).or_default() += count;
        }
        for (kind, count) in &other.faults {
            *self.faults.entry(kind.clone()).or_default() += count;
        }
    }

    /// The counts and the speed, for a person.
    pub fn summary(&self, took: Duration) -> String {
        let seconds = took.as_secs_f64().max(0.001);
        format!(
            "{} schedules in {seconds:.1} s: {:.1} schedules/s, {:.1} virtual hours\n{self}",
            self.schedules,
            self.schedules as f64 / seconds,
            self.virtual_ms as f64 / 3_600_000.0
        )
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, count) in &self.steps {
            writeln!(f, "  {name:<24}{count:>9}")?;
        }
        for (kind, count) in &self.faults {
            writeln!(f, "  store says {kind:<13}{count:>9}")?;
        }
        writeln!(f, "  {:<24}{:>9}", "commits of the server", self.commits)?;
        writeln!(f, "  {:<24}{:>9}", "looks at a green light", self.green_checks)?;
        writeln!(f, "  {:<24}{:>9}", "parted by a reset", self.parted)?;
        write!(f, "  {:<24}{:>9}", "rows compared at the end", self.rows)
    }
}
