//! Putting a database back: what it becomes, what is refused, and what is there when it ends half-way.

use std::path::{Path, PathBuf};

use greenlight_core::Cursor;
use greenlight_core::replica::{ClientStore, Fault, FaultKind, ServerStore};
use greenlight_store::{
    Backups, Location, RestoreError, RestorePlan, RestoreStep, Restored, ServerDatabase, Shelf, restore,
};
use tempfile::TempDir;

use crate::peers::{all_rows, change, client, exec, options, pull, random, rows, schema, sync};

fn open(path: &Path, seed: u64) -> ServerDatabase {
    ServerDatabase::open(options(seed, Location::File(path.to_owned())), &schema()).unwrap()
}

/// `shop` holds one row and another later; `copy` the first alone.
struct Shop(TempDir);

impl Shop {
    fn new() -> Self {
        let shop = Self(tempfile::tempdir().unwrap());
        let mut server = open(&shop.path("shop"), 1);
        exec(&mut server, "INSERT INTO t VALUES (1, 'before', 1)");
        greenlight_store::ServerReader::open(&shop.path("shop")).unwrap().snapshot_to(&shop.path("copy")).unwrap();
        exec(&mut server, "INSERT INTO t VALUES (2, 'after', 2)");
        shop
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn plan(&self, new_lineage: bool) -> RestorePlan {
        let backups = Backups { folder: self.path("backups"), keep: 2 };
        RestorePlan { source: self.path("copy"), target: self.path("shop"), backups, new_lineage }
    }

    fn restore(&self, plan: &RestorePlan) -> Result<Restored, RestoreError> {
        restore(plan, &mut random(77), 5_000, &mut |_| Ok(()))
    }

    fn count(&self, name: &str) -> usize {
        rows(open(&self.path(name), 3).connection(), "t").len()
    }
}

#[test]
fn it_is_the_same_site_with_another_epoch_and_what_was_there_is_kept() {
    let shop = Shop::new();
    let before = open(&shop.path("shop"), 3).facts().unwrap();
    let copied = open(&shop.path("copy"), 3).facts().unwrap();
    let bytes = std::fs::read(shop.path("copy")).unwrap();
    let mut held = std::fs::File::open(shop.path("shop")).unwrap();
    let restored = shop.restore(&shop.plan(false)).unwrap();
    let after = open(&shop.path("shop"), 4).facts().unwrap();
    assert_eq!((after.lineage, after.head), (restored.lineage, copied.head));
    assert_eq!(after.lineage.site_id, before.lineage.site_id);
    assert!(after.lineage.epoch != before.lineage.epoch && after.lineage.epoch != copied.lineage.epoch);
    assert_eq!(shop.count("shop"), 1);
    assert_eq!(std::fs::read(shop.path("copy")).unwrap(), bytes, "the copy is not touched");
    let mut old = Vec::new();
    std::io::Read::read_to_end(&mut held, &mut old).unwrap();
    let kept = std::fs::read(restored.kept.as_ref().unwrap()).unwrap();
    assert!(old == kept, "nothing was written into the old file: another took its place");
    let kept = restored.kept.unwrap();
    assert!(kept.file_name().unwrap().to_str().unwrap().starts_with("shop.before-restore.1970"));
    std::fs::copy(kept, shop.path("kept")).unwrap();
    let mut kept = open(&shop.path("kept"), 5);
    assert_eq!((kept.facts().unwrap(), rows(kept.connection(), "t").len()), (before, 2));
    // Again and again: the copies stay few.
    for _ in 0..3 {
        shop.restore(&shop.plan(false)).unwrap();
    }
    assert_eq!(std::fs::read_dir(shop.path("backups")).unwrap().count(), 2);
    let left: Vec<_> = std::fs::read_dir(shop.0.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with('.')), "{left:?}");
}

#[test]
fn with_a_new_lineage_the_rows_stay_and_the_site_is_another() {
    let shop = Shop::new();
    let mut copy = open(&shop.path("copy"), 3);
    let mut alice = client(8);
    alice.exec("INSERT INTO mark VALUES ('alice')", &[]).unwrap();
    sync(&mut alice, &mut copy);
    let held = greenlight_core::replica::UploadPart {
        site: greenlight_core::SiteId([9; 16]),
        since: greenlight_core::Version::ZERO,
        until: greenlight_core::Bound::ZERO,
        last: false,
        changes: vec![change("later", &[greenlight_core::Value::Integer(3)], "z", greenlight_core::Value::Null)],
    };
    copy.apply(&[held]).unwrap().remove(0).unwrap();
    let (before, digests) = (copy.facts().unwrap(), copy.digests().unwrap());
    let (cursor, site) = (alice.load().unwrap().cursor, alice.load().unwrap().site_id);
    drop(copy);
    let restored = shop.restore(&shop.plan(true)).unwrap();

    let mut server = open(&shop.path("shop"), 4);
    let after = server.facts().unwrap();
    assert_ne!(after.lineage.site_id, before.lineage.site_id);
    assert_ne!(after.lineage.epoch, before.lineage.epoch);
    assert_eq!(after.lineage, restored.lineage);
    assert_eq!(server.digests().unwrap(), digests, "the rows are the copy's");
    assert_eq!(after.head.version, before.head.version);
    let peer = server.peer(site, cursor).unwrap();
    assert!(!peer.cursor_known && peer.held == greenlight_core::Bound::ZERO, "nothing of the old history counts");
    assert_eq!(server.shelved(Shelf::Held, 5).unwrap().len(), 1, "what is kept aside stays");
    let by = |site: &[u8]| -> i64 {
        let sql = "SELECT count(*) FROM crsql_changes WHERE site_id = ?";
        server.connection().query_row(sql, [site], |row| row.get(0)).unwrap()
    };
    assert!(by(&before.lineage.site_id.0) > 0, "what the old site wrote stays the old one's");
    assert_eq!(by(&after.lineage.site_id.0), 0);
    assert_eq!(by(&site.0), 1);
    let head = exec(&mut server, "UPDATE t SET a = 'new'").head;
    assert!(head.version > before.head.version);
    let mut bob = client(9);
    pull(&mut bob, &mut server);
    assert_eq!(all_rows(bob.connection()), all_rows(server.connection()));
}

#[test]
fn it_is_the_old_database_or_the_new_one_wherever_it_ends() {
    use RestoreStep::{Cleared, Copied, Folded, Kept, Placed, Ready};
    let whole = |path: &Path, as_it_was: &[Vec<Vec<rusqlite::types::Value>>]| {
        let server = open(path, 3);
        let check: String = server.connection().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        (check == "ok", all_rows(server.connection()) == as_it_was)
    };
    for step in [Copied, Ready, Folded, Kept, Cleared, Placed] {
        let shop = Shop::new();
        // The server was killed: what it wrote last is in the log alone.
        let mut server = open(&shop.path("shop"), 5);
        exec(&mut server, "INSERT INTO t VALUES (3, 'in the log', 3)");
        let (old, new) = (all_rows(server.connection()), all_rows(open(&shop.path("copy"), 6).connection()));
        std::fs::create_dir(shop.path("killed")).unwrap();
        for ending in ["", "-wal"] {
            std::fs::copy(shop.path(&format!("shop{ending}")), shop.path(&format!("killed/shop{ending}"))).unwrap();
        }
        let plan = RestorePlan { target: shop.path("killed/shop"), ..shop.plan(false) };
        let ended = restore(&plan, &mut random(77), 5_000, &mut |reached| match reached == step {
            true => Err(Fault { kind: FaultKind::Internal, message: "killed".to_owned() }),
            false => Ok(()),
        });
        assert!(matches!(ended, Err(RestoreError::Fault(_))), "{step:?}: {ended:?}");
        // What a reader of the file alone would see later, and what a server opens.
        let expected = if step == Placed { &new } else { &old };
        assert_eq!(whole(&plan.target, expected), (true, true), "{step:?}");
        drop(server);
        // What lies about does not keep the next one from being done.
        restore(&plan, &mut random(78), 6_000, &mut |_| Ok(())).unwrap();
        assert_eq!(whole(&plan.target, &new), (true, true), "{step:?}");
    }
}

#[test]
fn what_is_no_servers_whole_database_of_this_schema_is_refused() {
    let shop = Shop::new();
    let refused = |plan: &RestorePlan| {
        let error = shop.restore(plan).unwrap_err();
        assert_eq!(shop.count("shop"), 2, "{error}");
        assert!(!error.to_string().contains(shop.0.path().to_str().unwrap()), "{error}");
        error
    };
    let plan = |source: &str| RestorePlan { source: shop.path(source), ..shop.plan(false) };
    assert!(matches!(refused(&plan("nowhere")), RestoreError::Source(_)));
    std::fs::write(shop.path("text"), "no database, but longer than a header. ".repeat(40)).unwrap();
    assert!(matches!(refused(&plan("text")), RestoreError::Source(_)));
    rusqlite::Connection::open(shop.path("plain")).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
    assert!(matches!(refused(&plan("plain")), RestoreError::NotAServers(_)));
    let client = options(5, Location::File(shop.path("client")));
    drop(greenlight_store::ClientDatabase::open(client, &schema()).unwrap());
    assert!(refused(&plan("client")).to_string().contains("it is a client's"));
    let other = greenlight_store::Schema::parse("-- schema: other 1\nCREATE TABLE o (id INTEGER NOT NULL PRIMARY KEY)");
    drop(ServerDatabase::open(options(5, Location::File(shop.path("other"))), &other.unwrap()).unwrap());
    assert!(matches!(refused(&plan("other")), RestoreError::OtherSchema { .. }));
    let mut torn = std::fs::read(shop.path("copy")).unwrap();
    let at = torn.len() - 4096;
    torn[at..].fill(0x5a);
    std::fs::write(shop.path("torn"), torn).unwrap();
    assert!(matches!(refused(&plan("torn")), RestoreError::Damaged(_)));
    let folder = RestorePlan { target: shop.path("folder"), ..plan("copy") };
    std::fs::create_dir(&folder.target).unwrap();
    assert_eq!(refused(&folder), RestoreError::NotAFile);

    let used = rusqlite::Connection::open(shop.path("shop")).unwrap();
    used.query_row("SELECT count(*) FROM t", [], |_| Ok(())).unwrap();
    assert_eq!(refused(&plan("copy")), RestoreError::InUse);
    drop(used);
    shop.restore(&plan("copy")).unwrap();
    assert_eq!(shop.count("shop"), 1);
}

#[test]
fn a_damaged_database_is_replaced_and_kept_with_its_log() {
    let shop = Shop::new();
    std::fs::write(shop.path("shop"), "overwritten by mistake ".repeat(1000)).unwrap();
    std::fs::write(shop.path("shop-wal"), "and its log").unwrap();
    let kept = shop.restore(&shop.plan(false)).unwrap().kept.unwrap();
    assert_eq!(shop.count("shop"), 1);
    assert!(std::fs::read_to_string(&kept).unwrap().starts_with("overwritten"));
    let mut log = kept.into_os_string();
    log.push("-wal");
    assert_eq!(std::fs::read_to_string(log).unwrap(), "and its log");
}

#[test]
fn a_database_that_is_gone_is_put_back_and_a_log_that_stayed_is_not_replayed() {
    let shop = Shop::new();
    let mut server = open(&shop.path("shop"), 5);
    exec(&mut server, "INSERT INTO t VALUES (3, 'in the log', 3)");
    std::fs::copy(shop.path("shop-wal"), shop.path("gone-wal")).unwrap();
    let plan = RestorePlan { target: shop.path("gone"), ..shop.plan(false) };
    let restored = shop.restore(&plan).unwrap();
    assert_eq!(restored.kept, None);
    assert_ne!(restored.head, Cursor::ZERO);
    assert_eq!(shop.count("gone"), 1);
}
