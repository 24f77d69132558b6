//! The server dies at every named point and at any other moment, and loses nothing that it acknowledged.
//!
//! Where in the flow: outside, with the binary as a child that is killed by SIGKILL, by itself or from here. Each kill is
//! judged from the folder that is left. `GREENLIGHT_KILLS` sets how many there are, `GREENLIGHT_SEED` repeats a run.
//! A kill leaves the system's page cache: what was not synced is the business of the store's power cuts.

pub(crate) mod child;
mod load;
mod stories;

use std::collections::BTreeMap;

use greenlight_store::crash::Point;

use crate::fixture::extension;
use load::{Random, World};

/// Kills in an ordinary run; a few more, since every point has its turn.
const KILLS: u64 = 60;
/// Kills of one folder, after which another begins: its databases grow.
const KILLS_OF_A_WORLD: u64 = 60;

/// What a point is a part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Story {
    Load,
    Making,
    Migrating,
    Noting,
    Resetting,
    Cleaning,
    Restoring,
    Damaged,
}

/// The stories that come by a point. Exhaustive: a point without one is not to be had.
fn stories_of(point: Point) -> &'static [Story] {
    match point {
        Point::UploadBeforeCommit
        | Point::UploadCommitted
        | Point::UploadPublished
        | Point::UploadAnswered
        | Point::ExecBeforeCommit
        | Point::ExecCommitted
        | Point::ExecPublished
        | Point::ExecAnswered
        | Point::SnapshotBegun
        | Point::SnapshotCopied => &[Story::Load],
        Point::NoteBeforeCommit | Point::NoteCommitted => &[Story::Noting],
        Point::ResetBeforeCommit | Point::ResetCommitted | Point::ResetPublished => &[Story::Resetting],
        Point::RetryBeforeCommit | Point::RetryCommitted | Point::DropBeforeCommit | Point::DropCommitted => {
            &[Story::Cleaning]
        }
        Point::FoundBegun
        | Point::FoundBeforeCommit
        | Point::FoundCommitted
        | Point::EpochCommitted
        | Point::MakingReady
        | Point::MakingPlaced => &[Story::Making],
        Point::DamageMoved => &[Story::Damaged],
        Point::BackupWritten | Point::BackupNamed => &[Story::Migrating],
        Point::SchemaBeforeCommit | Point::SchemaCommitted => &[Story::Making, Story::Migrating],
        Point::RestoreCopied
        | Point::RestoreReady
        | Point::RestoreFolded
        | Point::RestoreKept
        | Point::RestoreCleared
        | Point::RestorePlaced => &[Story::Restoring],
    }
}

fn points_of(story: Story) -> Vec<Point> {
    Point::ALL.iter().copied().filter(|point| stories_of(*point).contains(&story)).collect()
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// How many kills there are to be. With another build of cr-sqlite only as many as there are points.
fn kills() -> u64 {
    variable("GREENLIGHT_KILLS").unwrap_or(if extension().is_some() { 1 } else { KILLS })
}

/// Kills by what they were, for people to read.
fn report(kills: &BTreeMap<&'static str, u64>) {
    let total: u64 = kills.values().sum();
    println!("kills: {total}");
    for (name, count) in kills {
        println!("  {name}: {count}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_nothing_acknowledged_is_lost_and_nothing_is_half_there() {
    let points = points_of(Story::Load);
    let seed = variable("GREENLIGHT_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("GREENLIGHT_SEED={seed}");
    let mut random = Random(seed);
    let (mut count, mut acknowledged) = (BTreeMap::new(), 0);
    let (mut done, end) = (0, (kills() * 2).div_ceil(3).max(2 * points.len() as u64));
    while done < end {
        let mut world = World::new(random.below(u64::MAX));
        for _ in 0..KILLS_OF_A_WORLD.min(end - done).div_ceil(2) {
            let point = points[usize::try_from(done / 2).unwrap() % points.len()];
            world.die_at(point).await;
            *count.entry(point.name()).or_default() += 1;
            world.come_up_and_be_killed().await;
            *count.entry("from outside").or_default() += 1;
            done += 2;
        }
        world.come_up().await;
        acknowledged += world.acknowledged;
    }
    report(&count);
    println!("acknowledged writes checked: {acknowledged}");
    assert!(acknowledged > i64::try_from(done).unwrap(), "a load that writes nothing proves nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_seldom_is_done_or_not_done() {
    let seldom = [
        Story::Making,
        Story::Migrating,
        Story::Noting,
        Story::Resetting,
        Story::Cleaning,
        Story::Restoring,
        Story::Damaged,
    ];
    let stories = || seldom.into_iter().flat_map(|story| points_of(story).into_iter().map(move |point| (story, point)));
    let mut count = BTreeMap::new();
    for (story, point) in stories().cycle().take(usize::try_from(kills() / 3).unwrap().max(stories().count())) {
        match story {
            Story::Making => stories::making(point).await,
            Story::Migrating => stories::migrating(point).await,
            Story::Noting => stories::noting(point).await,
            Story::Resetting => stories::resetting(point).await,
            Story::Cleaning => stories::cleaning(point).await,
            Story::Restoring => stories::restoring(point).await,
            Story::Damaged => stories::damaged(point).await,
            Story::Load => unreachable!("not seldom"),
        }
        *count.entry(point.name()).or_default() += 1;
    }
    report(&count);
    let missing: Vec<_> = Point::ALL.iter().filter(|point| stories_of(**point) != [Story::Load]).collect();
    assert!(missing.iter().all(|point| count.contains_key(point.name())), "{count:?}");
}
