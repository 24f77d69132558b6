//! Every input that was worth keeping, once more; and what a stranger's frame may cost.
//!
//! Where in the flow: with all other tests, without a fuzzer.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::{Path, PathBuf};

use greenlight_fuzz::{TARGETS, codec, target};

/// Fewer inputs than this mean that a corpus is lost.
const FEWEST: usize = 5;
/// What decoding may hold at once for each byte of a frame. As in core's own tests: a change in memory is some forty
/// times its shortest spelling, and a list of them may be twice as large as it is full.
const MOST_PER_BYTE: usize = 160;

/// What it may hold beside that: room for the values of a key of the most columns.
const MOST_BESIDE: usize = 2_048;

/// Counts what each thread holds.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    let held = HELD.get() + bytes;
    HELD.set(held);
    MOST.set(MOST.get().max(held));
}

// SAFETY: every call is the system allocator's own; counting touches only plain cells of this thread.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's contract is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The files of a target's corpus with their bytes.
fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let files = entries.map(|entry| entry.expect("a folder that can be read").path());
    let mut all: Vec<_> =
        files.map(|path| (path.clone(), std::fs::read(path).expect("a file that can be read"))).collect();
    all.sort();
    assert!(all.len() >= FEWEST, "only {} inputs of {name}", all.len());
    all
}

fn replay(name: &str) {
    let run = target(name).expect("a target of this name").run;
    for (path, bytes) in corpus(name) {
        // Shown where the test fails.
        println!("{}", path.display());
        run(&bytes);
    }
}

#[test]
fn codec() {
    replay("codec");
}

#[test]
fn server() {
    replay("server");
}

#[test]
fn client() {
    replay("client");
}

#[test]
fn statement() {
    replay("statement");
}

#[test]
fn text() {
    replay("text");
}

#[test]
fn http() {
    replay("http");
}

#[test]
fn every_target_is_replayed() {
    let source = include_str!("replay.rs");
    for target in TARGETS {
        assert!(source.contains(&format!("replay(\"{}\")", target.name)), "{} is not replayed", target.name);
    }
}

#[test]
fn no_frame_costs_more_than_a_multiple_of_its_length() {
    for (path, bytes) in corpus("codec") {
        let before = HELD.get();
        MOST.set(before);
        codec::decode(&bytes);
        let held = usize::try_from(MOST.get() - before).unwrap_or(0);
        assert!(
            held <= MOST_PER_BYTE * bytes.len() + MOST_BESIDE,
            "{}: {held} bytes for {}",
            path.display(),
            bytes.len()
        );
    }
}
