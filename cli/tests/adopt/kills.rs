//! The program dies at every step, and leaves a database that can be used, and that can be taken over again.

use greenlight_cli::adopt::crash::{Point, VARIABLE};

use crate::fixture::{SHOP, World, rows, said};

#[test]
fn whoever_dies_leaves_the_old_database_or_the_new_one() {
    for point in Point::ALL.iter().copied() {
        let needs_mending = "CREATE TABLE note (id TEXT PRIMARY KEY, text TEXT); INSERT INTO note VALUES ('n', 'x');";
        for log in ["PRAGMA journal_mode = WAL;", ""] {
            let world = World::new(&format!("{log}{SHOP}{needs_mending}"));
            let adopt = ["adopt", "shop.db", "--mend"];
            let mut command = world.command(&adopt);
            let output = command.env(VARIABLE, format!("{}:1", point.name())).output().unwrap();
            assert!(output.status.code().is_none(), "{} was not passed: {}", point.name(), said(&output));
            let context = format!("{} {log}", point.name());
            let books = ["Text([69, 109, 109, 97])", "Text([80, 101, 114, 115, 117, 97, 115, 105, 111, 110])"];
            assert_eq!(rows(&world.db(), "SELECT title FROM book ORDER BY isbn"), books, "{context}");
            let is_new = rows(&world.db(), "SELECT 1 FROM sqlite_schema WHERE name = 'crsql_site_id'").len() == 1;
            assert_eq!(is_new, point == Point::Placed, "{context}");
            if is_new {
                world.refuses(&adopt, 3, "Greenlight's already");
            } else {
                world.ok(&adopt);
            }
            assert_eq!(world.names(), ["shop.db", "shop.db.before-adopt", "shop.db.schema.sql"], "{context}");
            assert_eq!(rows(&world.db(), "SELECT title FROM cheap"), books[..1], "{context}");
            assert_eq!(
                rows(&world.path("shop.db.before-adopt"), "SELECT title FROM book ORDER BY isbn"),
                books,
                "{context}"
            );
            world.ok(&["sync", "push", "--db", "shop.db", "--remote", "./remote"]);
        }
    }
}
