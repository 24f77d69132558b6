//! A remote's folder in which others may write too: what they put there leads no push elsewhere, and holds none up.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use crate::fixture::{Machine, World, books, each, names};
use crate::kept::contents;

const SECRET: &str = "nobody else's business";

/// A file that its owner alone may read.
fn secret(world: &World) -> PathBuf {
    let file = world.folder.path().join("secret");
    std::fs::write(&file, SECRET).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    file
}

fn is_link(path: &Path) -> bool {
    path.symlink_metadata().unwrap().is_symlink()
}

/// Alice's is there, and Bob has written too.
fn diverged(world: &World) -> (Machine, Machine) {
    let (alice, bob) = world.in_step();
    alice.write("Persuasion");
    alice.ok(&["sync", "push"]);
    bob.write("Sanditon");
    (alice, bob)
}

#[test]
fn what_a_link_in_the_place_of_the_snapshot_leads_to_is_not_kept() {
    each(|world| {
        let (_, bob) = diverged(&world);
        let (stored, secret) = (world.remote().join("db.sqlite"), secret(&world));
        let aside = world.folder.path().join("aside");
        std::fs::rename(&stored, &aside).unwrap();
        // One that leads to a secret, and one that leads nowhere, of which no facts can be read.
        for target in [secret.as_path(), stored.as_path()] {
            symlink(target, &stored).unwrap();
            let before = bob.remote_meta();
            bob.fails(&["sync", "push", "--force"], 1, "db.sqlite: it is a link, which no push makes");
            assert_eq!((world.names().join(" "), bob.remote_meta()), (world.kind.names().join(" "), before));
            assert!(is_link(&stored));
            std::fs::remove_file(&stored).unwrap();
        }
        std::fs::rename(&aside, &stored).unwrap();
        bob.ok(&["sync", "push", "--force"]);
        assert_eq!(books(&world.remote().join("before-push.1/db.sqlite")), ["Emma", "Persuasion"]);
    });
}

#[test]
fn a_link_with_the_name_of_the_hash_does_not_become_the_snapshot() {
    each(|world| {
        let (alice, bob) = diverged(&world);
        let stored = world.remote().join("db.sqlite");
        let named = world.remote().join(format!("db.sqlite.{}", alice.remote_meta()["db_hash"].as_str().unwrap()));
        symlink(secret(&world), &named).unwrap();
        bob.fails(&["sync", "push", "--force"], 1, "it is a link, which no push makes");
        assert!(!is_link(&stored) && is_link(&named));
        alice.write("Lady Susan");
        alice.fails(&["sync", "push"], 1, "it is a link, which no push makes");
        std::fs::remove_file(&named).unwrap();
        bob.ok(&["sync", "push", "--force"]);
        let all = contents(&world.remote());
        assert!(all.iter().all(|(_, bytes)| bytes != SECRET.as_bytes()));
        assert_eq!(books(&world.remote().join("before-push.1/db.sqlite")), ["Emma", "Persuasion"]);
    });
}

#[test]
fn whatever_has_the_name_of_a_folder_that_is_made_holds_no_push_up() {
    let world = World::new(true);
    let (alice, _) = world.in_step();
    let part = world.remote().join("before-push.part");
    let precious = world.folder.path().join("precious");
    std::fs::create_dir(&precious).unwrap();
    std::fs::write(precious.join("db.sqlite"), "mine").unwrap();
    let put: [&dyn Fn(); 2] = [&|| std::fs::write(&part, "a file").unwrap(), &|| symlink(&precious, &part).unwrap()];
    for (number, put) in put.iter().enumerate() {
        put();
        alice.write(&format!("Persuasion {number}"));
        alice.ok(&["sync", "push"]);
        assert_eq!(world.names(), world.kind.names());
    }
    assert_eq!(names(&precious), ["db.sqlite"]);
    assert_eq!(std::fs::read(precious.join("db.sqlite")).unwrap(), b"mine");
}
