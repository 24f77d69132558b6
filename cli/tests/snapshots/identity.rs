//! Who is who: a snapshot belongs to nobody, a machine stays itself, and a server loses nothing by a pull.

use std::path::Path;

use greenlight_core::replica::ClientStore;
use greenlight_store::{ClientDatabase, Location, Options, Schema};

use crate::fixture::{Machine, World};

/// The site ids of a file by their ordinals, and how many cells each wrote.
fn authors(db: &Path) -> Vec<(i64, Vec<u8>, i64)> {
    let conn = rusqlite::Connection::open(db).unwrap();
    let sql = "SELECT ordinal, site_id, (SELECT count(*) FROM book__crsql_clock WHERE site_id = ordinal)
               FROM crsql_site_id ORDER BY ordinal";
    let mut select = conn.prepare(sql).unwrap();
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

fn site(machine: &Machine) -> Vec<u8> {
    machine.replica().load().unwrap().site_id.0.to_vec()
}

#[test]
fn a_snapshot_belongs_to_nobody_and_its_authors_stay() {
    let world = World::new(true);
    let alice = world.machine("alice");
    alice.write("Emma");
    let rest = |name: &str| {
        let conn = rusqlite::Connection::open(alice.home.join(name)).unwrap();
        conn.execute_batch("INSERT INTO greenlight_state VALUES ('server', x'00112233445566778899aabbccddeeff')")
            .unwrap();
    };
    rest("db.sqlite");
    alice.ok(&["sync", "push"]);
    let snapshot = world.remote().join("db.sqlite");
    assert_eq!(authors(&snapshot), [(1, site(&alice), 1)], "nobody at 0, Alice as an author");
    let conn = rusqlite::Connection::open(&snapshot).unwrap();
    let keys: String = conn
        .query_row(
            "SELECT group_concat(key || '=' || value, ' ') FROM greenlight_state WHERE key <> 'schema'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(keys, "role=snapshot");
    for table in ["greenlight_bound", "greenlight_written", "greenlight_tag", "greenlight_peer", "crsql_tracked_peers"]
    {
        let count: i64 = conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
        assert_eq!(count, 0, "{table}");
    }
    drop(conn);
    let bytes = std::fs::read(&snapshot).unwrap();
    let server = [0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77];
    assert!(!bytes.windows(8).any(|window| window == server), "not in free pages either");
    let options = greenlight_store::Options::system(greenlight_store::Location::File(snapshot), || 1).unwrap();
    assert!(ClientDatabase::reopen(options).is_err(), "nobody opens a snapshot by mistake");
}

#[test]
fn a_maker_who_wrote_nothing_is_not_in_the_snapshot() {
    let world = World::new(true);
    let alice = world.machine("alice");
    std::fs::create_dir_all(&alice.home).unwrap();
    let id = site(&alice);
    alice.ok(&["sync", "push"]);
    let bytes = std::fs::read(world.remote().join("db.sqlite")).unwrap();
    assert!(!bytes.windows(16).any(|window| window == id));
}

#[test]
fn a_machine_stays_itself_and_its_earlier_changes_are_its_own_again() {
    let world = World::new(true);
    let (alice, bob) = world.in_step();
    let (a, b) = (site(&alice), site(&bob));
    assert_ne!(a, b);
    bob.write("Sanditon");
    bob.ok(&["sync", "push"]);
    alice.ok(&["sync", "pull"]);
    assert_eq!(site(&alice), a);
    let by = |machine: &Machine, id: &[u8]| {
        let found = authors(&machine.db()).into_iter().find(|(_, site, _)| site == id).unwrap();
        (found.0 == 0, found.2)
    };
    assert_eq!((by(&alice, &a), by(&alice, &b)), ((true, 1), (false, 1)));
    alice.write("Persuasion");
    alice.ok(&["sync", "push"]);
    bob.ok(&["sync", "pull"]);
    assert_eq!(site(&bob), b);
    assert_eq!((by(&bob, &b), by(&bob, &a)), ((true, 1), (false, 2)));
    let state = bob.replica().load().unwrap();
    assert_eq!((state.cursor, state.acknowledged), Default::default());
    assert_eq!(state.outbox.changes, 1);
}

/// What the server holds, after everyone has been there twice.
pub(crate) fn converged(machines: &[&Machine], url: &str) -> Vec<String> {
    for _ in 0..2 {
        for machine in machines {
            machine.ok(&["sync", "now", "--remote", url]);
        }
    }
    let digests = |machine: &Machine| machine.replica().digests().unwrap();
    for machine in machines {
        assert_eq!(digests(machine), digests(machines[0]));
        assert_eq!(machine.replica().load().unwrap().outbox.changes, 0);
    }
    machines[0].books()
}

/// A server with the shop: its address, and what ends it.
pub(crate) async fn serve(world: &World) -> (String, tokio::task::AbortHandle) {
    let (schemas, data) = (world.folder.path().join("schemas"), world.folder.path().join("data"));
    std::fs::create_dir(&schemas).unwrap();
    std::fs::write(schemas.join("shop.sql"), crate::fixture::SCHEMA).unwrap();
    let settings = greenlight_server::Settings::dev(data, schemas);
    let listener = greenlight_server::bind(&settings).await.unwrap();
    let url = format!("ws://{}/shop", listener.local_addr().unwrap());
    let server = tokio::spawn(greenlight_server::run(listener, settings, std::future::pending()));
    (url, server.abort_handle())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_pull_new_versions_begin_above_every_number_that_a_server_has_seen() {
    let world = World::new(true);
    let (url, server) = serve(&world).await;
    let (alice, bob) = world.in_step();
    // Bob needs many versions for what reaches Alice as one.
    for number in 0..30 {
        bob.replica().exec(&format!("UPDATE book SET title = 'Emma {number}'"), &[]).unwrap();
    }
    assert_eq!(converged(&[&bob, &alice], &url), ["Emma 29"]);
    alice.ok(&["sync", "push"]);
    bob.ok(&["sync", "pull", "--force"]);
    bob.ok(&["sync", "now", "--remote", &url]);
    // What everything was offered with is done. Another program's write, which gets its number from the file alone, must
    // be noticed by that.
    let conn = rusqlite::Connection::open(bob.db()).unwrap();
    crsqlite::init(&conn).unwrap();
    conn.execute_batch("INSERT INTO book VALUES ('Sanditon', 'Sanditon')").unwrap();
    crsqlite::finalize(&conn).unwrap();
    drop(conn);
    assert_eq!(bob.replica().load().unwrap().outbox.changes, 1);
    bob.ok(&["sync", "now", "--remote", &url]);
    assert_eq!(converged(&[&alice, &bob], &url), ["Emma 29", "Sanditon"]);
    server.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_pull_a_server_loses_nothing_and_is_not_believed_to_have_what_it_lacks() {
    let world = World::new(true);
    let (url, server) = serve(&world).await;

    // Everyone has met the server, and Bob has had much acknowledged: numbers that come back lower than he used.
    let (alice, bob) = world.in_step();
    for number in 0..20 {
        bob.write(&format!("Bob {number}"));
    }
    assert_eq!(converged(&[&alice, &bob], &url).len(), 21);
    bob.ok(&["sync", "push"]);
    alice.ok(&["sync", "pull", "--force"]);
    // Alice has changes that only a folder knows, Bob takes them by that, and Alice is never seen again.
    alice.write("Persuasion");
    alice.ok(&["sync", "push"]);
    bob.ok(&["sync", "pull"]);
    let id = site(&bob);
    bob.write("Sanditon");
    bob.ok(&["sync", "now", "--remote", &url]);
    assert_eq!(site(&bob), id, "the server knows him still");
    let carol = world.machine("carol");
    std::fs::create_dir_all(&carol.home).unwrap();
    drop(carol.replica());
    let all = converged(&[&carol, &bob], &url);
    assert_eq!(all.len(), 23);
    for title in ["Emma", "Persuasion", "Sanditon", "Bob 19"] {
        assert!(all.iter().any(|book| book == title), "{title}: {all:?}");
    }
    // A machine that begins with a snapshot is as good as one that began with the server.
    let dora = world.machine("dora");
    dora.ok(&["sync", "pull"]);
    dora.write("Lady Susan");
    assert_eq!(converged(&[&dora, &bob, &carol], &url).len(), 24);
    server.abort();
}

/// Tables that the schema does not name, with what SQLite can give them.
fn keep_notes(machine: &Machine, secret: &str) {
    let conn = rusqlite::Connection::open(machine.db()).unwrap();
    conn.execute_batch(&format!(
        "CREATE TABLE note (id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT UNIQUE, isbn TEXT REFERENCES book (isbn),
           long INTEGER AS (length(text)) STORED);
         CREATE TABLE page (text TEXT, rowid_of TEXT);
         CREATE TABLE word (word TEXT PRIMARY KEY) WITHOUT ROWID;
         CREATE INDEX note_by_text ON note (lower(text));
         CREATE TRIGGER note_words AFTER INSERT ON note BEGIN INSERT OR IGNORE INTO word VALUES (new.text); END;
         CREATE VIRTUAL TABLE found USING fts5 (text);
         INSERT INTO note (text, isbn) VALUES ('{secret}', 'Emma'), ('gone', NULL);
         DELETE FROM note WHERE text = 'gone';
         INSERT INTO page (rowid, text) VALUES (77, '{secret}');
         INSERT INTO found VALUES ('{secret}')"
    ))
    .unwrap();
}

fn text(machine: &Machine, sql: &str) -> String {
    let conn = rusqlite::Connection::open(machine.db()).unwrap();
    conn.query_row(sql, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

#[test]
fn tables_beside_the_schema_stay_on_their_machine() {
    let world = World::new(true);
    let (alice, bob) = world.in_step();
    keep_notes(&alice, "alicehush");
    keep_notes(&bob, "bobhush");
    alice.write("Persuasion");
    alice.ok(&["sync", "push"]);
    let bytes = std::fs::read(world.remote().join("db.sqlite")).unwrap();
    for secret in [&b"alicehush"[..], b"CREATE TABLE note", b"note_words", b"fts5"] {
        assert!(!bytes.windows(secret.len()).any(|window| window == secret), "{}", String::from_utf8_lossy(secret));
    }
    assert!(!crate::fixture::names(&alice.home).iter().any(|name| name.contains("part")));
    bob.ok(&["sync", "pull"]);
    assert_eq!(bob.books(), ["Emma", "Persuasion"]);
    assert_eq!(text(&bob, "SELECT group_concat(id || text || isbn || long) FROM note"), "1bobhushEmma7");
    assert_eq!(text(&bob, "SELECT group_concat(rowid || text) FROM page"), "77bobhush");
    assert_eq!(text(&bob, "SELECT group_concat(text) FROM found WHERE found MATCH 'bobhush'"), "bobhush");
    assert_eq!(text(&bob, "SELECT group_concat(word) FROM word"), "bobhush,gone");
    assert_eq!(text(&bob, "INSERT INTO note (text) VALUES ('later') RETURNING CAST(id AS TEXT)"), "3");
    assert_eq!(text(&bob, "SELECT group_concat(word) FROM word"), "bobhush,gone,later");
    assert_eq!(text(&bob, "SELECT text FROM note INDEXED BY note_by_text WHERE lower(text) = 'later'"), "later");
    assert_eq!(text(&bob, "PRAGMA integrity_check"), "ok");
    // And so it goes on, also as a client.
    bob.write("Sanditon");
    bob.ok(&["sync", "push"]);
    alice.ok(&["sync", "pull"]);
    assert_eq!(alice.books(), ["Emma", "Persuasion", "Sanditon"]);
    assert_eq!(text(&alice, "SELECT group_concat(text) FROM note"), "alicehush");
}

#[test]
fn a_table_beside_the_schema_whose_name_a_newer_schema_takes_is_not_replaced() {
    let world = World::new(true);
    let (alice, bob) = world.in_step();
    keep_notes(&bob, "bobhush");
    let newer = crate::fixture::SCHEMA.replace("shop 1", "shop 2")
        + "CREATE TABLE note (id TEXT NOT NULL PRIMARY KEY, text TEXT);";
    let options = Options::system(Location::File(alice.db()), || 1).unwrap();
    drop(ClientDatabase::open(options, &Schema::parse(&newer).unwrap()).unwrap());
    alice.ok(&["sync", "push"]);
    bob.fails(&["sync", "pull"], 1, "table `note`, which is on this machine alone, can't be kept");
    assert_eq!(text(&bob, "SELECT group_concat(text) FROM note"), "bobhush");
    assert_eq!(bob.status(), "behind");
    rusqlite::Connection::open(bob.db()).unwrap().execute_batch("DROP TABLE note").unwrap();
    bob.ok(&["sync", "pull"]);
    assert_eq!(text(&bob, "SELECT group_concat(text) FROM page"), "bobhush");
}
