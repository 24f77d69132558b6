//! A backup of a database that is written to meanwhile: what it holds, what is refused, and what is left behind.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use greenlight_core::replica::ServerStore;
use greenlight_store::{
    BackedUp, BackupError, BackupPlace, Backups, ClientDatabase, Location, RestorePlan, ServerDatabase, back_up,
    last_backup, restore,
};
use tempfile::TempDir;

use crate::peers::{exec, options, random, rows, schema};

struct Shop(TempDir);

impl Shop {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn open(&self, name: &str) -> ServerDatabase {
        ServerDatabase::open(options(1, Location::File(self.path(name))), &schema()).unwrap()
    }

    fn backups(&self) -> Backups {
        Backups { folder: self.path("backups"), keep: 2 }
    }

    fn to(&self, name: &str) -> Result<BackedUp, BackupError> {
        back_up(&self.path("shop"), &BackupPlace::File(self.path(name)), 5_000, &Arc::default())
    }

    fn kept(&self, now_ms: i64) -> Result<BackedUp, BackupError> {
        back_up(&self.path("shop"), &BackupPlace::Kept(self.backups()), now_ms, &Arc::default())
    }

    /// Everything in a folder, by name.
    fn names(&self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(folder)).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn integrity(path: &Path) -> String {
    let reader = greenlight_store::ServerReader::open(path).unwrap();
    reader.connection().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap()
}

#[test]
fn each_copy_is_of_one_commit_while_another_connection_writes() {
    let shop = Shop::new();
    let mut server = shop.open("shop");
    // Larger than one step, so that commits fall between steps.
    let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000)
                INSERT INTO t SELECT 1000 + i, hex(zeroblob(1000)), 0 FROM n";
    exec(&mut server, fill);
    let done = Arc::new(AtomicBool::new(false));
    let stop = done.clone();
    let writing = std::thread::spawn(move || {
        let mut id = 0;
        while !stop.load(Ordering::Acquire) {
            // Two rows, at both ends of the file, in one commit.
            id += 1;
            exec(&mut server, &format!("INSERT INTO t VALUES ({id}, 'a', 1), ({}, 'b', 1)", 1_000_000 + id));
        }
        (server.facts().unwrap(), id)
    });
    let mut heads = Vec::new();
    for round in 0..5 {
        let name = format!("copy-{round}");
        let made = shop.to(&name).unwrap();
        assert_eq!((&made.file, made.bytes), (&shop.path(&name), std::fs::metadata(shop.path(&name)).unwrap().len()));
        assert_eq!(integrity(&made.file), "ok");
        let copy = greenlight_store::ServerReader::open(&made.file).unwrap();
        let ask = |sql: &str| -> i64 { copy.connection().query_row(sql, [], |row| row.get(0)).unwrap() };
        let (low, high) =
            (ask("SELECT count(*) FROM t WHERE id < 1000"), ask("SELECT count(*) FROM t WHERE id > 1000000"));
        assert_eq!(low, high, "half a transaction");
        assert_eq!(i64::try_from(made.head.version.get()).unwrap(), low + 1, "the head is that of its rows");
        heads.push(made.head.version);
    }
    done.store(true, Ordering::Release);
    let (facts, written) = writing.join().unwrap();
    assert!(heads.is_sorted() && heads[0] < facts.head.version, "nobody was held up: {heads:?} of {written}");
}

#[test]
fn the_oldest_beyond_the_number_go_and_nothing_else() {
    let shop = Shop::new();
    let mut server = shop.open("shop");
    exec(&mut server, "INSERT INTO t VALUES (1, 'x', 1)");
    assert_eq!(last_backup(&shop.backups(), &shop.path("shop")), None);
    std::fs::create_dir(shop.path("backups")).unwrap();
    let others = [
        "shop-2.backup.20200101T000000000Z.sqlite3",
        "shop.backup.mine.sqlite3",
        "shop.before-restore.20200101T000000000Z.sqlite3",
        "shop.schema-1.20200101T000000000Z.sqlite3",
    ];
    for other in others {
        std::fs::write(shop.path("backups").join(other), "").unwrap();
    }
    // Left by one that was killed.
    std::fs::write(shop.path("backups/.shop.backup.part"), "half").unwrap();
    let made: Vec<_> = (1..=3).map(|day| shop.kept(day * 86_400_000).unwrap()).collect();
    let last = shop.kept(3 * 86_400_000).unwrap();
    let mut expected: Vec<_> = others.map(str::to_owned).to_vec();
    for made in [&made[2], &last] {
        expected.push(made.file.file_name().unwrap().to_str().unwrap().to_owned());
    }
    expected.sort();
    assert_eq!(shop.names("backups"), expected);
    assert_eq!(last_backup(&shop.backups(), &shop.path("shop")).map(|(_, bytes)| bytes), Some(last.bytes));
}

#[test]
fn a_database_is_put_back_from_one_as_the_same_site_or_another() {
    let shop = Shop::new();
    let mut server = shop.open("shop");
    exec(&mut server, "INSERT INTO t VALUES (1, 'before', 1)");
    let made = shop.kept(1_000).unwrap();
    assert_eq!((made.head, made.lineage), { (server.facts().unwrap().head, server.facts().unwrap().lineage) });
    exec(&mut server, "INSERT INTO t VALUES (2, 'after', 2)");
    drop(server);
    for new_lineage in [false, true] {
        let (source, target) = (made.file.clone(), shop.path("shop"));
        let plan = RestorePlan { source, target, backups: shop.backups(), new_lineage };
        let restored = restore(&plan, &mut random(77), 5_000, &mut |_| Ok(())).unwrap();
        assert_eq!(restored.lineage.site_id == made.lineage.site_id, !new_lineage);
        assert_ne!(restored.lineage.epoch, made.lineage.epoch);
        assert_eq!(rows(shop.open("shop").connection(), "t").len(), 1);
    }
}

#[test]
fn what_is_no_good_is_refused_and_leaves_nothing() {
    let shop = Shop::new();
    assert!(matches!(shop.to("copy"), Err(BackupError::Source(_))), "nothing is there");
    std::fs::write(shop.path("shop"), "this is no database, and longer than a header is ".repeat(40)).unwrap();
    assert!(matches!(shop.to("copy"), Err(BackupError::Source(_))), "no database");
    std::fs::remove_file(shop.path("shop")).unwrap();
    drop(ClientDatabase::open(options(1, Location::File(shop.path("shop"))), &schema()).unwrap());
    assert_eq!(shop.to("copy"), Err(BackupError::NotAServers("it is a client's".to_owned())));
    std::fs::remove_file(shop.path("shop")).unwrap();

    let mut server = shop.open("shop");
    let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
                INSERT INTO t SELECT i, hex(zeroblob(500)), 0 FROM n";
    exec(&mut server, fill);
    std::fs::write(shop.path("taken"), "mine").unwrap();
    assert_eq!(shop.to("taken"), Err(BackupError::Taken));
    assert_eq!(std::fs::read_to_string(shop.path("taken")).unwrap(), "mine");
    let stopped = back_up(&shop.path("shop"), &BackupPlace::File(shop.path("copy")), 0, &Arc::new(true.into()));
    assert_eq!(stopped, Err(BackupError::Stopped));
    assert!(matches!(shop.to("nowhere/copy"), Err(BackupError::Fault(_))));
    drop(server);

    // Pages of zeros in its middle: SQLite opens it and reads most of it.
    let mut bytes = std::fs::read(shop.path("shop")).unwrap();
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 3 * 4096].fill(0);
    std::fs::write(shop.path("shop"), bytes).unwrap();
    let damaged = shop.kept(1_000);
    assert!(matches!(damaged, Err(BackupError::Damaged(_))), "{damaged:?}");
    assert!(shop.names("backups").is_empty(), "{:?}", shop.names("backups"));
    let left: Vec<_> = shop.names("").into_iter().filter(|name| name.contains("copy")).collect();
    assert!(left.is_empty(), "{left:?}");
}
