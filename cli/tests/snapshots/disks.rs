//! Remotes and homes that are full, read-only or gone. Root writes anywhere: the program runs as nobody, or with a limit.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use crate::fixture::{Kind, Machine, World, books, each, names, said};

fn allow(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Files that it writes may have so many kibibytes; beyond, writes fail as on a full disk.
fn limited(machine: &Machine, words: &[&str], kibibytes: u64) -> Output {
    let command = machine.command(&[]);
    let mut shell = Command::new("bash");
    // Ignored, the signal becomes an error.
    shell.args(["-c", &format!("trap '' XFSZ; ulimit -f {kibibytes}; exec \"$0\" \"$@\"")]);
    shell.arg(command.get_program()).args(words).env_clear();
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.output().unwrap()
}

/// Runs with a file system of its own in the remote's place, which holds what is there and has so many kibibytes in all;
/// what is left there is in `after` then.
fn in_small_remote(machine: &Machine, words: &[&str], kibibytes: u64) -> Output {
    in_small(machine, "remote", words, kibibytes)
}

/// The same in a folder's place.
fn in_small(machine: &Machine, folder: &str, words: &[&str], kibibytes: u64) -> Output {
    let command = machine.command(&[]);
    let script = format!(
        "mkdir saved && cp -a {folder}/. saved && mount -t tmpfs -o size={kibibytes}k tmpfs {folder} && \
         cp -a saved/. {folder} && rm -r saved || exit 99; \"$0\" \"$@\"; code=$?; \
         rm -rf after; mkdir after && cp -a {folder}/. after && exit $code"
    );
    let mut unshare = Command::new("unshare");
    unshare.args(["--map-root-user", "--mount", "bash", "-c", &script]).arg(command.get_program()).args(words);
    unshare.current_dir(machine.home.parent().unwrap());
    unshare.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = unshare.output().unwrap();
    assert!(!said(&output).contains("unshare:") && output.status.code() != Some(99), "no disk: {}", said(&output));
    output
}

fn write_many(machine: &Machine, books: usize) {
    for number in 0..books {
        machine.write(&format!("{number} {}", "x".repeat(20_000)));
    }
}

fn write_much(machine: &Machine) {
    write_many(machine, 50);
}

#[test]
fn a_full_remote_keeps_what_it_has() {
    each(|world| {
        let (alice, bob) = world.in_step();
        write_many(&alice, 40);
        let backup = std::fs::read(alice.home.join("db.sqlite.bak")).unwrap();
        let after = world.folder.path().join("after");
        let fails = |kibibytes, why: &str| {
            let output = in_small_remote(&alice, &["sync", "push"], kibibytes);
            assert_eq!(output.status.code(), Some(1), "{}", said(&output));
            assert!(said(&output).contains(why), "{}", said(&output));
            assert_eq!(names(&after), ["db.sqlite", "sync-meta.json"]);
            for name in names(&after) {
                let there = std::fs::read(world.remote().join(&name)).unwrap();
                assert!(std::fs::read(after.join(&name)).unwrap() == there, "{name} has changed");
            }
            assert_eq!(alice.status(), "ahead");
            said(&output)
        };
        let told = fails(600, "free, and this needs");
        // How long a replica's snapshot becomes is known once it is made.
        let is_copied = std::fs::read(alice.home.join("db.sqlite.bak")).unwrap() != backup;
        assert_eq!(is_copied, world.replicas);
        let kibibytes = |words: &str| -> u64 {
            let (_, rest) = told.split_once(words).unwrap();
            rest.split_once(".00 KiB").unwrap().0.trim().parse().unwrap()
        };
        // Where the snapshot fits, and not one page more, the meta does not.
        // Where it was asked before anything was copied, the push's lock was not there yet.
        let lock = if is_copied { 0 } else { 4 };
        fails(600 + kibibytes("this needs") - kibibytes(" has ") + lock, "No space left");
        // There is room for it where it fits.
        assert!(in_small_remote(&alice, &["sync", "push"], 8_000).status.success());
        let bigger = Machine { remote: after.clone(), ..bob };
        bigger.ok(&["sync", "pull"]);
        assert_eq!(bigger.books().len(), 41);
    });
}

#[test]
fn a_full_home_keeps_what_it_has() {
    each(|world| {
        let (alice, bob) = world.in_step();
        write_much(&alice);
        let output = limited(&alice, &["sync", "push"], 400);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert_eq!((alice.remote_meta()["generation"].as_u64(), alice.status().as_str()), (Some(1), "ahead"));
        alice.ok(&["sync", "push"]);
        let output = limited(&bob, &["sync", "pull"], 400);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains("too large"), "{}", said(&output));
        assert_eq!((bob.books(), bob.status().as_str()), (vec!["Emma".to_owned()], "behind"));
        assert!(!names(&bob.home).iter().any(|name| name.contains("part")), "{:?}", names(&bob.home));
        bob.ok(&["sync", "pull"]);
        assert_eq!(bob.books().len(), 51);
    });
}

#[test]
fn what_does_not_fit_at_home_is_told_before_anything_is_fetched_or_copied() {
    for kind in [Kind::Folder, Kind::Compressed] {
        let world = World::with(true, kind);
        let (alice, bob) = world.in_step();
        write_much(&alice);
        // Its own copies fit, and those of a push do not.
        let output = in_small(&alice, "alice", &["sync", "push"], 2_000);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains("free, and this needs"), "{}", said(&output));
        assert_eq!((alice.remote_meta()["generation"].as_u64(), alice.status()), (Some(1), "ahead".to_owned()));
        // The copy of what is here fits, and what is made of that does not.
        let kibibytes = std::fs::metadata(alice.db()).unwrap().len() / 1024 * 5 / 2;
        let output = in_small(&alice, "alice", &["sync", "push"], kibibytes);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains("free, and this needs"), "{}", said(&output));
        let backup = |home: &Path| std::fs::read(home.join("db.sqlite.bak")).unwrap();
        assert!(backup(&world.folder.path().join("after")) == backup(&alice.home), "it was copied");
        alice.ok(&["sync", "push"]);
        let output = in_small(&bob, "bob", &["sync", "pull"], 1_000);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains("free, and this needs"), "{}", said(&output));
        assert_eq!((bob.books(), bob.status().as_str()), (vec!["Emma".to_owned()], "behind"));
        // Believed is what a meta says, not how small it is packed: the first is no more than words.
        let meta = alice.remote_meta();
        alice.change_remote_meta(|meta| meta["db_bytes"] = serde_json::json!(1_u64 << 60));
        bob.fails(&["sync", "pull"], 1, "and this needs 1.00 EiB there");
        assert!(!names(&bob.home).iter().any(|name| name.contains("part")), "{:?}", names(&bob.home));
        alice.change_remote_meta(|now| *now = meta);
        bob.ok(&["sync", "pull"]);
        assert_eq!(bob.books().len(), 51);
    }
}

/// Runs as nobody. The folders up to it are opened, as a person's are.
fn as_nobody(machine: &Machine, words: &[&str]) -> Output {
    let inner = machine.command(&[]);
    let program = machine.home.parent().unwrap().join("greenlight");
    if !program.exists() {
        std::fs::copy(inner.get_program(), &program).unwrap();
        allow(&program, 0o755);
    }
    let is_root = rustix::process::geteuid().is_root();
    let mut command = if is_root { Command::new("setpriv") } else { Command::new(&program) };
    if is_root {
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
    }
    command.args(words).env_clear();
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.output().expect("setpriv is needed where this runs as root")
}

fn give_to_nobody(folder: &Path) {
    if rustix::process::geteuid().is_root() {
        for entry in std::iter::once(folder.to_owned())
            .chain(std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()))
        {
            std::os::unix::fs::chown(&entry, Some(65_534), Some(65_534)).unwrap();
        }
    }
}

#[test]
fn a_read_only_remote_can_be_pulled_and_says_so_on_a_push() {
    each(|world| {
        let (alice, _) = world.in_step();
        alice.write("Persuasion");
        allow(world.folder.path(), 0o755);
        give_to_nobody(&alice.home);
        give_to_nobody(&alice.home.join("logs"));
        allow(&world.remote(), 0o555);
        let output = as_nobody(&alice, &["sync", "push"]);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains("the remote can't be used"), "{}", said(&output));
        assert_eq!(alice.remote_meta()["generation"], 1);
        let bob = world.machine("carol");
        std::fs::create_dir(&bob.home).unwrap();
        give_to_nobody(&bob.home);
        let output = as_nobody(&bob, &["sync", "pull"]);
        assert!(output.status.success(), "{}", said(&output));
        assert_eq!(bob.books(), ["Emma"]);
        allow(&world.remote(), 0o755);
    });
}

#[test]
fn a_remote_that_is_gone_or_is_no_folder_is_told() {
    each(|world| {
        let (alice, bob) = world.in_step();
        let aside = world.folder.path().join("aside");
        std::fs::rename(world.remote(), &aside).unwrap();
        bob.fails(&["sync", "pull"], 1, "there is no snapshot at");
        assert_eq!(bob.status(), "empty");
        std::fs::write(world.remote(), "no folder").unwrap();
        alice.write("Persuasion");
        alice.fails(&["sync", "push"], 1, "the remote can't be used");
        bob.fails(&["sync", "pull", "--force"], 1, "the remote can't be used");
        assert_eq!(books(&bob.db()), ["Emma"]);
        std::fs::remove_file(world.remote()).unwrap();
        std::fs::rename(&aside, world.remote()).unwrap();
        alice.ok(&["sync", "push"]);
        bob.ok(&["sync", "pull"]);
        assert_eq!(bob.books(), ["Emma", "Persuasion"]);
    });
}

#[test]
fn a_log_that_lies_about_is_not_played_into_what_is_pulled() {
    each(|world| {
        let (alice, _) = world.in_step();
        let bob = world.machine("carol");
        // What a machine leaves that lost its power with the database's file gone: its log.
        let aside = world.machine("aside");
        aside.write("Ulysses");
        let holder = rusqlite::Connection::open(aside.db()).unwrap();
        holder.query_row("SELECT count(*) FROM book", [], |row| row.get::<_, i64>(0)).unwrap();
        aside.write("Dubliners");
        std::fs::create_dir_all(&bob.home).unwrap();
        let log = std::fs::read(aside.home.join("db.sqlite-wal")).unwrap();
        drop(holder);
        // It may be all that is left of what was written: it stays, under another name.
        for place in ["db.sqlite-wal.aside", "db.sqlite-wal.aside-2"] {
            std::fs::write(bob.home.join("db.sqlite-wal"), &log).unwrap();
            bob.ok(&["sync", "pull"]);
            assert_eq!(bob.books(), alice.books());
            assert_eq!(std::fs::read(bob.home.join(place)).unwrap(), log);
            std::fs::remove_file(bob.db()).unwrap();
        }
    });
}

/// What a program that is killed in a transaction leaves: half of it in the file, and the journal that undoes it.
fn cut_off(machine: &Machine) {
    let conn = rusqlite::Connection::open(machine.db()).unwrap();
    conn.execute_batch(
        "PRAGMA journal_mode = DELETE; PRAGMA cache_size = 1; BEGIN; CREATE TABLE half (way);
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)
         INSERT INTO half SELECT randomblob(4000) FROM n",
    )
    .unwrap();
    let files = ["db.sqlite", "db.sqlite-journal"].map(|name| machine.home.join(name));
    let left = files.clone().map(|file| std::fs::read(file).unwrap());
    drop(conn);
    for (file, bytes) in files.iter().zip(left) {
        std::fs::write(file, bytes).unwrap();
    }
}

#[test]
fn a_transaction_that_was_cut_off_is_undone() {
    each(|world| {
        let (alice, bob) = world.in_step();
        alice.write("Persuasion");
        cut_off(&alice);
        assert_eq!(alice.status(), "ahead");
        assert_eq!(alice.books(), ["Emma", "Persuasion"]);
        cut_off(&alice);
        alice.ok(&["sync", "push"]);
        cut_off(&bob);
        bob.ok(&["sync", "pull"]);
        assert_eq!(bob.books(), ["Emma", "Persuasion"]);
        assert_eq!(books(&bob.home.join("db.sqlite.before-pull")), ["Emma"]);
    });
}

#[test]
fn a_link_in_a_shared_folder_is_not_written_through() {
    each(|world| {
        let (alice, bob) = world.in_step();
        alice.write("Persuasion");
        let precious = world.folder.path().join("precious");
        std::fs::write(&precious, "mine").unwrap();
        let part = world.remote().join(".sync-meta.json.part");
        std::os::unix::fs::symlink(&precious, &part).unwrap();
        alice.ok(&["sync", "push"]);
        assert_eq!(std::fs::read(&precious).unwrap(), b"mine");
        assert_eq!(names(&world.remote()), ["db.sqlite", "sync-meta.json"]);
        bob.ok(&["sync", "pull"]);
        assert_eq!(bob.books(), alice.books());
    });
}

#[test]
fn what_is_pulled_first_is_for_its_owner_alone() {
    for kind in Kind::ALL {
        let world = World::with(true, kind);
        let (alice, bob) = (world.machine("alice"), world.machine("bob"));
        alice.write("Emma");
        alice.ok(&["sync", "push"]);
        bob.ok(&["sync", "pull"]);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&bob.home), mode(&bob.db())), (0o700, 0o600), "{kind:?}");
    }
}

#[test]
fn a_home_that_is_made_is_for_its_owner_alone_and_one_that_is_there_stays() {
    let world = World::new(true);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let carol = world.machine("carol");
    carol.ok(&["init"]);
    assert_eq!(mode(&carol.home), 0o700);
    let dave = world.machine("dave");
    std::fs::create_dir(&dave.home).unwrap();
    allow(&dave.home, 0o755);
    dave.ok(&["init"]);
    assert_eq!(mode(&dave.home), 0o755);
}

#[test]
fn who_may_read_the_database_stays_so() {
    each(|world| {
        let (alice, bob) = world.in_step();
        alice.write("Persuasion");
        alice.ok(&["sync", "push"]);
        allow(&bob.db(), 0o600);
        bob.ok(&["sync", "pull"]);
        let mode = |name: &str| std::fs::metadata(bob.home.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("db.sqlite"), mode("db.sqlite.before-pull")), (0o600, 0o600));
        bob.write("Sanditon");
        bob.ok(&["sync", "push"]);
        assert_eq!(mode("db.sqlite.bak"), 0o600);
    });
}
