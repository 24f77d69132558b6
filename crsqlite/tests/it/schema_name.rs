//! Patch 3: the default schema's name ends where it should. Without it the outcome depends on what the linker put
//! behind the literal: most builds work, some don't. So the source is looked at, and the functions are tried.

use crate::peer::Peer;

#[test]
fn a_table_is_found_without_naming_its_schema() {
    let peer = Peer::new("");
    for table in ["t", "books", "a_rather_long_name_for_a_table"] {
        peer.run(&format!("CREATE TABLE {table} (id INTEGER PRIMARY KEY NOT NULL, a)"));
        peer.run(&format!("SELECT crsql_as_crr('{table}')"));
        peer.run(&format!("SELECT crsql_begin_alter('{table}')"));
        peer.run(&format!("ALTER TABLE {table} ADD COLUMN b"));
        peer.run(&format!("SELECT crsql_commit_alter('{table}')"));
        peer.run(&format!("INSERT INTO {table} VALUES (1, 2, 3)"));
        assert_eq!(peer.changes_since(0).iter().filter(|row| row[0] == table.to_owned().into()).count(), 2);
    }
    peer.close();
}

#[test]
fn naming_it_works_too() {
    let peer = Peer::new("CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a); SELECT crsql_as_crr('main', 't');");
    peer.run("INSERT INTO t VALUES (1, 2)");
    assert_eq!(peer.changes_since(0).len(), 1);
}

#[test]
fn the_literal_ends_with_a_nul() {
    let source = include_str!("../../../vendor/cr-sqlite/core/src/lib.rs");
    assert!(!source.contains("(\"main\", "), "a literal that is read as a C string has no end");
    assert_eq!(source.matches("(\"main\\0\", ").count(), 3);
}
