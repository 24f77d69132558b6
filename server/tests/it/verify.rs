//! Comparing while idle: what was damaged in a file, on either side, is found, named, and mended over a real socket.

use greenlight_core::StatusState;
use greenlight_core::status::Diverged;
use serde_json::json;

use crate::fixture::Server;
use crate::peer::Peer;

/// Row 2, with all that is known of it, is gone as if it had never been; nothing tells the session.
const DAMAGE: &str = "SELECT crsql_internal_sync_bit(1);
    DELETE FROM note WHERE id = 2;
    DELETE FROM note__crsql_clock WHERE key = (SELECT __crsql_key FROM note__crsql_pks WHERE id = 2);
    DELETE FROM note__crsql_pks WHERE id = 2;
    SELECT crsql_internal_sync_bit(0);";

async fn with_rows() -> (Server, Peer) {
    let server = Server::start().await;
    server.exec("notes", "INSERT INTO note (id, title) VALUES (1, 'a'), (2, 'b'), (3, 'c')", json!([])).await;
    let alice = Peer::start(server.address, "notes");
    alice.wait_value("SELECT count(*) FROM note", 3).await;
    alice.wait_synced().await;
    (server, alice)
}

#[tokio::test]
async fn equal_databases_are_verified() {
    let (_server, alice) = with_rows().await;
    let status = alice.wait("verified", |status| status.verified_at.is_some()).await;
    assert_eq!(status.diverged, []);
    assert_eq!(status.state, StatusState::Synced);
}

#[tokio::test]
async fn a_row_that_a_client_lost_comes_back() {
    let (_server, alice) = with_rows().await;
    alice.with(|store, _| store.connection().execute_batch(DAMAGE).unwrap()).await;
    let found = alice.wait("diverged", |status| !status.diverged.is_empty()).await;
    assert_eq!(found.diverged, [Diverged { table: "note".to_owned(), rows: 1 }]);
    assert!(!found.state.is_green(), "{found:?}");
    alice.wait_value("SELECT count(*) FROM note WHERE id = 2 AND title = 'b'", 1).await;
    let status = alice.wait("verified", |status| status.verified_at.is_some() && status.diverged.is_empty()).await;
    assert_eq!(status.state, StatusState::Synced);
}

#[tokio::test]
async fn values_that_the_merge_takes_for_equal_become_one() {
    let (server, alice) = with_rows().await;
    server.exec("notes", "UPDATE note SET body = 5.0 WHERE id = 2", json!([])).await;
    alice.wait_value("SELECT typeof(body) FROM note WHERE id = 2", "real").await;
    // As it may come to be by writes on two sites: the same clocks, 5 here and 5.0 there.
    let other = "SELECT crsql_internal_sync_bit(1); UPDATE note SET body = 5 WHERE id = 2;
                 SELECT crsql_internal_sync_bit(0);";
    alice.with(move |store, _| store.connection().execute_batch(other).unwrap()).await;
    alice.wait("diverged", |status| !status.diverged.is_empty()).await;
    let status = alice.wait("verified", |status| status.verified_at.is_some() && status.diverged.is_empty()).await;
    assert_eq!((status.state, status.pending.changes), (StatusState::Synced, 0));
    alice.wait_value("SELECT typeof(body) FROM note WHERE id = 2", "integer").await;
    let there = server.exec("notes", "SELECT typeof(body) FROM note WHERE id = 2", json!([])).await;
    assert_eq!(there["rows"], json!([["integer"]]), "what was written again wins");
}
