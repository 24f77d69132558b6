//! Drawing a schedule from a seed.
//!
//! Where in the flow: before a run. Each schedule has only some kinds of faults, so that combinations of few come up
//! as often as all at once.

use fastrand::Rng;

use super::{Schedule, Step, Timed};
use crate::workload::{SHARED_KEYS, TABLES, Write};

/// Steps of one schedule.
const STEPS: usize = 200;
/// Fewest and most clients at the start.
const CLIENTS: std::ops::RangeInclusive<usize> = 3..=4;
/// In which schedules a kind of fault occurs.
#[derive(Clone, Copy)]
enum Share {
    /// In so many of a hundred.
    Percent(u8),
    /// In those with backups: a restore needs one to come back to.
    WithBackups,
}

const COMMON: Share = Share::Percent(50);
const RARE: Share = Share::Percent(15);
/// Out of a hundred schedules, how many have backups.
const BACKUPS: u8 = 20;
/// Out of a hundred schedules, how many have no faults at all.
const CALM: u8 = 5;

type Draw = fn(&mut Rng) -> Step;

/// Kinds of faults: weight against the weight of all writes, share of schedules, how to draw one.
const FAULTS: [(u32, Share, Draw); 27] = [
    (4, COMMON, |rng| Step::Pause { client: any(rng) }),
    (6, COMMON, |rng| Step::Resume { client: any(rng) }),
    (2, COMMON, |rng| Step::Retry { client: any(rng) }),
    (4, COMMON, |rng| Step::Latency { client: any(rng), ms: skewed(rng, 4_000) }),
    (3, COMMON, |rng| Step::SlowLine { client: any(rng), bytes_per_second: rng.u64(1_000..20_000) }),
    (5, COMMON, |rng| Step::Cut {
        client: any(rng),
        client_learns_ms: maybe(rng, 3_000),
        server_learns_ms: maybe(rng, 3_000),
    }),
    (8, COMMON, |rng| Step::CutAfter { client: any(rng), down: rng.bool(), messages: rng.u32(0..6) }),
    (3, COMMON, |rng| Step::HalfOpen { client: any(rng), down: rng.bool() }),
    (4, COMMON, |rng| Step::Offline { client: any(rng), ms: skewed(rng, 20_000), black_hole: rng.bool() }),
    (4, COMMON, |rng| Step::Stale { client: any(rng), down: rng.bool(), count: rng.usize(1..5) }),
    (4, COMMON, |rng| Step::CrashClient { client: any(rng), off_ms: skewed(rng, 5_000) }),
    (4, COMMON, |rng| Step::CrashClientAtApply { client: any(rng), off_ms: skewed(rng, 5_000) }),
    (3, COMMON, |rng| Step::CrashServer { off_ms: skewed(rng, 8_000), silent: rng.bool() }),
    (4, COMMON, |rng| Step::CrashServerAtCommit { off_ms: skewed(rng, 8_000) }),
    (3, COMMON, |rng| Step::FreezeServer { ms: skewed(rng, 15_000) }),
    (3, COMMON, |rng| Step::SlowReads { ms: skewed(rng, 12_000) }),
    (3, COMMON, |rng| Step::SlowWriter { ms: skewed(rng, 3_000) }),
    (3, COMMON, |rng| Step::FullServer { ms: skewed(rng, 10_000) }),
    (3, RARE, |rng| Step::FullClient { client: any(rng), ms: skewed(rng, 10_000) }),
    (5, Share::WithBackups, |_| Step::Backup),
    (3, Share::WithBackups, |rng| Step::Restore { off_ms: skewed(rng, 5_000) }),
    (1, RARE, |_| Step::Reset),
    (2, RARE, |rng| Step::Twin { client: any(rng) }),
    (1, RARE, |rng| Step::Nuke { client: any(rng) }),
    (4, COMMON, |rng| Step::Jump { client: any(rng), ms: jump(rng) }),
    (1, COMMON, |rng| Step::JumpServer { ms: jump(rng) }),
    (3, COMMON, |rng| Step::Sleep { client: any(rng), ms: skewed(rng, 30_000) }),
];
/// The weights of a client's writes, the server's, foreign ones and of waiting.
const WRITES: [(u32, Draw); 5] = [
    (50, |rng| Step::Write { client: any(rng), writes: writes(rng) }),
    (5, |rng| Step::Write { client: any(rng), writes: vec![bulk(rng)] }),
    (8, |rng| Step::Exec { writes: writes(rng) }),
    (5, |rng| Step::External { writes: writes(rng), noticed_ms: maybe(rng, 800) }),
    (12, |_| Step::Wait),
];

/// The schedule of a seed: always the same in one version of this file.
pub fn generate(seed: u64) -> Schedule {
    let mut rng = Rng::with_seed(seed);
    let mut draws: Vec<(u32, Draw)> = WRITES.to_vec();
    let calm = rng.u8(..100) < CALM;
    let backups = rng.u8(..100) < BACKUPS;
    for (weight, share, draw) in &FAULTS {
        let chosen = match share {
            Share::Percent(percent) => rng.u8(..100) < *percent,
            Share::WithBackups => backups,
        };
        if chosen && !calm {
            draws.push((*weight, *draw));
        }
    }
    let total: u32 = draws.iter().map(|(weight, _)| weight).sum();
    let steps = (0..STEPS)
        .map(|_| {
            let mut left = rng.u32(..total);
            let draw = draws.iter().find(|(weight, _)| {
                let found = left < *weight;
                left = left.saturating_sub(*weight);
                found
            });
            let step = draw.map_or(Step::Wait, |(_, draw)| draw(&mut rng));
            Timed { after_ms: skewed(&mut rng, 3_000), step }
        })
        .collect();
    Schedule {
        seed,
        clients: rng.usize(CLIENTS),
        part_bytes: *rng.choice(&[60, 200, 1_000, 10_000]).unwrap_or(&200),
        shared_pages: rng.bool(),
        heals_loudly: rng.bool(),
        steps,
    }
}

/// Mostly small, seldom near the limit.
fn skewed(rng: &mut Rng, limit: u64) -> u64 {
    let scale = rng.f64();
    (scale * scale * scale * limit as f64) as u64
}

fn maybe(rng: &mut Rng, limit: u64) -> Option<u64> {
    rng.bool().then(|| skewed(rng, limit))
}

fn jump(rng: &mut Rng) -> i64 {
    let size = *rng.choice(&[1_000, 4_000, 20_000, 3_600_000, 86_400_000]).unwrap_or(&1_000);
    rng.i64(-size..=size)
}

fn any(rng: &mut Rng) -> usize {
    rng.usize(..12)
}

fn writes(rng: &mut Rng) -> Vec<Write> {
    let count = if rng.u8(..4) == 0 { rng.usize(2..6) } else { 1 };
    (0..count).map(|_| write(rng)).collect()
}

fn write(rng: &mut Rng) -> Write {
    let (table, key, to, salt) =
        (rng.usize(..TABLES.len()), rng.u32(..SHARED_KEYS), rng.u32(..SHARED_KEYS), rng.u32(..));
    match rng.u8(..16) {
        0..=2 => Write::Insert { table, key, salt },
        3..=6 => Write::Update { table, key, salt },
        7..=9 => Write::Upsert { table, key, salt },
        10..=11 => Write::Delete { table, key },
        12 => Write::DeleteInsert { table, key, salt },
        13 => Write::Replace { table, key, salt },
        14 => Write::Rekey { table, key, to },
        _ => Write::RekeyReplace { table, key, to },
    }
}

/// Large enough to need several parts, and now and then more than a window of them.
fn bulk(rng: &mut Rng) -> Write {
    let table = rng.usize(..TABLES.len());
    let (rows, bytes) = if rng.u8(..4) == 0 { (rng.u32(20..60), rng.u32(..200)) } else { (rng.u32(3..15), 0) };
    Write::Bulk { table, key: rng.u32(..100), rows, bytes, salt: rng.u32(..) }
}
