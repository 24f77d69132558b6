//! Putting a backup back: what clients lost of a server comes back, what was to be undone stays away, and nothing is
//! ever half one and half the other.

use std::path::{Path, PathBuf};

use greenlight_core::replica::{ClientStore, ServerStore};
use greenlight_store::{Location, RestoreError, Restored, ServerDatabase, back_up, restore};

use crate::peers::{all_rows, client, exec, options, schema, sync};

fn open(file: &Path, seed: u64) -> ServerDatabase {
    ServerDatabase::open(options(seed, Location::File(file.to_owned())), &schema()).unwrap()
}

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn restore(&self, how: Restored) -> Result<greenlight_core::Lineage, RestoreError> {
        restore(&self.at("live"), &self.at("backup"), &self.at("kept"), how, [9, 8, 7])
    }

    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// A backup with one row, and a live database with two, of which a client has all.
fn place() -> (Place, greenlight_store::ClientDatabase) {
    let place = Place::new();
    let mut server = open(&place.at("live"), 3);
    let mut alice = client(1);
    exec(&mut server, "INSERT INTO t VALUES (1, 'early', NULL)");
    sync(&mut alice, &mut server);
    back_up(&place.at("live"), &place.at("backup")).unwrap();
    exec(&mut server, "INSERT INTO t VALUES (2, 'late', NULL)");
    alice.exec("INSERT INTO t VALUES (3, 'late too', NULL)", &[]).unwrap();
    sync(&mut alice, &mut server);
    sync(&mut alice, &mut server);
    (place, alice)
}

fn count(file: &Path) -> i64 {
    let conn = rusqlite::Connection::open(file).unwrap();
    conn.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
}

#[test]
fn after_a_loss_the_clients_bring_back_what_the_backup_lacks() {
    let (place, mut alice) = place();
    let before = open(&place.at("live"), 4).facts().unwrap();
    let lineage = place.restore(Restored::AfterLoss).unwrap();
    assert_eq!(lineage.site_id, before.lineage.site_id);
    assert_ne!(lineage.epoch, before.lineage.epoch);
    assert_eq!((count(&place.at("live")), count(&place.at("kept"))), (1, 3));
    let mut server = open(&place.at("live"), 5);
    assert_eq!(server.facts().unwrap().lineage, lineage);
    // As its session does it: the cursor is not known there any more, so all is offered.
    let state = alice.load().unwrap();
    let peer = server.peer(state.site_id, state.cursor).unwrap();
    assert!(!peer.cursor_known);
    assert!(alice.was_sent(peer.held).unwrap());
    alice.adopt(lineage, peer.held).unwrap();
    alice.forget_cursor().unwrap();
    for _ in 0..2 {
        sync(&mut alice, &mut server);
    }
    assert_eq!(all_rows(server.connection()), all_rows(alice.connection()));
    assert_eq!(count(&place.at("live")), 3, "nothing that was acknowledged is lost");
}

#[test]
fn as_an_undo_it_is_another_database_with_the_old_rows() {
    let (place, _) = place();
    let before = open(&place.at("live"), 4).facts().unwrap();
    let lineage = place.restore(Restored::AsUndo).unwrap();
    assert_ne!(lineage.site_id, before.lineage.site_id);
    let mut server = open(&place.at("live"), 5);
    assert_eq!(server.facts().unwrap().lineage, lineage);
    let mut bob = client(8);
    sync(&mut bob, &mut server);
    assert_eq!(all_rows(bob.connection()), all_rows(server.connection()));
    assert_eq!(count(&place.at("live")), 1);
    exec(&mut server, "INSERT INTO t VALUES (9, 'on', NULL)");
    sync(&mut bob, &mut server);
    assert_eq!(bob.digests().unwrap(), server.digests().unwrap());
}

#[test]
fn a_log_beside_the_old_file_is_not_replayed_over_the_new() {
    let (place, _) = place();
    // As a killed server leaves it: the late rows are in the log alone.
    let mut server = open(&place.at("live"), 4);
    exec(&mut server, "INSERT INTO t VALUES (4, 'in the log', NULL)");
    for ending in ["", "-wal", "-shm"] {
        let name = format!("live{ending}");
        std::fs::copy(place.at(&name), place.at(&format!("killed{ending}"))).unwrap();
    }
    let restored = restore(&place.at("killed"), &place.at("backup"), &place.at("kept"), Restored::AfterLoss, [9, 8, 7]);
    restored.unwrap();
    assert_eq!((count(&place.at("killed")), count(&place.at("kept"))), (1, 4));
    assert!(!place.at("killed-wal").exists());
}

#[test]
fn what_can_not_be_restored_leaves_everything_as_it_was() {
    let (place, alice) = place();
    let files = place.files();
    // A server has it open.
    let server = open(&place.at("live"), 4);
    assert!(matches!(place.restore(Restored::AfterLoss), Err(RestoreError::InUse)));
    drop(server);
    // The backup is a client's, damaged, no database, or not there.
    drop(alice);
    let good = std::fs::read(place.at("backup")).unwrap();
    let client = greenlight_store::ClientDatabase::open(options(7, Location::File(place.at("client"))), &schema());
    drop(client.unwrap());
    let mut damaged = good.clone();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 4_096].fill(0x5a);
    for (bytes, what) in [
        (std::fs::read(place.at("client")).unwrap(), "a client's"),
        (damaged, "damaged"),
        (good[..good.len() / 2].to_vec(), "cut"),
        (b"no database".to_vec(), "foreign"),
    ] {
        std::fs::write(place.at("backup"), bytes).unwrap();
        let error = place.restore(Restored::AfterLoss).map(drop).expect_err(what);
        assert!(!error.to_string().contains(place.folder.path().to_str().unwrap()), "{error}");
        assert_eq!(count(&place.at("live")), 3, "{what}");
        assert!(!place.at("kept").exists());
    }
    std::fs::remove_file(place.at("backup")).unwrap();
    assert!(place.restore(Restored::AfterLoss).is_err());
    assert_eq!(count(&place.at("live")), 3);
    assert!(files.contains(&"backup".to_owned()));
}

#[test]
fn an_attempt_that_was_cut_off_is_done_again() {
    let (place, _) = place();
    std::fs::write(place.at(".live.restoring"), "half a copy").unwrap();
    std::fs::write(place.at(".kept.part"), "half a copy").unwrap();
    place.restore(Restored::AfterLoss).unwrap();
    assert_eq!((count(&place.at("live")), count(&place.at("kept"))), (1, 3));
    assert!(place.files().iter().all(|name| !name.starts_with('.')), "{:?}", place.files());
}
