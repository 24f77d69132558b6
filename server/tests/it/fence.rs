//! A reset fences off what was begun before it, also what is on its way to the writer already.
//!
//! Where in the flow: below the sockets, at the writer's queue.

use std::sync::Arc;

use greenlight_core::replica::{FaultKind, UploadPart};
use greenlight_core::{Bound, SiteId, Tag, Version};
use greenlight_server::database::{Database, EngineSource, Hold, Schema};
use greenlight_server::lock::{DatabaseLock, Purpose};
use greenlight_server::metrics::Metrics;
use greenlight_server::name::DatabaseName;
use tokio::sync::Semaphore;

use crate::fixture::{NOTES, extension};

#[tokio::test]
async fn a_range_that_was_begun_before_a_reset_is_not_finished_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let source = EngineSource {
        file: folder.path().join("notes"),
        schema: Arc::new(Schema::parse(NOTES).unwrap()),
        extension: extension(),
        max_bytes: None,
    };
    let name = DatabaseName::parse("notes").unwrap();
    let lock = DatabaseLock::shared(folder.path(), &name, Purpose::Open).unwrap();
    let place = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
    let hold = Arc::new(Hold { lock, place });
    let database = Database::open(name, source, true, hold, Arc::new(Metrics::default())).await.unwrap();
    let site = SiteId([7; 16]);
    let bound = Bound { version: Version::new(9).unwrap(), tag: Tag(1) };
    let part = |last| UploadPart { site, since: Version::ZERO, until: bound, last, changes: Vec::new() };
    let held = || async { database.greet(site, Default::default()).await.unwrap().1.held };

    let before = database.published().borrow().generation;
    database.apply(part(false), before).await.unwrap();
    let facts = database.reset().await.unwrap();
    assert_eq!(facts.head.version, Version::ZERO);
    let fault = database.apply(part(true), before).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::OutOfOrder);
    assert_eq!(held().await, Bound::ZERO, "the first part of this range is gone, so the range is not held");

    let after = database.published().borrow().generation;
    database.apply(part(true), after).await.unwrap();
    assert_eq!(held().await, bound);
    database.close(crate::fixture::DEADLINE).await;
    assert!(database.apply(part(true), after).await.is_err(), "closed");
}
