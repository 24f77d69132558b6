//! Power cuts at a client: its database is whole, and it never claims more than it has.
//!
//! Where in the flow: as for a server, with the client's file on the disk that is cut and the server in memory. Its
//! cursor says what it has of the server, its acknowledgement what the server has of it.

use std::path::Path;

use greenlight_core::replica::{ClientStore, DownloadPart, Fault, ReadRequest, ServerStore, UploadPart};
use greenlight_store::{ClientDatabase, Location, ServerDatabase};

use crate::disk::Disk;
use crate::peers::{exec, options, random, schema, server, sync};

const SEEDS: u64 = 150;
const STEPS: i64 = 20;
/// Changes of the disk in a whole run, about.
const CHANGES: u64 = 700;

fn open(path: &Path, seed: u64) -> Result<ClientDatabase, greenlight_store::OpenError> {
    ClientDatabase::open(options(seed, Location::File(path.to_owned())), &schema())
}

/// An exchange with the server, both ways; the client may fail at any step.
fn exchange(alice: &mut ClientDatabase, server: &mut ServerDatabase) -> Result<(), Fault> {
    let plan = alice.begin_upload()?;
    let site = alice.load()?.site_id;
    let changes = alice.read(&plan.read)?.changes.decode().unwrap();
    let part = UploadPart { site, since: plan.since.version, until: plan.until, last: true, changes };
    for result in server.apply(&[part]).unwrap() {
        result.unwrap();
    }
    alice.acknowledge(plan.until)?;
    let since = alice.load()?.cursor;
    let author = greenlight_core::replica::Author::Except(site);
    let request = ReadRequest { since: since.version, until: None, after: None, author };
    let chunk = server.read(&request).unwrap();
    let changes = chunk.changes.decode().unwrap();
    alice.apply(&DownloadPart { since, until: chunk.until, last: true, changes })?;
    Ok(())
}

/// Local writes and exchanges; the last local write that was reported.
fn run(path: &Path, seed: u64, server: &mut ServerDatabase) -> i64 {
    let mut written = 0;
    let Ok(mut alice) = open(path, seed) else { return written };
    if alice.connection().execute_batch("PRAGMA wal_autocheckpoint = 20").is_err() {
        return written;
    }
    for step in 1..=STEPS {
        exec(server, &format!("INSERT INTO t VALUES ({}, 'server', {step})", 1_000 + step));
        if alice.exec(&format!("INSERT INTO t VALUES ({step}, 'alice', zeroblob(900))"), &[]).is_err() {
            return written;
        }
        written = step;
        if exchange(&mut alice, server).is_err() {
            return written;
        }
    }
    written
}

#[test]
fn it_is_whole_and_never_claims_more_than_it_has() {
    let (mut cursors, mut bounds) = (0, 0);
    for seed in 0..SEEDS {
        let (folder, found) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let disk = Disk::under(folder.path());
        let mut random = random(seed ^ 0xbeef);
        disk.cut_at(random() % CHANGES);
        let mut server = server(seed + 500);
        let written = run(&folder.path().join("shop"), seed, &mut server);
        disk.after_cut(random(), found.path());

        let mut alice = open(&found.path().join("shop"), 9).unwrap();
        let check: String = alice.connection().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(check, "ok", "seed {seed}");
        let state = alice.load().unwrap();
        let count = |conn: &rusqlite::Connection, sql: &str, bound: i64| -> i64 {
            conn.query_row(sql, [bound], |row| row.get(0)).unwrap()
        };
        let own = count(alice.connection(), "SELECT count(*) FROM t WHERE id < 1000 AND ? = 0", 0);
        assert!((written..=written + 1).contains(&own), "seed {seed}: {written} written, {own} there");
        // By its cursor it has these of the server's rows.
        let sql = "SELECT count(*) FROM t JOIN t__crsql_pks AS keys USING (id)
                   JOIN t__crsql_clock AS clock ON clock.key = keys.__crsql_key
                   WHERE t.id > 1000 AND clock.col_name = 'a' AND clock.db_version <= ?";
        let claimed = count(server.connection(), sql, state.cursor.version.get() as i64);
        let there = count(alice.connection(), "SELECT count(*) FROM t WHERE id > 1000 AND ? = 0", 0);
        assert!(there >= claimed, "seed {seed}: it claims {claimed} of the server's rows and has {there}");
        let held = server.peer(state.site_id, state.cursor).unwrap().held;
        assert!(held.version >= state.acknowledged.version, "seed {seed}: {held:?}, {:?}", state.acknowledged);
        (cursors, bounds) = (cursors + claimed, bounds + state.acknowledged.version.get());
        sync(&mut alice, &mut server);
        assert_eq!(alice.digests().unwrap(), server.digests().unwrap(), "seed {seed}");
        drop(alice);
        drop(disk);
    }
    println!("power cuts at a client: {SEEDS}; rows claimed and there: {cursors}");
    assert!(cursors > SEEDS as i64 && bounds > SEEDS, "a client that claims nothing proves nothing");
}
