//! SQL of apps and operators: whatever it says, it stays within the database's own rows, and ends.
//!
//! Where in the flow: behind `exec` on both ends, through the store's guard.

use greenlight_core::Value;
use greenlight_core::replica::ServerStore;
use greenlight_store::{ServerDatabase, Work};
use rusqlite::Connection;

use crate::databases::{self, check, check_client_writes, check_file, check_history};

/// What no statement may change: the tables and triggers, who this database is, what else is attached.
#[derive(Debug, PartialEq)]
struct Untouchable(Vec<String>);

impl Untouchable {
    fn of(conn: &Connection) -> Self {
        let asked = [
            "SELECT type || name || ifnull(sql, '') FROM sqlite_master WHERE name NOT LIKE 'sqlite_stat%' ORDER BY name",
            "SELECT name || file FROM pragma_database_list WHERE name <> 'temp'",
            "SELECT hex(site_id) || ordinal FROM crsql_site_id ORDER BY ordinal",
            "SELECT key || value FROM crsql_master WHERE key <> 'pre_compact_dbversion' ORDER BY key",
            "SELECT journal_mode FROM pragma_journal_mode",
            "SELECT 'writable' || writable_schema FROM pragma_writable_schema",
            "SELECT 'recursive' || recursive_triggers FROM pragma_recursive_triggers",
            "SELECT 'user' || user_version FROM pragma_user_version",
        ];
        let mut found = Vec::new();
        for sql in asked {
            let mut statement = conn.prepare(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
            let rows = statement.query_map([], |row| row.get::<_, String>(0)).expect("it can be asked");
            found.extend(rows.map(|row| row.unwrap_or_else(|error| panic!("{sql}: {error}"))));
        }
        Self(found)
    }
}

/// Runs one input: on a server as `/exec` does, and on a client. Its first byte says how many parameters there are.
pub(crate) fn run(data: &[u8]) {
    let Some((&first, text)) = data.split_first() else { return };
    let sql = String::from_utf8_lossy(text).into_owned();
    let params: Vec<Value> = (0..first % 3).map(|at| Value::Integer(i64::from(at))).collect();
    let mut server = databases::server();
    fill(&mut server);
    let before = (Untouchable::of(server.connection()), server.facts().expect("facts").lineage);
    let work = [Work::Exec { sql: sql.clone(), params: params.clone() }];
    server.commit(&work).expect("whatever a statement does, the commit around it stands");
    assert_eq!((Untouchable::of(server.connection()), server.facts().expect("facts").lineage), before);
    check(server.connection());
    check_file(server.connection());
    check_history(&mut server);

    let mut client = databases::client();
    let before = Untouchable::of(client.connection());
    // What it answers is its own business; what it leaves is looked at.
    drop(client.query(&sql, &params));
    drop(client.exec(&sql, &params));
    assert_eq!(Untouchable::of(client.connection()), before);
    check(client.connection());
    check_file(client.connection());
    check_client_writes(&mut client);
}

fn fill(server: &mut ServerDatabase) {
    let sql = "INSERT INTO t VALUES (1, 1, 'one'), (2, 2, 'two'); INSERT INTO mark VALUES ('m');
               INSERT INTO pair VALUES ('x', x'00', 5); DELETE FROM t WHERE id = 2";
    let work = [Work::Exec { sql: sql.to_owned(), params: Vec::new() }];
    server.commit(&work).expect("rows can be written");
}
